package matrix

import (
	"maps"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/util/retry"

	"github.com/eventbaton/baton/e2e/fleet"
	"github.com/eventbaton/baton/e2e/history"
)

const cursorsName = "baton-cursors"

func cursorCells() []cell {
	return []cell{
		{name: "cursors deleted", fault: cursorsDeleted},
		{name: "cursors are nonsense", fault: cursorsEdited(nonsense)},
		{name: "cursors labelled by hand", noRepeats: true, fault: cursorsEdited(labelled)},
		{name: "cursors refused to the leader", noRepeats: true, fault: cursorsRefused},
		{name: "cursors refused to a candidate", fault: cannotClaim},
	}
}

func cursorsDeleted(r *run) {
	before := r.fleet.Cursors.Now()
	r.inject()
	r.must(r.plane.Client().CoreV1().ConfigMaps(r.namespace).Delete(r.ctx, cursorsName, metav1.DeleteOptions{}))
	r.delivering()
	r.saved(before, true)
}

func cursorsEdited(edit func(*corev1.ConfigMap)) func(*run) {
	return func(r *run) {
		before := r.fleet.Cursors.Now()
		r.inject()
		r.editCursors(edit)
		r.delivering()
		r.saved(before, false)
	}
}

func nonsense(o *corev1.ConfigMap) {
	for k := range maps.Keys(o.Data) {
		if k != "format" {
			o.Data[k] = "¿nonsense?"
		}
	}
}

func labelled(o *corev1.ConfigMap) { o.Labels = map[string]string{"looked-at": "by-hand"} }

func (r *run) editCursors(edit func(*corev1.ConfigMap)) {
	r.Helper()
	api := r.plane.Client().CoreV1().ConfigMaps(r.namespace)
	r.must(retry.RetryOnConflict(retry.DefaultBackoff, func() error {
		o, err := api.Get(r.ctx, cursorsName, metav1.GetOptions{})
		if err != nil {
			return err
		}
		edit(o)
		o, err = api.Update(r.ctx, o, metav1.UpdateOptions{})
		if err == nil {
			r.wrote[o.ResourceVersion] = true
		}
		return err
	}))
}

// saved waits until the cursors are whole again and further than before, in a later epoch where that is asked for.
func (r *run) saved(before history.CursorState, later bool) {
	r.Helper()
	r.eventually("the cursors are whole and move", time.Minute, func() bool {
		s := r.fleet.Cursors.Now()
		return !s.Deleted && !r.wrote[s.Version] && s.RVs[r.stream()] > before.RVs[r.stream()] &&
			s.Epoch >= before.Epoch && (!later || s.Epoch > before.Epoch) && r.fleet.Agent(s.Owner) != nil
	})
}

// cursorsRefused takes the right from the leader after its claim: it delivers on, is not ready, and saves once it can.
func cursorsRefused(r *run) {
	leader, before := r.leader(), r.fleet.Cursors.Now()
	r.inject()
	r.must(leader.Revoke(r.ctx, fleet.Cursors))
	r.eventually("the leader is not ready", 20*time.Second, func() bool { return !leader.Ready(r.ctx) })
	r.delivering()
	r.must(leader.Grant(r.ctx, fleet.Cursors))
	r.eventually("the leader is ready again", time.Minute, func() bool { return leader.Ready(r.ctx) })
	r.saved(before, false)
	if r.leader() != leader {
		r.Error("another one leads")
	}
}

// cannotClaim lets one candidate win that may not claim: it has to free the lock for the other.
func cannotClaim(r *run) {
	old := r.leader()
	agents := r.fleet.Agents()
	able := agents[(old.Number+1)%len(agents)]
	for _, a := range agents {
		if a != old && a != able {
			r.must(a.Revoke(r.ctx, fleet.Cursors))
		}
	}
	r.inject()
	r.kill(old)
	r.lead(func(a *fleet.Agent) bool { return a == able })
	r.delivering()
}
