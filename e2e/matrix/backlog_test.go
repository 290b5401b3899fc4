package matrix

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/eventbaton/baton/e2e/controlplane"
	"github.com/eventbaton/baton/e2e/fleet"
	"github.com/eventbaton/baton/e2e/generator"
	"github.com/eventbaton/baton/e2e/history"
	"github.com/eventbaton/baton/e2e/receiver"
)

const (
	retainedNamespace = "retained"

	// crowd events of the usual size are listed in pages of 500, and sent in batches of 500 at most.
	crowd     = 20_000
	crowdPage = 500
	// crowdDelay is how long the receiver takes for a batch, so that the backlog lasts for four seconds and more.
	crowdDelay = 100 * time.Millisecond

	// tomes fill 20 MB, five times what a queue holds: so the list can't be read to its end long before it is delivered.
	// A page, and a batch, have a megabyte, that is about a hundred.
	tomes     = 2000
	tomeBytes = 10_000
	tomePage  = 1 << 20 / tomeBytes
	tomeDelay = 250 * time.Millisecond
	// repeatTime is for the megabytes that a successor reads and delivers again before it comes to what is new.
	repeatTime = 2 * time.Second

	// repeatedPages is what a crash in the middle of a list may repeat: the cursors are written every 200 ms, in which
	// a receiver takes two batches, or three with the time the write takes; one more was in flight, and a page that is
	// acknowledged in part counts for nothing.
	repeatedPages = 5
)

func backlogCells() []cell {
	crash := &backlog{size: crowd, page: crowdPage, delay: crowdDelay}
	library := func() *backlog {
		return &backlog{size: tomes, page: tomePage, delay: tomeDelay, message: strings.Repeat("tome ", tomeBytes/5)}
	}
	expired, passed := library(), library()
	return []cell{
		{name: "SIGKILL in a backlog of 20,000", alone: true, plane: &controlplane.Options{}, prepare: crash.load, before: crash.crash, fault: calm, after: crash.fewRepeats},
		{
			name: "continue token expired", plane: &controlplane.Options{}, latestOnly: true, resends: true, each: patient,
			prepare: expired.load, before: expired.expire, fault: calm, after: expired.onlyChanged,
		},
		{
			name: "continue token expired, leader gone", plane: &controlplane.Options{}, latestOnly: true, resends: true, each: patient,
			bound:   expiry + repeatTime,
			prepare: passed.load, before: passed.expireAndCrash, fault: calm, after: passed.fewRepeats,
		},
	}
}

// patient gives a request longer than a run has.
func patient(_ int, c *fleet.Config) {
	for i := range c.Sinks {
		c.Sinks[i].More["timeout"] = (runTimeout + time.Minute).String()
	}
}

// calm is for cells whose fault comes before the steady state.
func calm(r *run) { r.pass(time.Second) }

// backlog is what was made before the agents start. Both locks' runs deliver the same, because making it takes longer
// than all else.
type backlog struct {
	size    int
	page    int // events a page
	delay   time.Duration
	message string

	log     *generator.Log
	changed map[string]generator.Version // later versions, by the event's name
}

// load makes the backlog.
func (b *backlog) load(ctx context.Context, plane *controlplane.ControlPlane) error {
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: retainedNamespace}}
	_, err := plane.Client().CoreV1().Namespaces().Create(ctx, ns, metav1.CreateOptions{})
	if err != nil {
		return fmt.Errorf("making the namespace of the backlog: %w", err)
	}
	b.log, err = generator.Load(ctx, generator.Options{
		Client: plane.Client(), Namespace: retainedNamespace, Prefix: "b", Message: b.message,
	}, b.size)
	return err
}

// made is the backlog with its later versions.
func (b *backlog) made() []generator.Event {
	events := b.log.Events()
	for i, e := range events {
		if v, ok := b.changed[e.Name]; ok {
			events[i].Versions = append(events[i].Versions, v)
		}
	}
	return events
}

// begin starts the fleet and returns once a quarter of the backlog has been delivered, in the middle of the list.
func (b *backlog) begin(r *run) *fleet.Agent {
	r.Helper()
	r.sink.Set(receiver.Mode{Delay: b.delay})
	r.must(r.fleet.Start())
	r.eventually("a quarter of the backlog is delivered", time.Minute, func() bool {
		return r.sink.Len() >= b.size/4 && r.fleet.Cursors.Now().Listing[r.stream()]
	})
	return r.leader()
}

// finish waits until all of the backlog has arrived.
func (b *backlog) finish(r *run) {
	r.Helper()
	r.sink.Set(receiver.Mode{})
	r.made = b.made()
	left := slices.Clone(r.made)
	r.eventually("the whole backlog arrives", time.Minute, func() bool {
		left = slices.DeleteFunc(left, r.delivered)
		return len(left) == 0
	})
}

// crash kills the leader in the middle of the list, with nobody to report it.
func (b *backlog) crash(r *run) {
	old := b.begin(r)
	b.hold(r)
	r.inject()
	b.kill(r, old)
	r.sink.Set(receiver.Mode{Delay: b.delay})
	b.goesOn(r, old)
	b.finish(r)
}

// kill makes sure that it came in the middle.
func (b *backlog) kill(r *run, leader *fleet.Agent) {
	r.Helper()
	r.kill(leader)
	if n := r.sink.Len(); n > b.size*3/4 {
		r.Errorf("%d of %d had been delivered when the leader was killed", n, b.size)
	}
}

