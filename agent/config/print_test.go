package config

import (
	"bytes"
	"fmt"
	"log/slog"
	"reflect"
	"strings"
	"testing"
)

const secrets = `
leader_candidate: true
tags: ["https://tag:hunter2@example.test/"]
sinks:
  - name: a
    type: all
    url: https://user:hunter2@example.test/path?key=hunter2&b=1
    token: hunter2
    headers: {Authorization: Bearer hunter2, X-Api-Key: hunter2, Accept: text/plain}
    header_files: {Authorization: /run/secrets/authorization}
    brokers: ["kafka://u:hunter2@k1"]
    tls: {ca_file: /ca.pem}
`

func TestPrintingHidesSecrets(t *testing.T) {
	c := mustParse(t, secrets)
	var logged bytes.Buffer
	for _, handler := range []slog.Handler{slog.NewJSONHandler(&logged, nil), slog.NewTextHandler(&logged, nil)} {
		slog.New(handler).Info("x", "config", c, "value", *c, "sink", c.Sinks[0], "pointer", &c.Sinks[0])
	}
	prints := []string{
		c.String(), fmt.Sprint(c), fmt.Sprintf("%v %+v %#v %s", *c, *c, *c, *c), fmt.Sprintf("%v %+v %#v", c, c, c),
		fmt.Sprintf("%v %+v %#v %v", c.Sinks, c.Sinks, c.Sinks, &c.Sinks[0]), logged.String(),
	}
	for _, s := range prints {
		if strings.Contains(s, "hunter2") {
			t.Errorf("a secret is printed:\n%s", s)
		}
	}
	for _, kept := range []string{"/ca.pem", "example.test/path", "text/plain", "/run/secrets/authorization", "leader_candidate: true", blot} {
		if !strings.Contains(c.String(), kept) {
			t.Errorf("%s is not printed:\n%s", kept, c)
		}
	}
}

func TestProblemsHideSecrets(t *testing.T) {
	for _, yaml := range []string{
		"sinks:\n- {name: a, type: all, url: x, token: 12345}",
		"sinks:\n- {name: a, type: all, url: x, headers: {Authorization: 12345}}",
		"cluster_id: https://u:12345@x/",
		"sinks:\n- {name: a, type: all, url: x, mode: \"https://u:12345@x/\"}",
	} {
		_, err := parse("k.yaml", []byte(yaml), nil, testTypes())
		if err == nil || strings.Contains(err.Error(), "12345") {
			t.Errorf("%q: %v", yaml, err)
		}
	}
}

// What is in force can be written down and read again, whatever layout it came from.
func TestPrintedConfigParses(t *testing.T) {
	for _, yaml := range []string{
		"", agent5, "instances: [{namespace_name_regexp: x, namespaces: []}]", "cluster_name: \"2024\"\ntags: [\"yes\", \"a: b\", \"\\u00e9\"]",
		"sinks:\n- {name: a, type: all, url: x, repeats: rate}\n- {name: b, type: all, url: x, repeats: rate, repeat_interval: 90}",
		"sinks:\n- {name: a, type: all, url: x, repeats: first, repeat_interval: }",
		"sinks:\n- {name: a, type: all, url: x, gzip: no, text: abc, timeout: 0.1, headers: {\"1\": \"2\"}, parts: [{ca_file: x}, {}]}",
	} {
		roundTrip(t, mustParse(t, yaml))
	}
}

func roundTrip(t *testing.T, c *Config) {
	t.Helper()
	written := c.yaml(func(_, value string) string { return value })
	again, err := parse("again.yaml", []byte(written), nil, testTypes())
	if err != nil {
		t.Fatalf("not parsed again:\n%s\n%v", written, err)
	}
	if twice := again.yaml(func(_, value string) string { return value }); twice != written {
		t.Errorf("first\n%s\nthen\n%s", written, twice)
	}
	if !reflect.DeepEqual(c.Streams(), again.Streams()) {
		t.Errorf("streams %q, then %q", c.Streams(), again.Streams())
	}
}

func TestRedact(t *testing.T) {
	tests := []struct{ key, value, want string }{
		{"url", "https://example.test/a?b=c", "https://example.test/a?b=xxxxx"},
		{"url", "https://u@example.test/", "https://xxxxx@example.test/"},
		{"url", "https://u:p@[broken/", blot},
		{"url", "example.test:9092", "example.test:9092"},
		{"api_key", "k", blot},
		{"api_key", "", ""},
		{"api_key_file", "/k", "/k"},
		{"sinks[0].basic_auth.password", "p", blot},
		{"sinks[0].tokens[3]", "p", "p"},
		{"sinks[0].token[3]", "p", blot},
		{`sinks[0].headers."X Api-Key"`, "p", blot},
		{"filter", `event.message.contains("https://a:b@c")`, `event.message.contains("https://a:b@c")`},
	}
	for _, test := range tests {
		if got := redact(test.key, test.value); got != test.want {
			t.Errorf("redact(%s, %s) = %s, want %s", test.key, test.value, got, test.want)
		}
	}
}
