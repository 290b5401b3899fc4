package main

import (
	"strings"
	"testing"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func remains() map[string]metav1.Object {
	return map[string]metav1.Object{
		testLease: &coordinationv1.Lease{}, testLock: lockedConfigMap(), testCursors: cursors(nil),
		"configmaps/baton-config": &corev1.ConfigMap{},
	}
}

func TestCleanup(t *testing.T) {
	t.Parallel()
	a, kubeconfig := serveAPI(t, remains())
	var s shell
	for run, want := range []string{
		"lease baton: deleted\nconfigmap baton: deleted\nconfigmap baton-cursors: deleted\n",
		"lease baton: absent\nconfigmap baton: absent\nconfigmap baton-cursors: absent\n",
	} {
		if code := s.run(t.Context(), "cleanup", "--kubeconfig", kubeconfig); code != exitOK || s.stdout.String() != want {
			t.Errorf("run %d: exit code %d, stdout %q, stderr %q", run, code, &s.stdout, &s.stderr)
		}
	}
	if !a.has("configmaps/baton-config") || len(a.objects) != 1 {
		t.Errorf("left is %v, want what is not the agents' own", a.objects)
	}
	if n := a.called("get pods"); n > 0 {
		t.Errorf("pods were listed %d times without a selector", n)
	}
}

// A ConfigMap that happens to have the lock's name is not ours to delete.
func TestCleanupOfAnotherConfigMap(t *testing.T) {
	t.Parallel()
	a, kubeconfig := serveAPI(t, map[string]metav1.Object{testLock: &corev1.ConfigMap{}})
	var s shell
	if code := s.run(t.Context(), "cleanup", "--kubeconfig", kubeconfig); code != exitOK || !a.has(testLock) ||
		!strings.Contains(s.stdout.String(), "configmap baton: left as it is") {
		t.Errorf("exit code %d: %s%s", code, &s.stdout, &s.stderr)
	}
}

func TestCleanupRights(t *testing.T) {
	t.Parallel()
	for call, want := range map[string]string{
		"get leases/baton": `"get" on leases`, "delete leases/baton": `"delete" on leases`,
		"delete configmaps/baton-cursors": `"delete" on configmaps`, "get pods": `"list" on pods`,
	} {
		a, kubeconfig := serveAPI(t, remains())
		a.refuse = forbid(call)
		var s shell
		began := time.Now()
		code := s.run(t.Context(), "cleanup", "--kubeconfig", kubeconfig, "--selector", "app=baton")
		if code != exitFailed || !strings.Contains(s.stderr.String(), want) || !strings.Contains(s.stderr.String(), "namespace ops") {
			t.Errorf("%s refused: exit code %d, want it to say %q: %s", call, code, want, &s.stderr)
		}
		if d := time.Since(began); d > 5*time.Second {
			t.Errorf("%s refused: it tried again for %v, which mends nothing", call, d)
		}
		if a.has(testCursors) != (call == "get pods" || strings.HasSuffix(call, testCursors)) {
			t.Errorf("%s refused: the others are to be deleted all the same, and nothing while pods may live", call)
		}
	}
}

// An agent that lives writes again what is deleted under it.
func TestCleanupWaitsForThePods(t *testing.T) {
	t.Parallel()
	objects := remains()
	objects["pods/baton-x"] = &corev1.Pod{Spec: corev1.PodSpec{NodeName: "node-7"}}
	objects["pods/self"] = &corev1.Pod{}
	objects["pods/test"] = &corev1.Pod{Status: corev1.PodStatus{Phase: corev1.PodSucceeded}}
	a, kubeconfig := serveAPI(t, objects)
	s := shell{env: map[string]string{"POD_NAME": "self", "POD_NAMESPACE": "ops"}}
	args := []string{"cleanup", "--kubeconfig", kubeconfig, "--selector", "app=baton"}
	if code := s.run(t.Context(), append(args, "--timeout", "100ms")...); code != exitFailed {
		t.Fatalf("exit code %d: %s", code, &s.stdout)
	}
	for _, want := range []string{"1 pods", "baton-x on node node-7", "by force", "--timeout"} {
		if !strings.Contains(s.stderr.String(), want) {
			t.Errorf("stderr lacks %q: %s", want, &s.stderr)
		}
	}
	if n := a.called("delete " + testLease); n > 0 || !a.has(testCursors) {
		t.Error("it deleted while a pod was left")
	}
	looks := 0
	a.after = func(call string) {
		if call == "get pods" {
			if looks++; looks == 2 {
				delete(a.objects, "pods/baton-x")
			}
		}
	}
	if code := s.run(t.Context(), args...); code != exitOK || a.has(testCursors) || a.called("get pods") < 4 {
		t.Errorf("exit code %d: %s", code, &s.stderr)
	}
}

// A write that was on its way when the last pod went does not stay.
func TestCleanupLooksAgain(t *testing.T) {
	t.Parallel()
	a, kubeconfig := serveAPI(t, remains())
	late := 1
	a.after = func(call string) {
		if call == "delete "+testCursors && late > 0 {
			late--
			again := cursors(nil)
			again.UID, again.Name = "another", "baton-cursors"
			a.objects[testCursors] = again
		}
	}
	var s shell
	if code := s.run(t.Context(), "cleanup", "--kubeconfig", kubeconfig); code != exitOK || a.has(testCursors) {
		t.Errorf("exit code %d: %s%s", code, &s.stdout, &s.stderr)
	}
	if !strings.Contains(s.stdout.String(), "configmap baton-cursors: somebody has made it again") {
		t.Errorf("it does not tell: %s", &s.stdout)
	}
	a.objects, late = remains(), 1000
	for _, o := range a.objects {
		o.SetUID("uid")
	}
	if code := s.run(t.Context(), "cleanup", "--kubeconfig", kubeconfig, "--timeout", "2500ms"); code != exitFailed ||
		!strings.Contains(s.stderr.String(), "--timeout") {
		t.Errorf("somebody makes them again and again: exit code %d: %s", code, &s.stderr)
	}
}

// What is deleted is what was seen: another object of that name is looked at first.
func TestCleanupAfterAFault(t *testing.T) {
	t.Parallel()
	a, kubeconfig := serveAPI(t, remains())
	faults := map[string]int{"get leases/baton": 1, "delete configmaps/baton": 1}
	a.refuse = func(call string) error {
		if faults[call] > 0 {
			faults[call]--
			return apierrors.NewInternalError(apierrors.NewServiceUnavailable("away"))
		}
		return nil
	}
	var s shell
	if code := s.run(t.Context(), "cleanup", "--kubeconfig", kubeconfig); code != exitOK || a.has(testLease) || a.has(testLock) {
		t.Errorf("exit code %d: %s", code, &s.stderr)
	}
}

func TestCleanupCommandLine(t *testing.T) {
	t.Parallel()
	var s shell
	if code := s.run(t.Context(), "cleanup", "--selector", "a in ("); code != exitUsage || !strings.Contains(s.stderr.String(), "--selector") {
		t.Errorf("exit code %d: %s", code, &s.stderr)
	}
	if code := s.run(t.Context(), "cleanup", "--kubeconfig", "/nowhere/config"); code != exitFailed || !strings.Contains(s.stderr.String(), "/nowhere/config") {
		t.Errorf("exit code %d: %s", code, &s.stderr)
	}
}
