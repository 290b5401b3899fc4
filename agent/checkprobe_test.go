package main

import (
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kfake"
)

// secretFile has the word that nothing may print.
func secretFile(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(path, []byte("hunter2\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// answering is a receiver that always says the same, and counts what could be taken for records.
func answering(t *testing.T, code int) *httptest.Server {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if body, _ := io.ReadAll(r.Body); len(body) > 0 {
			t.Errorf("it was sent %q", body)
		}
		w.WriteHeader(code)
		_, _ = io.WriteString(w, r.Header.Get("Authorization"))
	}))
	t.Cleanup(server.Close)
	return server
}

func closedPort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// One line a sink, in the configuration's order, and the exit code of the worst.
func TestCheckProbe(t *testing.T) {
	t.Parallel()
	kafka, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, "events"), kfake.EnableSASL(),
		kfake.Superuser("SCRAM-SHA-256", "baton", "hunter2"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(kafka.Close)
	broker := kafka.ListenAddrs()[0]
	secret := secretFile(t)
	tls := httptest.NewUnstartedServer(http.NotFoundHandler())
	tls.Config.ErrorLog = log.New(io.Discard, "", 0)
	tls.StartTLS()
	t.Cleanup(tls.Close)
	login := fmt.Sprintf("sasl: {mechanism: SCRAM-SHA-256, username: baton, password_file: %s}", secret)
	refused := closedPort(t)
	for _, c := range []struct {
		name, keys, line string
		wrong            bool
	}{
		{"log", "type: stdout", "sink log (stdout): ok", false},
		{"counts", "type: metrics", "sink counts (metrics): ok, it has nothing to probe", false},
		{"hook", "type: webhook, url: " + answering(t, 204).URL, "sink hook (webhook): ok; it was asked with OPTIONS: whether", false},
		{"locked", fmt.Sprintf("type: webhook, bearer_token_file: %s, url: %s", secret, answering(t, 401).URL), "sink locked (webhook): failed: %s: answered 401", true},
		{"lost", "type: webhook, url: " + answering(t, 404).URL, "sink lost (webhook): failed: %s: answered 404 Not Found (check the URL", true},
		{"strange", "type: webhook, url: " + tls.URL, "tls.ca_file", true},
		{"gone", "type: otlp, url: http://" + refused, "nothing listens there: check host and port", true},
		{"unknown", "type: otlp, protocol: http, url: http://collector.invalid", "the name collector.invalid doesn't resolve", true},
		{"nosecret", "type: datadog, api_key_file: /nowhere/key", "sink nosecret (datadog): failed: api_key_file: stat /nowhere/key: no such file or directory", true},
		{"queue", fmt.Sprintf("type: kafka, brokers: [%s], topic: events, %s", broker, login), "sink queue (kafka): ok", false},
		{"notopic", fmt.Sprintf("type: kafka, brokers: [%s], topic: absent, %s", broker, login), "create the topic", true},
		{"nologin", fmt.Sprintf("type: kafka, brokers: [%s], topic: events", broker), "sasl.mechanism", true},
		{"file", "type: file, path: " + filepath.Join(t.TempDir(), "events.log"), "sink file (file): ok", false},
		{"nofile", "type: file, path: /nowhere/events.log", "no such file", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			file := write(t, fmt.Sprintf("leader_candidate: true\nsinks:\n  - {name: first, type: file, path: /dev/null}\n  - {name: %s, %s}\n", c.name, c.keys))
			var s shell
			code := s.run(t.Context(), "check", "--probe", file)
			if want := map[bool]int{false: exitOK, true: exitFailed}[c.wrong]; code != want {
				t.Errorf("exit code %d, want %d: %s", code, want, &s.stderr)
			}
			if c.wrong && !strings.Contains(s.stderr.String(), "of 2 sinks, 1 would not get their records") {
				t.Errorf("stderr: %s", &s.stderr)
			}
			out := strings.Split(s.stdout.String(), "\n")
			if len(out) != 4 || out[0] != file+": ok, 2 sinks" || out[1] != "sink first (file): ok" {
				t.Fatalf("stdout: %s", &s.stdout)
			}
			url := "http://127.0.0.1"
			begin, rest, split := strings.Cut(c.line, "%s")
			if !split {
				begin, url = "", c.line
			}
			if !strings.Contains(out[2], begin+url) || !strings.Contains(out[2], rest) {
				t.Errorf("%q lacks %q", out[2], c.line)
			}
			if strings.Contains(s.stdout.String()+s.stderr.String(), "hunter2") {
				t.Errorf("it tells a secret: %s%s", &s.stdout, &s.stderr)
			}
		})
	}
}

// All are asked at once, and one that says nothing has the time-out, not more.
func TestCheckProbeTimeout(t *testing.T) {
	t.Parallel()
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	address := silent.Addr().String()
	file := write(t, fmt.Sprintf(`leader_candidate: true
sinks:
  - {name: a, type: webhook, url: "http://%[1]s"}
  - {name: b, type: otlp, url: "http://%[1]s"}
  - {name: c, type: kafka, brokers: ["%[1]s"], topic: events}
  - {name: d, type: loki, url: "http://%[1]s"}
`, address))
	var s shell
	if code := s.run(t.Context(), "check", "--probe", "--timeout", "300ms", file); code != exitFailed {
		t.Errorf("exit code %d", code)
	}
	if n := strings.Count(s.stdout.String(), "no answer within 300ms"); n != 4 {
		t.Errorf("%d of 4 say so: %s", n, &s.stdout)
	}
	if !strings.Contains(s.stderr.String(), "of 4 sinks, 4 would not") {
		t.Errorf("stderr: %s", &s.stderr)
	}
	for _, wrong := range []string{"0s", "-1s"} {
		if code := s.run(t.Context(), "check", "--probe", "--timeout", wrong, file); code != exitUsage {
			t.Errorf("--timeout %s: exit code %d", wrong, code)
		}
	}
}

// A configuration with problems is not tried.
func TestCheckProbeAfterProblems(t *testing.T) {
	t.Parallel()
	var s shell
	code := s.run(t.Context(), "check", "--probe", write(t, "nonsense: 1\n"))
	if code != exitUsage || s.stdout.Len() > 0 {
		t.Errorf("exit code %d: %s", code, &s.stdout)
	}
}
