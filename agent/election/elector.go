package election

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"
)

// ShortestLease is the shortest lease that New accepts. Whoever sets it should know that a short one takes over sooner
// from a leader that is cut off, and is lost more easily to a slow API server.
const ShortestLease = 5 * time.Second

// Options are what an Elector needs. Lock, Identity, Lease and Lead must be set.
type Options struct {
	Lock Lock
	// Other is the lock of the other kind, nil where there is none to look at.
	Other Lock
	// OtherWins is set where Lock is the ConfigMap and Other the Lease: the Lease always wins, so this process leads
	// only while nobody holds Other. Where it is not set, Other is read once a term, for its epoch.
	OtherWins bool
	Identity  Identity
	// Lease is the own lease, written into the lock where this process leads. Others may have another.
	Lease time.Duration
	// Pods is where the holder's Pod is seen to die; nil where that is not available.
	Pods Pods
	// Lead does the work of one term and returns when all of it has stopped. ctx ends when the term is lost: then it
	// stops at once. When Term.Drain is closed it finishes in order what is in flight; the lock is renewed
	// meanwhile and given back when it has returned. If it returns while the term is valid, the lock is given back
	// and this process waits before it is a candidate again; an error is then Status.Problem.
	Lead  func(ctx context.Context, t *Term) error
	Clock Clock          // nil: MachineClock
	Rand  func() float64 // uniform in [0, 1), called from several goroutines; nil: math/rand/v2
	Log   *slog.Logger   // nil: slog.Default
	// Observe is called for each thing that happens, at once and possibly from several goroutines. It must not block.
	Observe func(Event)
}

// Role is what a process is in an election.
type Role string

const (
	Follower Role = "follower"
	Leader   Role = "leader"
)

// Status is what a process knows of its election.
type Status struct {
	Role   Role
	Lock   string // kind namespace/name
	Holder string // "" for none
	// HolderSince and LastRenewal are what the lock says, by its holder's clock.
	HolderSince, LastRenewal time.Time
	LeaseDuration            time.Duration // the holder's, the own one where there is no holder
	Transitions              int
	Epoch                    int64
	// Problem is what can't be done at present, and what would help; "" where the process is ready.
	Problem string
}

// Elector takes part in one election.
type Elector struct {
	o       Options
	me      string
	clock   Clock
	rand    func() float64
	timeout time.Duration // of a follower's requests
	lock    *seat
	other   *seat // nil where there is no other lock
	wake    chan struct{}
	tasks   sync.WaitGroup

	// Only Run's goroutine uses these.
	sitOut   time.Duration // not a candidate before
	setbacks int           // terms in a row that Lead ended

	mu           sync.Mutex
	role         Role
	problems     map[string]string
	epoch        int64 // the highest that was ever seen
	podsSaid     bool
	setbackEpoch int64 // epoch when the last setback happened
}

