package term

import (
	"context"
	"errors"
	"log/slog"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/eventbaton/baton/agent/cursor"
	"github.com/eventbaton/baton/agent/election/memapi"
	"github.com/eventbaton/baton/agent/record"
	"github.com/eventbaton/baton/agent/relay"
	"github.com/eventbaton/baton/agent/sink"
	"github.com/eventbaton/baton/agent/source"
	"github.com/eventbaton/baton/agent/source/sourcetest"
)

const cursorsName = "baton-cursors"

// lock is a Leadership that the test decides.
type lock struct {
	mu     sync.Mutex
	valid  bool
	holder bool
	epoch  int64
	drain  chan struct{}
}

func newLock() *lock { return &lock{valid: true, holder: true, drain: make(chan struct{})} }

func (l *lock) set(valid, holder bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.valid, l.holder = valid, holder
}

func (l *lock) Valid() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.valid
}

func (l *lock) Holds(context.Context) (bool, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.holder, nil
}

func (l *lock) Epoch() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.epoch
}

func (l *lock) SetEpoch(epoch int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.epoch = epoch
}

func (l *lock) Drain() <-chan struct{} { return l.drain }

// inbox is a sink that keeps what it gets.
type inbox struct {
	mu    sync.Mutex
	ids   []string
	epoch []int64
	hang  bool // until ctx ends
}

func (i *inbox) Send(ctx context.Context, batch []*record.Record) error {
	i.mu.Lock()
	hang := i.hang
	if !hang {
		for _, r := range batch {
			i.ids, i.epoch = append(i.ids, r.ID), append(i.epoch, r.Leader.Epoch)
		}
	}
	i.mu.Unlock()
	if hang {
		<-ctx.Done()
		return ctx.Err()
	}
	return nil
}

func (i *inbox) Limits() sink.Limits { return sink.Limits{Records: 100, Bytes: 1 << 20} }
func (i *inbox) Close() error        { return nil }

func (i *inbox) got() int {
	i.mu.Lock()
	defer i.mu.Unlock()
	return len(i.ids)
}

// bench is a term and all it touches, in memory.
type bench struct {
	*testing.T
	server *memapi.Server
	link   *memapi.Link
	log    *sourcetest.Log
	inbox  *inbox
	lock   *lock
	runner *Runner
	done   chan error
	lose   context.CancelFunc
}

type nobody struct{}

func (nobody) Connected(string, error)                {}
func (nobody) Gap(string, cursor.Position, time.Time) {}
func (nobody) WentBack(string, uint64, uint64)        {}

var _ source.Observer = nobody{}

func newBench(t *testing.T) *bench {
	t.Helper()
	b := &bench{T: t, server: memapi.NewServer(), link: memapi.NewLink("a"), log: sourcetest.New(100), inbox: &inbox{}, lock: newLock()}
	b.runner = New(Options{
		Cursors: b.server.ConfigMaps.Client(b.link), Namespace: "ns", Name: cursorsName, Identity: "a",
		ClusterID: func(context.Context) (string, error) { return "cluster", nil },
		Events:    b.log, Streams: []string{""}, Wants: func(ns string) bool { return ns != "unwanted" },
		Sinks:              []*relay.Sink{relay.NewSink(relay.SinkOptions{Name: "in", Sink: b.inbox})},
		CheckpointInterval: 2 * time.Second, DrainTimeout: 2 * time.Second,
		Observer: nobody{}, Log: slog.New(slog.DiscardHandler),
	})
	return b
}

func (b *bench) lead() {
	ctx, cancel := context.WithCancel(b.Context())
	b.lose, b.done = cancel, make(chan error, 1)
	b.Cleanup(cancel)
	go func() { b.done <- b.runner.Lead(ctx, b.lock) }()
	synctest.Wait()
}

func (b *bench) create(n int) (rv uint64) {
	for i := range n {
		rv = b.log.Create("ns", "e"+strconv.Itoa(int(b.log.RV()))+"-"+strconv.Itoa(i), "m")
	}
	return rv
}

