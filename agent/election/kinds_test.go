package election

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/eventbaton/baton/agent/election/memapi"
)

// mixed is a fleet in the middle of a change from one kind of lock to the other.
func mixed(t *testing.T, test func(t *testing.T, f *fleet)) {
	synctest.Test(t, func(t *testing.T) { test(t, newFleet(t, true)) })
}

func (f *fleet) withConfigMap(name string) *member {
	return f.add(name, noPods, func(o *Options) { o.OtherWins = true })
}

func (f *fleet) withLease(name string) *member {
	return f.add(name, noPods, func(o *Options) { o.Lock, o.Other = o.Other, o.Lock })
}

// leaseRecord writes the Lease by hand.
func (f *fleet) leaseRecord(r Record) {
	f.t.Helper()
	l := f.lock(memapi.NewLink("person"), false)
	o, err := l.Get(context.Background())
	if err == nil {
		_, err = l.Write(context.Background(), o, r)
	}
	if err != nil {
		f.t.Fatal(err)
	}
}

func TestConfigMapWaitsForTheLease(t *testing.T) {
	mixed(t, func(t *testing.T, f *fleet) {
		old := f.withLease("old")
		old.start()
		pass(time.Second)
		old.mustLead("alone")
		c := f.withConfigMap("new")
		c.start()
		pass(3 * testLease)
		c.mustNotLead("the Lease is held")
		if f.observation().Exists {
			t.Error("the ConfigMap was written")
		}
		old.stop()
		pass(time.Second)
		c.mustLead("the Lease is free")
	})
}

func TestSettledConfigMapFollowersMakeNoRequests(t *testing.T) {
	mixed(t, func(t *testing.T, f *fleet) {
		a := f.withConfigMap("a")
		a.start()
		pass(time.Second)
		b := f.withConfigMap("b")
		b.start()
		pass(time.Second)
		before := f.requests("b")
		pass(30 * time.Minute)
		a.mustLead("alone")
		if n := f.requests("b") - before; n != 0 {
			t.Errorf("%d requests", n)
		}
	})
}

func TestLeaseTakesOverFromTheConfigMap(t *testing.T) {
	mixed(t, func(t *testing.T, f *fleet) {
		c := f.withConfigMap("old")
		c.start()
		pass(time.Second)
		c.mustLead("alone")
		c.term().SetEpoch(6)
		synctest.Wait()
		l := f.withLease("new")
		l.start()
		pass(time.Second)
		l.mustLead("the Lease wins")
		c.mustNotLead("the Lease is taken")
		l.mustHave(BothHeld)
		c.mustHave(BothHeld)
		c.mustHave(Released)
		if e := l.term().Epoch(); e != 6 {
			t.Errorf("epoch %d, want the ConfigMap's 6", e)
		}
		pass(time.Minute)
		l.mustLead("for good")
		if ok, err := c.term().Holds(context.Background()); ok || err != nil {
			t.Errorf("Holds: %v, %v", ok, err)
		}
	})
}

// The Lease was taken while the ConfigMap was being written: that is seen by the read after the acquisition.
func TestConfigMapLooksAtTheLeaseAfterAcquiring(t *testing.T) {
	mixed(t, func(t *testing.T, f *fleet) {
		c := f.withConfigMap("c")
		c.link.Lag(func() time.Duration { return 1000 * time.Hour })
		c.link.Faults(func(call memapi.Call) memapi.Fault {
			if call.Write() {
				return memapi.Fault{Before: time.Second}
			}
			return memapi.Fault{}
		})
		c.start()
		pass(time.Second)
		f.leaseRecord(Record{Holder: "other", Duration: time.Minute})
		pass(6 * time.Second)
		c.mustHave(Acquired)
		c.mustHave(BothHeld)
		c.mustHave(Released)
		if c.term() != nil {
			t.Error("Lead was called")
		}
		if r := f.record(); r.Holder != "" {
			t.Errorf("the ConfigMap is still held: %+v", r)
		}
	})
}

func TestStaleLeaseDoesNotKeepTheConfigMap(t *testing.T) {
	mixed(t, func(t *testing.T, f *fleet) {
		f.leaseRecord(Record{Holder: "long dead", Duration: 20 * time.Second})
		c := f.withConfigMap("c")
		c.start()
		pass(20*time.Second - time.Millisecond)
		c.mustNotLead("nobody knows yet whether the Lease is renewed")
		pass(time.Second)
		c.mustLead("the Lease has not changed for its length")
		if ok, err := c.term().Holds(context.Background()); !ok || err != nil {
			t.Errorf("Holds: %v, %v", ok, err)
		}
	})
}

func TestUnreadableConfigMapDoesNotHinderTheLease(t *testing.T) {
	mixed(t, func(t *testing.T, f *fleet) {
		l := f.withLease("l")
		l.link.Faults(refuse("configmaps", "get"))
		l.start()
		pass(time.Second)
		l.mustLead("the ConfigMap only gives an epoch")
		if p := l.elector.Status().Problem; p != "" {
			t.Errorf("problem %q", p)
		}
	})
}

func TestUnreadableLeaseKeepsTheConfigMap(t *testing.T) {
	mixed(t, func(t *testing.T, f *fleet) {
		c := f.withConfigMap("c")
		c.link.Faults(refuse("leases", "get"))
		c.start()
		pass(time.Minute)
		c.mustNotLead("the Lease might be held")
		if p := c.elector.Status().Problem; p == "" {
			t.Error("no problem is reported")
		}
		c.link.Faults(nil)
		pass(10 * time.Second)
		c.mustLead("the Lease is free")
	})
}

// The watch of the Lease, opened while it was allowed, tells nothing; the read that was refused has to be tried again.
func TestUnreadableLeaseIsOverForAFollower(t *testing.T) {
	mixed(t, func(t *testing.T, f *fleet) {
		first, c := f.withConfigMap("first"), f.withConfigMap("c")
		first.start()
		pass(time.Second)
		c.start()
		pass(testLease)
		c.link.Faults(refuse("leases", "get"))
		first.stop()
		pass(time.Minute)
		c.mustNotLead("the Lease might be held")
		other := f.withConfigMap("other")
		other.start()
		pass(10 * time.Second)
		other.mustLead("it may read the Lease")
		c.link.Faults(nil)
		pass(testLease)
		if p := c.elector.Status().Problem; p != "" {
			t.Errorf("problem %q", p)
		}
		settled := f.requests("c")
		pass(5 * time.Minute)
		if n := f.requests("c") - settled; n != 0 {
			t.Errorf("%d requests once it is settled", n)
		}
	})
}
