package source

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/eventbaton/baton/agent/cursor"
)

// reader is one Read under way.
type reader struct {
	Options
	consumer Consumer

	position cursor.Position // of the last batch that was taken
	reached  atomic.Uint64   // position's RV, for the check that runs beside a watch
	gap      bool            // the position is too old to watch from
	current  time.Time       // when everything was known to have been read, zero where it never was

	limit    int64     // of the next page
	oldest   time.Time // the oldest event of the list that is being read
	failures int       // in a row
	strikes  int       // lists in a row that were not followed by a watch that lasted
	trouble  string    // the last error that was logged, "" while reading works
}

// adopt starts at a position that a cursor holds. A place in the list of another stream would be accepted by the API
// server, which would then skip events: it is dropped.
func (r *reader) adopt(from cursor.Position) {
	if l := from.Listing; l != nil && (l.Stream != r.Namespace || l.Continue == "") {
		from.Listing = nil
	}
	r.move(cursor.Position{RV: from.RV, Listing: from.Listing})
}

func (r *reader) move(p cursor.Position) {
	r.position = p
	r.reached.Store(p.RV)
}

// step does what the position asks for: one list to its end, or one watch until it ends.
func (r *reader) step(ctx context.Context) error {
	if r.gap || r.position.Listing != nil || r.position.Fresh() {
		return r.list(ctx)
	}
	return r.watch(ctx)
}

// relist forgets the place in a list. What the list stands for is too old to watch from.
func (r *reader) relist() {
	r.Log.Info("the place in the list of events is lost; listing again", "position", r.position.RV)
	r.gap = r.position.RV > 0
	r.move(cursor.Position{RV: r.position.RV})
}

// take hands a batch over. ErrFull comes back as it is, any other error as what ends Read.
func (r *reader) take(ctx context.Context, b Batch) error {
	b.Position = r.position
	err := r.consumer.Take(ctx, b)
	if err == nil || errors.Is(err, ErrFull) {
		return err
	}
	return ending{err}
}

// check asks how far the log is, and returns *wentBack where that is before floor, which was read from it. What it is
// told moves no cursor: it says nothing of what was delivered.
func (r *reader) check(ctx context.Context, floor uint64) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	list, err := r.Events.List(ctx, r.Namespace, metav1.ListOptions{Limit: 1}, loneEventBytes)
	if err != nil {
		return fmt.Errorf("asking how far the log of events is: %w", err)
	}
	now, err := parseRV(list.ResourceVersion)
	if err != nil {
		return err
	}
	if now < floor {
		return &wentBack{position: floor, now: now}
	}
	return nil
}

// isGone says that the log no longer has what was asked for.
func isGone(err error) bool { return apierrors.IsResourceExpired(err) || apierrors.IsGone(err) }

// freshToken is the token that an answer to an expired one carries: it goes on after the same key.
func freshToken(err error) string {
	var status apierrors.APIStatus
	if isGone(err) && errors.As(err, &status) {
		return status.Status().Continue
	}
	return ""
}

// askedDelay is how long the API server asked to be left alone.
func askedDelay(err error) time.Duration {
	for ; err != nil; err = errors.Unwrap(err) {
		if seconds, ok := apierrors.SuggestsClientDelay(err); ok {
			return min(time.Duration(seconds)*time.Second, time.Minute)
		}
	}
	return 0
}

// lastSeen is the time of an event's latest version. It can't lie before the creation, which the server stamped.
func lastSeen(e *corev1.Event) time.Time {
	t := e.CreationTimestamp.Time
	var series time.Time
	if e.Series != nil {
		series = e.Series.LastObservedTime.Time
	}
	for _, other := range [...]time.Time{e.LastTimestamp.Time, e.EventTime.Time, e.FirstTimestamp.Time, series} {
		if other.After(t) {
			t = other
		}
	}
	return t
}
