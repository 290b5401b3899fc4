package sink

import (
	"context"
	"fmt"
	"hash/maphash"
	"log/slog"
	"strings"
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/eventbaton/baton/agent/record"
)

// EventsMetric and EventsHelp describe the metric that a sink of type metrics counts in.
const (
	EventsMetric = "baton_events_total"
	EventsHelp   = "How often the events happened that this agent delivered. Only with a sink of type metrics."
)

// EventsLabels are the labels of EventsMetric.
var EventsLabels = []string{"type", "reason", "kind", "namespace"}

const (
	metricsMinSeries = 10
	metricsMaxSeries = 100_000
	// metricsMaxValue bounds a label's value, in bytes: a reason of core/v1 may be as long as the event.
	metricsMaxValue = 128
	// metricsOther stands for the values that have no series of their own.
	metricsOther = "other"
	// metricsLastSeries are kept for what has no other place: types Normal, Warning and other, and nothing else.
	metricsLastSeries = 3
	// metricsRemembered is how many records a generation of what was counted has. The two of them take about a megabyte.
	metricsRemembered = 16384
)

// MetricsOptions are those of the type metrics.
type MetricsOptions struct {
	MaxSeries int `yaml:"max_series" doc:"How many series the metric has at most, 10 to 100000. A set of labels that comes when three quarters of them are taken counts with the namespace other; when all but three are, also with the reason and the kind other."`
}

func newMetricsOptions() *MetricsOptions { return &MetricsOptions{MaxSeries: 1000} }

// Check returns all that is wrong with the values.
func (o *MetricsOptions) Check() []Problem {
	if o.MaxSeries < metricsMinSeries || o.MaxSeries > metricsMaxSeries {
		return []Problem{{"max_series", fmt.Sprintf("is %d; write %d to %d", o.MaxSeries, metricsMinSeries, metricsMaxSeries)}}
	}
	return nil
}

// Sole implements Sole: sums over the one metric would count twice what two sinks get.
func (*MetricsOptions) Sole() string { return "both would count in " + EventsMetric }

// Open registers the metric.
func (o *MetricsOptions) Open(env Environment) (Sink, error) {
	env = env.withDefaults()
	vec := prometheus.NewCounterVec(prometheus.CounterOpts{Name: EventsMetric, Help: EventsHelp}, EventsLabels)
	if err := env.Metrics.Register(vec); err != nil {
		return nil, fmt.Errorf("registering %s: %w", EventsMetric, err)
	}
	return &metricsSink{
		registerer: env.Metrics,
		series:     seriesSet{vec: vec, counters: map[labelSet]prometheus.Counter{}, max: o.MaxSeries, log: env.Log},
	}, nil
}

// metricsSink counts events. It is its own receiver: Send never fails, so that no batch is counted in part or comes again
// after it was counted.
type metricsSink struct {
	registerer prometheus.Registerer

	mu      sync.Mutex
	series  seriesSet
	counted memory
}

// Limits are wide: a batch is nothing but a hold of the lock.
func (*metricsSink) Limits() Limits { return Limits{Records: 10_000, Bytes: 16 << 20} }

// Send counts the batch, or nothing of it where ctx has ended: what was counted then would be sent again by the next leader.
func (m *metricsSink) Send(ctx context.Context, batch []*record.Record) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return err
	}
	for _, r := range batch {
		if n := occurrences(r); n > 0 && m.counted.add(r.ID) {
			m.series.of(r).Add(float64(n))
		}
	}
	return nil
}

// Close takes the metric back.
func (m *metricsSink) Close() error {
	m.registerer.Unregister(m.series.vec)
	return nil
}

// occurrences is how often the event happened since the version before. Where that version isn't known, this one says that
// it happened once more, which is all that a version of core/v1's reporters says. It may say more where the versions between
// were not read, and in a series of events.k8s.io/v1; but what a count stands for besides may have been counted long ago,
// or have happened long before there was anyone to count.
func occurrences(r *record.Record) int64 {
	if r.CountDelta != nil {
		return *r.CountDelta
	}
	return 1
}

// labelSet has the values of a series' labels.
type labelSet struct{ eventType, reason, kind, namespace string }

// seriesSet has the series there are. None ever goes: a counter that starts again would be taken for a new one.
//
// There are at most max. The last three belong to the types, so that there is always one for a record, whatever it says.
// Before that only namespaces are given up, of which a cluster has more and more; alerts ask for reasons.
type seriesSet struct {
	vec      *prometheus.CounterVec
	counters map[labelSet]prometheus.Counter
	max      int
	log      *slog.Logger
	full     bool // and that was said
}

// of gives the counter that is to count a record.
func (s *seriesSet) of(r *record.Record) prometheus.Counter {
	l := labelSet{
		eventType: cutText(r.Type, metricsMaxValue), reason: cutText(r.Reason, metricsMaxValue),
		kind: cutText(r.Object.Kind, metricsMaxValue), namespace: cutText(r.Namespace, metricsMaxValue),
	}
	room := s.max - metricsLastSeries
	if c := s.get(l, room*3/4); c != nil {
		return c
	}
	s.sayFull()
	l.namespace = metricsOther
	if c := s.get(l, room); c != nil {
		return c
	}
	if l.eventType != "Normal" && l.eventType != "Warning" {
		l.eventType = metricsOther
	}
	l.reason, l.kind = metricsOther, metricsOther
	return s.get(l, s.max)
}

// get gives the counter of the labels, a new one as long as there are fewer than limit. It is nil where there is none.
func (s *seriesSet) get(l labelSet, limit int) prometheus.Counter {
	if c, ok := s.counters[l]; ok {
		return c
	}
	if len(s.counters) >= limit {
		return nil
	}
	l = labelSet{kept(l.eventType), kept(l.reason), kept(l.kind), kept(l.namespace)}
	c := s.vec.WithLabelValues(l.eventType, l.reason, l.kind, l.namespace)
	s.counters[l] = c
	return c
}

// kept is a copy that keeps no record alive, and UTF-8, which Prometheus insists on and records have anyway.
func kept(s string) string { return strings.Clone(strings.ToValidUTF8(s, "\uFFFD")) }

func (s *seriesSet) sayFull() {
	if !s.full {
		s.full = true
		s.log.Warn("most series of baton_events_total are taken: further sets of labels count as other; see max_series",
			"max_series", s.max)
	}
}

// memory knows which records were counted last. A process that leads again soon after it lost the lead begins with records
// that it had counted and could not write down any more.
type memory struct{ young, old map[uint64]struct{} }

var memorySeed = maphash.MakeSeed()

// add says whether the id is a new one, and remembers it.
func (m *memory) add(id string) bool {
	key := maphash.String(memorySeed, id)
	if _, known := m.young[key]; known {
		return false
	}
	if _, known := m.old[key]; known {
		return false
	}
	if m.young == nil {
		m.young, m.old = map[uint64]struct{}{}, map[uint64]struct{}{}
	}
	if len(m.young) >= metricsRemembered {
		m.young, m.old = m.old, m.young
		clear(m.young)
	}
	m.young[key] = struct{}{}
	return true
}
