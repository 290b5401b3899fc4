package sink

import (
	"encoding/json"
	"log/slog"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/eventbaton/baton/agent/record"
)

func openTemplate(t testing.TB, text, instead string, escape func(string) string) *textTemplate {
	t.Helper()
	parsed, err := newTextTemplate("text", text, instead, escape, slog.New(slog.DiscardHandler))
	must(t, err)
	return parsed
}

func rendered(t testing.TB, text string, r *record.Record) string {
	t.Helper()
	got, err := openTemplate(t, text, "", nil).render(newTextData(r))
	must(t, err)
	return got
}

// What the reference says that a function gives, it gives.
func TestTemplateFunctions(t *testing.T) {
	for _, f := range TemplateFunctions {
		if got := rendered(t, f.Example, TemplateExample()); got != f.Gives {
			t.Errorf("%s gives %q, not %q", f.Example, got, f.Gives)
		}
		if !strings.HasPrefix(f.Usage, f.Name) || !strings.HasSuffix(f.Doc, ".") || !strings.Contains(f.Example, f.Name) {
			t.Errorf("%s: usage %q, doc %q", f.Name, f.Usage, f.Doc)
		}
	}
}

func TestTemplateFields(t *testing.T) {
	documented := map[string]bool{"Record": true, "Related": true} // which are the record's own
	for _, f := range TemplateFields() {
		documented[f.Name] = true
	}
	for f := range reflect.TypeFor[TextData]().Fields() {
		if !documented[f.Name] {
			t.Errorf("%s is not documented", f.Name)
		}
		delete(documented, f.Name)
	}
	if len(documented) > 0 {
		t.Errorf("documented, but not there: %v", documented)
	}
}

func TestTemplateSeesTheRecord(t *testing.T) {
	r := records(1)[0]
	delta := int64(4)
	full := *r
	full.CountDelta, full.Related, full.Tags = &delta, &record.Object{Kind: "Node", Name: "n1"}, []string{"a", "b"}
	for text, want := range map[string]string{
		"{{.ID}}":                          r.ID,
		"{{.Object.Kind}} {{.Object.UID}}": "Pod c0ffee00-0000-4000-9000-000000000000",
		"{{.Related.Kind}}/{{with .Related.Name}}{{.}}{{end}}": "Node/n1",
		"{{.CountDelta}} {{.Count}} {{.Times}} {{.Exact}}":     "4 1 4 true",
		"{{range .Tags}}<{{.}}>{{end}}":                        "<a><b>",
		"{{.Leader.Epoch}} {{.Records}} {{len .IDs}}":          "7 1 1",
		"{{.Host}}":                "node-3",
		`{{.Time.Format "15:04"}}`: "12:00",
		`{{"abc" | truncate 2}}|{{"abc" | truncate 0}}|{{"abcdefgh" | truncate 5}}|{{"äöüß" | truncate 4}}`: " .||a ...|äöüß",
		`{{default "x" .Action}}{{default 7 .Count}}`:                                                       "x1",
	} {
		if got := rendered(t, text, &full); got != want {
			t.Errorf("%s gives %q, not %q", text, got, want)
		}
	}
	var whole record.Record
	must(t, json.Unmarshal([]byte(rendered(t, "{{json .Record}}", &full)), &whole))
	if !reflect.DeepEqual(whole, full) {
		t.Errorf("json .Record gives %+v", whole)
	}
}

func TestTemplateOfAnEmptyRecord(t *testing.T) {
	got := rendered(t, "{{.Related.Kind}}{{.CountDelta}}{{.Host}}{{.Exact}}{{range .Tags}}x{{end}}", &record.Record{})
	if got != "0false" {
		t.Errorf("got %q", got)
	}
	node := &record.Record{Object: record.Object{Kind: "Node", Name: "n7"}}
	if got := rendered(t, "{{.Host}}", node); got != "n7" {
		t.Errorf("an event about a node is of %q", got)
	}
}

func TestCheckTemplate(t *testing.T) {
	for text, want := range map[string]string{
		"":                             "",
		"{{.Message}}":                 "",
		"{{.Related.Kind}}":            "",
		"{{.Mesage}}":                  "line 1:2: at <.Mesage>: can't evaluate field Mesage, which an event doesn't have; see Templates",
		"a\n{{.Object.Foo}}":           "line 2:9: at <.Object.Foo>: can't evaluate field Foo in type record.Object",
		"{{.Message | nope}}":          `line 1: function "nope" not defined`,
		"{{if .Message}}":              "is no template: line 1: unexpected EOF",
		"{{truncate .Message}}":        "does not work as a template: line 1:2:",
		"{{index .Tags 0}}":            "does not work as a template", // of an event without
		`{{.Time | date "2006" 7}}`:    "does not work",
		"{{template `other` .}}":       "does not work",
		"{{range 1000000000}}x{{end}}": "",
	} {
		problems := checkTemplate("text", text)
		if want == "" && len(problems) > 0 || want != "" && (len(problems) != 1 || !strings.Contains(problems[0].Text, want)) {
			t.Errorf("%q: %v, want %q", text, problems, want)
		}
	}
}