// settle lets everything happen that does within d.
func (b *bench) settle(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func (b *bench) cursors() cursor.State {
	b.Helper()
	object, err := b.server.ConfigMaps.Get(cursorsName)
	if err != nil {
		b.Fatal(err)
	}
	state, err := cursor.Read(object)
	if err != nil {
		b.Fatal(err)
	}
	return state
}

func (b *bench) want(received int, rv uint64) {
	b.Helper()
	if got := b.inbox.got(); got != received {
		b.Errorf("received %d records, want %d", got, received)
	}
	if got := b.cursors().Positions["in"].RV; got != rv {
		b.Errorf("cursor at %d, want %d", got, rv)
	}
}

func (b *bench) finish() error {
	close(b.lock.drain)
	return <-b.done
}

func (b *bench) writes() int {
	return b.server.Count(func(c memapi.Call) bool { return c.Write() && c.Kind == "configmaps" })
}

func TestTermDeliversAndDrains(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		b.create(3)
		b.lead()
		b.settle(5 * time.Second)
		b.create(1)
		b.settle(time.Millisecond) // written at once, so that the next one has to wait
		rv := b.create(1)
		synctest.Wait()
		if s := b.runner.Status(); !s.Leading || s.Epoch != 1 || s.Cluster != "cluster" {
			t.Errorf("status: %+v", s)
		}
		if err := b.finish(); err != nil {
			t.Errorf("Lead: %v", err)
		}
		b.want(5, rv) // the last write is there although the interval had not passed
		if s := b.runner.Status(); s.Leading {
			t.Errorf("status after the term: %+v", s)
		}
	})
}

// The namespaces that are not wanted move the cursor all the same.
func TestUnwantedNamespace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		b.lead()
		rv := b.log.Create("unwanted", "e", "m")
		b.settle(5 * time.Second)
		b.want(0, rv)
		b.lose()
		<-b.done
	})
}

// A steady stream costs one write an interval.
func TestCheckpointInterval(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		b.lead()
		before := b.writes()
		for range 200 {
			b.create(1)
			b.settle(100 * time.Millisecond)
		}
		if n := b.writes() - before; n < 8 || n > 12 {
			t.Errorf("%d writes of the cursors in 20 s, want about 10", n)
		}
		b.lose()
		<-b.done
	})
}

// The position to start from is in the cursors before anything is read.
func TestStartIsWrittenFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		b.runner.StartNow = true
		b.create(3)
		head := b.log.RV()
		b.inbox.hang = true
		b.lead()
		if p := b.cursors().Positions["in"]; p.RV != head {
			t.Errorf("start: now begins at %d, the log is at %d", p.RV, head)
		}
		b.lose()
		<-b.done
	})
}

// A cursor that was lost with its object starts at the oldest event although start is now.
func TestStartNowIsForTheFirstStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		b.runner.StartNow = true
		b.lock.epoch = 7
		b.create(3)
		b.lead()
		b.settle(5 * time.Second)
		b.want(3, b.log.RV())
		b.lose()
		<-b.done
	})
}

func (b *bench) claimAs(owner string) {
	b.Helper()
	err := b.server.ConfigMaps.Edit(cursorsName, func(o *corev1.ConfigMap) {
		epoch, err := strconv.Atoi(o.Data["epoch"])
		if err != nil {
			b.Fatal(err)
		}
		o.Data["owner"], o.Data["epoch"] = owner, strconv.Itoa(epoch+1)
	})
	if err != nil {
		b.Fatal(err)
	}
}

// Who loses the claim and not the lock claims again, and delivers what the other may have left.
func TestClaimsAgainWhileItHoldsTheLock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		b.lead()
		b.claimAs("b")
		b.create(3)
		b.settle(10 * time.Second)
		rv := b.create(1)
		b.settle(5 * time.Second)
		if s := b.cursors(); s.Owner != "a" || s.Epoch != 3 || s.Positions["in"].RV != rv {
			t.Errorf("cursors: %+v", s)
		}
		if last := b.inbox.epoch[len(b.inbox.epoch)-1]; last != 3 {
			t.Errorf("the last record is of epoch %d, want 3", last)
		}
		b.lose()
		<-b.done
	})
}

// Who loses both stops, and moves no cursor.
func TestFenced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		b.lead()
		b.claimAs("b")
		b.lock.set(true, false)
		before := b.cursors()
		b.create(3)
		b.settle(5 * time.Second)
		select {
		case err := <-b.done:
			if !errors.Is(err, cursor.ErrFenced) {
				t.Errorf("Lead: %v", err)
			}
		default:
			t.Error("it leads on")
			b.lose()
			<-b.done
		}
		if after := b.cursors(); after.Positions["in"] != before.Positions["in"] || after.Owner != "b" {
			t.Errorf("cursors: %+v, before %+v", after, before)
		}
	})
}

