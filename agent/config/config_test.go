package config

import (
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/eventbaton/baton/agent/record"
	"github.com/eventbaton/baton/agent/sink"
)

// text is a type that reads itself, as sizes and durations of sinks do.
type text string

func (x *text) UnmarshalText(b []byte) error {
	if string(b) == "bad" {
		return errors.New("no good; write better")
	}
	*x = text("<" + string(b) + ">")
	return nil
}

func (x text) MarshalText() ([]byte, error) { return []byte(strings.Trim(string(x), "<>")), nil }

type common struct {
	Retries int `yaml:"retries" doc:"r"`
}

type inner struct {
	CAFile string `yaml:"ca_file" doc:"c"`
	Deep   struct {
		Ratio float64 `yaml:"ratio" doc:"d"`
	} `yaml:"deep" doc:"d"`
}

// options have a field of every kind that a sink may have.
type options struct {
	common
	URL     string            `yaml:"url" doc:"u"`
	Token   string            `yaml:"token" doc:"t"`
	Mode    string            `yaml:"mode" values:"fast slow" doc:"m"`
	Timeout time.Duration     `yaml:"timeout" doc:"t"`
	Text    text              `yaml:"text" doc:"t"`
	Gzip    *bool             `yaml:"gzip" doc:"g"`
	Small   int8              `yaml:"small" doc:"s"`
	Port    uint16            `yaml:"port" doc:"p"`
	Headers map[string]string `yaml:"headers" doc:"h"`
	Files   map[string]string `yaml:"header_files" doc:"h"`
	Brokers []string          `yaml:"brokers" doc:"b"`
	TLS     inner             `yaml:"tls" doc:"t"`
	Parts   []inner           `yaml:"parts" doc:"p"`
	Ignored int

	problems []sink.Problem
}

func (o *options) Check() []sink.Problem {
	if o.URL == "" {
		o.problems = append(o.problems, sink.Problem{Key: "url", Text: "is missing; write one"})
	}
	return o.problems
}

func (*options) Open(sink.Environment) (sink.Sink, error) { return nil, errors.ErrUnsupported }

// stdoutOptions stand in for the type of sink that is the default.
type stdoutOptions struct{}

func (stdoutOptions) Check() []sink.Problem                    { return nil }
func (stdoutOptions) Open(sink.Environment) (sink.Sink, error) { return nil, errors.ErrUnsupported }

func testTypes() map[string]func() sink.Options {
	return map[string]func() sink.Options{
		"stdout": func() sink.Options { return &stdoutOptions{} },
		"all":    func() sink.Options { return &options{common: common{Retries: 3}, Mode: "fast", Timeout: time.Second} },
		"checked": func() sink.Options {
			return &options{URL: "x", problems: []sink.Problem{
				{Key: "tls.ca_file", Text: "one"}, {Key: "tls.deep.ratio", Text: "two"}, {Key: "headers[X-A]", Text: "three"}, {Key: "port", Text: "four"},
			}}
		},
	}
}

func variables(pairs ...string) func(string) (string, bool) {
	return func(name string) (string, bool) {
		for i := 0; i+1 < len(pairs); i += 2 {
			if pairs[i] == name {
				return pairs[i+1], true
			}
		}
		return "", false
	}
}

func mustParse(t *testing.T, yaml string, env ...string) *Config {
	t.Helper()
	c, err := parse("k.yaml", []byte(yaml), variables(env...), testTypes())
	if err != nil {
		t.Fatalf("parse(%q):\n%v", yaml, err)
	}
	return c
}

func TestDefaults(t *testing.T) {
	for _, yaml := range []string{"", "\n\n", "# only a comment\n", "---\n", "---\n...\n", "{}", "null", "~", "\ufeff", "---\n---\n", "sinks: []", "sinks:", "tags:\nlock: ~"} {
		want := Default()
		want.Sinks = []Sink{{Name: "log", Type: "stdout", Repeats: RepeatsEvery, Options: &stdoutOptions{}}}
		want.Warnings = []string{"neither leader_candidate nor collect_events is true: no events are gathered"}
		if c := mustParse(t, yaml); !reflect.DeepEqual(c, want) {
			t.Errorf("%q: %#v, want the defaults", yaml, c)
		}
	}
}

