package simulation

import (
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/eventbaton/baton/agent/election"
	"github.com/eventbaton/baton/agent/election/memapi"
)

const (
	namespace   = "ops"
	lockName    = "baton"
	cursorsName = "baton-cursors"
	container   = "agent"
)

// plan is what a seed decides beforehand.
type plan struct {
	seed       uint64
	candidates int
	lease      time.Duration
	checkpoint time.Duration
	// pure is a fleet with one kind of lock with which nobody meddles: then there is one leader, whatever else happens.
	pure  bool
	mixed bool   // both kinds of lock are known to all
	kind  string // of the first processes
	proof bool   // Pods may be read
	mild  bool   // clocks that run alike
	fair  weather
	// faults is how many there are, in the time until calm.
	faults int
	calm   time.Duration
}

func newPlan(seed uint64) (plan, chance) {
	luck := chance(seed*0x9e3779b97f4a7c15 + 1)
	c := luck.of("plan", 0)
	p := plan{
		seed: seed, candidates: 2 + c.below(5), lease: c.between(5*time.Second, 9*time.Second).Truncate(time.Second),
		checkpoint: c.between(500*time.Millisecond, 2*time.Second),
		fair:       weather{slow: 20 * time.Millisecond},
		pure:       c.yes(0.45), kind: "leases", proof: c.yes(0.7), mild: c.yes(0.2),
		faults: 2 + c.below(7), calm: c.between(10*time.Second, 35*time.Second),
	}
	p.mixed = !p.pure && c.yes(0.6)
	if c.yes(0.4) {
		p.kind = "configmaps"
	}
	return p, luck
}

// world is one schedule while it runs.
type world struct {
	plan
	luck  chance
	began time.Time
	api   *memapi.Server
	log   func(format string, args ...any) // nil: nobody reads it

	mu        sync.Mutex
	counts    map[string]int
	processes []*process
	byOwner   map[string]*process
	register  register
	savedAt   time.Duration
	calmed    bool // the faults have ended
	closing   bool
	pods      int
	recovery  time.Duration
	requests  int
	writes    int // creations and updates

	vmu        sync.Mutex
	violations []string
}

func newWorld(p plan, luck chance) *world {
	return &world{
		plan: p, luck: luck, began: time.Now(), api: memapi.NewServer(),
		counts: map[string]int{}, byOwner: map[string]*process{}, register: newRegister(0),
	}
}

func (w *world) trace(format string, args ...any) {
	if w.log != nil {
		w.log("%9.4fs  %s", time.Since(w.began).Seconds(), fmt.Sprintf(format, args...))
	}
}

func (w *world) count(what string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.counts[what]++
}

// sent counts a request of a process.
func (w *world) sent(p *process, verb, kind, name string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.requests++
	p.requests++
	if verb == "create" || verb == "update" {
		w.writes++
	}
	if w.log != nil && verb != "watch" {
		w.trace("%s sends %s %s %s", p.name, verb, kind, name)
	}
}

func annotatedHolder(o *corev1.ConfigMap) string {
	var r struct {
		HolderIdentity string `json:"holderIdentity"`
	}
	_ = json.Unmarshal([]byte(o.Annotations[election.LeaderAnnotation]), &r) // Nonsense has no holder.
	return r.HolderIdentity
}

// newNode draws a machine.
func (w *world) newNode(n int) node {
	c := w.luck.of("node", n)
	m := node{offset: c.between(-10*time.Minute, 10*time.Minute), rate: 1, since: c.between(0, time.Hour)}
	if !w.mild {
		m.rate = 0.9 + 0.2*c.float()
	}
	return m
}

// newPod starts a process in a pod of its own.
func (w *world) newPod(kind string) {
	w.mu.Lock()
	w.pods++
	n := w.pods
	w.mu.Unlock()
	name := fmt.Sprintf("pod-%d", n)
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, UID: types.UID(fmt.Sprintf("uid-of-%d", n))}}
	if _, err := w.api.Pods.Create(pod); err != nil {
		w.violation("broken simulation", "%v", err)
	}
	w.startIn(name, string(pod.UID), w.newNode(n), kind, 1)
}

// startIn starts a process in a container.
func (w *world) startIn(pod, uid string, m node, kind string, instance int) {
	id := election.Identity{Pod: pod, UID: uid, Container: container, Instance: fmt.Sprintf("i%d", instance)}
	p := &process{
		w: w, name: fmt.Sprintf("%s/%d", pod, instance), id: id, owner: id.String(), node: m, kind: kind, lease: w.lease,
		link: memapi.NewLink(id.String()), weather: w.fair, calls: map[string]int{}, starts: map[uint64]time.Duration{},
		luck: *w.luck.of(id.String(), 0), rand: &shared{c: w.luck.of(id.String(), 1)},
		done: make(chan struct{}), crashed: make(chan struct{}), instance: instance,
	}
	if c := w.luck.of(id.String(), 2); !w.mild && c.yes(0.3) {
		p.lease = c.between(5*time.Second, 12*time.Second).Truncate(time.Second)
	}
	lag := &shared{c: w.luck.of(id.String(), 3)}
	p.link.Lag(func() time.Duration { return time.Millisecond/2 + time.Duration(lag.float()*float64(w.fair.slow)) })
	w.mu.Lock()
	if w.closing {
		w.mu.Unlock()
		return
	}
	w.processes = append(w.processes, p)
	w.byOwner[p.owner] = p
	w.mu.Unlock()
	w.trace("%s starts: %s, lease %v, clock %+.0fs x %.3f", p.name, kind, p.lease, m.offset.Seconds(), m.rate)
	if err := p.start(); err != nil {
		w.violation("broken simulation", "%v", err)
	}
}

