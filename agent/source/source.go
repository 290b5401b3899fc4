// Package source reads the events of a stream, every version in the watch history and beyond it what is retained,
// and says with each piece where a consumer is once it has acknowledged it.
//
// The API server is read as the log it is: a watch from a position wherever that is possible, and a paged list where
// the position is older than what the log still has. Nothing is cached.
package source

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strconv"
	"time"

	"github.com/eventbaton/baton/agent/cursor"
)

const (
	// firstPageLimit is the limit of a first page, before it is known how large the events are.
	firstPageLimit = 50
	// defaultPageLimit is what etcd and the API server read for one page without effort.
	defaultPageLimit = 500
	// defaultPageBytes holds the largest event there can be with etcd's default limit of 1.5 MiB a request.
	defaultPageBytes = 2 << 20
	// loneEventBytes is how large a page with one event may be, because there is no smaller page to ask for.
	loneEventBytes = 32 << 20
	// defaultCheckInterval bounds how long a log that went back can go unnoticed: an open watch says nothing of it.
	defaultCheckInterval = 30 * time.Second
	// callTimeout is for the answer to a list and for the head of the answer to a watch.
	callTimeout = 30 * time.Second
	// shortWatch is a watch that ended so soon that opening the next one at once would be a busy loop.
	shortWatch = 5 * time.Second

	firstBackoff = 100 * time.Millisecond
	lastBackoff  = 5 * time.Second
)

// Options are what a Source needs. Zero values are replaced by defaults but for Events.
type Options struct {
	Events    Events
	Namespace string // "" for all
	Observer  Observer
	Log       *slog.Logger

	PageLimit     int64         // events a page at most
	PageBytes     int64         // encoded bytes a page at most; pages are aimed at half of it
	CheckInterval time.Duration // between two looks at whether the log went back
}

// StreamName is a stream as people read it.
func StreamName(namespace string) string {
	if namespace == "" {
		return "all namespaces"
	}
	return "namespace " + namespace
}

// Source reads one stream of events. It holds no state: each Read is a reader of its own.
type Source struct{ Options }

// New makes a Source.
func New(o Options) *Source {
	if o.Observer == nil {
		o.Observer = deaf{}
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.PageLimit <= 0 {
		o.PageLimit = defaultPageLimit
	}
	if o.PageBytes <= 0 {
		o.PageBytes = defaultPageBytes
	}
	if o.CheckInterval <= 0 {
		o.CheckInterval = defaultCheckInterval
	}
	o.Log = o.Log.With("namespace", o.Namespace)
	return &Source{o}
}

// Read hands c everything after from, for ever. It returns when ctx ends, with ctx's error, when c ends it, with c's
// error, and when the API server can't be understood. Everything else that goes wrong is reported and tried again.
func (s *Source) Read(ctx context.Context, from cursor.Position, c Consumer) error {
	r := &reader{Options: s.Options, consumer: c, limit: min(firstPageLimit, s.PageLimit)}
	r.adopt(from)
	for {
		err := r.step(ctx)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err := r.after(ctx, err); err != nil {
			return err
		}
	}
}

var (
	// errGap: the log no longer reaches back to the position.
	errGap = errors.New("the position is older than the log")
	// errRelist: the place in the list is lost.
	errRelist = errors.New("the list can't be continued")
	// errSoon: nothing is wrong that had to be reported, but it must not become a busy loop.
	errSoon = errors.New("to be tried again soon")
)

// wentBack says that the log is at a version below one that was read from it.
type wentBack struct{ position, now uint64 }

func (e *wentBack) Error() string {
	return fmt.Sprintf("the log went back: it is at %d, and %d was read from it", e.now, e.position)
}

// ending wraps what ends Read.
type ending struct{ error }

// after deals with how a step ended. It returns an error where Read ends with it.
func (r *reader) after(ctx context.Context, err error) error {
	var end ending
	var back *wentBack
	switch {
	case err == nil:
		return nil
	case errors.As(err, &end):
		return end.error
	case errors.Is(err, ErrFull):
		return r.consumer.Wait(ctx)
	case errors.Is(err, errGap):
		r.Log.Info("the events since the position are no longer all in the log; listing what is retained", "position", r.position.RV)
		r.gap = true
		if r.strikes++; r.strikes <= 2 {
			return nil // a list that took long is followed by another one: nothing unusual
		}
	case errors.As(err, &back):
		return r.startOver(ctx, back)
	case errors.Is(err, errRelist):
		r.strikes++
		r.relist()
	case !errors.Is(err, errSoon):
		r.disconnected(err)
	}
	return r.pause(ctx, err)
}

// startOver delivers everything retained, since the log is not the one the position is of.
func (r *reader) startOver(ctx context.Context, back *wentBack) error {
	r.Log.Error("the log of events went back: etcd was restored or wiped, or this is another cluster; delivering everything retained",
		"position", back.position, "now", back.now)
	r.Observer.WentBack(r.Namespace, back.position, back.now)
	r.gap, r.current = false, time.Time{}
	r.move(cursor.Position{})
	err := r.consumer.Take(ctx, Batch{Reset: true})
	if errors.Is(err, ErrFull) {
		return r.consumer.Wait(ctx)
	}
	return err
}

// disconnected reports that reading fails, once a cause.
func (r *reader) disconnected(err error) {
	if text := err.Error(); text != r.trouble {
		r.Log.Warn("reading events failed; trying again", "error", err)
		r.trouble = text
	}
	r.Observer.Connected(r.Namespace, err)
}

func (r *reader) connected() {
	if r.trouble != "" {
		r.Log.Info("reading events works again")
		r.trouble = ""
	}
	r.failures = 0
	r.Observer.Connected(r.Namespace, nil)
}

// pause waits longer after each failure, and never less than the server asked for.
func (r *reader) pause(ctx context.Context, err error) error {
	most := min(lastBackoff, firstBackoff<<min(max(r.failures, r.strikes), 10))
	r.failures++
	wait := most/2 + rand.N(most/2+1)
	timer := time.NewTimer(max(wait, askedDelay(err)))
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// parseRV reads a resourceVersion. That it is a number that grows is what everything here rests on.
func parseRV(s string) (uint64, error) {
	rv, err := strconv.ParseUint(s, 10, 64)
	if err != nil || rv == 0 {
		return 0, ending{fmt.Errorf("the API server's resourceVersion %q is not a number above zero; "+
			"reading events needs a Kubernetes whose resourceVersions can be compared", s)}
	}
	return rv, nil
}

// deaf is the Observer of who has none.
type deaf struct{}

func (deaf) Connected(string, error)                {}
func (deaf) Gap(string, cursor.Position, time.Time) {}
func (deaf) WentBack(string, uint64, uint64)        {}
