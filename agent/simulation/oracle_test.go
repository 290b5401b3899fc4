package simulation

import (
	"fmt"
	"strconv"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/eventbaton/baton/agent/cursor"
	"github.com/eventbaton/baton/agent/election"
)

// knowledge is what a process has been told that ends its right to work. It is noted at the moment of the telling;
// the process must have acted on it before simulated time goes on.
type knowledge struct {
	version uint64        // the highest version of the lock that it was told of
	other   time.Duration // when it was told of another holder, 0 for never
	newer   time.Duration // when it was told of a newer claim
	lease   uint64        // the highest version of the Lease, where that wins over its own lock
	wins    time.Duration // when it was told that somebody holds the Lease
}

// register is what the checks know of the cursors. A damage done by hand starts a new one: what was damaged may be
// lost, and with it what there was to check against.
type register struct {
	writers map[int64]string // by epoch
	last    int64            // the highest epoch that was written
	owner   string           // who wrote it
	floor   map[string]uint64
	damages int
	claims  map[string]int // by owner, damages when he claimed
}

func newRegister(damages int) register {
	return register{writers: map[int64]string{}, floor: map[string]uint64{}, damages: damages, claims: map[string]int{}}
}

// lockRecord is what a lock object says.
func lockRecord(o metav1.Object) (holder string, epoch int64) {
	epoch, _ = strconv.ParseInt(o.GetAnnotations()[election.EpochAnnotation], 10, 64)
	switch o := o.(type) {
	case *coordinationv1.Lease:
		if o.Spec.HolderIdentity != nil {
			holder = *o.Spec.HolderIdentity
		}
	case *corev1.ConfigMap:
		holder = annotatedHolder(o)
	}
	return holder, epoch
}

func version(o metav1.Object) uint64 {
	n, _ := strconv.ParseUint(o.GetResourceVersion(), 10, 64)
	return n
}

// wrote is called with mu held at the moment a write takes effect. before is nil where the object is new.
func (w *world) wrote(p *process, kind string, before, after metav1.Object, start time.Duration) {
	switch after.GetName() {
	case lockName:
		p.starts[version(after)] = start
		w.wroteLock(p, kind, before, after)
	case cursorsName:
		w.wroteCursors(p, before != nil, after.(*corev1.ConfigMap))
	}
}

func (w *world) wroteLock(p *process, kind string, before, after metav1.Object) {
	var held string
	if before != nil {
		held, _ = lockRecord(before)
	}
	holder, epoch := lockRecord(after)
	w.trace("%s writes %s: holder %q after %q, epoch %d", p.name, kind, holder, held, epoch)
	switch {
	case holder == "" && held != p.owner:
		w.violation("a successor's lock was freed", "%s freed %s, which %q held", p.name, kind, held)
	case holder == "" && p.term != nil:
		w.violation("released before the work was done", "%s, %s", p.name, kind)
	case holder != "" && holder != p.owner:
		w.violation("somebody else's name in the lock", "%s wrote %q", p.name, holder)
	case held != "" && held != p.owner:
		w.tookFrom(p, held)
	}
}

// tookFrom checks a takeover: as long as nobody meddles with the lock, who held it can't have been valid.
func (w *world) tookFrom(p *process, held string) {
	h := w.byOwner[held]
	if !w.plan.pure || h == nil || h.isDead() || h.term == nil {
		return
	}
	if h.term.Valid() {
		w.violation("a valid leader was deposed", "%s took the lock from %s", p.name, h.name)
	}
}

// wroteCursors checks a write of the register.
func (w *world) wroteCursors(p *process, existed bool, o *corev1.ConfigMap) {
	s, err := cursor.Read(o)
	if err != nil || s.Owner != p.owner {
		w.violation("somebody else's name in the cursors", "%s wrote %q: %v", p.name, s.Owner, err)
	}
	r := &w.register
	w.trace("%s writes the cursors: epoch %d, log %d", p.name, s.Epoch, s.Positions["log"].RV)
	w.savedAt = time.Since(w.began)
	if writer, ok := r.writers[s.Epoch]; ok && writer != p.owner {
		w.violation("two writers in one epoch", "%s wrote in epoch %d of %s", p.owner, s.Epoch, writer)
	}
	if s.Epoch < r.last {
		w.violation("an older epoch after a newer one", "%s wrote in epoch %d after %d", p.name, s.Epoch, r.last)
	}
	if s.Epoch > r.last {
		r.claims[p.owner] = r.damages
	}
	r.writers[s.Epoch] = p.owner
	if s.Epoch >= r.last {
		r.last, r.owner = s.Epoch, p.owner
	}
	for key, floor := range r.floor {
		if s.Positions[key].RV < floor {
			w.violation("a cursor went back", "%s wrote %s %d after %d", p.name, key, s.Positions[key].RV, floor)
		}
	}
	for key, at := range s.Positions {
		r.floor[key] = max(r.floor[key], at.RV)
	}
	if !existed {
		w.createdCursors(p, s.Epoch)
	}
}

