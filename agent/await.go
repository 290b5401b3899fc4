package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// lookEvery is the pace of the commands that wait for something in the API server: they run once, for seconds.
const lookEvery = 500 * time.Millisecond

// await looks until nothing is missing, or until ctx ends: then it tells what was missing last. What can't be looked at is
// looked at again, unless a right is missing.
func await(ctx context.Context, look func(context.Context) (missing string, err error)) error {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	last := errors.New("the API server has not answered")
	for {
		missing, err := look(ctx)
		switch {
		case ctx.Err() != nil:
			return ended(ctx, last)
		case apierrors.IsForbidden(err), apierrors.IsUnauthorized(err):
			return err
		case err != nil:
			last = err
		case missing == "":
			return nil
		default:
			last = errors.New(missing)
		}
		select {
		case <-ctx.Done():
			return ended(ctx, last)
		case <-tick.C:
		}
	}
}

// ended is why the wait for what is missing has an end.
func ended(ctx context.Context, last error) error {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return fmt.Errorf("no success in the time given (--timeout): %w", last)
	}
	return fmt.Errorf("told to end: %w", last)
}
