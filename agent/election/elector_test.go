package election

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/eventbaton/baton/agent/election/memapi"
)

func TestNewRefuses(t *testing.T) {
	lock := NewLeaseLock(memapi.NewServer().Leases.Client(memapi.NewLink("x")), "ns", lockName)
	lead := func(context.Context, *Term) error { return nil }
	good := Options{Lock: lock, Identity: identity("a"), Lease: testLease, Lead: lead}
	for name, test := range map[string]struct {
		change func(*Options)
		want   string
	}{
		"short":    {func(o *Options) { o.Lease = 4 * time.Second }, "between"},
		"long":     {func(o *Options) { o.Lease = 2 * time.Hour }, "between"},
		"no lock":  {func(o *Options) { o.Lock = nil }, "must be set"},
		"no lead":  {func(o *Options) { o.Lead = nil }, "must be set"},
		"identity": {func(o *Options) { o.Identity.Pod = "a_b" }, "contains"},
		"nameless": {func(o *Options) { o.Identity = Identity{} }, "needs"},
		"other":    {func(o *Options) { o.OtherWins = true }, "needs Other"},
	} {
		o := good
		test.change(&o)
		if _, err := New(o); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: error %v, want one with %q", name, err, test.want)
		}
	}
	if _, err := New(good); err != nil {
		t.Error(err)
	}
}

func TestFirstOneCreatesTheLock(t *testing.T) {
	kinds(t, func(t *testing.T, f *fleet) {
		a := f.start("a")
		pass(time.Second)
		a.mustLead("alone")
		a.mustHave(TakeoverMissing)
		r := f.record()
		if r.Holder != a.id.String() || r.Duration != testLease || r.Transitions != 0 {
			t.Errorf("record %+v", r)
		}
		s := a.elector.Status()
		if s.Role != Leader || s.Holder != a.id.String() || s.Problem != "" || s.LeaseDuration != testLease {
			t.Errorf("status %+v", s)
		}
	})
}

func TestReleasedLockIsTakenWithinASecond(t *testing.T) {
	kinds(t, func(t *testing.T, f *fleet) {
		a := f.start("a")
		pass(time.Second)
		b := f.start("b")
		pass(10 * time.Second)
		b.mustNotLead("while a does")
		a.stop()
		pass(time.Second)
		b.mustLead("after the release")
		b.mustHave(TakeoverReleased)
		a.mustHave(Released)
		if r := f.record(); r.Transitions != 1 {
			t.Errorf("transitions %d, want 1", r.Transitions)
		}
	})
}

// A Lease that client-go's elector released has no holder and a duration of one second.
func TestLockReleasedByClientGoIsFree(t *testing.T) {
	kinds(t, func(t *testing.T, f *fleet) {
		now := time.Now()
		f.hold(Record{Duration: time.Second, Acquired: now, Renewed: now, Transitions: 7})
		a := f.start("a")
		pass(time.Second)
		a.mustLead("the lock is free")
		if r := f.record(); r.Transitions != 8 {
			t.Errorf("transitions %d, want 8", r.Transitions)
		}
	})
}

func TestLeaseOfTheRecordCountsNotTheOwn(t *testing.T) {
	for name, test := range map[string]struct{ record, own, want time.Duration }{
		"longer":       {40 * time.Second, 15 * time.Second, 40 * time.Second},
		"shorter":      {10 * time.Second, 40 * time.Second, 10 * time.Second},
		"missing":      {0, 15 * time.Second, 15 * time.Second},
		"above 1 hour": {2 * time.Hour, 15 * time.Second, 15 * time.Second},
		"negative":     {-5 * time.Second, 15 * time.Second, 15 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			kinds(t, func(t *testing.T, f *fleet) {
				// Clocks of other machines are of no account.
				long := time.Now().Add(-1000 * time.Hour)
				f.hold(Record{Holder: "somebody", Duration: test.record, Acquired: long, Renewed: long})
				a := f.start("a", lease(test.own))
				pass(test.want - time.Millisecond)
				a.mustNotLead("before the lease has passed")
				pass(time.Second)
				a.mustLead("after it")
				a.mustHave(TakeoverExpired)
			})
		})
	}
}

// Somebody labels the object all the time: that is no sign of life of its holder, and the labels stay.
func TestLabelsProlongNothing(t *testing.T) {
	kinds(t, func(t *testing.T, f *fleet) {
		f.hold(Record{Holder: "somebody", Duration: testLease})
		a := f.start("a")
		for i := range 16 {
			f.editMeta(func(o metav1.Object) { o.SetLabels(map[string]string{"n": fmt.Sprint(i)}) })
			pass(time.Second)
		}
		a.mustLead("the record has not changed")
		if got := f.observation().object.GetLabels()["n"]; got != "15" {
			t.Errorf("label %q", got)
		}
	})
}

