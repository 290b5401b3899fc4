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
				var sinks []relay.SinkOptions
				for i := range lanes {
					sinks = append(sinks, relay.SinkOptions{Name: fmt.Sprint(i)})
				}
				dispatch(b, size, convertAll, sinks...)
			})
		}
	}
}

// BenchmarkRepeats is the same for a sink that wants less of what repeats, where nothing does: what it costs to know
// that. every is BenchmarkDispatch's.
func BenchmarkRepeats(b *testing.B) {
	convert := func(e *corev1.Event) *record.Record {
		r := convertAll(e)
		r.Object.UID = r.ID
		return r
	}
	for _, repeats := range []relay.Repeats{relay.RepeatsEvery, relay.RepeatsFirst, relay.RepeatsRate} {
		b.Run(string(repeats), func(b *testing.B) {
			dispatch(b, 1, convert, relay.SinkOptions{Name: "0", Repeats: repeats, RepeatInterval: time.Hour})
		})
	}
}

// dispatch relays b.N events in batches of a size.
func dispatch(b *testing.B, size int, convert func(*corev1.Event) *record.Record, sinks ...relay.SinkOptions) {
	f := &feeder{n: b.N, size: size, done: make(chan struct{})}
	o := relay.Options{Streams: []string{""}, Open: func(string) relay.Reader { return f }, Convert: convert}
	for _, s := range sinks {
		// Room enough that no lane gets a reader of its own: there is but one feeder.
		s.Sink, s.QueueBytes = discard{}, 4<<30
		o.Sinks = append(o.Sinks, relay.NewSink(s))
	}
	r := relay.New(o)
	drain, ended := make(chan struct{}), make(chan error, 1)
	b.ReportAllocs()
	b.ResetTimer()
	go func() { ended <- r.Run(b.Context(), drain) }()
	<-f.done
	for r.Positions()["0"].RV < uint64(b.N) {
		<-r.Dirty()
	}
	b.StopTimer()
	close(drain)
	if err := <-ended; err != nil {
		b.Fatal(err)
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
