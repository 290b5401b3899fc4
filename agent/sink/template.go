package sink

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"strings"
	"sync"
	"text/template"
	"text/template/parse"
	"time"
	"unicode/utf8"

	"github.com/eventbaton/baton/agent/record"
)

const (
	cutMark = " ..."
	// templateMaxOutput bounds what is rendered, whatever a template does.
	templateMaxOutput = 256 << 10
)

// TextData is what a template of a text sink sees: the record's fields by their names in Go, which are those of its
// JSON with a capital letter, and a few of its own. A field that the event doesn't have is empty, never an error.
type TextData struct {
	*record.Record
	Related    record.Object     // empty where there is none
	CountDelta int64             // 0 where it is not known
	Enrichment record.Enrichment // empty where there is none
	Host       string            // the node it is about: the source's host, or the object itself; empty where neither is one
	// A sink that groups renders one text for several records, with the newest as the record.
	Count   int64    // how often it was observed in all: the sum over the events of the text
	Times   int64    // how many of these are new with the records of the text
	Exact   bool     // false where more than Times may be new, because a record came without a countDelta
	Records int      // how many records the text stands for
	IDs     []string // their ids
}

// TemplateField is a field of TextData that is not the record's own, or is another than the record's.
type TemplateField struct{ Name, Doc string }

// TemplateFields are in the order of the reference.
func TemplateFields() []TemplateField {
	return []TemplateField{
		{"Host", "The node it is about: the source's host, or the object itself; empty where neither is one."},
		{"CountDelta", "How many of the count are new since the version that this sink got last; 0 where that isn't known."},
		{"Enrichment", "What the API server said of the object, empty where nothing did. " +
			"{{index .Enrichment.Labels \"team\"}} is a label, empty where there is none."},
		{"Count", "How often it was observed in all; of a text for several records the sum over their events."},
		{"Times", "How many of these are new with the records of the text."},
		{"Exact", "False where more than that may be new, because the version before isn't known."},
		{"Records", "How many records the text stands for: 1 but for slack, which groups. The other fields are the last one's."},
		{"IDs", "Their ids."},
	}
}

// newTextData is for a text about one record.
func newTextData(r *record.Record) TextData {
	d := TextData{Record: r, Host: hostOf(r), Count: r.Count, Times: 1, Records: 1, IDs: []string{r.ID}}
	if r.Related != nil {
		d.Related = *r.Related
	}
	if r.Enrichment != nil {
		d.Enrichment = *r.Enrichment
	}
	if r.CountDelta != nil {
		d.CountDelta, d.Times, d.Exact = *r.CountDelta, *r.CountDelta, true
	}
	return d
}

// hostOf is the node that an event comes from or is about.
func hostOf(r *record.Record) string {
	if r.Source.Host == "" && r.Object.Kind == "Node" {
		return r.Object.Name
	}
	return r.Source.Host
}

// TemplateFunction is one of the functions that templates have besides Go's own.
type TemplateFunction struct {
	Name, Usage, Doc string
	Example, Gives   string // about the event of TemplateExample
	call             any
}

// TemplateFunctions are in the order of the reference. What is worked on comes last, so that it can be piped.
var TemplateFunctions = []TemplateFunction{
	{
		Name: "default", Usage: "default D V", call: defaultTo,
		Doc:     "V, or D where V is empty.",
		Example: `{{.Host | default "no node"}}`, Gives: "no node",
	},
	{
		Name: "lower", Usage: "lower S", call: strings.ToLower,
		Doc:     "S in lower case.",
		Example: `{{.Reason | lower}}`, Gives: "backoff",
	},
	{
		Name: "upper", Usage: "upper S", call: strings.ToUpper,
		Doc:     "S in upper case.",
		Example: `{{.Type | upper}}`, Gives: "WARNING",
	},
	{
		Name: "trim", Usage: "trim S", call: strings.TrimSpace,
		Doc:     "S without the white space around it.",
		Example: `{{" a " | trim}}`, Gives: "a",
	},
	{
		Name: "oneline", Usage: "oneline S", call: oneline,
		Doc:     "S with every run of white space, ends of lines too, made one space.",
		Example: `{{"a\n  b" | oneline}}`, Gives: "a b",
	},
	{
		Name: "truncate", Usage: "truncate N S", call: truncate,
		Doc:     "The first characters of S, marked where that is not all, N with the mark.",
		Example: `{{.Message | truncate 12}}`, Gives: "Back-off ...",
	},
	{
		Name: "replace", Usage: "replace OLD NEW S", call: replace,
		Doc:     "S with every OLD made NEW.",
		Example: `{{.Object.Name | replace "-" "_"}}`, Gives: "web_0",
	},
	{
		Name: "contains", Usage: "contains SUB S", call: func(sub, s string) bool { return strings.Contains(s, sub) },
		Doc:     "Whether SUB is in S.",
		Example: `{{if .Message | contains "restarting"}}yes{{end}}`, Gives: "yes",
	},
	{
		Name: "hasPrefix", Usage: "hasPrefix P S", call: func(p, s string) bool { return strings.HasPrefix(s, p) },
		Doc:     "Whether S begins with P.",
		Example: `{{if .Namespace | hasPrefix "sh"}}yes{{end}}`, Gives: "yes",
	},
	{
		Name: "join", Usage: "join SEP LIST", call: func(sep string, list []string) string { return strings.Join(list, sep) },
		Doc:     "The items with SEP between them.",
		Example: `{{.Tags | join ", "}}`, Gives: "env:prod, team:shop",
	},
	{
		Name: "date", Usage: "date LAYOUT T", call: func(layout string, t time.Time) string { return t.UTC().Format(layout) },
		Doc:     "The time T, in UTC, in a layout of Go's package time.",
		Example: `{{.Time | date "2 Jan 15:04:05"}}`, Gives: "1 Jul 12:00:00",
	},
	{
		Name: "json", Usage: "json V", call: toJSON,
		Doc:     "V as JSON; {{json .Record}} is the whole record.",
		Example: `{{json .Message}}`, Gives: `"Back-off restarting failed container"`,
	},
}