// A term that is lost ends at once, and without a write: what was acknowledged since the last one is repeated.
func TestLostTermWritesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		b.lead()
		rv := b.create(1)
		b.settle(5 * time.Second)
		b.create(1)
		synctest.Wait()
		b.settle(time.Millisecond)
		b.create(1)
		synctest.Wait()
		before, writes := b.cursors(), b.writes()
		b.lock.set(false, false)
		b.lose()
		if err := <-b.done; err == nil {
			t.Error("Lead returned nil for a lost term")
		}
		if b.cursors().Positions["in"] != before.Positions["in"] || b.writes() != writes || before.Positions["in"].RV < rv {
			t.Errorf("cursors: %+v, before %+v", b.cursors(), before)
		}
	})
}

// The deadline has passed and nobody has cancelled the term yet, as right after a SIGCONT: nothing more is sent.
func TestNothingIsSentAfterTheDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		b.lead()
		b.create(1)
		b.settle(5 * time.Second)
		b.lock.set(false, true)
		b.create(3)
		b.settle(5 * time.Second)
		if n := b.inbox.got(); n != 1 {
			t.Errorf("%d records were sent, want the one from before the deadline", n)
		}
		b.lose()
		if err := <-b.done; err == nil {
			t.Error("Lead returned nil for a lost term")
		}
	})
}

// A leader that may not write the cursors delivers on, says so, and writes them when it may again.
func TestCursorsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		b.lead()
		b.link.Faults(func(c memapi.Call) memapi.Fault {
			if !c.Write() {
				return memapi.Fault{}
			}
			return memapi.Fault{Refuse: apierrors.NewForbidden(schema.GroupResource{Resource: "configmaps"}, cursorsName, errors.New("no"))}
		})
		rv := b.create(4)
		b.settle(30 * time.Second)
		if b.inbox.got() != 4 || b.cursors().Positions["in"].RV == rv {
			t.Errorf("received %d, cursor %v", b.inbox.got(), b.cursors().Positions["in"])
		}
		if s := b.runner.Status(); s.Problem == "" || !s.Leading {
			t.Errorf("status: %+v", s)
		}
		b.link.Faults(nil)
		b.settle(30 * time.Second)
		b.want(4, rv)
		if s := b.runner.Status(); s.Problem != "" {
			t.Errorf("status: %+v", s)
		}
		b.lose()
		<-b.done
	})
}

// A sink that does not answer holds up the end of a term for the drain timeout, and its cursor stays.
func TestDrainTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		b.inbox.hang = true
		b.lead()
		before := b.cursors().Positions["in"].RV
		b.create(3)
		b.settle(5 * time.Second)
		began := time.Now()
		if err := b.finish(); err != nil {
			t.Errorf("Lead: %v", err)
		}
		if d := time.Since(began); d < 2*time.Second || d > 2500*time.Millisecond {
			t.Errorf("drained for %v", d)
		}
		b.want(0, before)
	})
}

// Who cannot claim does not lead.
func TestCannotClaim(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		b.link.Faults(func(memapi.Call) memapi.Fault {
			return memapi.Fault{Refuse: apierrors.NewForbidden(schema.GroupResource{Resource: "configmaps"}, cursorsName, errors.New("no"))}
		})
		b.create(3)
		b.lead()
		b.settle(time.Minute)
		if err := <-b.done; !apierrors.IsForbidden(err) {
			t.Errorf("Lead: %v", err)
		}
		if b.inbox.got() != 0 {
			t.Errorf("received %d records", b.inbox.got())
		}
	})
}

// Without an election the claim decides: the one whose claim is taken ends, or both would send everything.
func TestSolo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		done := make(chan error, 1)
		go func() { done <- b.runner.Solo(ctx) }()
		rv := b.create(2)
		b.settle(5 * time.Second)
		b.want(2, rv)
		b.claimAs("b")
		b.create(1)
		b.settle(5 * time.Second)
		if err := <-done; !errors.Is(err, cursor.ErrFenced) {
			t.Errorf("Solo: %v", err)
		}
	})
}

// An agent without an election waits for the API server, and ends in order.
func TestSoloWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		done := make(chan error, 1)
		b.link.Faults(func(memapi.Call) memapi.Fault { return memapi.Fault{Refuse: memapi.ErrCut} })
		go func() { done <- b.runner.Solo(ctx) }()
		b.settle(time.Minute)
		if s := b.runner.Status(); s.Problem == "" {
			t.Errorf("status: %+v", s)
		}
		b.link.Faults(nil)
		rv := b.create(2)
		b.settle(time.Minute)
		b.want(2, rv)
		if s := b.runner.Status(); s.Problem != "" {
			t.Errorf("status: %+v", s)
		}
		stop()
		if err := <-done; err != nil {
			t.Errorf("Solo: %v", err)
		}
	})
}
