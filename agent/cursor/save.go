package cursor

import (
	"context"
	"errors"
	"fmt"

	corev1 "k8s.io/api/core/v1"
)

// change is a state of the memory that is to be written.
type change struct {
	number    int
	positions map[string]Position
}

// flush writes the memory over the last own version, and as long as that is not the object's version finds out why.
func (r *Register) flush(ctx context.Context) error {
	c, ok := r.unwritten()
	if !ok {
		return nil
	}
	next, epoch, err := r.rebase(r.base, r.Epoch(), c)
	for range attempts {
		if err != nil {
			return err
		}
		var got *corev1.ConfigMap
		got, err = r.o.write(ctx, next)
		if err == nil {
			r.wrote(got, epoch, c.number)
			return nil
		}
		if !lostRace(err) {
			return err
		}
		next, epoch, err = r.reconcile(ctx, c)
	}
	if err != nil {
		return err
	}
	return fmt.Errorf("update the cursors %s/%s: others keep changing the object", r.o.Namespace, r.o.Name)
}

func (r *Register) unwritten() (change, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return change{number: r.changes, positions: r.copied()}, r.changes != r.written
}

func (r *Register) wrote(got *corev1.ConfigMap, epoch int64, number int) {
	r.base, r.pending = got, 0
	r.mu.Lock()
	claimed := epoch != r.epoch
	r.epoch, r.written = epoch, number
	r.mu.Unlock()
	if claimed {
		r.o.Leadership.SetEpoch(epoch)
	}
}

// reconcile reads the object after a write was refused, and says what to write instead.
func (r *Register) reconcile(ctx context.Context, c change) (*corev1.ConfigMap, int64, error) {
	now, err := r.o.read(ctx)
	if err != nil {
		return nil, 0, err
	}
	if now == nil {
		return r.reclaim(ctx, c)
	}
	epoch := r.Epoch()
	s, err := Read(now)
	switch {
	case err == nil && s.Format == format && s.Owner == r.o.Owner && s.Epoch == epoch:
		return r.rebase(now, epoch, c)
	case err == nil && s.Owner == r.o.Owner && s.Epoch > 0 && s.Epoch == r.pending:
		return r.rebase(now, r.pending, c)
	case s.Owner != r.o.Owner && errors.Is(err, ErrFormat):
		return nil, 0, r.fence(fmt.Errorf("%w: %w", ErrFenced, err))
	case s.Epoch > epoch, s.Epoch == epoch && s.Owner != "" && s.Owner != r.o.Owner:
		return nil, 0, r.fence(fmt.Errorf("%w: %q in epoch %d, this is %q of epoch %d",
			ErrFenced, s.Owner, s.Epoch, r.o.Owner, epoch))
	}
	return r.repair(ctx, now, s, c)
}

// rebase writes the memory over a version of the object that is still the own claim. What others have put there,
// labels and keys that this register does not know, stays.
func (r *Register) rebase(base *corev1.ConfigMap, epoch int64, c change) (*corev1.ConfigMap, int64, error) {
	next := r.o.copyOf(base)
	r.o.sign(next, epoch)
	return next, epoch, writeCursors(next, c.positions)
}

// repair writes everything from memory over an object that has been damaged. What is left of the cursors in it is
// not trusted. A successor may have claimed before the damage, so only the lock's holder repairs.
func (r *Register) repair(ctx context.Context, now *corev1.ConfigMap, s State, c change) (*corev1.ConfigMap, int64, error) {
	if err := r.holding(ctx, "damaged"); err != nil {
		return nil, 0, err
	}
	r.o.Log.Warn("the cursors were damaged and are repaired from memory",
		"owner", s.Owner, "epoch", s.Epoch, "problems", s.Problems)
	base := r.o.copyOf(now)
	dropCursors(base)
	return r.rebase(base, r.Epoch(), c)
}

// reclaim makes a new object from memory. It is a new claim: its epoch is above every one that this process knows
// of. One whose answer was lost is repeated, so that it is known again if it does take effect.
func (r *Register) reclaim(ctx context.Context, c change) (*corev1.ConfigMap, int64, error) {
	if !r.o.Leadership.Valid() {
		return nil, 0, fmt.Errorf("create the cursors %s/%s: %w", r.o.Namespace, r.o.Name, ErrNotLeading)
	}
	if err := r.holding(ctx, "deleted"); err != nil {
		return nil, 0, err
	}
	r.pending = max(r.pending, r.Epoch()+1, r.o.lockEpoch()+1)
	r.o.Log.Warn("the cursors were deleted and are claimed anew from memory", "epoch", r.pending)
	return r.rebase(nil, r.pending, c)
}

// holding returns an error where the lock is not held: ErrFenced where it is certain.
func (r *Register) holding(ctx context.Context, what string) error {
	ok, err := r.o.holds(ctx)
	if err != nil {
		return fmt.Errorf("the cursors were %s: %w", what, err)
	}
	if !ok {
		return r.fence(fmt.Errorf("%w: the object was %s, and the lock is another's", ErrFenced, what))
	}
	return nil
}
