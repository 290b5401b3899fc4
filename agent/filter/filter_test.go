package filter

import (
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/eventbaton/baton/agent/record"
)

func example() *record.Record {
	return &record.Record{
		ID: "c/u/7", Cluster: "c", ClusterName: "prod", Tags: []string{"env:prod"},
		Time: time.Date(2025, 6, 1, 12, 30, 0, 0, time.UTC), Type: "Warning", Reason: "FailedMount",
		Message: "MountVolume.SetUp failed for volume \"data\"", Namespace: "shop", Name: "cart.17",
		Object: record.Object{APIVersion: "v1", Kind: "Pod", Namespace: "shop", Name: "cart"},
		Source: record.Source{Component: "kubelet", Host: "node-1"},
		Count:  4, First: time.Date(2025, 6, 1, 12, 0, 0, 0, time.UTC), Last: time.Date(2025, 6, 1, 12, 30, 0, 0, time.UTC),
	}
}

func TestMatch(t *testing.T) {
	related := example()
	related.Related = &record.Object{Kind: "Node", Name: "node-1"}
	tests := []struct {
		expr   string
		record *record.Record
		want   bool
	}{
		{`event.type == "Warning"`, example(), true},
		{`event.type == "Normal"`, example(), false},
		{`event.type == "Warning" && event.namespace != "kube-system"`, example(), true},
		{`event.reason in ["BackOff", "FailedMount"]`, example(), true},
		{`event.namespace.startsWith("sh")`, example(), true},
		{`event.message.matches("^MountVolume[.]")`, example(), true},
		{`event.message.lowerAscii().contains("setup")`, example(), true},
		{`event.object.kind == "Pod" && event.object.apiVersion == "v1"`, example(), true},
		{`event.source.host == "node-1"`, example(), true},
		{`"env:prod" in event.tags`, example(), true},
		{`event.tags.exists(tag, tag.startsWith("env:"))`, example(), true},
		{`event.tags.exists(tag, true)`, &record.Record{}, false},
		{`event.count > 3`, example(), true},
		{`event.count >= 4.5`, example(), false},
		{`event.clusterName == "prod" && event.cluster == "c" && event.id == "c/u/7"`, example(), true},
		{`event.time > timestamp("2025-06-01T12:00:00Z")`, example(), true},
		{`event.time.getHours() == 12`, example(), true},
		{`event.last - event.first > duration("10m")`, example(), true},
		{`has(event.first)`, &record.Record{}, false},
		{`has(event.action)`, example(), false},
		{`has(event.related)`, example(), false},
		{`has(event.related)`, related, true},
		{`event.related.kind == "Node"`, example(), false}, // no error: what is absent is empty
		{`event.related.kind == "Node"`, related, true},
		{`event.?related.?kind.orValue("none") == "none"`, example(), true},
		{"event.type == 'Warning' &&\n  event.count > 1", example(), true},
	}
	for _, test := range tests {
		f, err := Compile(test.expr)
		if err != nil {
			t.Errorf("Compile(%s): %v", test.expr, err)
			continue
		}
		if got, err := f.Match(test.record); got != test.want || err != nil {
			t.Errorf("%s: %v, %v, want %v", test.expr, got, err, test.want)
		}
		if f.String() != test.expr {
			t.Errorf("String() = %q, want %q", f, test.expr)
		}
	}
}

func TestMatchErrorDelivers(t *testing.T) {
	for _, expr := range []string{
		`event.tags[7] == "x"`,
		`dyn(event).nothing == 1`,
		`1 / (event.count - event.count) == 1`,
		`event.time > timestamp(event.message)`,
		`event.message.matches("(" + event.message)`,
	} {
		f, err := Compile(expr)
		if err != nil {
			t.Fatalf("Compile(%s): %v", expr, err)
		}
		got, err := f.Match(example())
		if !got || err == nil || !strings.Contains(err.Error(), "filter") {
			t.Errorf("%s: %v, %v, want true and an error", expr, got, err)
		}
	}
}

