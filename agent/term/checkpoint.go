package term

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/eventbaton/baton/agent/cursor"
	"github.com/eventbaton/baton/agent/relay"
)

const (
	// pageInterval is how often the cursors are written at most while a list is read: a crash in the middle of a
	// backlog is to repeat a few pages, not two seconds of them.
	pageInterval = 200 * time.Millisecond
	// saveTimeout bounds one write of the cursors.
	saveTimeout = 10 * time.Second
	// lastSaveTimeout bounds the last one, for which a successor waits.
	lastSaveTimeout = 2 * time.Second
	// longestRetry is between two tries to write cursors that are refused, by the API server or its rights.
	longestRetry = 15 * time.Second
)

// checkpoint writes the cursors when something was acknowledged: at once if the last write is older than the interval,
// else when it is. It returns nil when ctx ends, and an error only where another has claimed: a leader that may not
// write, or can't, delivers on and tries again.
func (r *Runner) checkpoint(ctx context.Context, register *cursor.Register, relayed *relay.Relay) error {
	last, failures := time.Time{}, 0
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-relayed.Dirty():
		}
		if !sleep(ctx, time.Until(last.Add(r.interval(relayed)))) {
			return nil
		}
		for {
			last = time.Now()
			err := r.save(ctx, saveTimeout, register, relayed)
			if errors.Is(err, cursor.ErrFenced) {
				return err
			}
			if err == nil {
				failures = 0
				break
			}
			failures++
			if !sleep(ctx, min(longestRetry, r.CheckpointInterval<<min(failures, 8))) {
				return nil
			}
		}
	}
}

// interval is the time between two writes, which is shorter while a list is read.
func (r *Runner) interval(relayed *relay.Relay) time.Duration {
	if relayed.Listing() {
		return min(pageInterval, r.CheckpointInterval)
	}
	return r.CheckpointInterval
}

// save writes the positions as they are now, and notes how that went.
func (r *Runner) save(ctx context.Context, timeout time.Duration, register *cursor.Register, relayed *relay.Relay) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	var err error
	for key, position := range relayed.Resets() {
		err = errors.Join(err, register.Reset(key, position))
	}
	err = errors.Join(err, register.Save(ctx, relayed.Positions()))
	r.update(func(s *Status) {
		before := s.Problem
		s.Problem = ""
		if err != nil {
			s.Problem = fmt.Sprintf("writing the cursors: %v", err)
		} else {
			s.Checkpoint = time.Now()
		}
		if s.Problem != before {
			r.logProblem(s.Problem)
		}
		s.Epoch = register.Epoch()
	})
	return err
}

func (r *Runner) logProblem(problem string) {
	if problem == "" {
		r.Log.Info("the cursors are written again")
		return
	}
	r.Log.Warn("the cursors can't be written; a new leader would repeat what is sent until they are", "error", problem)
}

// sleep returns false where ctx ended first.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
