package simulation

import (
	"hash/fnv"
	"sync"
	"time"
)

// chance is a source of numbers that costs next to nothing to make anew, so that each request can have its own.
type chance uint64

func (c *chance) next() uint64 {
	*c += 0x9e3779b97f4a7c15
	z := uint64(*c)
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

// of is a source of its own for a name.
func (c chance) of(name string, n int) *chance {
	h := fnv.New64a()
	_, _ = h.Write([]byte(name)) // It never fails.
	sub := chance(uint64(c) ^ h.Sum64() ^ uint64(n)*0xd6e8feb86659fd93)
	sub.next()
	return &sub
}

// float is uniform in [0, 1).
func (c *chance) float() float64 { return float64(c.next()>>11) / (1 << 53) }

// below is uniform in [0, n).
func (c *chance) below(n int) int { return int(c.next() % uint64(n)) }

func (c *chance) yes(probability float64) bool { return c.float() < probability }

// between is uniform in [low, high), with nanoseconds, so that hardly two things happen at the same moment.
func (c *chance) between(low, high time.Duration) time.Duration {
	return low + time.Duration(c.float()*float64(high-low))
}

// shared is a source for several goroutines.
type shared struct {
	mu sync.Mutex
	c  *chance
}

func (s *shared) float() float64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.c.float()
}