func TestEverything(t *testing.T) {
	c := mustParse(t, `
leader_candidate: true
name: my.baton
leader_lease_duration: 45
lock: configmap
namespaces: [a, b]
start: now
checkpoint_interval: 0.5
drain_timeout: 1m30s
cluster_name: "2024"
cluster_id: eu-1
tags: [env:prod, team:shop]
log_level: debug
log_format: text
sinks:
  - name: log
    type: stdout
  - name: archive
    type: all
    filter: event.type == "Warning"
    retries: 7
    url: https://example.test/events
    timeout: 5s
    text: abc
    gzip: off
    small: -128
    port: 0xffff
    headers: {X-A: "1", "x y": b}
    brokers: [k1:9092, k2:9092]
    tls:
      ca_file: /ca.pem
      deep: {ratio: 2}
    parts: [{ca_file: a}, {deep: {ratio: 0.5}}]
`)
	off := false
	want := &Config{
		LeaderCandidate: true, Name: "my.baton", LeaderLeaseDuration: 45 * time.Second, Lock: LockConfigMap, Namespaces: []string{"a", "b"},
		Start: StartNow, CheckpointInterval: 500 * time.Millisecond, DrainTimeout: 90 * time.Second, ClusterName: "2024", ClusterID: "eu-1",
		Tags: []string{"env:prod", "team:shop"}, LogLevel: "debug", LogFormat: FormatText,
		Enrich: Default().Enrich,
		Sinks:  []Sink{{Name: "log", Type: "stdout", Repeats: RepeatsEvery, Options: &stdoutOptions{}}, {Name: "archive", Type: "all", Repeats: RepeatsEvery, Filter: `event.type == "Warning"`}},
	}
	o := &options{
		common: common{7}, URL: "https://example.test/events", Mode: "fast", Timeout: 5 * time.Second, Text: "<abc>", Gzip: &off, Small: -128, Port: 65535,
		Headers: map[string]string{"X-A": "1", "x y": "b"}, Brokers: []string{"k1:9092", "k2:9092"}, TLS: inner{CAFile: "/ca.pem"}, Parts: make([]inner, 2),
	}
	o.TLS.Deep.Ratio, o.Parts[0].CAFile, o.Parts[1].Deep.Ratio = 2, "a", 0.5
	want.Sinks[1].Options, want.Sinks[1].Match = o, c.Sinks[1].Match
	if !reflect.DeepEqual(c, want) {
		t.Errorf("got\n%#v\nwant\n%#v\nwarnings %q", c, want, c.Warnings)
	}
	if c.CursorsName() != "my.baton-cursors" {
		t.Errorf("CursorsName() = %s", c.CursorsName())
	}
	for kind, wanted := range map[string]bool{"Warning": true, "Normal": false} {
		if got, err := c.Sinks[1].Match.Match(&record.Record{Type: kind}); got != wanted || err != nil {
			t.Errorf("archive wants %s: %v, %v", kind, got, err)
		}
	}
}

