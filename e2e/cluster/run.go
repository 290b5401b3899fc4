package cluster

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

const (
	// longest is how long a command may take where the caller has not said it by its context.
	longest = 5 * time.Minute
	// grace is how long a script that is told to end may take to remove its own files.
	grace = 10 * time.Second
	// telling is how many of the last lines of stderr an error carries.
	telling = 6
)

// output runs a command and returns its stdout. The error names the command and what it said on stderr.
func output(ctx context.Context, stdin io.Reader, name string, args ...string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, longest)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Stdin = stdin
	cmd.WaitDelay = grace
	return result(ctx, cmd, nil)
}

// script runs one of the checkout's scripts and returns the last line that it prints; log gets its stderr. It has a
// process group of its own, so that at the end of ctx all that it started is asked to end.
func script(ctx context.Context, log io.Writer, root, path string) (string, error) {
	cmd := exec.CommandContext(ctx, filepath.Join(root, filepath.FromSlash(path)))
	cmd.Dir = root
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }
	cmd.WaitDelay = grace
	out, err := result(ctx, cmd, log)
	if err != nil {
		return "", reason(path, err)
	}
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	return strings.TrimSpace(lines[len(lines)-1]), nil
}

// reason is a script's error with the one line that tells why: the log has had the others. The last of them may be only
// what `go run` adds.
func reason(path string, err error) error {
	var failed *CommandError
	if !errors.As(err, &failed) {
		return fmt.Errorf("%s: %w", path, err)
	}
	why := ""
	for line := range strings.SplitSeq(failed.Stderr, "\n") {
		if !strings.HasPrefix(line, "exit status ") {
			why = line
		}
	}
	return &CommandError{Command: path, Stderr: why, err: failed.err}
}

func result(ctx context.Context, cmd *exec.Cmd, log io.Writer) ([]byte, error) {
	var out, said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &said
	if log != nil {
		cmd.Stderr = io.MultiWriter(log, &said)
	}
	err := cmd.Run()
	if err == nil {
		return out.Bytes(), nil
	}
	// That it was killed says less than why.
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	return out.Bytes(), &CommandError{Command: shown(cmd.Args), Stderr: tail(said.String(), telling), err: err}
}

// CommandError is a command that failed.
type CommandError struct {
	Command string
	// Stderr are its last lines.
	Stderr string

	err error
}

func (e *CommandError) Error() string {
	if e.Stderr == "" {
		return e.Command + ": " + e.err.Error()
	}
	return e.Command + ": " + e.err.Error() + ": " + e.Stderr
}

func (e *CommandError) Unwrap() error { return e.err }

// said is what a failed command told on stderr, else the error itself.
func said(err error) string {
	var failed *CommandError
	if errors.As(err, &failed) && failed.Stderr != "" {
		return failed.Stderr
	}
	return err.Error()
}

// shown is a command as an error names it: whole scripts among its arguments are cut short.
func shown(args []string) string {
	const most = 60
	short := make([]string, len(args))
	for i, a := range args {
		a, rest, more := strings.Cut(a, "\n")
		if r := []rune(a); len(r) > most {
			a, more = string(r[:most]), true
		}
		if more || rest != "" {
			a += "..."
		}
		short[i] = a
	}
	short[0] = filepath.Base(short[0])
	return strings.Join(short, " ")
}

// tail are the last n lines that are not empty.
func tail(text string, n int) string {
	var lines []string
	for l := range strings.SplitSeq(text, "\n") {
		if l = strings.TrimSpace(l); l != "" {
			lines = append(lines, l)
		}
	}
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}
