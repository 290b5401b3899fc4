// Package child starts processes that do not outlive the program that started them, and keeps their files in a folder
// that doesn't either: not after a failed test, a panic, Ctrl-C, or a SIGKILL of the program itself.
//
// Two things see to that. On Linux the kernel kills a child when the thread that started it ends. And everywhere a
// sweeper, a shell outside of the program's process group, waits for the end of the program (its standard input then
// ends), kills what is left, and removes the folder.
package child

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"sync"
	"syscall"
	"time"
)

// Nursery is a folder and the processes that live in it.
type Nursery struct {
	// Dir is the folder, gone after Close.
	Dir string

	lifeline *os.File
	sweeper  *exec.Cmd
	starts   chan func()

	mu   sync.Mutex
	live map[*Process]struct{}
	shut bool
}

// The loop is for the moment in which a process that was just killed still holds the folder.
const sweep = `trap '' INT TERM HUP
cd /
read -r _
for f in "$1"/.pids/*; do [ -e "$f" ] && kill -9 -- "-${f##*/}" 2>/dev/null; done
n=0
until rm -rf "$1" 2>/dev/null || [ $n -ge 100 ]; do n=$((n + 1)); sleep 0.05; done`

// Open makes a folder whose name begins with name.
func Open(name string) (*Nursery, error) {
	dir, err := os.MkdirTemp("", name+"-")
	if err != nil {
		return nil, fmt.Errorf("making a folder for child processes: %w", err)
	}
	n := &Nursery{Dir: dir, starts: make(chan func()), live: map[*Process]struct{}{}}
	if err := n.prepare(); err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	go n.keep()
	return n, nil
}

func (n *Nursery) prepare() error {
	if err := os.Mkdir(n.pids(), 0o755); err != nil {
		return fmt.Errorf("making a folder for process ids: %w", err)
	}
	r, w, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("making the sweeper's pipe: %w", err)
	}
	defer r.Close()
	n.sweeper = exec.Command("/bin/sh", "-c", sweep, "sweeper", n.Dir)
	n.sweeper.Stdin = r
	n.sweeper.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := n.sweeper.Start(); err != nil {
		return errors.Join(fmt.Errorf("starting the sweeper: %w", err), w.Close())
	}
	n.lifeline = w
	return nil
}

func (n *Nursery) pids() string { return filepath.Join(n.Dir, ".pids") }

// keep starts the processes, all from one thread: it lives as long as they do, because the kernel takes the end of the
// thread for the end of the parent. The thread ends with the goroutine, which never unlocks it.
func (n *Nursery) keep() {
	runtime.LockOSThread()
	for start := range n.starts {
		start()
	}
}

// Start starts cmd in a process group of its own.
func (n *Nursery) Start(cmd *exec.Cmd) (*Process, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.shut {
		return nil, errors.New("starting a process in a closed nursery")
	}
	cmd.SysProcAttr = attributes()
	failed := make(chan error)
	n.starts <- func() { failed <- cmd.Start() }
	if err := <-failed; err != nil {
		return nil, fmt.Errorf("starting %s: %w", cmd.Path, err)
	}
	p := &Process{Pid: cmd.Process.Pid, cmd: cmd, done: make(chan struct{})}
	mark := filepath.Join(n.pids(), strconv.Itoa(p.Pid))
	err := os.WriteFile(mark, nil, 0o644)
	n.live[p] = struct{}{}
	go n.reap(p, mark)
	if err != nil {
		p.Kill()
		return nil, fmt.Errorf("noting a process id: %w", err)
	}
	return p, nil
}

func (n *Nursery) reap(p *Process, mark string) {
	p.err = p.cmd.Wait()
	_ = os.Remove(mark)
	n.mu.Lock()
	delete(n.live, p)
	n.mu.Unlock()
	close(p.done)
}

// Close kills what is still running, waits for it, and removes the folder. A second call does nothing.
func (n *Nursery) Close() error {
	n.mu.Lock()
	if n.shut {
		n.mu.Unlock()
		return nil
	}
	n.shut = true
	left := make([]*Process, 0, len(n.live))
	for p := range n.live {
		left = append(left, p)
	}
	n.mu.Unlock()
	for _, p := range left {
		p.Kill()
	}
	for _, p := range left {
		<-p.Done()
	}
	close(n.starts)
	err := n.lifeline.Close()
	if err := errors.Join(err, n.sweeper.Wait()); err != nil {
		return fmt.Errorf("sweeping %s: %w", n.Dir, err)
	}
	return nil
}

// Process is one started process.
type Process struct {
	Pid int

	cmd  *exec.Cmd
	done chan struct{}
	err  error
}

// Done is closed once the process has ended and was waited for.
func (p *Process) Done() <-chan struct{} { return p.done }

// Err says how an ended process ended, nil for exit code 0. Before Done it says nothing.
func (p *Process) Err() error {
	select {
	case <-p.done:
		return p.err
	default:
		return nil
	}
}

// Ended tells whether the process has ended.
func (p *Process) Ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// Signal sends s to this very process; one that has ended is an error, never another process of that id.
func (p *Process) Signal(s syscall.Signal) error {
	if err := p.cmd.Process.Signal(s); err != nil {
		return fmt.Errorf("sending %v to process %d: %w", s, p.Pid, err)
	}
	return nil
}

// Kill kills the process and its group at once. It does not wait.
func (p *Process) Kill() {
	if !p.Ended() {
		_ = syscall.Kill(-p.Pid, syscall.SIGKILL)
	}
}

// Stop asks the process to end, kills it after grace, and waits for its end.
func (p *Process) Stop(grace time.Duration) {
	// It may have ended by itself meanwhile.
	_ = p.Signal(syscall.SIGTERM)
	late := time.AfterFunc(grace, p.Kill)
	defer late.Stop()
	<-p.done
}
