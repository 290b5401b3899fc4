package config

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Each case is a file and the beginnings of its problems, `line: key: what is wrong`, in order and no others.
func TestProblems(t *testing.T) {
	tests := map[string]struct {
		yaml string
		want []string
	}{
		"unknown key":         {"leader_candidat: true", []string{"1: leader_candidat: is not a key here; did you mean leader_candidate?"}},
		"camel case":          {"leaderCandidate: true", []string{"1: leaderCandidate: is not a key here; did you mean leader_candidate?"}},
		"dashes":              {"log-level: info", []string{"1: log-level: is not a key here; did you mean log_level?"}},
		"swapped letters":     {"tgas: []", []string{"1: tgas: is not a key here; did you mean tags?"}},
		"nothing like it":     {"frobnicate: 1", []string{"1: frobnicate: is not a key here; there are checkpoint_interval, cluster_id, "}},
		"unspeakable key":     {"\"a\\nb\": 1", []string{`1: "a\nb": is not a key here`}},
		"duplicate":           {"name: a\nlock: lease\nname: b", []string{"3: name: stands twice, first in line 1; remove one"}},
		"duplicate in a sink": {"sinks:\n- name: a\n  type: stdout\n  name: b", []string{"4: sinks[0].name: stands twice, first in line 2"}},
		"key is a list":       {"? [a]\n: b", []string{"1: has a list as a key"}},

		"bool":             {"leader_candidate: maybe", []string{`1: leader_candidate: is "maybe"; write true or false`}},
		"bool list":        {"leader_candidate: [true]", []string{"1: leader_candidate: is a list; write true or false"}},
		"duration":         {"drain_timeout: soon", []string{`1: drain_timeout: is "soon", which is no time; write seconds`}},
		"duration map":     {"drain_timeout: {s: 1}", []string{"1: drain_timeout: is a mapping; write a number of seconds"}},
		"duration nan":     {"drain_timeout: .nan", []string{`1: drain_timeout: is ".nan", which is no time`}},
		"duration inf":     {"drain_timeout: inf", []string{`1: drain_timeout: is "inf", which is no time`}},
		"duration huge":    {"drain_timeout: 1e300", []string{"1: drain_timeout: is \"1e300\", which is no time"}},
		"number as text":   {"cluster_name: 2024", []string{`1: cluster_name: is "2024", which is a number; to mean it as text, put it in quotes`}},
		"bool as text":     {"cluster_name: true", []string{`1: cluster_name: is "true", which is true or false; to mean`}},
		"date as text":     {"cluster_name: 2024-01-01", []string{`1: cluster_name: is "2024-01-01", which is a date`}},
		"text for list":    {"tags: env:prod", []string{"1: tags: is text; write a list, such as [a, b]"}},
		"map for list":     {"tags: {env: prod}", []string{"1: tags: is a mapping; write a list"}},
		"list for text":    {"name: [a]", []string{"1: name: is a list; write text"}},
		"null item":        {"tags:\n- a\n-", []string{"3: tags[1]: is empty; write a value or remove it"}},
		"own tag":          {"name: !secret x", []string{"1: name: is something tagged !secret; write text"}},
		"own tag for list": {"tags: !include x.yaml", []string{"1: tags: is something tagged !include; write a list"}},
		"tagged list":      {"tags: !set [a]", []string{"1: tags: is something tagged !set; write a list"}},
		"binary":           {"name: !!binary aGk=", []string{"1: name: is binary data; write text"}},
		"root list":        {"- name: x", []string{"1: is a list; write keys and values"}},
		"root text":        {"\n\nhello", []string{"3: is text; write keys and values"}},

		"name":           {"name: Baton", []string{`1: name: is "Baton"; write the name of an object`}},
		"empty name":     {`name: ""`, []string{`1: name: is ""; write`}},
		"long name":      {"name: " + strings.Repeat("a", 246), []string{`1: name: is "aaa`}},
		"short lease":    {"leader_lease_duration: 4", []string{"1: leader_lease_duration: is 4s; write 5 to 3600 seconds"}},
		"long lease":     {"leader_lease_duration: 3601", []string{"1: leader_lease_duration: is 1h0m1s; write 5 to 3600 seconds"}},
		"fraction lease": {"leader_lease_duration: 60.5", []string{"1: leader_lease_duration: is 1m0.5s; write whole seconds"}},
		"checkpoint":     {"checkpoint_interval: 0", []string{"1: checkpoint_interval: is 0s; write 0.1 to 300 seconds"}},
		"drain":          {"drain_timeout: -1", []string{"1: drain_timeout: is -1s; write 0 to 300 seconds"}},
		"lock":           {"lock: Lease", []string{`1: lock: is "Lease"; write lease or configmap`}},
		"repeats":        {"sinks:\n- {name: a, type: stdout, repeats: last}", []string{`2: sinks[0].repeats: is "last"; write every, first or rate`}},
		"interval alone": {
			"sinks:\n- name: a\n  type: stdout\n  repeat_interval: 1m",
			[]string{"4: sinks[0].repeat_interval: is 1m0s, which does nothing with repeats: every; write repeats: rate, or remove it"},
		},
		"interval with first": {
			"sinks:\n- {name: a, type: stdout, repeats: first, repeat_interval: 1m}",
			[]string{"2: sinks[0].repeat_interval: is 1m0s, which does nothing with repeats: first; write repeats: rate"},
		},
		"short interval": {
			"sinks:\n- {name: a, type: stdout, repeats: rate, repeat_interval: 500ms}",
			[]string{"2: sinks[0].repeat_interval: is 500ms; write 1s to 30m"},
		},
		"long interval": {
			"sinks:\n- {name: a, type: stdout, repeats: rate, repeat_interval: 1801}",
			[]string{"2: sinks[0].repeat_interval: is 30m1s; write 1s to 30m"},
		},
		"no interval": {
			"sinks:\n- {name: a, type: stdout, repeats: rate, repeat_interval: often}",
			[]string{`2: sinks[0].repeat_interval: is "often": not a duration`},
		},
		"repeats and interval": {
			"sinks:\n- {name: a, type: stdout, repeats: last, repeat_interval: 1m}",
			[]string{`2: sinks[0].repeats: is "last"; write every, first or rate`},
		},
		"start":           {"start: then", []string{`1: start: is "then"; write retained or now`}},
		"log level":       {"log_level: trace", []string{`1: log_level: is "trace"; write debug, info, warn or error`}},
		"log format":      {"log_format: xml", []string{`1: log_format: is "xml"; write json or text`}},
		"namespace":       {"namespaces:\n- ok\n- not_ok\n- ''\n- 'shop-*'", []string{`3: namespaces[1]: is "not_ok", which can't be the name of a namespace; for a pattern`, `4: namespaces[2]: is ""`, `5: namespaces[3]: is "shop-*"`}},
		"namespace twice": {"namespaces: [a, b,\n a]", []string{`2: namespaces[2]: is "a", which is in the list already, in line 1`}},
		"regexp":          {"namespace_name_regexp: a(?!b)", []string{"1: namespace_name_regexp: is \"a(?!b)\": invalid or unsupported Perl syntax: `(?!`; write RE2 syntax"}},
		"regexp brackets": {"namespace_name_regexp: a)|(b", []string{"1: namespace_name_regexp: is \"a)|(b\": unexpected )"}},
		"cluster id":      {"cluster_id: a/b", []string{`1: cluster_id: is "a/b"; write at most 253 characters without / and blanks`}},
		"cluster name":    {`cluster_name: "a\nb"`, []string{`1: cluster_name: is "a\nb"; write at most 253 characters, in one line`}},
		"tags":            {"tags:\n- ' '\n- \"a\\tb\"", []string{"2: tags[0]: is empty", `3: tags[1]: is "a\tb"; write`}},

		"sinks map":       {"sinks: {name: a}", []string{"1: sinks: is a mapping; write a list"}},
		"sink text":       {"sinks: [stdout]", []string{"1: sinks[0]: is text; write keys and values"}},
		"sink name":       {"sinks:\n- name: a.b\n  type: stdout", []string{`2: sinks[0].name: is "a.b"; write lower-case letters`}},
		"sink no name":    {"sinks:\n- type: stdout", []string{"2: sinks[0].name: is missing; write a name"}},
		"sink twice":      {"sinks:\n- {name: a, type: stdout}\n- {name: a, type: stdout}", []string{`3: sinks[1].name: is "a", the name of the sink in line 2`}},
		"sink no type":    {"sinks:\n- name: a", []string{"2: sinks[0].type: is missing; write all, checked or stdout"}},
		"sink null type":  {"sinks:\n- name: a\n  type:", []string{"3: sinks[0].type: is missing"}},
		"sink type":       {"sinks:\n- name: a\n  type: stdou", []string{`3: sinks[0].type: is "stdou", which is no type of sink; did you mean stdout?`}},
		"sink types":      {"sinks:\n- name: a\n  type: kafka", []string{`3: sinks[0].type: is "kafka", which is no type of sink; there are all, checked, stdout`}},
		"sink number":     {"sinks:\n- name: 5\n  type: 6", []string{`2: sinks[0].name: is "5", which is a number`, `3: sinks[0].type: is "6", which is a number`}},
		"sink key":        {"sinks:\n- name: a\n  type: stdout\n  fliter: x", []string{"4: sinks[0].fliter: is not a key of a sink of type stdout; did you mean filter?"}},
		"filter":          {"sinks:\n- name: a\n  type: stdout\n  filter: event.typ == 'x'", []string{"4: sinks[0].filter: at 1:6: there is no field typ; there are event.id"}},
		"filter int":      {"sinks:\n- name: a\n  type: stdout\n  filter: event.count", []string{"4: sinks[0].filter: at 1:1: gives int"}},
		"option required": {"sinks:\n- name: a\n  type: all", []string{"2: sinks[0].url: is missing; write one"}},
		"option wrong":    {"sinks:\n- name: a\n  type: all\n  url: [x]", []string{"4: sinks[0].url: is a list; write text"}},
		"option words":    {"sinks:\n- name: a\n  type: all\n  url: x\n  mode: medium", []string{`5: sinks[0].mode: is "medium"; write fast or slow`}},
		"option numbers": {"sinks:\n- name: a\n  type: all\n  url: x\n  small: 128\n  port: -1\n  retries: 1.5\n  tls: {deep: {ratio: x}}", []string{
			`5: sinks[0].small: is "128"; write a whole number up to 127`, `6: sinks[0].port: is "-1"; write a whole number from 0 to 65535`,
			`7: sinks[0].retries: is "1.5"; write a whole number up to 9223372036854775807`, `8: sinks[0].tls.deep.ratio: is "x"; write a number`}},
		"option text":    {"sinks:\n- name: a\n  type: all\n  url: x\n  text: bad\n  tls: 1", []string{`5: sinks[0].text: is "bad": no good; write better`, "6: sinks[0].tls: is a number; write keys and values"}},
		"option text[]":  {"sinks:\n- name: a\n  type: all\n  url: x\n  text: []", []string{"5: sinks[0].text: is a list; write a single value"}},
		"option nested":  {"sinks:\n- name: a\n  type: all\n  url: x\n  tls:\n    cafile: x\n    deep:\n      raito: 1", []string{"6: sinks[0].tls.cafile: is not a key here; did you mean ca_file?", "8: sinks[0].tls.deep.raito: is not a key here; did you mean ratio?"}},
		"option headers": {"sinks:\n- name: a\n  type: all\n  url: x\n  headers:\n    A: 1\n    B:\n    C: [c]", []string{`6: sinks[0].headers.A: is "1", which is a number`, "7: sinks[0].headers.B: is empty", "8: sinks[0].headers.C: is a list"}},
		"option unnamed": {"sinks:\n- name: a\n  type: all\n  url: x\n  Ignored: 1", []string{"5: sinks[0].Ignored: is not a key of a sink"}},
		"checked": {"sinks:\n- name: a\n  type: checked\n  headers: {}\n  tls:\n    deep:\n      ratio: 1", []string{
			"2: sinks[0].port: four", "4: sinks[0].headers[X-A]: three", "5: sinks[0].tls.ca_file: one", "7: sinks[0].tls.deep.ratio: two"}},
		"secret": {"sinks:\n- name: a\n  type: all\n  url: x\n  token: 12345", []string{`5: sinks[0].token: is "xxxxx", which is a number`}},

		"instances map":     {"instances: {collect_events: true}", []string{"1: instances: is a mapping; write a list"}},
		"instance text":     {"instances: [x]", []string{"1: instances[0]: is text; write keys"}},
		"two instances":     {"instances:\n- {}\n- {}\n- {}", []string{"3: instances[1]: is a second instance", "4: instances[2]: is a second"}},
		"init_config list":  {"init_config: []\ninstances:", []string{"1: init_config: is a list; write keys"}},
		"instance typo":     {"instances:\n- leader_candidat: true", []string{"2: instances[0].leader_candidat: is not a key here; did you mean leader_candidate?"}},
		"instance value":    {"instances:\n- leader_lease_duration: 2", []string{"2: instances[0].leader_lease_duration: is 2s"}},
		"instance twice":    {"name: a\ninstances:\n- name: b", []string{"1: name: stands twice, first in line 3"}},
		"instance nothing":  {"instances:\n- namespaces: []", []string{"2: instances[0].namespaces: is an empty list, which meant no events at all in the Agent 5; name"}},
		"instance beside":   {"instances:\nkubelet_port: 5", []string{"2: kubelet_port: is not a key here"}},
		"instance singular": {"instances:\n- namespace: A_B", []string{`1: namespaces[1]: is "A_B", which can't be`}},
		"instance sink":     {"instances:\n- sinks:\n  - type: stdout", []string{"3: instances[0].sinks[0].name: is missing"}},

		"merge text":   {"<<: 5", []string{"1: <<: is a number; a merge key takes the alias of a mapping"}},
		"merge itself": {"sinks:\n- &a\n  <<: *a\n  name: x\n  type: stdout", []string{"3: sinks[0].<<"}},
		"all at once":  {"b: 1\nname: B\na: 1\nsinks: [{}]", []string{"1: b: is not", "2: name: is", "3: a: is not", "4: sinks[0].type: is missing", "4: sinks[0].name: is missing"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := parse("k.yaml", []byte(test.yaml), variables(), testTypes())
			expect(t, err, test.want)
		})
	}
}

