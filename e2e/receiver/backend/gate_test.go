package backend

import (
	"errors"
	"io"
	"net"
	"testing"
	"testing/synctest"
)

func TestMessages(t *testing.T) {
	stream := []byte{0, 0, 0, 2, 'a', 'b', 0, 0, 0, 0, 0, 0, 0, 1, 'c'}
	for size := 1; size <= len(stream); size++ {
		var m messages
		for p := stream; len(p) > 0; p = p[min(size, len(p)):] {
			m.count(p[:min(size, len(p))])
		}
		if m.begun != 3 || m.ended != 3 || !m.between() {
			t.Errorf("in pieces of %d: %+v", size, m)
		}
	}
	var m messages
	m.count(stream[:5])
	if m.begun != 1 || m.ended != 0 || m.between() {
		t.Errorf("half a message: %+v", m)
	}
}

// pipe is a connection through a gate without a port, and what its client holds.
func pipe() (*gateConn, net.Conn) {
	client, server := net.Pipe()
	g := &gate{open: map[*gateConn]struct{}{}, ended: make(chan struct{})}
	c := &gateConn{Conn: server, gate: g, quiet: make(chan struct{}), closed: make(chan struct{})}
	g.open[c] = struct{}{}
	return c, client
}

var message = []byte{0, 0, 0, 1, 'm'}

// What the server has been asked is answered before the connection goes, and nothing further is asked.
func TestGateAnswersBeforeItCloses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, client := pipe()
		defer client.Close()
		go func() {
			_, _ = client.Write(message)
			_, _ = client.Write(message) // the second one is too late
		}()
		request := make([]byte, len(message))
		if _, err := io.ReadFull(c, request[:4]); err != nil {
			t.Fatal(err)
		}
		c.finish()
		if _, err := io.ReadFull(c, request[4:]); err != nil {
			t.Fatal("a request that has begun is read to its end:", err)
		}
		late := make(chan error)
		go func() {
			_, err := c.Read(make([]byte, 4))
			late <- err
		}()
		synctest.Wait()
		select {
		case <-c.quiet:
			t.Fatal("it is quiet before the answer")
		case <-late:
			t.Fatal("the server is told too soon")
		default:
		}
		answer := make(chan error)
		go func() {
			_, err := io.ReadFull(client, make([]byte, len(message)))
			answer <- err
		}()
		if _, err := c.Write(message); err != nil {
			t.Fatal(err)
		}
		if err := <-answer; err != nil {
			t.Fatal(err)
		}
		<-c.quiet
		_ = c.Close()
		if err := <-late; !errors.Is(err, net.ErrClosed) {
			t.Error(err)
		}
	})
}

// A server that doesn't answer is not waited for any longer.
func TestGateCloses(t *testing.T) {
	g, err := newGate()
	if err != nil {
		t.Fatal(err)
	}
	client, err := net.Dial("tcp", g.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	server, err := g.Accept()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.Write(message); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(server, make([]byte, len(message))); err != nil {
		t.Fatal(err)
	}
	g.down()
	if _, err := client.Read(make([]byte, 1)); err == nil {
		t.Error("the connection is still open")
	}
	if c, err := net.Dial("tcp", g.Addr().String()); err == nil {
		_ = c.Close()
		t.Error("the port is still open")
	}
	_ = g.Close()
	if _, err := g.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Error(err)
	}
	if _, err := g.dial(t.Context()); !errors.Is(err, net.ErrClosed) {
		t.Error(err)
	}
}
