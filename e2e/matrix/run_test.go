package matrix

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/eventbaton/baton/e2e/controlplane"
	"github.com/eventbaton/baton/e2e/fleet"
	"github.com/eventbaton/baton/e2e/generator"
	"github.com/eventbaton/baton/e2e/history"
	"github.com/eventbaton/baton/e2e/receiver"
	"github.com/eventbaton/baton/e2e/receiver/backend"
	"github.com/eventbaton/baton/e2e/verdict"
)

// run is one cell with one kind of lock. Its methods end the test where something doesn't come about.
type run struct {
	*testing.T
	cell
	lock     string
	ctx      context.Context
	planes   *planes
	together *meeting

	plane     *controlplane.ControlPlane
	namespace string
	sink      *receiver.Server
	backends  []*backend.Backend // of further sinks
	events    *generator.Generator
	fleet     *fleet.Fleet

	since   time.Time // when the first leader had delivered all there was
	windows []window
	made    []generator.Event   // by the cell itself, besides the generator's
	wrote   map[string]bool     // versions of the cursors that the test has written
	wrong   map[string][]string // what the cell has found wrong, by the sink's name
}

// window is a time from which on a blackout is measured, up to the next one.
type window struct {
	from time.Time
	// clip counts a gap from there on only: before, nobody could read or receive.
	clip bool
}

const (
	runTimeout    = 4 * time.Minute
	settleTimeout = 40 * time.Second
)

var namespaces atomic.Int32

func newRun(t *testing.T, c cell, lock string, p *planes, m *meeting) *run {
	ctx, cancel := context.WithTimeout(suite.ctx, runTimeout)
	t.Cleanup(cancel)
	r := &run{T: t, cell: c, lock: lock, ctx: ctx, planes: p, together: m, wrote: map[string]bool{}, wrong: map[string][]string{}}
	r.namespace = fmt.Sprintf("cell-%d", namespaces.Add(1))
	return r
}

func (r *run) execute() {
	r.setUp()
	r.fault(r)
	r.pass(time.Second)
	r.events.Stop()
	r.settle()
	if r.after != nil {
		r.after(r)
	}
	r.must(r.fleet.Terminate(15 * time.Second))
	r.judge()
}

func (r *run) setUp() {
	var err error
	r.plane, err = r.planes.get(r.ctx)
	r.must(err)
	r.sink, err = receiver.Listen()
	r.must(err)
	r.Cleanup(r.sink.Close)
	r.openBackends()
	r.fleet, err = fleet.New(r.ctx, r.options())
	r.must(err)
	r.Cleanup(func() {
		r.keepLogs()
		r.fleet.Stop()
	})
	r.events = generator.Start(r.ctx, generator.Options{
		Client: r.plane.Client(), Namespace: r.namespace, Prefix: "e", Rate: cmp.Or(r.rate, rate), Updates: cmp.Or(r.updates, usualUpdates),
		Objects: r.objects,
	})
	if r.before != nil {
		r.before(r)
	}
	r.must(r.fleet.Start())
	r.steady()
	r.since = time.Now()
}

func (r *run) options() fleet.Options {
	config := fleet.Config{Name: "baton", Lock: r.lock, Lease: lease, More: map[string]string{"checkpoint_interval": "1"}}
	if r.cell.plane == nil {
		config.Namespaces = []string{r.namespace}
	}
	if r.config != nil {
		r.config(&config)
	}
	return fleet.Options{
		Plane: r.plane, Binary: suite.binary, Namespace: r.namespace, Size: cmp.Or(r.size, 3), Config: config, Each: r.configure, SinkURL: r.sink.URL,
	}
}

