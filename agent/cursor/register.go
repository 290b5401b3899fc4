package cursor

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation"
)

// Register is a claim: the cursors, and the right to move them until another claims. Its methods may be called
// from several goroutines.
type Register struct {
	o Options

	// saving is held through a Save; it guards base and pending.
	saving sync.Mutex
	// base is the last version that is known to be the own one.
	base *corev1.ConfigMap
	// pending is the epoch of a new claim whose answer was lost, 0 for none.
	pending int64

	// mu guards what follows. It is not held during a request.
	mu        sync.Mutex
	epoch     int64
	positions map[string]Position
	problems  []string
	first     bool
	fenced    error
	// changes counts the changes of positions, written those of them that the object has.
	changes, written int
}

// Epoch is the epoch of the claim. It rises where the object was deleted and is claimed anew.
func (r *Register) Epoch() int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.epoch
}

// Positions is a copy of the positions, by Key, with those of sinks that are not configured any more.
func (r *Register) Positions() map[string]Position {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.copied()
}

func (r *Register) copied() map[string]Position {
	out := make(map[string]Position, len(r.positions))
	for k, p := range r.positions {
		out[k] = p.own()
	}
	return out
}

// Known says whether there is a cursor for the key.
func (r *Register) Known(key string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	_, ok := r.positions[key]
	return ok
}

// First says that neither the object nor the lock bore a trace of an earlier claim. Only then does `start: now`
// apply; else a cursor that is missing starts at the oldest retained event.
func (r *Register) First() bool { return r.first }

// Problems are the parts of the object that were not readable when it was claimed. A cursor among them is missing.
func (r *Register) Problems() []string { return slices.Clone(r.problems) }

// Reset sets a position that may go back, as it has to where the log went back. The next Save writes it. The
// caller sees to it that no Save with an older idea of this key follows.
func (r *Register) Reset(key string, p Position) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.set(key, p, true)
}

// Save takes the given positions over into the register, and writes it where anything has changed. Cursors that are
// not given stay as they are. ErrFenced means that another has claimed: the caller stops at once, and every later
// Save answers the same without a request. After any other error the outcome is not known, and the next Save finds
// it out. A position that would go back is left out, and named by ErrBack; the others are written.
//
// Where the object was deleted, Save claims it anew from memory, if the lock is held: Epoch is a higher one then.
func (r *Register) Save(ctx context.Context, positions map[string]Position) error {
	r.saving.Lock()
	defer r.saving.Unlock()
	merged := r.merge(positions)
	if err := r.lost(); err != nil {
		return errors.Join(err, merged)
	}
	return errors.Join(merged, r.flush(ctx))
}

func (r *Register) merge(positions map[string]Position) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	var errs []error
	for _, key := range slices.Sorted(maps.Keys(positions)) {
		errs = append(errs, r.set(key, positions[key], false))
	}
	return errors.Join(errs...)
}

// set is called with mu held.
func (r *Register) set(key string, p Position, back bool) error {
	if key == "" {
		return errors.New("a cursor without a key")
	}
	if bad := validation.IsConfigMapKey(keyCursor + key); len(bad) > 0 {
		return fmt.Errorf("cursor %q: not a key: %s", key, bad[0])
	}
	p = p.own()
	if err := p.check(); err != nil {
		return fmt.Errorf("cursor %s: %w", key, err)
	}
	old, ok := r.positions[key]
	if ok && old.equal(p) {
		return nil
	}
	if ok && !back && old.Back(p) {
		return fmt.Errorf("cursor %s: %w: from %s to %s", key, ErrBack, old, p)
	}
	r.positions[key] = p
	r.changes++
	return nil
}

func (r *Register) lost() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.fenced
}

// fence ends the register.
func (r *Register) fence(err error) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.fenced = err
	return err
}
