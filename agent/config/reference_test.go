package config

import (
	"encoding"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/eventbaton/baton/agent/filter"
	"github.com/eventbaton/baton/agent/sink"
)

var update = flag.Bool("update", false, "write docs/config.md")

// TestReference holds docs/config.md against what the code takes; -update writes it.
func TestReference(t *testing.T) {
	path := filepath.Join("..", "..", "docs", "config.md")
	want := reference(t)
	if *update {
		if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Errorf("%s is stale: run go test ./agent/config -run TestReference -update", path)
	}
}

// Every option of every sink is described.
func TestEverythingIsDocumented(t *testing.T) {
	values := map[string]reflect.Value{"top level": reflect.ValueOf(Default()).Elem(), "sink": reflect.ValueOf(&Sink{}).Elem()}
	for name, options := range sink.Types {
		values[name] = reflect.ValueOf(options()).Elem()
	}
	for name, value := range values {
		for _, row := range rows("", value) {
			if row.doc == "" || row.kind == "" {
				t.Errorf("%s: %s has no doc or an unknown type", name, row.key)
			}
		}
	}
}

func TestExamplesParse(t *testing.T) {
	for name, example := range map[string]string{"full": fullExample, "agent 5": agent5Example} {
		c, err := Parse(name, []byte(example), nil)
		if err != nil {
			t.Errorf("%v", err)
		} else if !c.LeaderCandidate || c.Agent5 != (name == "agent 5") {
			t.Errorf("%s: %v", name, c)
		}
	}
	for expr := range strings.SplitSeq(strings.TrimSpace(filterExamples), "\n") {
		if _, err := filter.Compile(expr); err != nil {
			t.Errorf("%s: %v", expr, err)
		}
	}
}

const fullExample = `leader_candidate: true
name: baton
leader_lease_duration: 60
lock: lease
namespaces: []
start: retained
cluster_name: production
tags:
  - env:prod
sinks:
  - name: log
    type: stdout
  - name: archive
    type: webhook
    url: https://example.test/events
    bearer_token_file: /etc/baton/secrets/token
    filter: event.type == "Warning" && event.namespace != "kube-system"
`

const agent5Example = `init_config:

instances:
  - leader_candidate: true
    leader_lease_duration: 60
    namespaces:
      - default
    namespace_name_regexp: team-.*

sinks:
  - name: log
    type: stdout
`

const filterExamples = `
event.type == "Warning"
event.type == "Warning" || event.reason in ["Killing", "Preempted"]
event.object.kind == "Pod" && event.namespace.startsWith("team-")
event.message.lowerAscii().contains("oom")
event.message.matches("exit code (137|143)")
has(event.related) && event.related.kind == "Node"
"env:prod" in event.tags
event.last - event.first > duration("10m") && event.count > 5
`

func reference(t *testing.T) string {
	t.Helper()
	b := &strings.Builder{}
	b.WriteString(intro)
	table(b, rows("", reflect.ValueOf(Default()).Elem()))
	b.WriteString(values)
	b.WriteString("## Sinks\n\nEvery sink has these keys, and those of its type beside them.\n\n")
	table(b, rows("", reflect.ValueOf(&Sink{}).Elem()))
	for _, name := range slices.Sorted(maps.Keys(sink.Types)) {
		fmt.Fprintf(b, "### type: %s\n\n", name)
		table(b, rows("", reflect.ValueOf(sink.Types[name]()).Elem()))
	}
	filters(b)
	environmentVariables(b)
	fmt.Fprintf(b, agent5Text, agent5Example)
	fmt.Fprintf(b, "## A full example\n\n```yaml\n%s```\n", fullExample)
	return b.String()
}

type row struct{ key, kind, byDefault, doc string }

// rows describe the fields of a struct; a struct in it is described by its fields, as tls.ca_file.
func rows(prefix string, v reflect.Value) []row {
	var all []row
	for _, f := range fieldsOf(v) {
		value := f.value
		if value.Kind() == reflect.Struct && !value.Addr().Type().Implements(textUnmarshaler) {
			all = append(all, rows(prefix+f.key+".", value)...)
			continue
		}
		all = append(all, row{prefix + f.key, kindName(f), defaultText(f), f.tag.Get("doc")})
	}
	return all
}

func kindName(f field) string {
	if words := strings.Fields(f.tag.Get("values")); len(words) > 0 {
		return "`" + strings.Join(words, "`, `") + "`"
	}
	return typeText(f.value.Type())
}

func typeText(t reflect.Type) string {
	switch {
	case t == reflect.TypeFor[time.Duration](), t.Name() == "Duration":
		return "duration"
	case t == reflect.TypeFor[[]Sink]():
		return "list of sinks"
	case reflect.PointerTo(t).Implements(textUnmarshaler):
		return strings.ToLower(t.Name())
	}
	switch t.Kind() {
	case reflect.String:
		return "text"
	case reflect.Bool:
		return "true or false"
	case reflect.Slice:
		return "list of " + typeText(t.Elem())
	case reflect.Map:
		return "map to " + typeText(t.Elem())
	case reflect.Pointer:
		return typeText(t.Elem())
	default:
		return "number"
	}
}

