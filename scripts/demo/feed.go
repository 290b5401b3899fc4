package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/eventbaton/baton/agent/record"
	"github.com/eventbaton/baton/e2e/receiver"
)

const (
	beatLength = 250 * time.Millisecond
	keptRecent = 20
)

// feed is the webhook that the agents deliver to. The receiver behind it keeps what the verdict needs; the feed keeps
// what the view shows.
type feed struct {
	receiver *receiver.Receiver
	own      string // the namespace whose events are counted
	server   *http.Server
	address  string
	done     chan struct{}

	mu    sync.Mutex
	known map[string]bool // ids
	tally tally
}

// tally is what has arrived.
type tally struct {
	Events, Repeated int            // of the namespace: different ones, and those that came again
	ByAgent          map[string]int // all records, by pod
	Epoch            int64          // the highest
	Recent           []delivery     // newest last
	Beats            []beat         // by beatLength since the start
}

// beat is what arrived in one stretch of time, and by whom the last of it.
type beat struct {
	N     int
	Agent string
}

// delivery is one record as it arrived.
type delivery struct {
	At    time.Time
	Agent string
	record.Record
}

func listen(own string) (*feed, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("opening the webhook that the agents deliver to: %w", err)
	}
	f := newFeed(own)
	f.server, f.address = &http.Server{Handler: f}, l.Addr().String()
	go func() {
		defer close(f.done)
		_ = f.server.Serve(l) // it ends with close; what else could end it is seen by the agents
	}()
	return f, nil
}

func newFeed(own string) *feed {
	return &feed{
		receiver: receiver.New(), own: own, done: make(chan struct{}),
		known: map[string]bool{}, tally: tally{ByAgent: map[string]int{}},
	}
}

func (f *feed) url(agent string) string { return "http://" + f.address + "/" + agent }

func (f *feed) close() error {
	err := f.server.Close()
	<-f.done
	return err
}

func (f *feed) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	body, err := io.ReadAll(req.Body)
	if err != nil {
		// What is cut off is for the receiver to judge.
		body, req.Body = nil, io.NopCloser(io.MultiReader(bytes.NewReader(body), failing{err}))
	} else {
		req.Body = io.NopCloser(bytes.NewReader(body))
	}
	f.receiver.ServeHTTP(w, req)
	var records []record.Record
	if json.Unmarshal(body, &records) == nil {
		f.take(time.Now(), records)
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, errors.Join(io.ErrUnexpectedEOF, f.err) }

func (f *feed) take(now time.Time, records []record.Record) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, r := range records {
		who := pod(r.Leader.Identity)
		f.tally.ByAgent[who]++
		f.tally.Epoch = max(f.tally.Epoch, r.Leader.Epoch)
		f.tally.beat(now.Sub(f.receiver.Start()), who)
		f.tally.Recent = append(f.tally.Recent, delivery{now, who, r})
		f.count(r)
	}
	f.tally.Recent = f.tally.Recent[max(0, len(f.tally.Recent)-keptRecent):]
}

func (f *feed) count(r record.Record) {
	switch {
	case r.Namespace != f.own:
	case f.known[r.ID]:
		f.tally.Repeated++
	default:
		f.known[r.ID] = true
		f.tally.Events++
	}
}

func (t *tally) beat(since time.Duration, agent string) {
	n := int(since / beatLength)
	for len(t.Beats) <= n {
		t.Beats = append(t.Beats, beat{})
	}
	t.Beats[n].N++
	t.Beats[n].Agent = agent
}

// now is a copy of what has arrived, with a beat for each stretch of time that is over.
func (f *feed) now() tally {
	f.mu.Lock()
	defer f.mu.Unlock()
	t := f.tally
	t.ByAgent, t.Recent = maps.Clone(t.ByAgent), slices.Clone(t.Recent)
	over := int(time.Since(f.receiver.Start()) / beatLength)
	t.Beats = append(slices.Clone(t.Beats), make([]beat, max(0, over-len(t.Beats)))...)[:over]
	return t
}

// pod is the pod's name in an identity.
func pod(identity string) string {
	name, _, _ := strings.Cut(identity, "_")
	return name
}
