package receiver

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"
)

// Log is what a receiver remembers, the receiver being here or a Replica of one that is elsewhere.
type Log interface {
	Start() time.Time
	Arrivals() []Arrival
	Requests() []Request
	Bad() []string
}

var (
	_ Log = (*Receiver)(nil)
	_ Log = (*Replica)(nil)
)

// Position is how much of a receiver's log is known already.
type Position struct{ Arrivals, Requests, Names, Bad int }

// Part is what a receiver has taken since a Position.
type Part struct {
	// Began is when the receiver was made: another time is another receiver, and its log another one.
	Began    time.Time
	From     Position
	Arrivals []Arrival `json:",omitempty"`
	Requests []Request `json:",omitempty"`
	Names    []string  `json:",omitempty"`
	Bad      []string  `json:",omitempty"`
}

// Since is what was taken since p.
func (r *Receiver) Since(p Position) (Part, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if p.Arrivals > len(r.arrivals) || p.Requests > len(r.requests) || p.Names > len(r.names) || p.Bad > len(r.bad) {
		return Part{}, fmt.Errorf("%+v is beyond the end of this log; the receiver began at %v", p, r.start)
	}
	return Part{
		Began: r.start.Round(0), From: p,
		Arrivals: slices.Clone(r.arrivals[p.Arrivals:]), Requests: slices.Clone(r.requests[p.Requests:]),
		Names: slices.Clone(r.names[p.Names:]), Bad: slices.Clone(r.bad[p.Bad:]),
	}, nil
}

// MarshalText has a UID in JSON as it is elsewhere.
func (u UID) MarshalText() ([]byte, error) { return []byte(u.String()), nil }

// UnmarshalText is the reverse of MarshalText.
func (u *UID) UnmarshalText(text []byte) error {
	parsed, err := ParseUID(string(text))
	*u = parsed
	return err
}

// Query is p as a query of a URL.
func (p Position) Query() map[string]string {
	return map[string]string{
		"arrivals": strconv.Itoa(p.Arrivals), "requests": strconv.Itoa(p.Requests),
		"names": strconv.Itoa(p.Names), "bad": strconv.Itoa(p.Bad),
	}
}

// ServeLog answers with the Part since the Position in the query.
func (r *Receiver) ServeLog(w http.ResponseWriter, req *http.Request) {
	var p Position
	for name, n := range map[string]*int{"arrivals": &p.Arrivals, "requests": &p.Requests, "names": &p.Names, "bad": &p.Bad} {
		text := req.URL.Query().Get(name)
		if text == "" {
			continue
		}
		var err error
		if *n, err = strconv.Atoi(text); err != nil || *n < 0 {
			http.Error(w, fmt.Sprintf("%s=%q is no number of entries", name, text), http.StatusBadRequest)
			return
		}
	}
	part, err := r.Since(p)
	if err != nil {
		http.Error(w, err.Error(), http.StatusGone)
		return
	}
	encoded, err := json.Marshal(part)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(encoded) // who has gone asks again
}

// Replica is the log of a receiver that is elsewhere, put together from Parts.
type Replica struct {
	mu       sync.Mutex
	start    time.Time
	arrivals []Arrival
	requests []Request
	names    []string
	bad      []string
	seen     map[Version]bool
}

// NewReplica makes a Replica that knows nothing yet.
func NewReplica() *Replica { return &Replica{seen: map[Version]bool{}} }

// Position is from where the next Part is needed.
func (r *Replica) Position() Position {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.position()
}

func (r *Replica) position() Position {
	return Position{len(r.arrivals), len(r.requests), len(r.names), len(r.bad)}
}

// Merge adds a Part. One that overlaps what is known, as two that ask at once get it, adds what is new in it.
func (r *Replica) Merge(p Part) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.start.IsZero() {
		r.start = p.Began
	}
	if !r.start.Equal(p.Began) {
		return fmt.Errorf("the receiver that began at %v has become one that began at %v: what it had taken is lost", r.start, p.Began)
	}
	have := r.position()
	from := p.From
	if from.Arrivals > have.Arrivals || from.Requests > have.Requests || from.Names > have.Names || from.Bad > have.Bad {
		return fmt.Errorf("a part from %+v on does not join what is known up to %+v", from, have)
	}
	fresh := tail(p.Arrivals, have.Arrivals-from.Arrivals)
	r.arrivals = append(r.arrivals, fresh...)
	r.requests = append(r.requests, tail(p.Requests, have.Requests-from.Requests)...)
	r.names = append(r.names, tail(p.Names, have.Names-from.Names)...)
	r.bad = append(r.bad, tail(p.Bad, have.Bad-from.Bad)...)
	for _, a := range fresh {
		r.seen[a.Version] = true
	}
	return nil
}

func tail[T any](list []T, known int) []T { return list[min(known, len(list)):] }

// Start implements Log.
func (r *Replica) Start() time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.start
}

// Arrivals implements Log.
func (r *Replica) Arrivals() []Arrival {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.arrivals)
}

// Requests implements Log.
func (r *Replica) Requests() []Request {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.requests)
}

// Bad implements Log.
func (r *Replica) Bad() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.bad)
}

// Has tells whether a version is known to have arrived.
func (r *Replica) Has(v Version) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.seen[v]
}

// Leader is the identity that an arrival gives by its number.
func (r *Replica) Leader(number uint16) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.names[number]
}
