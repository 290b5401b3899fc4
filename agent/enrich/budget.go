package enrich

import (
	"sync/atomic"
	"time"
)

// bucket has a token for each request that may be made: so many a second, and as many at once after a quiet second.
type bucket struct {
	rate   float64
	tokens float64
	at     time.Time
}

func newBucket(perSecond int, now time.Time) bucket {
	return bucket{rate: float64(perSecond), tokens: float64(perSecond), at: now}
}

func (b *bucket) take(now time.Time) bool {
	b.tokens = min(b.rate, b.tokens+now.Sub(b.at).Seconds()*b.rate)
	b.at = now
	if b.tokens < 1 {
		return false
	}
	b.tokens--
	return true
}

// Outcome is how a lookup ended.
type Outcome int

// The outcomes that are counted.
const (
	Cached Outcome = iota
	Found
	Gone
	Refused
	Unsupported
	Failed
	Late
	outcomes int = iota
)

// Outcomes are all, by their names, with what they mean.
var Outcomes = [outcomes]struct{ Name, Meaning string }{
	Cached:      {"cached", "the cache had what was asked for"},
	Found:       {"found", "the API server was asked, and had the object"},
	Gone:        {"gone", "it was asked, and had no such object"},
	Refused:     {"refused", "it was asked, and a right was missing"},
	Unsupported: {"unsupported", "it was asked, and knew no such kind"},
	Failed:      {"failed", "it was asked, and gave no answer, or an error"},
	Late:        {"late", "a record went on without something, because the answer was not there or the budget was spent"},
}

// Counters count lookups by their outcomes, for as long as the process lives.
type Counters struct{ counts [outcomes]atomic.Uint64 }

func (c *Counters) add(o Outcome) {
	if c != nil {
		c.counts[o].Add(1)
	}
}

// Snapshot is what was counted so far, by the names of the outcomes.
func (c *Counters) Snapshot() map[string]uint64 {
	all := make(map[string]uint64, len(Outcomes))
	for i := range Outcomes {
		all[Outcomes[i].Name] = c.counts[i].Load()
	}
	return all
}
