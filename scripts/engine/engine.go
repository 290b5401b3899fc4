package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// engine is a Docker engine beside the machine's own one: another dockerd with a socket, folders, networks and a
// containerd namespace of its own, whose runtime (./runc) leaves out the capabilities that the host has not got. No
// setting of the machine is changed. Networks get addresses that no route of the host has; pools of addresses of its own
// would have dockerd remove docker0, the device of the machine's engine, whenever it starts. What the two share is the
// host's iptables: a dockerd that starts makes Docker's chains anew, so published ports of containers of the other one may
// need that one to be restarted.
type engine struct {
	run      string // what ends with the engine or the machine: socket, pid, mounts
	state    string // what stays: images, log, the runtime
	network  network
	log      io.Writer
	patience time.Duration
}

// network is the device of the engine's default network.
type network interface {
	device() string
	add() error
	remove() error
}

func (e *engine) host() string    { return "unix://" + filepath.Join(e.run, "docker.sock") }
func (e *engine) config() string  { return filepath.Join(e.state, "daemon.json") }
func (e *engine) logFile() string { return filepath.Join(e.state, "dockerd.log") }
func (e *engine) pidFile() string { return filepath.Join(e.run, "dockerd.pid") }

// daemon is dockerd's configuration file. With one of its own it does not read the machine's.
func (e *engine) daemon() map[string]any {
	return map[string]any{
		"hosts":     []string{e.host()},
		"data-root": filepath.Join(e.state, "data"),
		"exec-root": filepath.Join(e.run, "exec"),
		"pidfile":   e.pidFile(),
		"bridge":    e.network.device(),
		// Where the two engines share a containerd, they do not see each other's containers.
		"containerd-namespace":         "baton",
		"containerd-plugins-namespace": "baton-plugins",
		"runtimes":                     map[string]any{"baton": map[string]string{"path": filepath.Join(e.state, "runc")}},
		"default-runtime":              "baton",
		"log-opts":                     map[string]string{"max-size": "10m"},
	}
}

// start returns when the engine answers, at once where it does already.
func (e *engine) start(ctx context.Context) error {
	unlock, err := e.lock()
	if err != nil {
		return err
	}
	defer unlock()
	if e.running() && e.answers(ctx) {
		return nil
	}
	fmt.Fprintf(e.log, "engine: docker run --privileged is refused here for a capability that the host lacks: starting an engine "+
		"beside the machine's own one that does without it (%s; scripts/engine/stop ends it)\n", e.host())
	if err := e.install(ctx); err != nil {
		return err
	}
	if err := e.network.add(); err != nil {
		return err
	}
	dockerd, ended, err := e.launch()
	if err != nil {
		return err
	}
	err = e.await(ctx, ended)
	if err != nil {
		// One that is of no use is not left behind.
		_ = dockerd.Process.Kill()
		<-ended
		err = errors.Join(err, e.network.remove())
	}
	return err
}

// await returns when the engine answers, or cannot any more.
func (e *engine) await(ctx context.Context, ended <-chan struct{}) error {
	deadline := time.NewTimer(e.patience)
	defer deadline.Stop()
	poll := time.NewTicker(100 * time.Millisecond)
	defer poll.Stop()
	for {
		select {
		case <-ended:
			return fmt.Errorf("dockerd has ended; its log, %s, ends with\n%s", e.logFile(), tail(e.logFile()))
		case <-deadline.C:
			return fmt.Errorf("dockerd does not answer after %s; its log, %s, ends with\n%s", e.patience, e.logFile(), tail(e.logFile()))
		case <-ctx.Done():
			return ctx.Err()
		case <-poll.C:
			if e.answers(ctx) {
				return nil
			}
		}
	}
}

// install writes the configuration and builds the runtime, which calls the runc that is on PATH.
func (e *engine) install(ctx context.Context) error {
	for _, program := range []string{"dockerd", "runc"} {
		if _, err := exec.LookPath(program); err != nil {
			return fmt.Errorf("%s is not on PATH, a second engine cannot be started: install Docker Engine here", program)
		}
	}
	runc, err := exec.LookPath("runc")
	if err != nil {
		return err
	}
	build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags", "-X main.runc="+runc,
		"-o", filepath.Join(e.state, "runc"), "github.com/eventbaton/baton/scripts/engine/runc")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("go build scripts/engine/runc: %w: %s", err, out)
	}
	config, err := json.MarshalIndent(e.daemon(), "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(e.config(), config, 0o600)
}

