package main

import (
	"context"
	"errors"
	"io"
	"os/exec"
	"strings"
	"testing"
)

// own is an engine of ours that is pretended.
type own struct {
	up, started bool
	err         error
}

func (o *own) host() string                { return "unix:///own.sock" }
func (o *own) running() bool               { return o.up }
func (o *own) start(context.Context) error { o.started = true; return o.err }

// answer is what the pretended docker says to a subcommand.
type answer struct {
	out string
	err error
}

var errExit = errors.New("exit status 125")

const (
	refusal = "docker: Error response from daemon: failed to create shim task: OCI runtime create failed: runc create failed: " +
		"unable to start container process: unable to apply caps: operation not permitted: unknown.\n\nRun 'docker run --help'"
	missing = "docker: Error response from daemon: failed to create shim task: OCI runtime create failed: runc create failed: " +
		"unable to start container process: exec: \"/nothing\": stat /nothing: no such file or directory: unknown."
)

func TestFind(t *testing.T) {
	for _, c := range []struct {
		name              string
		env               string
		own               own
		user              bool
		answers           map[string]answer
		host, fails       string
		started, unprobed bool
	}{
		{name: "the machine's own where it can", answers: map[string]answer{"run": {missing, errExit}}, host: "unix:///machine.sock"},
		{name: "as a user too", user: true, answers: map[string]answer{"run": {missing, errExit}}, host: "unix:///machine.sock"},
		{name: "what fails for another reason is kind's to report",
			answers: map[string]answer{"run": {"docker: no space left on device", errExit}}, host: "unix:///machine.sock"},
		{name: "DOCKER_HOST is the machine's own", env: "tcp://engine:2375", answers: map[string]answer{"run": {missing, errExit}}, host: "tcp://engine:2375"},
		{name: "one of our own where capabilities are refused", answers: map[string]answer{"run": {refusal, errExit}}, host: "unix:///own.sock", started: true},
		{name: "ours cannot start", own: own{err: errors.New("no dockerd")}, answers: map[string]answer{"run": {refusal, errExit}}, fails: "no dockerd", started: true},
		{name: "not as a user", user: true, answers: map[string]answer{"run": {refusal, errExit}}, fails: "run this as root"},
		{name: "not for an engine elsewhere", env: "tcp://engine:2375", answers: map[string]answer{"run": {refusal, errExit}}, fails: "set DOCKER_HOST to one that can"},
		{name: "ours runs already", own: own{up: true}, host: "unix:///own.sock", started: true, unprobed: true},
		{name: "DOCKER_HOST is ours", env: "unix:///own.sock", host: "unix:///own.sock", started: true, unprobed: true},
		{name: "no docker", answers: map[string]answer{"context": {"", exec.ErrNotFound}}, fails: "install Docker"},
		{name: "no docker, but DOCKER_HOST", env: "unix:///x", answers: map[string]answer{"import": {"", exec.ErrNotFound}}, fails: "install Docker"},
		{name: "no engine", answers: map[string]answer{"import": {"Cannot connect to the Docker daemon", errExit}}, fails: "does not answer: start it"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Setenv("DOCKER_HOST", c.env)
			var calls []string
			pretended := func(_ context.Context, host string, _ io.Reader, args ...string) (string, error) {
				calls = append(calls, args[0])
				if args[0] == "run" && (!strings.Contains(strings.Join(args, " "), "--privileged") || host == "") {
					t.Errorf("not a privileged container of a host: %q at %q", args, host)
				}
				a, told := c.answers[args[0]]
				if !told && args[0] == "context" {
					a.out = "unix:///machine.sock"
				}
				return a.out, a.err
			}
			host, err := find(t.Context(), pretended, &c.own, !c.user)
			if c.fails == "" && (err != nil || host != c.host) {
				t.Errorf("%q, %v, want %q", host, err, c.host)
			}
			if c.fails != "" && (err == nil || !strings.Contains(err.Error(), c.fails)) {
				t.Errorf("%v, want something with %q", err, c.fails)
			}
			if c.own.started != c.started {
				t.Errorf("started: %v", c.own.started)
			}
			tried := strings.Contains(strings.Join(calls, " "), "import run image")
			if c.fails == "" && tried == c.unprobed {
				t.Errorf("a container was tried, and its image removed: %v; calls %q", tried, calls)
			}
		})
	}
}

func TestLacksCapability(t *testing.T) {
	for _, c := range []struct {
		out   string
		err   error
		lacks bool
	}{
		{refusal, errExit, true},
		{"crun: set process capabilities: Operation not permitted: OCI permission denied", errExit, true},
		{missing, errExit, false},
		{"docker: mount denied: operation not permitted", errExit, false},
		{refusal, nil, false},
	} {
		if got := lacksCapability(c.out, c.err); (got != "") != c.lacks || strings.Contains(got, "\n") {
			t.Errorf("%q: %q", c.out, got)
		}
	}
}

func TestFindIsCutOff(t *testing.T) {
	t.Setenv("DOCKER_HOST", "unix:///machine.sock")
	ctx, cancel := context.WithCancel(t.Context())
	pretended := func(_ context.Context, _ string, _ io.Reader, args ...string) (string, error) {
		if args[0] == "run" {
			cancel()
			return "", context.Canceled
		}
		return "", nil
	}
	// A container that was never tried to the end says nothing about the engine.
	if host, err := find(ctx, pretended, &own{}, true); !errors.Is(err, context.Canceled) {
		t.Errorf("%q, %v", host, err)
	}
}
