package convert

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/eventbaton/baton/agent/config"
)

var update = flag.Bool("update", false, "write the golden files")

// mustParse is the configuration that was written.
func mustParse(t *testing.T, r *Result) *config.Config {
	t.Helper()
	cfg, err := config.Parse("kubernetes.yaml", r.YAML, nil)
	if err != nil {
		t.Fatalf("what was written is refused: %v\n%s", err, r.YAML)
	}
	if !cfg.LeaderCandidate || cfg.CollectEvents {
		t.Fatalf("it would not take part in the election:\n%s", r.YAML)
	}
	return cfg
}

func findings(r *Result) string {
	var b strings.Builder
	for _, f := range r.Findings {
		b.WriteString(f.String() + "\n")
	}
	return b.String()
}

// The secrets of the examples in testdata.
var secrets = []string{
	"correct-horse-battery", "xoxb-1234", "hunter2", "0123-4567", "01234567-89ab-cdef", "s3cr3t-token", "changeme",
	"00000000-0000", "0123456789abcdef",
}

// The examples are converted as they were when somebody last looked at them: go test ./agent/convert -update.
func TestGolden(t *testing.T) {
	files, err := filepath.Glob("testdata/*/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatal(err, files)
	}
	for _, file := range files {
		kind := filepath.Base(filepath.Dir(file))
		t.Run(kind+"/"+filepath.Base(file), func(t *testing.T) {
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			r, err := Convert(kind, filepath.Base(file), data)
			if err != nil {
				t.Fatal(err)
			}
			mustParse(t, r)
			golden(t, strings.TrimSuffix(file, ".yaml")+".golden", string(r.YAML))
			golden(t, strings.TrimSuffix(file, ".yaml")+".findings", findings(r))
			for _, secret := range secrets {
				if strings.Contains(string(r.YAML)+findings(r), secret) {
					t.Errorf("the secret %s shows", secret)
				}
			}
			for _, f := range r.Findings {
				if f.Line < 1 || f.Key == "" && f.Line > 1 || !strings.Contains(string(data), lastName(f.Key)) {
					t.Errorf("%v has no place", f)
				}
			}
		})
	}
}

// lastName is the last name in a key, without an index.
func lastName(key string) string {
	name, _, _ := strings.Cut(key[strings.LastIndex(key, ".")+1:], "[")
	return name
}

func golden(t *testing.T, file, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s is not what is converted any more (go test ./agent/convert -update):\n%s", file, got)
	}
}

