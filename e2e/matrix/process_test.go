package matrix

import (
	"syscall"
	"time"

	"github.com/eventbaton/baton/e2e/fleet"
	"github.com/eventbaton/baton/e2e/verdict"
)

// kills is how many takeovers a median is taken of.
const kills = 5

// kubelet is how long a kubelet takes to report a killed container.
const kubelet = 300 * time.Millisecond

func processCells() []cell {
	return []cell{
		{name: "no fault", alone: true, noRepeats: true, fault: noFault, after: measureControl},
		{name: "SIGTERM", alone: true, bound: time.Second, noRepeats: true, fault: terminated},
		{name: "SIGKILL, container reported dead", alone: true, bound: 2 * time.Second, fault: killed(reportDead), after: quickMedian},
		{name: "SIGKILL, pod deleted", alone: true, bound: 2 * time.Second, fault: killed(reportGone), after: quickMedian},
		{name: "SIGKILL, container restarted", alone: true, bound: 2 * time.Second, fault: killed(reportRestarted), after: quickMedian},
		{name: "SIGKILL, nothing reported", fault: killedSilently},
		{name: "SIGSTOP beyond the lease, SIGCONT", fault: paused},
		{name: "updated events through a leader change", updates: 0.9, fault: killedSilently, after: deltasCame},
	}
}

func noFault(r *run) {
	r.inject()
	r.pass(10 * time.Second)
}

// measureControl takes what is the longest gap without a fault, for all other cells.
func measureControl(r *run) {
	result := verdict.Judge(verdict.Case{Made: r.events.Log().Events(), Receiver: r.sink.Receiver})
	gap := r.gaps(result.First)[0]
	r.Logf("the longest gap without a fault is %v", gap)
	suite.mu.Lock()
	defer suite.mu.Unlock()
	suite.control = max(suite.control, gap)
}

// terminated ends one leader after the other in order, as a rolling update does.
func terminated(r *run) {
	for range 3 {
		old := r.leader()
		r.inject()
		r.signal(old, syscall.SIGTERM)
		r.successor(old)
		r.must(old.Ended(r.ctx))
		r.must(old.ReportTerminated(r.ctx, time.Now()))
		r.delivering()
		r.must(old.Start())
		r.must(old.ReportRestarted(r.ctx, time.Now(), time.Now()))
		r.steady()
	}
}

// killed kills one leader after the other, with proof of death. The blackout counts from the report on.
func killed(report func(*run, *fleet.Agent)) func(*run) {
	return func(r *run) {
		for range kills {
			old, holder := r.leader(), r.fleet.Lock.Now().Holder
			r.kill(old)
			r.pass(kubelet)
			report(r, old)
			r.takeover(holder)
			r.delivering()
			if !old.Running() {
				r.must(old.Start())
				r.must(old.ReportRunning(r.ctx, time.Now()))
			}
			r.steady()
		}
	}
}

func reportDead(r *run, a *fleet.Agent) {
	r.proof()
	r.must(a.ReportTerminated(r.ctx, time.Now()))
}

func reportGone(r *run, a *fleet.Agent) {
	r.proof()
	r.must(a.DeletePod(r.ctx))
	r.must(a.MakePod(r.ctx))
}

// reportRestarted: the restarted process may well be the one that takes over.
func reportRestarted(r *run, a *fleet.Agent) {
	finished := time.Now()
	r.must(a.Start())
	r.proof()
	r.must(a.ReportRestarted(r.ctx, finished, time.Now()))
}

// quickMedian demands that the median is under a second.
func quickMedian(r *run) {
	result := verdict.Judge(verdict.Case{Made: r.events.Log().Events(), Receiver: r.sink.Receiver})
	if row := r.row(result); row.Median > time.Second {
		r.Errorf("the median blackout is %v", row.Median)
	}
}

// killedSilently kills the leader with nobody to report it: the lease has to run out.
func killedSilently(r *run) {
	old := r.leader()
	r.inject()
	r.kill(old)
	r.successor(old)
	r.delivering()
}

// paused freezes the leader until another one leads, and wakes it up again: it must stay quiet.
func paused(r *run) {
	old := r.leader()
	r.inject()
	r.signal(old, syscall.SIGSTOP)
	r.successor(old)
	r.delivering()
	r.signal(old, syscall.SIGCONT)
	r.pass(2 * time.Second)
	if now := r.leader(); now == old {
		r.Error("the woken leader leads again, though another one did")
	}
}

// deltasCame makes sure that the cell has shown what it is for: updates with a countDelta, in more than one epoch.
func deltasCame(r *run) {
	epochs := map[int64]int{}
	for _, a := range r.sink.Arrivals() {
		if a.HasDelta && a.Count > 1 {
			epochs[a.Epoch]++
		}
	}
	if len(epochs) < 2 {
		r.Errorf("updates with a countDelta by epoch: %v", epochs)
	}
}
