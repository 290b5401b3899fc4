package main

import (
	"context"
	"errors"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/eventbaton/baton/e2e/cluster"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// says wants err to tell part, or nil for "".
func says(t *testing.T, err error, part string) {
	t.Helper()
	if part == "" {
		if err != nil {
			t.Errorf("error %v, want none", err)
		}
		return
	}
	if err == nil || !strings.Contains(err.Error(), part) {
		t.Errorf("error %v, want %q", err, part)
	}
}

func TestExitCode(t *testing.T) {
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	for name, c := range map[string]struct {
		ctx  context.Context
		err  error
		code int
		said string
	}{
		"well":                     {t.Context(), nil, 0, ""},
		"wrong":                    {t.Context(), errors.New("no disk"), 1, "up: no disk"},
		"interrupted":              {gone, context.Canceled, interrupted, "make down"},
		"interrupted at the end":   {gone, nil, 0, ""},
		"failed, then interrupted": {gone, errors.New("no disk"), interrupted, "interrupted"},
	} {
		t.Run(name, func(t *testing.T) {
			var stderr strings.Builder
			if code := exitCode(c.ctx, c.err, &stderr); code != c.code || !strings.Contains(stderr.String(), c.said) {
				t.Errorf("code %d, said %q", code, stderr.String())
			}
			if c.said == "" && stderr.Len() > 0 {
				t.Errorf("said %q", stderr.String())
			}
		})
	}
}

// Both say what is missing in one line, and leave nothing running.
func TestWithoutDocker(t *testing.T) {
	t.Setenv("DOCKER_HOST", "")
	dir := t.TempDir()
	script(t, dir, "go", `echo "$GO_MOD_FILE"`)
	t.Setenv("GO_MOD_FILE", module(t))
	t.Setenv("PATH", dir)
	var out strings.Builder
	o := cluster.Options{Name: "example", Workers: workers}
	says(t, up(t.Context(), o, nil, &out), "docker is not on PATH")
	says(t, remove(t.Context(), o, nil, &out), "docker is not on PATH")
	if out.Len() > 0 {
		t.Errorf("it printed %q all the same", out.String())
	}
}