// What can't be used says where, and what to do.
func TestUnusable(t *testing.T) {
	deep := strings.Repeat("a: {", 200) + strings.Repeat("}", 200)
	for name, c := range map[string]struct{ kind, data, want string }{
		"empty":             {"kee", "# nothing\n", "f.yaml:1: is empty; name the file"},
		"a list":            {"kee", "- a\n", "f.yaml:1: is not a mapping; write keys and values"},
		"no YAML":           {"otel", "receivers:\n\t- a\n", "f.yaml:2: is indented with a tab"},
		"two documents":     {"kee", "route: {}\n---\nroute: {}\n", "a second YAML document"},
		"a ConfigMap":       {"kee", "apiVersion: v1\nkind: ConfigMap\ndata: {}\n", "f.yaml:2: kind: says that this is an object of Kubernetes; give the configuration in it"},
		"something else":    {"kee", "sinks: []\n", "f.yaml:1: has neither route nor receivers"},
		"a wrong kind":      {"kee", "route:\n  routes: a\nreceivers: []\n", "f.yaml:2: route.routes: is not a list"},
		"a wrong rule":      {"kee", "route:\n  match:\n    - Pod\n", "f.yaml:3: route.match[0]: is not a mapping"},
		"a wrong pattern":   {"kee", "route:\n  match:\n    - kind: [Pod]\n", "f.yaml:3: route.match[0].kind: is not a single value"},
		"a wrong number":    {"kee", "route:\n  match:\n    - minCount: many\n", "f.yaml:3: route.match[0].minCount: is not a whole number"},
		"a wrong boolean":   {"kee", "receivers:\n  - name: a\n    file: {path: /a, deDot: 7}\nroute: {match: [{receiver: a}]}\n", "f.yaml:3: receivers[0].file.deDot: is neither true nor false"},
		"no type":           {"kee", "receivers:\n  - name: a\n", "f.yaml:2: receivers[0]: has no type; write one"},
		"no name":           {"kee", "receivers:\n  - stdout: {}\n", "receivers[0].name: is missing"},
		"a name twice":      {"kee", "receivers:\n  - name: a\n    stdout: {}\n  - name: a\n    stdout: {}\n", `f.yaml:4: receivers[1].name: is "a", the name of another receiver`},
		"a key twice":       {"kee", "route: {}\nroute: {}\n", "f.yaml:2: route: stands twice"},
		"an endless alias":  {"kee", "route: &r\n  routes: [*r]\n", "is nested more than 100 deep"},
		"a deep file":       {"kee", deep, "is nested more than 100 deep"},
		"too many rules":    {"kee", "route:\n  match: [" + strings.Repeat("{kind: a},", 501) + "]\n", "one rule more than the 500"},
		"no events":         {"otel", "service: {pipelines: {logs: {receivers: [otlp], exporters: [debug]}}}\n", "has no pipeline with a receiver for events"},
		"no exporter":       {"otel", "receivers: {k8s_events: }\nservice:\n  pipelines:\n    logs:\n      receivers: [k8s_events]\n      exporters: [debug]\n", "f.yaml:6: service.pipelines.logs.exporters[0]: is no exporter of this file"},
		"no Agent":          {"agent5", "logs_enabled: true\n", "has neither init_config nor instances"},
		"a wrong Agent":     {"agent5", "init_config:\ninstances:\n  - leader_lease_duration: soon\n", "f.yaml:3: instances[0].leader_lease_duration: is"},
		"an unknown layout": {"fluentd", "a: b\n", `"fluentd" is no layout that can be converted: there are agent5, kee, otel`},
	} {
		t.Run(name, func(t *testing.T) {
			r, err := Convert(c.kind, "f.yaml", []byte(c.data))
			problems, ok := errors.AsType[config.Problems](err)
			if !ok || r != nil {
				t.Fatalf("%v, %v", r, err)
			}
			if !strings.Contains(problems.Error(), c.want) {
				t.Errorf("%v\nlacks %s", problems, c.want)
			}
		})
	}
}

