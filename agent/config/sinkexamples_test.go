package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/eventbaton/baton/agent/sink"
)

// sinkTexts is a folder with a file for each type of sink, which docs/config.md takes over: how it acknowledges, what
// becomes of repeats, and examples, each a configuration of its own.
var sinkTexts = filepath.Join("testdata", "sinks")

func sinkText(t *testing.T, kind string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(sinkTexts, kind+".md"))
	if err != nil {
		t.Fatalf("each type of sink has a text: %v", err)
	}
	return string(text)
}

// sinkExamples are the pieces of a type's text that are YAML.
func sinkExamples(t *testing.T, kind string) []string {
	t.Helper()
	var all []string
	for _, piece := range strings.Split(sinkText(t, kind), "```yaml\n")[1:] {
		example, _, ended := strings.Cut(piece, "```")
		if !ended {
			t.Fatalf("%s: an example has no end", kind)
		}
		all = append(all, example)
	}
	return all
}

// Each type of sink has an example, and each example is one of its type, which can be used as it is.
func TestSinkExamples(t *testing.T) {
	names := map[string]bool{}
	for kind := range sink.Types {
		examples := sinkExamples(t, kind)
		if len(examples) == 0 {
			t.Errorf("%s has no example", kind)
		}
		for _, example := range examples {
			c, err := Parse(kind, []byte("leader_candidate: true\n"+example), nil)
			if err != nil {
				t.Errorf("%v in\n%s", err, example)
				continue
			}
			if len(c.Sinks) != 1 || c.Sinks[0].Type != kind || len(c.Warnings) > 0 || names[c.Sinks[0].Name] {
				t.Errorf("%s: %d sinks, warnings %q, or a name that another example has:\n%s", kind, len(c.Sinks), c.Warnings, example)
			}
			names[c.Sinks[0].Name] = true
		}
	}
	files, err := os.ReadDir(sinkTexts)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if sink.Types[strings.TrimSuffix(f.Name(), ".md")] == nil {
			t.Errorf("%s is about no type of sink that there is", f.Name())
		}
	}
}
