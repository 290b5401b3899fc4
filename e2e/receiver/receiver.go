// Package receiver is a receiver that remembers what it was sent, by whom and when, and that can be made to behave badly.
// It takes what the webhook sends, or what else comes by HTTP where it is told how to read it. It keeps about a hundred
// bytes a record.
package receiver

import (
	"maps"
	"net/http"
	"slices"
	"sync"
	"time"
)

// Receiver takes records over HTTP. What the path begins with that a sender posts to is its name here, and that of the
// leader where a record doesn't say who that is. The zero value is not usable.
type Receiver struct {
	start    time.Time
	protocol Protocol

	mu        sync.Mutex
	mode      Mode
	modes     map[string]Mode
	changed   chan struct{} // closed by the next Set
	held      int           // requests that wait for their answer since the last one
	arrivals  []Arrival
	seen      map[Version]int32 // how often each one arrived
	names     []string          // of leaders, by Arrival.Leader
	nameIndex map[string]uint16
	requests  []Request
	bad       []string
}

// Version names one version of an event.
type Version struct {
	UID UID
	RV  uint64
}

// Arrival is one delivery of one record that the receiver took.
type Arrival struct {
	Version
	// At is when its request had been read whole, since the receiver's start.
	At       time.Duration
	Count    int64
	Delta    int64 // countDelta, where HasDelta
	Epoch    int64
	Request  int32 // index of its request
	Leader   uint16
	HasDelta bool
}

// Request is one request that carried records.
type Request struct {
	Sender    string
	Began, At time.Duration // when its header had arrived, and its end, since the receiver's start
	Records   int
	Bytes     int64 // of the body as sent
	Status    int   // the answer, 0 for none
}

// New makes a receiver that takes everything that a webhook sends.
func New() *Receiver { return NewFor(Protocol{Read: readWebhook}) }

// NewFor makes a receiver that takes everything that comes by another protocol.
func NewFor(p Protocol) *Receiver {
	return &Receiver{
		start: time.Now(), protocol: p, modes: map[string]Mode{}, changed: make(chan struct{}),
		seen: map[Version]int32{}, nameIndex: map[string]uint16{},
	}
}

// Start is the time from which all durations here count; it carries a monotonic reading.
func (r *Receiver) Start() time.Time { return r.start }

// Arrivals are all deliveries so far, in the order they were taken.
func (r *Receiver) Arrivals() []Arrival {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.arrivals)
}

// Requests are all requests so far, also those that were not taken, by the order of their arrival.
func (r *Receiver) Requests() []Request {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.requests)
}

// Leader is the identity that an arrival gives by its number.
func (r *Receiver) Leader(number uint16) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.names[number]
}

// Bad are the requests and records that are not as they are documented, one line each.
func (r *Receiver) Bad() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.bad)
}

// Has tells whether a version has arrived.
func (r *Receiver) Has(v Version) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.seen[v] > 0
}

// Len is how many different versions have arrived.
func (r *Receiver) Len() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.seen)
}

// Delivered is how many records each leader has delivered, by identity.
func (r *Receiver) Delivered() map[string]int {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := make([]int, len(r.names))
	for i := range r.arrivals {
		n[r.arrivals[i].Leader]++
	}
	m := map[string]int{}
	for i, name := range r.names {
		m[name] = n[i]
	}
	return m
}

// Mode is how the receiver answers. The zero value takes everything with 200.
type Mode struct {
	Status     int           // answer this instead, and take nothing
	RetryAfter string        // the header of that answer, "" for none
	Delay      time.Duration // before each answer, or until the next Set; what arrives is taken before it
	Hang       bool          // never answer, and take nothing
	Reset      bool          // reset the connection once the request has been read, and take nothing
	// Refuse, where set, answers 400 to a request with a record for which it is true, and takes nothing of it.
	Refuse func(Record) bool
}

// Set changes how the receiver answers from now on. What hangs goes on hanging until its client gives up.
func (r *Receiver) Set(m Mode) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.mode, r.modes = m, map[string]Mode{}
	close(r.changed)
	r.changed, r.held = make(chan struct{}), 0
}

// Held is how many requests were taken since the last Set and wait for their answer.
func (r *Receiver) Held() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.held
}

// hold counts a request in or out that waits until changed is closed.
func (r *Receiver) hold(changed <-chan struct{}, n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if changed == r.changed {
		r.held += n
	}
}

// SetFor changes how it answers one sender, until the next Set.
func (r *Receiver) SetFor(sender string, m Mode) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.modes = maps.Clone(r.modes)
	r.modes[sender] = m
}

// modeOf is how to answer a sender, and what is closed when that may be another.
func (r *Receiver) modeOf(sender string) (m Mode, changed <-chan struct{}) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if m, ok := r.modes[sender]; ok {
		return m, r.changed
	}
	return r.mode, r.changed
}

func (r *Receiver) take(leader string, a Arrival) {
	n, ok := r.nameIndex[leader]
	if !ok {
		n = uint16(len(r.names))
		r.nameIndex[leader] = n
		r.names = append(r.names, leader)
	}
	a.Leader = n
	r.arrivals = append(r.arrivals, a)
	r.seen[a.Version]++
}

// Complain adds a line to Bad.
func (r *Receiver) Complain(what string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.bad = append(r.bad, what)
}

var _ http.Handler = (*Receiver)(nil)
