package election

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/eventbaton/baton/agent/election/memapi"
)

func TestRenewsEveryThird(t *testing.T) {
	kinds(t, func(t *testing.T, f *fleet) {
		a := f.start("a")
		pass(time.Second)
		before := f.writes()
		pass(10 * testLease)
		if n := f.writes() - before; n != 30 {
			t.Errorf("%d renewals in 10 leases, want 30", n)
		}
		a.mustLead("throughout")
		if len(a.terms) != 1 {
			t.Errorf("%d terms", len(a.terms))
		}
	})
}

// Renewals are refused: the term ends two thirds of a lease after the start of the last good one, before anyone
// else may take the lock, and the same process wins again later.
func TestTermEndsByItsOwnDeadline(t *testing.T) {
	kinds(t, func(t *testing.T, f *fleet) {
		a := f.start("a")
		pass(time.Second)
		term := a.term()
		a.link.Faults(refuse(f.kind(), "update"))
		last := term.left()
		pass(last - time.Millisecond)
		if !term.Valid() {
			t.Fatal("over before the deadline")
		}
		tries := f.server.Count(func(c memapi.Call) bool { return c.Client == "a" && c.Verb == "update" })
		if tries < 5 {
			t.Errorf("only %d attempts to renew", tries)
		}
		pass(time.Millisecond)
		if term.Valid() {
			t.Fatal("valid after the deadline")
		}
		a.mustHave(Expired)
		if p := a.elector.Status().Problem; !strings.Contains(p, "cannot update") {
			t.Errorf("problem %q", p)
		}
		pass(time.Second)
		a.link.Faults(nil)
		pass(testLease)
		a.mustLead("again")
		a.mustHave(Reclaimed)
		if again := a.term(); again == term || !again.acquired.After(term.acquired) || term.Valid() {
			t.Error("the new term is the old one")
		}
	})
}

func TestSlowRenewalCountsFromItsStart(t *testing.T) {
	kinds(t, func(t *testing.T, f *fleet) {
		a := f.start("a", lease(time.Minute))
		pass(time.Second)
		a.link.Faults(func(c memapi.Call) memapi.Fault { return memapi.Fault{After: 5 * time.Second} })
		pass(25 * time.Second) // the renewal began at 20 and was answered at 25
		if left := a.term().left(); left > 36*time.Second || left < 30*time.Second {
			t.Errorf("%v left", left)
		}
	})
}

// stoppable is a clock of a process that can be stopped: its timers don't fire meanwhile.
type stoppable struct {
	Clock
	skipped *atomic.Int64
}

func (s stoppable) Mono() time.Duration { return s.Clock.Mono() + time.Duration(s.skipped.Load()) }

// After a SIGCONT timers have not fired yet. What Valid says is right at once.
func TestValidComparesTheClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, false)
		var skipped atomic.Int64
		a := f.start("a", func(o *Options) { o.Clock = stoppable{MachineClock(), &skipped} })
		pass(time.Second)
		term := a.term()
		skipped.Store(int64(testLease))
		if term.Valid() {
			t.Error("valid after the process had been stopped for a lease")
		}
		pass(testLease)
		a.mustHave(Expired)
	})
}

func TestLostAnswersToRenewalsAreReadBack(t *testing.T) {
	kinds(t, func(t *testing.T, f *fleet) {
		a := f.start("a")
		pass(time.Second)
		a.link.Faults(func(c memapi.Call) memapi.Fault {
			if c.Verb == "update" {
				return memapi.Fault{Lose: memapi.ErrCut}
			}
			return memapi.Fault{}
		})
		pass(5 * testLease)
		a.mustLead("its renewals happen")
		a.mustHave(Unknown)
		if len(a.terms) != 1 {
			t.Errorf("%d terms", len(a.terms))
		}
	})
}

func TestAnotherHolderEndsTheTermAtOnce(t *testing.T) {
	kinds(t, func(t *testing.T, f *fleet) {
		a := f.start("a", noPods)
		pass(time.Second)
		r := f.record()
		r.Holder, r.Duration = "usurper", testLease
		f.hold(r)
		synctest.Wait()
		if a.term().Valid() {
			t.Error("valid after another holder was seen")
		}
		a.mustHave(Deposed)
		pass(testLease - time.Millisecond)
		if got := f.record(); got.Holder != "usurper" {
			t.Errorf("the lock of another was touched: %+v", got)
		}
		pass(time.Second)
		a.mustLead("a lease after the usurper's last word")
	})
}

