package simulation

import (
	"testing"
	"testing/synctest"
	"time"
)

// most is how many writes a takeover may cost, whoever makes them, refused ones included.
const most = 20

// TestFleet takes the lead from one of a thousand again and again, and counts what it costs the API server.
func TestFleet(t *testing.T) {
	ends := []struct {
		name string
		end  func(*world, *process)
	}{
		{"SIGTERM", func(_ *world, p *process) { p.terminate() }},
		{"dies with proof", func(w *world, p *process) { p.crash(); w.reportEnd(p) }},
		{"dies without proof", func(_ *world, p *process) { p.crash() }},
	}
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(plan{lease: 15 * time.Second, checkpoint: time.Minute, pure: true, kind: "leases", proof: true, mild: true}, chance(1))
		w.fair.slow = 100 * time.Millisecond // each way of a request, and the news of a watch: 50 ms in the mean
		w.calmed = true
		for range 1000 {
			w.newPod("leases")
		}
		time.Sleep(30 * time.Second)
		w.quiet(t)
		for round := range 4 {
			for _, e := range ends {
				writes := w.takeover(t, func(p *process) { e.end(w, p) })
				t.Logf("round %d, the leader's end: %-18s  %d writes", round, e.name, writes)
				if writes > most {
					t.Errorf("%d writes, at most %d are allowed", writes, most)
				}
			}
		}
		w.quiet(t)
		w.shutDown()
		if w.failed() {
			t.Error(w.summary())
		}
	})
}

// quiet checks that the followers make no request for five minutes, in which the leader renews.
func (w *world) quiet(t *testing.T) {
	t.Helper()
	leader := w.leaders()[0]
	w.mu.Lock()
	before := w.requests - leader.requests
	w.mu.Unlock()
	time.Sleep(5 * time.Minute)
	w.mu.Lock()
	defer w.mu.Unlock()
	if n := w.requests - leader.requests - before; n > 0 {
		t.Errorf("%d requests of %d followers in five minutes", n, len(w.processes)-1)
	}
	if leader.term == nil {
		t.Error("the leader has changed meanwhile")
	}
}

// takeover ends the leader and returns how many writes were made until half a second after another had claimed, but
// for those of the old one before its end.
func (w *world) takeover(t *testing.T, end func(*process)) int {
	t.Helper()
	old := w.leaders()[0]
	end(old)
	w.mu.Lock()
	before, last := w.writes, w.register.last
	w.mu.Unlock()
	claimed := func() bool {
		l := w.leaders()
		w.mu.Lock()
		defer w.mu.Unlock()
		return w.register.last > last && len(l) > 0 && l[0] != old
	}
	if !w.within(claimed) {
		t.Fatal("nobody takes over")
	}
	time.Sleep(500 * time.Millisecond)
	w.mu.Lock()
	writes := w.writes - before
	w.mu.Unlock()
	time.Sleep(20 * time.Second) // Everybody looks at the new leader's Pod.
	return writes
}
