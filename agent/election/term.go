package election

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// leading is the key of the problem that Lead returned.
const leading = "lead"

// Term is one holding of the lock.
type Term struct {
	e           *Elector
	acquired    time.Time // by the own wall clock, as it stands in the record
	began       time.Duration
	transitions int
	drain       chan struct{}

	mu       sync.Mutex
	deadline time.Duration
	over     bool // lost, or given back
	epoch    int64
	early    bool // a renewal is wanted before its time
}

// newTerm is the term that begins if a write on base is won. It counts from now, before the write.
func (e *Elector) newTerm(base Observation) *Term {
	t := &Term{e: e, acquired: e.clock.Now(), began: e.clock.Mono(), drain: make(chan struct{})}
	t.transitions = base.Record.Transitions
	if base.Exists && base.Readable && !base.heldBy(e.me) {
		t.transitions++
	}
	t.epoch = e.knownEpoch()
	t.renewed(t.began)
	return t
}

// renewed counts from the start of the renewal: it may have happened as early as that.
func (t *Term) renewed(start time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.deadline = max(t.deadline, start+t.e.o.Lease*2/3)
}

// record is what the term writes on base.
func (t *Term) record(base Observation) Record {
	r := Record{
		Holder: t.e.me, Duration: t.e.o.Lease, Acquired: t.acquired, Renewed: t.e.clock.Now(),
		Transitions: t.transitions, Epoch: max(t.Epoch(), base.Record.Epoch),
	}
	return r
}

// Valid tells whether the term still is one: it was not seen to be lost, and by the own monotonic clock two thirds of
// the lease have not passed since the start of the last renewal that is known to have happened. It compares with the
// clock at the call, so it is right also when the process had been stopped until a moment ago.
func (t *Term) Valid() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return !t.over && t.e.clock.Mono() < t.deadline
}

// Holds asks the API server, by a quorum read, whether the lock is still this term's, and whether no other lock that
// wins over it is held.
func (t *Term) Holds(ctx context.Context) (bool, error) {
	o, err := t.e.lock.look(ctx, t.e.timeout)
	if err != nil {
		return false, err
	}
	if !o.heldBy(t.e.me) {
		return false, nil
	}
	if t.e.o.OtherWins {
		if _, err := t.e.other.look(ctx, t.e.timeout); err != nil {
			return false, err
		}
		if !t.e.other.verdict().free {
			return false, nil
		}
	}
	return t.Valid(), nil
}

// Epoch is the highest epoch that is known from either lock or from SetEpoch, 0 for none.
func (t *Term) Epoch() int64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.epoch
}

// SetEpoch says that the holder has claimed this epoch. It is written into the lock at once. A lower one than is
// known changes nothing.
func (t *Term) SetEpoch(epoch int64) {
	t.e.solved(leading)
	t.raise(epoch)
	t.mu.Lock()
	t.early = true
	t.mu.Unlock()
	t.e.knowEpoch(epoch)
	t.e.ring()
}

func (t *Term) raise(epoch int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.epoch = max(t.epoch, epoch)
}

// Identity is the identity in the lock's record.
func (t *Term) Identity() string { return t.e.me }

// Drain is closed when the term is to end in order.
func (t *Term) Drain() <-chan struct{} { return t.drain }

// end makes the term invalid for good.
func (t *Term) end() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.over = true
}

func (t *Term) left() time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.deadline - t.e.clock.Mono()
}

func (t *Term) wantsEarly() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	early := t.early
	t.early = false
	return early
}

// lead holds the lock while Lead works.
func (e *Elector) lead(ctx context.Context, t *Term) {
	e.setRole(Leader)
	defer e.setRole(Follower)
	e.o.Log.Info("leading", "lock", e.lock.lock.String(), "identity", e.me, "epoch", t.Epoch())
	work, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	done := make(chan error, 1)
	e.tasks.Go(func() { done <- e.o.Lead(work, t) })

	h := &holding{term: t, e: e, next: t.began + e.o.Lease/3}
	lost, err := h.run(ctx, done)
	if lost != "" {
		t.end()
		cancel()
		e.lost(lost)
		err = <-done
	}
	h.stop()
	e.finish(ctx, t, lost, err)
}

// lost says why a term ended that Lead did not end.
func (e *Elector) lost(why Kind) {
	event := Event{Kind: why, Lock: e.lock.lock.String(), Holder: e.me}
	switch why {
	case Deposed:
		event.Holder = e.lock.current().holder()
	case BothHeld:
		event.Lock, event.Holder = e.other.lock.String(), e.other.current().holder()
	}
	e.o.Log.Warn("no longer leading", "why", string(why), "lock", event.Lock, "holder", event.Holder)
	e.observe(event)
}

// finish is called when Lead has returned.
func (e *Elector) finish(ctx context.Context, t *Term, lost Kind, err error) {
	t.end()
	if (lost == "" || lost == BothHeld) && !e.release(t) && lost == "" && e.othersHold() {
		// The work noticed it first, by what fences it.
		lost = Deposed
		e.lost(lost)
	}
	if lost != "" {
		if err != nil && !errors.Is(err, context.Canceled) {
			e.o.Log.Warn("the work of a lost term ended with an error", "error", err)
		}
		return
	}
	if ctx.Err() != nil {
		if err != nil {
			e.o.Log.Warn("the work did not end in order", "error", err)
		}
		return
	}
	e.setback(e.clock.Mono()-t.began, err)
}

