package main

import (
	"sync"
	"time"

	"github.com/eventbaton/baton/agent/cursor"
	"github.com/eventbaton/baton/agent/election"
	"github.com/eventbaton/baton/agent/serve"
)

// counters count what happens, for as long as the process lives.
type counters struct {
	mu       sync.Mutex
	elected  map[election.Kind]uint64
	gaps     uint64
	wentBack uint64
	reading  map[string]error // by namespace, why its watch is not open; nil where it is
}

func newCounters() counters {
	return counters{elected: map[election.Kind]uint64{}, reading: map[string]error{}}
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
			return "reading the events of " + streamName(namespace) + ": " + err.Error()
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
	for kind, n := range c.elected {
		s.Election[string(kind)] = n
	}
	return s
}

// streamName is a stream as people read it.
func streamName(namespace string) string {
	if namespace == "" {
		return "all namespaces"
	}
	return "namespace " + namespace
}
