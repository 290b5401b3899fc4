package matrix

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
)

func TestMeetingDoesItOnce(t *testing.T) {
	m := newMeeting(2)
	var done atomic.Int32
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			for range 3 {
				if err := m.do(t.Context(), func() error { done.Add(1); return nil }); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if done.Load() != 3 {
		t.Errorf("done %d times", done.Load())
	}
}

func TestMeetingWithoutTheOther(t *testing.T) {
	m := newMeeting(2)
	result := make(chan error)
	go func() { result <- m.do(t.Context(), func() error { return nil }) }()
	for waiting := false; !waiting; {
		m.mu.Lock()
		waiting = m.arrived == 1
		m.mu.Unlock()
	}
	m.leave()
	if err := <-result; !errors.Is(err, errLeft) {
		t.Error(err)
	}
	if err := m.do(t.Context(), func() error { return nil }); err != nil {
		t.Error("the one that is left does it alone:", err)
	}
}

func TestMeetingEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := newMeeting(2).do(ctx, func() error { return nil }); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func TestNamesOfCells(t *testing.T) {
	seen := map[string]bool{}
	for _, c := range cells() {
		s := slug(c.name)
		if s == "" || seen[s] {
			t.Errorf("%q is no name of its own for -run", c.name)
		}
		seen[s] = true
		if c.fault == nil {
			t.Errorf("%s has no fault", c.name)
		}
	}
}