func TestTemplateEscapesWhatValuesPrint(t *testing.T) {
	r := TemplateExample()
	r.Message, r.Tags, r.Reason = "<!channel>", []string{"<a>", "<b>"}, "<r>"
	brackets := strings.NewReplacer("<", "(", ">", ")").Replace
	for text, want := range map[string]string{
		"<b>{{.Message}}</b>":                                  "<b>(!channel)</b>",
		"{{.Message | truncate 9 | upper}}":                    "(!CHA ...",
		"{{with .Message}}{{.}}{{else}}<{{end}}":               "(!channel)",
		"{{if .Nope}}{{else}}{{.Reason}}{{end}}":               "", // does not exist
		"{{if .Action}}x{{else}}{{.Reason}}{{end}}":            "(r)",
		"{{range $i, $t := .Tags}}{{$i}}{{$t}}{{end}}":         "0(a)1(b)",
		"{{$x := .Reason}}{{$x}}{{$x = .Message}}{{$x}}":       "(r)(!channel)",
		`{{define "d"}}<{{.Reason}}>{{end}}{{template "d" .}}`: "<(r)>",
		"{{.Tags}}":               "[(a) (b)]",
		`{{printf "<%s>" .Type}}`: "(Warning)",
		"{{.Record.Object}}":      "{v1 Pod shop web-0 u }",
	} {
		got, err := openTemplate(t, text, "", brackets).render(newTextData(r))
		if err != nil || got != want {
			t.Errorf("%s gives %q, %v; want %q", text, got, err, want)
		}
	}
	n := int64(3)
	if printed(&n) != "3" || printed((*int64)(nil)) != "<nil>" || printed(nil) != "<nil>" {
		t.Error("a pointer is not printed as a template does")
	}
}

// A value that the author didn't think of costs the layout, not the record.
func TestTemplateThatFails(t *testing.T) {
	var log strings.Builder
	tpl, err := newTextTemplate("text", "{{index .Tags 0}}", "{{.Reason}}", nil, slog.New(slog.NewTextHandler(&log, nil)))
	must(t, err)
	for range 3 {
		got, err := tpl.render(newTextData(records(1)[0]))
		if err != nil || got != "BackOff" {
			t.Errorf("got %q, %v", got, err)
		}
	}
	if strings.Count(log.String(), "\n") != 1 || !strings.Contains(log.String(), "key=text") {
		t.Errorf("log %q", log.String())
	}
	if _, err := newTextTemplate("text", "{{", "", nil, nil); err == nil {
		t.Error("no error for what is no template")
	}
	if _, err := newTextTemplate("text", "", "{{", nil, nil); err == nil {
		t.Error("no error for a default that is no template")
	}
	if _, err := openTemplate(t, "{{index .Tags 0}}", "{{index .Tags 1}}", nil).render(newTextData(records(1)[0])); err == nil {
		t.Error("no error where both fail")
	}
}

func TestTemplateWithin(t *testing.T) {
	r := TemplateExample()
	r.Message = strings.Repeat("ä", 500)
	for _, c := range []struct {
		text string
		n    int
		want func(string) bool
	}{
		{"{{.Message}}!", 501, func(s string) bool { return s == r.Message+"!" }},
		{"{{.Message}}!", 100, func(s string) bool { return strings.HasSuffix(s, "ä ... [truncated from 1000 bytes]!") }},
		{"{{.Message}} {{.Message}}", 200, func(s string) bool { return strings.Count(s, "truncated") == 2 }},
		{"{{.Message}}", 10, func(s string) bool { return s == "ääääää ..." }},
		{"{{range 100}}0123456789{{end}}", 50, func(s string) bool { return strings.HasSuffix(s, "6789012345 ...") }},
		{"{{range 1000000000}}0123456789{{end}}", 50, func(s string) bool { return len(s) == 50 }},
	} {
		got, err := openTemplate(t, c.text, "", nil).within(c.n, newTextData(r))
		if n := utf8.RuneCountInString(got); err != nil || n > c.n || n < min(c.n-2, 500) || !c.want(got) {
			t.Errorf("%s within %d: %d characters, %v: %q", c.text, c.n, n, err, got)
		}
	}
	if r.Message != strings.Repeat("ä", 500) {
		t.Error("the record, which other sinks share, was changed")
	}
}

// FuzzTemplate: whatever an event says, a text is as long as it may be, valid, and what its values print is escaped.
func FuzzTemplate(f *testing.F) {
	f.Add("Back-off", "web-0", "a|b", 20)
	f.Add("<!channel> \x00 {{.ID}}", "&lt;", "", 0)
	f.Add(strings.Repeat("ä\n", 3000), "\xff", "x", 1000)
	tpl := openTemplate(f, "* {{.Message}} {{.Object.Name | truncate 9}} {{with .Tags}}{{join \",\" .}}{{end}} {{json .Record}}", "{{.Reason}}", escapeSlack)
	f.Fuzz(func(t *testing.T, message, name, tags string, n int) {
		r := TemplateExample()
		r.Message, r.Object.Name, r.Tags = strings.ToValidUTF8(message, ""), name, strings.Split(tags, "|")
		text, err := tpl.within(n, newTextData(r))
		if err != nil {
			t.Fatal(err)
		}
		if !utf8.ValidString(text) || utf8.RuneCountInString(text) > max(n, 0) || strings.ContainsAny(text, "<>") {
			t.Errorf("within %d: %q", n, text)
		}
	})
}
