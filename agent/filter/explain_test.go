package filter

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/eventbaton/baton/agent/record"
)

// told writes an explanation as lines.
func told(e Explanation) string {
	var lines []string
	for _, p := range e.Parts {
		line := p.Text + " is " + p.Gives
		for _, f := range p.Fields {
			line += fmt.Sprintf("; %s=%s", f.Path, f.Value)
		}
		lines = append(lines, line)
	}
	return strings.Join(lines, "\n")
}

func TestExplain(t *testing.T) {
	for _, c := range []struct{ expr, want string }{
		{`event.type == "Normal"`, `event.type == "Normal" is false; event.type="Warning"`},
		{`event.type == 'Warning'`, `event.type == "Warning" is true; event.type="Warning"`},
		{ // of && the one that is false
			`event.type == "Warning" && event.namespace != "shop"`,
			`event.namespace != "shop" is false; event.namespace="shop"`,
		},
		{ // all that are false, also of a chain
			`event.type == "Normal" && event.count > 1 && event.count > 9 && has(event.related)`,
			"event.type == \"Normal\" is false; event.type=\"Warning\"\nevent.count > 9 is false; event.count=4\nhas(event.related) is false; event.related=absent",
		},
		{ // of || all where it is false
			`event.reason == "BackOff" || event.count > 9`,
			"event.reason == \"BackOff\" is false; event.reason=\"FailedMount\"\nevent.count > 9 is false; event.count=4",
		},
		{ // and the one that is true
			`event.reason == "BackOff" || event.count > 3`, `event.count > 3 is true; event.count=4`,
		},
		{ // through ! and brackets
			`event.isWarning() && !(event.inNamespace("sh*") || event.ofKind("Node"))`,
			`event.inNamespace("sh*") is true; event.namespace="shop"`,
		},
		{ // a function is one part, whatever it becomes
			`event.hasReason("BackOff", "Pull*", "*x*y")`,
			`event.hasReason("BackOff", "Pull*", "*x*y") is false; event.reason="FailedMount"`,
		},
		{
			`event.isWarning() ? event.count == 5 : event.count == 6`,
			`(event.isWarning()) ? (event.count == 5) : (event.count == 6) is false; event.type="Warning"; event.count=4`,
		},
		{
			`event.tags.exists(tag, tag.startsWith("team:"))`,
			`event.tags.exists(tag, tag.startsWith("team:")) is false; event.tags=["env:prod"]`,
		},
		{`"env:test" in event.tags`, `"env:test" in event.tags is false; event.tags=["env:prod"]`},
		{`event.?related.?kind.orValue("none") == "x"`, `event.?related.?kind.orValue("none") == "x" is false; event.related.kind=absent`},
		{`event.related.kind == "Node"`, `event.related.kind == "Node" is false; event.related.kind=absent`},
		{`event.object.kind == event.source.host`, `event.object.kind == event.source.host is false; event.object.kind="Pod"; event.source.host="node-1"`},
		{
			`event.last - event.first > duration("2h")`,
			`event.last - event.first > duration("2h") is false; event.last=2025-06-01T12:30:00Z; event.first=2025-06-01T12:00:00Z`,
		},
		{`event.object == event.related`, `event.object == event.related is false; ` +
			`event.object={"apiVersion":"v1","kind":"Pod","namespace":"shop","name":"cart"}; event.related=absent`},
		{`false`, `false is false`},
		{`event.count == 5 && event.tags[7] == "x"`, `event.count == 5 is false; event.count=4`}, // what fails decides nothing
		{`event.action == "x"`, `event.action == "x" is false; event.action=""`},
	} {
		f := compiled(t, c.expr)
		e := f.Explain(example())
		match, _ := f.Match(example())
		if got := told(e); got != c.want || e.Match != match || e.Err != nil {
			t.Errorf("%s: %v, %v\n got %s\nwant %s", c.expr, e.Match, e.Err, got, c.want)
		}
	}
}

func TestExplainFailure(t *testing.T) {
	e := compiled(t, `event.isWarning() && event.tags[7] == "x"`).Explain(example())
	if !e.Match || e.Err == nil || len(e.Parts) != 1 || e.Parts[0].Text != `event.tags[7] == "x"` ||
		!strings.Contains(e.Parts[0].Gives, "index") {
		t.Errorf("%+v", e)
	}
}

// A long value is cut, and one that is not text is JSON.
func TestExplainValues(t *testing.T) {
	r := example()
	r.Message = strings.Repeat("ü", 1000)
	e := compiled(t, `event.message == ""`).Explain(r)
	if got := []rune(e.Parts[0].Fields[0].Value); len(got) != shownValue+3 {
		t.Errorf("%d characters: %s", len(got), string(got))
	}
	r.Enrichment = &record.Enrichment{Labels: map[string]string{"team": "shop"}}
	e = compiled(t, `event.enrichment.labels["team"] == "x"`).Explain(r)
	if got := told(e); !strings.Contains(got, `; event.enrichment.labels={"team":"shop"}`) {
		t.Errorf("got %s", got)
	}
}

// Whatever the expression, the explanation comes to the same end as the filter, and the parts have that end.
func TestExplainAgrees(t *testing.T) {
	records := []*record.Record{example(), {}, {Type: "Normal", Namespace: "kube-system", Count: 7}}
	for _, expr := range []string{
		`event.isWarning()`, `event.type == "Normal" || event.count > 5 && event.namespace.startsWith("kube")`,
		`!(event.isWarning() && event.count > 5)`, `event.tags[0] == "env:prod" || event.count > 5`,
		`event.tags.all(t, t != "") && (event.count > 3 || event.ofKind("Pod"))`,
	} {
		f := compiled(t, expr)
		for _, r := range records {
			e := f.Explain(r)
			match, err := f.Match(r)
			if e.Match != match || (e.Err == nil) != (err == nil) || len(e.Parts) == 0 {
				t.Errorf("%s of %v: %+v, want %v, %v", expr, r, e, match, err)
			}
		}
	}
}

func TestFilterFields(t *testing.T) {
	for expr, want := range map[string][]string{
		`event.isWarning() && event.count > 1 && event.count < 9`:         {"event.count", "event.type"},
		`event.?enrichment.?node.orValue("") == "" && has(event.related)`: {"event.enrichment.node", "event.related"},
		`dyn(event).x == 1`:  {"event"},
		`[1].all(x, x == 1)`: nil,
	} {
		if got := compiled(t, expr).Fields(); !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", expr, got, want)
		}
	}
}
