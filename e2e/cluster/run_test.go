package cluster

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestOutput(t *testing.T) {
	out, err := output(t.Context(), strings.NewReader("in"), "sh", "-c", `printf "%s %s" "$(cat)" "$1"`, "sh", "argument")
	if err != nil || string(out) != "in argument" {
		t.Errorf("%q, error %v", out, err)
	}
}

func TestOutputSaysWhatFailed(t *testing.T) {
	out, err := output(t.Context(), nil, "sh", "-c", "echo half; echo '  bad luck ' >&2; exit 3")
	if err == nil {
		t.Fatal("exit code 3 is no error")
	}
	if string(out) != "half" && string(out) != "half\n" {
		t.Errorf("stdout %q is lost", out)
	}
	for _, part := range []string{"sh -c", "exit status 3", "bad luck"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%q does not say %q", err, part)
		}
	}
	var failed *CommandError
	if !errors.As(err, &failed) || failed.Stderr != "bad luck" || said(err) != "bad luck" {
		t.Errorf("stderr of %#v", err)
	}
}

func TestOutputEndsWithItsContext(t *testing.T) {
	why := errors.New("enough")
	ctx, cancel := context.WithCancelCause(t.Context())
	time.AfterFunc(50*time.Millisecond, func() { cancel(why) })
	begin := time.Now()
	_, err := output(ctx, nil, "sleep", "60")
	if !errors.Is(err, why) || time.Since(begin) > 30*time.Second {
		t.Errorf("after %s: %v", time.Since(begin), err)
	}
}

func TestScript(t *testing.T) {
	root := checkout(t, map[string]string{"scripts/a/b": "echo building >&2; pwd; echo ' result '; echo"})
	var log bytes.Buffer
	got, err := script(t.Context(), &log, root, "scripts/a/b")
	if err != nil || got != "result" || log.String() != "building\n" {
		t.Errorf("%q, log %q, error %v", got, log.String(), err)
	}
}

func TestScriptErrors(t *testing.T) {
	root := checkout(t, map[string]string{"scripts/a/b": "echo step 1 >&2; echo 'install make' >&2; echo 'exit status 3' >&2; exit 1"})
	for path, part := range map[string]string{"scripts/a/b": "install make", "scripts/a/absent": "no such file"} {
		_, err := script(t.Context(), nil, root, path)
		if err == nil || !strings.Contains(err.Error(), part) || !strings.HasPrefix(err.Error(), path) {
			t.Errorf("%s: error %v, want %q", path, err, part)
		}
		if err != nil && (strings.Contains(err.Error(), "step 1") || strings.Contains(err.Error(), "status 3")) {
			t.Errorf("%s: %v has more than the line that tells", path, err)
		}
	}
}

// What a script has started is told to end too, and it may tidy up.
func TestScriptEndsWithAllItStarted(t *testing.T) {
	root := checkout(t, map[string]string{"scripts/long": `
trap 'kill $!; echo tidy > tidied; exit 1' TERM
sleep 60 & echo $! > started.tmp; mv started.tmp started
wait`})
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		defer cancel()
		for ctx.Err() == nil {
			if _, err := os.Stat(filepath.Join(root, "started")); err == nil {
				return
			}
			time.Sleep(5 * time.Millisecond)
		}
	}()
	_, err := script(ctx, nil, root, "scripts/long")
	if !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	if read(t, filepath.Join(root, "tidied")) != "tidy\n" {
		t.Error("it had no time to tidy up")
	}
	if _, err := os.Stat("/proc/" + strings.TrimSpace(read(t, filepath.Join(root, "started"))) + "/exe"); err == nil {
		t.Error("what it had started still runs")
	}
}

func TestShown(t *testing.T) {
	for want, args := range map[string][]string{
		"docker exec node kill -9 12":           {"/usr/bin/docker", "exec", "node", "kill", "-9", "12"},
		"sh -c a...":                            {"sh", "-c", "a\nb"},
		"sh " + strings.Repeat("é", 60) + "...": {"sh", strings.Repeat("é", 61)},
	} {
		if got := shown(args); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

func TestTail(t *testing.T) {
	for text, want := range map[string]string{"": "", "a": "a", "a\n\n b \n\nc\n": "b\nc"} {
		if got := tail(text, 2); got != want {
			t.Errorf("of %q: %q, want %q", text, got, want)
		}
	}
}