func TestUnreadableRecordIsWaitedForOneOwnLease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, true)
		f.hold(Record{Holder: "somebody", Duration: time.Minute})
		a := f.start("a")
		pass(10 * time.Second)
		f.editMeta(func(o metav1.Object) { o.GetAnnotations()[LeaderAnnotation] = "{nonsense" })
		pass(testLease - time.Millisecond)
		a.mustNotLead("less than a lease after the damage")
		pass(time.Second)
		a.mustLead("a lease after the damage")
	})
}

func TestSettledFollowersMakeNoRequests(t *testing.T) {
	kinds(t, func(t *testing.T, f *fleet) {
		f.start("a", lease(time.Minute))
		pass(time.Second)
		var names []string
		for i := range 5 {
			names = append(names, fmt.Sprintf("f%d", i))
			f.start(names[i], lease(time.Minute))
		}
		pass(5 * time.Second)
		before := 0
		for _, n := range names {
			before += f.requests(n)
		}
		pass(50 * time.Minute)
		after := 0
		for _, n := range names {
			after += f.requests(n)
		}
		if after != before {
			t.Errorf("%d requests in 50 minutes", after-before)
		}
	})
}

// The watch is dead without knowing it. The follower reads the silent lock before it acts, and opens a new watch.
func TestSilentLockIsReadBeforeItIsTaken(t *testing.T) {
	kinds(t, func(t *testing.T, f *fleet) {
		a := f.start("a")
		pass(time.Second)
		b := f.start("b")
		pass(time.Second)
		b.link.Lag(func() time.Duration { return 1000 * time.Hour })
		writes := f.server.Count(func(c memapi.Call) bool { return c.Client == "b" && c.Write() })
		pass(testLease + 2*time.Second)
		b.mustNotLead("a renews")
		if n := f.server.Count(func(c memapi.Call) bool { return c.Client == "b" && c.Write() }); n != writes {
			t.Error("b wrote a lock that is held")
		}
		b.link.Lag(nil)
		pass(testLease + 3*time.Second) // found silent again, read, opened anew
		a.crash()
		pass(testLease + time.Second)
		b.mustLead("a is gone")
	})
}

func TestWatchFromATooOldVersionIsReadAgain(t *testing.T) {
	kinds(t, func(t *testing.T, f *fleet) {
		a := f.start("a")
		pass(time.Second)
		b := f.add("b", noPods)
		first := true
		b.link.Faults(func(c memapi.Call) memapi.Fault {
			if c.Verb == "watch" && first {
				first = false
				return memapi.Fault{Before: 6 * time.Second} // a renewal and a compaction come between
			}
			return memapi.Fault{}
		})
		b.start()
		pass(5500 * time.Millisecond)
		f.server.Leases.Compact()
		f.server.ConfigMaps.Compact()
		pass(3 * time.Second)
		if first {
			t.Error("no watch was asked for")
		}
		if p := b.elector.Status().Problem; p != "" {
			t.Errorf("problem %q", p)
		}
		a.stop()
		pass(time.Second)
		b.mustLead("its watch works")
	})
}

func TestCutWatchesAreOpenedAgain(t *testing.T) {
	kinds(t, func(t *testing.T, f *fleet) {
		a := f.start("a")
		pass(time.Second)
		b := f.start("b")
		for range 10 {
			pass(20 * time.Second)
			b.link.CutWatches()
		}
		pass(5 * time.Second)
		a.stop()
		pass(time.Second)
		b.mustLead("its watch works")
	})
}

// All write at once: one wins, the others read back who did and go on following.
func TestLostRaceIsReadBack(t *testing.T) {
	kinds(t, func(t *testing.T, f *fleet) {
		same := func(o *Options) { o.Rand = func() float64 { return 0.5 } }
		for i := range 5 {
			m := f.add(fmt.Sprint("m", i), same)
			m.link.Faults(func(c memapi.Call) memapi.Fault { return memapi.Fault{Before: 10 * time.Millisecond} })
			m.start()
		}
		pass(2 * time.Second)
		leaders, conflicts := 0, 0
		for _, m := range f.members {
			conflicts += m.count(Conflict)
			if m.leads() {
				leaders++
			}
		}
		if leaders != 1 || conflicts != 4 {
			t.Errorf("%d leaders, %d conflicts; want 1, 4", leaders, conflicts)
		}
	})
}

