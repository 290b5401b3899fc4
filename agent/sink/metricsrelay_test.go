package sink_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"

	"github.com/eventbaton/baton/agent/cursor"
	"github.com/eventbaton/baton/agent/record"
	"github.com/eventbaton/baton/agent/relay"
	"github.com/eventbaton/baton/agent/sink"
	"github.com/eventbaton/baton/agent/source"
	"github.com/eventbaton/baton/agent/source/sourcetest"
)

// fleet is a log of events, pods with a sink of type metrics each, of which one leads, and the cursors as they were written.
type fleet struct {
	*sourcetest.Log
	pods    []*metricsPod
	written map[string]cursor.Position
	relay   *relay.Relay
	drain   chan struct{}
	cancel  context.CancelFunc
	done    chan error
}

type metricsPod struct {
	registry *prometheus.Registry
	sink     *relay.Sink
}

func newFleet(t *testing.T, pods int) *fleet {
	t.Helper()
	f := &fleet{Log: sourcetest.New(100), written: map[string]cursor.Position{}}
	for range pods {
		registry := prometheus.NewRegistry()
		s, err := sink.Types["metrics"]().Open(sink.Environment{Metrics: registry})
		if err != nil {
			t.Fatal(err)
		}
		f.pods = append(f.pods, &metricsPod{registry, relay.NewSink(relay.SinkOptions{Name: "m", Sink: s})})
	}
	return f
}

// lead begins a term of a pod, from the cursors as they were last written.
func (f *fleet) lead(t *testing.T, pod int) {
	t.Helper()
	f.relay = relay.New(relay.Options{
		Sinks: []*relay.Sink{f.pods[pod].sink}, Streams: []string{""}, Positions: f.written,
		Open:    func(string) relay.Reader { return source.New(source.Options{Events: f.Log, PageLimit: 3}) },
		Convert: func(e *corev1.Event) *record.Record { return record.From(e, record.Origin{Cluster: "c"}) },
	})
	f.drain, f.done = make(chan struct{}), make(chan error, 1)
	ctx, cancel := context.WithCancel(t.Context())
	f.cancel = cancel
	t.Cleanup(cancel)
	go func() { f.done <- f.relay.Run(ctx, f.drain) }()
}

func (f *fleet) write() { f.written = f.relay.Positions() }

// release ends the term in order.
func (f *fleet) release(t *testing.T) {
	t.Helper()
	close(f.drain)
	if err := <-f.done; err != nil {
		t.Errorf("the term ended with %v", err)
	}
	f.cancel()
	f.write()
}

// lose ends the term with the cursors as they are.
func (f *fleet) lose(t *testing.T) {
	t.Helper()
	f.cancel()
	if err := <-f.done; !errors.Is(err, context.Canceled) {
		t.Errorf("the term ended with %v", err)
	}
}

// counted is the sum over all pods.
func (f *fleet) counted(t *testing.T) (all int64) {
	t.Helper()
	for _, p := range f.pods {
		families, err := p.registry.Gather()
		if err != nil {
			t.Fatal(err)
		}
		for _, family := range families {
			for _, m := range family.GetMetric() {
				all += int64(m.GetCounter().GetValue())
			}
		}
	}
	return all
}

func (f *fleet) wantCounted(t *testing.T, when string, want int64) {
	t.Helper()
	if got := f.counted(t); got != want {
		t.Errorf("%s: %d are counted, want %d", when, got, want)
	}
}

func settle() {
	time.Sleep(time.Second)
	synctest.Wait()
}

