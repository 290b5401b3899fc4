package convert

import (
	"fmt"
	"math/rand/v2"
	"os"
	"regexp"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/eventbaton/baton/agent/config"
	"github.com/eventbaton/baton/agent/record"
)

// The exporter's routes as it walks them (pkg/exporter/route.go and rule.go), told again for the test.

type modelRule struct {
	Message    string            `yaml:"message,omitempty"`
	APIVersion string            `yaml:"apiVersion,omitempty"`
	Kind       string            `yaml:"kind,omitempty"`
	Namespace  string            `yaml:"namespace,omitempty"`
	Reason     string            `yaml:"reason,omitempty"`
	Type       string            `yaml:"type,omitempty"`
	Component  string            `yaml:"component,omitempty"`
	Host       string            `yaml:"host,omitempty"`
	MinCount   int64             `yaml:"minCount,omitempty"`
	Labels     map[string]string `yaml:"labels,omitempty"`
	Annotation map[string]string `yaml:"annotations,omitempty"`
	Receiver   string            `yaml:"receiver,omitempty"`
}

type modelRoute struct {
	Drop   []modelRule  `yaml:"drop,omitempty"`
	Match  []modelRule  `yaml:"match,omitempty"`
	Routes []modelRoute `yaml:"routes,omitempty"`
}

type modelEvent struct {
	record.Record
	labels, annotations map[string]string
}

func (r modelRule) matches(e modelEvent) bool {
	for pattern, value := range map[*string]string{
		&r.Message: e.Message, &r.APIVersion: e.Object.APIVersion, &r.Kind: e.Object.Kind, &r.Namespace: e.Namespace,
		&r.Reason: e.Reason, &r.Type: e.Type, &r.Component: e.Source.Component, &r.Host: e.Source.Host,
	} {
		if *pattern != "" && !found(*pattern, value) {
			return false
		}
	}
	for name, pattern := range r.Labels {
		if value, ok := e.labels[name]; !ok || !found(pattern, value) {
			return false
		}
	}
	for name, pattern := range r.Annotation {
		if value, ok := e.annotations[name]; !ok || !found(pattern, value) {
			return false
		}
	}
	return e.Count >= r.MinCount
}

// found is false for a pattern that is no regular expression. The whole file has gone through os.ExpandEnv before.
func found(pattern, value string) bool {
	ok, err := regexp.MatchString(os.Expand(pattern, func(string) string { return "" }), value)
	return ok && err == nil
}

func (r modelRoute) process(e modelEvent, to map[string]bool) {
	for _, rule := range r.Drop {
		if rule.matches(e) {
			return
		}
	}
	onward := true
	for _, rule := range r.Match {
		switch {
		case !rule.matches(e):
			onward = false
		case rule.Receiver != "":
			to[rule.Receiver] = true
		}
	}
	for _, below := range r.Routes {
		if onward {
			below.process(e, to)
		}
	}
}

var receiverNames = []string{"r0", "r1", "r2", "r3"}

// randomRoute is a tree of routes.
func randomRoute(rng *rand.Rand, depth int) modelRoute {
	var r modelRoute
	for range rng.IntN(3) {
		r.Drop = append(r.Drop, randomRule(rng))
	}
	for range rng.IntN(3) {
		rule := randomRule(rng)
		if rng.IntN(3) > 0 {
			rule.Receiver = pick(rng, receiverNames)
		}
		r.Match = append(r.Match, rule)
	}
	for range rng.IntN(4) {
		if depth > 0 {
			r.Routes = append(r.Routes, randomRoute(rng, depth-1))
		}
	}
	return r
}

func randomRule(rng *rand.Rand) modelRule {
	var r modelRule
	fields := []*string{&r.Message, &r.APIVersion, &r.Kind, &r.Namespace, &r.Reason, &r.Type, &r.Component, &r.Host}
	for range rng.IntN(3) {
		*fields[rng.IntN(len(fields))] = pick(rng, patterns)
	}
	if rng.IntN(5) == 0 {
		r.MinCount = int64(rng.IntN(5)) - 1
	}
	if rng.IntN(5) == 0 {
		r.Labels = map[string]string{pick(rng, metadataNames): pick(rng, patterns)}
	}
	if rng.IntN(9) == 0 {
		r.Annotation = map[string]string{pick(rng, metadataNames): pick(rng, patterns), pick(rng, metadataNames): pick(rng, patterns)}
	}
	return r
}

