//go:build linux

package main

import (
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestEndsWhenTold(t *testing.T) {
	for _, told := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
		// The test's own process gets the signal and must outlive it.
		mine := make(chan os.Signal, 1)
		signal.Notify(mine, told)
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			main()
		}()
		again := time.NewTicker(10 * time.Millisecond)
		deadline := time.After(10 * time.Second)
		for waiting := true; waiting; {
			select {
			case <-ended:
				waiting = false
			case <-again.C: // it may not have listened yet
				if err := syscall.Kill(os.Getpid(), told); err != nil {
					t.Fatal(err)
				}
			case <-deadline:
				t.Fatalf("%v did not end it", told)
			}
		}
		again.Stop()
		signal.Stop(mine)
	}
}

func TestWait(t *testing.T) {
	signals := make(chan os.Signal, 4)
	for _, s := range []os.Signal{syscall.SIGCHLD, syscall.SIGCHLD, syscall.SIGTERM, syscall.SIGCHLD} {
		signals <- s
	}
	reaped := 0
	wait(signals, func() { reaped++ })
	if reaped != 2 {
		t.Errorf("buried %d times before the end, want 2", reaped)
	}
}

// TestReap: one signal may stand for three children.
func TestReap(t *testing.T) {
	var pids []int
	for range 3 {
		pid, err := syscall.ForkExec("/bin/true", []string{"true"}, nil)
		if err != nil {
			t.Fatal(err)
		}
		pids = append(pids, pid)
	}
	for _, pid := range pids {
		for deadline := time.Now().Add(10 * time.Second); !dead(pid); {
			if time.Now().After(deadline) {
				t.Fatalf("process %d does not end", pid)
			}
		}
	}
	reap()
	for _, pid := range pids {
		if err := syscall.Kill(pid, 0); err == nil {
			t.Errorf("process %d is not buried", pid)
		}
	}
}

// dead says whether a process has ended and is not buried.
func dead(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err == nil && strings.Contains(string(stat), ") Z ")
}