// The write happened, its answer was lost: the own record is found and the term counts from the start of the write.
func TestLostAnswerToAnAcquisition(t *testing.T) {
	kinds(t, func(t *testing.T, f *fleet) {
		a := f.add("a")
		a.link.Faults(func(c memapi.Call) memapi.Fault {
			if c.Write() {
				return memapi.Fault{After: 2 * time.Second, Lose: memapi.ErrCut}
			}
			return memapi.Fault{}
		})
		a.start()
		pass(4 * time.Second)
		a.mustLead("its record is there")
		a.mustHave(Unknown)
		if n := f.writes(); n != 1 {
			t.Errorf("%d writes, want 1", n)
		}
		if left := a.term().left(); left > testLease*2/3-3*time.Second {
			t.Errorf("%v left: counted from the answer, not from the start", left)
		}
	})
}

// The write is given up and happens nevertheless, after it was read back as not having happened.
func TestWriteThatHappensAfterAll(t *testing.T) {
	kinds(t, func(t *testing.T, f *fleet) {
		a := f.add("a")
		first := true
		a.link.Faults(func(c memapi.Call) memapi.Fault {
			if c.Write() && first {
				first = false
				return memapi.Fault{Before: 8 * time.Second, Orphan: true}
			}
			return memapi.Fault{}
		})
		a.start()
		pass(15 * time.Second)
		a.mustLead("it wrote again or found its record")
		if r := f.record(); r.Holder != a.id.String() {
			t.Errorf("holder %q", r.Holder)
		}
	})
}

func TestForbiddenWriteIsAProblemAndIsOver(t *testing.T) {
	kinds(t, func(t *testing.T, f *fleet) {
		a := f.add("a")
		a.link.Faults(refuse(f.kind(), "create"))
		a.start()
		pass(5 * time.Second)
		a.mustNotLead("it must not write")
		want := "cannot create " + a.elector.lock.lock.String()
		if p := a.elector.Status().Problem; !strings.Contains(p, want) || !strings.Contains(p, "grant") {
			t.Errorf("problem %q, want one with %q", p, want)
		}
		a.link.Faults(nil)
		pass(testLease)
		a.mustLead("it may write")
		if p := a.elector.Status().Problem; p != "" {
			t.Errorf("problem %q", p)
		}
	})
}

// It is said once, however often it is tried, and is no follower's problem once somebody else leads.
func TestForbiddenUpdateIsSaidOnce(t *testing.T) {
	kinds(t, func(t *testing.T, f *fleet) {
		f.hold(Record{Holder: "somebody", Duration: 10 * time.Second})
		a := f.add("a")
		a.link.Faults(refuse(f.kind(), "update"))
		a.start()
		pass(5 * time.Minute)
		if n := strings.Count(a.log.String(), "cannot update"); n != 1 {
			t.Errorf("said %d times", n)
		}
		if p := a.elector.Status().Problem; !strings.Contains(p, "cannot update") {
			t.Errorf("problem %q", p)
		}
		b := f.start("b")
		pass(testLease)
		b.mustLead("it may write")
		if p := a.elector.Status().Problem; p != "" {
			t.Errorf("problem %q", p)
		}
	})
}

func TestForbiddenReadAndWatchAreProblems(t *testing.T) {
	for _, verb := range []string{"get", "watch"} {
		kinds(t, func(t *testing.T, f *fleet) {
			f.start("a")
			pass(time.Second)
			b := f.add("b")
			b.link.Faults(refuse(f.kind(), verb))
			b.start()
			pass(2 * time.Second)
			if p := b.elector.Status().Problem; !strings.HasPrefix(p, "cannot "+verb) {
				t.Errorf("problem %q", p)
			}
			if n := f.requests("b"); n > 20 {
				t.Errorf("%d requests in 2 s", n)
			}
			b.link.Faults(nil)
			pass(testLease)
			if p := b.elector.Status().Problem; p != "" {
				t.Errorf("problem %q", p)
			}
		})
	}
}

// Somebody else takes the lock while a candidate waits its turn: no write.
func TestWhoWasSlowerDoesNotWrite(t *testing.T) {
	kinds(t, func(t *testing.T, f *fleet) {
		a := f.start("a", func(o *Options) { o.Rand = func() float64 { return 0.999 } })
		pass(300 * time.Millisecond)
		f.hold(Record{Holder: "quicker", Duration: time.Minute})
		pass(10 * time.Second)
		a.mustNotLead("somebody was quicker")
		if n := f.writes(); n != 0 {
			t.Errorf("%d writes", n)
		}
	})
}