var metadataNames = []string{"team", "app.kubernetes.io/name", "no name"}

func randomEvent(rng *rand.Rand) modelEvent {
	word := func() string { return pick(rng, values) }
	e := modelEvent{labels: map[string]string{}, annotations: map[string]string{}}
	e.Message, e.Reason, e.Type, e.Namespace, e.Count = word()+" "+word(), word(), word(), word(), int64(1+rng.IntN(5))
	e.Object, e.Source = record.Object{APIVersion: word(), Kind: word()}, record.Source{Component: word(), Host: word()}
	for _, name := range metadataNames[:2] {
		if rng.IntN(2) == 0 {
			e.labels[name] = word()
		}
		if rng.IntN(2) == 0 {
			e.annotations[name] = word()
		}
	}
	e.Enrichment = &record.Enrichment{Labels: e.labels, Annotations: e.annotations}
	return e
}

func pick[T any](rng *rand.Rand, from []T) T { return from[rng.IntN(len(from))] }

// delivered says which receivers get the event by the filters of their sinks.
func delivered(t *testing.T, cfg *config.Config, e modelEvent) map[string]bool {
	t.Helper()
	to := map[string]bool{}
	for _, s := range cfg.Sinks {
		ok := true
		if s.Match != nil {
			var err error
			if ok, err = s.Match.Match(&e.Record); err != nil {
				t.Fatalf("%s: %v", s.Filter, err)
			}
		}
		if ok {
			to[s.Name] = true
		}
	}
	return to
}

func convertRoute(t *testing.T, route modelRoute) *config.Config {
	t.Helper()
	receivers := []map[string]any{}
	for _, name := range receiverNames {
		receivers = append(receivers, map[string]any{"name": name, "stdout": map[string]any{}})
	}
	text, err := yaml.Marshal(map[string]any{"route": route, "receivers": receivers})
	if err != nil {
		t.Fatal(err)
	}
	r, err := Convert("kee", "f.yaml", text)
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	return mustParse(t, r)
}

// Whatever the routes, the sinks get of every event what the receivers got, no more and no less.
func TestRoutesAreKept(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 17))
	trees, sent, kept := 0, 0, 0
	for range 120 {
		route := randomRoute(rng, 2)
		cfg := convertRoute(t, route)
		trees++
		for range 40 {
			e := randomEvent(rng)
			want, got := map[string]bool{}, delivered(t, cfg, e)
			route.process(e, want)
			delete(got, "log") // stands there where no receiver is ever reached
			if fmt.Sprint(got) != fmt.Sprint(want) {
				text, _ := yaml.Marshal(route)
				t.Fatalf("sent to %v, want %v\n%+v\n%s%v", got, want, e.Record, text, cfg)
			}
			sent += len(got)
			kept += len(receiverNames) - len(got)
		}
	}
	if sent < 1000 || kept < 1000 {
		t.Errorf("%d trees say little: %d deliveries, %d not", trees, sent, kept)
	}
}

// Where an object could not be looked up, the sinks get at least what the receivers got.
func TestNothingIsLostWithoutLabels(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 3))
	more := 0
	for range 60 {
		route := randomRoute(rng, 2)
		cfg := convertRoute(t, route)
		for range 40 {
			e := randomEvent(rng)
			e.Enrichment = &record.Enrichment{Incomplete: record.Late}
			want, got := map[string]bool{}, delivered(t, cfg, e)
			route.process(e, want)
			delete(got, "log")
			for name := range want {
				if !got[name] {
					text, _ := yaml.Marshal(route)
					t.Fatalf("%s loses %+v of\n%s%v", name, e, text, cfg)
				}
			}
			more += len(got) - len(want)
		}
	}
	if more == 0 {
		t.Error("no tree had a rule that mattered")
	}
}