func TestCostIsLimited(t *testing.T) {
	many := "[" + strings.Repeat("1,", 300) + "1]"
	f, err := Compile(many + ".all(a, " + many + ".all(b, " + many + ".all(c, a == b || a == c)))")
	if err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	if got, err := f.Match(example()); !got || err == nil || !strings.Contains(err.Error(), "cost limit") {
		t.Errorf("Match = %v, %v, want true and that the limit is exceeded", got, err)
	}
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("took %v until the limit", took)
	}
}

func TestCompileErrors(t *testing.T) {
	tests := []struct {
		expr         string
		line, column int
		text         []string
	}{
		{`event.typ == "x"`, 1, 6, []string{"no field typ", "event.type", "event.object"}},
		{`event.object.kin == "Pod"`, 1, 13, []string{"no field kin", "event.object.kind"}},
		{`event.related.source == "Pod"`, 1, 14, []string{"no field source", "event.related.fieldPath"}},
		{"true &&\n event.msg == ''", 2, 7, []string{"no field msg", "event.message"}},
		{`event.Type == "x"`, 1, 6, []string{"no field Type", "event.type"}},
		{`event.leader.epoch > 1`, 1, 6, []string{"no field leader"}},
		{`event.countDelta > 1`, 1, 6, []string{"no field countDelta"}},
		{`[event][0].typ == "x"`, 1, 11, []string{"no field typ", "event.type"}},
		{`reason == "x"`, 1, 1, []string{"no reason", "event.reason"}},
		{`type == "x"`, 1, 6, []string{"==", "event.type"}},
		{`event.type == 5`, 1, 12, []string{"== can't be used with (string, int)"}},
		{`event.type = "x"`, 1, 12, []string{"= is not CEL here", "=="}},
		{`event.count`, 1, 1, []string{"gives int", "true or false"}},
		{`event.object`, 1, 1, []string{"gives object"}},
		{`dyn(true)`, 1, 1, []string{"gives dyn"}},
		{`event.message.matches("(")`, 1, 1, []string{"regexp"}},
		{`event.type ==`, 1, 14, []string{"mismatched input"}},
		{``, 1, 1, []string{"is empty"}},
		{" \n", 1, 1, []string{"is empty"}},
		{strings.Repeat("(", 300) + "true" + strings.Repeat(")", 300), 1, 1, []string{"recursion"}},
		{`"` + strings.Repeat("x", maxExpression) + `" == ""`, 1, 1, []string{"size"}},
	}
	for _, test := range tests {
		f, err := Compile(test.expr)
		var e *Error
		if f != nil || !errors.As(err, &e) {
			t.Errorf("Compile(%.40s) = %v, %v, want an *Error", test.expr, f, err)
			continue
		}
		if e.Line != test.line || e.Column != test.column {
			t.Errorf("Compile(%.40s): at %d:%d, want %d:%d: %v", test.expr, e.Line, e.Column, test.line, test.column, err)
		}
		for _, text := range test.text {
			if !strings.Contains(e.Text, text) {
				t.Errorf("Compile(%.40s): %q lacks %q", test.expr, e.Text, text)
			}
		}
		if strings.Contains(e.Text, "record.") {
			t.Errorf("Compile(%.40s): %q speaks of Go", test.expr, e.Text)
		}
	}
}

// Every field that the reference lists can be used, as the type that it lists.
func TestFields(t *testing.T) {
	samples := map[string]string{
		"string": `%s == ""`, "int": `%s > 0`, "timestamp": `%s < timestamp("2025-01-01T00:00:00Z")`, "list(string)": `"" in %s`,
		"map(string, string)": `"" in %s`, "list(owner)": `size(%s) > 0`,
	}
	fields := Fields()
	if len(fields) < 25 {
		t.Errorf("%d fields, want all", len(fields))
	}
	for _, field := range fields {
		if _, err := Compile(strings.ReplaceAll(samples[field.Type], "%s", field.Path)); err != nil {
			t.Errorf("%v: %v", field, err)
		}
	}
}

