package election

import (
	"math"
	"time"
)

// spread is how long a candidate waits before it looks again and writes, u uniform in [0, 1). Nobody knows how many
// candidates there are; with a density that grows exponentially few are early whatever their number: about three
// write at 1,000 and at 5,000 where a write is seen after 50 ms.
func spread(u float64) time.Duration {
	const longest, steep = 0.5, 9.5
	s := longest / steep * math.Log1p(u*math.Expm1(steep))
	return time.Duration(s * float64(time.Second))
}

// backoff gives growing waits with full jitter.
type backoff struct {
	first, longest time.Duration
	rand           func() float64
	n              int
}

func (b *backoff) reset() { b.n = 0 }

// next is uniform in [0, min(longest, first * 2^n)).
func (b *backoff) next() time.Duration {
	d := b.longest
	if b.n < 30 {
		d = min(d, b.first<<b.n)
		b.n++
	}
	return time.Duration(b.rand() * float64(d))
}
