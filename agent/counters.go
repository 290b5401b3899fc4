package main

import (
	"sync"
	"time"

	"github.com/eventbaton/baton/agent/cursor"
	"github.com/eventbaton/baton/agent/election"
	"github.com/eventbaton/baton/agent/enrich"
	"github.com/eventbaton/baton/agent/serve"
	"github.com/eventbaton/baton/agent/source"
)

// electionKinds are what is counted of the election, and what it means.
var electionKinds = []struct {
	kind    election.Kind
	meaning string
}{
	{election.Acquired, "this agent began a term"},
	{election.TakeoverReleased, "it took a lock that had no holder"},
	{election.TakeoverDead, "it took a lock whose holder was proved dead"},
	{election.TakeoverExpired, "it took a lock that had not been renewed for a lease"},
	{election.TakeoverMissing, "it made the lock, which did not exist"},
	{election.Reclaimed, "it took a lock that was its own, from a term that had ended"},
	{election.Released, "it gave the lock back"},
	{election.Deposed, "its term ended because another holds the lock"},
	{election.Expired, "its term ended because it could not renew in time"},
	{election.Restored, "it wrote a lock again that was deleted or damaged while it led"},
	{election.Conflict, "a write of the lock was refused because another's was first"},
	{election.Unknown, "the outcome of a write was not known and was read back"},
	{election.BothHeld, "the Lease and the ConfigMap were held at once"},
}

// counters count what happens, for as long as the process lives.
type counters struct {
	mu       sync.Mutex
	elected  map[election.Kind]uint64
	gaps     uint64
	wentBack uint64
	lookups  *enrich.Counters // nil where nothing is enriched
	reading  map[string]error // by namespace, why its watch is not open; nil where it is
}

func newCounters() *counters {
	c := &counters{elected: map[election.Kind]uint64{}, reading: map[string]error{}}
	for _, k := range electionKinds {
		c.elected[k.kind] = 0 // a counter that is there from the start can be alerted on
	}
	return c
}

func (c *counters) election(e election.Event) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.elected[e.Kind]++
}

// Connected implements source.Observer.
func (c *counters) Connected(namespace string, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.reading[namespace] = err
}

// Gap implements source.Observer.
func (c *counters) Gap(string, cursor.Position, time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.gaps++
}

// WentBack implements source.Observer.
func (c *counters) WentBack(string, uint64, uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.wentBack++
}

// problem is why some stream is not being read, "" where all are.
func (c *counters) problem() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	for namespace, err := range c.reading {
		if err != nil {
			return "reading the events of " + source.StreamName(namespace) + ": " + err.Error()
		}
	}
	return ""
}

// forget forgets the streams of a term that has ended.
func (c *counters) forget() {
	c.mu.Lock()
	defer c.mu.Unlock()
	clear(c.reading)
}

func (c *counters) snapshot() serve.Counters {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := serve.Counters{Election: map[string]uint64{}, Gaps: c.gaps, WentBack: c.wentBack}
	if c.lookups != nil {
		s.Lookups = c.lookups.Snapshot()
	}
	for kind, n := range c.elected {
		s.Election[string(kind)] = n
	}
	return s
}