func TestNamespaces(t *testing.T) {
	tests := []struct {
		yaml    string
		streams []string
		wants   []string // of a, b, ab, default, kube-system
	}{
		{"", []string{""}, []string{"a", "b", "ab", "default", "kube-system"}},
		{"namespaces: []", []string{""}, []string{"a", "b", "ab", "default", "kube-system"}},
		{"namespaces: [b, a]", []string{"b", "a"}, []string{"a", "b"}},
		{"namespace_name_regexp: a", []string{""}, []string{"a", "ab"}},
		{"namespace_name_regexp: a$", []string{""}, []string{"a"}},
		{"namespace_name_regexp: b|default", []string{""}, []string{"b", "default"}},
		{"namespace_name_regexp: ^.*b", []string{""}, []string{"b", "ab", "kube-system"}},
		{"namespace_name_regexp: b\nnamespaces: [default]", []string{""}, []string{"b", "default"}},
		{"instances: [{}]", []string{"default"}, []string{"default"}},
		{"instances: [{namespaces: ~}]", []string{"default"}, []string{"default"}},
		{"instances: [{namespace_name_regexp: a}]", []string{""}, []string{"a", "ab", "default"}},
		{"instances: [{namespace_name_regexp: a, namespaces: []}]", []string{""}, []string{"a", "ab"}},
		{"instances: [{namespaces: [a, b]}]", []string{"a", "b"}, []string{"a", "b"}},
		{"instances: [{namespace: a}]", []string{"default", "a"}, []string{"a", "default"}},
		{"instances: [{namespace: default}]", []string{"default"}, []string{"default"}},
		{"instances: [{namespace: a, namespaces: [a, b]}]", []string{"a", "b"}, []string{"a", "b"}},
	}
	for _, test := range tests {
		c := mustParse(t, test.yaml)
		if got := c.Streams(); !slices.Equal(got, test.streams) {
			t.Errorf("%q: streams %q, want %q", test.yaml, got, test.streams)
		}
		var wants []string
		for _, namespace := range []string{"a", "b", "ab", "default", "kube-system"} {
			if c.Wants(namespace) {
				wants = append(wants, namespace)
			}
		}
		if !slices.Equal(wants, test.wants) {
			t.Errorf("%q: wants %q, want %q", test.yaml, wants, test.wants)
		}
	}
}

func TestWarnings(t *testing.T) {
	tests := []struct {
		yaml string
		want []string
	}{
		{"leader_candidate: true", nil},
		{"collect_events: true", nil},
		{"leader_candidate: true\nleader_lease_duration: 31", nil},
		{"leader_candidate: true\nleader_lease_duration: 30", []string{"leader_lease_duration is 30s: "}},
		{"collect_events: true\nleader_lease_duration: 30", nil},
		{"collect_events: true\nleader_candidate: true", []string{"both true: the election decides"}},
		{"", []string{"no events are gathered"}},
		{"collect_events: false", []string{"no events are gathered"}},
	}
	for _, test := range tests {
		c := mustParse(t, test.yaml)
		if len(c.Warnings) != len(test.want) {
			t.Errorf("%q: warnings %q, want %q", test.yaml, c.Warnings, test.want)
			continue
		}
		for i, want := range test.want {
			if !strings.Contains(c.Warnings[i], want) {
				t.Errorf("%q: warning %q, want %q", test.yaml, c.Warnings[i], want)
			}
		}
		if c.LeaderCandidate && c.CollectEvents {
			t.Errorf("%q: both ways to gather are on", test.yaml)
		}
	}
}

func TestWords(t *testing.T) {
	for word, want := range map[string]bool{
		"true": true, "True": true, "yes": true, "YES": true, "on": true, "1": true, `"true"`: true, "'yes'": true,
		"false": false, "No": false, "off": false, "0": false, `"0"`: false,
	} {
		if c := mustParse(t, "collect_events: "+word); c.CollectEvents != want {
			t.Errorf("%s: %v", word, c.CollectEvents)
		}
	}
	for word, want := range map[string]time.Duration{
		"5": 5 * time.Second, "0.25": 250 * time.Millisecond, `"3"`: 3 * time.Second, "250ms": 250 * time.Millisecond, "1m1.5s": 61500 * time.Millisecond, "1e2": 100 * time.Second,
	} {
		if c := mustParse(t, "checkpoint_interval: "+word); c.CheckpointInterval != want {
			t.Errorf("%s: %v, want %v", word, c.CheckpointInterval, want)
		}
	}
}

