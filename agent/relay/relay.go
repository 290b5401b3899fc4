// Package relay takes events from readers to sinks: the only owner of queues, order, retries and acknowledgement.
//
// A lane is one sink in one stream. It has a bounded queue, a worker that sends, and two positions: where it has read
// to, and where everything is acknowledged. Lanes that are at the same place share a reader; one that can't keep up
// gets a reader of its own, and comes back when it has caught up, so that sinks don't hurt each other.
package relay

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"

	corev1 "k8s.io/api/core/v1"

	"github.com/eventbaton/baton/agent/cursor"
	"github.com/eventbaton/baton/agent/record"
	"github.com/eventbaton/baton/agent/source"
)

// ErrLost is what Run returns when it may no longer lead.
var ErrLost = errors.New("no longer the leader")

// Reader reads one stream from a position on. *source.Source is one.
type Reader interface {
	Read(ctx context.Context, from cursor.Position, c source.Consumer) error
}

// Options are what a Relay needs.
type Options struct {
	Sinks   []*Sink
	Streams []string                           // namespaces, [""] for all in one
	Open    func(namespace string) Reader      // called for every reader, from its goroutine
	Convert func(*corev1.Event) *record.Record // nil for an event that no sink gets; called from several goroutines
	// Enrich adds to the records of a batch what is known besides, before their sizes are taken and the filters asked. It
	// is called from several goroutines, must not take long, and what it adds is not changed afterwards. nil: nothing.
	Enrich func(ctx context.Context, records []*record.Record)
	// Positions are where the lanes start, by cursor.Key. One that is missing starts before everything retained.
	Positions map[string]cursor.Position
	// MayLead is asked before every hand-over to a sink. nil: always.
	MayLead func() bool
	Log     *slog.Logger
}

// Relay relays events for one term of leadership.
type Relay struct {
	Options
	streams []*stream
	lanes   []*lane
	dirty   chan struct{}
}

// New makes a Relay. Positions may be asked for at once.
func New(o Options) *Relay {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.MayLead == nil {
		o.MayLead = func() bool { return true }
	}
	r := &Relay{Options: o, dirty: make(chan struct{}, 1)}
	for _, namespace := range o.Streams {
		s := &stream{relay: r, namespace: namespace}
		for _, sink := range o.Sinks {
			key := cursor.Key(sink.Name(), namespace)
			s.lanes = append(s.lanes, newLane(key, namespace, sink, o.Positions[key], r.touch))
		}
		r.streams = append(r.streams, s)
		r.lanes = append(r.lanes, s.lanes...)
	}
	return r
}

// Dirty has a value when Positions has changed: something was acknowledged, or something began to wait because its
// sink fails.
func (r *Relay) Dirty() <-chan struct{} { return r.dirty }

func (r *Relay) touch() {
	select {
	case r.dirty <- struct{}{}:
	default:
	}
}

// Positions says how far each lane's sink has acknowledged, by cursor.Key. They never go back but where the log did: ask
// Resets first.
func (r *Relay) Positions() map[string]cursor.Position {
	positions := make(map[string]cursor.Position, len(r.lanes))
	for _, l := range r.lanes {
		positions[l.key] = l.position()
	}
	return positions
}

// Resets are the positions that went back with the log since Resets was last called, by cursor.Key.
func (r *Relay) Resets() map[string]cursor.Position {
	resets := map[string]cursor.Position{}
	for _, l := range r.lanes {
		if p, ok := l.takeReset(); ok {
			resets[l.key] = p
		}
	}
	return resets
}

// Listing says that a lane's position is in the middle of a list. A crash there repeats what was acknowledged since
// the positions were written, which may be much: they should be written more often.
func (r *Relay) Listing() bool {
	for _, l := range r.lanes {
		if l.listing() {
			return true
		}
	}
	return false
}

// Run relays until drain is closed. Then it finishes the batches that are in flight, sends once what is held back from
// what is acknowledged, and returns nil. When ctx ends everything stops at once, and Run returns ctx's error. It returns
// ErrLost when MayLead says no, and a reader's error when the API server can't be understood. In every case what it
// started has ended by then, and the positions are final.
func (r *Relay) Run(ctx context.Context, drain <-chan struct{}) error {
	working, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	reading, stopReading := context.WithCancel(working)
	defer stopReading()
	t := &tasks{fail: fail, reading: reading, drain: drain}
	defer r.attach()()
	for _, l := range r.lanes {
		w := &worker{lane: l, mayLead: r.MayLead, drain: drain}
		t.start(func() error { return w.run(working) })
	}
	for _, s := range r.streams {
		s.begin(t) //nolint:contextcheck // the readers' context is the task's
	}
	t.start(func() error {
		select {
		case <-drain:
			stopReading()
		case <-working.Done():
		}
		return nil
	})
	t.wait()
	if err := context.Cause(working); err != nil {
		return err
	}
	return nil
}

// attach lets the sinks tell of their lanes until the returned function is called.
func (r *Relay) attach() func() {
	for _, l := range r.lanes {
		l.sink.attach(l)
	}
	return func() {
		for _, l := range r.lanes {
			l.sink.detach(l)
		}
	}
}

// tasks are the goroutines of one Run.
type tasks struct {
	group   sync.WaitGroup
	fail    context.CancelCauseFunc
	reading context.Context // ends when no more is to be read
	drain   <-chan struct{}
}

// start runs f in a goroutine. An error of it ends Run. It is called before Run waits, or by one of the tasks.
func (t *tasks) start(f func() error) {
	t.group.Go(func() {
		if err := f(); err != nil {
			t.fail(err)
		}
	})
}

func (t *tasks) wait() { t.group.Wait() }

// read runs one reader until it ends. Only an error that is not the end of reading itself counts.
func (t *tasks) read(ctx context.Context, r *reader, from cursor.Position, wait bool) error {
	err := r.read(ctx, from, wait)
	if ended := ctx.Err() != nil || errors.Is(err, errOver); ended || err == nil {
		return nil // as was wanted
	}
	return fmt.Errorf("reading the events of %s: %w", source.StreamName(r.stream.namespace), err)
}