// From one leader to the next every occurrence is counted once.
func TestMetricsOverALeaderChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, 2)
		for i := range 5 { // longer there than anyone counts: one each
			f.Recreate("x", fmt.Sprint("old", i), "hello", 57)
		}
		f.lead(t, 0)
		settle()
		f.wantCounted(t, "at the start", 5)
		f.Create("x", "new", "hello")
		for range 9 {
			f.Update("x", "new", 1)
		}
		f.Update("x", "old1", 1)
		f.Update("x", "old2", 4) // a series' jump, within a term
		settle()
		f.wantCounted(t, "in the first term", 5+10+1+4)
		f.release(t)
		f.Update("x", "new", 1) // while nobody leads
		f.Update("x", "new", 1)
		f.Create("x", "newer", "hello")
		f.Update("x", "newer", 1)
		f.lead(t, 1)
		settle()
		f.wantCounted(t, "in the second term", 20+4)
		f.Update("x", "newer", 3)
		f.Delete("x", "new") // expired, and its reporter counts on
		f.Recreate("x", "new", "hello", 13)
		settle()
		f.release(t)
		f.lead(t, 0)
		f.Update("x", "old1", 1) // which this pod has counted up to a version that is long past
		f.Update("x", "newer", 1)
		settle()
		f.wantCounted(t, "in the third term", 24+3+1+2)
		f.release(t)
	})
}

// A leader that dies leaves what it sent since it wrote the cursors to be counted again, no more. One that only lost the
// lead and gets it back remembers.
func TestMetricsOverACrash(t *testing.T) {
	for _, successor := range []int{0, 1} {
		synctest.Test(t, func(t *testing.T) {
			f := newFleet(t, 2)
			f.lead(t, 0)
			for range 3 {
				f.Create("x", fmt.Sprint("a", f.RV()), "hello")
			}
			settle()
			f.write()
			for range 4 {
				f.Create("x", fmt.Sprint("b", f.RV()), "hello")
			}
			settle()
			f.lose(t)
			f.lead(t, successor)
			f.Create("x", "c", "hello")
			settle()
			f.wantCounted(t, fmt.Sprintf("with pod %d as the successor", successor), 8+4*int64(successor))
			f.release(t)
		})
	}
}

// metricsPlay is a play of chance, with what has happened in it.
type metricsPlay struct {
	*fleet
	rng      *rand.Rand
	counts   map[string]int32
	seen     map[string]bool // in this term
	happened int64
	leader   int
}

// happen makes one more occurrence, or several where the leader knows the one before.
func (p *metricsPlay) happen() {
	name := fmt.Sprint("e", p.rng.IntN(12))
	n := int32(1)
	switch {
	case p.counts[name] == 0:
		p.Create("x", name, "hello")
	case p.rng.IntN(10) == 0:
		p.Delete("x", name)
		p.Recreate("x", name, "hello", p.counts[name]+1)
	case p.seen[name] && p.rng.IntN(4) == 0:
		synctest.Wait()
		n = p.rng.Int32N(20) + 1
		p.Update("x", name, n)
		synctest.Wait()
	default:
		p.Update("x", name, 1)
	}
	p.counts[name] += n
	p.seen[name] = true
	p.happened += int64(n)
}

// change changes the leader in order, or has the same pod begin again from where the cursors were written.
func (p *metricsPlay) change(t *testing.T) {
	lost := p.rng.IntN(3) == 0
	if lost {
		p.lose(t)
	} else {
		p.release(t)
		p.leader = p.rng.IntN(len(p.pods))
	}
	clear(p.seen)
	for range p.rng.IntN(5) {
		p.happen()
		clear(p.seen) // by nobody
	}
	p.lead(t, p.leader)
	if lost {
		settle() // gone before it has caught up, it would be as one that died
	}
}

func TestMetricsByChance(t *testing.T) {
	for seed := range uint64(40) {
		synctest.Test(t, func(t *testing.T) {
			p := &metricsPlay{
				fleet: newFleet(t, 3), rng: rand.New(rand.NewPCG(seed, 7)), counts: map[string]int32{}, seen: map[string]bool{},
			}
			p.written["m"] = cursor.Position{RV: p.RV()}
			p.lead(t, 0)
			for range 200 {
				switch p.rng.IntN(20) {
				case 0:
					p.change(t)
				case 1:
					settle()
				case 2:
					p.write()
				default:
					p.happen()
				}
			}
			settle()
			p.wantCounted(t, fmt.Sprint("seed ", seed), p.happened)
			p.release(t)
		})
	}
}
