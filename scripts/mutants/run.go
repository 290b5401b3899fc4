package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// Verdicts. Only a killed mutant is a good one.
const (
	killed   = "killed"
	survived = "SURVIVED"   // its test is green all the same
	stale    = "STALE"      // the patch does not apply
	broken   = "NO BUILD"   // what it leaves does not compile, so its test says nothing
	hung     = "TIMED OUT"  // its test hung; a slow machine would look the same
	useless  = "NOT GREEN"  // its test is red, or runs nothing, without the patch
	failed   = "NOT JUDGED" // the runner itself could not do its work
)

type result struct {
	mutant
	verdict string
	detail  string // what to look at where the verdict isn't killed
	took    time.Duration
}

// runner judges mutants of one tree.
type runner struct {
	root    string   // of the tree
	files   []string // of it, relative to root
	scratch string   // a folder of its own, which the caller removes
	timeout time.Duration
}

// green runs the test on the tree as it is, and says what is wrong with it there: nothing, as a rule.
func (r *runner) green(ctx context.Context, t test) (verdict, detail string) {
	dir := filepath.Join(r.scratch, "unchanged")
	limit := "-timeout=" + r.timeout.String()
	out, err := r.command(ctx, dir, "go", "test", "-trimpath", "-v", limit, "-run", t.run, t.pkg)
	switch {
	case err != nil:
		return useless, out
	case !strings.Contains(out, "--- PASS: "):
		return useless, "Run matches no test of the package\n" + out
	}
	return "", ""
}

// judge applies the mutant to a copy of the tree and runs its test there.
func (r *runner) judge(ctx context.Context, m mutant) (verdict, detail string) {
	dir := filepath.Join(r.scratch, "mutant-"+m.name)
	defer func() { _ = os.RemoveAll(dir) }()
	if err := copyTree(r.root, dir, r.files); err != nil {
		return failed, err.Error()
	}
	if out, err := r.command(ctx, dir, "git", "apply", m.path); err != nil {
		return stale, out
	}
	// -trimpath keeps the folder out of the cache's keys: only what the patch touches is compiled again.
	binary := filepath.Join(dir, "mutant.test")
	build := []string{"test", "-trimpath", "-vet=off", "-c", "-o", binary, m.test.pkg}
	if out, err := r.command(ctx, dir, "go", build...); err != nil {
		return broken, out
	}
	limit := "-test.timeout=" + r.timeout.String()
	out, err := r.command(ctx, filepath.Join(dir, m.test.pkg), binary, limit, "-test.run", m.test.run)
	return verdictOf(out, err), out
}

func verdictOf(out string, err error) string {
	_, exited := errors.AsType[*exec.ExitError](err)
	switch {
	case err == nil:
		return survived
	case !exited:
		return failed
	case strings.Contains(out, "panic: test timed out after"):
		return hung
	}
	return killed
}

// command runs a program in a folder and gives all it wrote. When ctx ends, everything it started ends with it.
func (r *runner) command(ctx context.Context, dir, name string, args ...string) (string, error) {
	// The test's own limit comes first and says where it hung; this one is for what hangs outside a test.
	limited, cancel := context.WithTimeout(ctx, r.timeout+5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(limited, name, args...)
	cmd.Dir = dir
	// The copy is no checkout, also where the folder for temporary files lies in one.
	cmd.Env = append(os.Environ(), "GIT_CEILING_DIRECTORIES="+filepath.Dir(dir), "PWD="+dir)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = 5 * time.Second
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	if limited.Err() != nil {
		err = fmt.Errorf("%s was cut off: %w", name, limited.Err())
	}
	if err != nil {
		fmt.Fprintf(&out, "%s: %v\n", name, err)
	}
	return out.String(), err
}
