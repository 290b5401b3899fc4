package matrix

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/eventbaton/baton/e2e/controlplane"
	"github.com/eventbaton/baton/e2e/fleet"
	"github.com/eventbaton/baton/e2e/generator"
	"github.com/eventbaton/baton/e2e/receiver"
)

const (
	// checkInterval is how often a leader looks whether the log went back.
	checkInterval = 30 * time.Second
	// lead is by how many versions a log that was wiped is behind at least: more than are stored in two checkIntervals.
	lead = 4000
	// shortTTL is so short that events expire several times while a cell runs.
	shortTTL = 10 * time.Second
	// longOutage is less than the API server's watch history, five minutes at least.
	longOutage = 2 * time.Minute

	// giants are as large as the API server takes them.
	giants     = 30
	giantBytes = 1_400_000
	// giantMemory is what a leader may have in memory, at most, while it lists and watches them.
	giantMemory = 100 << 20
)

func apiserverCells() []cell {
	own := func(o controlplane.Options) *controlplane.Options { return &o }
	// An API server goes on with the lease of events that its etcd has lost, and can't store any until it wants a new one.
	wipeable := controlplane.Options{EventsEtcd: true, Flags: []string{"--lease-reuse-duration-seconds=1"}}
	return []cell{
		{name: "messages of 1.4 MB", alone: true, before: giantsRetained, fault: giantsMade, after: boundedMemory},
		{name: "API server killed and restarted", plane: own(controlplane.Options{}), fault: apiServerKilled},
		{name: "etcd compacted while the leader is away", plane: own(controlplane.Options{}), latestOnly: true, fault: compactedAway},
		{
			name: "etcd of the events down", plane: own(controlplane.Options{EventsEtcd: true}), fault: eventsEtcdDown,
		},
		{
			name: "etcd of the events wiped", plane: own(wipeable), bound: checkInterval + expiry,
			latestOnly: true, goesBack: true, prepare: (&backlog{size: lead}).load, fault: eventsEtcdWiped,
		},
		{name: "events expire", plane: own(controlplane.Options{EventTTL: shortTTL}), fault: eventsExpire, after: expiryIsProgress},
		{
			name: "sink down beyond the events' TTL, leader gone", plane: own(controlplane.Options{EventTTL: shortTTL}),
			latestOnly: true, fault: expiredUnsent,
		},
		{name: "all agents dead for two minutes", fault: allDead},
		{name: "rights on events revoked and given back", fault: eventsRevoked},
	}
}

// giant is a message with much that JSON has to escape.
func giant() string {
	var b strings.Builder
	for b.Len() < giantBytes {
		fmt.Fprintf(&b, "\tat \"com.example.Frame%d\" <init> & more\n", rand.IntN(1000))
	}
	return b.String()[:giantBytes]
}

func makeGiants(r *run, prefix string) {
	r.Helper()
	log, err := generator.Load(r.ctx, generator.Options{
		Client: r.plane.Client(), Namespace: r.namespace, Prefix: prefix, Message: giant(),
	}, giants)
	r.must(err)
	r.made = append(r.made, log.Events()...)
}

// giantsRetained makes those that the first leader lists.
func giantsRetained(r *run) { makeGiants(r, "retained") }

// giantsMade makes those that it watches, while its receiver is slow: what waits has to be bounded, too.
func giantsMade(r *run) {
	r.allArrived()
	r.sink.Set(receiver.Mode{Delay: 50 * time.Millisecond})
	makeGiants(r, "made")
	r.allArrived()
	r.sink.Set(receiver.Mode{})
	r.inject()
}

// allArrived waits until all that the cell itself has made has arrived.
func (r *run) allArrived() {
	r.Helper()
	r.eventually("what the cell has made arrives", time.Minute, func() bool {
		for _, e := range r.made {
			if !r.delivered(e) {
				return false
			}
		}
		return true
	})
}

func boundedMemory(r *run) {
	leader := r.leader()
	for _, a := range r.fleet.Agents() {
		peak, err := peakMemory(a.Pid())
		r.must(err)
		r.Logf("%s, leader %v: at most %.1f MiB in memory", a.Name, a == leader, float64(peak)/(1<<20))
		if peak > giantMemory {
			r.Errorf("%s has had %d MiB in memory, the bound is %d MiB", a.Name, peak>>20, giantMemory>>20)
		}
	}
}

