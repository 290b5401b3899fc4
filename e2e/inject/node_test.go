package inject

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func TestPid(t *testing.T) {
	const tasks = "TASK    PID     STATUS\naaa     411     RUNNING\nbbb     0       STOPPED\nccc     512     PAUSED\n"
	for _, test := range []struct {
		id   string
		pid  int
		want string
	}{
		{"containerd://aaa", 411, ""},
		{"containerd://bbb", 0, "does not run"},
		{"containerd://ccc", 0, "does not run"},
		{"containerd://ddd", 0, "no container ddd"},
		{"docker://aaa", 0, "no container of containerd"},
		{"", 0, "no container of containerd"},
	} {
		pid, err := Pid(tasks, test.id)
		if pid != test.pid || (test.want == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), test.want) {
			t.Errorf("%q: %d, %v", test.id, pid, err)
		}
	}
}

// node is a folder with programs that note what they are asked to do.
func node(t *testing.T, route string) (path, log string) {
	t.Helper()
	path = t.TempDir()
	log = filepath.Join(path, "log")
	for name, script := range map[string]string{
		"ip":       "echo '" + route + "'",
		"iptables": "echo \"$*\" >> " + log + "; [ \"$3\" != OUTPUT ]",
	} {
		if err := os.WriteFile(filepath.Join(path, name), []byte("#!/bin/sh\n"+script+"\n"), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	return path, log
}

func TestCutIsWholeAndUndone(t *testing.T) {
	for action, command := range map[string][]string{"-I": Cut(), "-D": Mend()} {
		path, log := node(t, "default via 10.0.0.1 dev eth7 proto static")
		cmd := exec.Command(command[0], command[1:]...)
		cmd.Env = []string{"PATH=" + path + ":" + os.Getenv("PATH")}
		// One rule can't be had: that is told, and the others are there nonetheless.
		if out, err := cmd.CombinedOutput(); err == nil {
			t.Errorf("%s: a rule that fails is not told: %s", action, out)
		}
		got, err := os.ReadFile(log)
		if err != nil {
			t.Fatal(err)
		}
		want := ""
		for _, rule := range []string{"INPUT -i", "OUTPUT -o", "FORWARD -i", "FORWARD -o"} {
			want += "-w " + action + " " + rule + " eth7 -j DROP\n"
		}
		if string(got) != want {
			t.Errorf("%s:\n%s", action, got)
		}
	}
}

func TestCutNeedsARoute(t *testing.T) {
	path, log := node(t, "")
	cmd := exec.Command(Cut()[0], Cut()[1:]...)
	cmd.Env = []string{"PATH=" + path + ":" + os.Getenv("PATH")}
	if out, err := cmd.CombinedOutput(); err == nil || !strings.Contains(string(out), "no default route") {
		t.Errorf("%v: %s", err, out)
	}
	if _, err := os.Stat(log); err == nil {
		t.Error("rules on no interface cut off everything, the node's own loopback as well")
	}
}

func TestSignalIsForOneProcess(t *testing.T) {
	if got := strings.Join(Signal("STOP", 411), " "); got != "sh -c kill -STOP 411" {
		t.Error(got)
	}
}

func TestAPIServerStartsWhereItWasStopped(t *testing.T) {
	stop, start := strings.Join(StopAPIServer(), " "), strings.Join(StartAPIServer(), " ")
	fields := strings.Fields(stop)
	if !strings.Contains(start, "mv "+fields[2]+" "+fields[1]) {
		t.Errorf("%s is not undone by %s", stop, start)
	}
}

func TestReachTrustsTheClusterAlone(t *testing.T) {
	got := strings.Join(Reach("10.96.0.1"), " ")
	if !strings.Contains(got, "--cacert /etc/kubernetes/pki/ca.crt https://10.96.0.1/readyz") || strings.Contains(got, "insecure") {
		t.Error(got)
	}
}
