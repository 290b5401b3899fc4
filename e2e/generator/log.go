package generator

import (
	"slices"
	"sync"
	"time"
)

// Event is an event that was made.
type Event struct {
	Name     string
	UID      string
	Versions []Version // in the order they were stored, at least one
}

// Version is a version of an event that the API server stored.
type Version struct {
	RV    uint64
	Count int64
	// At is when the API server had answered; it carries a monotonic reading.
	At time.Time
}

// Last is the newest version.
func (e *Event) Last() Version { return e.Versions[len(e.Versions)-1] }

// Log is what was made. It may be read while it grows.
type Log struct {
	mu       sync.Mutex
	events   []*Event
	versions int
}

func (l *Log) add(e *Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.events = append(l.events, e)
	l.versions += len(e.Versions)
}

func (l *Log) update(e *Event, v Version) {
	l.mu.Lock()
	defer l.mu.Unlock()
	e.Versions = append(e.Versions, v)
	l.versions++
}

// Events are copies of all events so far.
func (l *Log) Events() []Event {
	l.mu.Lock()
	defer l.mu.Unlock()
	events := make([]Event, len(l.events))
	for i, e := range l.events {
		events[i] = *e
		events[i].Versions = slices.Clone(e.Versions)
	}
	return events
}

// Len is how many versions were made so far.
func (l *Log) Len() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.versions
}