// The watch is dead, so only the renewal's conflict tells.
func TestConflictAtRenewalTellsOfAnotherHolder(t *testing.T) {
	kinds(t, func(t *testing.T, f *fleet) {
		a := f.start("a", noPods)
		pass(time.Second)
		a.link.Lag(func() time.Duration { return 1000 * time.Hour })
		r := f.record()
		r.Holder, r.Duration = "usurper", time.Minute
		f.hold(r)
		pass(testLease / 3)
		a.mustNotLead("its renewal was refused")
		a.mustHave(Conflict)
		a.mustHave(Deposed)
		pass(10 * time.Second)
		if got := f.record(); got.Holder != "usurper" {
			t.Errorf("overwritten: %+v", got)
		}
	})
}

func TestLabelledLockIsRebased(t *testing.T) {
	kinds(t, func(t *testing.T, f *fleet) {
		a := f.start("a")
		pass(time.Second)
		a.link.Lag(func() time.Duration { return 1000 * time.Hour }) // so that the renewal runs into it
		f.editMeta(func(o metav1.Object) { o.SetLabels(map[string]string{"team": "x"}) })
		pass(2 * testLease)
		a.mustLead("the lock is still its own")
		a.mustHave(Conflict)
		if len(a.terms) != 1 || f.observation().object.GetLabels()["team"] != "x" {
			t.Errorf("%d terms, labels %v", len(a.terms), f.observation().object.GetLabels())
		}
	})
}

func TestDeletedLockIsCreatedAgainByItsLeader(t *testing.T) {
	kinds(t, func(t *testing.T, f *fleet) {
		a := f.start("a")
		pass(time.Second)
		a.term().SetEpoch(4)
		b := f.start("b", func(o *Options) { o.Rand = func() float64 { return 0.9 } })
		pass(3 * time.Second)
		before := f.record()
		f.deleteLock()
		synctest.Wait()
		a.mustHave(Restored)
		pass(5 * time.Second)
		a.mustLead("it was valid throughout")
		b.mustNotLead("a wrote first")
		r := f.record()
		if r.Epoch != 4 || !r.Acquired.Equal(before.Acquired) || len(a.terms) != 1 {
			t.Errorf("record %+v, %d terms", r, len(a.terms))
		}
	})
}

func TestDamagedLockIsMendedByItsLeader(t *testing.T) {
	for name, damage := range map[string]func(metav1.Object){
		"nonsense": func(o metav1.Object) { o.GetAnnotations()[LeaderAnnotation] = "what?" },
		"removed":  func(o metav1.Object) { o.SetAnnotations(nil) },
		"blanked":  func(o metav1.Object) { annotate(o, LeaderAnnotation, `{"holderIdentity":""}`) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFleet(t, true)
				a := f.start("a")
				pass(time.Second)
				for range 3 {
					f.editMeta(damage)
					pass(time.Second)
					if r := f.record(); r.Holder != a.id.String() {
						t.Errorf("record %+v", r)
					}
				}
				a.mustLead("throughout")
				if n := a.count(Restored); n != 3 || len(a.terms) != 1 {
					t.Errorf("restored %d times, %d terms", n, len(a.terms))
				}
			})
		})
	}
}

// Whose deadline has passed creates nothing: the lock may be another's by right.
func TestNoRestorationAfterTheDeadline(t *testing.T) {
	kinds(t, func(t *testing.T, f *fleet) {
		slow := make(chan struct{})
		a := f.add("a")
		a.elector.o.Lead = func(ctx context.Context, term *Term) error {
			<-slow // work that doesn't stop when it should
			return a.lead(ctx, term)
		}
		a.start()
		pass(time.Second)
		a.link.Faults(refuse(f.kind(), "update"))
		pass(testLease)
		a.link.Faults(nil)
		f.deleteLock()
		pass(testLease)
		if f.observation().Exists {
			t.Error("the lock was written while the work of a lost term went on")
		}
		close(slow)
		pass(3 * time.Second)
		a.mustLead("its work has stopped")
	})
}

// The lock is renewed while the work drains, given back only afterwards, and keeps transitions and epoch.
func TestReleasedMeansDone(t *testing.T) {
	kinds(t, func(t *testing.T, f *fleet) {
		finish := make(chan struct{})
		a := f.add("a")
		a.elector.o.Lead = func(_ context.Context, term *Term) error {
			a.keep(term)
			term.SetEpoch(9)
			<-term.Drain()
			<-finish
			return nil
		}
		a.start()
		pass(time.Second)
		a.cancel()
		pass(3 * testLease)
		a.mustLead("it drains")
		if r := f.record(); r.Holder != a.id.String() || time.Since(r.Renewed) > testLease/3+time.Second {
			t.Errorf("not renewed while draining: %+v", r)
		}
		close(finish)
		<-a.done
		r := f.record()
		if r.Holder != "" || r.Duration != time.Second || r.Epoch != 9 || r.Transitions != 0 {
			t.Errorf("released as %+v", r)
		}
		if a.term().Valid() {
			t.Error("valid after the release")
		}
	})
}