func TestATakeoverOfManyIsAHandfulOfWrites(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, false)
		a := f.start("a")
		pass(time.Second)
		for i := range 300 {
			m := f.add(fmt.Sprint("m", i))
			m.link.Lag(func() time.Duration { return 50 * time.Millisecond })
			m.link.Faults(func(memapi.Call) memapi.Fault { return memapi.Fault{Before: 5 * time.Millisecond} })
			m.start()
		}
		pass(5 * time.Second)
		before := f.writes()
		a.stop()
		pass(time.Second)
		if n := f.writes() - before; n < 2 || n > 20 {
			t.Errorf("%d writes", n)
		}
	})
}

// The work can't be done here: the lock is given back, the others may, and it says why until it works.
func TestWhoCannotLeadSitsOut(t *testing.T) {
	kinds(t, func(t *testing.T, f *fleet) {
		var fixed atomic.Bool
		var calls atomic.Int32
		a := f.add("a")
		a.elector.o.Lead = func(ctx context.Context, term *Term) error {
			calls.Add(1)
			if !fixed.Load() {
				return errors.New("no right to claim")
			}
			term.SetEpoch(5)
			return a.lead(ctx, term)
		}
		a.start()
		pass(time.Second)
		if r := f.record(); r.Holder != "" {
			t.Errorf("the lock is still held by %q", r.Holder)
		}
		if p := a.elector.Status().Problem; !strings.Contains(p, "no right to claim") {
			t.Errorf("problem %q", p)
		}
		pass(5 * time.Minute)
		if n := calls.Load(); n < 5 || n > 14 {
			t.Errorf("%d terms in 5 minutes, want some, in growing intervals", n)
		}
		fixed.Store(true)
		pass(time.Minute + time.Second)
		a.mustLead("it works again")
		if p := a.elector.Status().Problem; p != "" {
			t.Errorf("problem %q", p)
		}
	})
}

func TestWhileOneSitsOutAnotherLeads(t *testing.T) {
	kinds(t, func(t *testing.T, f *fleet) {
		a := f.start("a", func(o *Options) {
			o.Lead = func(context.Context, *Term) error { return errors.New("not here") }
		})
		pass(700 * time.Millisecond)
		b := f.add("b")
		b.elector.o.Lead = func(ctx context.Context, term *Term) error {
			term.SetEpoch(1)
			return b.lead(ctx, term)
		}
		b.start()
		pass(3 * time.Second)
		b.mustLead("a sits out")
		if p := a.elector.Status().Problem; p != "" {
			t.Errorf("b has claimed, so whatever it was is over: %q", p)
		}
	})
}

// A write that is always refused as a conflict, as by a broken admission webhook, is not repeated without a pause.
func TestEndlessConflictsAreNotHammered(t *testing.T) {
	kinds(t, func(t *testing.T, f *fleet) {
		f.hold(Record{Holder: identity("a").String(), Duration: time.Minute}) // its own: no wait before the write
		a := f.add("a")
		a.link.Faults(func(c memapi.Call) memapi.Fault {
			if c.Write() {
				return memapi.Fault{Refuse: apierrors.NewConflict(schema.GroupResource{}, lockName, errors.New("no"))}
			}
			return memapi.Fault{}
		})
		a.start()
		pass(time.Minute)
		if n := f.writes(); n > 60 {
			t.Errorf("%d writes in a minute", n)
		}
		a.link.Faults(nil)
		pass(testLease)
		a.mustLead("it may write")
	})
}

// The API was unreachable for all. Who hears of it first tries first; nobody waits out a backoff that is not needed.
func TestOutageOfTheAPI(t *testing.T) {
	kinds(t, func(t *testing.T, f *fleet) {
		for _, name := range []string{"a", "b", "c"} {
			f.start(name, lease(time.Minute))
		}
		pass(5 * time.Second)
		for _, m := range f.members {
			m.link.Part(true)
		}
		pass(5 * time.Minute)
		for _, m := range f.members {
			m.mustNotLead("the API is unreachable")
			m.link.Part(false)
		}
		pass(12 * time.Second)
		leaders := 0
		for _, m := range f.members {
			if m.leads() {
				leaders++
			}
			if p := m.elector.Status().Problem; p != "" {
				t.Errorf("problem %q", p)
			}
		}
		if leaders != 1 {
			t.Errorf("%d leaders", leaders)
		}
	})
}
