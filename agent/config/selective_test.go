package config

import (
	"strings"
	"testing"

	"github.com/eventbaton/baton/agent/record"
)

// A type may have a filter of its own, which a configured one replaces.
func TestFilterOfTheType(t *testing.T) {
	for _, c := range []struct {
		name, sink      string
		filter          string
		warning, normal bool
	}{
		{"slack without a filter", "type: slack\n    url_file: /url", `event.type == "Warning"`, true, false},
		{"an empty one", "type: slack\n    url_file: /url\n    filter:", `event.type == "Warning"`, true, false},
		{"its own", "type: slack\n    url_file: /url\n    filter: event.type == \"Normal\"", `event.type == "Normal"`, false, true},
		{"everything", "type: slack\n    url_file: /url\n    filter: \"true\"", "true", true, true},
		{"a type without", "type: datadog\n    api_key_file: /key", "", true, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg, err := Parse("f", []byte("leader_candidate: true\nsinks:\n  - name: a\n    "+c.sink+"\n"), nil)
			if err != nil {
				t.Fatal(err)
			}
			s := cfg.Sinks[0]
			if s.Filter != c.filter || (s.Match == nil) != (c.filter == "") {
				t.Fatalf("filter %q, %v", s.Filter, s.Match)
			}
			for kind, want := range map[string]bool{"Warning": c.warning, "Normal": c.normal} {
				if s.Match == nil {
					continue
				}
				if got, err := s.Match.Match(&record.Record{Type: kind}); got != want || err != nil {
					t.Errorf("%s: %v, %v", kind, got, err)
				}
			}
		})
	}
	_, err := Parse("f", []byte("sinks:\n  - name: a\n    type: slack\n    url_file: /url\n    template: '{{.Mesage}}'\n"), nil)
	if err == nil || !strings.Contains(err.Error(), "f:5: sinks[0].template: does not work as a template: line 1:2: at <.Mesage>") {
		t.Errorf("error %v", err)
	}
}
