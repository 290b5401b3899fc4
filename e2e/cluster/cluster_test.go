package cluster

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"sigs.k8s.io/kind/pkg/cluster"
	kindexec "sigs.k8s.io/kind/pkg/exec"

	"github.com/eventbaton/baton/e2e/cluster/step"
)

// engine is a `docker` that has the nodes of the cluster example, as the folder's files name, role, state, image say, and
// notes what it is told to do in the file called.
const engine = `
here=$(dirname "$0")
case "$1 $2" in
"ps --all"|"ps -a") [ -e "$here/nodes" ] && cat "$here/$([ "$3" = --quiet ] && echo ids || echo clusters)"; exit 0 ;;
"inspect --format") cat "$here/nodes" ;;
"network rm"|"rm -f") echo "$@" >> "$here/called" ;;
"exec broken") echo 'no such process' >&2; exit 1 ;;
"exec "*|unpause*|start*) echo "$@" >> "$here/called"; echo out ;;
*) exit 0 ;;
esac`

const three = `/example-worker2 worker running node:v1
/example-control-plane control-plane running node:v1
/example-worker worker paused node:v1
`

// stand is a cluster on a pretended engine with these nodes, and the engine's folder.
func stand(t *testing.T, nodes string) (*Cluster, string) {
	t.Helper()
	dir := programs(t, map[string]string{"docker": engine})
	if nodes != "" {
		for name, text := range map[string]string{"nodes": nodes, "ids": "1\n2\n3\n", "clusters": "example\n"} {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	c := example()
	c.root = checkout(t, map[string]string{
		"scripts/engine/stop":  "echo stop >> " + dir + "/called",
		"scripts/node/kubectl": "echo kubectl >> " + dir + "/called; echo " + dir + "/kubectl",
	})
	c.provider = cluster.NewProvider(cluster.ProviderWithDocker(), cluster.ProviderWithLogger(logger{c.log}))
	return c, dir
}

func TestNodes(t *testing.T) {
	c, _ := stand(t, three)
	got, err := c.Nodes(t.Context())
	want := []Node{{"example-control-plane", "control-plane"}, {"example-worker", "worker"}, {"example-worker2", "worker"}}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%v, error %v", got, err)
	}
}

func TestNodesOfNoCluster(t *testing.T) {
	c, _ := stand(t, "")
	if got, err := c.Nodes(t.Context()); err != nil || len(got) != 0 {
		t.Errorf("%v, error %v", got, err)
	}
}

func TestParseContainers(t *testing.T) {
	if _, err := parseContainers("/a worker running\n"); err == nil || !strings.Contains(err.Error(), "/a worker running") {
		t.Errorf("error %v", err)
	}
}

func TestExec(t *testing.T) {
	c, dir := stand(t, three)
	out, err := c.Exec(t.Context(), "example-worker", "kill", "-9", "12")
	if err != nil || string(out) != "out\n" || read(t, dir+"/called") != "exec example-worker kill -9 12\n" {
		t.Errorf("printed %q, called %q, error %v", out, read(t, dir+"/called"), err)
	}
	if _, err := c.Exec(t.Context(), "broken", "kill"); err == nil || !strings.Contains(err.Error(), "no such process") {
		t.Errorf("error %v", err)
	}
}

// It is looked for once.
func TestKubectl(t *testing.T) {
	c, dir := stand(t, three)
	write(t, dir+"/kubectl", `echo "$@"`)
	for range 2 {
		out, err := c.Kubectl(t.Context(), "get", "pods")
		if want := "--kubeconfig " + c.Kubeconfig() + " get pods\n"; err != nil || string(out) != want {
			t.Errorf("called with %q, want %q, error %v", out, want, err)
		}
	}
	if read(t, dir+"/called") != "kubectl\n" {
		t.Error("it was built twice")
	}
}

func TestConfigWithoutKubeconfig(t *testing.T) {
	c, _ := stand(t, "")
	if _, err := c.Config(); err == nil || !strings.Contains(err.Error(), "kubeconfig-example") {
		t.Errorf("error %v", err)
	}
}

func TestDelete(t *testing.T) {
	c, dir := stand(t, "")
	for _, f := range []string{c.Kubeconfig(), c.Kubeconfig() + ".lock"} {
		write(t, f, "")
	}
	if err := os.WriteFile(c.Kubeconfig(), []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	for range 2 { // nothing is left for the second time
		if err := c.Delete(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if left, _ := filepath.Glob(filepath.Join(c.root, "dist", "*")); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
	if called := read(t, dir+"/called"); called != strings.Repeat("network rm kind\nstop\n", 2) {
		t.Errorf("called: %s", called)
	}
}

// The pretended engine keeps its nodes, so that a cluster seems to be left: its engine is not stopped.
func TestDeleteLeavesTheEngineToOtherClusters(t *testing.T) {
	c, dir := stand(t, three)
	if err := c.Delete(t.Context()); err != nil {
		t.Fatal(err)
	}
	called := read(t, dir+"/called")
	if !strings.Contains(called, "rm -f") || strings.Contains(called, "stop") || strings.Contains(called, "network") {
		t.Errorf("called: %s", called)
	}
}

func TestDiffers(t *testing.T) {
	c := example()
	good, err := parseContainers(three)
	if err != nil {
		t.Fatal(err)
	}
	says(t, c.differs(good, "node:v1"), "")
	says(t, c.differs(good, "node:v2"), "image node:v1")
	says(t, c.differs(good[:2], "node:v1"), "2 nodes, not 3")
	says(t, c.differs(good[1:], "node:v1"), "2 nodes, not 3")
	c.options.Workers = 1
	says(t, c.differs(good[1:], "node:v1"), "not 2")
}

// A cluster whose making was cut off is known at once, after its nodes were woken.
func TestRecoverCutOff(t *testing.T) {
	c, dir := stand(t, strings.ReplaceAll(three, "control-plane running", "control-plane exited"))
	write(t, dir+"/docker", strings.Replace(engine, `"exec broken")`, `"exec example-control-plane")`, 1))
	nodes, err := c.containers(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	says(t, c.recover(t.Context(), nodes), "cut off")
	if called := read(t, dir+"/called"); called != "start example-control-plane\nunpause example-worker\n" {
		t.Errorf("called: %s", called)
	}
}

func TestTake(t *testing.T) {
	for name, c := range map[string]struct {
		reuse   bool
		nodes   string
		image   string
		removed string
	}{
		"none":             {true, "", "node:v1", ""},
		"a new one wanted": {false, three, "node:v1", "a new one was asked for"},
		"of another image": {true, three, "node:v2", "its nodes are of the image node:v1"},
	} {
		t.Run(name, func(t *testing.T) {
			cl, dir := stand(t, c.nodes)
			var log strings.Builder
			cl.log, cl.options.Reuse = step.To(&log), c.reuse
			taken, err := cl.take(t.Context(), c.image)
			if taken || err != nil {
				t.Errorf("taken %v, error %v", taken, err)
			}
			if !strings.Contains(log.String(), c.removed) {
				t.Errorf("it says %q", log.String())
			}
			if _, err := os.Stat(dir + "/called"); (err == nil) != (c.removed != "") {
				t.Errorf("removed %v", err == nil)
			}
		})
	}
}

func TestFindChecks(t *testing.T) {
	if _, err := Find(t.Context(), Options{Name: "A cluster"}); err == nil {
		t.Error("any name will do")
	}
}

func TestRoot(t *testing.T) {
	root, err := Root(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(root, "go.mod")); err != nil {
		t.Error(err)
	}
	t.Chdir(t.TempDir())
	if _, err := Root(t.Context()); err == nil || !strings.Contains(err.Error(), "repository") {
		t.Errorf("error %v", err)
	}
}

func TestLogger(t *testing.T) {
	var out strings.Builder
	l := logger{step.To(&out)}
	l.V(0).Info("Creating cluster")
	l.V(0).Infof(" • %s  ...\n", "Preparing nodes")
	l.V(0).Infof(" ✓ %s\n", "Preparing nodes")
	l.V(1).Info("✓ detail")
	l.Warn("careful")
	l.Errorf("%d failed", 1)
	if want := "   ✓ Preparing nodes\n   careful\n   1 failed\n"; out.String() != want {
		t.Errorf("it says %q, want %q", out.String(), want)
	}
	if !l.V(0).Enabled() || l.V(1).Enabled() {
		t.Error("the level of what is told is not 0")
	}
}

func TestExplain(t *testing.T) {
	plain := errors.New("plain")
	if got := explain(plain); !errors.Is(got, plain) || got.Error() != "plain" {
		t.Errorf("%v", got)
	}
	run := &kindexec.RunError{Command: []string{"docker", "run"}, Output: []byte("a\nno space left on device\n"), Inner: errors.New("exit status 1")}
	got := remedied(explain(run))
	says(t, got, "docker system prune")
	says(t, got, "no space left on device")
	if !errors.Is(got, error(run)) {
		t.Errorf("%v is not kind's error any more", got)
	}
	if got := remedied(plain); got.Error() != "plain" {
		t.Error("a remedy for anything")
	}
}
