package record

import (
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestFromCoreEvent(t *testing.T) {
	r := From(coreEvent(), origin())
	want := Record{
		ID:          "7f0e7a52-5f0e-4f3e-9a51-6c1f2b1d0a11/c0ffee00-0000-4000-8000-000000000001/48213",
		Cluster:     origin().Cluster,
		ClusterName: "blue", Tags: origin().Tags,
		Time: noon.Add(5 * time.Minute), Type: "Warning", Reason: "BackOff",
		Message:   `Back-off restarting failed container "web" <in pod web-7d4b9c6f5-abcde>`,
		Namespace: "shop", Name: "web-7d4b9c6f5-abcde.18a1f2c3d4e5f607",
		Object: Object{
			APIVersion: "v1", Kind: "Pod", Namespace: "shop", Name: "web-7d4b9c6f5-abcde",
			UID: "c0ffee00-0000-4000-8000-000000000002", FieldPath: "spec.containers{web}",
		},
		Source: Source{Component: "kubelet", Instance: "node-3", Host: "node-3"},
		Count:  12, First: noon, Last: noon.Add(5 * time.Minute), Leader: origin().Leader,
	}
	if !reflect.DeepEqual(*r, want) {
		t.Errorf("got  %+v\nwant %+v", *r, want)
	}
}

func TestFromSeriesEvent(t *testing.T) {
	r := From(seriesEvent(), origin())
	last := noon.Add(time.Minute + 654321*time.Microsecond)
	if !r.Time.Equal(last) || !r.Last.Equal(last) || !r.First.Equal(noon.Add(123456*time.Microsecond)) {
		t.Errorf("time %v, first %v, last %v", r.Time, r.First, r.Last)
	}
	if r.Count != 4 {
		t.Errorf("count %d, want that of the series, 4", r.Count)
	}
	if want := (Source{Component: "default-scheduler", Instance: "default-scheduler-1"}); r.Source != want {
		t.Errorf("source %+v, want %+v", r.Source, want)
	}
	if want := (&Object{APIVersion: "v1", Kind: "Node", Name: "node-3"}); !reflect.DeepEqual(r.Related, want) {
		t.Errorf("related %+v, want %+v", r.Related, want)
	}
}

func TestCount(t *testing.T) {
	series := func(n int32) *corev1.EventSeries { return &corev1.EventSeries{Count: n} }
	for _, c := range []struct {
		series *corev1.EventSeries
		count  int32
		want   int64
	}{
		{nil, 0, 1},
		{nil, 7, 7},
		{nil, -1, 1},
		{nil, math.MinInt32, 1},
		{nil, math.MaxInt32, math.MaxInt32},
		{series(3), 0, 3},
		{series(3), 9, 3},
		{series(0), 9, 9},
		{series(-5), 0, 1},
		{series(math.MaxInt32), 1, math.MaxInt32},
	} {
		got := From(&corev1.Event{Count: c.count, Series: c.series}, Origin{}).Count
		if got != c.want {
			t.Errorf("count %d, series %+v: %d, want %d", c.count, c.series, got, c.want)
		}
	}
}

func TestTimes(t *testing.T) {
	at := func(minute int) time.Time { return noon.Add(time.Duration(minute) * time.Minute) }
	never := time.Time{}
	for _, c := range []struct {
		name                                   string
		created, first, last, observed, series time.Time
		wantTime, wantFirst, wantLast          time.Time
	}{
		{"nothing", never, never, never, never, never, never, never, never},
		{"created only", at(1), never, never, never, never, at(1), at(1), at(1)},
		{"core", at(0), at(1), at(5), never, never, at(5), at(1), at(5)},
		{"created after the rest", at(9), at(1), at(5), never, never, at(9), at(1), at(5)},
		{"single events.k8s.io", at(1), never, never, at(0), never, at(1), at(0), at(0)},
		{"series", at(1), never, never, at(0), at(7), at(7), at(0), at(7)},
		{"both generations", at(1), at(2), at(3), at(0), at(7), at(7), at(0), at(7)},
		{"last before first", at(0), at(5), at(1), never, never, at(5), at(5), at(5)},
		{"last only", at(2), never, at(1), never, never, at(2), at(1), at(1)},
		{"series only", at(2), never, never, never, at(3), at(3), at(2), at(3)},
		{"another zone", at(0).In(time.FixedZone("", 3600)), never, never, never, never, at(0), at(0), at(0)},
		{"beyond RFC 3339", at(0), at(1), time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC), never, never, at(1), at(1), at(1)},
		{"beyond it in UTC", at(0), never, time.Date(9999, 12, 31, 23, 59, 0, 0, time.FixedZone("", -3600)),
			never, never, at(0), at(0), at(0)},
		{"far before it", at(0), time.Unix(math.MinInt64, 0), never, never, never, at(0), at(0), at(0)},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := From(eventOfTimes(c.created, c.first, c.last, c.observed, c.series), Origin{})
			if r.Time != c.wantTime || r.First != c.wantFirst || r.Last != c.wantLast {
				t.Errorf("time %v, first %v, last %v; want %v, %v, %v",
					r.Time, r.First, r.Last, c.wantTime, c.wantFirst, c.wantLast)
			}
		})
	}
}

func eventOfTimes(created, first, last, observed, series time.Time) *corev1.Event {
	return &corev1.Event{
		ObjectMeta:     metav1.ObjectMeta{CreationTimestamp: metav1.Time{Time: created}},
		FirstTimestamp: metav1.Time{Time: first},
		LastTimestamp:  metav1.Time{Time: last},
		EventTime:      metav1.MicroTime{Time: observed},
		Series:         &corev1.EventSeries{LastObservedTime: metav1.MicroTime{Time: series}},
	}
}

func TestInvalidUTF8(t *testing.T) {
	e := coreEvent()
	e.Message, e.Reason, e.InvolvedObject.Name = "a\xffb", "\xc3", "x\x80"
	o := origin()
	o.Tags = []string{"fine", "bad\xff", "fine too"}
	r := From(e, o)
	if r.Message != "a\uFFFDb" || r.Reason != "\uFFFD" || r.Object.Name != "x\uFFFD" {
		t.Errorf("message %q, reason %q, name %q", r.Message, r.Reason, r.Object.Name)
	}
	if want := []string{"fine", "bad\uFFFD", "fine too"}; !reflect.DeepEqual(r.Tags, want) {
		t.Errorf("tags %q, want %q", r.Tags, want)
	}
	if o.Tags[1] != "bad\xff" {
		t.Error("the origin's tags, which all records share, were changed")
	}
}

// The queues and batches are bounded by Size, so it must follow what a record holds, and not fall below what it is on
// the wire.
func TestSize(t *testing.T) {
	for _, e := range []*corev1.Event{coreEvent(), seriesEvent()} {
		r := From(e, origin())
		if size, wire := r.Size(), len(r.AppendJSON(nil)); size < wire || size > 2*wire {
			t.Errorf("size %d for %d bytes of JSON", size, wire)
		}
		r.Enrichment = enriched()
		if size, wire := r.Size(), len(r.AppendJSON(nil)); size < wire || size > 2*wire {
			t.Errorf("size %d for %d bytes of JSON with an enrichment", size, wire)
		}
		before := r.Size()
		r.Message += strings.Repeat("x", 1<<20)
		if grown := r.Size() - before; grown != 1<<20 {
			t.Errorf("a message larger by 1 MiB: size larger by %d", grown)
		}
	}
}