// What rules ask for is looked up, and nothing else; a name that no label can have is not.
func TestLabelsAreLookedUp(t *testing.T) {
	route := modelRoute{Match: []modelRule{
		{Labels: map[string]string{"team": "^shop$", "app": ".*"}, Receiver: "r0"},
		{Labels: map[string]string{"team": "x", "no name": ".*"}, Receiver: "r1"},
		{Annotation: map[string]string{"owner": "me"}, Receiver: "r2"},
	}}
	cfg := convertRoute(t, route)
	if got := fmt.Sprint(cfg.Enrich.Labels, cfg.Enrich.Annotations); got != "[app team] [owner]" {
		t.Errorf("looked up are %s", got)
	}
	want := `event.enrichment.incomplete != "" ||` + "\n" +
		`"app" in event.enrichment.labels && "team" in event.enrichment.labels && event.enrichment.labels["team"] == "shop"`
	if len(cfg.Sinks) != 2 || cfg.Sinks[0].Filter != want {
		t.Errorf("%v", cfg)
	}
	if cfg := convertRoute(t, modelRoute{Match: []modelRule{{Receiver: "r0"}}}); cfg.Enrich.Enabled() {
		t.Errorf("%v", cfg)
	}
}

// What a rule takes from the environment can't be told: a match rule is open there, and a drop rule drops nothing.
func TestRulesOfTheEnvironment(t *testing.T) {
	text := "route:\n  drop: [{namespace: ^$IGNORED$, type: Normal}]\n  match:\n  - {namespace: '${MINE}', kind: ^Pod$, receiver: a}\n" +
		"receivers: [{name: a, stdout: {}}]\n"
	r, err := Convert("kee", "f.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	if got := mustParse(t, r).Sinks[0].Filter; got != `event.object.kind == "Pod"` {
		t.Errorf("filter %s", got)
	}
	for _, want := range []string{"f.yaml:2: route.drop[0].namespace: has no equal", "(IGNORED)", "f.yaml:4: route.match[0].namespace: has no equal", "(MINE)"} {
		if !strings.Contains(findings(r), want) {
			t.Errorf("%s lacks %s", findings(r), want)
		}
	}
}

// Where the exporter looked nothing up, its rules with labels never matched.
func TestOmitLookup(t *testing.T) {
	text := "omitLookup: true\nroute:\n  drop: [{labels: {a: b}}]\n  match:\n  - {labels: {a: b}, receiver: x}\n  - {receiver: y}\n" +
		"receivers: [{name: x, stdout: {}}, {name: y, stdout: {}}]\n"
	r, err := Convert("kee", "f.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	cfg := mustParse(t, r)
	if len(cfg.Sinks) != 1 || cfg.Sinks[0].Name != "y" || cfg.Sinks[0].Filter != "" || cfg.Enrich.Enabled() {
		t.Errorf("%v", cfg)
	}
}

// The example of the exporter's README, read as it reads it: a match rule with a receiver sends whatever the rules beside
// it say, and only where all match the routes below get the event.
func TestMatchRulesAreIndependent(t *testing.T) {
	route := modelRoute{
		Drop:   []modelRule{{Namespace: "*test*"}, {Type: "^Normal$", Reason: "Pull"}},
		Match:  []modelRule{{Kind: "^Pod$", Receiver: "r0"}, {Type: "^Warning$", Receiver: "r1"}},
		Routes: []modelRoute{{Match: []modelRule{{Receiver: "r2"}}}},
	}
	filters := map[string]string{}
	for _, s := range convertRoute(t, route).Sinks {
		filters[s.Name] = s.Filter
	}
	want := map[string]string{
		"r0": `!(event.type == "Normal" && event.reason.contains("Pull")) && event.object.kind == "Pod"`,
		"r1": `!(event.type == "Normal" && event.reason.contains("Pull")) && event.type == "Warning"`,
		"r2": "!(event.type == \"Normal\" && event.reason.contains(\"Pull\")) &&\nevent.object.kind == \"Pod\" &&\nevent.type == \"Warning\"",
	}
	if fmt.Sprint(filters) != fmt.Sprint(want) {
		t.Errorf("filters %v", filters)
	}
}
