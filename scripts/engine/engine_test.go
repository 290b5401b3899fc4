//go:build linux

package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// pretend puts a dockerd, a docker and a runc on PATH that only do as if, and returns an engine that uses them.
func pretend(t *testing.T, dockerd string) (*engine, *bytes.Buffer) {
	t.Helper()
	folder := t.TempDir()
	log := &bytes.Buffer{}
	e := &engine{
		run: filepath.Join(folder, "run"), state: filepath.Join(folder, "state"), log: log, patience: 10 * time.Second, network: &device{},
	}
	for name, script := range map[string]string{
		"dockerd": dockerd,
		"docker":  `[ -e ` + e.pidFile() + ` ]`,
		"runc":    `exit 0`,
	} {
		if err := os.WriteFile(filepath.Join(folder, name), []byte("#!/bin/sh\n"+script+"\n"), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", folder+":"+os.Getenv("PATH"))
	t.Cleanup(func() {
		if pid := e.pid(); pid != 0 {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	})
	return e, log
}

// device is a network that remembers whether it is there.
type device struct{ there bool }

func (d *device) device() string { return "test0" }
func (d *device) add() error     { d.there = true; return nil }
func (d *device) remove() error  { d.there = false; return nil }

// hasNetwork says whether the engine's network is there.
func (e *engine) hasNetwork() bool { return e.network.(*device).there }

// daemon writes its number where the configuration (its second argument) says so and waits for SIGTERM.
const daemon = `
pid=$(sed -n 's/.*"pidfile": "\(.*\)".*/\1/p' "$2")
trap 'rm -f "$pid"; exit 0' TERM
echo $$ >"$pid.new" && mv "$pid.new" "$pid"
while :; do sleep 0.05; done`

func TestStartAndStop(t *testing.T) {
	e, log := pretend(t, daemon)
	ctx := t.Context()
	if err := e.stop(ctx); err != nil || e.running() {
		t.Fatalf("stop before a start: %v", err)
	}
	if err := e.start(ctx); err != nil {
		t.Fatal(err)
	}
	first := e.pid()
	if first == 0 || strings.Count(log.String(), "\n") != 1 || !strings.Contains(log.String(), "privileged") {
		t.Fatalf("process %d, said %q", first, log)
	}
	if !e.hasNetwork() {
		t.Error("it has been started without its network")
	}
	if session, _ := getsid(first); session != first {
		t.Errorf("it is in session %d, which ends with the shell's", session)
	}
	if err := e.start(ctx); err != nil || e.pid() != first || strings.Count(log.String(), "\n") != 1 {
		t.Errorf("the second start: %v, process %d instead of %d, said %q", err, e.pid(), first, log)
	}
	kept := filepath.Join(e.state, "data")
	if err := os.WriteFile(kept, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := e.stop(ctx); err != nil || e.running() || e.hasNetwork() {
		t.Fatalf("stop: %v, running %v, network %v", err, e.running(), e.hasNetwork())
	}
	if err := e.start(ctx); err != nil || e.pid() == first {
		t.Fatalf("start again: %v, process %d", err, e.pid())
	}
	if _, err := os.Stat(kept); err != nil {
		t.Errorf("what the engine has kept: %v", err)
	}
	if err := e.stop(ctx); err != nil {
		t.Fatal(err)
	}
}

func getsid(pid int) (int, error) {
	session, _, errno := syscall.RawSyscall(syscall.SYS_GETSID, uintptr(pid), 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(session), nil
}

func TestStopByForce(t *testing.T) {
	e, log := pretend(t, strings.Replace(daemon, `rm -f "$pid"; exit 0`, ``, 1))
	if err := e.start(t.Context()); err != nil {
		t.Fatal(err)
	}
	e.patience = 300 * time.Millisecond
	if err := e.stop(t.Context()); err != nil || e.running() {
		t.Fatalf("%v, running %v", err, e.running())
	}
	if !strings.Contains(log.String(), "by force") {
		t.Errorf("said %q", log)
	}
}

func TestStartFails(t *testing.T) {
	for name, c := range map[string]struct{ dockerd, want string }{
		"it ends":          {`echo no more loop devices; exit 1`, "no more loop devices"},
		"it never answers": {`echo starting; exec sleep 2`, "does not answer"},
	} {
		t.Run(name, func(t *testing.T) {
			e, _ := pretend(t, c.dockerd)
			e.patience = time.Second
			err := e.start(t.Context())
			if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), e.logFile()) {
				t.Errorf("%v, want %q and the log's name", err, c.want)
			}
		})
	}
}

// TestProcess: a number that was given to another process since must not be ended.
func TestProcess(t *testing.T) {
	folder := t.TempDir()
	file := filepath.Join(folder, "pid")
	other := exec.CommandContext(t.Context(), "sleep", "60")
	if err := other.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = other.Process.Kill()
		_ = other.Wait()
	})
	for content, want := range map[string]int{
		fmt.Sprint(other.Process.Pid): 0,
		fmt.Sprint(os.Getpid()):       0,
		"1":                           0,
		"-1":                          0,
		"":                            0,
		"x":                           0,
		"999999999":                   0,
	} {
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if got := process(file, "/of/ours/daemon.json"); got != want {
			t.Errorf("%q: process %d", content, got)
		}
	}
	if err := os.WriteFile(file, fmt.Appendln(nil, other.Process.Pid), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := process(file, "sleep"); got != other.Process.Pid {
		t.Errorf("its own process: %d, want %d", got, other.Process.Pid)
	}
}

// TestDaemon: nothing of it may be the machine's own engine's.
func TestDaemon(t *testing.T) {
	e := engine{run: "/run/x", state: "/var/lib/x", network: &device{}}
	content, err := json.Marshal(e.daemon())
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"hosts", "data-root", "exec-root", "pidfile", "bridge", "containerd-namespace",
		"containerd-plugins-namespace", "default-runtime"} {
		if e.daemon()[key] == nil {
			t.Errorf("%s is the machine's own engine's", key)
		}
	}
	// "none" has dockerd remove docker0, and so have pools.
	if e.daemon()["bridge"] != e.network.device() || e.daemon()["default-address-pools"] != nil {
		t.Errorf("its network is %v, its pools are %v", e.daemon()["bridge"], e.daemon()["default-address-pools"])
	}
	for _, shared := range []string{"/var/run/docker", "/run/docker", "/var/lib/docker", "moby"} {
		if strings.Contains(string(content), shared) {
			t.Errorf("%s is the machine's own engine's: %s", shared, content)
		}
	}
}