// New checks the options.
func New(o Options) (*Elector, error) {
	if err := o.check(); err != nil {
		return nil, fmt.Errorf("election: %w", err)
	}
	if o.Clock == nil {
		o.Clock = MachineClock()
	}
	if o.Rand == nil {
		o.Rand = rand.Float64
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	e := &Elector{
		o: o, me: o.Identity.String(), clock: o.Clock, rand: o.Rand,
		timeout:  min(o.Lease/3, 10*time.Second),
		wake:     make(chan struct{}, 1),
		role:     Follower,
		problems: map[string]string{},
	}
	e.lock = &seat{elector: e, lock: o.Lock}
	if o.Other != nil {
		e.other = &seat{elector: e, lock: o.Other}
	}
	return e, nil
}

func (o Options) check() error {
	var problems []error
	if o.Lock == nil || o.Lead == nil {
		problems = append(problems, errors.New("Lock and Lead must be set"))
	}
	if o.OtherWins && o.Other == nil {
		problems = append(problems, errors.New("OtherWins needs Other"))
	}
	if o.Lease < ShortestLease || o.Lease > longestLease {
		problems = append(problems, fmt.Errorf("the lease is %v and must be between %v and %v", o.Lease, ShortestLease, longestLease))
	}
	return errors.Join(append(problems, o.Identity.check())...)
}

// Run takes part until ctx ends. Then a term that is held is drained and given back. It returns nil once everything
// that it started has returned, Lead above all: for as long as Lead doesn't return, nor does Run.
func (e *Elector) Run(ctx context.Context) error {
	// The watches go on while a term is drained.
	watching, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer e.tasks.Wait()
	defer stop()
	e.tasks.Go(func() { e.lock.follow(watching) })
	if e.o.OtherWins {
		e.tasks.Go(func() { e.other.follow(watching) })
	}
	for ctx.Err() == nil {
		if t := e.candidacy(ctx, watching); t != nil {
			e.lead(ctx, t)
		}
	}
	return nil
}

// candidacy returns when a term was won, or nil when ctx has ended.
func (e *Elector) candidacy(ctx, watching context.Context) *Term {
	defer e.unattend()
	retry := e.backoff()
	for ctx.Err() == nil {
		e.attend(watching)
		v := e.verdict()
		if !v.free {
			e.sleep(ctx, v.wait)
			continue
		}
		if !e.spread(ctx, watching, v) {
			continue
		}
		t, err := e.take(ctx, v)
		if t != nil {
			return t
		}
		if err == nil && !e.verdict().free {
			retry.reset()
			continue
		}
		e.rest(ctx, retry.next())
	}
	return nil
}

// verdict says whether this process may try to lead now.
func (e *Elector) verdict() verdict {
	if left := e.sitOut - e.clock.Mono(); left > 0 {
		return verdict{wait: left}
	}
	v := e.lock.verdict()
	if v.free && e.o.OtherWins {
		if w := e.other.verdict(); !w.free {
			return w
		}
	}
	return v
}

// spread waits, so that of many candidates few write. It is false where somebody else was quicker. Nobody else can
// know yet that a lock of one's own is free, so that one isn't waited for.
func (e *Elector) spread(ctx, watching context.Context, v verdict) bool {
	if v.how == Reclaimed {
		return true
	}
	until := e.clock.Mono() + spread(e.rand())
	for ctx.Err() == nil {
		left := until - e.clock.Mono()
		if left <= 0 {
			return true
		}
		e.sleep(ctx, left)
		e.attend(watching)
		if !e.verdict().free {
			return false
		}
	}
	return false
}

// take looks again, by a quorum read, and writes where the lock is still free. It returns nil without an error
// where it is not.
func (e *Elector) take(ctx context.Context, seen verdict) (*Term, error) {
	silence := e.lock.silence()
	if err := e.lookAgain(ctx); err != nil {
		return nil, err
	}
	v := e.verdict()
	if !v.free {
		if seen.how == TakeoverExpired {
			e.distrust()
		}
		return nil, nil
	}
	base := e.lock.current()
	t := e.newTerm(base)
	// A write that is under way when ctx ends is waited for: who does not know whether he holds the lock can't
	// give it back.
	won, err := e.lock.write(context.WithoutCancel(ctx), base, t.record(base), e.timeout)
	if err != nil || !won {
		return nil, err
	}
	e.observe(Event{Kind: v.how, Lock: e.lock.lock.String(), Holder: base.holder(), Since: silence})
	e.observe(Event{Kind: Acquired, Lock: e.lock.lock.String(), Holder: e.me})
	return e.settle(ctx, t)
}

func (e *Elector) lookAgain(ctx context.Context) error {
	if e.o.OtherWins {
		if _, err := e.other.look(ctx, e.timeout); err != nil {
			return err
		}
	}
	_, err := e.lock.look(ctx, e.timeout)
	return err
}

// distrust opens the watches anew, one of which did not tell what a read did.
func (e *Elector) distrust() {
	e.lock.distrust()
	if e.o.OtherWins {
		e.other.distrust()
	}
}

// settle looks at the other kind of lock when this one has been won, and gives it back where that wins.
func (e *Elector) settle(ctx context.Context, t *Term) (*Term, error) {
	err := e.readOther(ctx)
	if e.o.OtherWins && err == nil && !e.other.verdict().free {
		e.observe(Event{Kind: BothHeld, Lock: e.other.lock.String(), Holder: e.other.current().holder()})
		e.o.Log.Info("the other lock is held and wins", "lock", e.other.lock.String(), "holder", e.other.current().holder())
		e.release(t)
		return nil, nil
	}
	if e.o.OtherWins && err != nil || ctx.Err() != nil {
		e.release(t)
		return nil, err
	}
	t.raise(e.knownEpoch())
	if !t.Valid() {
		e.lost(Expired)
		return nil, nil
	}
	return t, nil
}

// readOther reads the other lock. Where this one wins, that it can't be read is no obstacle.
func (e *Elector) readOther(ctx context.Context) error {
	if e.other == nil {
		return nil
	}
	if e.o.OtherWins {
		_, err := e.other.look(ctx, e.timeout)
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, e.timeout)
	defer cancel()
	o, err := e.other.lock.Get(ctx)
	if err != nil {
		e.o.Log.Info("the other lock can't be read; only its epoch is missed", "lock", e.other.lock.String(), "error", err)
		return nil
	}
	e.knowEpoch(o.Record.Epoch)
	// This judges by two machines' clocks, which is good enough for a line in a log.
	if o.holder() != "" && e.clock.Now().Before(o.Record.Renewed.Add(o.Record.lease(e.o.Lease))) {
		e.observe(Event{Kind: BothHeld, Lock: e.other.lock.String(), Holder: o.holder()})
		e.o.Log.Info("the other lock is held as well; this one wins", "lock", e.other.lock.String(), "holder", o.holder())
	}
	return nil
}

// unattend ends the vigils.
func (e *Elector) unattend() {
	e.lock.unattend()
	if e.o.OtherWins {
		e.other.unattend()
	}
}

// attend keeps the vigils over the holders' Pods.
func (e *Elector) attend(ctx context.Context) {
	e.lock.attend(ctx, e.tasks.Go)
	if e.o.OtherWins {
		e.other.attend(ctx, e.tasks.Go)
	}
}

// ring wakes Run's goroutine: something was seen.
func (e *Elector) ring() {
	select {
	case e.wake <- struct{}{}:
	default:
	}
}

// sleep returns after d, or when something was seen, or ctx ends. A negative d is for ever.
func (e *Elector) sleep(ctx context.Context, d time.Duration) {
	var after <-chan time.Time
	if d >= 0 {
		c, stop := e.clock.Timer(d)
		defer stop()
		after = c
	}
	select {
	case <-after:
	case <-e.wake:
	case <-ctx.Done():
	}
}

// rest returns after d, or when something new is seen: then what failed before may work again.
func (e *Elector) rest(ctx context.Context, d time.Duration) {
	select {
	case <-e.wake: // what was seen up to now was not enough
	default:
	}
	e.sleep(ctx, d)
}

// pause returns after d or when ctx ends.
func (e *Elector) pause(ctx context.Context, d time.Duration) {
	c, stop := e.clock.Timer(d)
	defer stop()
	select {
	case <-c:
	case <-ctx.Done():
	}
}

// backoff is for a follower's requests. It is bounded by the lease, so that what heals is noticed within one.
func (e *Elector) backoff() *backoff {
	return &backoff{first: time.Second, longest: e.timeout, rand: e.rand}
}

func (e *Elector) watchTimeout() time.Duration {
	return shortestWatch + time.Duration(e.rand()*float64(shortestWatch))
}

func (e *Elector) observe(event Event) {
	if e.o.Observe != nil {
		e.o.Observe(event)
	}
}

// Status can be called at any time.
func (e *Elector) Status() Status {
	o := e.lock.current()
	e.mu.Lock()
	defer e.mu.Unlock()
	return Status{
		Role: e.role, Lock: e.lock.lock.String(), Holder: o.holder(),
		HolderSince: o.Record.Acquired, LastRenewal: o.Record.Renewed,
		LeaseDuration: o.Record.lease(e.o.Lease), Transitions: o.Record.Transitions,
		Epoch: e.epoch, Problem: e.listProblems(),
	}
}

func (e *Elector) listProblems() string {
	var all []string
	for _, p := range e.problems {
		all = append(all, p)
	}
	slices.Sort(all)
	return strings.Join(all, "; ")
}

// problem notes what can't be done, and says so once.
func (e *Elector) problem(key, text string) {
	e.mu.Lock()
	_, known := e.problems[key]
	e.problems[key] = text
	e.mu.Unlock()
	if !known {
		e.o.Log.Warn("election: there is a problem", "problem", text)
	}
}

func (e *Elector) solved(key string) {
	e.mu.Lock()
	_, known := e.problems[key]
	delete(e.problems, key)
	e.mu.Unlock()
	if known {
		e.o.Log.Info("election: works again", "what", key)
	}
}

// podsForbidden says once that there will be no proof of death.
func (e *Elector) podsForbidden(err error) {
	e.mu.Lock()
	said := e.podsSaid
	e.podsSaid = true
	e.mu.Unlock()
	if !said {
		e.o.Log.Warn("election: pods can't be watched, so a leader's death is noticed only when its lease expires; "+
			"grant get and watch on pods", "error", err)
	}
}

// knowEpoch remembers the highest epoch. Somebody who raised it has claimed what this process could not: whatever
// made its own term fail is over.
func (e *Elector) knowEpoch(epoch int64) {
	e.mu.Lock()
	e.epoch = max(e.epoch, epoch)
	cured := epoch > e.setbackEpoch
	e.mu.Unlock()
	if cured {
		e.solved(leading)
	}
}

func (e *Elector) knownEpoch() int64 {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.epoch
}

func (e *Elector) setRole(r Role) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.role = r
}