func expect(t *testing.T, err error, want []string) {
	t.Helper()
	problems, ok := errors.AsType[Problems](err)
	if !ok {
		t.Fatalf("error %v, want Problems", err)
	}
	if len(problems) != len(want) {
		t.Errorf("got %d problems, want %d:\n%v", len(problems), len(want), err)
		return
	}
	for i, problem := range problems {
		if line := strings.TrimPrefix(problem.String(), "k.yaml:"); !strings.HasPrefix(line, want[i]) {
			t.Errorf("got  %s\nwant %s", line, want[i])
		}
	}
}

func TestEnvironmentProblems(t *testing.T) {
	_, err := parse("k.yaml", []byte("name: B"), variables(
		"KUBERNETES_LEADER_CANDIDATE", "perhaps", "KUBERNETES_LEADER_LEASE_DURATION", "1",
		"KUBERNETES_COLLECT_EVENTS", "2", "KUBERNETES_NAMESPACE_NAME_REGEX", "("), testTypes())
	expect(t, err, []string{
		`environment: KUBERNETES_LEADER_CANDIDATE: is "perhaps"; write true or false`,
		`environment: KUBERNETES_COLLECT_EVENTS: is "2"; write true or false`,
		"environment: KUBERNETES_LEADER_LEASE_DURATION: is 1s; write 5 to 3600 seconds",
		"environment: KUBERNETES_NAMESPACE_NAME_REGEX: is \"(\": missing closing )",
		`1: name: is "B"`,
	})
}