// setback makes the process sit out for 1 to 60 s, longer each time, after a term that Lead ended: who can't do the
// work had better leave it to the others.
func (e *Elector) setback(lasted time.Duration, err error) {
	if lasted > e.o.Lease {
		e.setbacks = 0
	}
	wait := min(time.Second<<min(e.setbacks+1, 10), time.Minute)
	e.setbacks++
	wait = wait/2 + time.Duration(e.rand()*float64(wait/2))
	e.sitOut = e.clock.Mono() + wait
	if err == nil {
		return
	}
	e.mu.Lock()
	e.setbackEpoch = e.epoch
	e.mu.Unlock()
	e.problem(leading, fmt.Sprintf("cannot lead: %v", err))
}

// release gives the lock back: it clears the holder on the version that is known to be the own one. Where somebody
// else has written, it reads, and goes on only if the lock still is its own. It stops at the term's deadline. It
// tells whether that was done.
func (e *Elector) release(t *Term) bool {
	t.end()
	ctx, cancel := context.WithTimeout(context.Background(), min(t.left(), e.timeout))
	defer cancel()
	for ctx.Err() == nil && t.left() > 0 {
		base := e.lock.current()
		if !base.heldBy(e.me) {
			return false
		}
		now := e.clock.Now()
		r := base.Record
		r.Holder, r.Duration, r.Acquired, r.Renewed, r.Epoch = "", time.Second, now, now, max(r.Epoch, t.Epoch())
		won, err := e.lock.write(ctx, base, r, t.attemptTimeout())
		if won {
			e.o.Log.Info("gave the lock back", "lock", e.lock.lock.String())
			e.observe(Event{Kind: Released, Lock: e.lock.lock.String(), Holder: e.me})
			return true
		}
		if err != nil {
			e.pause(ctx, t.retryAfter())
		}
	}
	return false
}

// othersHold tells whether the lock was last seen with another holder.
func (e *Elector) othersHold() bool {
	holder := e.lock.current().holder()
	return holder != "" && holder != e.me
}

// attemptTimeout leaves time for several attempts between a renewal that is due and the deadline.
func (t *Term) attemptTimeout() time.Duration {
	return min(max(t.e.o.Lease/9, time.Second), 10*time.Second)
}

func (t *Term) retryAfter() time.Duration {
	d := min(t.e.o.Lease/15, time.Second)
	return d/2 + time.Duration(t.e.rand()*float64(d/2))
}

// holding renews one term's lock. Its methods are called from Run's goroutine.
type holding struct {
	term *Term
	e    *Elector
	next time.Duration // when the next renewal is due
	// attempt is the renewal under way, nil where there is none.
	attempt *attempt
	mended  *Observation // the last damage that a renewal was begun for at once, nil for none
}

// attempt is one renewal.
type attempt struct {
	start   time.Duration
	restore bool // the lock was not in order before
	cancel  context.CancelFunc
	done    chan struct{}
	// won and err are set when done is closed.
	won bool
	err error
}

// run returns why the term was lost, or "" and Lead's error when Lead has returned.
func (h *holding) run(ctx context.Context, done <-chan error) (Kind, error) {
	drain := ctx.Done()
	for {
		if why := h.lost(); why != "" {
			return why, nil
		}
		h.begin()
		var attempted <-chan struct{}
		wait := h.term.left()
		if h.attempt != nil {
			attempted = h.attempt.done
		} else {
			wait = min(wait, h.next-h.e.clock.Mono())
		}
		timer, stop := h.e.clock.Timer(wait)
		select {
		case err := <-done:
			stop()
			return "", err
		case <-drain:
			close(h.term.drain)
			drain = nil
		case <-attempted:
			h.attempted()
		case <-h.e.wake:
		case <-timer:
		}
		stop()
	}
}

// lost is the reason why the term is over, "" where it is not.
func (h *holding) lost() Kind {
	switch {
	case h.e.othersHold():
		return Deposed
	case h.e.o.OtherWins && !h.e.other.verdict().free:
		return BothHeld
	case h.term.left() <= 0:
		return Expired
	}
	return ""
}

// begin starts a renewal where one is due: at its time, when the epoch was raised, or when the lock was deleted or
// damaged, which a valid leader mends.
func (h *holding) begin() {
	now := h.e.clock.Mono()
	base := h.e.lock.current()
	if h.term.wantsEarly() {
		h.next = min(h.next, now)
	}
	if !base.heldBy(h.e.me) && (h.mended == nil || !base.same(*h.mended)) {
		h.mended, h.next = &base, now
	}
	if h.attempt != nil || now < h.next {
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	a := &attempt{start: now, restore: !base.heldBy(h.e.me), cancel: cancel, done: make(chan struct{})}
	h.attempt = a
	r, timeout := h.term.record(base), min(h.term.attemptTimeout(), h.term.left())
	h.e.tasks.Go(func() {
		defer close(a.done)
		a.won, a.err = h.e.lock.write(ctx, base, r, timeout)
	})
}

// attempted takes the outcome of a renewal.
func (h *holding) attempted() {
	a := h.attempt
	h.attempt = nil
	a.cancel()
	if !a.won {
		h.next = h.e.clock.Mono() + h.term.retryAfter()
		return
	}
	h.term.renewed(a.start)
	h.next = a.start + h.e.o.Lease/3
	h.mended = nil
	h.e.solved(leading)
	if a.restore {
		h.e.o.Log.Warn("the lock was deleted or damaged and is restored", "lock", h.e.lock.lock.String())
		h.e.observe(Event{Kind: Restored, Lock: h.e.lock.lock.String(), Holder: h.e.me})
	}
}

// stop waits for the renewal under way, so that nothing is written after the term.
func (h *holding) stop() {
	if h.attempt == nil {
		return
	}
	h.attempt.cancel()
	<-h.attempt.done
	h.attempt = nil
}
