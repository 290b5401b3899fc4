package main

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// shell runs commands as main does.
type shell struct {
	stdin          string
	stdout, stderr bytes.Buffer
	env            map[string]string
}

func (s *shell) run(ctx context.Context, args ...string) int {
	s.stdout.Reset()
	s.stderr.Reset()
	return dispatch(ctx, world{stdin: strings.NewReader(s.stdin), stdout: &s.stdout, stderr: &s.stderr, env: func(name string) (string, bool) {
		value, ok := s.env[name]
		return value, ok
	}}, args)
}

func write(t *testing.T, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "kubernetes.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestCommandLine(t *testing.T) {
	good := write(t, "leader_candidate: true\n")
	bad := write(t, "leader_candidat: true\nleader_lease_duration: soon\n")
	for name, c := range map[string]struct {
		args   []string
		code   int
		stdout string
		stderr []string
	}{
		"nothing":            {nil, exitUsage, "", []string{"baton run", "baton check", "baton status", "baton version"}},
		"help":               {[]string{"--help"}, exitOK, "baton status", nil},
		"a command's help":   {[]string{"run", "--help"}, exitOK, "-kubeconfig", nil},
		"no such command":    {[]string{"rum"}, exitUsage, "", []string{`no command "rum"`}},
		"no such flag":       {[]string{"run", "--confg", "x"}, exitUsage, "", []string{"-confg", "usage: baton run"}},
		"too many arguments": {[]string{"version", "now"}, exitUsage, "", []string{`["now"]`}},
		"version":            {[]string{"version"}, exitOK, "baton dev go", nil},
		"check, good":        {[]string{"check", good}, exitOK, "ok", nil},
		"check, bad":         {[]string{"check", bad}, exitUsage, "", []string{bad + ":1: leader_candidat", bad + ":2: leader_lease_duration"}},
		"check, no file":     {[]string{"check", "/nowhere/kubernetes.yaml"}, exitUsage, "", []string{"/nowhere/kubernetes.yaml"}},
		"check what":         {[]string{"check"}, exitUsage, "", []string{"FILE"}},
		"run, bad":           {[]string{"run", "--config", bad}, exitUsage, "", []string{bad + ":1: leader_candidat"}},
		"run, no cluster":    {[]string{"run", "--config", good, "--listen", "127.0.0.1:0", "--kubeconfig", "/nowhere/config"}, exitFailed, "", []string{"/nowhere/config"}},
		"run, bad address":   {[]string{"run", "--config", good, "--listen", "nowhere"}, exitFailed, "", []string{"--listen nowhere"}},
		"status, no cluster": {[]string{"status", "--kubeconfig", "/nowhere/config"}, exitFailed, "", []string{"/nowhere/config"}},
		"status, odd output": {[]string{"status", "-o", "xml"}, exitUsage, "", []string{`"xml"`, "text or json"}},
	} {
		t.Run(name, func(t *testing.T) {
			var s shell
			if code := s.run(t.Context(), c.args...); code != c.code {
				t.Errorf("exit code %d, want %d; stderr: %s", code, c.code, &s.stderr)
			}
			if !strings.Contains(s.stdout.String(), c.stdout) {
				t.Errorf("stdout lacks %q: %s", c.stdout, &s.stdout)
			}
			if c.stdout == "" && s.stdout.Len() > 0 {
				t.Errorf("stdout should be empty: %s", &s.stdout)
			}
			for _, want := range c.stderr {
				if !strings.Contains(s.stderr.String(), want) {
					t.Errorf("stderr lacks %q: %s", want, &s.stderr)
				}
			}
		})
	}
}

// lines is a stderr from which a test reads while the program writes.
type lines struct {
	mu  sync.Mutex
	buf bytes.Buffer
	has chan struct{}
}

func newLines() *lines { return &lines{has: make(chan struct{}, 1)} }

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	select {
	case l.has <- struct{}{}:
	default:
	}
	return l.buf.Write(b)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// await returns what stands between before and after once it was written.
func (l *lines) await(t *testing.T, before, after string) string {
	t.Helper()
	deadline := time.After(10 * time.Second)
	for {
		if _, rest, ok := strings.Cut(l.String(), before); ok {
			if found, _, ok := strings.Cut(rest, after); ok {
				return found
			}
		}
		select {
		case <-l.has:
		case <-deadline:
			t.Fatalf("%q never came: %s", before, l)
		}
	}
}

func get(t *testing.T, url string) (int, string) {
	t.Helper()
	response, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(body)
}

// Nothing is gathered until it is switched on, and an agent that does nothing is a healthy one.
func TestIdle(t *testing.T) {
	defer http.DefaultClient.CloseIdleConnections()
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	stderr, done := newLines(), make(chan int, 1)
	var stdout bytes.Buffer
	w := world{stdout: &stdout, stderr: stderr, env: func(string) (string, bool) { return "", false }}
	go func() {
		done <- dispatch(ctx, w, []string{"run", "--config", write(t, "{}"), "--listen", "127.0.0.1:0"})
	}()
	address := "http://" + stderr.await(t, `"listen":"`, `"`)

	for path, want := range map[string]string{
		"/healthz": "ok", "/readyz": "ok", "/status": `"mode": "idle"`, "/metrics": "baton_leader 0",
	} {
		if code, body := get(t, address+path); code != http.StatusOK || !strings.Contains(body, want) {
			t.Errorf("%s: %d, lacks %q: %s", path, code, want, body)
		}
	}
	if code, _ := get(t, address+"/other"); code != http.StatusNotFound {
		t.Errorf("/other: %d", code)
	}
	stop()
	if code := <-done; code != exitOK {
		t.Errorf("exit code %d: %s", code, stderr)
	}
	if stdout.Len() > 0 {
		t.Errorf("stdout is for records alone: %s", &stdout)
	}
	if !strings.Contains(stderr.String(), "leader_candidate") {
		t.Errorf("it does not say how to switch it on: %s", stderr)
	}
}