// What is not known of an object is empty, as everything that an event doesn't have; but a key of a map that is not there
// is an error, unless it is asked for as below.
func TestEnrichment(t *testing.T) {
	bare, full, late := example(), example(), example()
	full.Enrichment = &record.Enrichment{
		Labels: map[string]string{"team": "shop", "app.kubernetes.io/name": "cart"},
		Owners: []record.Owner{{Kind: "ReplicaSet", Name: "cart-1"}, {Kind: "Deployment", Name: "cart"}},
		Node:   "node-1", Zone: "eu-1a",
	}
	late.Enrichment = &record.Enrichment{Incomplete: record.Late}
	for expr, want := range map[string][3]bool{ // of bare, full and late
		`has(event.enrichment)`:             {false, true, true},
		`has(event.enrichment.labels)`:      {false, true, false},
		`has(event.enrichment.labels.team)`: {false, true, false},
		`"team" in event.enrichment.labels && event.enrichment.labels["team"] == "shop"`: {false, true, false},
		`event.enrichment.labels[?"app.kubernetes.io/name"].orValue("") == "cart"`:       {false, true, false},
		`event.enrichment.?labels["team"].orValue("?") == "shop"`:                        {false, true, false},
		`event.enrichment.owners.exists(o, o.kind == "Deployment" && o.name == "cart")`:  {false, true, false},
		`event.enrichment.zone == "eu-1a"`:                                               {false, true, false},
		`event.enrichment.zone in ["", "eu-1a"]`:                                         {true, true, true},
		`event.enrichment.incomplete != "" || event.enrichment.zone == "eu-1a"`:          {false, true, true},
	} {
		f, err := Compile(expr)
		if err != nil {
			t.Errorf("%s: %v", expr, err)
			continue
		}
		for i, r := range []*record.Record{bare, full, late} {
			if got, err := f.Match(r); got != want[i] || err != nil {
				t.Errorf("%s: %v, %v of record %d", expr, got, err, i)
			}
		}
	}
	f, err := Compile(`event.enrichment.labels["team"] == "other"`)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := f.Match(bare); !got || err == nil {
		t.Errorf("a label that is not there: %v, %v, want the record with an error", got, err)
	}
}

func TestConcurrentUse(t *testing.T) {
	f, err := Compile(`event.type == "Warning" && event.message.matches("Set[uU]p")`)
	if err != nil {
		t.Fatal(err)
	}
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			for range 200 {
				if ok, err := f.Match(example()); !ok || err != nil {
					t.Errorf("Match = %v, %v", ok, err)
				}
			}
		})
	}
	group.Wait()
}

func FuzzCompile(f *testing.F) {
	for _, seed := range []string{`event.type == "Warning"`, `event.typ`, "a\n.b", `"\u00e9" + event.`, `has(event.related)`, `event.tags[0] == ''`, `event.hasReason("a*", "b")`, `event.ofKind([])`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, expr string) {
		compiled, err := Compile(expr)
		if err == nil {
			_, _ = compiled.Match(example())
			return
		}
		if e, ok := errors.AsType[*Error](err); !ok || e.Line < 1 || e.Column < 1 || e.Text == "" {
			t.Errorf("Compile(%q): %v has no place or text", expr, err)
		}
	})
}

func BenchmarkMatch(b *testing.B) {
	for name, expr := range map[string]string{
		"type":      `event.type == "Warning"`,
		"usual":     `event.type == "Warning" && event.namespace != "kube-system" && !(event.reason in ["Pulled", "Created"])`,
		"functions": `event.isWarning() && !event.inNamespace("kube-*") && !event.hasReason("Pulled", "Created")`,
		"regexp":    `event.message.matches("Set[uU]p.*volume")`,
	} {
		b.Run(name, func(b *testing.B) {
			f, err := Compile(expr)
			if err != nil {
				b.Fatal(err)
			}
			r := example()
			b.ReportAllocs()
			for b.Loop() {
				if ok, err := f.Match(r); !ok || err != nil {
					b.Fatal(ok, err)
				}
			}
		})
	}
}
