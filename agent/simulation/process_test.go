package simulation

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"

	coordinationv1 "k8s.io/api/coordination/v1"

	"github.com/eventbaton/baton/agent/cursor"
	"github.com/eventbaton/baton/agent/election"
	"github.com/eventbaton/baton/agent/election/memapi"
)

// node is a machine: its clock outlives the processes on it.
type node struct {
	offset time.Duration // of the wall clock
	rate   float64       // of both clocks
	since  time.Duration // what the monotonic clock showed when the world began
}

// process is one agent, from its start to its end.
type process struct {
	w        *world
	name     string // of its pod
	id       election.Identity
	owner    string
	node     node
	kind     string // of its lock: leases or configmaps
	instance int
	lease    time.Duration
	link     *memapi.Link
	luck     chance // of its requests
	rand     *shared
	end      context.CancelFunc
	done     chan struct{}

	elector *election.Elector

	mu      sync.Mutex
	paused  chan struct{} // closed when it goes on, nil where it runs
	waiting []func()      // timers that fired meanwhile
	crashed chan struct{}
	dead    bool
	leaving bool // SIGTERM
	parted  bool
	weather weather
	calls   map[string]int

	// guarded by w.mu
	requests int
	term     *election.Term // the one whose work goes on, nil where there is none
	epoch    int64          // that it has claimed in this term, 0 for none
	good     time.Duration  // by its monotonic clock, the start of the last write of the lock that it knows has happened
	knows    knowledge
	began    time.Duration            // when the term's work began
	disowned bool                     // its Pod was deleted while it lived
	starts   map[uint64]time.Duration // of its writes of the lock, by the version that they made
	killedAt time.Time                // by its own wall clock
}

// weather is how the network treats a process at present.
type weather struct {
	slow             time.Duration // the longest way of a request or an answer
	noSend, noAnswer float64       // the probability that a request or an answer is lost
}

var errCrashed = errors.New("this process is no more")

// hold returns when the process runs. It is false where it never will again. Whatever was held up goes on at a moment
// of its own, so that a schedule takes the same turn when it is repeated.
func (p *process) hold(what string) bool {
	for {
		p.mu.Lock()
		paused, dead := p.paused, p.dead
		p.mu.Unlock()
		if dead {
			return false
		}
		if paused == nil {
			return true
		}
		select {
		case <-paused:
			time.Sleep(p.moment(what))
		case <-p.crashed:
		}
	}
}

// moment is a very short time.
func (p *process) moment(what string) time.Duration {
	return p.luck.of(what, int(time.Since(p.w.began))).between(0, time.Millisecond)
}

// clock is the time as the process sees it. A read is never held up, because it may be made under a mutex, and
// simulated time stands still while a goroutine waits for one. It need not be: nothing runs on in a paused process,
// since all that wakes a goroutine is held up.
type clock struct{ p *process }

func (c clock) elapsed() time.Duration {
	return time.Duration(float64(time.Since(c.p.w.began)) * c.p.node.rate)
}

func (c clock) Now() time.Time { return c.p.w.began.Add(c.p.node.offset + c.elapsed()) }

func (c clock) Mono() time.Duration { return c.p.node.since + c.elapsed() }

func (c clock) Timer(d time.Duration) (<-chan time.Time, func() bool) {
	fired := make(chan time.Time, 1)
	t := time.AfterFunc(time.Duration(float64(d)/c.p.node.rate)+time.Nanosecond, func() {
		c.p.whenRunning(func() { fired <- c.Now() })
	})
	return fired, t.Stop
}

// whenRunning does it at once, or when the process goes on.
func (p *process) whenRunning(do func()) {
	p.mu.Lock()
	if p.paused != nil && !p.dead {
		p.waiting = append(p.waiting, do)
		p.mu.Unlock()
		return
	}
	p.mu.Unlock()
	do()
}

func (p *process) pause() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.paused == nil {
		p.paused = make(chan struct{})
	}
}

func (p *process) resume() {
	p.mu.Lock()
	waiting := p.waiting
	p.waiting = nil
	if p.paused != nil {
		close(p.paused)
		p.paused = nil
	}
	p.mu.Unlock()
	for n, do := range waiting {
		time.AfterFunc(p.moment(fmt.Sprint("timer", n)), do)
	}
}

// crash ends the process without a word. What it has sent may still arrive.
func (p *process) crash() {
	p.mu.Lock()
	gone := p.dead
	p.dead = true
	p.mu.Unlock()
	if gone {
		return
	}
	p.w.mu.Lock()
	p.killedAt = clock{p}.Now()
	p.w.mu.Unlock()
	close(p.crashed)
	p.resume()
	p.link.CutWatches()
	p.end()
}

func (p *process) part(parted bool) {
	p.mu.Lock()
	p.parted = parted
	p.mu.Unlock()
	p.link.Part(parted)
}

