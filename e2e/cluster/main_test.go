package cluster

import (
	"os"
	"path/filepath"
	"testing"

	"go.uber.org/goleak"

	"github.com/eventbaton/baton/e2e/cluster/step"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// programs puts shell scripts on PATH, before all others, and returns their folder. Each may write to the file `called`
// in it.
func programs(t *testing.T, scripts map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range scripts {
		write(t, filepath.Join(dir, name), text)
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	return dir
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+text+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
}

// checkout is a folder with scripts.
func checkout(t *testing.T, scripts map[string]string) string {
	t.Helper()
	root := t.TempDir()
	for path, text := range scripts {
		write(t, filepath.Join(root, path), text)
	}
	return root
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// example is a cluster that has only a name.
func example() *Cluster {
	return &Cluster{options: Options{Name: "example", Workers: 2}, log: step.To(nil)}
}
