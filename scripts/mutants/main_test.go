package main

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// fixture is a module with a function that is tested, one whose test demands too little, and one that is awaited.
var fixture = map[string]string{
	"go.mod": "module example.test/fixture\n\ngo 1.26\n",
	"sum/sum.go": `package sum

func Add(a, b int) int {
	return a + b
}

func Sub(a, b int) int {
	return a - b
}

func Wait(done chan struct{}) {
	close(done)
}
`,
	"sum/sum_test.go": `package sum

import "testing"

func TestAdd(t *testing.T) {
	if Add(2, 3) != 5 {
		t.Error("2 + 3 is 5")
	}
}

func TestSub(t *testing.T) { _ = Sub(3, 2) }

func TestWait(t *testing.T) {
	done := make(chan struct{})
	go Wait(done)
	<-done
}

func TestRed(t *testing.T) { t.Error("always") }
`,
}

func header(run string) string {
	return "Breaks: something.\nPackage: ./sum\nRun: " + run + "\n\n"
}

// change is a diff of one line of the fixture.
func change(context, from, to string) string {
	return "diff --git a/sum/sum.go b/sum/sum.go\n--- a/sum/sum.go\n+++ b/sum/sum.go\n" +
		"@@ -3,3 +3,3 @@\n " + context + " {\n-\t" + from + "\n+\t" + to + "\n }\n"
}

func add(to string) string { return change("func Add(a, b int) int", "return a + b", to) }

// newTree lays out the fixture and the patches as a git checkout, with nothing committed.
func newTree(t *testing.T, patches map[string]string) options {
	t.Helper()
	root := t.TempDir()
	files := maps.Clone(fixture)
	for name, text := range patches {
		files["patches/"+name+".patch"] = text
	}
	for name, text := range files {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.CommandContext(t.Context(), "git", "init", "-q", root)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("git init: %v\n%s", err, out)
	}
	return options{root: root, patches: filepath.Join(root, "patches"), jobs: 2, timeout: 2 * time.Second}
}

func TestEveryVerdictIsReported(t *testing.T) {
	o := newTree(t, map[string]string{
		"killed-one":  header("^TestAdd$") + add("return a - b"),
		"survivor":    header("^TestSub$") + change("func Sub(a, b int) int", "return a - b", "return b - a"),
		"stale-one":   header("^TestAdd$") + change("func Add(a, b int) int", "return b + a", "return a - b"),
		"broken-one":  header("^TestAdd$") + add("return nowhere"),
		"hung-one":    header("^TestWait$") + change("func Wait(done chan struct{})", "close(done)", "select {}"),
		"red-before":  header("^TestRed$") + add("return a - b"),
		"nothing-run": header("^TestMul$") + add("return a - b"),
	})
	var out bytes.Buffer
	if err := run(t.Context(), o, &out); !errors.Is(err, errNotAll) {
		t.Errorf("run says %v, want %v", err, errNotAll)
	}
	want := map[string]string{
		"killed-one": killed, "survivor": survived, "stale-one": stale, "broken-one": broken, "hung-one": hung,
		"red-before": useless, "nothing-run": useless,
	}
	_, table, _ := strings.Cut(out.String(), "MUTANT")
	for name, verdict := range want {
		if !slices.ContainsFunc(strings.Split(table, "\n"), func(line string) bool {
			return strings.HasPrefix(line, name+" ") && strings.Contains(line, "  "+verdict+"  ")
		}) {
			t.Errorf("the table has no %s for %s:\n%s", verdict, name, out.String())
		}
	}
}

func TestAllKilledIsNoError(t *testing.T) {
	o := newTree(t, map[string]string{
		"one": header("^TestAdd$") + add("return a - b"),
		"two": header("^TestAdd$") + add("return a"),
	})
	var out bytes.Buffer
	if err := run(t.Context(), o, &out); err != nil {
		t.Errorf("run says %v:\n%s", err, out.String())
	}
	data, err := os.ReadFile(filepath.Join(o.root, "sum", "sum.go"))
	if err != nil || string(data) != fixture["sum/sum.go"] {
		t.Errorf("the tree itself was changed: %v\n%s", err, data)
	}
}

func TestOnlyRunsOne(t *testing.T) {
	o := newTree(t, map[string]string{
		"one": header("^TestAdd$") + add("return a - b"),
		"two": header("^TestAdd$") + add("return a + b + 0"),
	})
	o.only = "one"
	if err := run(t.Context(), o, &bytes.Buffer{}); err != nil {
		t.Errorf("run says %v", err)
	}
	o.only = "three"
	err := run(t.Context(), o, &bytes.Buffer{})
	if err == nil || !strings.Contains(err.Error(), "no patch three.patch") {
		t.Errorf("run says %v of a name that there is not", err)
	}
}

func TestACutOffRunIsAnError(t *testing.T) {
	o := newTree(t, map[string]string{"one": header("^TestAdd$") + add("return a - b")})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := run(ctx, o, &bytes.Buffer{}); !errors.Is(err, context.Canceled) {
		t.Errorf("run says %v, want %v", err, context.Canceled)
	}
}

func TestAHeaderWithoutItsLines(t *testing.T) {
	for _, missing := range []string{"Breaks", "Package", "Run"} {
		t.Run(missing, func(t *testing.T) {
			text := strings.Replace(header("^TestAdd$"), missing+":", "Other:", 1) + add("return a - b")
			o := newTree(t, map[string]string{"one": text})
			err := run(t.Context(), o, &bytes.Buffer{})
			if err == nil || !strings.Contains(err.Error(), "`"+missing+": …`") {
				t.Errorf("run says %v", err)
			}
		})
	}
}