// TemplateExample is the record that the examples of TemplateFunctions are about.
func TemplateExample() *record.Record {
	at := time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)
	return &record.Record{
		ID: "c/e/1", Cluster: "c", ClusterName: "production", Tags: []string{"env:prod", "team:shop"},
		Time: at, First: at, Last: at, Count: 3, Type: "Warning", Reason: "BackOff",
		Message: "Back-off restarting failed container", Namespace: "shop", Name: "web-0.18a1f2c3d4e5f607",
		Object: record.Object{APIVersion: "v1", Kind: "Pod", Namespace: "shop", Name: "web-0", UID: "u"},
		Source: record.Source{Component: "kubelet"},
	}
}

func defaultTo(d, v any) any {
	if truth, _ := template.IsTrue(v); truth {
		return v
	}
	return d
}

func oneline(s string) string { return strings.Join(strings.Fields(s), " ") }

func replace(old, to, s string) string { return strings.ReplaceAll(s, old, to) }

// truncate gives at most n characters of s, of which the last ones say that it was cut.
func truncate(n int, s string) string {
	if len(s) <= n || utf8.RuneCountInString(s) <= n {
		return s
	}
	keep := max(n-len(cutMark), 0)
	for i := range s {
		if keep == 0 {
			return s[:i] + cutMark[:min(len(cutMark), max(n, 0))]
		}
		keep--
	}
	return s
}

func toJSON(v any) (string, error) {
	if r, ok := v.(*record.Record); ok {
		return string(r.AppendJSON(nil)), nil
	}
	text, err := marshal(v)
	return string(text), err
}

// marshal is json.Marshal without the escapes for HTML.
func marshal(v any) ([]byte, error) {
	var b strings.Builder
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	return []byte(strings.TrimSuffix(b.String(), "\n")), nil
}

// textTemplate renders texts of a sink. Where it fails, which a value that its author didn't think of can bring about,
// the sink's own template serves, so that no record waits for a new configuration.
type textTemplate struct {
	key     string
	parsed  *template.Template
	instead *textTemplate
	log     *slog.Logger
	told    sync.Once
}

// newTextTemplate makes the template of the key, and the one that serves where it fails. What values print goes through
// escape, nil for none; the template's own text doesn't.
func newTextTemplate(key, text, instead string, escape func(string) string, log *slog.Logger) (*textTemplate, error) {
	own, err := parseTemplate(key, text, escape)
	if err != nil {
		return nil, err
	}
	spare, err := parseTemplate(key, instead, escape)
	if err != nil {
		return nil, err
	}
	return &textTemplate{key: key, parsed: own, log: log, instead: &textTemplate{key: key, parsed: spare}}, nil
}

func parseTemplate(key, text string, escape func(string) string) (*template.Template, error) {
	functions := template.FuncMap{escapeFunction: func(v any) string { return escape(printed(v)) }}
	for _, f := range TemplateFunctions {
		functions[f.Name] = f.call
	}
	t, err := template.New(key).Option("missingkey=zero").Funcs(functions).Parse(text)
	if err != nil {
		return nil, templateError(key, err)
	}
	if escape == nil {
		return t, nil
	}
	for _, each := range t.Templates() {
		escapeNode(each.Tree, each.Root)
	}
	return t, nil
}

