package convert

import (
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/eventbaton/baton/agent/config"
)

// holds is what is true of every input: it is refused with a place and a text, or what is written can be read.
func holds(t *testing.T, kind string, data []byte) {
	t.Helper()
	r, err := Convert(kind, "f.yaml", data)
	if err != nil {
		problems, ok := errors.AsType[config.Problems](err)
		if !ok || len(problems) == 0 {
			t.Fatalf("%v is no list of problems", err)
		}
		for _, p := range problems {
			if p.Text == "" || p.File != "f.yaml" || p.Line < 1 {
				t.Errorf("%+v has no place or text of\n%s", p, data)
			}
		}
		return
	}
	mustParse(t, r)
	for _, finding := range r.Findings {
		if finding.Text == "" || finding.Line < 1 {
			t.Errorf("%+v has no place or text of\n%s", finding, data)
		}
	}
}

type example struct {
	kind string
	data []byte
}

func examples(tb testing.TB) []example {
	tb.Helper()
	files, err := filepath.Glob("testdata/*/*.yaml")
	if err != nil || len(files) == 0 {
		tb.Fatal(err, files)
	}
	var all []example
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			tb.Fatal(err)
		}
		all = append(all, example{filepath.Base(filepath.Dir(file)), data})
	}
	return all
}

func FuzzConvert(f *testing.F) {
	all := Kinds()
	for _, e := range examples(f) {
		f.Add(uint8(slices.Index(all, e.kind)), e.data)
	}
	for _, seed := range []string{
		"route: &r {routes: [*r]}", "route: {<<: &a {match: [{receiver: a}]}}\nreceivers: [{name: a, stdout: }]", "receivers: [{name: '\"\\n', file: {path: \"\\u2028\"}}]",
		"route: {match: [{receiver: a, kind: \"\\0\"}]}\nreceivers: [{name: a, webhook: {endpoint: '%', headers: {'a b': c, '': d}}}]",
		"route: {match: [{receiver: a}]}\nreceivers: [{name: a, loki: {url: http://a, streamLabels: {'a.b': '#'}}}]", "? [a]\n: b", "- a", "clusterName: '# a\n\n- b'\nroute: {}",
		"receivers: {k8s_events: {namespaces: [A, '']}}\nexporters: {'': {}, otlp/: {endpoint: '::'}}\nservice: {pipelines: {logs: {receivers: [k8s_events], exporters: ['', otlp/]}}}",
		"init_config: {a: b}\ninstances: [{tags: [&a a, *a], namespace: x}]\nsinks: [{name: a, type: stdout}]",
	} {
		for i := range all {
			f.Add(uint8(i), []byte(seed))
		}
	}
	f.Fuzz(func(t *testing.T, kind uint8, data []byte) { holds(t, all[int(kind)%len(all)], data) })
}

// odd are values that a file may have where another one belongs.
var odd = []string{
	"", "~", "7", "-1", "1e9", "true", "''", "'  '", "[]", "{}", "[a, [b]]", "{a: {b: c}}", "&x x", "*x", "!!binary aGk=", "2026-01-01",
	`"\0"`, `"\n# a\n- b: c"`, `"\u2028\ufeff"`, "'#'", "'%'", "'{{'", "'{{ .Message | printf }}'", "${A}", "$$", "'(['", "'a: b'", "http://[::1", "'a\"b'",
	"https://u:p@h/", "|-\n        a\n        b", strings.Repeat("long ", 200), "*.*", "x.y[0]", "Ünï", "stdout: {}", "sinks", "type",
}

// Examples in which something is odd are refused or converted, and what is written always works.
func TestOddInput(t *testing.T) {
	rng := rand.New(rand.NewPCG(11, 15))
	all := examples(t)
	refused := 0
	const rounds = 1000
	for range rounds {
		e := pick(rng, all)
		lines := strings.Split(string(e.data), "\n")
		for range 1 + rng.IntN(3) {
			mutate(rng, lines, all)
		}
		data := []byte(strings.Join(lines, "\n"))
		if _, err := Convert(e.kind, "f.yaml", data); err != nil {
			refused++
		}
		holds(t, e.kind, data)
		if t.Failed() {
			t.Fatalf("%s\n%s", e.kind, data)
		}
	}
	if refused < rounds/20 || refused > rounds*9/10 {
		t.Errorf("%d of %d are refused, which says little", refused, rounds)
	}
}

// mutate changes one line: its value, its key, or all of it.
func mutate(rng *rand.Rand, lines []string, all []example) {
	i := rng.IntN(len(lines))
	key, value, ok := strings.Cut(lines[i], ":")
	switch n := rng.IntN(8); {
	case n < 4 && ok:
		lines[i] = key + ": " + pick(rng, odd)
	case n == 4 && ok:
		at := len(key) - len(strings.TrimLeft(key, " -"))
		lines[i] = key[:at] + pick(rng, odd) + ":" + value
	case n == 5:
		lines[i] = ""
	case n == 6:
		lines[i] += "\n" + lines[i]
	default:
		other := strings.Split(string(pick(rng, all).data), "\n")
		lines[i] = pick(rng, other)
	}
}
