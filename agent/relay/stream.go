package relay

import (
	"context"
	"errors"
	"slices"
	"sync"

	"github.com/eventbaton/baton/agent/cursor"
	"github.com/eventbaton/baton/agent/source"
)

// errOver ends a reader whose lanes another one serves now.
var errOver = errors.New("the reader's lanes have another one")

// stream is the events of one namespace, or of all, with the lanes that want them.
type stream struct {
	relay     *Relay
	namespace string
	lanes     []*lane
	tasks     *tasks

	// mu is the dispatch lock: what a reader has read goes into its lanes, and lanes change their reader, under it.
	// It is taken before a lane's lock.
	mu      sync.Mutex
	readers []*reader
}

// reader is one reader of a stream at work, and the consumer of what it reads. Its fields are guarded by stream.mu.
type reader struct {
	stream  *stream
	lanes   []*lane         // at least one
	at      cursor.Position // of the last batch; no lane's next position lies before it
	waiting bool            // for room in its only lane
	over    bool            // its lanes have another one
	cancel  context.CancelFunc
}

// begin starts the readers: one for all lanes that are at the same place.
func (s *stream) begin(t *tasks) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tasks = t
	rest := slices.Clone(s.lanes)
	for len(rest) > 0 {
		var same, others []*lane
		for _, l := range rest {
			if l.next.SamePlace(rest[0].next) {
				same = append(same, l)
			} else {
				others = append(others, l)
			}
		}
		s.start(false, same...)
		rest = others
	}
}

// start starts a reader for lanes that are all at the same place, after there is room in the only one where wait is
// set.
func (s *stream) start(wait bool, lanes ...*lane) {
	ctx, cancel := context.WithCancel(s.tasks.reading)
	r := &reader{stream: s, lanes: lanes, at: lanes[0].next, waiting: wait, cancel: cancel}
	s.readers = append(s.readers, r)
	from := r.at
	s.tasks.start(func() error {
		defer cancel()
		return s.tasks.read(ctx, r, from, wait)
	})
}

func (r *reader) read(ctx context.Context, from cursor.Position, wait bool) error {
	if wait {
		if err := r.Wait(ctx); err != nil {
			return err
		}
	}
	return r.stream.relay.Open(r.stream.namespace).Read(ctx, from, r)
}

// Take implements source.Consumer.
func (r *reader) Take(ctx context.Context, b source.Batch) error {
	d := r.stream.relay.convert(ctx, b)
	s := r.stream
	s.mu.Lock()
	defer s.mu.Unlock()
	if r.over {
		return errOver
	}
	if b.Reset {
		s.gatherAll(r)
	}
	before := r.at.RV
	r.at = b.Position
	if r.dispatch(d) { //nolint:contextcheck // a lane's new reader outlives this one
		r.waiting = true
		return source.ErrFull
	}
	if s.join(r, before) {
		return errOver
	}
	return nil
}

// dispatch puts the batch into all lanes. A lane that is full afterwards gets a reader of its own, unless it is the
// only one left: then dispatch says so.
func (r *reader) dispatch(d *delivery) (full bool) {
	left := len(r.lanes)
	r.lanes = slices.DeleteFunc(slices.Clone(r.lanes), func(l *lane) bool {
		if !l.put(d) {
			return false
		}
		if left == 1 {
			full = true
			return false
		}
		left--
		r.stream.start(true, l)
		return true
	})
	return full
}

// gatherAll gives r the lanes of all readers, where the log went back: for every one of them it starts anew.
func (s *stream) gatherAll(r *reader) {
	for _, other := range s.readers {
		if other != r {
			r.lanes = append(r.lanes, other.lanes...)
			other.over = true
			other.cancel()
		}
	}
	s.readers = []*reader{r}
}

// join gives r's lanes to the reader that is furthest of all others, where r, which was behind it or beside it before
// the last batch, has now read at least as far: what that one reads next is all they lack, and what they have already
// they drop. A reader that was ahead stays: it would only have to wait.
func (s *stream) join(r *reader, before uint64) bool {
	front := s.front(r)
	if front == nil || !watching(r) || before > front.at.RV || r.at.RV < front.at.RV {
		return false
	}
	front.lanes = append(front.lanes, r.lanes...)
	r.over = true
	s.readers = slices.DeleteFunc(s.readers, func(other *reader) bool { return other == r })
	return true
}

// front is the reader other than r that has read furthest, nil where none is watching. One that waits for room would
// make others wait.
func (s *stream) front(r *reader) *reader {
	var front *reader
	for _, other := range s.readers {
		if other != r && watching(other) && (front == nil || other.at.RV > front.at.RV) {
			front = other
		}
	}
	return front
}

func watching(r *reader) bool { return !r.waiting && r.at.Listing == nil && !r.at.Fresh() }

// Wait implements source.Consumer. A reader waits only while it has one lane.
func (r *reader) Wait(ctx context.Context) error {
	r.stream.mu.Lock()
	l := r.lanes[0]
	r.stream.mu.Unlock()
	if err := l.waitForRoom(ctx); err != nil {
		return err
	}
	r.stream.mu.Lock()
	defer r.stream.mu.Unlock()
	r.waiting = false
	return nil
}