// checkTemplate tries the template, so that a field that doesn't exist is found before an event is.
func checkTemplate(key, text string) []Problem {
	t, err := parseTemplate(key, text, nil)
	if err != nil {
		return []Problem{{key, "is no template: " + err.Error()}}
	}
	full := TemplateExample()
	delta := int64(1)
	full.CountDelta, full.Related = &delta, &record.Object{Kind: "Node", Name: "node-1"}
	full.Enrichment = &record.Enrichment{
		Labels: map[string]string{"team": "shop"}, Owners: []record.Owner{{Kind: "StatefulSet", Name: "web"}}, Node: "node-1",
	}
	for _, r := range []*record.Record{full, {}} {
		if _, err := execute(t, newTextData(r)); err != nil {
			return []Problem{{key, "does not work as a template: " + templateError(key, err).Error() + "; see Templates"}}
		}
	}
	return nil
}

// templateError drops what only Go's package needs to say: "template: text:1:3: ..." is "line 1:3: ...".
func templateError(key string, err error) error {
	text := strings.TrimPrefix(err.Error(), "template: "+key+":")
	text = strings.ReplaceAll(text, fmt.Sprintf("executing %q ", key), "")
	text = strings.ReplaceAll(text, " in type sink.TextData", ", which an event doesn't have")
	return errors.New("line " + printable(text, 300))
}

// render never fails but where the sink's own template does.
func (t *textTemplate) render(d TextData) (string, error) {
	text, err := execute(t.parsed, d)
	if err == nil {
		return text, nil
	}
	err = templateError(t.key, err)
	if t.instead == nil {
		return "", fmt.Errorf("%s: %w", t.key, err)
	}
	t.told.Do(func() {
		t.log.Warn("the template failed; the default one is used for such records", "key", t.key, "error", err, "id", d.ID)
	})
	return t.instead.render(d)
}

// within renders a text of at most n characters: where it would be longer the message is cut, and marked, and where
// that doesn't do, the text.
func (t *textTemplate) within(n int, d TextData) (string, error) {
	text, err := t.render(d)
	if err != nil || utf8.RuneCountInString(text) <= n {
		return text, err
	}
	fits, ok := fitMessage(d.Record, n, func(r *record.Record) int {
		about := d
		about.Record = r
		shorter, _ := t.render(about) // fails as little as before
		return utf8.RuneCountInString(shorter)
	})
	if ok {
		d.Record = fits
		text, err = t.render(d)
	}
	return truncate(n, text), err
}

func execute(t *template.Template, d TextData) (string, error) {
	out := &boundedBuilder{left: templateMaxOutput}
	if err := t.Execute(out, d); err != nil && !errors.Is(err, errFull) {
		return "", err
	}
	return strings.ToValidUTF8(out.String(), "\uFFFD"), nil
}

var errFull = errors.New("the text is too long")

// boundedBuilder takes so many bytes and then no more.
type boundedBuilder struct {
	strings.Builder
	left int
}

func (b *boundedBuilder) Write(p []byte) (int, error) {
	n := min(len(p), b.left)
	b.left -= n
	b.Builder.Write(p[:n])
	if n < len(p) {
		return n, errFull
	}
	return n, nil
}

const escapeFunction = "_escape"

// escapeNode makes every value that is printed go through escapeFunction, as html/template does.
func escapeNode(tree *parse.Tree, node parse.Node) {
	switch n := node.(type) {
	case *parse.ListNode:
		if n != nil {
			for _, each := range n.Nodes {
				escapeNode(tree, each)
			}
		}
	case *parse.ActionNode:
		if len(n.Pipe.Decl) == 0 {
			call := parse.NewIdentifier(escapeFunction).SetTree(tree).SetPos(n.Pos)
			n.Pipe.Cmds = append(n.Pipe.Cmds, &parse.CommandNode{NodeType: parse.NodeCommand, Pos: n.Pos, Args: []parse.Node{call}})
		}
	case *parse.IfNode:
		escapeNode(tree, n.List)
		escapeNode(tree, n.ElseList)
	case *parse.RangeNode:
		escapeNode(tree, n.List)
		escapeNode(tree, n.ElseList)
	case *parse.WithNode:
		escapeNode(tree, n.List)
		escapeNode(tree, n.ElseList)
	}
}

// printed is what a template prints for a value: a pointer as what it points to.
func printed(v any) string {
	if s, ok := v.(string); ok {
		return s
	}
	if p := reflect.ValueOf(v); p.Kind() == reflect.Pointer && !p.IsNil() {
		v = p.Elem().Interface()
	}
	return fmt.Sprint(v)
}
