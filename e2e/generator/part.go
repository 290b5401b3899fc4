package generator

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"time"
)

// Part is what a generator has made since its first From versions.
type Part struct {
	// Began is when the generator was started: another time is another generator, and its log another one.
	Began   time.Time
	From    int
	Entries []Entry `json:",omitempty"`
}

// ServeLog answers with the Part since the number `from` in the query.
func (g *Generator) ServeLog(w http.ResponseWriter, req *http.Request) {
	from := 0
	if text := req.URL.Query().Get("from"); text != "" {
		var err error
		if from, err = strconv.Atoi(text); err != nil || from < 0 {
			http.Error(w, fmt.Sprintf("from=%q is no number of versions", text), http.StatusBadRequest)
			return
		}
	}
	text, err := json.Marshal(Part{Began: g.began.Round(0), From: from, Entries: g.log.Entries(from)})
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(text) // who has gone asks again
}

// Replica is the log of a generator that is elsewhere, put together from Parts.
type Replica struct {
	Log
	began time.Time
	byUID map[string]*Event
}

// NewReplica makes a Replica that knows nothing yet. One goroutine at a time may Merge.
func NewReplica() *Replica { return &Replica{byUID: map[string]*Event{}} }

// Merge adds a Part; what of it is known already changes nothing.
func (r *Replica) Merge(p Part) error {
	if r.began.IsZero() {
		r.began = p.Began
	}
	if !r.began.Equal(p.Began) {
		return fmt.Errorf("the generator that began at %v has become one that began at %v: what it had made is not known", r.began, p.Began)
	}
	known := r.Len()
	if p.From > known {
		return fmt.Errorf("a part from version %d on does not join what is known up to %d", p.From, known)
	}
	for _, e := range p.Entries[min(known-p.From, len(p.Entries)):] {
		if event := r.byUID[e.UID]; event != nil {
			r.update(event, e.Version)
			continue
		}
		event := &Event{Name: e.Name, UID: e.UID, Versions: []Version{e.Version}}
		r.byUID[e.UID] = event
		r.add(event)
	}
	return nil
}
