package sink

import (
	"io"
	"log/slog"
	"os"

	"github.com/prometheus/client_golang/prometheus"
)

// Types are the sinks there are, by the `type` of a sink in kubernetes.yaml. Each gives empty options with their
// defaults set.
var Types = map[string]func() Options{
	"cloudevents":   func() Options { return newCloudEventsOptions() },
	"datadog":       func() Options { return newDatadogOptions() },
	"elasticsearch": func() Options { return newElasticsearchOptions() },
	"file":          func() Options { return newFileOptions() },
	"loki":          func() Options { return newLokiOptions() },
	"slack":         func() Options { return newSlackOptions() },
	"kafka":         func() Options { return newKafkaOptions() },
	"metrics":       func() Options { return newMetricsOptions() },
	"otlp":          func() Options { return newOTLPOptions() },
	"stdout":        func() Options { return &StdoutOptions{} },
	"webhook":       func() Options { return newWebhookOptions() },
}

// Options are what one type of sink can be told in kubernetes.yaml. The concrete type is a pointer to a struct whose
// fields carry the tags `yaml:"key"` and `doc:"one sentence for the reference"`; decoding is strict. A field that is
// not a string, int, bool, slice, map or struct of such implements encoding.TextUnmarshaler.
type Options interface {
	// Check returns all that is wrong with the values. It reads no files: a Secret may be mounted later.
	Check() []Problem
	// Open makes the sink. It makes no connection and reads no secret: a receiver that is down is no reason not to
	// start.
	Open(env Environment) (Sink, error)
}

// Selective are the options of a type that isn't meant for every record: the filter of such a sink, in CEL, where the
// configuration has none.
type Selective interface{ DefaultFilter() string }

// LeavesOpen are the options of a type of which even a good Probe leaves something open; "" where it doesn't.
type LeavesOpen interface{ LeavesOpen() string }

// Sole are the options of a type of which there can be only one sink. Sole says why: "both would ...".
type Sole interface{ Sole() string }

// Problem is one thing that is wrong with an option.
type Problem struct {
	Key  string // the yaml key, dotted where it is nested: "tls.key_file"
	Text string // what is wrong with it, and what to write instead
}

// Environment is what the process gives all of its sinks. The zero value serves: the process's own stdout, no logs, no metrics.
type Environment struct {
	Stdout  io.Writer    // where the stdout sink writes
	Log     *slog.Logger // never carries a secret
	Version string       // Baton's, for the User-Agent
	// Metrics is where a sink registers what it has to show on /metrics. Without one nobody sees it.
	Metrics prometheus.Registerer
}

func (e Environment) withDefaults() Environment {
	if e.Stdout == nil {
		e.Stdout = os.Stdout
	}
	if e.Log == nil {
		e.Log = slog.New(slog.DiscardHandler)
	}
	if e.Version == "" {
		e.Version = "dev"
	}
	if e.Metrics == nil {
		e.Metrics = prometheus.NewRegistry()
	}
	return e
}
