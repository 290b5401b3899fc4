package simulation

import (
	"flag"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

var (
	seed      = flag.Uint64("seed", 0, "run this schedule alone and tell it step by step")
	schedules = flag.Int("schedules", 100, "how many schedules to run; make simulation runs 10,000")
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// must are the things that have to happen in the schedules, or they prove nothing.
var must = []string{
	"takeover_missing", "takeover_released", "takeover_expired", "takeover_dead", "reclaimed", "acquired", "conflict",
	"unknown", "deposed", "expired", "restored", "released", "both_held", "refused write of the lock",
	"refused write of the cursors", "claimed", "claim failed", "fenced", "work withheld", "records", "cursors created",
	"unable to lead", "crash", "container restarted", "ended in order", "pause", "partition", "storm", "lost request",
	"lost answer", "late effect", "watches cut", "cursors deleted", "cursors damaged", "cursors labelled",
	"cursors claimed by hand", "lock deleted", "lock edited", "wrong proof of death", "kind of lock changed",
}

// total is what all schedules add up to.
type total struct {
	mu       sync.Mutex
	counts   map[string]int
	failed   int
	slowest  time.Duration
	slowSeed uint64
	recovery time.Duration
	ran      int
}

func (s *total) add(w *world) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for what, n := range w.counts {
		s.counts[what] += n
	}
	s.ran++
	s.recovery += w.recovery
	if w.recovery > s.slowest {
		s.slowest, s.slowSeed = w.recovery, w.seed
	}
	if w.failed() {
		s.failed++
	}
}

func (s *total) enough() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.failed >= 5
}

// schedule runs one seed.
func schedule(t *testing.T, n uint64, log func(string, ...any)) (w *world) {
	defer func() {
		if r := recover(); r != nil {
			panic(fmt.Sprintf("seed %d: %v", n, r))
		}
	}()
	synctest.Test(t, func(t *testing.T) {
		w = newWorld(newPlan(n))
		w.log = log
		w.run()
	})
	return w
}

func TestSimulation(t *testing.T) {
	if *seed != 0 {
		w := schedule(t, *seed, func(format string, args ...any) { fmt.Printf(format+"\n", args...) })
		if w.failed() {
			t.Errorf("seed %d\n\t%s", *seed, w.summary())
		}
		return
	}
	sum := &total{counts: map[string]int{}}
	const workers = 2
	t.Run("schedules", func(t *testing.T) {
		for worker := range workers {
			t.Run(fmt.Sprint(worker), func(t *testing.T) {
				t.Parallel()
				for n := 1 + worker; n <= *schedules && !sum.enough(); n += workers {
					w := schedule(t, uint64(n), nil)
					sum.add(w)
					if w.failed() {
						t.Errorf("seed %d\n\t%s", n, w.summary())
					}
				}
			})
		}
	})
	sum.report(t)
}

// report says how often each kind of thing happened.
func (s *total) report(t *testing.T) {
	var b strings.Builder
	fmt.Fprintf(&b, "%d schedules; after the faults somebody led again after %v in the mean, %v at most (seed %d)\n",
		s.ran, (s.recovery / time.Duration(max(s.ran, 1))).Round(time.Millisecond), s.slowest.Round(time.Millisecond), s.slowSeed)
	for _, what := range slices.Sorted(maps.Keys(s.counts)) {
		fmt.Fprintf(&b, "%10d  %s\n", s.counts[what], what)
	}
	t.Log(b.String())
	if *schedules < 2000 || s.failed > 0 {
		return
	}
	for _, what := range must {
		if s.counts[what] == 0 {
			t.Errorf("it never happened: %s", what)
		}
	}
}
