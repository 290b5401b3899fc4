package source

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/eventbaton/baton/agent/cursor"
)

const (
	// A watch is asked to end after this and up to twice as long, so that the readers of a fleet of clusters and the
	// connections of an API server that was added spread.
	watchSeconds = 20 * 60
	// What is read at once goes into one batch, up to these bounds.
	batchItems = 500
	batchBytes = 1 << 20
	// failedChecks in a row mean that the API server can't be reached, whatever the open watch believes.
	failedChecks = 2
)

// watch watches from the position until the watch ends, and returns nil where it just ended.
func (r *reader) watch(ctx context.Context) error {
	if err := r.check(ctx, r.position.RV); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	w, err := r.open(ctx, cancel)
	if err != nil {
		return gapOr(fmt.Errorf("watching events: %w", err))
	}
	defer closeWatch(w)
	r.connected()
	checks := r.keepChecking(ctx)
	defer func() { cancel(); drain(checks) }()
	return r.follow(ctx, w.ResultChan(), checks)
}

// open opens a watch. A watch has no deadline, but the head of its answer has.
func (r *reader) open(ctx context.Context, cancel context.CancelFunc) (watch.Interface, error) {
	late := time.AfterFunc(callTimeout, cancel)
	defer late.Stop()
	seconds := watchSeconds + rand.Int64N(watchSeconds)
	return r.Events.Watch(ctx, r.Namespace, metav1.ListOptions{
		ResourceVersion:     strconv.FormatUint(r.position.RV, 10),
		TimeoutSeconds:      &seconds,
		AllowWatchBookmarks: true,
	})
}

func drain(c <-chan error) {
	for range c {
		continue // read to its end
	}
}

// closeWatch returns only when the watch's own goroutine has ended, which closes the channel.
func closeWatch(w watch.Interface) {
	w.Stop()
	for range w.ResultChan() {
		continue // thrown away: the position says what is still to come
	}
}

// follow delivers what the watch says until it ends.
func (r *reader) follow(ctx context.Context, changes <-chan watch.Event, checks <-chan error) (err error) {
	opened, seen := time.Now(), false
	defer func() { r.wasCurrent(opened, err) }()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case err := <-checks:
			return err
		case change, ok := <-changes:
			if !ok {
				if !seen && time.Since(opened) < shortWatch {
					return errSoon
				}
				r.strikes = 0
				return nil
			}
			seen = true
			if err := r.handle(ctx, change, changes); err != nil {
				return err
			}
		}
	}
}

// wasCurrent notes that a watch that has lasted had everything until now. What it missed if it was dead for a while is
// a matter of minutes, and retained for much longer.
func (r *reader) wasCurrent(opened time.Time, err error) {
	if time.Since(opened) >= shortWatch && !errors.Is(err, errGap) {
		r.current = time.Now()
	}
}

// handle delivers a change, and with it those that are there already.
func (r *reader) handle(ctx context.Context, change watch.Event, more <-chan watch.Event) error {
	b, err := r.gather(change, more)
	if b.Position.RV > r.position.RV {
		r.strikes = 0
		r.move(b.Position)
		if err := r.take(ctx, b); err != nil {
			return err
		}
	}
	return err
}

// gather puts changes into one batch as long as they come without waiting. The error is what followed them.
func (r *reader) gather(change watch.Event, more <-chan watch.Event) (Batch, error) {
	b := Batch{Ordered: true, Position: r.position}
	for count, size := 1, 0; ; count++ {
		n, err := add(&b, change)
		if err != nil {
			return b, err
		}
		if size += n; count >= batchItems || size >= batchBytes {
			return b, nil
		}
		select {
		case next, ok := <-more:
			if !ok {
				return b, nil // the next receive finds it closed as well
			}
			change = next
		default:
			return b, nil
		}
	}
}

// add puts a change into the batch and returns the size of what it keeps alive there. An event that expired or was
// deleted comes whole; it is progress and nothing else.
func add(b *Batch, change watch.Event) (int, error) {
	if change.Type == watch.Error {
		return 0, gapOr(fmt.Errorf("watching events: %w", apierrors.FromObject(change.Object)))
	}
	e, ok := change.Object.(*corev1.Event)
	if !ok {
		return 0, fmt.Errorf("watching events: the API server sent a %T", change.Object)
	}
	rv, err := parseRV(e.ResourceVersion)
	if err != nil || rv <= b.Position.RV {
		return 0, err // several deletions may share a version
	}
	b.Position = cursor.Position{RV: rv}
	if change.Type != watch.Added && change.Type != watch.Modified {
		return 0, nil
	}
	b.Items = append(b.Items, Item{Event: e, RV: rv, Time: lastSeen(e), Created: change.Type == watch.Added})
	return e.Size(), nil
}

// gapOr is errGap where the API server says that the log no longer has the position.
func gapOr(err error) error {
	if isGone(err) {
		return errors.Join(errGap, err)
	}
	return err
}

// keepChecking looks again and again whether the log went back while a watch is open: the watch itself would say
// nothing at all, for ever. The channel gives at most one error, and is closed once nothing runs any more; it has to
// be read until then.
func (r *reader) keepChecking(ctx context.Context) <-chan error {
	found := make(chan error, 1)
	go func() {
		defer close(found)
		if err := r.checkUntil(ctx); err != nil {
			found <- err
			<-ctx.Done() // a closed channel would speak again
		}
	}()
	return found
}

func (r *reader) checkUntil(ctx context.Context) error {
	ticker := time.NewTicker(r.CheckInterval)
	defer ticker.Stop()
	for failed := 0; ; {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
		err := r.check(ctx, r.reached.Load())
		if err == nil {
			failed = 0
			continue
		}
		var back *wentBack
		if failed++; errors.As(err, &back) || failed == failedChecks {
			return err
		}
	}
}
