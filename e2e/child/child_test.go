package child

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if how := os.Getenv("CHILD_TEST_END"); how != "" {
		parent(how)
	}
	goleak.VerifyTestMain(m)
}

// parent is the program that ends badly: it starts a child, says where, and ends as it was told.
func parent(how string) {
	n, err := Open("child-test")
	if err != nil {
		panic(err)
	}
	p, err := n.Start(exec.Command("sleep", "300"))
	if err != nil {
		panic(err)
	}
	fmt.Println(n.Dir, p.Pid)
	switch how {
	case "panic":
		panic("as asked")
	case "exit":
		os.Exit(3)
	case "return":
		_ = n.Close()
		os.Exit(0)
	}
	select {}
}

func TestNothingIsLeft(t *testing.T) {
	for _, test := range []struct {
		how    string
		signal syscall.Signal
	}{
		{how: "return"}, {how: "panic"}, {how: "exit"},
		{how: "wait", signal: syscall.SIGINT}, {how: "wait", signal: syscall.SIGKILL},
	} {
		t.Run(test.how+test.signal.String(), func(t *testing.T) {
			t.Parallel()
			cmd := exec.Command(os.Args[0])
			cmd.Env = append(os.Environ(), "CHILD_TEST_END="+test.how)
			out, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			line, err := bufio.NewReader(out).ReadString('\n')
			if err != nil {
				t.Fatal(err)
			}
			dir, id, _ := strings.Cut(strings.TrimSpace(line), " ")
			pid, err := strconv.Atoi(id)
			if err != nil {
				t.Fatal(err)
			}
			if test.signal != 0 {
				if err := cmd.Process.Signal(test.signal); err != nil {
					t.Fatal(err)
				}
			}
			_ = cmd.Wait()
			eventually(t, "the folder is gone", func() bool { _, err := os.Stat(dir); return os.IsNotExist(err) })
			eventually(t, "the child is gone", func() bool { return syscall.Kill(pid, 0) != nil || zombie(pid) })
		})
	}
}

// zombie: an orphan is waited for by whoever adopts it, which may be nobody in a container.
func zombie(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err != nil || strings.Contains(string(stat), ") Z ")
}

func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !is(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not so after 10 s: %s", what)
		}
	}
}

func TestStop(t *testing.T) {
	n, err := Open("child-test")
	if err != nil {
		t.Fatal(err)
	}
	polite, err := n.Start(exec.Command("sleep", "300"))
	if err != nil {
		t.Fatal(err)
	}
	stubborn, err := n.Start(exec.Command("/bin/sh", "-c", `trap '' TERM; while :; do sleep 0.1; done`))
	if err != nil {
		t.Fatal(err)
	}
	polite.Stop(time.Minute)
	if polite.Err() == nil || !polite.Ended() {
		t.Error("a process that was stopped by a signal has to show that")
	}
	if polite.Signal(syscall.SIGTERM) == nil {
		t.Error("a signal to an ended process has to be an error")
	}
	stubborn.Stop(100 * time.Millisecond)
	if err := n.Close(); err != nil {
		t.Error(err)
	}
	if _, err := n.Start(exec.Command("true")); err == nil {
		t.Error("a closed nursery has to start nothing")
	}
}
