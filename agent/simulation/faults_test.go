package simulation

import (
	"fmt"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/eventbaton/baton/agent/election"
)

// fault is one thing that goes wrong. Of those that need a pure or a mixed fleet, or a process, there may be none.
func (w *world) fault(c *chance) {
	faults := []struct {
		weight int
		impure bool
		do     func(*chance)
	}{
		{weight: 5, do: w.crash},
		{weight: 3, do: w.replace},
		{weight: 5, do: w.pauseOne},
		{weight: 5, do: w.partOne},
		{weight: 4, do: w.storm},
		{weight: 1, do: w.cutWatches},
		{weight: 2, do: w.deleteCursors},
		{weight: 3, do: w.damageCursors},
		{weight: 2, do: w.labelCursors},
		{weight: 1, do: w.claimByHand},
		{weight: 2, impure: true, do: w.deleteLock},
		{weight: 2, impure: true, do: w.editLock},
		{weight: 2, impure: true, do: w.deletePodOfTheLiving},
		{weight: 3, impure: true, do: w.changeKind},
	}
	sum := 0
	for _, f := range faults {
		if !f.impure || !w.pure {
			sum += f.weight
		}
	}
	at := c.below(sum)
	for _, f := range faults {
		if f.impure && w.pure {
			continue
		}
		if at -= f.weight; at < 0 {
			f.do(c)
			return
		}
	}
}

func (w *world) note(what, format string, args ...any) {
	w.count(what)
	w.trace("FAULT "+what+": "+format, args...)
}

// victim is a process, more often than not the leader.
func (w *world) victim(c *chance) *process {
	if l := w.leaders(); len(l) > 0 && c.yes(0.7) {
		if p := l[c.below(len(l))]; !p.isLeaving() {
			return p
		}
	}
	all := w.alive()
	if len(all) == 0 {
		w.newPod(w.kind)
		all = w.alive()
	}
	return all[c.below(len(all))]
}

// crash kills a process. What the kubelet does then differs.
func (w *world) crash(c *chance) {
	p := w.victim(c)
	w.note("crash", "%s", p.name)
	p.crash()
	report, restart := c.between(50*time.Millisecond, 3*time.Second), c.between(50*time.Millisecond, 3*time.Second)
	switch c.below(3) {
	case 0: // The container starts again; the report of it comes before or after.
		time.AfterFunc(report, func() { w.reportEnd(p) })
		time.AfterFunc(restart, func() {
			w.count("container restarted")
			w.startIn(p.id.Pod, p.id.UID, p.node, p.kind, p.instance+1)
		})
	case 1: // The pod is deleted, another takes its place.
		time.AfterFunc(report, func() { _ = w.api.Pods.Delete(p.id.Pod) })
		time.AfterFunc(restart, func() { w.newPod(p.kind) })
	default: // The node is lost, and says nothing.
		if len(w.alive()) < 2 {
			time.AfterFunc(restart, func() { w.newPod(p.kind) })
		}
	}
}

// reportEnd is what the kubelet reports of a container that ended.
func (w *world) reportEnd(p *process) {
	w.mu.Lock()
	at := p.killedAt
	w.mu.Unlock()
	_ = w.api.Pods.Edit(p.id.Pod, func(pod *corev1.Pod) { // The pod may have gone meanwhile.
		pod.Status.ContainerStatuses = []corev1.ContainerStatus{{
			Name:                 container,
			RestartCount:         int32(p.instance),
			LastTerminationState: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{FinishedAt: metav1.NewTime(at.Truncate(time.Second))}},
			State:                corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "CrashLoopBackOff"}},
		}}
	})
}

// replace ends a process in order and starts another one, as a rolling update does.
func (w *world) replace(c *chance) {
	p := w.victim(c)
	w.note("ended in order", "%s", p.name)
	p.terminate()
	w.newPod(p.kind)
}

// changeKind is a rolling update to the other kind of lock, of a part of the fleet or all of it.
func (w *world) changeKind(c *chance) {
	if !w.mixed {
		return
	}
	for _, p := range w.alive() {
		if c.yes(0.3) {
			continue
		}
		w.note("kind of lock changed", "%s", p.name)
		p.terminate()
		w.newPod(map[string]string{"leases": "configmaps", "configmaps": "leases"}[p.kind])
		time.Sleep(c.between(0, time.Second))
	}
}

func (w *world) pauseOne(c *chance) {
	p := w.victim(c)
	d := c.between(time.Second, 2*w.lease)
	w.note("pause", "%s for %v", p.name, d)
	p.pause()
	time.AfterFunc(d, func() {
		w.trace("%s goes on", p.name)
		p.resume()
	})
}

func (w *world) partOne(c *chance) {
	all := []*process{w.victim(c)}
	if c.yes(0.2) {
		all = w.alive()
	}
	for _, p := range all {
		d, cut := c.between(time.Second, 2*w.lease), c.yes(0.5)
		w.note("partition", "%s for %v", p.name, d)
		p.part(true)
		time.AfterFunc(d, func() {
			w.trace("%s is connected again", p.name)
			p.part(false)
			if cut {
				p.link.CutWatches()
			}
		})
	}
}

