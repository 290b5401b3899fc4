package sink

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"testing"
	"unicode/utf8"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"github.com/eventbaton/baton/agent/record"
)

// metricsUnderTest is a sink of type metrics, and what it shows.
type metricsUnderTest struct {
	Sink
	registry *prometheus.Registry
	log      *bytes.Buffer
}

func openMetrics(t testing.TB, maxSeries int) *metricsUnderTest {
	t.Helper()
	m := &metricsUnderTest{registry: prometheus.NewRegistry(), log: &bytes.Buffer{}}
	o := newMetricsOptions()
	o.MaxSeries = maxSeries
	if p := o.Check(); p != nil {
		t.Fatal(p)
	}
	var err error
	m.Sink, err = o.Open(Environment{Metrics: m.registry, Log: slog.New(slog.NewTextHandler(m.log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// values are the series by their labels' values: "type reason kind namespace".
func (m *metricsUnderTest) values(t testing.TB) map[string]float64 {
	t.Helper()
	families, err := m.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]float64{}
	for _, f := range families {
		for _, one := range f.GetMetric() {
			label := map[string]string{}
			for _, l := range one.GetLabel() {
				label[l.GetName()] = l.GetValue()
			}
			var parts []string
			for _, name := range EventsLabels {
				parts = append(parts, label[name])
			}
			all[strings.Join(parts, " ")] = one.GetCounter().GetValue()
		}
	}
	return all
}

func (m *metricsUnderTest) send(t testing.TB, batch ...*record.Record) {
	t.Helper()
	if err := m.Send(t.Context(), batch); err != nil {
		t.Fatal(err)
	}
}

func sum(values map[string]float64) (all float64) {
	for _, v := range values {
		all += v
	}
	return all
}

// observed is a version of an event; delta is -1 where it isn't known.
func observed(id string, delta int64, kind, reason, objectKind, namespace string) *record.Record {
	r := &record.Record{ID: id, Type: kind, Reason: reason, Namespace: namespace, Object: record.Object{Kind: objectKind}, Count: 1000}
	if delta >= 0 {
		r.CountDelta = &delta
	}
	return r
}

func wantValues(t *testing.T, got, want map[string]float64) {
	t.Helper()
	if !maps.Equal(got, want) {
		t.Errorf("series %v, want %v", got, want)
	}
}

func TestMetricsCountsWhatIsNew(t *testing.T) {
	m := openMetrics(t, 100)
	m.send(t,
		observed("e/1", 1, "Warning", "BackOff", "Pod", "shop"),
		observed("e/2", 4, "Warning", "BackOff", "Pod", "shop"),
		observed("f/3", -1, "Warning", "BackOff", "Pod", "shop"), // not known: one more
		observed("g/4", 0, "Normal", "Pulled", "Pod", "shop"),    // a version that counts nothing
		observed("h/5", 2, "Normal", "NodeReady", "Node", "default"),
		observed("i/6", 1, "", "", "", ""),
	)
	wantValues(t, m.values(t), map[string]float64{"Warning BackOff Pod shop": 6, "Normal NodeReady Node default": 2, "   ": 1})
}

// A record is counted once, in whichever batch and with whichever delta it comes again.
func TestMetricsCountsARecordOnce(t *testing.T) {
	m := openMetrics(t, 100)
	first := []*record.Record{observed("e/1", 1, "Normal", "A", "Pod", "x"), observed("e/2", 2, "Normal", "A", "Pod", "x")}
	m.send(t, first...)
	m.send(t, first...)
	m.send(t, observed("e/2", -1, "Normal", "A", "Pod", "x"), observed("e/3", 3, "Normal", "A", "Pod", "x"))
	wantValues(t, m.values(t), map[string]float64{"Normal A Pod x": 6})
}

// What is remembered for that is bounded, and reaches back over more than one generation.
func TestMetricsMemory(t *testing.T) {
	var m memory
	id := func(i int) string { return fmt.Sprint("e/", i) }
	for i := range 5 * metricsRemembered {
		if !m.add(id(i)) {
			t.Fatalf("%d is taken for known", i)
		}
		if back := i - metricsRemembered; back >= 0 && m.add(id(back)) {
			t.Fatalf("at %d, %d is forgotten", i, back)
		}
		if len(m.young) > metricsRemembered || len(m.old) > metricsRemembered {
			t.Fatalf("%d and %d are remembered", len(m.young), len(m.old))
		}
	}
	if !m.add(id(0)) {
		t.Error("nothing is ever forgotten")
	}
}

// Where ctx has ended nothing of a batch is counted: the next leader will be handed it.
func TestMetricsCountsNothingTooLate(t *testing.T) {
	m := openMetrics(t, 100)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := m.Send(ctx, records(3)); !errors.Is(err, context.Canceled) {
		t.Errorf("Send: %v", err)
	}
	if len(m.values(t)) > 0 {
		t.Errorf("counted %v", m.values(t))
	}
}

// As series run out, first the namespaces go, then reasons and kinds, never a type that alerts ask for, and never a count.
func TestMetricsGivesUpNamespacesFirst(t *testing.T) {
	m := openMetrics(t, 11) // 6 with everything, 2 without a namespace, 3 with a type alone
	var want = map[string]float64{}
	for i := range 6 {
		m.send(t, observed(fmt.Sprint("a/", i), 1, "Warning", "BackOff", "Pod", fmt.Sprint("ns", i)))
		want[fmt.Sprint("Warning BackOff Pod ns", i)] = 1
	}
	wantValues(t, m.values(t), want)
	if m.log.Len() > 0 {
		t.Errorf("said too early: %s", m.log)
	}
	for i := range 5 {
		m.send(t, observed(fmt.Sprint("b/", i), 1, "Warning", "BackOff", "Pod", fmt.Sprint("late", i)))
	}
	m.send(t, observed("c", 1, "Normal", "Pulled", "Pod", "late"), observed("d", 1, "Warning", "BackOff", "Pod", "ns3"))
	want["Warning BackOff Pod other"], want["Normal Pulled Pod other"], want["Warning BackOff Pod ns3"] = 5, 1, 2
	wantValues(t, m.values(t), want)
	for i, kind := range []string{"Normal", "Warning", "Strange", "Stranger", "Normal"} {
		m.send(t, observed(fmt.Sprint("e/", i), 1, kind, "Unheard", "Of", "late"))
	}
	want["Normal other other other"], want["Warning other other other"], want["other other other other"] = 2, 1, 2
	wantValues(t, m.values(t), want)
	if said := strings.Count(m.log.String(), "max_series"); said != 2 { // the text and the attribute, once
		t.Errorf("the log: %s", m.log)
	}
}

// Values are bounded and valid, whatever a record says.
func TestMetricsValues(t *testing.T) {
	m := openMetrics(t, 100)
	long := strings.Repeat("ü", 1000)
	m.send(t,
		observed("a", 1, long, long, long, long), observed("b", 1, long+"1", long, long, long),
		observed("c", 1, "Normal", "\xff", "Pod", "x\x00\n\"\\"), observed("d", 1, "Normal", "\uFFFD", "Pod", "x\x00\n\"\\"),
	)
	got := m.values(t)
	if len(got) != 2 || sum(got) != 4 {
		t.Errorf("series %v", got)
	}
	for labels := range got {
		if len(labels) > 4*metricsMaxValue+3 || !utf8.ValidString(labels) {
			t.Errorf("labels %q", labels)
		}
	}
	exposed(t, m)
}

// exposed checks that Prometheus could read it all.
func exposed(t testing.TB, m *metricsUnderTest) {
	t.Helper()
	families, err := m.registry.Gather()
	must(t, err)
	problems, err := promlint.NewWithMetricFamilies(families).Lint()
	if err != nil || len(problems) > 0 {
		t.Errorf("%v %v", problems, err)
	}
	answer := httptest.NewRecorder()
	promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{}).ServeHTTP(answer, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	if answer.Code != http.StatusOK || !utf8.Valid(answer.Body.Bytes()) {
		t.Errorf("answered %d: %q", answer.Code, answer.Body)
	}
}

// A series keeps nothing of the record alive that it began with.
func TestMetricsKeepsNoRecord(t *testing.T) {
	m := openMetrics(t, 100)
	before := heap()
	for i := range 64 {
		page := strings.Repeat(fmt.Sprintf("%08d", i), 1<<17) // 1 MiB, which all texts are cut from
		m.send(t, observed(page[:9], 1, page[:10], page[:11], page[:12], page[:13]))
	}
	if grown := int64(heap()) - int64(before); grown > 8<<20 {
		t.Errorf("the heap grew by %d bytes", grown)
	}
	if n := len(m.values(t)); n != 64 {
		t.Errorf("%d series", n)
	}
}

// A million sets of labels take no more than a thousand, and every occurrence is counted.
func TestMetricsIsBounded(t *testing.T) {
	const sets = 1_000_000
	m := openMetrics(t, 1000)
	long := strings.Repeat("r", 100)
	send := func(from, to int) {
		for i := from; i < to; i++ {
			at := fmt.Sprint(i)
			m.send(t, observed(at, 1, "T"+at, long+at, "K"+at, "ns-"+at))
		}
	}
	send(0, 100_000)
	before := heap()
	send(100_000, sets)
	if grown := int64(heap()) - int64(before); grown > 1<<20 {
		t.Errorf("the heap grew by %d bytes", grown)
	}
	got := m.values(t)
	if len(got) > 1000 || sum(got) != sets {
		t.Errorf("%d series that add up to %v", len(got), sum(got))
	}
}

func heap() uint64 {
	var s runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&s)
	return s.HeapAlloc
}

func TestMetricsTogether(t *testing.T) {
	m := openMetrics(t, 50)
	var senders, readers sync.WaitGroup
	done := make(chan struct{})
	readers.Go(func() {
		for last := 0.0; ; {
			now := sum(m.values(t))
			if now < last {
				t.Errorf("the sum went back from %v to %v", last, now)
			}
			last = now
			select {
			case <-done:
				return
			default:
			}
		}
	})
	for s := range 8 {
		senders.Go(func() {
			for i := range 500 {
				m.send(t, observed(fmt.Sprint(s, "/", i), 2, "Normal", fmt.Sprint("R", i%40), "Pod", fmt.Sprint("ns", s)))
			}
		})
	}
	senders.Wait()
	close(done)
	readers.Wait()
	if got := m.values(t); sum(got) != 8*500*2 || len(got) > 50 {
		t.Errorf("%d series that add up to %v", len(got), sum(got))
	}
}

func TestMetricsOptions(t *testing.T) {
	for n, wrong := range map[int]bool{-1: true, 0: true, 9: true, 10: false, 100_000: false, 100_001: true, math.MaxInt: true} {
		p := (&MetricsOptions{MaxSeries: n}).Check()
		if (len(p) > 0) != wrong || wrong && (p[0].Key != "max_series" || !strings.Contains(p[0].Text, "write 10 to 100000")) {
			t.Errorf("max_series %d: %v", n, p)
		}
	}
	m := openMetrics(t, 10)
	if _, err := newMetricsOptions().Open(Environment{Metrics: m.registry}); err == nil || !strings.Contains(err.Error(), EventsMetric) {
		t.Errorf("a second one beside the first: %v", err)
	}
	closed(t, m)
	again, err := newMetricsOptions().Open(Environment{Metrics: m.registry})
	must(t, err)
	closed(t, again)
	alone, err := newMetricsOptions().Open(Environment{})
	must(t, err)
	must(t, alone.Send(t.Context(), records(2)))
	closed(t, alone)
}

func FuzzMetrics(f *testing.F) {
	f.Add("Warning", "BackOff", "Pod", "shop", int64(3))
	f.Add("other", "other", "other", "other", int64(-1))
	f.Add("\xff", strings.Repeat("\xf0\x9f\x92\xa9", 40), "\x00", "", int64(math.MaxInt32))
	f.Fuzz(func(t *testing.T, kind, reason, objectKind, namespace string, delta int64) {
		delta = min(delta, math.MaxInt32)
		m := openMetrics(t, 10)
		want := 0.0
		texts := []string{kind, reason, objectKind, namespace}
		for i := range 30 { // more sets than there are series
			r := observed(fmt.Sprint(i), delta, texts[i%4], texts[(i+i/4)%4], texts[i/8]+fmt.Sprint(i%3), texts[(i/2)%4])
			r.CountDelta = &delta
			want += max(0, float64(occurrences(r)))
			m.send(t, r)
		}
		if got := m.values(t); sum(got) != want || len(got) > 10 {
			t.Errorf("%d series that add up to %v, want %v", len(got), sum(got), want)
		}
		exposed(t, m)
	})
}

// What counting costs beside what any other sink does at least: writing JSON.
func BenchmarkMetrics(b *testing.B) {
	batch := records(500)
	for i, r := range batch {
		r.Namespace = fmt.Sprint("ns", i%60)
	}
	b.Run("count", func(b *testing.B) {
		m := openMetrics(b, 1000)
		b.ReportAllocs()
		n := 0
		for b.Loop() {
			b.StopTimer()
			for _, r := range batch { // new ones each time
				r.ID = fmt.Sprintf("7f0e7a52-5f0e-4f3e-9a51-6c1f2b1d0a11/c0ffee00-0000-4000-8000-000000000001/%d", n)
				n++
			}
			b.StartTimer()
			m.send(b, batch...)
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(n), "ns/record")
	})
	b.Run("encode", func(b *testing.B) {
		b.ReportAllocs()
		buf, n := []byte(nil), 0
		for b.Loop() {
			buf = buf[:0]
			for _, r := range batch {
				buf = r.AppendJSON(buf)
				n++
			}
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(n), "ns/record")
	})
}