// goesOn waits for a successor, which has to begin in the middle of the list as well.
func (b *backlog) goesOn(r *run, old *fleet.Agent) {
	r.Helper()
	ctx, cancel := context.WithTimeout(r.ctx, time.Minute)
	defer cancel()
	s, err := r.fleet.Cursors.Wait(ctx, func(s history.CursorState) bool {
		a := r.fleet.Agent(s.Owner)
		return a != nil && a != old
	})
	r.must(err)
	if !s.Listing[r.stream()] {
		r.Errorf("the successor does not begin in the middle of the list: %+v", s)
	}
}

// expire has the token of a list expire while the leader reads it.
func (b *backlog) expire(r *run) {
	b.begin(r)
	b.stop(r)
	b.compact(r)
	r.window(true) // until here, it was the receiver that made the pause
	b.finish(r)
	b.freshToken(r)
}

// expireAndCrash has it expire between two leaders.
func (b *backlog) expireAndCrash(r *run) {
	old := b.begin(r)
	b.stop(r)
	r.window(true) // before the kill, it is the receiver that makes pauses
	b.kill(r, old)
	b.compact(r)
	b.goesOn(r, old)
	b.finish(r)
	b.freshToken(r)
}

// stop keeps both locks' runs in the middle of the list, until both are there: who is first waits for one answer, however
// long the other takes.
func (b *backlog) stop(r *run) {
	r.Helper()
	b.hold(r)
	r.meet()
}

// hold keeps back the answer to a batch, and waits until there is one. There may be none while a page is read.
func (b *backlog) hold(r *run) {
	r.Helper()
	r.sink.Set(receiver.Mode{Delay: runTimeout})
	r.eventually("a batch waits for its answer", time.Minute, func() bool { return r.sink.Held() > 0 })
}

// compact changes some events that were read and some that were not, and compacts.
func (b *backlog) compact(r *run) {
	r.Helper()
	r.once(func() error {
		events := b.log.Events()
		slices.SortFunc(events, func(x, y generator.Event) int { return strings.Compare(x.Name, y.Name) })
		b.changed = map[string]generator.Version{}
		for _, e := range append(events[:10:10], events[len(events)-10:]...) {
			v, err := countUp(r, e.Name)
			if err != nil {
				return err
			}
			b.changed[e.Name] = v
		}
		return r.plane.Compact(r.ctx)
	})
	if n := r.sink.Len(); n > b.size*3/4 {
		r.Errorf("%d of %d had been delivered when etcd was compacted", n, b.size)
	}
}

func countUp(r *run, name string) (generator.Version, error) {
	api := r.plane.Client().CoreV1().Events(retainedNamespace)
	e, err := api.Get(r.ctx, name, metav1.GetOptions{})
	if err != nil {
		return generator.Version{}, err
	}
	e.Count++
	if e, err = api.Update(r.ctx, e, metav1.UpdateOptions{}); err != nil {
		return generator.Version{}, err
	}
	rv, err := strconv.ParseUint(e.ResourceVersion, 10, 64)
	return generator.Version{RV: rv, Count: int64(e.Count), At: time.Now()}, err
}

// freshToken makes sure that a token has expired indeed.
func (b *backlog) freshToken(r *run) {
	r.Helper()
	if !r.logged("going on from the same key") {
		r.Error("no leader has met an expired token")
	}
}

// logged tells whether an agent has logged this.
func (r *run) logged(text string) bool {
	r.Helper()
	for _, a := range r.fleet.Agents() {
		log, err := os.ReadFile(a.Stderr())
		if err == nil && bytes.Contains(log, []byte(text)) {
			return true
		}
	}
	return false
}

// fewRepeats allows a crash to repeat a few pages of what the list has, besides what has changed since.
func (b *backlog) fewRepeats(r *run) {
	repeats := 0
	for _, a := range b.repeated(r) {
		if a.RV <= b.newest() {
			repeats++
		}
	}
	if most := repeatedPages * b.page; repeats > most {
		r.Errorf("%d records of the list were repeated, more than %d", repeats, most)
	}
	if repeats == 0 {
		r.Error("nothing was repeated: the leader was not killed while it was delivering")
	}
	r.Logf("%d records of the list were repeated, that is %.1f pages", repeats, float64(repeats)/float64(b.page))
}

// onlyChanged allows nothing to be repeated but what changed after the list had begun.
func (b *backlog) onlyChanged(r *run) {
	for _, a := range b.repeated(r) {
		if a.RV <= b.newest() {
			r.Errorf("%s at version %d was repeated, which is older than the list", a.UID, a.RV)
		}
	}
}

// newest is the last version of the backlog as it was when the first list began.
func (b *backlog) newest() uint64 {
	newest := uint64(0)
	for _, e := range b.log.Events() {
		newest = max(newest, e.Last().RV)
	}
	return newest
}

// repeated are the deliveries of what had been delivered before.
func (b *backlog) repeated(r *run) []receiver.Arrival {
	seen := map[receiver.Version]bool{}
	var repeated []receiver.Arrival
	for _, a := range r.sink.Arrivals() {
		if seen[a.Version] {
			repeated = append(repeated, a)
		}
		seen[a.Version] = true
	}
	return repeated
}
