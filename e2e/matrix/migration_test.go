package matrix

import (
	"slices"
	"syscall"
	"time"

	"github.com/eventbaton/baton/e2e/fleet"
	"github.com/eventbaton/baton/e2e/history"
)

func migrationCells() []cell {
	return []cell{
		{name: "lock changed to the other kind and back", fault: changedAndBack},
		{name: "both kinds of lock taken at once", fault: bothTaken},
	}
}

func otherKind(lock string) string {
	if lock == "lease" {
		return "configmap"
	}
	return "lease"
}

// changedAndBack is a rolling update of a live fleet to the other kind of lock, and another one back.
func changedAndBack(r *run) {
	r.inject()
	r.roll(otherKind(r.lock))
	r.onlyBy(r.fleet.Other, r.fleet.Lock)
	r.roll(r.lock)
	r.onlyBy(r.fleet.Lock, r.fleet.Other)
}

// roll restarts one agent after the other with the kind of lock, as a DaemonSet's rolling update does.
func (r *run) roll(lock string) {
	r.Helper()
	for _, a := range r.fleet.Agents() {
		r.signal(a, syscall.SIGTERM)
		r.must(a.Ended(r.ctx))
		r.must(a.DeletePod(r.ctx))
		r.must(a.MakePod(r.ctx))
		a.Config.Lock = lock
		r.must(a.Start())
		r.eventually("the restarted agent is ready", time.Minute, func() bool { return a.Ready(r.ctx) })
		r.delivering()
	}
}

// onlyBy waits until an agent leads by one kind of lock, has claimed the cursors, and nobody holds the other kind.
func (r *run) onlyBy(lock, other *history.History[history.LockState]) {
	r.Helper()
	r.eventually("one kind of lock is held, and by the owner of the cursors", time.Minute, func() bool {
		holder := lock.Now().Holder
		return r.fleet.Agent(holder) != nil && other.Now().Holder == "" && r.fleet.Cursors.Now().Owner == holder
	})
	r.delivering()
}

// bothTaken adds an agent of the other kind to a fleet, and brings about that the Lease is taken while the ConfigMap is
// held. The Lease's holder has to lead, and the ConfigMap's to give it back.
func bothTaken(r *run) {
	added, err := r.fleet.Add(r.ctx)
	r.must(err)
	added.Config.Lock = otherKind(r.lock)
	leases, maps := r.fleet.Lock, r.fleet.Other
	r.inject()
	r.must(added.Start())
	if r.lock == "lease" {
		r.letConfigMapLead(added)
	} else {
		leases, maps = maps, leases
	}
	r.eventually("the Lease's holder leads alone", time.Minute, func() bool {
		holder := leases.Now().Holder
		return r.fleet.Agent(holder) != nil && maps.Now().Holder == "" && r.fleet.Cursors.Now().Owner == holder
	})
	r.delivering()
}

// letConfigMapLead pauses all that would take the Lease until the one that takes the ConfigMap leads.
func (r *run) letConfigMapLead(one *fleet.Agent) {
	r.Helper()
	paused := slices.DeleteFunc(r.fleet.Agents(), func(a *fleet.Agent) bool { return a == one })
	for _, a := range paused {
		r.signal(a, syscall.SIGSTOP)
	}
	r.eventually("the ConfigMap's holder leads", time.Minute, func() bool {
		holder := r.fleet.Other.Now().Holder
		return r.fleet.Agent(holder) == one && r.fleet.Cursors.Now().Owner == holder
	})
	r.delivering()
	for _, a := range paused {
		r.signal(a, syscall.SIGCONT)
	}
}