func TestReleaseOfALabelledLock(t *testing.T) {
	kinds(t, func(t *testing.T, f *fleet) {
		a := f.start("a")
		pass(time.Second)
		a.link.Lag(func() time.Duration { return 1000 * time.Hour })
		f.editMeta(func(o metav1.Object) { o.SetLabels(map[string]string{"x": "y"}) })
		a.stop()
		if r := f.record(); r.Holder != "" {
			t.Errorf("still held: %+v", r)
		}
	})
}

// A successor took the lock and the leader has not heard of it. Its release must not touch it.
func TestSuccessorsLockIsNeverTouched(t *testing.T) {
	kinds(t, func(t *testing.T, f *fleet) {
		a := f.start("a")
		pass(time.Second)
		a.link.Lag(func() time.Duration { return 1000 * time.Hour })
		r := f.record()
		r.Holder = "successor"
		f.hold(r)
		before := f.observation()
		a.stop()
		if after := f.observation(); after.Version != before.Version {
			t.Errorf("the successor's lock was written: %+v", after.Record)
		}
		if a.count(Released) != 0 {
			t.Error("it says that it released the lock")
		}
	})
}

func TestLostAnswerToARelease(t *testing.T) {
	kinds(t, func(t *testing.T, f *fleet) {
		a := f.start("a")
		pass(time.Second)
		a.link.Faults(func(c memapi.Call) memapi.Fault {
			if c.Write() {
				return memapi.Fault{Lose: memapi.ErrCut}
			}
			return memapi.Fault{}
		})
		writes := f.writes()
		a.stop()
		if r := f.record(); r.Holder != "" || f.writes() != writes+1 {
			t.Errorf("record %+v after %d writes", r, f.writes()-writes)
		}
	})
}

func TestReleaseIsBounded(t *testing.T) {
	kinds(t, func(t *testing.T, f *fleet) {
		a := f.start("a", lease(10*time.Minute))
		pass(time.Second)
		a.link.Part(true)
		began := time.Now()
		a.stop()
		if took := time.Since(began); took > 20*time.Second {
			t.Errorf("took %v", took)
		}
	})
}

// The work finds out first, by what fences it: no fault of its own, so no sitting out.
func TestWorkThatNoticesASuccessorFirst(t *testing.T) {
	kinds(t, func(t *testing.T, f *fleet) {
		fenced := make(chan struct{})
		a := f.add("a", noPods)
		a.elector.o.Lead = func(ctx context.Context, term *Term) error {
			a.keep(term)
			select {
			case <-fenced:
				return errors.New("fenced")
			case <-ctx.Done():
				return nil
			}
		}
		a.start()
		pass(time.Second)
		a.link.Lag(func() time.Duration { return 1000 * time.Hour })
		r := f.record()
		r.Holder = "successor"
		f.hold(r)
		close(fenced)
		pass(time.Second)
		a.mustHave(Deposed)
		if p := a.elector.Status().Problem; p != "" {
			t.Errorf("problem %q", p)
		}
	})
}

func TestSetEpochIsWrittenAtOnce(t *testing.T) {
	kinds(t, func(t *testing.T, f *fleet) {
		a := f.start("a")
		pass(time.Second)
		a.term().SetEpoch(12)
		synctest.Wait()
		if r := f.record(); r.Epoch != 12 {
			t.Errorf("record %+v", r)
		}
		a.term().SetEpoch(3)
		synctest.Wait()
		if e := a.term().Epoch(); e != 12 || f.record().Epoch != 12 {
			t.Errorf("lowered to %d", e)
		}
		a.stop()
		b := f.start("b")
		pass(time.Second)
		if e := b.term().Epoch(); e != 12 {
			t.Errorf("the successor knows of %d", e)
		}
	})
}

func TestHoldsAsksTheServer(t *testing.T) {
	kinds(t, func(t *testing.T, f *fleet) {
		a := f.start("a")
		pass(time.Second)
		term, ctx := a.term(), context.Background()
		if ok, err := term.Holds(ctx); !ok || err != nil {
			t.Errorf("%v, %v", ok, err)
		}
		a.link.Faults(refuse(f.kind(), "get"))
		if ok, err := term.Holds(ctx); ok || err == nil {
			t.Errorf("without an answer: %v, %v", ok, err)
		}
		a.link.Faults(nil)
		a.link.Lag(func() time.Duration { return 1000 * time.Hour })
		r := f.record()
		r.Holder = "successor"
		f.hold(r)
		if ok, err := term.Holds(ctx); ok || err != nil {
			t.Errorf("another's: %v, %v", ok, err)
		}
		synctest.Wait()
		if term.Valid() {
			t.Error("valid although Holds has seen a successor")
		}
		if term.Identity() != a.id.String() {
			t.Error(term.Identity())
		}
	})
}
