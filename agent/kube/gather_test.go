package kube

import (
	"context"
	"errors"
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"
)

// trickle is a connection on which pieces of 1 KB come by the clock. It counts the reads, and is at its end after the
// last piece.
type trickle struct {
	net.Conn
	start time.Time
	every time.Duration
	left  int
	given int
	reads int
}

func (c *trickle) Read(p []byte) (int, error) {
	if c.left == 0 {
		return 0, io.EOF
	}
	c.reads++
	time.Sleep(time.Until(c.start.Add(time.Duration(c.given+1) * c.every)))
	there := int(time.Since(c.start)/c.every) - c.given
	n := min(there, c.left, len(p)/1024)
	c.left -= n
	c.given += n
	return n * 1024, nil
}

func TestGathering(t *testing.T) {
	for name, test := range map[string]struct {
		every       time.Duration
		pieces      int
		least, most int           // reads
		late        time.Duration // the last piece, at most
	}{
		"one by one below fifty a second": {every: 25 * time.Millisecond, pieces: 100, least: 100, most: 100},
		"a burst after a quiet time":      {every: time.Millisecond, pieces: 40, least: 40, most: 40},
		"gathered in a stream":            {every: 2 * time.Millisecond, pieces: 5000, least: 500, most: 1100, late: 2 * readPause},
		"plenty is not held up":           {every: 10 * time.Microsecond, pieces: 50_000, least: 1500, most: 5000, late: 2 * readPause},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				source := &trickle{start: time.Now(), every: test.every, left: test.pieces}
				c, err := gathering(func(context.Context, string, string) (net.Conn, error) { return source, nil })(t.Context(), "", "")
				if err != nil {
					t.Fatal(err)
				}
				n, err := io.Copy(io.Discard, c)
				if err != nil || n != int64(test.pieces)*1024 {
					t.Fatal(n, err)
				}
				late := time.Since(source.start) - time.Duration(test.pieces)*test.every
				if source.reads < test.least || source.reads > test.most || late > test.late {
					t.Errorf("%d reads, the last piece %v late", source.reads, late)
				}
			})
		})
	}
}

func TestGatheringFails(t *testing.T) {
	refused := errors.New("refused")
	_, err := gathering(func(context.Context, string, string) (net.Conn, error) { return nil, refused })(t.Context(), "", "")
	if !errors.Is(err, refused) {
		t.Error(err)
	}
}
