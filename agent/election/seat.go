package election

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

const (
	// shortestWatch and twice that are the bounds of what a watch asks for as its timeout.
	shortestWatch = time.Hour
	// longWatch is how long a watch must have lived for its end not to count as a failure.
	longWatch = time.Minute
	// fromWatch is the time of asking of what a watch tells.
	fromWatch = time.Duration(-1)
)

// seat is one lock object as this process knows it: it watches the object, and the Pod of who holds it.
type seat struct {
	elector *Elector
	lock    Lock

	mu     sync.Mutex
	track  tracker
	vigil  *vigil
	reopen context.CancelFunc // ends the open watch, nil where none is
}

func (s *seat) current() Observation {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.track.last
}

// verdict says whether the lock can be taken, as far as is known.
func (s *seat) verdict() verdict {
	e := s.elector
	s.mu.Lock()
	defer s.mu.Unlock()
	v := s.track.judge(e.me, e.o.Lease, e.clock.Mono())
	if !v.free && s.track.seen && s.holderIsDead() {
		return verdict{free: true, how: TakeoverDead}
	}
	return v
}

// holderIsDead is called with mu held.
func (s *seat) holderIsDead() bool {
	holder := s.track.last.holder()
	id, ok := ParseIdentity(holder)
	if !ok {
		return false
	}
	if s.elector.o.Identity.follows(id) {
		return true
	}
	return s.vigil != nil && s.vigil.holder == holder && s.vigil.proves(s.track.last.Record.Acquired)
}

// silence is how long the record has not been seen to change.
func (s *seat) silence() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.elector.clock.Mono() - s.track.changed
}

// see takes an observation; asked as in tracker.see.
func (s *seat) see(o Observation, asked time.Duration) {
	e := s.elector
	s.mu.Lock()
	news := !o.same(s.track.last)
	news = s.track.see(o, asked, e.clock.Mono()) && news
	s.mu.Unlock()
	s.overcome(o, asked, news)
	e.knowEpoch(o.Record.Epoch)
	e.ring()
}

// overcome drops the problems that an observation shows to be over, or to be none of a follower's: one that
// needs no request to learn what it wants makes none, and so would never notice that they are.
func (s *seat) overcome(o Observation, asked time.Duration, news bool) {
	e := s.elector
	if asked == fromWatch {
		e.solved("get " + s.lock.String())
		e.solved("watch " + s.lock.String())
	}
	if holder := o.holder(); news && holder != "" && holder != e.me {
		e.solved("create " + s.lock.String())
		e.solved("update " + s.lock.String())
	}
}

// look is a quorum read.
func (s *seat) look(ctx context.Context, timeout time.Duration) (Observation, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	asked := s.elector.clock.Mono()
	o, err := s.lock.Get(ctx)
	err = s.outcome("get", err)
	if err != nil {
		// A watch that is open would neither notice why nor that it is over. Opening it anew begins with this read.
		s.distrust()
		return Observation{}, err
	}
	s.see(o, asked)
	return o, nil
}

// write writes the record on base and tells whether that happened. What is not known is read back. It is false without
// an error where somebody else's write was first: what is there now has then been seen.
func (s *seat) write(ctx context.Context, base Observation, r Record, timeout time.Duration) (bool, error) {
	o, asked, err := s.put(ctx, base, r, timeout)
	if err == nil {
		s.see(o, asked)
		return true, nil
	}
	late := lostRace(base, err)
	switch {
	case late:
		s.elector.observe(Event{Kind: Conflict, Lock: s.lock.String(), Holder: s.elector.me})
	case refused(err):
		return false, err
	default:
		s.elector.observe(Event{Kind: Unknown, Lock: s.lock.String(), Holder: s.elector.me})
	}
	back, backErr := s.look(ctx, timeout)
	switch {
	case backErr != nil:
		return false, errors.Join(err, backErr)
	case back.Exists && back.Readable && r.storedAs(back.Record):
		_ = s.outcome(verb(base), nil) // clears the problem
		return true, nil
	case late:
		return false, nil
	}
	return false, err
}