func TestDocuments(t *testing.T) {
	tests := map[string]struct{ yaml, want string }{
		"two documents":    {"name: a\n---\nname: b\n", "k.yaml:2: a second YAML document"},
		"broken second":    {"name: a\n---\nname: [", "k.yaml:3: is not valid YAML"},
		"tab":              {"sinks:\n- name: a\n\ttype: stdout\n", "k.yaml:3: is indented with a tab"},
		"first line":       {"a: b: c", "k.yaml:1: is not valid YAML"},
		"unclosed":         {"name: \"x\n\n", "k.yaml:3: is not valid YAML"},
		"missing anchor":   {"name: a\ntags: *tags\n", "k.yaml:2: unknown anchor 'tags' referenced; define it above with &tags"},
		"utf-16":           {"\xff\xfen\x00a\x00", "k.yaml:1: is UTF-16"},
		"utf-16 big":       {"\xfe\xff\x00n", "k.yaml:1: is UTF-16"},
		"latin-1":          {"name: a\ncluster_name: M\xfcnchen\n", "k.yaml:2: is not UTF-8"},
		"binary":           {"\x7fELF\x02\x01\x00", "k.yaml:1: has the control character U+007F"},
		"nul":              {"name: a\n\x00", "k.yaml:2: has the control character U+0000"},
		"escape":           {"name: \x1b[31m", "k.yaml:1: has the control character U+001B"},
		"too long":         {"#" + strings.Repeat("x", maxFile), "k.yaml:1: is longer than 1048576 bytes"},
		"deep":             {strings.Repeat("[", 20000), "k.yaml:1: is not valid YAML"},
		"many aliases":     {bomb(), "k.yaml:10: tags[0]: is a list; write text"},
		"many merges":      {merges(12), "more than 100000 values; use fewer aliases"},
		"braces":           {"name: {{ .Release.Name }}", "k.yaml:1: name: is a mapping"},
		"windows":          {"name: a\r\nlock: x\r\n", "k.yaml:2: lock: is \"x\""},
		"byte order mark":  {"\ufeffname: A", "k.yaml:1: name: is \"A\""},
		"too many keys":    {manyKeys(20_000), "k.yaml:100: and 19900 more problems"},
		"too many cursors": {manyNamespaces(1200), "k.yaml:1: namespaces: are 1200 for 1 sinks, whose cursors don't fit"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := parse("k.yaml", []byte(test.yaml), variables(), testTypes())
			if _, ok := errors.AsType[Problems](err); !ok || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v\nwant %s", err, test.want)
			}
		})
	}
}