// peakMemory is the most that a process has had in memory, in bytes.
func peakMemory(pid int) (int64, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, fmt.Errorf("reading memory (needs Linux): %w", err)
	}
	_, rest, _ := strings.Cut(string(status), "VmHWM:")
	line, _, _ := strings.Cut(rest, "\n")
	n, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(line, "kB")), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("reading memory: %w", err)
	}
	return n << 10, nil
}

func apiServerKilled(r *run) {
	r.inject()
	r.once(func() error { r.plane.KillAPIServer(); return nil })
	r.pass(lease)
	r.once(func() error { return r.plane.StartAPIServer(r.ctx) })
	r.heal()
	r.delivering()
}

// meet waits until both locks' runs are here, so that they do at the same time what follows.
func (r *run) meet() {
	r.Helper()
	r.once(func() error { return nil })
}

// compactedAway kills the leader, and compacts before another one leads: its position is too old to watch from.
func compactedAway(r *run) {
	old := r.leader()
	r.meet()
	r.inject()
	r.kill(old)
	r.pass(2 * time.Second)
	r.once(func() error { return r.plane.Compact(r.ctx) })
	next := r.successor(old)
	r.delivering()
	// It counts the gap with the list's last page, and delivers others before that.
	r.eventually("the new leader has found the gap", 10*time.Second, func() bool { return r.status(next).Counters.Gaps > 0 })
}

// status is a part of what an agent says of itself.
type status struct {
	Problem  string
	Counters struct{ Gaps, WentBack int }
	Sinks    []struct {
		LastGap  *struct{ From, To time.Time }
		Refused  int
		Refusals []struct{ ID, Error string }
	}
}

func (r *run) status(a *fleet.Agent) (s status) {
	r.Helper()
	r.must(a.Status(r.ctx, &s))
	return s
}

// storing waits until an event is stored that was begun after now, and events can be read the way that the agents read
// them: the API server has a connection to etcd for each of the two APIs of events, which may come back seconds apart.
func (r *run) storing() {
	r.Helper()
	n := r.events.Log().Len() + 1 // the first may have been begun before
	r.eventually("events are stored", time.Minute, func() bool { return r.events.Log().Len() > n })
	r.eventually("events are read", time.Minute, func() bool {
		_, err := r.plane.Client().CoreV1().Events(r.namespace).List(r.ctx, metav1.ListOptions{Limit: 1})
		return err == nil
	})
}

// eventsEtcdDown leaves locks and cursors as they are, so the leader stays.
func eventsEtcdDown(r *run) {
	leader := r.leader()
	r.inject()
	r.once(func() error { r.plane.KillEventsEtcd(); return nil })
	r.pass(2 * lease)
	r.once(func() error { return r.plane.StartEventsEtcd(r.ctx) })
	r.storing()
	r.heal()
	r.delivering()
	if r.leader() != leader {
		r.Error("another one leads, though the lock could be renewed all the time")
	}
}

// eventsEtcdWiped takes everything from under an open watch, which says nothing of it. What had not arrived until then
// may not have been read, and can't be any more.
func eventsEtcdWiped(r *run) {
	leader := r.leader()
	r.meet()
	r.inject()
	r.once(func() error { return r.plane.WipeEventsEtcd(r.ctx) })
	r.excuse(time.Now())
	r.storing()
	r.heal()
	r.delivering()
	if s := r.status(leader); s.Counters.WentBack == 0 {
		r.Error("the leader has not noticed that the log went back")
	}
}

// excuse lets those events be lost whose last version was stored before then and hasn't arrived by now.
func (r *run) excuse(before time.Time) {
	r.Helper()
	excused := map[string]bool{}
	for _, e := range r.events.Log().Events() {
		if e.Last().At.Before(before) && !r.delivered(e) {
			excused[e.Name] = true
		}
	}
	r.Logf("%d events may be lost", len(excused))
	r.excused = func(name string) bool { return excused[name] }
}