// steady waits until someone leads and has delivered what was made, and has said so in the cursors: a crash then repeats
// little. First its list has to be behind it: what is made while one is read comes only with the watch that follows. It
// has also led for a while: an acquireTime and a finishedAt in the same second prove nothing.
func (r *run) steady() {
	r.Helper()
	var lock history.LockState
	var before history.CursorState
	saves := func() bool {
		s, stream := r.fleet.Cursors.Now(), r.stream()
		return s.Owner == lock.Holder && !s.Listing[stream] && s.RVs[stream] > before.RVs[stream]
	}
	r.eventually("somebody leads, and has delivered what is retained", time.Minute, func() bool {
		lock = r.fleet.Lock.Now()
		return lock.Holder != "" && r.sink.Len() > 0 && saves()
	})
	r.settle()
	before = r.fleet.Cursors.Now()
	r.eventually("the leader saves its cursors", time.Minute, func() bool {
		return r.fleet.Cursors.Now().Epoch == before.Epoch && saves()
	})
	r.pass(time.Until(lock.AcquireTime.Add(2100 * time.Millisecond)))
}

// settle waits until all that is made by now has arrived, or it is sure that it won't.
func (r *run) settle() {
	r.Helper()
	made, end := r.events.Log().Events(), time.Now().Add(settleTimeout)
	for _, t := range r.targets() {
		r.settled(t, made, end)
	}
}

// settled waits for what was made to arrive at a target, and tells whether it has.
func (r *run) settled(t target, made []generator.Event, end time.Time) bool {
	r.Helper()
	for left := slices.Clone(made); ; r.pass(20 * time.Millisecond) {
		left = slices.DeleteFunc(left, func(e generator.Event) bool { return r.arrived(t.log, e) })
		if len(left) == 0 || time.Now().After(end) {
			return len(left) == 0
		}
	}
}

func (r *run) delivered(e generator.Event) bool { return r.arrived(r.sink.Receiver, e) }

func (r *run) arrived(at *receiver.Receiver, e generator.Event) bool {
	uid, err := receiver.ParseUID(e.UID)
	r.must(err)
	return r.excused != nil && r.excused(e.Name) || at.Has(receiver.Version{UID: uid, RV: e.Last().RV})
}

// inject says that the fault begins now: from here on the longest gap between first arrivals counts.
func (r *run) inject() time.Time { return r.window(false) }

// heal says that only now somebody can read and receive again: gaps count from here on, what was measured before
// counts no more.
func (r *run) heal() time.Time {
	r.windows = nil
	return r.window(true)
}

// proof says that from now on the status says that the leader is dead.
func (r *run) proof() time.Time { return r.window(true) }

func (r *run) window(clip bool) time.Time {
	now := time.Now()
	r.windows = append(r.windows, window{now, clip})
	return now
}

// leader is who leads now.
func (r *run) leader() *fleet.Agent {
	r.Helper()
	return r.lead(nil)
}

// takeover waits until another process than holder leads.
func (r *run) takeover(holder string) {
	r.Helper()
	ctx, cancel := context.WithTimeout(r.ctx, time.Minute)
	defer cancel()
	_, err := r.fleet.Lock.Wait(ctx, func(s history.LockState) bool { return s.Holder != holder && r.fleet.Agent(s.Holder) != nil })
	r.must(err)
}

// successor waits until another agent than old leads.
func (r *run) successor(old *fleet.Agent) *fleet.Agent {
	r.Helper()
	return r.lead(func(a *fleet.Agent) bool { return a != old })
}

func (r *run) lead(is func(*fleet.Agent) bool) *fleet.Agent {
	r.Helper()
	ctx, cancel := context.WithTimeout(r.ctx, time.Minute)
	defer cancel()
	a, err := r.fleet.Leader(ctx, is)
	r.must(err)
	return a
}

// delivering waits until something made after now has arrived.
func (r *run) delivering() {
	r.Helper()
	now := time.Now()
	r.eventually("what is made now arrives", time.Minute, func() bool {
		for _, e := range slices.Backward(r.events.Log().Events()) {
			if e.Last().At.Before(now) {
				return false
			}
			if r.delivered(e) {
				return true
			}
		}
		return false
	})
}

// signal sends s to an agent.
func (r *run) signal(a *fleet.Agent, s syscall.Signal) time.Time {
	r.Helper()
	at, err := a.Signal(s)
	r.must(err)
	return at
}

// kill kills an agent by SIGKILL and waits for the end of its process.
func (r *run) kill(a *fleet.Agent) time.Time {
	r.Helper()
	at := r.signal(a, syscall.SIGKILL)
	r.must(a.Ended(r.ctx))
	return at
}

