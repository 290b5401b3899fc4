package relay

import (
	"encoding/binary"
	"hash/maphash"

	"github.com/eventbaton/baton/agent/record"
)

// generation is how many events a generation of counts remembers. Two of them take about two megabytes.
const generation = 16384

// counts remembers of the events that were last handed to a lane how often they had been observed by then. It is
// bounded: what was handed over long ago is forgotten, and its next delta is not known.
type counts struct{ young, old map[[16]byte]count }

type count struct {
	rv uint64
	n  int64
}

// delta gives how many of the record's count are new since the version that was handed over last, and remembers this
// one. A version that is handed over again, or is older, adds nothing: it was counted. ok is false where the last
// version is not known. That a version is an event's first says something only where it counts one: a reporter whose
// event has expired makes it anew, and counts on.
func (c *counts) delta(it *item) (delta int64, ok bool) {
	key := keyOf(it.uid)
	last, known := c.last(key)
	switch now := it.record.Count; {
	case known && it.rv <= last.rv:
		return 0, true
	case it.created && now == 1:
		delta, ok = now, true
	case known && now >= last.n:
		delta, ok = now-last.n, true
	}
	c.remember(key, count{rv: it.rv, n: it.record.Count})
	return delta, ok
}

func (c *counts) last(key [16]byte) (count, bool) {
	if n, ok := c.young[key]; ok {
		return n, true
	}
	n, ok := c.old[key]
	return n, ok
}

func (c *counts) remember(key [16]byte, n count) {
	if c.young == nil || len(c.young) >= generation {
		c.old, c.young = c.young, map[[16]byte]count{}
	}
	c.young[key] = n
}

// knows says whether a version of the event was handed over, and keeps that in mind as long as others come.
func (c *counts) knows(it *item) bool {
	key := keyOf(it.uid)
	if _, young := c.young[key]; young {
		return true
	}
	last, known := c.old[key]
	if known {
		c.remember(key, last)
	}
	return known
}

// forget is for a log that went back: its versions can't be compared with those before.
func (c *counts) forget() { *c = counts{} }

var seeds = [2]maphash.Seed{maphash.MakeSeed(), maphash.MakeSeed()}

// keyOf makes a key of fixed size: for thousands of them strings cost several times as much.
func keyOf(uid string) (key [16]byte) {
	binary.LittleEndian.PutUint64(key[:8], maphash.String(seeds[0], uid))
	binary.LittleEndian.PutUint64(key[8:], maphash.String(seeds[1], uid))
	return key
}

// withDelta is the record as this lane's sink gets it. The original is shared with other lanes.
func (c *counts) withDelta(it *item) *record.Record {
	delta, ok := c.delta(it)
	if !ok {
		return it.record
	}
	r := *it.record
	r.CountDelta = &delta
	return &r
}