// storm makes the network slow and lossy, for one or for all.
func (w *world) storm(c *chance) {
	all := []*process{w.victim(c)}
	if c.yes(0.3) {
		all = w.alive()
	}
	now := weather{slow: c.between(50*time.Millisecond, 3*time.Second), noSend: 0.5 * c.float(), noAnswer: 0.5 * c.float()}
	d := c.between(time.Second, 3*w.lease)
	for _, p := range all {
		w.note("storm", "%s for %v: up to %v, %.0f%% and %.0f%% lost", p.name, d, now.slow, 100*now.noSend, 100*now.noAnswer)
		p.sky(now)
		time.AfterFunc(d, func() { p.sky(w.fair) })
	}
}

func (w *world) cutWatches(c *chance) {
	w.note("watches cut", "")
	if c.yes(0.5) {
		w.api.Leases.Compact()
		w.api.ConfigMaps.Compact()
	}
	for _, p := range w.alive() {
		p.link.CutWatches()
	}
}

// damage does something to the cursors by hand. What the checks knew of them doesn't hold any more.
func (w *world) damage(do func() error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := do(); err == nil {
		w.register = newRegister(w.register.damages + 1)
	}
}

func (w *world) deleteCursors(*chance) {
	w.note("cursors deleted", "")
	w.damage(func() error { return w.api.ConfigMaps.Delete(cursorsName) })
}

func (w *world) damageCursors(c *chance) {
	values := []struct{ key, value string }{
		{"epoch", "1"}, {"epoch", "soon"}, {"epoch", ""}, {"owner", ""}, {"format", ""}, {"cursor.log", "{"}, {"", ""},
	}
	v := values[c.below(len(values))]
	w.note("cursors damaged", "%s = %q", v.key, v.value)
	w.damage(func() error {
		return w.api.ConfigMaps.Edit(cursorsName, func(o *corev1.ConfigMap) {
			switch {
			case v.key == "":
				o.Data = nil
			case o.Data != nil:
				o.Data[v.key] = v.value
			}
		})
	})
}

// claimByHand writes a claim of somebody who does not exist.
func (w *world) claimByHand(*chance) {
	w.note("cursors claimed by hand", "")
	_ = w.api.ConfigMaps.Edit(cursorsName, func(o *corev1.ConfigMap) { // There may be none yet.
		if o.Data != nil {
			o.Data["owner"], o.Data["epoch"] = "nobody", o.Data["epoch"]+"0"
		}
	})
}

// labelCursors is a controller that keeps labelling the object, so that every write of it meets another's. Once the
// leader ends meanwhile, claims do too.
func (w *world) labelCursors(c *chance) {
	every, times := c.between(5*time.Millisecond, 50*time.Millisecond), 10+c.below(150)
	w.note("cursors labelled", "%d times, every %v", times, every)
	for n := range times {
		if n == 5 && c.yes(0.7) {
			w.replace(c)
		}
		_ = w.api.ConfigMaps.Edit(cursorsName, func(o *corev1.ConfigMap) { // There may be none yet.
			o.Labels = map[string]string{"n": fmt.Sprint(n)}
		})
		time.Sleep(every)
	}
}

func (w *world) deleteLock(*chance) {
	w.note("lock deleted", "")
	_, _ = w.api.Leases.Delete(lockName), w.api.ConfigMaps.Delete(lockName) // One of them may not exist.
}

// editLock writes another holder or nonsense into the lock by hand.
func (w *world) editLock(c *chance) {
	w.note("lock edited", "")
	holders := []string{"", "nobody", "pod-99_uid-99_agent_i1"}
	holder, seconds := holders[c.below(len(holders))], int32(c.below(15)-2)
	_ = w.api.Leases.Edit(lockName, func(o *coordinationv1.Lease) { // It may not exist.
		o.Spec.HolderIdentity, o.Spec.LeaseDurationSeconds = &holder, &seconds
	})
	texts := []string{"", "{", "null", `{"holderIdentity":"nobody","leaseDurationSeconds":3}`}
	text := texts[c.below(len(texts))]
	_ = w.api.ConfigMaps.Edit(lockName, func(o *corev1.ConfigMap) { // It may not exist.
		if o.Annotations != nil {
			o.Annotations[election.LeaderAnnotation] = text
		}
	})
}

// deletePodOfTheLiving deletes a Pod by force whose process is only cut off: a wrong proof of death. Once it is
// connected again, its kubelet kills what should not be there.
func (w *world) deletePodOfTheLiving(c *chance) {
	p := w.victim(c)
	d := c.between(time.Second, 2*w.lease)
	w.note("wrong proof of death", "%s, cut off for %v", p.name, d)
	w.mu.Lock()
	p.disowned = true
	w.mu.Unlock()
	p.part(true)
	_ = w.api.Pods.Delete(p.id.Pod) // It may have gone already.
	w.newPod(p.kind)
	killed := d + c.between(0, 5*time.Second)
	time.AfterFunc(d, func() { p.part(false) })
	time.AfterFunc(killed, p.crash)
}