// eventsExpire has events expire under a leader, while nobody leads, and under the next one.
func eventsExpire(r *run) {
	r.pass(shortTTL)
	old := r.leader()
	r.inject()
	r.kill(old)
	r.successor(old)
	r.delivering()
	r.pass(shortTTL)
}

// expiredUnsent has events expire before they could be sent: the leader that had read them is gone, and so is their
// place in the log. What is left has to arrive, and how much may be missing has to be said.
func expiredUnsent(r *run) {
	old := r.leader()
	r.meet()
	down := r.inject()
	r.sink.Down()
	r.pass(shortTTL + lease)
	r.kill(old)
	r.once(func() error { return r.plane.Compact(r.ctx) })
	next := r.successor(old)
	r.must(r.sink.Up())
	r.heal()
	r.delivering()
	r.excuse(time.Now().Add(-shortTTL))
	gap := r.status(next).Sinks[0].LastGap
	r.eventually("the new leader says that something may be missing", 10*time.Second, func() bool {
		gap = r.status(next).Sinks[0].LastGap
		return gap != nil
	})
	if gap.From.Before(down.Add(-5*time.Second)) || gap.From.After(down.Add(time.Second)) || gap.To.Before(gap.From.Add(lease)) {
		r.Errorf("the sink was down from %v on, longer than events are kept; what may be missing is said to be from %v to %v", down, gap.From, gap.To)
	}
}

// expiryIsProgress looks for deletions that were delivered, and waits until those after the last event, of which there
// is nothing else to see, have moved the cursor.
func expiryIsProgress(r *run) {
	r.meet() // the other lock's run has stopped making events as well
	r.eventually("the cursor moves over deletions", 2*shortTTL, func() bool {
		last := uint64(0)
		for _, a := range r.sink.Arrivals() {
			last = max(last, a.RV)
		}
		return r.fleet.Cursors.Now().RVs[r.stream()] > last
	})
	r.onlyStored()
}

// onlyStored makes sure that nothing was delivered of the run's events but versions that were stored.
func (r *run) onlyStored() {
	r.Helper()
	stored := map[receiver.UID]map[uint64]bool{}
	for _, e := range r.events.Log().Events() {
		uid, err := receiver.ParseUID(e.UID)
		r.must(err)
		stored[uid] = map[uint64]bool{}
		for _, v := range e.Versions {
			stored[uid][v.RV] = true
		}
	}
	for _, a := range r.sink.Arrivals() {
		if rvs, ours := stored[a.UID]; ours && !rvs[a.RV] {
			r.Errorf("%s was delivered at version %d, which was never stored", a.UID, a.RV)
		}
	}
}

// allDead kills every agent. Events are made meanwhile, and each version is still in the watch history afterwards.
func allDead(r *run) {
	r.inject()
	for _, a := range r.fleet.Agents() {
		r.signal(a, syscall.SIGKILL)
	}
	for _, a := range r.fleet.Agents() {
		r.must(a.Ended(r.ctx))
	}
	r.pass(longOutage)
	r.must(r.fleet.Start())
	r.heal()
	r.delivering()
}

// eventsRevoked takes the right to read from all, as they share it, and breaks the leader's connections: what is open
// stays open otherwise.
func eventsRevoked(r *run) {
	leader := r.leader()
	r.inject()
	for _, a := range r.fleet.Agents() {
		r.must(a.Revoke(r.ctx, fleet.Events))
	}
	leader.Proxy.Cut()
	leader.Proxy.Heal()
	r.eventually("the leader is not ready, and says why", 20*time.Second, func() bool {
		return !leader.Ready(r.ctx) && strings.Contains(r.status(leader).Problem, "forbidden")
	})
	r.pass(2 * time.Second)
	for _, a := range r.fleet.Agents() {
		r.must(a.Grant(r.ctx, fleet.Events))
	}
	r.heal()
	r.delivering()
	r.eventually("the leader is ready again", 20*time.Second, func() bool { return leader.Ready(r.ctx) })
	if r.leader() != leader {
		r.Error("another one leads, though the leader could renew its lock all the time")
	}
}
