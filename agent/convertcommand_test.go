package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const keeConfig = `maxEventAgeSeconds: 60
route:
  routes:
    - match:
        - type: ^Warning$
          receiver: dump
receivers:
  - name: dump
    stdout: {}
`

// What convert prints is a kubernetes.yaml that check takes, and stderr says what has no equal.
func TestConvert(t *testing.T) {
	old, same := write(t, keeConfig), write(t, strings.TrimPrefix(keeConfig, "maxEventAgeSeconds: 60\n"))
	bad, folder := write(t, "route:\n  routes: 7\n"), t.TempDir()
	lack := ":1: maxEventAgeSeconds: has no equal"
	for name, c := range map[string]struct {
		args   []string
		stdin  string
		code   int
		stdout string
		stderr string
	}{
		"a file":           {args: []string{"kee", old}, stdout: `filter: event.type == "Warning"`, stderr: old + lack},
		"stdin":            {args: []string{"kee", "-"}, stdin: keeConfig, stdout: "of stdin,", stderr: "stdin" + lack},
		"strict":           {args: []string{"--strict", "kee", old}, code: exitFailed, stdout: "type: stdout", stderr: "not everything in it has an equal"},
		"strict, all well": {args: []string{"--strict", "kee", same}, stdout: "type: stdout"},
		"unusable":         {args: []string{"kee", bad}, code: exitFailed, stderr: bad + ":2: route.routes: is not a list; write one"},
		"no file":          {args: []string{"kee", "/nowhere/config.yaml"}, code: exitFailed, stderr: "/nowhere/config.yaml can't be opened: no such file"},
		"a folder":         {args: []string{"kee", folder}, code: exitFailed, stderr: folder + " can't be read: is a directory; name the configuration's file"},
		"another layout":   {args: []string{"fluentd", old}, code: exitUsage, stderr: `"fluentd" is no layout; write kee`},
		"no layout":        {args: []string{old}, code: exitUsage, stderr: "usage: baton convert [--strict] kee|otel|agent5 FILE"},
		"too long":         {args: []string{"kee", "-"}, stdin: strings.Repeat("#\n", 1<<20), code: exitFailed, stderr: "stdin:1: is longer than"},
	} {
		t.Run(name, func(t *testing.T) {
			s := shell{stdin: c.stdin}
			if code := s.run(t.Context(), append([]string{"convert"}, c.args...)...); code != c.code {
				t.Errorf("exit code %d, want %d; stderr: %s", code, c.code, &s.stderr)
			}
			if !strings.Contains(s.stdout.String(), c.stdout) || c.stdout == "" && s.stdout.Len() > 0 {
				t.Errorf("stdout is not %q: %s", c.stdout, &s.stdout)
			}
			if !strings.Contains(s.stderr.String(), c.stderr) || c.stderr == "" && s.stderr.Len() > 0 {
				t.Errorf("stderr is not %q: %s", c.stderr, &s.stderr)
			}
			if c.stdout == "" {
				return
			}
			converted := write(t, s.stdout.String())
			if code := s.run(t.Context(), "check", converted); code != exitOK {
				t.Errorf("check refuses it: %s", &s.stderr)
			}
		})
	}
}

// All examples are taken by check as they were converted.
func TestConvertedExamples(t *testing.T) {
	examples, err := filepath.Glob("convert/testdata/*/*.yaml")
	if err != nil || len(examples) == 0 {
		t.Fatal(err, examples)
	}
	for _, example := range examples {
		var s shell
		if code := s.run(t.Context(), "convert", filepath.Base(filepath.Dir(example)), example); code != exitOK {
			t.Fatalf("%s: %s", example, &s.stderr)
		}
		golden, err := os.ReadFile(strings.TrimSuffix(example, ".yaml") + ".golden")
		if err != nil || s.stdout.String() != string(golden) {
			t.Errorf("%s: not the golden file, %v", example, err)
		}
		if code := s.run(t.Context(), "check", write(t, string(golden))); code != exitOK || !strings.Contains(s.stdout.String(), "ok") {
			t.Errorf("%s: check refuses it: %s", example, &s.stderr)
		}
	}
}