// alive are the processes that neither crashed nor were told to end.
func (w *world) alive() []*process {
	w.mu.Lock()
	defer w.mu.Unlock()
	var out []*process
	for _, p := range w.processes {
		if !p.isDead() && !p.isLeaving() {
			out = append(out, p)
		}
	}
	return out
}

// leaders are the processes whose work goes on and may.
func (w *world) leaders() []*process {
	w.mu.Lock()
	defer w.mu.Unlock()
	var out []*process
	for _, p := range w.processes {
		if !p.isDead() && p.term != nil && p.epoch > 0 && p.term.Valid() {
			out = append(out, p)
		}
	}
	return out
}

// run is the whole schedule.
func (w *world) run() {
	c := w.luck.of("faults", 0)
	for range w.candidates {
		w.newPod(w.kind)
		time.Sleep(c.between(0, 300*time.Millisecond))
	}
	for n := range w.faults {
		time.Sleep(c.between(0, 2*w.calm/time.Duration(w.faults)))
		w.fault(w.luck.of("fault", n))
	}
	w.heal(c)
	w.recover()
	w.shutDown()
}

// heal ends all faults.
func (w *world) heal(c *chance) {
	w.trace("the faults end")
	w.mu.Lock()
	w.calmed = true
	w.mu.Unlock()
	for _, p := range w.alive() {
		p.sky(w.fair)
		p.part(false)
		p.resume()
		if c.yes(0.5) {
			p.link.CutWatches()
		}
	}
	if len(w.alive()) == 0 {
		w.newPod(w.kind)
	}
}

// recoveryBound is how long it may take until somebody leads after the faults: the longest lease by the slowest clock,
// until a follower reads a lock that has fallen silent, and some more.
const recoveryBound = 35 * time.Second

// recover waits until somebody leads again, and then until somebody leads alone and goes on with it.
func (w *world) recover() {
	since := time.Since(w.began)
	if !w.within(func() bool { return w.savedSince(since) }) {
		w.violation("nobody leads again", "for %v after the faults", recoveryBound)
		return
	}
	w.recovery = time.Since(w.began) - since
	w.trace("somebody leads again after %v", w.recovery)
	time.Sleep(10 * time.Second) // A kubelet may still kill one whose Pod was deleted.
	if !w.within(func() bool { return len(w.leaders()) == 1 }) {
		w.violation("not one leader in the end", "%d", len(w.leaders()))
		return
	}
	if !w.within(w.carried) {
		w.violation("the lock does not carry the epoch", "")
	}
}

// carried says whether the leader's lock has its epoch, so that it would survive a deletion of the cursors.
func (w *world) carried() bool {
	l := w.leaders()
	if len(l) != 1 {
		return false
	}
	o := w.lockObject(l[0].kind)
	w.mu.Lock()
	defer w.mu.Unlock()
	if o == nil {
		return false
	}
	_, epoch := lockRecord(o)
	return epoch >= l[0].epoch
}

func (w *world) savedSince(t time.Duration) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.savedAt > t
}

// within waits until something is the case.
func (w *world) within(is func() bool) bool {
	for end := time.Now().Add(recoveryBound); !is(); time.Sleep(100 * time.Millisecond) {
		if time.Now().After(end) {
			return false
		}
	}
	return true
}

// shutDown ends all processes in order, and sees to it that they leave nothing behind.
func (w *world) shutDown() {
	w.mu.Lock()
	w.closing = true
	all := append([]*process(nil), w.processes...)
	w.mu.Unlock()
	led := map[string]bool{}
	for _, p := range w.leaders() {
		led[p.owner] = true
	}
	w.trace("all are told to end")
	for _, p := range w.alive() {
		p.terminate()
	}
	late := time.After(time.Minute)
	for _, p := range all {
		if !p.isDead() {
			p.sky(w.fair)
			p.part(false)
			p.resume()
		}
		select {
		case <-p.done:
		case <-late:
			w.violation("a process does not end", "%s", p.name)
			p.crash()
			<-p.done
		}
	}
	for _, kind := range []string{"leases", "configmaps"} {
		if o := w.lockObject(kind); o != nil {
			if holder, _ := lockRecord(o); led[holder] {
				w.violation("a lock was not given back", "%s is still held by %s", kind, holder)
			}
		}
	}
}

// summary is the first of what each check found.
func (w *world) summary() string {
	w.vmu.Lock()
	defer w.vmu.Unlock()
	var lines []string
	said := map[string]bool{}
	for _, v := range w.violations {
		if check, _, _ := strings.Cut(v, ": "); !said[check] {
			said[check] = true
			lines = append(lines, v)
		}
	}
	return strings.Join(lines, "\n\t")
}

func (w *world) failed() bool {
	w.vmu.Lock()
	defer w.vmu.Unlock()
	return len(w.violations) > 0
}
