package convert

import (
	"math/rand/v2"
	"regexp"
	"strings"
	"testing"

	"github.com/eventbaton/baton/agent/filter"
	"github.com/eventbaton/baton/agent/record"
)

// patterns and values meet often.
var patterns = []string{
	"Pod", "^Pod$", "^Pod", "Pod$", "Pod|Node", "^(Pod|Node)$", "^(?:Pod|PodGroup)$", ".*", "^.*$", ".*od.*", "^$", "^", "$",
	"Pod*", "Po?d", "^Po?d$", "kube-*", "*test*", "(?i)pod", "^(?i:node)$", "^[PN]ode?$", "a{0,2}Pod", "^a.c$", "x+",
	`\bPod\b`, `Pod\.v1`, "a\nb", `a"b`, `a\\b`, `^a"b\\$`, "[", "^ü$", "(?m)^b$", "Pod()", "()", "^^Pod$$", "(^Pod$)", "P(od|vc)", "N|",
}

var values = []string{
	"Pod", "Node", "PodGroup", "pod", "Pvc", "kube-system", "a test", "", "a\nb", "aaPod", "abc", `a"b`, `a\b`, `a"b\`, "ü", "xx", "Pod.v1", "Po", "b",
}

// Whatever a pattern is made to, it is true for the same values.
func TestPatterns(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	random := func() string {
		var b strings.Builder
		for range 1 + rng.IntN(5) {
			b.WriteString(pick(rng, []string{"a", "b", "Pod", "(", ")", "|", "*", "?", "^", "$", "[ab]", ".", "a{0,1}", "(?i)", "", `\.`}))
		}
		return b.String()
	}
	all := patterns
	for range 400 {
		all = append(all, random())
	}
	for _, pattern := range all {
		re, invalid := regexp.Compile(pattern)
		c, err := matches("event.reason", pattern)
		if (err != nil) != (invalid != nil) {
			t.Fatalf("%q: %v, but %v", pattern, err, invalid)
		}
		if invalid != nil {
			continue
		}
		for _, each := range []struct {
			condition
			want bool
		}{{c, true}, {not(c), false}} {
			f, err := filter.Compile(each.text)
			if err != nil {
				t.Fatalf("%q: %s: %v", pattern, each.text, err)
			}
			for _, value := range append(values, "aPod", "ab", "a", "aPodb") {
				got, err := f.Match(&record.Record{Reason: value})
				if want := re.MatchString(value) == each.want; got != want || err != nil {
					t.Errorf("%q of %q is %s: %v, %v", pattern, value, each.text, got, err)
				}
			}
		}
	}
}

// Plain patterns become plain conditions.
func TestPlainPatterns(t *testing.T) {
	for pattern, want := range map[string]string{
		"^Warning$":           `f == "Warning"`,
		"Warning":             `f.contains("Warning")`,
		"^kube-":              `f.startsWith("kube-")`,
		"-system$":            `f.endsWith("-system")`,
		"^(Pod|PVC|Service)$": `f in ["Pod", "PVC", "Service"]`,
		"^Pods?$":             `f in ["Pods", "Pod"]`,
		"Pod|Node":            `f.matches("Pod|Node")`,
		"kube-*":              `f.contains("kube")`,
		".*test.*":            `f.contains("test")`,
		".*":                  "true",
		`^v1\.0$`:             `f == "v1.0"`,
		`exit \d+`:            `f.matches(r"exit \d+")`,
		"^$":                  `f == ""`,
	} {
		if c, err := matches("f", pattern); c.text != want || err != nil {
			t.Errorf("%q is %s, %v, want %s", pattern, c.text, err, want)
		}
	}
}

// Conditions simplify themselves.
func TestConditions(t *testing.T) {
	a, b, c := equal("a", "1"), equal("b", "2"), equal("c", "3")
	for want, got := range map[string]condition{
		`a == "1" && b == "2"`:                all(a, yes, b, a),
		"false":                               all(a, no),
		"true":                                anyOf(a, yes),
		`a == "1"`:                            anyOf(a, all(a, b)),
		`a == "1" || b == "2"`:                anyOf(no, a, anyOf(b, a)),
		`(a == "1" || b == "2") && c == "3"`:  all(anyOf(a, b), c),
		`a == "1" && b == "2" || c == "3"`:    anyOf(all(a, b), c),
		`a != "1"`:                            not(a),
		`!(a == "1" || b == "2") && c == "3"`: all(not(anyOf(a, b)), c),
		`(a == "1" || b == "2") && !(a in ["x", "y"])`: all(not(not(anyOf(a, b))), not(oneOf("a", []string{"x", "y"}))),
		`n < 3 && !a.contains("x")`:                    all(not(atLeast("n", 3)), not(call("a", "contains", `"x"`))),
	} {
		if got.text != want {
			t.Errorf("%s, want %s", got.text, want)
		}
	}
	if oneOf("a", nil).op != never || all().op != always || anyOf().op != never || not(yes).op != never || not(no).op != always {
		t.Error("the ends are wrong")
	}
	long := equal("a", strings.Repeat("x", 100))
	if got := all(long, b).lines(); !strings.Contains(got, " &&\nb") {
		t.Error(got)
	}
	if got := anyOf(long, b).lines(); !strings.Contains(got, " ||\nb") {
		t.Error(got)
	}
}

// A template is carried over with our names, or not at all.
func TestTemplates(t *testing.T) {
	for text, want := range map[string]string{
		"{{ .Message }}": "{{.Message}}",
		"Event {{ .Reason }} for {{ .InvolvedObject.Namespace }}/{{ .InvolvedObject.Name }}": "Event {{.Reason}} for {{.Object.Namespace}}/{{.Object.Name}}",
		`{{ if eq .Type "Warning" }}!{{ else }}{{ .Source.Host | default "none" }}{{ end }}`: `{{if eq .Type "Warning"}}!{{else}}{{.Source.Host | default "none"}}{{end}}`,
		"plain":                                    "plain",
		"{{ .InvolvedObject.Labels.team }}":        "a record has .InvolvedObject.Labels.team where enrich adds it, by {{with .Enrichment}}",
		"{{ toPrettyJson . }}":                     "a template has no function toPrettyJson",
		"{{ .GetTimestampMs }}":                    "a record has no field .GetTimestampMs",
		"{{ range .Tags }}{{ end }}":               "it has a part that a template here doesn't ({{range .Tags}}{{end}})",
		"{{ $x := .Message }}{{ $x }}":             "it has variables",
		"{{ .Message":                              "it is no template: template:1: unclosed action",
		`{{ define "x" }}a{{ end }}`:               "it defines templates",
		"{{ if .Labels }}{{ end }}":                "a record has no field .Labels",
		"{{ if .Type }}{{ else }}{{ . }}{{ end }}": "it has a part that a template here doesn't ({{.}})",
	} {
		got, err := keeTemplate(text)
		if err != nil {
			got = err.Error()
		}
		if !strings.HasPrefix(got, strings.TrimSuffix(want, "({{.}})")) {
			t.Errorf("%s: %s, want %s", text, got, want)
		}
	}
}

// The environment's variables are found as the programs find them.
func TestVariables(t *testing.T) {
	for text, want := range map[string]string{
		"${A}": "${A} A", "$A/$B": "${A}/${B} A B", "^Warning$": "^Warning$", "^(a$|b)": "^(a$|b)", "$$": "", "100$": "100$", "a$1": "a",
	} {
		value, names := shellVariables(text)
		if got := strings.TrimSpace(value + " " + strings.Join(names, " ")); got != want {
			t.Errorf("%s: %s, want %s", text, got, want)
		}
	}
	for text, want := range map[string]string{
		"${env:A}": "${A} A", "${A:-b}": "${A} A", "$$A": "$A", "${file:/a}": "${file:/a} file:/a", "$A": "$A",
	} {
		value, names := collectorVariables(text)
		if got := strings.TrimSpace(value + " " + strings.Join(names, " ")); got != want {
			t.Errorf("%s: %s, want %s", text, got, want)
		}
	}
}
