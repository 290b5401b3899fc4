package serve

import (
	"slices"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/eventbaton/baton/agent/relay"
	"github.com/eventbaton/baton/agent/sink"
)

// A metric is made from the status when it is asked for, so that /metrics and /status can't differ.
type metric[T any] struct {
	desc  *prometheus.Desc
	kind  prometheus.ValueType
	value func(T) float64
}

// Described is a metric as docs/operations.md lists it.
type Described struct{ Name, Type, Labels, Help string }

// described collects the descriptions while the tables below are made.
var described []Described

func define[T any](name, labels, help string, kind prometheus.ValueType, value func(T) float64) metric[T] {
	word := map[prometheus.ValueType]string{prometheus.CounterValue: "counter", prometheus.GaugeValue: "gauge"}[kind]
	described = append(described, Described{Name: name, Type: word, Labels: labels, Help: help})
	var names []string
	if labels != "" {
		names = []string{labels}
	}
	return metric[T]{prometheus.NewDesc(name, help, names, nil), kind, value}
}

func counter[T any](name, labels, help string, value func(T) float64) metric[T] {
	return define(name, labels, help, prometheus.CounterValue, value)
}

func gauge[T any](name, labels, help string, value func(T) float64) metric[T] {
	return define(name, labels, help, prometheus.GaugeValue, value)
}

func flag(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

var agentMetrics = []metric[Status]{
	gauge("baton_ready", "", "1 while the agent can follow or lead.", func(s Status) float64 { return flag(s.Ready) }),
	gauge("baton_leader", "", "1 while this agent leads: it holds the claim and reads the events.",
		func(s Status) float64 { return flag(s.Term.Leading) }),
	gauge("baton_epoch", "", "The epoch of the own claim; 0 while it has none.", func(s Status) float64 { return float64(s.Term.Epoch) }),
	gauge("baton_checkpoint_timestamp_seconds", "", "When this agent last wrote the cursors; 0 where it has not in this term.",
		func(s Status) float64 {
			if s.Term.Checkpoint.IsZero() {
				return 0
			}
			return float64(s.Term.Checkpoint.UnixMilli()) / 1000
		}),
	counter("baton_source_gaps_total", "", "How often a position was too old to watch from, so that the events were listed.",
		func(s Status) float64 { return float64(s.Counters.Gaps) }),
	counter("baton_source_went_back_total", "",
		"How often the log of events was found at an older version than before: etcd was restored or wiped.",
		func(s Status) float64 { return float64(s.Counters.WentBack) }),
}

var electionMetric = counter("baton_election_events_total", "kind",
	"What happened in the election as this agent saw it; kind acquired counts the terms it began.",
	func(n uint64) float64 { return float64(n) })

var lookupMetric = counter("baton_enrich_lookups_total", "outcome",
	"Lookups of events' objects to enrich their records; outcome late counts the records that went on without something.",
	func(n uint64) float64 { return float64(n) })

var sinkMetrics = []metric[relay.Status]{
	counter("baton_sink_records_total", "sink", "Records that the sink has acknowledged.",
		func(s relay.Status) float64 { return float64(s.Delivered) }),
	counter("baton_sink_bytes_total", "sink", "Bytes of these records, as they are in memory.",
		func(s relay.Status) float64 { return float64(s.Bytes) }),
	counter("baton_sink_batches_total", "sink", "Batches that the sink has acknowledged.",
		func(s relay.Status) float64 { return float64(s.Batches) }),
	counter("baton_sink_retries_total", "sink", "Tries that failed and are made again.",
		func(s relay.Status) float64 { return float64(s.Retries) }),
	counter("baton_sink_refused_total", "sink", "Records that the receiver refused for good. Each is in the agent's log.",
		func(s relay.Status) float64 { return float64(s.Refused) }),
	counter("baton_sink_filtered_total", "sink", "Records that the sink's filter left out.",
		func(s relay.Status) float64 { return float64(s.Filtered) }),
	counter("baton_sink_suppressed_total", "sink", "Records that another one stands for because of the sink's repeats.",
		func(s relay.Status) float64 { return float64(s.Suppressed) }),
	counter("baton_sink_gaps_total", "sink", "How often events may have expired before the sink could get them.",
		func(s relay.Status) float64 { return float64(s.Gaps) }),
	gauge("baton_sink_queue_records", "sink", "Records that wait for the sink.",
		func(s relay.Status) float64 { return float64(s.QueuedRecords) }),
	gauge("baton_sink_queue_bytes", "sink", "Bytes of the records that wait, and of those that are held back.",
		func(s relay.Status) float64 { return float64(s.QueuedBytes) }),
	gauge("baton_sink_held_records", "sink", "Records that are held back because of the sink's repeats, until it is their turn.",
		func(s relay.Status) float64 { return float64(s.HeldRecords) }),
	gauge("baton_sink_waiting_seconds", "sink", "How long the oldest record has been waiting for the sink; 0 where none waits.",
		func(s relay.Status) float64 { return s.LagSeconds }),
	gauge("baton_sink_failing", "sink", "1 while the last try failed.", func(s relay.Status) float64 { return flag(s.Error != "") }),
}

// lagName and lagHelp describe the histogram, which can't be made from a status.
const (
	lagName = "baton_delivery_seconds"
	lagHelp = "Time from reading a record to its acknowledgement by the sink."
)

// Lag is the histogram of the time that records take through the agent.
type Lag struct{ histogram *prometheus.HistogramVec }

// NewLag makes an empty histogram.
func NewLag() *Lag {
	return &Lag{prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: lagName, Help: lagHelp,
		Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300, 1800, 3600},
	}, []string{"sink"})}
}

// Observe notes the time that a record of the sink took.
func (l *Lag) Observe(sink string, seconds float64) {
	l.histogram.WithLabelValues(sink).Observe(seconds)
}

// Catalogue lists every metric of Baton's own, for the documentation.
func Catalogue() []Described {
	return slices.Concat(
		[]Described{{lagName, "histogram", "sink", lagHelp}},
		described,
		[]Described{{sink.EventsMetric, "counter", strings.Join(sink.EventsLabels, ", "), sink.EventsHelp}},
	)
}

// Metrics gathers the agent's metrics, Go's and the process's, beside what the sinks have registered.
func Metrics(registry *prometheus.Registry, a Agent, lag *Lag) prometheus.Gatherer {
	registry.MustRegister(collector{a}, lag.histogram, collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return registry
}

type collector struct{ agent Agent }

// Describe implements prometheus.Collector.
func (c collector) Describe(out chan<- *prometheus.Desc) {
	for _, m := range agentMetrics {
		out <- m.desc
	}
	out <- electionMetric.desc
	out <- lookupMetric.desc
	for _, m := range sinkMetrics {
		out <- m.desc
	}
}

// Collect implements prometheus.Collector.
func (c collector) Collect(out chan<- prometheus.Metric) {
	s := c.agent.Status()
	for _, m := range agentMetrics {
		out <- m.of(s)
	}
	for kind, n := range s.Counters.Election {
		out <- electionMetric.of(n, kind)
	}
	for outcome, n := range s.Counters.Lookups {
		out <- lookupMetric.of(n, outcome)
	}
	for _, sink := range s.Sinks {
		for _, m := range sinkMetrics {
			out <- m.of(sink, sink.Name)
		}
	}
}

func (m metric[T]) of(from T, labels ...string) prometheus.Metric {
	return prometheus.MustNewConstMetric(m.desc, m.kind, m.value(from), labels...)
}
