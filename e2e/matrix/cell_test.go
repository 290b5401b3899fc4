package matrix

import (
	"context"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/eventbaton/baton/e2e/controlplane"
	"github.com/eventbaton/baton/e2e/fleet"
	"github.com/eventbaton/baton/e2e/receiver"
)

const (
	lease = 5 * time.Second
	rate  = 20 // versions a second
	// usualUpdates is the share of them that update an event.
	usualUpdates = 0.2
)

// cell is one fault. It is run with each kind of lock: a fleet, a generator and a receiver of its own in a namespace
// of its own.
type cell struct {
	name string // what the table calls it, and -run
	// fault does harm and, where it lasts, heals it. Events flow meanwhile, before and after.
	fault func(r *run)
	// bound is what a blackout may be at most, expiry if zero.
	bound time.Duration

	// alone has nothing run beside it.
	alone bool
	// plane gives the cell an API server of its own, for both locks. Its agents gather from the whole cluster, those
	// of other cells from their own namespace.
	plane *controlplane.Options
	// prepare is done with that API server, once, before any other cell runs beside: it may keep the machine busy.
	prepare func(ctx context.Context, plane *controlplane.ControlPlane) error
	// size is the number of agents, 3 if zero.
	size int
	// rate is the number of versions a second, the usual one if zero.
	rate float64
	// updates is the share of them that update an event, the usual one if zero.
	updates float64
	// objects are how many objects the events are about, one if zero.
	objects int
	// backends gives the agents a sink of each kind there is, besides the one that all cells have. Each is judged.
	backends bool
	// config changes all agents' configuration, each that of one.
	config func(c *fleet.Config)
	each   func(i int, c *fleet.Config)
	// before is done before the agents start. Events flow already.
	before func(r *run)
	// after is judged at the end, with what else the cell expects.
	after func(r *run)

	latestOnly bool // an older version of an event may be lost
	resends    bool // the receiver makes a leader deliver twice
	noRepeats  bool // nothing may be delivered twice
	goesBack   bool // the log goes back, and so may the cursors
	excused    func(event string) bool
}

const (
	// slack is what the lock's next holder may take to ask, to win and to deliver while nine other runs share the machine.
	slack = 2 * time.Second
	// expiry is how long it may take without any sign of the leader's end.
	expiry = lease + slack
)

// cells are all cells, in the order of the table.
func cells() []cell {
	return slices.Concat(processCells(), networkCells(), lockCells(), cursorCells(), sinkCells(), backendCells(), migrationCells(), backlogCells(), apiserverCells())
}

// TestMatrix runs the cells that need to be alone one after the other, and then the others side by side.
func TestMatrix(t *testing.T) {
	t.Cleanup(func() { recount(t) })
	for _, c := range cells() {
		t.Run(slug(c.name), func(t *testing.T) {
			planes := &planes{options: c.plane}
			t.Cleanup(func() { planes.stop(t) })
			if err := c.start(planes); err != nil {
				t.Fatal(err)
			}
			if c.alone {
				c.inTurn(t, planes)
				return
			}
			t.Parallel()
			c.together(t, planes)
		})
	}
}

var locks = []string{"lease", "configmap"}

// inTurn has one lock's run after the other's.
func (c cell) inTurn(t *testing.T, p *planes) {
	for _, lock := range locks {
		t.Run(lock, func(t *testing.T) { newRun(t, c, lock, p, newMeeting(1)).execute() })
	}
}

// together has both locks' runs begin at the same time, as some wait for each other. Were each a parallel test, one of
// them could end before there is a place for the other.
func (c cell) together(t *testing.T, p *planes) {
	both := newMeeting(len(locks))
	var wg sync.WaitGroup
	for _, lock := range locks {
		wg.Go(func() {
			t.Run(lock, func(t *testing.T) {
				t.Cleanup(both.leave)
				newRun(t, c, lock, p, both).execute()
			})
		})
	}
	wg.Wait()
}

// start starts the cell's own API server while nothing else runs: several at once would make bounds a matter of luck.
func (c *cell) start(p *planes) error {
	if c.plane == nil {
		return nil
	}
	plane, err := p.get(suite.ctx)
	if err == nil && c.prepare != nil {
		err = c.prepare(suite.ctx, plane)
	}
	return err
}

// slug is a name for -run.
func slug(name string) string {
	return strings.Trim(strings.Map(func(c rune) rune {
		switch {
		case c >= 'a' && c <= 'z', c >= '0' && c <= '9':
			return c
		case c >= 'A' && c <= 'Z':
			return c + 'a' - 'A'
		}
		return '-'
	}, name), "-")
}

// answers is a fault of the receiver that lasts for d and is then healed.
func answers(m receiver.Mode, d time.Duration) func(*run) {
	return func(r *run) {
		r.inject()
		r.sink.Set(m)
		r.pass(d)
		r.sink.Set(receiver.Mode{})
		r.heal()
	}
}
