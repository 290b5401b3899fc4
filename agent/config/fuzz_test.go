package config

import (
	"errors"
	"testing"
)

func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		"", agent5, secrets, bomb(), merges(3), "a: &a [*a]", "&a {<<: *a}", "sinks: [&a {<<: *a}]", "name: {{ .x }}", "- - - -", "? ? ? a",
		"name: !!binary a", "tags: !!set {a, b}", "drain_timeout: 0x1p4", "\ufeff---\nname: a\n...\n---\n", "namespaces: [a\n,a]", "name: |\n  a\n",
		"leader_candidate: true\nleader_lease_duration: 5.0\nsinks:\n- name: a\n  type: all\n  url: x\n  filter: event.type == 'a'\n",
		"<<: {name: a}\nname: b", "!!map {name: x}", "%YAML 1.1\n---\nname: x", "tags: [a, \"\\u2028\"]", "name: 'a''b'", "checkpoint_interval: 1e-1",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := parse("k.yaml", data, nil, testTypes())
		if err == nil {
			roundTrip(t, c)
			return
		}
		problems, ok := errors.AsType[Problems](err)
		if !ok || len(problems) == 0 {
			t.Fatalf("%v is no list of problems", err)
		}
		for _, problem := range problems {
			if problem.Line < 1 || problem.Text == "" || problem.File != "k.yaml" {
				t.Errorf("%+v has no place or text", problem)
			}
		}
	})
}
