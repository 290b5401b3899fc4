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
	mu      sync.Mutex
	events  []*Event
	entries []Entry
}

// Entry is one version of one event: a Log is a list of them, in the order they were made.
type Entry struct {
	Name, UID string
	Version
}

func (l *Log) add(e *Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.events = append(l.events, e)
	for _, v := range e.Versions {
		l.entries = append(l.entries, Entry{e.Name, e.UID, v})
	}
}

func (l *Log) update(e *Event, v Version) {
	l.mu.Lock()
	defer l.mu.Unlock()
	e.Versions = append(e.Versions, v)
	l.entries = append(l.entries, Entry{e.Name, e.UID, v})
}

// Entries are what was made since the first n.
func (l *Log) Entries(n int) []Entry {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.entries[min(n, len(l.entries)):])
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
	return len(l.entries)
}
