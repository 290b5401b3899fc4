package relay

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/eventbaton/baton/agent/record"
	"github.com/eventbaton/baton/agent/sink"
)

const (
	firstRetry = 250 * time.Millisecond
	lastRetry  = 10 * time.Second
	// longestAsked bounds what a receiver may ask for: one that says a year by mistake is asked again.
	longestAsked = time.Hour
)

// errDrained ends a worker in order.
var errDrained = errors.New("drained")

// worker sends what is in a lane, one batch at a time: what comes while one is in flight makes the next one.
type worker struct {
	lane    *lane
	mayLead func() bool
	drain   <-chan struct{}
}

// run sends until drain is closed or ctx ends.
func (w *worker) run(ctx context.Context) error {
	for {
		batch, err := w.next(ctx)
		switch {
		case err == nil:
			err = w.deliver(ctx, batch)
		case errors.Is(err, errDrained):
			return inOrder(w.flush(ctx))
		}
		if err != nil {
			return inOrder(err)
		}
	}
}

func inOrder(err error) error {
	if errors.Is(err, errDrained) {
		return nil
	}
	return err
}

// flush hands over what is held and keeps the position behind what is acknowledged, so that the next leader repeats
// nothing. The drain is under way: each batch is tried once, and no more after one that failed.
func (w *worker) flush(ctx context.Context) error {
	for n := w.lane.releaseFirst(); n > 0; {
		batch := w.lane.takeFirst(n, w.lane.sink.limits())
		if err := w.deliver(ctx, batch); err != nil {
			return err
		}
		n -= len(batch)
	}
	return nil
}

// next waits for something to send.
func (w *worker) next(ctx context.Context) ([]*record.Record, error) {
	for {
		if err := w.stopped(ctx); err != nil {
			return nil, err
		}
		batch, wait := w.lane.take(w.lane.sink.limits())
		if len(batch) > 0 {
			return batch, nil
		}
		w.await(ctx, wait)
	}
}

// await returns when something arrived, the time to wait is over, or the worker has to stop. Without a time it waits
// for what comes first of the others.
func (w *worker) await(ctx context.Context, wait time.Duration) {
	var over <-chan time.Time
	if wait > 0 {
		timer := time.NewTimer(wait)
		defer timer.Stop()
		over = timer.C
	}
	select {
	case <-ctx.Done():
	case <-w.drain:
	case <-w.lane.arrived:
	case <-over:
	}
}

func (w *worker) stopped(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-w.drain:
		return errDrained
	default:
		return nil
	}
}

// deliver sends the batch until it is acknowledged or refused. Of a batch that is refused each half is tried.
func (w *worker) deliver(ctx context.Context, batch []*record.Record) error {
	for attempt := 0; ; attempt++ {
		if !w.mayLead() {
			return ErrLost
		}
		err := w.lane.sink.send(ctx, w.lane, batch)
		var refused *sink.Refused
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.As(err, &refused) && len(batch) == 1:
			w.lane.sink.refuse(w.lane, batch[0], refused)
			return nil
		case errors.As(err, &refused):
			return w.halve(ctx, batch)
		}
		w.lane.sink.failed(w.lane, err)
		if err := w.pause(ctx, delay(attempt, err)); err != nil {
			return err
		}
	}
}

func (w *worker) halve(ctx context.Context, batch []*record.Record) error {
	half := len(batch) / 2
	if err := w.deliver(ctx, batch[:half]); err != nil {
		return err
	}
	return w.deliver(ctx, batch[half:])
}

// delay is the time until the next try: longer after each, and never less than the receiver asked for.
func delay(attempt int, err error) time.Duration {
	d := min(lastRetry, firstRetry<<min(attempt, 10))
	d = d*3/4 + rand.N(d/2)
	if asked, ok := errors.AsType[*sink.RetryAfter](err); ok {
		d = max(d, min(asked.After, longestAsked))
	}
	return d
}

func (w *worker) pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-w.drain:
		return errDrained
	case <-timer.C:
		return nil
	}
}