// kee converts a configuration of one receiver that gets everything.
func kee(t *testing.T, receiver string) (*Result, *config.Config) {
	t.Helper()
	text := "route: {match: [{receiver: a}]}\nreceivers:\n  - name: a\n    " + strings.ReplaceAll(receiver, "\n", "\n    ") + "\n"
	r, err := Convert("kee", "f.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return r, mustParse(t, r)
}

// otel converts a Collector's configuration with one exporter.
func otel(t *testing.T, exporter string) (*Result, *config.Config) {
	t.Helper()
	id, _, _ := strings.Cut(exporter, ":")
	text := "receivers: {k8s_events: {}}\nservice: {pipelines: {logs: {receivers: [k8s_events], exporters: [" + id + "]}}}\nexporters:\n  " +
		strings.ReplaceAll(exporter, "\n", "\n  ") + "\n"
	r, err := Convert("otel", "f.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return r, mustParse(t, r)
}

// Each option of a receiver becomes one of its sink, or is named as one without equal.
func TestOptions(t *testing.T) {
	for name, c := range map[string]struct {
		from  func(*testing.T, string) (*Result, *config.Config)
		text  string
		has   []string // in the file
		finds []string
	}{
		"a cloud": {
			kee, "elasticsearch:\n  cloudID: prod:ZXhhbXBsZS50ZXN0OjkyNDMkYWJjJGRlZg==\n  apiKey: hush\n  index: events",
			[]string{"url: https://abc.example.test:9243", "api_key_file: /etc/baton/secrets/a-api-key"}, nil,
		},
		"an unreadable cloud": {
			kee, "elasticsearch:\n  cloudID: prod", []string{"type: stdout"},
			[]string{"elasticsearch.cloudID: has no equal: the deployment has a URL too", "url is missing"},
		},
		"an index by the hour": {
			kee, "opensearch:\n  hosts: [http://os.test:9200]\n  indexFormat: 'kube-{2006.01.02-15}-x'", []string{"index: kube-%Y.%m.%d-%H-x"}, nil,
		},
		"an index in one word": {kee, "opensearch:\n  hosts: [http://os.test:9200]\n  indexFormat: 'kube-{20060102}'", []string{"index: kube-%Y%m%d"}, nil},
		"an index of a namespace": {
			kee, "opensearch:\n  hosts: [http://os.test:9200]\n  indexFormat: 'kube-{{ .Namespace }}-{2006-01}'", nil,
			[]string{"opensearch.indexFormat: has no equal"},
		},
		"an index by the month's name": {
			kee, "elasticsearch:\n  hosts: [http://os.test:9200]\n  indexFormat: 'kube-{2006-Jan}'", nil,
			[]string{"elasticsearch.indexFormat: has no equal"},
		},
		"an index with capitals": {
			kee, "elasticsearch:\n  hosts: [http://os.test:9200]\n  index: Events", []string{"type: elasticsearch"},
			[]string{"elasticsearch.index: has no equal: index may have neither capital letters"},
		},
		"a variable": {
			kee, "kafka:\n  topic: ${TOPIC}\n  brokers: [b]", []string{"name: log"},
			[]string{"kafka.topic: has no equal: it takes a value of the environment (TOPIC)", "topic is missing"},
		},
		"a secret URL": {
			kee, "webhook:\n  endpoint: https://user:hush@example.test/", []string{"url_file: /etc/baton/secrets/a-url"}, []string{"webhook.endpoint: is a secret"},
		},
		"a random path": {kee, "webhook:\n  endpoint: https://hooks.test/T0/B0/abcdEFGH0123ijklMNOP", []string{"url_file:"}, nil},
		"a URL of the environment": {
			kee, "webhook:\n  endpoint: $HOOK", []string{"url_file:"}, []string{"put the value of the environment's HOOK into"},
		},
		"a template in a header": {
			kee, "webhook:\n  endpoint: https://example.test/\n  headers: {X-Reason: '{{ .Reason }}'}", nil, []string{"X-Reason: has no equal"},
		},
		"a file that is stdout": {kee, "file: {path: /dev/stdout, layout: {}}", []string{"type: stdout"}, []string{"layout"}},
		"a pipe":                {kee, "pipe: {path: /run/events}", []string{"type: file", "path: /run/events"}, nil},
		"without updates":       {kee, "stdout: {sentUpdateEvent: false}", []string{"repeats: first"}, nil},
		"with updates":          {kee, "stdout: {sentUpdateEvent: true}", []string{"type: stdout"}, nil},
		"all of a chat":         {kee, "slack: {token: hush, channel: a}", []string{`filter: "true"`, "url_file: /etc/baton/secrets/a-url"}, nil},
		"a template with labels": {
			kee, "slack: {token: hush, message: '{{ .InvolvedObject.Labels.team }}'}", nil,
			[]string{"slack.message: has no equal: a record has .InvolvedObject.Labels.team where enrich adds it"},
		},
		"an unknown key": {kee, "stdout: {colour: red}", nil, []string{"receivers[0].stdout.colour: has no equal: nothing here does the same"}},
		"two types":      {kee, "stdout: {}\nfile: {path: /a}", []string{"type: file"}, []string{"receivers[0].stdout: has no equal"}},
		"no TLS for Kafka": {
			kee, "kafka: {topic: a, brokers: ['b:1'], tls: {enable: false, caFile: /a}, sasl: {enable: false, password: hush}, compressionCodec: odd}",
			[]string{"compression: none"}, nil,
		},
		"a mechanism of its own": {
			kee, "kafka: {topic: a, brokers: ['b:1'], sasl: {enable: true, username: u, password: hush, mechanism: gssapi}}", nil,
			[]string{"sasl.mechanism is none of PLAIN"},
		},
		"teams":      {kee, "teams: {endpoint: 'https://example.test/hush', headers: {A: b}}", []string{"format: teams", `filter: "true"`}, []string{"headers.A: has no equal"}},
		"prometheus": {kee, "prometheus: {}", []string{"name: log"}, []string{"a sink of type metrics"}},

		"grpc with TLS":      {otel, "otlp: {endpoint: 'gw.test:4317', tls: {ca_file: /ca, server_name_override: gw}}", []string{"url: https://gw.test:4317", "server_name: gw"}, nil},
		"grpc by DNS":        {otel, "otlp/2: {endpoint: 'dns:///gw.test:4317', compression: none}", []string{"https://gw.test:4317", "gzip: false", "name: otlp-2"}, nil},
		"logs elsewhere":     {otel, "otlphttp: {endpoint: https://a.test, logs_endpoint: https://b.test/v1/logs, encoding: json, timeout: 5s}", []string{"url: https://b.test/v1/logs", "protocol: http", "timeout: 5s"}, []string{"encoding: has no equal"}},
		"an unreadable time": {otel, "otlp: {endpoint: 'gw.test:4317', timeout: soon}", []string{"type: otlp"}, []string{"otlp.timeout: has no equal: timeout"}},
		"another authenticator": {
			otel, "otlp: {endpoint: 'gw.test:4317', auth: {authenticator: oauth2client}}", nil, []string{"auth.authenticator: has no equal"},
		},
		"Kafka as it comes":  {otel, "kafka: {}", []string{"localhost:9092", "topic: otlp_logs", "compression: none"}, nil},
		"Kafka's older keys": {otel, "kafka: {topic: t, encoding: raw, auth: {plain_text: {username: u, password: hush}, tls: {insecure_skip_verify: true}}}", []string{"mechanism: PLAIN", "use_tls: true", "insecure_skip_verify: true"}, []string{"kafka.encoding: has no equal"}},
		"debug":              {otel, "debug: {verbosity: detailed}", []string{"type: stdout"}, nil},
		"a protobuf file":    {otel, "file: {path: /a, format: proto, append: true}", nil, []string{"file.format: has no equal"}},
		"not there":          {otel, "awskinesis: {}", []string{"name: log"}, []string{"awskinesis: has no equal: leave it to the Collector"}},
	} {
		t.Run(name, func(t *testing.T) {
			r, _ := c.from(t, c.text)
			for _, want := range c.has {
				if !strings.Contains(string(r.YAML), want) {
					t.Errorf("lacks %s:\n%s", want, r.YAML)
				}
			}
			for _, want := range c.finds {
				if !strings.Contains(findings(r)+string(r.YAML), want) {
					t.Errorf("finds no %q:\n%s", want, findings(r))
				}
			}
			if strings.Contains(findings(r)+string(r.YAML), "hush") {
				t.Errorf("a secret shows:\n%s%s", findings(r), r.YAML)
			}
		})
	}
}

// A receiver's name becomes the name of a sink, which is narrower.
func TestNames(t *testing.T) {
	text := "route: {match: [{receiver: My Sink}, {receiver: my_sink}, {receiver: Ü}, {receiver: " + strings.Repeat("x", 90) + "}]}\n" +
		"receivers:\n- {name: My Sink, stdout: {}}\n- {name: my_sink, stdout: {}}\n- {name: Ü, stdout: {}}\n- {name: " + strings.Repeat("x", 90) + ", stdout: {}}\n"
	r, err := Convert("kee", "f.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, s := range mustParse(t, r).Sinks {
		names = append(names, s.Name)
	}
	if got := strings.Join(names, " "); got != "my-sink my-sink-2 sink "+strings.Repeat("x", 50) {
		t.Errorf("names %s", got)
	}
	if n := strings.Count(findings(r), "a sink's name is a DNS label"); n != 4 {
		t.Errorf("%d of 4 are told:\n%s", n, findings(r))
	}
}

// What the file as a whole can't hold is taken away until it can.
func TestTooMuch(t *testing.T) {
	var b strings.Builder
	b.WriteString("route:\n  routes:\n")
	for i := range 400 {
		b.WriteString("  - {match: [{message: '" + strings.Repeat("x", 100) + string(rune('a'+i%26)) + strings.Repeat("y", i) + "', receiver: a}]}\n")
	}
	b.WriteString("receivers: [{name: a, stdout: {}}]\n")
	r, err := Convert("kee", "f.yaml", []byte(b.String()))
	if err != nil {
		t.Fatal(err)
	}
	cfg := mustParse(t, r)
	if len(cfg.Sinks) != 1 || cfg.Sinks[0].Match != nil || !r.Lacks() {
		t.Errorf("sinks %v, findings %s", cfg.Sinks, findings(r))
	}
}

// Sinks that an Agent 5 has already been given stay as they are.
func TestAgent5Sinks(t *testing.T) {
	r, err := Convert("agent5", "f.yaml", []byte(
		"init_config:\ninstances:\n- leader_candidate: true\n  namespaces: []\n  namespace_name_regexp: a.*\nsinks:\n- name: x\n  type: stdout # hush\n"))
	if err != nil {
		t.Fatal(err)
	}
	cfg := mustParse(t, r)
	if len(cfg.Sinks) != 1 || cfg.Sinks[0].Name != "x" || cfg.NamespaceNameRegexp != "a.*" || len(cfg.Namespaces) != 0 {
		t.Errorf("%v", cfg)
	}
	if strings.Contains(string(r.YAML), "hush") || r.Lacks() {
		t.Errorf("%s%s", r.YAML, findings(r))
	}
}

// The namespaces of a Collector's receivers are read alone, and asked for where exporters differ in them.
func TestCollectorNamespaces(t *testing.T) {
	text := func(first, second string) string {
		return "receivers:\n  k8s_events/a: {" + first + "}\n  k8s_events/b: {" + second + "}\nexporters: {debug/a: {}, debug/b: {}}\nservice:\n  pipelines:\n" +
			"    logs/a: {receivers: [k8s_events/a], exporters: [debug/a]}\n    logs/b: {receivers: [k8s_events/b], exporters: [debug/a, debug/b]}\n"
	}
	for name, c := range map[string]struct{ first, second, namespaces, a, b string }{
		"all":       {"", "", "", "", ""},
		"the same":  {"namespaces: [x, y]", "namespaces: [y, x]", "x y", "", ""},
		"different": {"namespaces: [x]", "namespaces: [y]", "x y", `event.namespace == "x" || event.namespace == "y"`, `event.namespace == "y"`},
		"one":       {"namespaces: [x]", "", "", "", ""},
		"the other": {"", "namespaces: [y]", "", "", `event.namespace == "y"`},
	} {
		t.Run(name, func(t *testing.T) {
			r, err := Convert("otel", "f.yaml", []byte(text(c.first, c.second)))
			if err != nil {
				t.Fatal(err)
			}
			cfg := mustParse(t, r)
			if got := strings.Join(cfg.Namespaces, " "); got != c.namespaces {
				t.Errorf("namespaces %s", got)
			}
			if a, b := cfg.Sinks[0].Filter, cfg.Sinks[1].Filter; a != c.a || b != c.b {
				t.Errorf("filters %q and %q", a, b)
			}
		})
	}
}

// A Collector with everything that is rare.
func TestCollectorOddities(t *testing.T) {
	r, err := Convert("otel", "f.yaml", []byte(`
receivers:
  k8s_events: {auth_type: kubeConfig, namespaces: [shop]}
  k8sobjects:
    objects:
      - {name: events, namespaces: [shop], label_selector: a=b, field_selector: 'type=Warning,status.phase=Running'}
      - {name: events, namespaces: [shop], field_selector: reason!=Pulled}
  filelog: {}
processors: {odd: {}}
connectors: {forward: {}}
extensions:
  basicauth/es: {client_auth: {username: elastic, password: hush, realm: x}}
  bearertokenauth: {filename: /var/run/token, scheme: Bearer}
exporters:
  elasticsearch:
    cloudid: prod:ZXhhbXBsZS50ZXN0JGFiYyRkZWY=
    auth: {authenticator: basicauth/es}
    pipeline: events
  otlphttp: {endpoint: 'https://gw.test?key=hush', auth: {authenticator: bearertokenauth}, proxy_url: 'http://proxy:3128'}
  kafka: {brokers: ['b:9092'], topic: t, tls: {ca_file: /ca}, producer: {max_message_bytes: 900000, linger: 5ms}}
service:
  telemetry: {logs: {level: debug}}
  pipelines:
    logs/a: {receivers: [k8s_events, filelog], processors: [odd], exporters: [elasticsearch, forward]}
    logs/b: {receivers: [k8sobjects], exporters: [otlphttp, kafka]}
    metrics: {receivers: [filelog], exporters: [kafka]}
`))
	if err != nil {
		t.Fatal(err)
	}
	cfg := mustParse(t, r)
	both := `event.type == "Warning" || event.reason != "Pulled"`
	if got := []string{cfg.Sinks[0].Filter, cfg.Sinks[1].Filter, cfg.Sinks[2].Filter}; len(cfg.Namespaces) != 1 || got[0] != "" || got[1] != both || got[2] != both {
		t.Errorf("namespaces %v, filters %q", cfg.Namespaces, got)
	}
	for _, want := range []string{
		"url: https://abc.example.test:443", "username: elastic", "password_file: /etc/baton/secrets/elasticsearch-password", "pipeline: events",
		"url_file: /etc/baton/secrets/otlphttp-url", "bearer_token_file: /var/run/token", "proxy_url: http://proxy:3128",
		"use_tls: true", "ca_file: /ca", "max_message_bytes: 900000",
	} {
		if !strings.Contains(string(r.YAML), want) {
			t.Errorf("lacks %s:\n%s", want, r.YAML)
		}
	}
	for _, want := range []string{
		"k8s_events.auth_type: has no equal", "objects[0].label_selector: has no equal", "objects[0].field_selector: has no equal",
		"receivers[1]: has no equal: this gathers events and nothing else", "processor odd", "exporters[1]: has no equal: a connector leads",
		"client_auth.realm: has no equal", "bearertokenauth.scheme: has no equal", "producer.linger: has no equal", "service.telemetry: has no equal",
	} {
		if !strings.Contains(findings(r), want) {
			t.Errorf("finds no %s:\n%s", want, findings(r))
		}
	}
	if strings.Contains(findings(r)+string(r.YAML), "hush") {
		t.Errorf("a secret shows:\n%s%s", findings(r), r.YAML)
	}
}

// A file that would be longer than a ConfigMap goes without comments.
func TestTooManyComments(t *testing.T) {
	var b strings.Builder
	b.WriteString("route: {match: [{receiver: a}]}\nreceivers:\n- name: a\n  stdout:\n")
	for i := range 12_000 {
		fmt.Fprintf(&b, "    key%d-%s: x\n", i, strings.Repeat("x", 40))
	}
	r, err := Convert("kee", "f.yaml", []byte(b.String()))
	if err != nil {
		t.Fatal(err)
	}
	if cfg := mustParse(t, r); len(cfg.Sinks) != 1 || len(r.Findings) != 12_000 || strings.Contains(string(r.YAML), "#") {
		t.Errorf("%d sinks, %d findings, %d bytes", len(cfg.Sinks), len(r.Findings), len(r.YAML))
	}
}

// Sinks that need more cursors than a ConfigMap holds are left out, from the last one on.
func TestTooManySinks(t *testing.T) {
	var b strings.Builder
	b.WriteString("route: {}\nreceivers:\n")
	names := strings.Builder{}
	for i := range 2000 {
		fmt.Fprintf(&b, "- {name: r%d, stdout: {}}\n", i)
		fmt.Fprintf(&names, "{routes: [{match: [{receiver: r%d}]}]},", i)
	}
	if _, err := Convert("kee", "f.yaml", []byte(strings.Replace(b.String(), "{}", "{routes: ["+names.String()+"]}", 1))); err == nil {
		t.Error("2000 rules are converted")
	}
	exporters, list := strings.Builder{}, strings.Builder{}
	for i := range 2000 {
		fmt.Fprintf(&exporters, "  debug/%d: {}\n", i)
		fmt.Fprintf(&list, "debug/%d,", i)
	}
	r, err := Convert("otel", "f.yaml", []byte("receivers: {k8s_events: }\nexporters:\n"+exporters.String()+
		"service: {pipelines: {logs: {receivers: [k8s_events], exporters: ["+list.String()+"]}}}\n"))
	if err != nil {
		t.Fatal(err)
	}
	if n := len(mustParse(t, r).Sinks); n == 0 || n >= 2000 || !r.Lacks() {
		t.Errorf("%d sinks", n)
	}
}
