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

	"github.com/eventbaton/baton/agent/enrich"
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
	for name, example := range map[string]string{"full": fullExample, "agent 5": agent5Example, "enrichment": enrichmentExample} {
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
event.isWarning() && !event.inNamespace("kube-system", "team-*")
event.ofKind("Pod") && event.hasReason("BackOff", "Failed*", "Unhealthy")
event.isWarning() || event.fromComponent("*-controller") && event.hasReason("*Scal*")
event.object.kind == "Pod" && event.namespace.startsWith("team-")
event.message.lowerAscii().contains("oom")
event.message.matches("exit code (137|143)")
has(event.related) && event.related.kind == "Node"
"env:prod" in event.tags
event.last - event.first > duration("10m") && event.count > 5
event.enrichment.labels[?"team"].orValue("") == "shop" || event.enrichment.incomplete != ""
event.enrichment.owners.exists(o, o.kind == "CronJob")
`

func reference(t *testing.T) string {
	t.Helper()
	b := &strings.Builder{}
	b.WriteString(intro)
	table(b, rows("", reflect.ValueOf(Default()).Elem()))
	b.WriteString(values)
	b.WriteString("## Sinks\n\nEvery sink has these keys, and those of its type beside them.\n\n")
	table(b, rows("", reflect.ValueOf(&Sink{}).Elem()))
	b.WriteString(deliveryText)
	for _, name := range slices.Sorted(maps.Keys(sink.Types)) {
		fmt.Fprintf(b, "### type: %s\n\n%s\n", name, sinkText(t, name))
		table(b, rows("", reflect.ValueOf(sink.Types[name]()).Elem()))
		if selective, ok := sink.Types[name]().(sink.Selective); ok {
			fmt.Fprintf(b, selectiveText, selective.DefaultFilter())
		}
	}
	enrichments(b)
	filters(b)
	b.WriteString(repeatsText)
	templates(b)
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
		if t := value.Type(); t.Kind() == reflect.Slice && t.Elem().Kind() == reflect.Struct && t.Elem() != reflect.TypeFor[Sink]() {
			all = append(all, rows(prefix+f.key+"[].", reflect.New(t.Elem()).Elem())...)
		}
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
	case reflect.Struct:
		return "mappings"
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
	switch value := value.(type) { // as it is written in YAML
	case []string:
		return "`[" + strings.Join(value, ", ") + "]`"
	case map[string]string:
		var pairs []string
		for _, key := range slices.Sorted(maps.Keys(value)) {
			pairs = append(pairs, key+": "+value[key])
		}
		return "`{" + strings.Join(pairs, ", ") + "}`"
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

func enrichments(b *strings.Builder) {
	fmt.Fprintf(b, enrichmentText, enrichmentExample)
	b.WriteString("| Kind | Resource | API group | |\n|---|---|---|---|\n")
	for _, k := range enrich.Known() {
		scope := ""
		if k.Cluster {
			scope = "of the cluster"
		}
		fmt.Fprintf(b, "| `%s` | `%s` | `%s` | %s |\n", k.Kind, k.Resource, k.Group, scope)
	}
	b.WriteString("\n")
}

func filters(b *strings.Builder) {
	b.WriteString(filterText)
	b.WriteString("| Field | Type |\n|---|---|\n")
	for _, field := range filter.Fields() {
		fmt.Fprintf(b, "| `%s` | %s |\n", field.Path, field.Type)
	}
	b.WriteString(functionText)
	b.WriteString("| Function | What it means |\n|---|---|\n")
	for _, f := range filter.Functions {
		fmt.Fprintf(b, "| `%s` | `%s` |\n", f.Usage, strings.ReplaceAll(f.Means, "|", "\\|"))
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

const deliveryText = `A sink's cursor moves on once its receiver has acknowledged a record; what that is for each type, is said
below. A batch whose try failed is sent again as it was, for as long as it takes, and after a crash what was sent since
the cursors were last written comes again. So a record may arrive more than once, but always with the same ` + "`id`" + `. A
record that its receiver will never take is found among its batch, given up, and logged whole.

`

const enrichmentExample = `leader_candidate: true
enrich:
  labels: [team, app.kubernetes.io/*]
  owners: true
  node: true
  kinds: [Pod, ReplicaSet, Deployment, Job, CronJob, Node]
  custom_kinds:
    - api_version: argoproj.io/v1alpha1
      kind: Rollout
      resource: rollouts
`

const enrichmentText = `## Enrichment

An event names its object and little more. With ` + "`enrich`" + ` the agent asks the API server for the object's metadata, never for the
object itself, and adds to the record what is wanted: see [the record](record.md#enrichment). It is off where neither
` + "`labels` nor `annotations`, `owners` or `node`" + ` is set.

` + "```yaml\n%s```" + `

It is never in the way. An answer comes from the API server's watch cache and is kept for about five minutes, in at most 8 MiB; what
is older serves for as long again while a new one is fetched. What is read at once waits for its answers ` + "`wait`" + ` at most, in
total; after three such waits in vain nothing waits any more until an answer is prompt again. At most ` + "`requests_per_second`" + `
are made: while a backlog is read, most records go on without. A record that lacks something says why
(` + "`enrichment.incomplete`" + `), and ` + "`baton_enrich_lookups_total`" + ` counts it.

Every record is enriched before the filters are asked, also one that no sink gets then. Loki gets what is known as structured
metadata, Datadog as tags, OpenTelemetry as attributes by its conventions; the others get it as it is in the record.
Elasticsearch and OpenSearch make a field of each label, and one whose first value looks like a date takes nothing else from then
on: such a record is stored without its labels. In the index template, give ` + "`enrichment.labels` and `enrichment.annotations` the type `flattened`, in OpenSearch `flat_object`" + `.

It takes the right to ` + "`get`" + ` each kind that is looked up, in all namespaces that are gathered from; ` + "`node`" + ` takes that for pods
and nodes, the other keys for all kinds. RBAC has no right to metadata alone. The chart grants what its value ` + "`enrich`" + ` needs.
These kinds are known; there are no Secrets and ConfigMaps among them, whose labels take the right to all that is in them:

`

const filterText = `## Filters

A sink's ` + "`filter`" + ` is an expression in [CEL](https://cel.dev) that gives true for the records that the sink is to get. It is
checked at the start: a field that doesn't exist, or text compared with a number, is an error with its place. The macros
of CEL (` + "`has`, `exists`, `all`" + `, ...), its optional values (` + "`event.?related.?kind.orValue(\"\")`" + `) and the extended functions
for strings (` + "`lowerAscii`, `split`, `replace`" + `, ...) are there; times are timestamps, in UTC.

A field that an event doesn't have is empty (` + "`\"\"`, `0`, `[]`" + `), never an error: ` + "`event.related.kind == \"Node\"`" + ` is false without
a related object, and ` + "`has(event.related)`" + ` asks for it. An expression that fails nonetheless, such as ` + "`event.tags[7] == \"x\"`" + `,
or one that costs too much, counts as true: the record is delivered, and the failure is logged once and counted.

The labels and annotations of ` + "`event.enrichment`" + ` are maps, and a key that a map doesn't have is an error: ask for it as
` + "`event.enrichment.labels[?\"team\"].orValue(\"\")`, or with `\"team\" in event.enrichment.labels`. `has(event.enrichment)`" + ` is false where
nothing is looked up. What was late or refused is empty as well, and ` + "`event.enrichment.incomplete`" + ` says so: a filter that must not
lose a record asks for that too.

What belongs to a delivery and not to the event, ` + "`leader` and `countDelta`" + `, a filter doesn't see. A record that is filtered out
moves the sink's cursor like one that was delivered.

`

const repeatsText = `## Repeats

An event that goes on happening is stored again each time, with a higher count: a new version, which a sink gets as a
record of its own. A sink's ` + "`repeats`" + ` says which of them it gets, after its filter:

- ` + "`every`" + `: all of them.
- ` + "`first`" + `: the first version of each event. Which events the sink has had, the leader keeps in memory, at least of the last
  16384: one that goes on after a change of leader, or after so many others, may come once more. What the versions count that
  are left out, no record says.
- ` + "`rate`" + `: at most one record of an object and a reason in each ` + "`repeat_interval`" + `. The first goes at once. Of what comes before the
  interval is over, the latest version goes when it is, also if nothing more happens. Its ` + "`countDelta`" + ` is what happened to that
  object for that reason since the record before it, of whatever events, so that sums over ` + "`countDelta`" + ` are the same as with
  ` + "`every`" + `; it is absent where a part of it is not known, such as what an event had counted before this leader read it first.

The interval begins when the receiver has taken a record. The object is the one with the ` + "`uid`" + ` in ` + "`event.object`" + `, else the one with the
same API version, kind, namespace and name. Of at most 16384 objects and reasons a sink and stream the leader knows that their interval
isn't over, and it holds at most a mebibyte of records back; beyond that some are sent sooner.

While a record is held back, the sink's cursor stays before it. So nothing is lost with a leader that crashes: the next one reads all from
there again, and such a sink gets again, with the same ids, what it got in the last interval. A leader that ends in order sends
first what it holds back. With an interval of more than five minutes the next leader may have to list what is retained, which
gives the latest version of each event. ` + "`/status`" + ` and the metrics say how many records were ` + "`suppressed`" + ` and how many are held back.

`

const functionText = `
For what most filters ask there are functions. They take one name or several, in quotes; a * in a name stands for any text,
also for none. A name that can't be meant, such as "pod" for a kind, is an error with its place.

` + "`kubectl get event -o json | baton check --explain kubernetes.yaml`" + ` says which sinks would get each event, and which part of a
filter says no.

`

const selectiveText = "Without a `filter` such a sink gets what `%s` is true for; `filter: \"true\"` gives it everything.\n\n"

// templates describe what a template sees, and the functions it has.
func templates(b *strings.Builder) {
	b.WriteString(templateText)
	b.WriteString("| Field | What it is |\n|---|---|\n")
	for _, f := range sink.TemplateFields() {
		fmt.Fprintf(b, "| `.%s` | %s |\n", f.Name, f.Doc)
	}
	b.WriteString("\n| Function | What it gives | For example | |\n|---|---|---|---|\n")
	for _, f := range sink.TemplateFunctions {
		fmt.Fprintf(b, "| `%s` | %s | `%s` | `%s` |\n", f.Usage, f.Doc, strings.ReplaceAll(f.Example, "|", "\\|"), f.Gives)
	}
	b.WriteString("\n")
}

const templateText = `## Templates

Keys that take a template take one of [Go](https://pkg.go.dev/text/template). It is tried at the start: a field that doesn't exist
is an error with its place. Where a template fails nonetheless, the default one serves for that record, and the failure is
logged once. What values print is made harmless for the receiver (no mentions, no links); what the template itself
says is not.

A template sees the record: its fields as under Filters, each part of the name with a capital letter (` + "`.Object.Kind`, `.Message`" + `;
` + "`.APIVersion`, `.ID` and `.UID`" + ` in capitals), and ` + "`.Leader`" + `. A field that an event doesn't have is empty. Besides:

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