func (p *process) sky(w weather) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.weather = w
}

func (p *process) isDead() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.dead
}

func (p *process) isLeaving() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.leaving
}

// terminate is SIGTERM.
func (p *process) terminate() {
	p.mu.Lock()
	p.leaving = true
	p.mu.Unlock()
	p.end()
}

// start runs the elector until the process ends.
func (p *process) start() error {
	leases := client[*coordinationv1.Lease](p, p.w.api.Leases, "leases")
	maps := client[*corev1.ConfigMap](p, p.w.api.ConfigMaps, "configmaps")
	lease, configMap := election.NewLeaseLock(leases, namespace, lockName), election.NewConfigMapLock(maps, namespace, lockName)
	o := election.Options{
		Lock: lease, Identity: p.id, Lease: p.lease, Lead: p.lead, Clock: clock{p}, Rand: p.rand.float,
		Log: slog.New(slog.DiscardHandler), Observe: func(e election.Event) { p.w.observed(p, e) },
	}
	if p.w.mixed {
		o.Other = configMap
	}
	if p.kind == "configmaps" {
		o.Lock, o.Other, o.OtherWins = configMap, lease, true
	}
	if p.w.proof {
		o.Pods = client[*corev1.Pod](p, p.w.api.Pods, "pods")
	}
	e, err := election.New(o)
	if err != nil {
		return fmt.Errorf("start %s: %w", p.name, err)
	}
	p.elector = e
	ctx, cancel := context.WithCancel(context.Background())
	p.end = cancel
	go func() {
		defer close(p.done)
		if err := e.Run(ctx); err != nil {
			p.w.violation("Run failed", "%s: %v", p.name, err)
		}
	}()
	return nil
}

// unable says whether the process can't do its work this time.
func (w *world) unable(p *process, epoch int64) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.calmed || !w.luck.of(p.owner+" unable", int(epoch)).yes(0.01) {
		return false
	}
	w.counts["unable to lead"]++
	return true
}

// lead is one term of the work: it hands out records, saves how far it is, and stops when it is to.
func (p *process) lead(ctx context.Context, t *election.Term) error {
	p.w.workBegins(p, t)
	defer p.w.workEnds(p)
	if p.w.unable(p, t.Epoch()) {
		return errors.New("no right to do it")
	}
	maps := client[*corev1.ConfigMap](p, p.w.api.ConfigMaps, "configmaps")
	r, err := cursor.Claim(ctx, cursor.Options{
		Store: maps, Namespace: namespace, Name: cursorsName, Owner: p.owner, Cluster: "c", Leadership: t, Rand: p.rand.float,
	})
	if err != nil {
		p.w.count("claim failed")
		return err
	}
	p.w.claimed(p, r)
	j := &job{p: p, term: t, register: r, at: r.Positions()["log"].RV, saved: make(chan error, 1)}
	return j.run(ctx)
}

// job is the work of one term.
type job struct {
	p        *process
	term     *election.Term
	register *cursor.Register
	at       uint64
	saving   bool
	saved    chan error
}

func (j *job) run(ctx context.Context) error {
	defer j.settle()
	for {
		timer, stop := clock{j.p}.Timer(j.p.w.checkpoint)
		select {
		case <-ctx.Done():
			stop()
			j.linger()
			return ctx.Err()
		case <-j.term.Drain():
			stop()
			return j.drain(ctx)
		case err := <-j.saved:
			j.saving = false
			if errors.Is(err, cursor.ErrFenced) {
				j.p.w.fenced(j.p)
				stop()
				return err
			}
		case <-timer:
			j.work(ctx)
		}
		stop()
	}
}

// work hands out a record, which is acknowledged at once, unless it may not.
func (j *job) work(ctx context.Context) {
	if ctx.Err() != nil || !j.term.Valid() {
		j.p.w.count("work withheld")
		return
	}
	j.p.w.handedOut(j.p, j.register.Epoch())
	j.at++
	if j.saving {
		return
	}
	j.saving = true
	at := j.at
	go func() { j.saved <- j.register.Save(ctx, map[string]cursor.Position{"log": {RV: at}}) }()
}

// linger is a sink that takes its time to stop.
func (j *job) linger() {
	c := j.p.luck.of("linger", int(j.register.Epoch()))
	if d := c.between(-3*time.Second, 2*time.Second); d > 0 {
		timer, _ := clock{j.p}.Timer(d)
		<-timer
	}
}

// settle waits for what is under way: a term's work has stopped only then.
func (j *job) settle() {
	if j.saving {
		<-j.saved
	}
}

func (j *job) drain(ctx context.Context) error {
	j.settle()
	j.saving = false
	err := j.register.Save(ctx, map[string]cursor.Position{"log": {RV: j.at}})
	if errors.Is(err, cursor.ErrFenced) {
		j.p.w.fenced(j.p)
	}
	return err
}
