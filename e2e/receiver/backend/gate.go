package backend

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/eventbaton/baton/e2e/port"
)

// gate is a listener whose port can be closed and opened again without its server knowing: for a server that has its
// data only for as long as it runs. What its connections carry are messages of Kafka's, which have their length before
// them.
type gate struct {
	port  int
	conns chan net.Conn // to accept
	ended chan struct{}
	once  sync.Once

	mu       sync.Mutex
	listener net.Listener // nil while it is down
	open     map[*gateConn]struct{}
	wg       sync.WaitGroup
}

var _ net.Listener = (*gate)(nil)

func newGate() (*gate, error) {
	for try := 0; ; try++ {
		p, err := port.Take()
		if err != nil {
			return nil, err
		}
		g := &gate{port: p, conns: make(chan net.Conn), ended: make(chan struct{}), open: map[*gateConn]struct{}{}}
		if err = g.up(); err == nil {
			return g, nil
		}
		port.Give(p)
		if try == 20 {
			return nil, err
		}
	}
}

func (g *gate) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: g.port} }

// Accept is the server's.
func (g *gate) Accept() (net.Conn, error) {
	select {
	case c := <-g.conns:
		return c, nil
	case <-g.ended:
		return nil, net.ErrClosed
	}
}

// Close ends the gate for good.
func (g *gate) Close() error {
	g.once.Do(func() {
		close(g.ended)
		g.down()
		port.Give(g.port)
	})
	return nil
}

func (g *gate) up() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.listener != nil {
		return nil
	}
	l, err := net.Listen("tcp", port.Address(g.port))
	if err != nil {
		return fmt.Errorf("opening a gate: %w", err)
	}
	g.listener = l
	g.wg.Go(func() { g.serve(l) })
	return nil
}

func (g *gate) serve(l net.Listener) {
	for {
		c, err := l.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err == nil {
			g.let(l, c)
		}
	}
}

// let lets a connection in, unless the gate has been closed meanwhile.
func (g *gate) let(through net.Listener, c net.Conn) {
	conn := &gateConn{Conn: c, gate: g, quiet: make(chan struct{}), closed: make(chan struct{})}
	g.mu.Lock()
	if g.listener != through {
		g.mu.Unlock()
		_ = c.Close()
		return
	}
	g.open[conn] = struct{}{}
	g.mu.Unlock()
	select {
	case g.conns <- conn:
	case <-g.ended:
		_ = conn.Close()
	}
}

// down closes the port, and each connection once what the server has been asked is answered.
func (g *gate) down() {
	g.mu.Lock()
	l, open := g.listener, g.open
	g.listener, g.open = nil, map[*gateConn]struct{}{}
	g.mu.Unlock()
	if l == nil {
		return
	}
	_ = l.Close()
	deadline := time.NewTimer(shutdownTimeout)
	defer deadline.Stop()
	for c := range open {
		c.finish()
	}
	for c := range open {
		select {
		case <-c.quiet:
		case <-deadline.C:
			deadline.Reset(0) // for all that are left
		case <-c.closed:
		case <-g.ended:
		}
		_ = c.Close()
	}
	g.wg.Wait()
}

// dial is a way in that is never closed.
func (g *gate) dial(ctx context.Context) (net.Conn, error) {
	client, server := net.Pipe()
	select {
	case g.conns <- server:
		return client, nil
	case <-g.ended:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// gateConn is the server's end of a connection. It counts requests and answers.
type gateConn struct {
	net.Conn
	gate *gate

	mu        sync.Mutex
	requests  messages
	answers   messages
	finishing bool
	isQuiet   bool
	once      sync.Once
	quiet     chan struct{} // closed when nothing is to be answered any more
	closed    chan struct{}
}

// finish hands no further request to the server.
func (c *gateConn) finish() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.finishing = true
	c.check()
}

func (c *gateConn) check() {
	if c.finishing && !c.isQuiet && c.requests.begun == c.answers.ended {
		c.isQuiet = true
		close(c.quiet)
	}
}

// Read is the server's. It never reads beyond the end of a request.
func (c *gateConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if n > 0 && !c.count(&c.requests, p[:n]) {
		<-c.closed // not before: the server would give up what it has not answered yet
		return 0, net.ErrClosed
	}
	return n, err
}

func (c *gateConn) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	c.count(&c.answers, p[:n])
	return n, err
}

// count says no to a request that comes too late.
func (c *gateConn) count(m *messages, p []byte) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if m == &c.requests && c.finishing && m.between() {
		return false
	}
	m.count(p)
	c.check()
	return true
}

func (c *gateConn) Close() error {
	c.once.Do(func() { close(c.closed) })
	c.gate.mu.Lock()
	delete(c.gate.open, c)
	c.gate.mu.Unlock()
	return c.Conn.Close()
}

// messages counts what goes in one direction: four bytes that say how many follow, and these.
type messages struct {
	begun, ended int
	head         []byte
	left         int
}

// between says that no message is half through.
func (m *messages) between() bool { return len(m.head) == 0 && m.left == 0 }

func (m *messages) count(p []byte) {
	for len(p) > 0 {
		if m.between() {
			m.begun++
		}
		if m.left > 0 {
			n := min(m.left, len(p))
			m.left, p = m.left-n, p[n:]
		} else {
			n := min(4-len(m.head), len(p))
			m.head, p = append(m.head, p[:n]...), p[n:]
			if len(m.head) == 4 {
				m.left, m.head = int(binary.BigEndian.Uint32(m.head)), m.head[:0]
			}
		}
		if m.between() {
			m.ended++
		}
	}
}
