// Package convert makes a kubernetes.yaml of the configuration of another program that gathers events.
//
// What it writes always works: config.Parse takes it. What has no equal is named, with the line where it stands, as a
// comment at its place and as a finding; where a condition can't be carried over, more is delivered, never less. A
// secret that stands in the input is never written: the output names a file for it.
package convert

import (
	"cmp"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"github.com/eventbaton/baton/agent/config"
)

// Result is a converted configuration.
type Result struct {
	YAML     []byte // a kubernetes.yaml
	Findings []Finding
}

// Lacks says whether anything had no equal.
func (r *Result) Lacks() bool {
	return slices.ContainsFunc(r.Findings, func(f Finding) bool { return f.Lack })
}

// Finding is something that people have to know about one place of the input. Its text has no value of the input that
// may be a secret.
type Finding struct {
	File string
	Line int
	Key  string // such as receivers[1].slack.color
	Text string
	Lack bool // it had no equal; else it is to be looked at
}

// String is `file:line: key: text`.
func (f Finding) String() string {
	return config.Problem{File: f.File, Line: f.Line, Key: f.Key, Text: f.Text}.String()
}

// kinds are the layouts that can be read.
var kinds = map[string]struct {
	program   string
	variables func(string) (string, []string)
	convert   func(*conversion, *object)
}{
	"kee":    {"the kubernetes-event-exporter", shellVariables, convertKEE},
	"otel":   {"an OpenTelemetry Collector", collectorVariables, convertOTel},
	"agent5": {"the Datadog Agent 5", noVariables, convertAgent5},
}

// Kinds are the names of the layouts that can be read.
func Kinds() []string { return slices.Sorted(maps.Keys(kinds)) }

// Convert reads data in the layout of one of Kinds. file is what findings and problems call it. The error, of type
// config.Problems, says why the input can't be used at all.
func Convert(kind, file string, data []byte) (*Result, error) {
	k, ok := kinds[kind]
	if !ok {
		return nil, config.Problems{{File: file, Text: fmt.Sprintf("%q is no layout that can be converted: there are %s",
			kind, strings.Join(Kinds(), ", "))}}
	}
	c := &conversion{input: input{file: file, variables: k.variables}}
	if root := c.read(data); len(c.problems) == 0 {
		k.convert(c, root)
	}
	c.title = "Made by `baton convert " + kind + "` of " + shown(filepath.Base(file)) + ", a configuration of " + k.program + "."
	var out []byte
	if len(c.problems) == 0 {
		out = c.settle()
	}
	if len(c.problems) > 0 {
		slices.SortStableFunc(c.problems, func(a, b config.Problem) int { return cmp.Compare(a.Line, b.Line) })
		return nil, c.problems
	}
	slices.SortStableFunc(c.findings, func(a, b Finding) int { return cmp.Compare(a.Line, b.Line) })
	return &Result{YAML: out, Findings: c.findings}, nil
}

// conversion is one run: what is read, and what is written.
type conversion struct {
	input
	output
}

// lack notes that something has no equal, and gives the text for a comment.
func (c *conversion) lack(at place, format string, args ...any) string {
	return c.find(at, true, "has no equal: "+fmt.Sprintf(format, args...))
}

// note says something about a place that was carried over, and gives the text for a comment.
func (c *conversion) note(at place, format string, args ...any) string {
	return c.find(at, false, fmt.Sprintf(format, args...))
}

func (c *conversion) find(at place, lack bool, text string) string {
	f := Finding{File: c.file, Line: at.line, Key: shown(at.path), Text: shown(text), Lack: lack}
	if !slices.Contains(c.findings, f) {
		c.findings = append(c.findings, f)
	}
	return fmt.Sprintf("%s (line %d): %s", f.Key, f.Line, f.Text)
}

// leftovers are the keys of an object that nobody has asked for: none of them has an equal.
func (c *conversion) leftovers(o *object) []string {
	var comments []string
	for _, f := range o.rest() {
		comments = append(comments, c.lack(f.place, "nothing here does the same"))
	}
	return comments
}

// Known says whether kind is one of Kinds.
func Known(kind string) bool { return kinds[kind].convert != nil }
