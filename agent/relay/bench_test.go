package relay_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/eventbaton/baton/agent/cursor"
	"github.com/eventbaton/baton/agent/record"
	"github.com/eventbaton/baton/agent/relay"
	"github.com/eventbaton/baton/agent/sink"
	"github.com/eventbaton/baton/agent/source"
	"github.com/eventbaton/baton/agent/source/sourcetest"
)

// discard takes everything at once.
type discard struct{}

func (discard) Send(context.Context, []*record.Record) error { return nil }
func (discard) Limits() sink.Limits                          { return sink.Limits{Records: 1000, Bytes: 1 << 20} }
func (discard) Close() error                                 { return nil }

// feeder reads n events, in batches of a size, and closes done when they are all taken.
type feeder struct {
	n, size int
	done    chan struct{}
}

func (f *feeder) Read(ctx context.Context, _ cursor.Position, c source.Consumer) error {
	b := source.Batch{Ordered: true}
	for i := range f.n {
		rv := uint64(i + 1)
		b.Items = append(b.Items, source.Item{RV: rv, Time: time.Now(), Created: true, Event: sample(rv)})
		if len(b.Items) < f.size && i < f.n-1 {
			continue
		}
		b.Position = cursor.Position{RV: rv}
		if err := c.Take(ctx, b); errors.Is(err, source.ErrFull) {
			err = c.Wait(ctx)
			if err != nil {
				return err
			}
		} else if err != nil {
			return err
		}
		b.Items = b.Items[:0]
	}
	close(f.done)
	<-ctx.Done()
	return ctx.Err()
}

func sample(rv uint64) *corev1.Event {
	return &corev1.Event{
		ObjectMeta:     metav1.ObjectMeta{Namespace: "default", Name: "pod.17f", UID: types.UID(fmt.Sprintf("8d9ae0cb-0000-4000-8000-%012d", rv)), ResourceVersion: fmt.Sprint(rv)},
		InvolvedObject: corev1.ObjectReference{Kind: "Pod", Namespace: "default", Name: "pod", UID: "8d9ae0cb-0000-4000-8000-000000000001"},
		Reason:         "BackOff", Message: "Back-off restarting failed container in the pod", Type: "Warning", Count: 1,
	}
}

// BenchmarkDispatch is the cost of an event from the reader to the acknowledgement, for one lane and for three, in
// batches of one as a watch gives them and of 500 as pages do. Making the event is part of it.
func BenchmarkDispatch(b *testing.B) {
	for _, lanes := range []int{1, 3} {
		for _, size := range []int{1, 500} {
			b.Run(fmt.Sprintf("lanes=%d/batch=%d", lanes, size), func(b *testing.B) {
				f := &feeder{n: b.N, size: size, done: make(chan struct{})}
				o := relay.Options{Streams: []string{""}, Open: func(string) relay.Reader { return f }, Convert: convertAll}
				for i := range lanes {
					// Room enough that no lane gets a reader of its own: there is but one feeder.
					o.Sinks = append(o.Sinks, relay.NewSink(relay.SinkOptions{Name: fmt.Sprint(i), Sink: discard{}, QueueBytes: 4 << 30}))
				}
				r := relay.New(o)
				drain, ended := make(chan struct{}), make(chan error, 1)
				b.ReportAllocs()
				b.ResetTimer()
				go func() { ended <- r.Run(b.Context(), drain) }()
				<-f.done
				for _, p := range r.Positions() {
					for p.RV < uint64(b.N) {
						<-r.Dirty()
						p = r.Positions()["0"]
					}
					break
				}
				b.StopTimer()
				close(drain)
				if err := <-ended; err != nil {
					b.Fatal(err)
				}
			})
		}
	}
}

// BenchmarkBacklog is the time for a backlog from the log to the acknowledgement, beside that of only paging through
// it, both against the log in memory.
func BenchmarkBacklog(b *testing.B) {
	const events = 20000
	log := sourcetest.New(1)
	for _, name := range many("e", events) {
		log.Create("x", name, "Back-off restarting failed container in the pod")
	}
	b.Run("bare", func(b *testing.B) {
		for b.Loop() {
			o := metav1.ListOptions{Limit: 500}
			for more := true; more; more = o.Continue != "" {
				list, err := log.List(b.Context(), "", o, 1<<30)
				if err != nil {
					b.Fatal(err)
				}
				o.Continue = list.Continue
			}
		}
		b.ReportMetric(float64(events*b.N)/b.Elapsed().Seconds(), "events/s")
	})
	b.Run("relayed", func(b *testing.B) {
		for b.Loop() {
			relayBacklog(b, log)
		}
		b.ReportMetric(float64(events*b.N)/b.Elapsed().Seconds(), "events/s")
	})
}

func relayBacklog(b *testing.B, log *sourcetest.Log) {
	b.Helper()
	r := relay.New(relay.Options{
		Sinks: []*relay.Sink{relay.NewSink(relay.SinkOptions{Name: "a", Sink: discard{}})}, Streams: []string{""}, Convert: convertAll,
		Open: func(string) relay.Reader { return source.New(source.Options{Events: log}) },
	})
	drain, ended := make(chan struct{}), make(chan error, 1)
	go func() { ended <- r.Run(b.Context(), drain) }()
	for r.Positions()["a"].RV < log.RV() {
		<-r.Dirty()
	}
	close(drain)
	if err := <-ended; err != nil {
		b.Fatal(err)
	}
}
