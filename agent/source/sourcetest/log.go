// Package sourcetest is an API server's log of events in memory, for tests: versions with resourceVersions, compaction,
// lists in the order of keys with continue tokens that expire, watches, and a log that goes back. It behaves as
// Kubernetes v1.36.3 was seen to.
package sourcetest

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
)

// Log is a log of events. Its zero value is not usable: New.
type Log struct {
	// The hooks are asked before a request is answered, without a lock held; an error is the answer. Set them before
	// anything reads.
	OnList  func(namespace string, o metav1.ListOptions) error
	OnWatch func(namespace string, o metav1.ListOptions) error
	// GoneInStream makes a watch that is too old open, and say so in the stream.
	GoneInStream bool
	// BareGone leaves the fresh token out of the answer to an expired one.
	BareGone bool

	mu        sync.Mutex
	rev       uint64
	compacted uint64
	lost      uint64              // the last change that was compacted
	changes   []change            // in order of rv
	versions  map[string][]change // by key
	made      int
	changed   chan struct{} // closed by the next change
	cached    string        // what cache is a snapshot of
	cache     []*corev1.Event
	life      int // grows when the log goes back: a watch of an earlier life says nothing more

	lists, watches, open int
	limits               []int64
}

type change struct {
	rv    uint64
	kind  watch.EventType
	key   string // namespace/name
	event *corev1.Event
}

// New makes a log that is at version rev.
func New(rev uint64) *Log {
	return &Log{rev: rev, compacted: rev, versions: map[string][]change{}, changed: make(chan struct{})}
}

// Create stores a new event and returns its resourceVersion.
func (l *Log) Create(namespace, name, message string) uint64 {
	return l.Recreate(namespace, name, message, 1)
}

// Recreate stores a new event as a reporter does that goes on counting one that has expired.
func (l *Log) Recreate(namespace, name, message string, count int32) uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.made++
	now := metav1.NewTime(time.Now())
	return l.append(watch.Added, &corev1.Event{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: namespace, Name: name, CreationTimestamp: now,
			UID: types.UID(fmt.Sprintf("uid-%d-%d", l.life, l.made)),
		},
		Reason:        "Test",
		Type:          "Normal",
		Message:       message,
		Count:         count,
		LastTimestamp: now,
	})
}

// Update stores the event's next version with a count of n more, and returns its resourceVersion, 0 where there is no
// such event.
func (l *Log) Update(namespace, name string, n int32) uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	old := l.current(namespace + "/" + name)
	if old == nil {
		return 0
	}
	e := old.DeepCopy()
	e.Count += n
	e.LastTimestamp = metav1.NewTime(time.Now())
	return l.append(watch.Modified, e)
}

// Delete removes events, all at one version as the end of a lease does.
func (l *Log) Delete(namespace string, names ...string) uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.rev++
	for _, name := range names {
		if old := l.current(namespace + "/" + name); old != nil {
			e := old.DeepCopy()
			l.put(watch.Deleted, e)
		}
	}
	l.wake()
	return l.rev
}

// Touch moves the log on by n versions of other objects.
func (l *Log) Touch(n uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.rev += n
}

// Compact forgets what lies before the log's version.
func (l *Log) Compact() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.compacted = l.rev
	if n := len(l.changes); n > 0 {
		l.lost = l.changes[n-1].rv
	}
	l.changes = nil
	for key, versions := range l.versions {
		last := versions[len(versions)-1]
		if l.versions[key] = []change{last}; last.kind == watch.Deleted {
			delete(l.versions, key)
		}
	}
	l.wake()
}

// GoBack makes it another, empty log at version rev. Open watches stay open and say nothing more.
func (l *Log) GoBack(rev uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.rev, l.compacted, l.changes, l.versions = rev, rev, nil, map[string][]change{}
	l.lost, l.cached = 0, ""
	l.life++
}

func (l *Log) append(kind watch.EventType, e *corev1.Event) uint64 {
	l.rev++
	l.put(kind, e)
	l.wake()
	return l.rev
}

// put adds a change at the log's version. The event is never changed again.
func (l *Log) put(kind watch.EventType, e *corev1.Event) {
	e.ResourceVersion = fmt.Sprint(l.rev)
	c := change{rv: l.rev, kind: kind, key: e.Namespace + "/" + e.Name, event: e}
	l.changes = append(l.changes, c)
	l.versions[c.key] = append(l.versions[c.key], c)
}

func (l *Log) wake() {
	close(l.changed)
	l.changed = make(chan struct{})
}

func (l *Log) current(key string) *corev1.Event { return l.at(key, l.rev) }

// at is the event as it was at version rv, nil where there was none.
func (l *Log) at(key string, rv uint64) *corev1.Event {
	versions := l.versions[key]
	for _, version := range slices.Backward(versions) {
		if version.rv > rv {
			continue
		}
		if version.kind == watch.Deleted {
			return nil
		}
		return version.event
	}
	return nil
}

// Retained are the events that are stored, in the order of keys.
func (l *Log) Retained() []*corev1.Event {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.snapshot("", l.rev)
}

func (l *Log) snapshot(prefix string, rv uint64) []*corev1.Event {
	name := fmt.Sprint(prefix, "|", rv, "|", l.rev)
	if name == l.cached {
		return l.cache
	}
	var events []*corev1.Event
	defer func() { l.cached, l.cache = name, events }()
	for _, key := range slices.Sorted(maps.Keys(l.versions)) {
		if e := l.at(key, rv); e != nil && strings.HasPrefix(key, prefix) {
			events = append(events, e)
		}
	}
	return events
}

// Versions are all versions of events that were stored and not compacted, in order.
func (l *Log) Versions() []*corev1.Event {
	l.mu.Lock()
	defer l.mu.Unlock()
	var events []*corev1.Event
	for _, c := range l.changes {
		if c.kind != watch.Deleted {
			events = append(events, c.event)
		}
	}
	return events
}

// RV is the log's version.
func (l *Log) RV() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.rev
}

// Requests are how many lists of more than one event and how many watches were asked for, and how many watches are
// open.
func (l *Log) Requests() (lists, watches, open int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.lists, l.watches, l.open
}

// Limits are the limits of the lists.
func (l *Log) Limits() []int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.limits)
}
