package main

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"

	"github.com/eventbaton/baton/e2e/helm"
)

// script puts a shell script into a folder.
func script(t *testing.T, dir, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"+text+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
}

// module is the go.mod of the checkout.
func module(t *testing.T) string {
	t.Helper()
	out, err := exec.Command("go", "env", "GOMOD").Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}

// onPath puts a `go` that is a script before the real one, and returns its folder.
func onPath(t *testing.T, text string) string {
	t.Helper()
	dir := t.TempDir()
	script(t, dir, "go", text)
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	return dir
}

func TestBuild(t *testing.T) {
	dir := onPath(t, `echo "$@" > "$(dirname "$0")/called"`)
	root := t.TempDir()
	archive, err := build(t.Context(), root)()
	if want := filepath.Join(root, "dist", "baton-image.tar"); err != nil || archive != want {
		t.Errorf("archive %s, want %s, error %v", archive, want, err)
	}
	called, err := os.ReadFile(filepath.Join(dir, "called"))
	if err != nil || string(called) != "run ./scripts/image -o "+archive+"\n" {
		t.Errorf("called %q, error %v", called, err)
	}
}

func TestBuildFails(t *testing.T) {
	onPath(t, "echo 'agent/main.go:1: syntax error' >&2; exit 1")
	_, err := build(t.Context(), t.TempDir())()
	says(t, err, "syntax error")
}

func TestBuildInterrupted(t *testing.T) {
	onPath(t, "sleep 60 & wait")
	ctx, cancel := context.WithCancel(t.Context())
	wait := build(ctx, t.TempDir())
	cancel()
	begin := time.Now()
	if _, err := wait(); err == nil || time.Since(begin) > 30*time.Second {
		t.Errorf("after %s: %v", time.Since(begin), err)
	}
}

// The chart takes the values, and the image's id is what changes the pods.
func TestValues(t *testing.T) {
	manifest := func(id string) string {
		r := helm.Release{
			Name: release, Namespace: namespace, Chart: filepath.Join(filepath.Dir(module(t)), "charts", "baton"), Values: values(id),
		}
		rendered, err := helm.V4("").Template(t.Context(), r)
		if err != nil {
			t.Fatal(err)
		}
		return rendered.Manifest
	}
	a := manifest("sha256:aa")
	if !strings.Contains(a, "leader_candidate: true") {
		t.Error("nobody would lead")
	}
	if b := manifest("sha256:bb"); a == b || strings.ReplaceAll(b, "sha256:bb", "sha256:aa") != a {
		t.Error("another image changes nothing, or more than the annotation")
	}
}

func TestWaiting(t *testing.T) {
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "baton-x"},
		Status: corev1.PodStatus{ContainerStatuses: []corev1.ContainerStatus{
			{State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "CrashLoopBackOff"}}},
		}},
	}
	s := &site{client: fake.NewClientset(pod)}
	says(t, s.waiting(t.Context()), "pod baton-x is not ready: CrashLoopBackOff")
}