// createdCursors checks that the lock has kept the epoch over the deletion, if its holder is who creates.
func (w *world) createdCursors(p *process, epoch int64) {
	w.counts["cursors created"]++
	o := w.lockObject(p.kind)
	if o == nil {
		return
	}
	if holder, carried := lockRecord(o); holder == p.owner && epoch <= carried {
		w.violation("an epoch came again", "%s created the cursors in epoch %d, the lock carries %d", p.name, epoch, carried)
	}
}

func (w *world) lockObject(kind string) metav1.Object {
	if kind == "leases" {
		if o, err := w.api.Leases.Get(lockName); err == nil {
			return o
		}
		return nil
	}
	if o, err := w.api.ConfigMaps.Get(lockName); err == nil {
		return o
	}
	return nil
}

// refused is called with mu held.
func (w *world) refused(p *process, kind, name string, err error) {
	what := "lock"
	if name == cursorsName {
		what = "cursors"
	}
	if apierrors.IsConflict(err) || apierrors.IsAlreadyExists(err) || apierrors.IsNotFound(err) {
		w.counts["refused write of the "+what]++
	}
	w.trace("%s is refused: %s %s: %v", p.name, kind, name, err)
}

// learned is called when a process is told of an object.
func (w *world) learned(p *process, kind string, o metav1.Object) {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := time.Since(w.began)
	switch {
	case o.GetName() == lockName && kind == p.kind:
		v := version(o)
		if v < p.knows.version {
			return
		}
		p.knows.version = v
		holder, _ := lockRecord(o)
		if holder == p.owner {
			p.good = max(p.good, p.starts[v])
		} else if holder != "" {
			p.knows.other = now
		}
	case o.GetName() == lockName && kind == "leases" && version(o) > p.knows.lease:
		p.knows.lease = version(o)
		p.knows.wins = 0
		holder, _ := lockRecord(o)
		if h := w.byOwner[holder]; h != nil && !h.isDead() && !h.disowned {
			p.knows.wins = now
		}
	case o.GetName() == cursorsName && p.epoch > 0:
		if s, err := cursor.Read(o.(*corev1.ConfigMap)); err == nil && s.Owner != p.owner && s.Epoch > p.epoch {
			p.knows.newer = now
		}
	}
}

func (w *world) workBegins(p *process, t *election.Term) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.trace("%s begins to work, epoch %d in the lock", p.name, t.Epoch())
	if p.term != nil {
		w.violation("two terms at once", "%s", p.name)
	}
	p.term, p.epoch, p.began = t, 0, time.Since(w.began)
	p.knows.other, p.knows.newer = 0, 0
}

func (w *world) workEnds(p *process) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.trace("%s has ended its work", p.name)
	p.term, p.epoch = nil, 0
}

// claimed checks what a claim has found.
func (w *world) claimed(p *process, c *cursor.Register) {
	w.mu.Lock()
	defer w.mu.Unlock()
	p.epoch = c.Epoch()
	w.trace("%s has claimed epoch %d", p.name, p.epoch)
	w.counts["claimed"]++
	if c.First() && c.Epoch() != 1 {
		w.violation("not the first, and takes itself for it", "%s in epoch %d", p.name, c.Epoch())
	}
	r := &w.register
	if damages, ok := r.claims[p.owner]; ok && damages == r.damages && r.last == c.Epoch() && c.Positions()["log"].RV != r.floor["log"] {
		w.violation("a claim with the wrong cursors", "%s has %d, stored is %d", p.name, c.Positions()["log"].RV, r.floor["log"])
	}
}

func (w *world) fenced(p *process) {
	w.count("fenced")
	w.trace("%s is fenced", p.name)
}

// handedOut checks whether a process may work at this moment.
func (w *world) handedOut(p *process, epoch int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if p.isDead() {
		return
	}
	now := time.Since(w.began)
	w.counts["records"]++
	p.epoch = epoch
	if t := p.knows.other; t > 0 && t < now {
		w.violation("worked though it knew of another holder", "%s, for %v", p.name, now-t)
	}
	if t := p.knows.newer; t > 0 && t < now {
		w.violation("worked though it knew of a newer claim", "%s, for %v", p.name, now-t)
	}
	if t := p.knows.wins; t > p.began && t < now {
		w.violation("worked though it knew that the Lease is held", "%s, for %v", p.name, now-t)
	}
	if over := (clock{p}).Mono() - p.good - p.lease*2/3; over > time.Millisecond {
		w.violation("worked beyond its own deadline", "%s, by %v", p.name, over)
	}
	if r := w.register; w.plan.pure && epoch < r.last && r.owner != p.owner {
		w.violation("worked while another led", "%s in epoch %d, %s has claimed %d", p.name, epoch, r.owner, r.last)
	}
}

// observed takes what an elector reports.
func (w *world) observed(p *process, e election.Event) {
	if p.isDead() {
		return
	}
	w.count(string(e.Kind))
	w.trace("%s: %s of %s, %s", p.name, e.Kind, e.Lock, e.Holder)
}

// violation notes what must not be.
func (w *world) violation(check, format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	w.trace("VIOLATION %s: %s", check, text)
	w.vmu.Lock()
	defer w.vmu.Unlock()
	w.violations = append(w.violations, check+": "+text)
}
