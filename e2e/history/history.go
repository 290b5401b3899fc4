// Package history remembers every state of the two objects that say who leads, the lock and the cursors.
package history

import (
	"context"
	"fmt"
	"slices"
	"sync"
)

// History is all that was seen of an object, oldest first.
type History[T any] struct {
	mu     sync.Mutex
	states []T
	more   chan struct{}
}

// New makes a History of nothing.
func New[T any]() *History[T] { return &History[T]{more: make(chan struct{})} }

// Add adds the newest state.
func (h *History[T]) Add(state T) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.states = append(h.states, state)
	close(h.more)
	h.more = make(chan struct{})
}

// All is everything seen so far, oldest first.
func (h *History[T]) All() []T {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.states)
}

func (h *History[T]) last() (T, chan struct{}) {
	h.mu.Lock()
	defer h.mu.Unlock()
	var none T
	if len(h.states) == 0 {
		return none, h.more
	}
	return h.states[len(h.states)-1], h.more
}

// Now is the newest state, the zero one where nothing was seen.
func (h *History[T]) Now() T {
	s, _ := h.last()
	return s
}

// Wait waits until the newest state is as wanted, and returns it.
func (h *History[T]) Wait(ctx context.Context, is func(T) bool) (T, error) {
	for {
		s, more := h.last()
		if is(s) {
			return s, nil
		}
		select {
		case <-ctx.Done():
			return s, fmt.Errorf("%w; it is still %+v", ctx.Err(), s)
		case <-more:
		}
	}
}
