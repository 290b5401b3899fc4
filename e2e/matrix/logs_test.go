package matrix

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const tailLines = 25

// Error, Errorf, Fatal and Fatalf are those of testing.T, and remember what they say for the summary.

func (r *run) Error(args ...any) {
	r.Helper()
	r.remember(fmt.Sprint(args...))
	r.T.Error(args...)
}

func (r *run) Errorf(format string, args ...any) {
	r.Helper()
	r.remember(fmt.Sprintf(format, args...))
	r.T.Errorf(format, args...)
}

func (r *run) Fatal(args ...any) {
	r.Helper()
	r.remember(fmt.Sprint(args...))
	r.T.Fatal(args...)
}

func (r *run) Fatalf(format string, args ...any) {
	r.Helper()
	r.remember(fmt.Sprintf(format, args...))
	r.T.Fatalf(format, args...)
}

func (r *run) remember(what string) {
	suite.mu.Lock()
	defer suite.mu.Unlock()
	suite.failures = append(suite.failures, fmt.Sprintf("%s, %s: %s", r.name, r.lock, what))
}

// recount says at the end once more what has failed: the runs side by side have written thousands of lines since.
func recount(t *testing.T) {
	suite.mu.Lock()
	defer suite.mu.Unlock()
	for _, f := range suite.failures {
		t.Log(f)
	}
}

// keepLogs shows the end of the agents' logs where the run has failed, and copies them where it was asked to.
func (r *run) keepLogs() {
	timeline := r.timeline()
	if r.Failed() {
		r.Log(timeline)
	}
	dir := os.Getenv("BATON_MATRIX_LOGS")
	if dir != "" {
		r.keep(dir, "timeline", []byte(timeline))
	}
	for _, a := range r.fleet.Agents() {
		log, err := os.ReadFile(a.Stderr())
		if err != nil {
			continue // never started
		}
		if dir != "" {
			r.keep(dir, a.Name, log)
		}
		if r.Failed() {
			r.Logf("the log of %s ends:\n%s", a.Name, tail(log))
		}
	}
}

func (r *run) keep(dir, name string, content []byte) {
	dir = filepath.Join(dir, slug(r.name), r.lock)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		r.Log(err)
	}
	if err := os.WriteFile(filepath.Join(dir, name+".log"), content, 0o600); err != nil {
		r.Log(err)
	}
}

func tail(log []byte) string {
	lines := bytes.Split(bytes.TrimSpace(log), []byte("\n"))
	var b strings.Builder
	for _, line := range lines[max(0, len(lines)-tailLines):] {
		fmt.Fprintf(&b, "  %s\n", line[:min(len(line), 400)])
	}
	return b.String()
}

// timeline is what was seen of lock and cursors, one line a change of their owner.
func (r *run) timeline() string {
	const stamp = "15:04:05.000"
	var b strings.Builder
	b.WriteString("what was seen:\n")
	for _, w := range r.windows {
		fmt.Fprintf(&b, "  %s window, clip %v\n", w.from.UTC().Format(stamp), w.clip)
	}
	last := "-"
	for _, s := range r.fleet.Lock.All() {
		if s.Holder != last {
			fmt.Fprintf(&b, "  %s lock version %s held by %q, transitions %d\n", s.At.UTC().Format(stamp), s.Version, s.Holder, s.LeaderTransitions)
		}
		last = s.Holder
	}
	last = "-"
	for _, s := range r.fleet.Cursors.All() {
		if now := fmt.Sprint(s.Owner, s.Epoch, s.Deleted); now != last {
			fmt.Fprintf(&b, "  %s cursors version %s owner %q epoch %d deleted %v %v\n", s.At.UTC().Format(stamp), s.Version, s.Owner, s.Epoch, s.Deleted, s.RVs)
			last = now
		}
	}
	return b.String()
}
