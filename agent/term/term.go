// Package term is one term of leadership: it claims the cursors, reads the events from where they stand, relays them
// to the sinks, and writes the cursors as the sinks acknowledge.
//
// It is where the election, the cursors, the source and the relay meet; none of them knows another.
package term

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"

	"github.com/eventbaton/baton/agent/cursor"
	"github.com/eventbaton/baton/agent/record"
	"github.com/eventbaton/baton/agent/relay"
	"github.com/eventbaton/baton/agent/source"
)

// Options are what a term needs. All but Announce and Enricher are required.
type Options struct {
	// Cursors is the API of the ConfigMaps in Namespace, Name the name of the one that holds the cursors.
	Cursors         cursor.Store
	Namespace, Name string
	Identity        string
	// ClusterID asks for the id of the cluster, which the records' ids begin with.
	ClusterID   func(context.Context) (string, error)
	ClusterName string
	Tags        []string

	Events  source.Events
	Streams []string                    // the namespaces to read, [""] for all in one
	Wants   func(namespace string) bool // of what is read there, what is delivered
	Sinks   []*relay.Sink
	// Enricher makes what enriches the records of a term. nil: nothing does.
	Enricher func() Enricher

	StartNow           bool          // the very first start is at what happens from then on
	CheckpointInterval time.Duration // at most one write of the cursors in it
	DrainTimeout       time.Duration // for what is in flight when the term is to end in order

	// Announce tells the world of a new term. It runs beside the term and is given up with it.
	Announce func(ctx context.Context, epoch int64)
	Observer source.Observer
	Log      *slog.Logger
}

// Enricher adds to records what is known besides, as relay.Options has it, until it is closed.
type Enricher interface {
	Enrich(ctx context.Context, records []*record.Record)
	Close()
}

// Leadership is what a term has of the election.
type Leadership interface {
	cursor.Leadership
	// Drain is closed when the term is to end in order.
	Drain() <-chan struct{}
}

// Runner leads terms, one at a time, and tells of them from any goroutine.
type Runner struct {
	Options

	mu    sync.Mutex
	state Status
}

// Status is what there is to tell of a term.
type Status struct {
	// Leading says that the cursors are claimed and the events are being read.
	Leading bool   `json:"leading"`
	Epoch   int64  `json:"epoch,omitempty"`
	Cluster string `json:"cluster,omitempty"`
	// Problem is what keeps the term from its work, empty while nothing does.
	Problem string `json:"problem,omitempty"`
	// Notes are what the cursors' object had that could not be used.
	Notes []string `json:"notes,omitempty"`
	// Checkpoint is when the cursors were last written.
	Checkpoint time.Time `json:"checkpoint,omitzero"`
}

// New makes a Runner.
func New(o Options) *Runner { return &Runner{Options: o} }

// Status tells of the term.
func (r *Runner) Status() Status {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.state
}

func (r *Runner) update(change func(*Status)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	change(&r.state)
}

// Lead leads one term. It returns nil when the term was drained, and otherwise why it could not go on, after
// everything it started has ended.
//
// A leader that loses the claim while it still holds the lock claims again: two that fight for the claim are told
// apart by the lock.
func (r *Runner) Lead(ctx context.Context, l Leadership) error {
	for {
		err := r.lead(ctx, l)
		if !errors.Is(err, cursor.ErrFenced) {
			return err
		}
		if holds, unknown := l.Holds(ctx); unknown != nil || !holds {
			return errors.Join(err, unknown)
		}
		r.Log.Warn("another agent claimed the cursors while this one holds the lock; claiming them again", "error", err)
		if !sleep(ctx, rand.N(time.Second)) {
			return ctx.Err()
		}
	}
}

// lead claims the cursors once, and gathers as long as the claim lasts.
func (r *Runner) lead(ctx context.Context, l Leadership) error {
	defer r.update(func(s *Status) { *s = Status{Cluster: s.Cluster} })
	cluster, err := r.clusterID(ctx)
	if err != nil {
		return err
	}
	register, err := cursor.Claim(ctx, cursor.Options{
		Store: r.Cursors, Namespace: r.Namespace, Name: r.Name,
		Owner: r.Identity, Cluster: cluster, Leadership: l, Log: r.Log,
	})
	if err != nil {
		return err
	}
	return r.gather(ctx, l, register, cluster)
}

