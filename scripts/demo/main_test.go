package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestExitCode(t *testing.T) {
	gone, cancel := context.WithCancel(context.Background())
	cancel()
	for _, c := range []struct {
		name string
		ctx  context.Context
		err  error
		code int
		says string
	}{
		{"well", t.Context(), nil, 0, ""},
		{"lost", t.Context(), errVerdict, 1, ""},
		{"broken", t.Context(), errors.New("no etcd"), 1, "demo: no etcd"},
		{"known", t.Context(), fmt.Errorf("x: %w", errors.New("write a: no space left on device")), 1, "TMPDIR"},
		{"interrupted", gone, context.Canceled, interrupted, "interrupted"},
		{"interrupted at the very end", gone, nil, interrupted, "interrupted"},
	} {
		var b bytes.Buffer
		if code := exitCode(c.ctx, c.err, &b); code != c.code || !strings.Contains(b.String(), c.says) || c.says == "" && b.Len() > 0 {
			t.Errorf("%s: %d, %q", c.name, code, b.String())
		}
	}
}

func TestExplain(t *testing.T) {
	for text, want := range map[string]string{
		"etcd ended: its log ends:\nwrite /tmp/x: no space left on device":                     "disk is full",
		"building the agent: failed to initialize build cache at /x: mkdir: permission denied": "GOCACHE",
		"making a folder for child processes: mkdir /tmp/x: permission denied":                 "TMPDIR",
		`exec: "go": executable file not found in $PATH`:                                       "Go 1.26",
		"no free loopback port found":                                                          "18000",
		"something new":                                                                        "",
	} {
		if got := explain(errors.New(text)); !strings.Contains(got, want) {
			t.Errorf("%s: %q", text, got)
		}
	}
}

func TestOrphanLeaves(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	leaveWithParent(ctx, func() { t.Error("the parent is still there") })
}

func TestExplainIsShort(t *testing.T) {
	log := "etcd ended; its log ends:\nwarning: x\n" + strings.Repeat("write: no space left on device ", 100) + "\ngoroutine 1\n"
	got := explain(errors.New(log))
	if strings.Contains(got, "goroutine") || strings.Contains(got, "warning") || len(got) > 700 || !strings.Contains(got, "write: no space") {
		t.Error(got)
	}
}

func TestTogether(t *testing.T) {
	broken := errors.New("broken")
	waits := func(ctx context.Context) error {
		<-ctx.Done()
		return ctx.Err()
	}
	fails := func(context.Context) error { return broken }
	works := func(context.Context) error { return nil }
	if err := together(t.Context(), waits, fails, works); !errors.Is(err, broken) {
		t.Error(err)
	}
	if err := together(t.Context(), works); err != nil {
		t.Error(err)
	}
}
