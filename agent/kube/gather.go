package kube

import (
	"bufio"
	"context"
	"net"
	"time"
)

const (
	// readPause is how long the connection of the watches is left alone, at most, after a read that got little.
	readPause = 20 * time.Millisecond
	// readBurst is how many such reads may follow each other at once, fifty, while there were none before.
	readBurst = 50 * readPause
	// readPlenty is a read after which there is no pause. It is well below what the kernel holds for a connection: a
	// server that can't write would be slowed down.
	readPlenty = 16 << 10
	readBytes  = 32 << 10
)

type dial func(ctx context.Context, network, address string) (net.Conn, error)

// gathering gives connections that are read less often when much comes in small pieces, as the changes of a watch do:
// each would wake this process, and then a sink, for itself, which costs more than the work there is to do. What comes
// meanwhile waits in the kernel for up to readPause and is read at once. Of less than fifty changes a second none waits.
func gathering(d dial) dial {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		c, err := d(ctx, network, address)
		if err != nil {
			return nil, err
		}
		return &gatheringConn{c, bufio.NewReaderSize(&pacedConn{Conn: c}, readBytes)}, nil
	}
}

type gatheringConn struct {
	net.Conn
	reader *bufio.Reader
}

func (c *gatheringConn) Read(p []byte) (int, error) { return c.reader.Read(p) }

// pacedConn is a connection with a bucket of pauses not made.
type pacedConn struct {
	net.Conn
	full time.Time // when the bucket will be full again
}

func (c *pacedConn) Read(p []byte) (int, error) {
	time.Sleep(time.Until(c.full.Add(-readBurst)))
	n, err := c.Conn.Read(p)
	if now := time.Now(); c.full.Before(now) {
		c.full = now
	}
	c.full = c.full.Add(readPause * time.Duration(max(0, readPlenty-n)) / readPlenty)
	return n, err
}