func (r *Runner) clusterID(ctx context.Context) (string, error) {
	if known := r.Status().Cluster; known != "" {
		return known, nil
	}
	id, err := r.ClusterID(ctx)
	if err != nil {
		return "", err
	}
	r.update(func(s *Status) { s.Cluster = id })
	return id, nil
}

// gather relays the events from the register's positions on, until the term ends.
func (r *Runner) gather(ctx context.Context, l Leadership, register *cursor.Register, cluster string) error {
	origin := record.Origin{
		Cluster: cluster, ClusterName: r.ClusterName, Tags: r.Tags,
		Leader: record.Leader{Identity: r.Identity, Epoch: register.Epoch()},
	}
	positions, err := r.start(ctx, register)
	if err != nil {
		return err
	}
	enrich, ended := r.enricher()
	defer ended()
	relayed := relay.New(relay.Options{
		Sinks: r.Sinks, Streams: r.Streams, Positions: positions, MayLead: l.Valid, Enrich: enrich, Log: r.Log,
		Open: func(namespace string) relay.Reader {
			return source.New(source.Options{Events: r.Events, Namespace: namespace, Observer: r.Observer, Log: r.Log})
		},
		Convert: func(e *corev1.Event) *record.Record {
			if !r.Wants(e.Namespace) {
				return nil
			}
			return record.From(e, origin)
		},
	})
	r.update(func(s *Status) { s.Leading, s.Epoch, s.Notes = true, register.Epoch(), register.Problems() })
	return r.work(ctx, l, register, relayed)
}

// enricher is what enriches the records of this term, until the returned function is called: a follower keeps no cache.
func (r *Runner) enricher() (enrich func(context.Context, []*record.Record), ended func()) {
	if r.Enricher == nil {
		return nil, func() {}
	}
	e := r.Enricher()
	return e.Enrich, e.Close
}

// work runs the relay and writes the cursors beside it. Only when the relay has stopped are they written for the
// last time, and not at all by a leader that may no longer lead.
func (r *Runner) work(ctx context.Context, l Leadership, register *cursor.Register, relayed *relay.Relay) error {
	group, working := errgroup.WithContext(ctx)
	besides, stop := context.WithCancel(working)
	group.Go(func() error {
		defer stop()
		return r.relay(working, l.Drain(), relayed)
	})
	group.Go(func() error { return r.checkpoint(besides, register, relayed) })
	if r.Announce != nil {
		group.Go(func() error { r.Announce(besides, register.Epoch()); return nil })
	}
	err := group.Wait()
	if errors.Is(err, cursor.ErrFenced) || !l.Valid() || ctx.Err() != nil {
		return err
	}
	return errors.Join(err, r.save(ctx, lastSaveTimeout, register, relayed))
}

// relay runs the relay until ctx ends or drain is closed. What is in flight then has until DrainTimeout.
func (r *Runner) relay(ctx context.Context, drain <-chan struct{}, relayed *relay.Relay) error {
	running, giveUp := context.WithCancelCause(ctx)
	defer giveUp(nil)
	finished := make(chan struct{})
	var limit sync.WaitGroup
	defer limit.Wait()
	defer close(finished)
	limit.Go(func() {
		select {
		case <-finished:
			return
		case <-drain:
		}
		select {
		case <-finished:
		case <-time.After(r.DrainTimeout):
			giveUp(errDrainTimeout)
		}
	})
	err := relayed.Run(running, drain)
	if errors.Is(context.Cause(running), errDrainTimeout) {
		r.Log.Warn("a sink did not answer while the term was drained; a successor sends again what was in flight",
			"timeout", r.DrainTimeout.String())
		return nil
	}
	return err
}

var errDrainTimeout = errors.New("the time to drain has passed")
