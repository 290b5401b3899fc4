package main

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/eventbaton/baton/e2e/child"
)

func nursery(t *testing.T) *child.Nursery {
	t.Helper()
	n, err := child.Open("baton-demo-test")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	})
	return n
}

func TestOutput(t *testing.T) {
	n := nursery(t)
	out, err := output(t.Context(), n, exec.Command("sh", "-c", `echo "$GOTMPDIR"`))
	if err != nil || out != n.Dir+"\n" {
		t.Errorf("%q, %v", out, err)
	}
	if _, err := output(t.Context(), n, exec.Command("sh", "-c", "exit 3")); err == nil {
		t.Error("a failure is taken for success")
	}
}

// A build that is interrupted gets to remove its own files.
func TestOutputInterrupted(t *testing.T) {
	n := nursery(t)
	began, removed := filepath.Join(n.Dir, "began"), filepath.Join(n.Dir, "removed")
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	go func() {
		for ctx.Err() == nil {
			if _, err := os.Stat(began); err == nil {
				cancel()
			}
			time.Sleep(time.Millisecond)
		}
	}()
	script := `trap 'echo > "$2"; exit 1' INT; echo > "$1"; while :; do sleep 0.01; done`
	if _, err := output(ctx, n, exec.Command("sh", "-c", script, "sh", began, removed)); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if _, err := os.Stat(removed); err != nil {
		t.Error(err)
	}
}

func TestTail(t *testing.T) {
	if got := tail("a\nb\nc\n", 2); got != "b\nc" {
		t.Errorf("%q", got)
	}
	if got := tail("", 2); got != "" {
		t.Errorf("%q", got)
	}
}

// A stage on which nothing stands yet is cleared as well.
func TestClearNothing(t *testing.T) {
	if err := new(stage).clear(); err != nil {
		t.Error(err)
	}
	s := &stage{}
	show := newShow(s, &pipe{out: &quietly{}})
	show.tell("one")
	show.mark("baton-0", "killed")
	show.end(false)
	if got := show.scene(); len(got.Told) != 1 || got.Agents != nil {
		t.Errorf("%+v", got)
	}
}

type quietly struct{}

func (quietly) Write(b []byte) (int, error) { return len(b), nil }
