package matrix

import (
	"context"
	"encoding/json"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
	"k8s.io/client-go/util/retry"

	"github.com/eventbaton/baton/e2e/fleet"
	"github.com/eventbaton/baton/e2e/history"
)

func lockCells() []cell {
	return []cell{
		{name: "lock deleted", fault: lockDeleted},
		{name: "lock is nonsense", fault: lockNonsense},
		{name: "lock says another holder", fault: lockTaken},
		{name: "leader lost and won again by one process", size: 1, fault: lockTaken},
		{name: "leases of different length", each: ownLease, fault: longestLease},
		{name: "restarted leader wins before its report", fault: restartedFirst},
		{name: "rights on the lock revoked and given back", fault: revoked(fleet.Locks)},
		{name: "renewals of the leader refused by a policy", fault: renewalsRefused},
	}
}

func lockDeleted(r *run) {
	r.inject()
	c := r.plane.Client()
	if r.lock == "lease" {
		r.must(c.CoordinationV1().Leases(r.namespace).Delete(r.ctx, "baton", metav1.DeleteOptions{}))
	} else {
		r.must(c.CoreV1().ConfigMaps(r.namespace).Delete(r.ctx, "baton", metav1.DeleteOptions{}))
	}
	r.held()
}

func lockNonsense(r *run) {
	nonsense := "¿nonsense?"
	r.inject()
	r.editLock(func(s *coordinationv1.LeaseSpec) { *s = coordinationv1.LeaseSpec{HolderIdentity: &nonsense} }, "{"+nonsense)
	r.held()
}

// lockTaken writes another holder into the lock, which never renews.
func lockTaken(r *run) {
	intruder := "somebody-else"
	now := metav1.NowMicro()
	record, err := json.Marshal(resourcelock.LeaderElectionRecord{
		HolderIdentity: intruder, LeaseDurationSeconds: int(lease.Seconds()),
		AcquireTime: metav1.NewTime(now.Time), RenewTime: metav1.NewTime(now.Time),
	})
	r.must(err)
	r.inject()
	r.editLock(func(s *coordinationv1.LeaseSpec) {
		s.HolderIdentity, s.AcquireTime, s.RenewTime = &intruder, &now, &now
	}, string(record))
	r.held()
}

// editLock edits the lock by hand.
func (r *run) editLock(spec func(*coordinationv1.LeaseSpec), annotation string) {
	r.Helper()
	r.must(retry.RetryOnConflict(retry.DefaultBackoff, func() error {
		if r.lock == "lease" {
			return r.editLease(r.ctx, spec)
		}
		api := r.plane.Client().CoreV1().ConfigMaps(r.namespace)
		o, err := api.Get(r.ctx, "baton", metav1.GetOptions{})
		if err != nil {
			return err
		}
		o.Annotations[resourcelock.LeaderElectionRecordAnnotationKey] = annotation
		_, err = api.Update(r.ctx, o, metav1.UpdateOptions{})
		return err
	}))
}

func (r *run) editLease(ctx context.Context, spec func(*coordinationv1.LeaseSpec)) error {
	api := r.plane.Client().CoordinationV1().Leases(r.namespace)
	o, err := api.Get(ctx, "baton", metav1.GetOptions{})
	if err != nil {
		return err
	}
	spec(&o.Spec)
	_, err = api.Update(ctx, o, metav1.UpdateOptions{})
	return err
}

// held waits until an agent holds the lock, as it is seen from now on, and delivers.
func (r *run) held() {
	r.Helper()
	now := time.Now()
	r.eventually("an agent holds the lock", time.Minute, func() bool {
		s := r.fleet.Lock.Now()
		return s.At.After(now) && r.fleet.Agent(s.Holder) != nil
	})
	r.delivering()
}

func ownLease(i int, c *fleet.Config) { c.Lease = time.Duration(5+3*i) * time.Second }

// longestLease kills a leader; its followers, whose leases differ, have to wait for the one that its record says.
func longestLease(r *run) {
	old := r.leader()
	r.bound = old.Config.Lease + slack
	r.inject()
	at := r.kill(old)
	r.successor(old)
	last := r.lastRenewal(old)
	if waited := r.fleet.Lock.Now().At.Sub(last); waited < old.Config.Lease-100*time.Millisecond {
		r.Errorf("the lock was taken %v after its last renewal, the lease is %v", waited, old.Config.Lease)
	}
	r.Logf("killed %v after the last renewal", at.Sub(last))
	r.delivering()
}

// lastRenewal is when the lock was last seen to be written by a.
func (r *run) lastRenewal(a *fleet.Agent) time.Time {
	var at time.Time
	for _, s := range r.fleet.Lock.All() {
		if r.fleet.Agent(s.Holder) == a {
			at = s.At
		}
	}
	return at
}

// restartedFirst restarts the leader's process before anything is reported: the new one wins at once, as it knows that
// its predecessor is dead. The report that follows is of its own start, and proves nothing against it.
func restartedFirst(r *run) {
	old := r.leader()
	before := r.fleet.Lock.Now().Holder
	r.inject()
	finished := r.kill(old)
	started := time.Now()
	r.must(old.Start())
	s, err := r.fleet.Lock.Wait(r.ctx, func(s history.LockState) bool { return s.Holder != "" && s.Holder != before })
	r.must(err)
	if r.fleet.Agent(s.Holder) != old {
		r.Errorf("%s has won, not the restarted leader", s.Holder)
	}
	r.must(old.ReportRestarted(r.ctx, finished, started))
	r.delivering()
	r.pass(3 * time.Second)
	if now := r.fleet.Lock.Now(); now.Holder != s.Holder {
		r.Errorf("%s has taken over from a leader that lives", now.Holder)
	}
}

// revoked takes a right from the leader and gives it back when another one leads.
func revoked(right fleet.Right) func(*run) {
	return func(r *run) {
		old := r.leader()
		r.inject()
		r.must(old.Revoke(r.ctx, right))
		r.successor(old)
		r.delivering()
		r.must(old.Grant(r.ctx, right))
		r.eventually("the former leader is ready again", time.Minute, func() bool { return old.Ready(r.ctx) })
	}
}

// renewalsRefused has the API server refuse every write that names the leader as the lock's holder: a partition of
// exactly one identity, which can read all the while.
func renewalsRefused(r *run) {
	old := r.leader()
	r.inject()
	heal := r.refuseHolder(old)
	r.successor(old)
	r.delivering()
	heal()
	r.pass(lease / 2)
}
