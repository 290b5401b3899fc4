package step

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"testing"
	"time"
)

// clock goes on by a step each time it is read.
func clock(step time.Duration) func() time.Time {
	now := time.Unix(0, 0)
	return func() time.Time {
		now = now.Add(step)
		return now
	}
}

func TestDo(t *testing.T) {
	broken := errors.New("broken")
	for name, c := range map[string]struct {
		terminal bool
		took     time.Duration
		said     string
		note     string
		err      error
		want     string
	}{
		"plain":             {took: 2340 * time.Millisecond, want: " • make tea ...\n ✓ make tea  2.3 s\n"},
		"long":              {took: 72 * time.Second, want: " • make tea ...\n ✓ make tea  72 s\n"},
		"with a note":       {took: time.Second, note: "green", want: " • make tea ...\n ✓ make tea: green  1.0 s\n"},
		"failed":            {took: time.Second, err: broken, want: " • make tea ...\n ✗ make tea  1.0 s\n"},
		"another's lines":   {took: time.Second, said: "a\n\n  b\r\nc", want: " • make tea ...\n   a\n   b\n   c\n ✓ make tea  1.0 s\n"},
		"terminal":          {terminal: true, took: time.Second, want: " • make tea ...\r ✓ make tea  1.0 s\n"},
		"terminal, a line":  {terminal: true, took: time.Second, said: "a\n", want: " • make tea ...\n   a\n ✓ make tea  1.0 s\n"},
		"terminal, no line": {terminal: true, took: time.Second, said: "\n", want: " • make tea ...\r ✓ make tea  1.0 s\n"},
	} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			l := &Log{w: &out, terminal: c.terminal, now: clock(c.took)}
			err := l.Do("make tea", func() (string, error) {
				fmt.Fprint(l, c.said)
				return c.note, c.err
			})
			if !errors.Is(err, c.err) {
				t.Errorf("error %v, want %v", err, c.err)
			}
			if out.String() != c.want {
				t.Errorf("printed\n%q, want\n%q", out.String(), c.want)
			}
		})
	}
}

// A line that is shorter than the one it overwrites leaves nothing of it.
func TestDoOverwritesTheWholeLine(t *testing.T) {
	var out bytes.Buffer
	l := &Log{w: &out, terminal: true, now: clock(0)}
	l.begin("a long name")
	l.end(" ✓ x")
	if want := " • a long name ...\r ✓ x              \n"; out.String() != want {
		t.Errorf("printed %q, want %q", out.String(), want)
	}
}

func TestStepInAStep(t *testing.T) {
	var out bytes.Buffer
	l := &Log{w: &out, terminal: true, now: clock(time.Second)}
	_ = l.Do("outer", func() (string, error) {
		return "", l.Do("inner", func() (string, error) { return "", nil })
	})
	if want := " • outer ...\n • inner ...\r ✓ inner  1.0 s\n ✓ outer  3.0 s\n"; out.String() != want {
		t.Errorf("printed %q, want %q", out.String(), want)
	}
}

func TestTo(t *testing.T) {
	l := To(nil)
	if err := l.Do("nothing", func() (string, error) { return "", nil }); err != nil || l.w != io.Discard {
		t.Errorf("nil prints to %v, error %v", l.w, err)
	}
	if To(l) != l {
		t.Error("a Log is wrapped in another")
	}
	f, err := os.Create(t.TempDir() + "/out")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if To(f).terminal {
		t.Error("a file is taken for a terminal")
	}
	if To(&bytes.Buffer{}).terminal {
		t.Error("a buffer is taken for a terminal")
	}
}

func TestWriteFromSeveralPrograms(t *testing.T) {
	var out bytes.Buffer
	l := To(&out)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 100 {
				fmt.Fprint(l, "line\n")
			}
		})
	}
	wg.Wait()
	if got := bytes.Count(out.Bytes(), []byte("   line\n")); got != 800 {
		t.Errorf("%d lines of 800 arrived whole", got)
	}
}
