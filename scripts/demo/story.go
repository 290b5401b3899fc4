package main

import (
	"context"
	"fmt"
	"syscall"
	"time"

	"github.com/eventbaton/baton/e2e/fleet"
	"github.com/eventbaton/baton/e2e/generator"
	"github.com/eventbaton/baton/e2e/history"
	"github.com/eventbaton/baton/e2e/receiver"
)

const (
	calm      = 5 * time.Second // long enough that the leader's death falls into a later second than its election
	breath    = 2 * time.Second // between a takeover and what follows it
	kubelet   = 300 * time.Millisecond
	tooLong   = 30 * time.Second // for what takes a second
	settling  = 20 * time.Second
	grace     = 10 * time.Second
	pollEvery = 5 * time.Millisecond
)

// act is a part of the story, as it is announced.
type act struct{ Title, Why string }

var acts = []act{
	{"Setting the stage", "The agent is compiled while etcd and kube-apiserver start, on free ports of 127.0.0.1. Compiling " +
		"takes a minute or two the first time, later a second."},
	{"All is calm", "Three agents, as on three nodes. They have elected a leader, which alone reads the events and delivers them. " +
		"The others watch its lock, which costs the API server next to nothing."},
	{"The leader is killed, by SIGKILL", "As when a node runs out of memory. After 0.3 s its container's end is reported, as a kubelet " +
		"would: a proof of death, so that nobody waits for the lease of 15 s to run out."},
	{"Its successor is stopped, by SIGTERM", "As in a rolling update. It finishes what is in flight, writes its cursor, and only then " +
		"frees the lock, so that the next one goes on from the very event where it stopped."},
	{"The count", "The events stop. Each version that the API server has stored is looked up among what has arrived."},
}

// story is the demo as it is played.
type story struct {
	stage   *stage
	show    *show
	windows []window
	wrong   []string
}

// play plays all acts and judges. The agents are stopped in order at its end.
func play(ctx context.Context, s *stage, show *show) (outcome, error) {
	t := &story{stage: s, show: show}
	for i, scene := range []func(context.Context) error{t.setUp, t.calm, t.kill, t.stop, t.count} {
		show.act(i)
		if err := scene(ctx); err != nil {
			return outcome{}, fmt.Errorf("%s: %w", acts[i].Title, err)
		}
	}
	return t.judge(), nil
}

func (t *story) setUp(ctx context.Context) error {
	t.begin("start")
	if err := t.stage.set(ctx, t.show.tell); err != nil {
		return err
	}
	t.show.tell("%d events wait in the API server; the agents are started", t.stage.stored())
	if err := t.stage.fleet.Start(); err != nil {
		return err
	}
	return t.takenOver(ctx, 0, nil)
}

func (t *story) calm(ctx context.Context) error {
	if err := t.caughtUp(ctx); err != nil {
		return err
	}
	t.show.tell("what had waited has arrived; from now on %d events a second are made", rate)
	t.stage.startEvents(ctx)
	t.begin("no fault")
	return pass(ctx, calm)
}

func (t *story) kill(ctx context.Context) error {
	old, epoch := t.leader()
	t.begin("SIGKILL")
	if err := t.signal(old, syscall.SIGKILL, "killed"); err != nil {
		return err
	}
	if err := old.Ended(ctx); err != nil {
		return err
	}
	if err := pass(ctx, kubelet); err != nil {
		return err
	}
	if err := old.ReportTerminated(ctx, time.Now()); err != nil {
		return err
	}
	t.show.tell("the kubelet reports the end of %s", old.Name)
	if err := t.takenOver(ctx, epoch, old); err != nil {
		return err
	}
	return t.restart(ctx, old)
}

func (t *story) stop(ctx context.Context) error {
	old, epoch := t.leader()
	t.begin("SIGTERM")
	if err := t.signal(old, syscall.SIGTERM, "stopping"); err != nil {
		return err
	}
	if err := t.takenOver(ctx, epoch, old); err != nil {
		return err
	}
	if err := old.Ended(ctx); err != nil {
		return err
	}
	if err := old.ReportTerminated(ctx, time.Now()); err != nil {
		return err
	}
	t.show.mark(old.Name, "stopped")
	return t.restart(ctx, old)
}