func TestAliases(t *testing.T) {
	c := mustParse(t, `
name: &n prod
cluster_name: *n
sinks:
  - &first
    name: one
    type: all
    url: http://a/
    headers: &h {X-A: a, X-B: b}
  - <<: *first
    name: two
    headers: {<<: *h, X-B: c}
  - <<: [{url: http://c/}, *first]
    name: three
`)
	if c.ClusterName != "prod" {
		t.Errorf("cluster_name %q", c.ClusterName)
	}
	two, three := c.Sinks[1].Options.(*options), c.Sinks[2].Options.(*options)
	if two.URL != "http://a/" || !reflect.DeepEqual(two.Headers, map[string]string{"X-A": "a", "X-B": "c"}) {
		t.Errorf("two: %+v", two)
	}
	if three.URL != "http://c/" || c.Sinks[2].Name != "three" {
		t.Errorf("three: %+v", three)
	}
}

func TestEnvironment(t *testing.T) {
	yaml := "leader_candidate: false\nleader_lease_duration: 40\nnamespace_name_regexp: file"
	c := mustParse(t, yaml,
		"KUBERNETES_LEADER_CANDIDATE", "yes", "KUBERNETES_LEADER_LEASE_DURATION", "90",
		"KUBERNETES_COLLECT_EVENTS", "0", "KUBERNETES_NAMESPACE_NAME_REGEX", "env")
	if !c.LeaderCandidate || c.CollectEvents || c.LeaderLeaseDuration != 90*time.Second || !c.Wants("env-1") || c.Wants("file") {
		t.Errorf("the environment doesn't override the file: %v", c)
	}
	c = mustParse(t, yaml, "KUBERNETES_LEADER_CANDIDATE", "", "KUBERNETES_NAMESPACE_NAME_REGEX", "")
	if c.LeaderCandidate || !c.Wants("file") {
		t.Errorf("an empty variable overrides the file: %v", c)
	}
	c = mustParse(t, "instances: [{collect_events: false}]", "KUBERNETES_COLLECT_EVENTS", "1", "KUBERNETES_NAMESPACE_NAME_REGEX", "123")
	if !c.CollectEvents || !c.Wants("default") || !c.Wants("123") || c.Wants("456") {
		t.Errorf("the environment doesn't override the Agent 5's instance: %v", c)
	}
	// What the Agent 5's files took by mistake must not stop one that is not asked for it.
	if c := mustParse(t, "", "KUBERNETES", "yes", "KUBERNETES_SERVICE_HOST", "x"); c.LeaderCandidate {
		t.Error("another variable matters")
	}
	for _, variable := range Variables {
		if !slices.Contains(fieldsOf(reflect.ValueOf(Default()).Elem()).keys(), variable.Key) {
			t.Errorf("%v overrides no key", variable)
		}
	}
}

// An interval is there where it is needed, the default one if need be, and nowhere else.
func TestRepeats(t *testing.T) {
	c := mustParse(t, `sinks:
- {name: a, type: stdout}
- {name: b, type: stdout, repeats: first}
- {name: c, type: stdout, repeats: rate}
- {name: d, type: stdout, repeats: rate, repeat_interval: 30}
- {name: e, type: stdout, repeats: rate, repeat_interval: 30m}
- {name: f, type: stdout, repeats: }
`)
	want := []struct {
		repeats  string
		interval time.Duration
	}{
		{RepeatsEvery, 0}, {RepeatsFirst, 0}, {RepeatsRate, 5 * time.Minute}, {RepeatsRate, 30 * time.Second},
		{RepeatsRate, 30 * time.Minute}, {RepeatsEvery, 0},
	}
	for i, s := range c.Sinks {
		var interval time.Duration
		if s.RepeatInterval != nil {
			interval = time.Duration(*s.RepeatInterval)
		}
		if s.Repeats != want[i].repeats || interval != want[i].interval {
			t.Errorf("%s: repeats %s each %v, want %+v", s.Name, s.Repeats, interval, want[i])
		}
	}
}
