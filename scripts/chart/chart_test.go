package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/eventbaton/baton/agent/sink"
)

func parse(t *testing.T, text string) ([]value, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "values.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return readValues(path)
}

func TestValuesTable(t *testing.T) {
	got, err := parse(t, `# About the file.

# One
# two | <three>.
first: 1
image:
  # Its tag.
  tag: ""
# A whole mapping.
resources:
  limits:
    memory: 1Gi
`)
	if err != nil {
		t.Fatal(err)
	}
	want := "| value | default | what it does |\n| --- | --- | --- |\n" +
		"| `first` | `1` | One two \\| &lt;three>. |\n| `image.tag` | `\"\"` | Its tag. |\n" +
		"| `resources` | `{\"limits\":{\"memory\":\"1Gi\"}}` | A whole mapping. |\n"
	if table := valuesTable(got); table != want {
		t.Errorf("the table is\n%s\nwant\n%s", table, want)
	}
}

func TestValuesWithoutAComment(t *testing.T) {
	for text, want := range map[string]string{
		"a: 1\n":            "line 1: a has no comment",
		"a:\n  b: {}\n":     "line 2: a.b has no comment",
		"# Text.\na: [1\n":  "parsing",
		"# Text.\na: 1\nb:": "line 3: b has no comment",
	} {
		if _, err := parse(t, text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q gives %v, want %q", text, err, want)
		}
	}
	if _, err := readValues("no such file"); err == nil {
		t.Error("a missing file gives no error")
	}
}

type inner struct {
	File string `yaml:"file" doc:"A file."`
}

type outer struct {
	inner   `yaml:",inline"`
	URL     string            `yaml:"url" doc:"Where."`
	Mode    string            `yaml:"mode" values:"a b"`
	On      bool              `yaml:"on"`
	Count   int               `yaml:"count"`
	Share   float64           `yaml:"share"`
	Wait    sink.Duration     `yaml:"wait"`
	Every   time.Duration     `yaml:"every"`
	Headers map[string]string `yaml:"headers"`
	List    []inner           `yaml:"list"`
	Deep    *inner            `yaml:"deep"`
	Hidden  string            `yaml:"-"`
	Untold  string
}

func TestSchemaOfATypesTags(t *testing.T) {
	got, err := properties(reflect.TypeFor[outer]())
	if err != nil {
		t.Fatal(err)
	}
	nested := `{"additionalProperties":false,"properties":{"file":{"description":"A file.","type":"string"}},"type":"object"}`
	for key, want := range map[string]string{
		"file": `{"description":"A file.","type":"string"}`, "url": `{"description":"Where.","type":"string"}`,
		"mode": `{"enum":["a","b"],"type":"string"}`, "on": `{"type":"boolean"}`, "count": `{"type":"integer"}`, "share": `{"type":"number"}`,
		"wait": `{"type":["string","integer"]}`, "every": `{"type":["string","number"]}`, "deep": nested,
		"headers": `{"additionalProperties":{"type":"string"},"type":"object"}`, "list": `{"items":` + nested + `,"type":"array"}`,
	} {
		text, err := json.Marshal(got[key])
		if err != nil {
			t.Fatal(err)
		}
		if string(text) != want {
			t.Errorf("%s is %s, want %s", key, text, want)
		}
		delete(got, key)
	}
	if len(got) > 0 {
		t.Errorf("there are more keys: %v", got)
	}
	if _, err := properties(reflect.TypeFor[struct {
		C chan int `yaml:"c"`
	}]()); err == nil || !strings.Contains(err.Error(), "c: a chan int") {
		t.Errorf("a channel gives %v", err)
	}
}

// A value without a place in schema.json is named, and so is each such.
func TestSchemaKnowsEveryValue(t *testing.T) {
	_, err := makeSchema([]value{{path: []string{"lock"}, doc: "x"}, {path: []string{"image", "tagg"}}, {path: []string{"no"}}})
	if err == nil || !strings.Contains(err.Error(), "image.tagg") || !strings.Contains(err.Error(), "has no no,") || strings.Contains(err.Error(), "lock") {
		t.Errorf("the error is %v", err)
	}
	data, err := makeSchema([]value{{path: []string{"existingSecret"}, doc: "A Secret."}})
	if err != nil {
		t.Fatal(err)
	}
	var schema struct {
		Properties map[string]object
	}
	if err := json.Unmarshal(data, &schema); err != nil {
		t.Fatal(err)
	}
	if got := schema.Properties["existingSecret"]; got["description"] != "A Secret." || got["allOf"] == nil || got["$ref"] != nil {
		t.Errorf("existingSecret is %v", got)
	}
}

// What is generated goes where it belongs, the same each time.
func TestRun(t *testing.T) {
	root := t.TempDir()
	checkout := filepath.Join("..", "..")
	if err := os.CopyFS(filepath.Join(root, "charts"), os.DirFS(filepath.Join(checkout, "charts"))); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(root, "manifests"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := run(root); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"charts/baton/values.schema.json", "charts/baton/README.md", "manifests/baton.yaml"} {
		got, want := readFile(t, root, path), readFile(t, checkout, path)
		if got != want {
			t.Errorf("%s is stale: run make docs", path)
		}
	}
}

func readFile(t *testing.T, elements ...string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(elements...))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestBetween(t *testing.T) {
	got, err := between("a<b>old<e>c<e>", "<b>", "<e>", "new")
	if err != nil || got != "a<b>new<e>c<e>" {
		t.Errorf("%q, %v", got, err)
	}
	for _, text := range []string{"a<e>", "a<b>c"} {
		if _, err := between(text, "<b>", "<e>", "new"); err == nil {
			t.Errorf("%q has no place, and that is not said", text)
		}
	}
}

// A right without a use, and a use without a right, are told.
func TestRightsAreUsed(t *testing.T) {
	const missing, idle = "agent: create events; release's", "agent: delete leases; release's"
	changed := append(slices.Clone(uses), use{idle, "nothing"})
	changed = slices.DeleteFunc(changed, func(u use) bool { return u.right == missing })
	_, err := rightsTable(filepath.Join("..", "..", "charts", "baton"), changed)
	if err == nil || !strings.Contains(err.Error(), missing) || !strings.Contains(err.Error(), idle) {
		t.Errorf("the error is %v", err)
	}
}
