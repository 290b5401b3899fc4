package term

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/eventbaton/baton/agent/cursor"
)

// solo is the leadership of an agent that gathers without an election: there is no lock to lose, and only the claim
// says whether it still is the only one.
type solo struct{ drain chan struct{} }

func (solo) Valid() bool                         { return true }
func (solo) Holds(context.Context) (bool, error) { return true, nil }
func (solo) Epoch() int64                        { return 0 }
func (solo) SetEpoch(int64)                      {}
func (s solo) Drain() <-chan struct{}            { return s.drain }

// Solo gathers without an election until ctx ends, and then drains. It returns an error only where another agent
// claims the cursors: against that one it would send everything twice.
func (r *Runner) Solo(ctx context.Context) error {
	leadership := solo{drain: make(chan struct{})}
	defer context.AfterFunc(ctx, func() { close(leadership.drain) })()
	for failures := 0; ctx.Err() == nil; failures++ {
		began := time.Now()
		err := r.lead(context.WithoutCancel(ctx), leadership)
		switch {
		case err == nil:
			return nil
		case errors.Is(err, cursor.ErrFenced):
			return fmt.Errorf("%w: give each agent a name of its own, or leader_candidate: true instead of collect_events", err)
		}
		if time.Since(began) > time.Minute {
			failures = 0
		}
		r.update(func(s *Status) { s.Problem = err.Error() })
		r.Log.Warn("the events are not gathered; trying again", "error", err)
		sleep(ctx, min(longestRetry, time.Second<<min(failures, 8)))
	}
	return nil
}