// lostRace tells whether a write on base was refused because somebody else's was first. NotFound is that for an
// update alone: for a creation it means that there is no such namespace.
func lostRace(base Observation, err error) bool {
	return apierrors.IsConflict(err) || apierrors.IsAlreadyExists(err) || base.Exists && apierrors.IsNotFound(err)
}

func (s *seat) put(ctx context.Context, base Observation, r Record, timeout time.Duration) (Observation, time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	asked := s.elector.clock.Mono()
	o, err := s.lock.Write(ctx, base, r)
	if lostRace(base, err) {
		return o, asked, err
	}
	return o, asked, s.outcome(verb(base), err)
}

func verb(base Observation) string {
	if base.Exists {
		return "update"
	}
	return "create"
}

// refused tells whether an error means that the write certainly did not happen. Everything else is an outcome that
// is not known: a timeout, a connection that was lost, a server that failed in the middle.
func refused(err error) bool {
	var status apierrors.APIStatus
	if !errors.As(err, &status) {
		return false
	}
	code := status.Status().Code
	return code >= 400 && code < 500 && code != 408
}

// outcome keeps the elector's problems: what can't be done now, until it can. It returns the error with what was
// being done.
func (s *seat) outcome(doing string, err error) error {
	key := doing + " " + s.lock.String()
	if err == nil {
		s.elector.solved(key)
		return nil
	}
	err = fmt.Errorf("cannot %s: %w", key, err)
	if errors.Is(err, context.Canceled) {
		return err // This process ended it.
	}
	text := err.Error()
	if apierrors.IsForbidden(err) {
		kind, _, _ := strings.Cut(s.lock.String(), " ")
		text += fmt.Sprintf("; grant get, watch, create and update on %ss", kind)
	}
	s.elector.problem(key, text)
	return err
}

// follow watches the lock until ctx ends.
func (s *seat) follow(ctx context.Context) {
	e := s.elector
	retry := e.backoff()
	for ctx.Err() == nil {
		began := e.clock.Mono()
		err := s.watch(ctx)
		if tooOld(err) || e.clock.Mono()-began > longWatch {
			retry.reset()
		}
		e.pause(ctx, retry.next())
	}
}

// watch reads the lock and watches it from there, until the watch ends.
func (s *seat) watch(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s.reopenBy(cancel)
	defer s.reopenBy(nil)
	from, err := s.look(ctx, s.elector.timeout)
	if err != nil {
		return err
	}
	w, err := s.lock.Watch(ctx, from, s.elector.watchTimeout())
	if tooOld(err) {
		return err // Reading again cures it.
	}
	if err := s.outcome("watch", err); err != nil {
		return err
	}
	defer w.Stop()
	for {
		o, err := w.Next(ctx)
		if err != nil {
			return err
		}
		s.see(o, fromWatch)
	}
}

func (s *seat) reopenBy(cancel context.CancelFunc) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reopen = cancel
}

// distrust ends a watch that did not tell what a read did, so that a new one is opened.
func (s *seat) distrust() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.reopen != nil {
		s.reopen()
	}
}

// unattend ends the vigil.
func (s *seat) unattend() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keep(nil)
}

// keep replaces the vigil. It is called with mu held.
func (s *seat) keep(v *vigil) {
	if s.vigil != nil {
		s.vigil.stop()
	}
	s.vigil = v
}

// attend keeps the vigil over the Pod of who holds the lock now.
func (s *seat) attend(ctx context.Context, start func(func())) {
	s.mu.Lock()
	defer s.mu.Unlock()
	holder := s.track.last.holder()
	if s.vigil != nil && s.vigil.holder == holder {
		return
	}
	s.keep(nil)
	if holder == s.elector.me {
		return
	}
	id, ok := ParseIdentity(holder)
	if !ok || id.UID == "" || s.elector.o.Pods == nil || s.elector.o.Identity.follows(id) {
		return
	}
	ctx, stop := context.WithCancel(ctx)
	v := &vigil{seat: s, holder: holder, id: id, stop: stop}
	s.keep(v)
	start(func() { v.run(ctx) })
}