// launch starts dockerd in a session of its own, so that it outlives the shell that wanted it.
func (e *engine) launch() (dockerd *exec.Cmd, ended <-chan struct{}, err error) {
	log, err := os.Create(e.logFile())
	if err != nil {
		return nil, nil, err
	}
	defer func() { _ = log.Close() }()
	dockerd = exec.Command("dockerd", "--config-file", e.config())
	dockerd.Dir, dockerd.Stdout, dockerd.Stderr = "/", log, log
	dockerd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := dockerd.Start(); err != nil {
		return nil, nil, err
	}
	exit := make(chan struct{})
	go func() {
		_ = dockerd.Wait() // why it has ended is in its log
		close(exit)
	}()
	return dockerd, exit, nil
}

func (e *engine) answers(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	_, err := cli(ctx, e.host(), nil, "version")
	return err == nil
}

func (e *engine) running() bool { return e.pid() != 0 }

// pid is the engine's dockerd, 0 where there is none: the file's number counts only if that process is ours.
func (e *engine) pid() int { return process(e.pidFile(), e.config()) }

// process is the number in a file if the process with that number has the word on its command line, else 0.
func process(file, word string) int {
	content, err := os.ReadFile(file)
	if err != nil {
		return 0
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(content)))
	if err != nil || pid <= 1 {
		return 0
	}
	line, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	if err != nil || !strings.Contains(string(line), word) {
		return 0
	}
	return pid
}

// stop ends dockerd, which ends its containers and its containerd; by force what does not end in time.
func (e *engine) stop(ctx context.Context) error {
	if _, err := os.Stat(e.run); errors.Is(err, os.ErrNotExist) {
		return nil
	}
	unlock, err := e.lock()
	if err != nil {
		return err
	}
	defer unlock()
	if err := e.end(ctx, e.pid, syscall.SIGTERM); err != nil {
		fmt.Fprintf(e.log, "engine: %v, ending it by force\n", err)
		if err := e.end(ctx, e.pid, syscall.SIGKILL); err != nil {
			return err
		}
	}
	return errors.Join(e.end(ctx, e.containerd, syscall.SIGTERM), e.network.remove())
}

// containerd is the one that dockerd has started for itself, 0 where it uses the machine's.
func (e *engine) containerd() int {
	folder := filepath.Join(e.run, "exec", "containerd")
	return process(filepath.Join(folder, "containerd.pid"), folder)
}

// end signals a process and waits until it is gone.
func (e *engine) end(ctx context.Context, find func() int, signal syscall.Signal) error {
	pid := find()
	if pid == 0 {
		return nil
	}
	if err := syscall.Kill(pid, signal); err != nil && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("%s to process %d: %w", signal, pid, err)
	}
	deadline := time.NewTimer(e.patience)
	defer deadline.Stop()
	poll := time.NewTicker(50 * time.Millisecond)
	defer poll.Stop()
	for {
		select {
		case <-poll.C:
			if find() != pid {
				return nil
			}
		case <-deadline.C:
			return fmt.Errorf("process %d has not ended %s after %s", pid, e.patience, signal)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// lock lets one start or stop at a time happen.
func (e *engine) lock() (unlock func(), err error) {
	for _, folder := range []string{e.run, e.state} {
		if err := os.MkdirAll(folder, 0o700); err != nil {
			return nil, fmt.Errorf("the engine's folder: %w (root is needed)", err)
		}
	}
	file, err := os.OpenFile(filepath.Join(e.run, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return func() { _ = file.Close() }, nil
}

// tail is the end of a file, for a message.
func tail(file string) string {
	content, err := os.ReadFile(file)
	if err != nil {
		return err.Error()
	}
	const most = 2000
	return strings.TrimSpace(string(content[max(0, len(content)-most):]))
}