// pass lets time pass: a fault has to last for a while.
func (r *run) pass(d time.Duration) {
	r.Helper()
	select {
	case <-time.After(d):
	case <-r.ctx.Done():
		r.Fatal(r.ctx.Err())
	}
}

// eventually waits until it is so.
func (r *run) eventually(what string, within time.Duration, is func() bool) {
	r.Helper()
	for end := time.Now().Add(within); !is(); r.pass(10 * time.Millisecond) {
		if time.Now().After(end) {
			r.Fatalf("not so after %v: %s", within, what)
		}
	}
}

// once has both locks' runs wait for each other, and one of them do it.
func (r *run) once(what func() error) {
	r.Helper()
	r.must(r.together.do(r.ctx, what))
}

func (r *run) must(err error) {
	if err != nil {
		r.Helper()
		r.Fatal(err)
	}
}

// judge makes a row for each target.
func (r *run) judge() {
	cursors := verdict.Cursors(r.fleet.Cursors.All(), r.wrote, r.goesBack)
	failed := r.Failed()
	for _, t := range r.targets() {
		result := verdict.Judge(verdict.Case{
			Made: append(r.events.Log().Events(), r.made...), Receiver: t.log, Cursors: r.fleet.Cursors.All(), Stream: r.streamOf(t.sink),
			Since: r.since, LatestOnly: r.latestOnly, Resends: r.resends || t.kind.Resends, Excused: r.excused,
			Uncounted: t.kind.Uncounted,
		})
		result.Wrong = append(append(result.Wrong, t.wrong...), cursors...)
		row := r.row(result)
		row.Sink = t.name
		row.Passed = r.complain(result, row) && !failed
		r.Logf("%+v, lag p50 %v p99 %v", row, verdict.Quantile(result.Lags, 0.5), verdict.Quantile(result.Lags, 0.99))
		suite.mu.Lock()
		suite.rows = append(suite.rows, row)
		suite.mu.Unlock()
	}
}

// stream is the key of the receiver's cursor.
func (r *run) stream() string { return r.streamOf(receiverSink) }

func (r *run) streamOf(sink string) string {
	if r.cell.plane == nil {
		return sink + "." + r.namespace
	}
	return sink
}

func (r *run) row(result verdict.Result) verdict.Row {
	row := verdict.Row{
		Fault: r.name, Lock: r.lock, Made: result.Made, Lost: len(result.Lost), Repeated: result.Repeated, Bound: r.bound,
	}
	if row.Bound == 0 {
		row.Bound = expiry
	}
	suite.mu.Lock()
	defer suite.mu.Unlock()
	gaps := r.gaps(result.First)
	for i := range gaps {
		gaps[i] = max(0, gaps[i]-suite.control)
	}
	slices.Sort(gaps)
	row.Blackout = verdict.Quantile(gaps, 1)
	if len(gaps) > 1 {
		row.Median = verdict.Quantile(gaps, 0.5)
	}
	return row
}

func (r *run) gaps(first []time.Time) []time.Duration {
	var gaps []time.Duration
	for i, w := range r.windows {
		to := time.Now()
		if i+1 < len(r.windows) {
			to = r.windows[i+1].from
		}
		gaps = append(gaps, verdict.Gap(first, w.from, to, w.clip))
	}
	return gaps
}

// complain tells what is wrong, and whether nothing is.
func (r *run) complain(result verdict.Result, row verdict.Row) bool {
	fine := true
	say := func(format string, args ...any) {
		fine = false
		if row.Sink != "" {
			format = row.Sink + ": " + format
		}
		r.Errorf(format, args...)
	}
	for _, list := range []struct {
		what  string
		lines []string
	}{{"lost", result.Lost}, {"wrong", result.Wrong}} {
		for i, line := range list.lines {
			if i == 10 {
				say("%s: and %d more", list.what, len(list.lines)-i)
				break
			}
			say("%s: %s", list.what, line)
		}
	}
	if row.Blackout > row.Bound {
		say("the blackout of %v is longer than the bound of %v", row.Blackout, row.Bound)
	}
	if r.noRepeats && result.Repeated > 0 {
		say("%d records were repeated", result.Repeated)
	}
	return fine
}
