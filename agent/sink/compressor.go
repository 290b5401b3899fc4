package sink

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"sync"
)

// compressor compresses bodies, for several goroutines. The zero value serves.
type compressor struct {
	pool sync.Pool // of *gzip.Writer, which are large
}

// gzip gives the compressed body. It is never used again: the transport may still read it after it has returned.
func (c *compressor) gzip(plain []byte) ([]byte, error) {
	var body bytes.Buffer
	z, _ := c.pool.Get().(*gzip.Writer)
	if z == nil {
		z, _ = gzip.NewWriterLevel(nil, gzip.BestSpeed) // records are so alike that more time gains little
	}
	defer c.pool.Put(z)
	z.Reset(&body)
	if _, err := z.Write(plain); err != nil {
		return nil, fmt.Errorf("compressing: %w", err)
	}
	if err := z.Close(); err != nil {
		return nil, fmt.Errorf("compressing: %w", err)
	}
	return body.Bytes(), nil
}