// bomb is a list of lists of lists, nine of each, which makes 9^9 items.
func bomb() string {
	b := &strings.Builder{}
	b.WriteString("sinks: []\n")
	last := "x"
	for i := range 9 {
		fmt.Fprintf(b, "a%d: &a%d [%s]\n", i, i, strings.TrimSuffix(strings.Repeat(last+", ", 9), ", "))
		last = fmt.Sprintf("*a%d", i)
	}
	return b.String() + "tags: " + last
}

// merges is a mapping that merges another one nine times, and so on.
func merges(depth int) string {
	b := &strings.Builder{}
	last := "{name: x}"
	for i := range depth {
		fmt.Fprintf(b, "a%d: &a%d {<<: [%s]}\n", i, i, strings.TrimSuffix(strings.Repeat(last+", ", 9), ", "))
		last = fmt.Sprintf("*a%d", i)
	}
	return b.String() + "<<: " + last
}

func manyNamespaces(n int) string {
	b := &strings.Builder{}
	b.WriteString("namespaces:\n")
	for i := range n {
		fmt.Fprintf(b, "- n%d\n", i)
	}
	return b.String() + "sinks: [{name: a, type: stdout}]"
}

func manyKeys(n int) string {
	b := &strings.Builder{}
	for i := range n {
		fmt.Fprintf(b, "unknown%d: 1\n", i)
	}
	return b.String()
}

func TestLoad(t *testing.T) {
	directory := t.TempDir()
	path := filepath.Join(directory, "kubernetes.yaml")
	if err := os.WriteFile(path, []byte("collect_events: true\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := Load(path, os.LookupEnv)
	if err != nil || !c.CollectEvents || c.Sinks[0].Type != "stdout" {
		t.Fatalf("Load = %v, %v", c, err)
	}
	for path, want := range map[string]string{
		filepath.Join(directory, "none.yaml"): "none.yaml: does not exist; mount the ConfigMap there",
		directory:                             directory + ": can't be read: is a directory",
		"/dev/zero":                           "/dev/zero:1: is longer than 1048576 bytes",
	} {
		_, err := Load(path, nil)
		if _, ok := errors.AsType[Problems](err); !ok || !strings.Contains(err.Error(), want) {
			t.Errorf("Load(%s) = %v, want %s", path, err, want)
		}
	}
}
