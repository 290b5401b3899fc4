// Package config reads kubernetes.yaml.
//
// It is strict: an unknown key, a wrong type or a bad value is a problem that names the file, the line and the key,
// and all problems are reported at once. What it returns is complete and checked, so that nobody has to ask again.
package config

//go:generate go test . -run TestReference -update

import (
	"regexp"
	"slices"
	"time"

	"github.com/eventbaton/baton/agent/cursor"
	"github.com/eventbaton/baton/agent/filter"
	"github.com/eventbaton/baton/agent/sink"
)

// Config is what kubernetes.yaml and the environment say, with the defaults filled in. It is not changed after Parse.
//
// The tags are what the decoder and docs/config.md are made of: `yaml` is the key, `doc` what it does, `values` the
// words it takes, and `default` the default's text where the default value itself doesn't tell.
type Config struct {
	LeaderCandidate     bool          `yaml:"leader_candidate" doc:"Takes part in the election; the leader gathers the events. Nothing is gathered until this or collect_events is true."`
	Name                string        `yaml:"name" doc:"Name of the lock object; the cursors are in the ConfigMap <name>-cursors. All candidates of one fleet have the same."`
	LeaderLeaseDuration time.Duration `yaml:"leader_lease_duration" doc:"How long a leader that is not heard of keeps its lock: 5 to 3600 whole seconds. Should be above 30 in production; a shorter one costs more requests and gives up sooner."`
	Lock                string        `yaml:"lock" values:"lease configmap" doc:"Kind of the lock object. The Lease wins where both kinds are held during a change from one to the other."`
	CollectEvents       bool          `yaml:"collect_events" doc:"Gathers without an election: for a single agent only. Where leader_candidate is true as well, the election decides and this is ignored with a warning."`
	Namespaces          []string      `yaml:"namespaces" default:"all" doc:"Namespaces whose events are gathered, a stream each; rights in those alone suffice. In the Agent 5 layout the default is the namespace default."`
	NamespaceNameRegexp string        `yaml:"namespace_name_regexp" default:"none" doc:"Gathers from the namespaces whose name it matches (RE2, from the start of the name), besides the listed ones. Reads the whole cluster's events, so it needs rights for those."`
	Start               string        `yaml:"start" values:"retained now" doc:"Where the very first leader starts: with all events that the cluster still has, or with what happens from then on. A sink that is added later starts the same way."`
	CheckpointInterval  time.Duration `yaml:"checkpoint_interval" doc:"How often the cursors are written at most, 0.1 to 300 seconds. A crash repeats at most what was sent since."`
	DrainTimeout        time.Duration `yaml:"drain_timeout" doc:"How long a leader that is told to stop goes on delivering what it has read, 0 to 300 seconds. The pod's terminationGracePeriodSeconds has to be longer."`
	ClusterName         string        `yaml:"cluster_name" default:"none" doc:"A name for people, handed on with every record as clusterName."`
	ClusterID           string        `yaml:"cluster_id" default:"the UID of the namespace kube-system" doc:"What the ids of the records begin with. With a value of your own no right to read the namespace kube-system is needed."`
	Tags                []string      `yaml:"tags" default:"none" doc:"Handed on with every record, such as env:prod."`
	LogLevel            string        `yaml:"log_level" values:"debug info warn error" doc:"The least severe messages that are logged, to stderr."`
	LogFormat           string        `yaml:"log_format" values:"json text" doc:"How they are written."`
	Enrich              Enrich        `yaml:"enrich" default:"nothing" doc:"What of the object that an event is about is added to its record. See Enrichment."`
	Sinks               []Sink        `yaml:"sinks" default:"one named log of type stdout" doc:"Where the records go; each sink has a cursor of its own."`

	// Warnings are lines for people about what was accepted and might not be what was meant.
	Warnings []string `yaml:"-"`
	// Agent5 says that the file has the layout of Datadog Agent 5 (init_config, instances).
	Agent5 bool `yaml:"-"`

	matches *regexp.Regexp
}

// Sink is one configured receiver.
type Sink struct {
	Name   string `yaml:"name" default:"required" doc:"A DNS label, unique among the sinks. The sink's cursor is kept under it: a renamed sink is a new one."`
	Type   string `yaml:"type" default:"required" doc:"One of the types below."`
	Filter string `yaml:"filter" default:"every record, unless the type says otherwise" doc:"A CEL expression over event; records for which it is false are not sent. See Filters."`
	// RepeatInterval is set where Repeats is RepeatsRate, and nowhere else.
	Repeats        string         `yaml:"repeats" values:"every first rate" default:"every" doc:"What the sink gets of an event that goes on happening: every version, the first, or at a rate one record of an object and a reason. See Repeats."`
	RepeatInterval *sink.Duration `yaml:"repeat_interval" default:"5m with rate" doc:"With rate, how far apart the records of an object and a reason are at least: 1s to 30m."`

	// Options are what the type can be told, checked.
	Options sink.Options `yaml:"-"`
	// Match is Filter, compiled; nil where there is none. Where it fails, it says true with the error: the record is
	// to be sent, and someone has to be told, once.
	Match *filter.Filter `yaml:"-"`
}

// The values of Lock, Start, LogFormat and Repeats.
const (
	LockLease     = "lease"
	LockConfigMap = "configmap"
	StartRetained = "retained"
	StartNow      = "now"
	FormatJSON    = "json"
	FormatText    = "text"
	RepeatsEvery  = "every"
	RepeatsFirst  = "first"
	RepeatsRate   = "rate"
)

// Default is the configuration of an empty file, without its sink.
func Default() *Config {
	return &Config{
		Name:                "baton",
		LeaderLeaseDuration: time.Minute,
		Lock:                LockLease,
		Start:               StartRetained,
		CheckpointInterval:  2 * time.Second,
		DrainTimeout:        2 * time.Second,
		LogLevel:            "info",
		LogFormat:           FormatJSON,
		Enrich:              Enrich{Wait: 250 * time.Millisecond, RequestsPerSecond: 20},
	}
}

// CursorsName is the name of the ConfigMap of the cursors.
func (c *Config) CursorsName() string { return cursor.ObjectName(c.Name) }

// Streams are the namespaces to read, each with a list and a watch of its own: [""] is one for the whole cluster.
func (c *Config) Streams() []string {
	if c.matches != nil || len(c.Namespaces) == 0 {
		return []string{""}
	}
	return slices.Clone(c.Namespaces)
}

// Wants says whether the events of a namespace are to be delivered: all, or those that are listed or that the regexp
// matches.
func (c *Config) Wants(namespace string) bool {
	if c.matches == nil && len(c.Namespaces) == 0 {
		return true
	}
	return slices.Contains(c.Namespaces, namespace) || c.matches != nil && c.matches.MatchString(namespace)
}
