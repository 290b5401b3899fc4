package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"syscall"
	"time"

	"github.com/eventbaton/baton/e2e/controlplane"
	"github.com/eventbaton/baton/e2e/fleet"
	"github.com/eventbaton/baton/e2e/generator"
	"github.com/eventbaton/baton/e2e/verdict"
)

const (
	failoverRate = 100 // events a second: how finely a gap can be seen
	// beforeFault is how long a leader leads before it is ended. A pod's times are in whole seconds, and what they
	// prove must be later than the lock's.
	beforeFault = 2500 * time.Millisecond
	// afterFault is how long a gap is looked for.
	afterFault = 5 * time.Second
)

func failover(ctx context.Context, b *bench) ([]number, error) {
	var numbers []number
	err := withPlane(ctx, controlplane.Options{}, func(plane *controlplane.ControlPlane) error {
		s, err := b.open(ctx, plane, "failover", 3)
		if err != nil {
			return err
		}
		numbers, err = s.failover(ctx, plane)
		return errors.Join(err, s.close())
	})
	return numbers, err
}

// fault is one end of a leader.
type fault struct {
	at       time.Time // the signal
	reported time.Time // the pod's status said so, zero where that was not needed
}

func (s *stage) failover(ctx context.Context, plane *controlplane.ControlPlane) ([]number, error) {
	if _, err := s.lead(ctx); err != nil {
		return nil, err
	}
	flow := generator.Start(ctx, generator.Options{
		Client: plane.Client(), Namespace: eventsNamespace, Prefix: "failover", Rate: failoverRate, Workers: 4,
	})
	faults := map[syscall.Signal][]fault{}
	var errs []error
	for _, signal := range []syscall.Signal{syscall.SIGKILL, syscall.SIGTERM} {
		for i := 0; i < s.bench.rounds && len(errs) == 0; i++ {
			f, err := s.end(ctx, signal)
			if err != nil {
				errs = append(errs, fmt.Errorf("%v number %d: %w", signal, i+1, err))
			}
			faults[signal] = append(faults[signal], f)
		}
	}
	flow.Stop()
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return s.judge(ctx, flow.Log(), faults)
}

// end ends the leader, waits for another one at work, and starts the ended one again.
func (s *stage) end(ctx context.Context, signal syscall.Signal) (fault, error) {
	leader, err := s.fleet.Leader(ctx, nil)
	if err != nil {
		return fault{}, err
	}
	if err := pause(ctx, beforeFault); err != nil {
		return fault{}, err
	}
	var f fault
	if f.at, err = leader.Signal(signal); err != nil {
		return f, err
	}
	if err := leader.Ended(ctx); err != nil {
		return f, err
	}
	ended := time.Now()
	if signal == syscall.SIGKILL {
		if err := leader.ReportTerminated(ctx, ended); err != nil {
			return f, err
		}
		f.reported = time.Now()
	}
	waiting, cancel := context.WithTimeout(ctx, lease+patience)
	defer cancel()
	if _, err := s.fleet.Leader(waiting, func(a *fleet.Agent) bool { return a != leader }); err != nil {
		return f, err
	}
	if err := pause(ctx, time.Until(f.at.Add(afterFault))); err != nil {
		return f, err
	}
	if err := errors.Join(leader.ReportRestarted(ctx, ended, time.Now()), leader.Start()); err != nil {
		return f, err
	}
	return f, until(ctx, leader.Name+" is ready", func() bool { return leader.Ready(ctx) })
}

func (s *stage) judge(ctx context.Context, log *generator.Log, faults map[syscall.Signal][]fault) ([]number, error) {
	// Each of them: the agents' own events of the leader changes arrive as well. What is lost shows below.
	versions, err := versionsOf(log)
	if err != nil {
		return nil, err
	}
	_ = until(ctx, "the last events have arrived", func() bool { return s.hasAll(versions) })
	result := verdict.Judge(verdict.Case{Made: log.Events(), Receiver: s.Receiver, Cursors: s.fleet.Cursors.All(), Stream: "receiver"})
	var errs []error
	for _, wrong := range result.Wrong {
		errs = append(errs, errors.New(wrong))
	}
	control := quietest(result.First, faults)
	killed, reported := gaps(result.First, faults[syscall.SIGKILL])
	terminated, _ := gaps(result.First, faults[syscall.SIGTERM])
	n := strconv.Itoa(s.bench.rounds)
	return []number{
		shown("longest gap without a fault, before each", "%.0f ms median, %.0f ms most", at(control, 0.5), at(control, 1)),
		atMost("gap by SIGKILL with proof of death, median of "+n, at(killed, 0.5), 1000, " ms"),
		atMost("the same, most", at(killed, 1), 2000, " ms"),
		shown("the same, from the pod's status on", "%.0f ms median, %.0f ms most", at(reported, 0.5), at(reported, 1)),
		shown("gap by SIGTERM, median of "+n, "%.0f ms", at(terminated, 0.5)),
		below("the same, most", at(terminated, 1), 1000, " ms"),
		atMost("lost of "+strconv.Itoa(result.Made), float64(len(result.Lost)), 0, ""),
		shown("repeated", "%d", result.Repeated),
	}, errors.Join(errs...)
}

func at(sorted []time.Duration, q float64) float64 {
	return float64(verdict.Quantile(sorted, q).Round(time.Millisecond).Milliseconds())
}

// gaps are the longest times without an arrival about the faults, and the times from the pod's status to the first
// arrival after it, both ascending.
func gaps(first []time.Time, faults []fault) (all, reported []time.Duration) {
	for _, f := range faults {
		all = append(all, verdict.Gap(first, f.at, f.at.Add(afterFault), false))
		if !f.reported.IsZero() {
			i, _ := slices.BinarySearchFunc(first, f.reported, time.Time.Compare)
			if i < len(first) {
				reported = append(reported, first[i].Sub(f.reported))
			}
		}
	}
	slices.Sort(all)
	slices.Sort(reported)
	return all, reported
}

// quietest are the longest gaps in the two seconds before each fault, ascending: what the machine does by itself.
func quietest(first []time.Time, faults map[syscall.Signal][]fault) []time.Duration {
	var control []time.Duration
	for _, some := range faults {
		for _, f := range some {
			control = append(control, verdict.Gap(first, f.at.Add(-2*time.Second), f.at.Add(-100*time.Millisecond), true))
		}
	}
	slices.Sort(control)
	return control
}