// count waits until all has arrived, or it is sure that it won't, and ends the agents.
func (t *story) count(ctx context.Context) error {
	t.stage.stopEvents()
	late, cancel := context.WithTimeout(ctx, settling)
	defer cancel()
	if err := t.caughtUp(late); err != nil && ctx.Err() != nil {
		return err
	}
	t.begin("") // the end of the last one
	t.show.tell("the events have stopped: %d stored", t.stage.stored())
	for _, a := range t.stage.fleet.Agents() {
		t.show.mark(a.Name, "stopped")
	}
	if err := t.stage.fleet.Terminate(grace); err != nil {
		t.wrong = append(t.wrong, err.Error())
	}
	return ctx.Err()
}

// begin begins a window of the table.
func (t *story) begin(fault string) { t.windows = append(t.windows, window{fault, time.Now()}) }

// leader is who leads now, and its epoch.
func (t *story) leader() (*fleet.Agent, int64) {
	return t.stage.fleet.Agent(t.stage.fleet.Lock.Now().Holder), t.stage.fleet.Cursors.Now().Epoch
}

func (t *story) signal(a *fleet.Agent, s syscall.Signal, becomes string) error {
	names := map[syscall.Signal]string{syscall.SIGKILL: "SIGKILL", syscall.SIGTERM: "SIGTERM"}
	t.show.mark(a.Name, becomes)
	t.show.tell("%s, who leads, gets %s", a.Name, names[s])
	_, err := a.Signal(s)
	return err
}

// takenOver waits until another agent than old leads in a later epoch, and has delivered something.
func (t *story) takenOver(ctx context.Context, epoch int64, old *fleet.Agent) error {
	ctx, cancel := context.WithTimeoutCause(ctx, tooLong, fmt.Errorf("nobody had taken over after %v", tooLong))
	defer cancel()
	claim, err := t.stage.fleet.Cursors.Wait(ctx, func(c history.CursorState) bool {
		return c.Epoch > epoch && t.stage.fleet.Agent(c.Owner) != old
	})
	if err != nil {
		return fmt.Errorf("waiting for a leader: %w", context.Cause(ctx))
	}
	t.show.tell("%s leads, epoch %d", pod(claim.Owner), claim.Epoch)
	return until(ctx, func() bool { return t.stage.feed.now().Epoch >= claim.Epoch })
}

// restart gives the audience a moment, and does then what a kubelet does with a container that has ended.
func (t *story) restart(ctx context.Context, a *fleet.Agent) error {
	if gap, ok := t.stage.feed.silence(t.windows[len(t.windows)-1].from); ok {
		t.show.tell("events arrive again, after %s without any", seconds(gap))
	}
	if err := pass(ctx, breath); err != nil {
		return err
	}
	finished := time.Now()
	if err := a.Start(); err != nil {
		return err
	}
	if err := a.ReportRestarted(ctx, finished, time.Now()); err != nil {
		return err
	}
	t.show.mark(a.Name, "")
	t.show.tell("%s is restarted, and follows", a.Name)
	return pass(ctx, breath)
}

// caughtUp waits until the last version of each event that is stored by now has arrived.
func (t *story) caughtUp(ctx context.Context) error {
	stored := t.stage.made()
	ctx, cancel := context.WithTimeoutCause(ctx, tooLong, fmt.Errorf("not all had arrived after %v", tooLong))
	defer cancel()
	return until(ctx, func() bool {
		for ; len(stored) > 0; stored = stored[1:] {
			if !arrived(t.stage.feed.receiver, stored[0]) {
				return false
			}
		}
		return true
	})
}

func arrived(r *receiver.Receiver, e generator.Event) bool {
	uid, err := receiver.ParseUID(e.UID)
	return err == nil && r.Has(receiver.Version{UID: uid, RV: e.Last().RV})
}

// until waits until it is so. The receiver tells nobody, so it is asked.
func until(ctx context.Context, is func() bool) error {
	for !is() {
		if pass(ctx, pollEvery) != nil {
			return context.Cause(ctx)
		}
	}
	return nil
}

// pass lets time pass.
func pass(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
