// Package proxy is a TCP proxy that can cut its connections, or swallow what they carry, as a broken network does.
package proxy

import (
	"errors"
	"fmt"
	"net"
	"sync"
)

// Proxy forwards connections to one target.
type Proxy struct {
	target   string
	listener net.Listener
	wg       sync.WaitGroup

	mu    sync.Mutex
	state state
	// open is closed while bytes may pass; it is replaced when they may not.
	open  chan struct{}
	conns map[net.Conn]struct{}
	ended chan struct{}
}

type state int

const (
	forwarding state = iota
	cut
	frozen
)

// Listen starts a proxy to target, host and port, on a free loopback port.
func Listen(target string) (*Proxy, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("starting a proxy: %w", err)
	}
	p := &Proxy{target: target, listener: l, open: make(chan struct{}), conns: map[net.Conn]struct{}{}, ended: make(chan struct{})}
	close(p.open)
	p.wg.Go(p.serve)
	return p, nil
}

// Address is host and port to connect to.
func (p *Proxy) Address() string { return p.listener.Addr().String() }

// Cut resets all connections, and every new one.
func (p *Proxy) Cut() {
	p.set(cut)
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		drop(c)
	}
}

// Freeze lets no byte pass any more; connections stay, and new ones are accepted, but nothing answers.
func (p *Proxy) Freeze() { p.set(frozen) }

// Heal forwards again. What was frozen goes on where it was.
func (p *Proxy) Heal() { p.set(forwarding) }

func (p *Proxy) set(s state) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if s == frozen && p.state != frozen {
		p.open = make(chan struct{})
	}
	if s != frozen && p.state == frozen {
		close(p.open)
	}
	p.state = s
}

// Close ends the proxy and all its connections.
func (p *Proxy) Close() {
	_ = p.listener.Close()
	p.mu.Lock()
	close(p.ended)
	for c := range p.conns {
		drop(c)
	}
	p.mu.Unlock()
	p.wg.Wait()
}

func drop(c net.Conn) {
	if tcp, ok := c.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = c.Close()
}

func (p *Proxy) serve() {
	for {
		c, err := p.listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err == nil && p.add(c) {
			p.wg.Go(func() { p.forward(c) })
		}
	}
}

// add takes a connection in, unless everything is cut.
func (p *Proxy) add(c net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case <-p.ended:
		drop(c)
		return false
	default:
	}
	if p.state == cut {
		drop(c)
		return false
	}
	p.conns[c] = struct{}{}
	return true
}

func (p *Proxy) remove(c net.Conn) {
	p.mu.Lock()
	delete(p.conns, c)
	p.mu.Unlock()
	_ = c.Close()
}

// pass waits until bytes may pass; false says that the proxy ends.
func (p *Proxy) pass() bool {
	p.mu.Lock()
	open := p.open
	p.mu.Unlock()
	select {
	case <-open:
		return true
	case <-p.ended:
		return false
	}
}

func (p *Proxy) forward(client net.Conn) {
	defer p.remove(client)
	if !p.pass() {
		return
	}
	server, err := net.Dial("tcp", p.target)
	if err != nil {
		drop(client)
		return
	}
	if !p.add(server) {
		return
	}
	defer p.remove(server)
	var wg sync.WaitGroup
	wg.Go(func() { p.copy(server, client) })
	wg.Go(func() { p.copy(client, server) })
	wg.Wait()
}

func (p *Proxy) copy(to, from net.Conn) {
	defer to.Close()
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		if !p.pass() {
			return
		}
		if _, werr := to.Write(buf[:n]); err != nil || werr != nil {
			return
		}
	}
}