// defaultText is the value that the field has where nothing is written.
func defaultText(f field) string {
	if text, ok := f.tag.Lookup("default"); ok {
		return text
	}
	value := f.value.Interface()
	if m, ok := value.(encoding.TextMarshaler); ok {
		text, _ := m.MarshalText()
		return "`" + string(text) + "`"
	}
	switch value := value.(type) {
	case time.Duration:
		return "`" + strconv.FormatFloat(value.Seconds(), 'f', -1, 64) + "`"
	case bool, int, int64, float64:
		return fmt.Sprintf("`%v`", value)
	}
	if f.value.IsZero() {
		return "none"
	}
	return fmt.Sprintf("`%v`", value)
}

func table(b *strings.Builder, rows []row) {
	if len(rows) == 0 {
		b.WriteString("No keys of its own.\n\n")
		return
	}
	b.WriteString("| Key | Type | Default | What it does |\n|---|---|---|---|\n")
	escape := strings.NewReplacer("|", `\|`, "<", "&lt;", "\n", " ")
	for _, r := range rows {
		fmt.Fprintf(b, "| `%s` | %s | %s | %s |\n", r.key, escape.Replace(r.kind), escape.Replace(r.byDefault), escape.Replace(r.doc))
	}
	b.WriteString("\n")
}

func filters(b *strings.Builder) {
	b.WriteString(filterText)
	b.WriteString("| Field | Type |\n|---|---|\n")
	for _, field := range filter.Fields() {
		fmt.Fprintf(b, "| `%s` | %s |\n", field.Path, field.Type)
	}
	fmt.Fprintf(b, "\nFor example:\n\n```\n%s```\n\n", strings.TrimLeft(filterExamples, "\n"))
}

func environmentVariables(b *strings.Builder) {
	b.WriteString(environmentText)
	b.WriteString("| Variable | Key |\n|---|---|\n")
	for _, variable := range Variables {
		fmt.Fprintf(b, "| `%s` | `%s` |\n", variable.Name, variable.Key)
	}
	b.WriteString("\n")
}

const intro = `# Configuration

<!-- Written by go test ./agent/config -run TestReference -update. Change the tags in the code instead. -->

Baton reads one file, kubernetes.yaml. Check one with ` + "`baton check kubernetes.yaml`" + `: all that is wrong is told at
once, with the line, and the exit code is 2. An unknown key is an error, so a typo can't go unnoticed. A key without a
value has its default.

## Keys

`

const values = `Values:

- A duration is a number of seconds (` + "`5`" + `, of the top level's keys also ` + "`0.5`" + `), or a number with a unit (` + "`500ms`, `1m30s`" + `).
- True and false may also be written yes and no, on and off, 1 and 0.
- Text that looks like a number, a date or true has to be in quotes.
- Aliases and merge keys of YAML work. The file is one document of at most 1 MiB, in UTF-8.

Which namespaces: with neither ` + "`namespaces` nor `namespace_name_regexp`" + `, all. With ` + "`namespaces`" + ` alone, those, each
read on its own. With ` + "`namespace_name_regexp`" + `, the cluster's events are read as one stream, and those are delivered whose
namespace is listed or matches.

Secrets don't belong in this file: keys that end in ` + "`_file`" + ` name the file that has one. It is read again when it changes.

`

const filterText = `## Filters

A sink's ` + "`filter`" + ` is an expression in [CEL](https://cel.dev) that gives true for the records that the sink is to get. It is
checked at the start: a field that doesn't exist, or text compared with a number, is an error with its place. The macros
of CEL (` + "`has`, `exists`, `all`" + `, ...), its optional values (` + "`event.?related.?kind.orValue(\"\")`" + `) and the extended functions
for strings (` + "`lowerAscii`, `split`, `replace`" + `, ...) are there; times are timestamps, in UTC.

A field that an event doesn't have is empty (` + "`\"\"`, `0`, `[]`" + `), never an error: ` + "`event.related.kind == \"Node\"`" + ` is false without
a related object, and ` + "`has(event.related)`" + ` asks for it. An expression that fails nonetheless, such as ` + "`event.tags[7] == \"x\"`" + `,
or one that costs too much, counts as true: the record is delivered, and the failure is logged once and counted.

What belongs to a delivery and not to the event, ` + "`leader` and `countDelta`" + `, a filter doesn't see. A record that is filtered out
moves the sink's cursor like one that was delivered.

`

const environmentText = `## Environment variables

They override the file, in either layout. An empty one counts as not set. True and false may be written as in the file.

`

const agent5Text = `## The layout of the Agent 5

A file with ` + "`init_config` and `instances`" + ` is read as the Datadog Agent 5 read its kubernetes.yaml:

- ` + "`collect_events`, `leader_candidate`, `leader_lease_duration`, `namespaces`, `namespace_name_regexp` and `tags`" + ` of the one
  instance work. Its other keys, and those of ` + "`init_config`" + `, do nothing; one warning names them.
- Without ` + "`namespaces`" + `, the events of the namespace ` + "`default`" + ` are gathered, and a regexp adds to that. With ` + "`namespaces: []`" + ` the
  regexp alone counts; without a regexp that is an error, as it would mean nothing at all. The older ` + "`namespace`" + ` adds one
  more.
- All keys above may stand in the instance or beside ` + "`init_config`" + `, but not in both.
- More than one instance is an error.
- Where ` + "`leader_candidate` and `collect_events`" + ` are both true, the election decides. The Agent 5 gathered on every such node.

` + "```yaml\n%s```\n\n"
