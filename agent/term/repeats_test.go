package term

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/eventbaton/baton/agent/relay"
)

// benchAtRate is a bench whose sink wants a record of an object and a reason a minute.
func benchAtRate(t *testing.T) *bench {
	b := newBench(t)
	b.runner.Sinks = []*relay.Sink{relay.NewSink(relay.SinkOptions{
		Name: "in", Sink: b.inbox, Repeats: relay.RepeatsRate, RepeatInterval: time.Minute,
	})}
	return b
}

// The cursor that is written waits for what a leader holds back. One that ends in order sends that and writes the cursor
// behind it: its successor repeats nothing.
func TestHeldRecordsAreHandedOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := benchAtRate(t)
		b.lead()
		first := b.create(1)
		b.settle(5 * time.Second)
		last := b.create(3)
		b.settle(5 * time.Second)
		b.want(1, first)
		if p := b.cursors().Positions["in"]; !p.Since.IsZero() {
			t.Errorf("what is held is overdue: %+v", p)
		}
		if err := b.finish(); err != nil {
			t.Errorf("Lead: %v", err)
		}
		b.want(2, last)
		b.lock.drain = make(chan struct{})
		b.lead()
		b.settle(time.Hour)
		b.want(2, last)
		b.lose()
		<-b.done
	})
}

// A sink that hangs when the leader ends costs the time to drain, and the cursor stays where the successor has to begin.
func TestHeldRecordsOfASinkThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := benchAtRate(t)
		b.lead()
		first := b.create(1)
		b.settle(5 * time.Second)
		last := b.create(3)
		b.settle(5 * time.Second)
		b.inbox.mu.Lock()
		b.inbox.hang = true
		b.inbox.mu.Unlock()
		began := time.Now()
		if err := b.finish(); err != nil {
			t.Errorf("Lead: %v", err)
		}
		if took := time.Since(began); took != b.runner.DrainTimeout {
			t.Errorf("draining took %v", took)
		}
		b.want(1, first)
		b.inbox.mu.Lock()
		b.inbox.hang = false
		b.inbox.mu.Unlock()
		b.lock.drain = make(chan struct{})
		b.lead()
		b.settle(time.Hour)
		b.want(3, last)
		if ids := b.inbox.ids; ids[0] == ids[1] || !slices.IsSorted(ids) {
			t.Errorf("got %v", ids)
		}
		b.lose()
		<-b.done
	})
}
