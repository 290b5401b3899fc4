package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/eventbaton/baton/e2e/child"
	"github.com/eventbaton/baton/e2e/controlplane"
)

// patience is how long a build may take to remove its own files.
const patience = 5 * time.Second

// serverBinaries returns the folder of etcd and kube-apiserver. Where they have to be built, that shows on stderr.
func serverBinaries(ctx context.Context, files *child.Nursery) (string, error) {
	root, err := module(ctx)
	if err != nil {
		return "", err
	}
	cmd := exec.Command(filepath.Join(root, "scripts", "k8s", "build"))
	cmd.Stderr = os.Stderr
	out, err := output(ctx, files, cmd)
	if err != nil {
		return "", fmt.Errorf("building Kubernetes: %w", err)
	}
	return strings.TrimSpace(out), nil
}

// agent builds the agent, or takes the one that BATON_BINARY names.
func agent(ctx context.Context, files *child.Nursery) (string, error) {
	if binary := os.Getenv("BATON_BINARY"); binary != "" {
		return binary, nil
	}
	root, err := module(ctx)
	if err != nil {
		return "", err
	}
	binary := filepath.Join(files.Dir, "baton")
	var said bytes.Buffer
	cmd := exec.Command("go", "build", "-o", binary, "./agent")
	cmd.Dir, cmd.Stderr = root, &said
	if _, err := output(ctx, files, cmd); err != nil {
		return "", fmt.Errorf("building the agent: %w\n%s", err, tail(said.String(), 20))
	}
	return binary, nil
}

func module(ctx context.Context) (string, error) {
	root, err := controlplane.Root(ctx)
	if err != nil {
		return "", err
	}
	if _, err := os.Stat(filepath.Join(root, "scripts", "k8s", "build")); err != nil {
		return "", errors.New("the demo has to be run in a folder of Baton's repository: use `make demo`")
	}
	return root, nil
}

// output runs a build and returns what it prints. Its scratch files live in the demo's folder, and at the end of ctx
// it is asked to end as by Ctrl-C, with all that it has started.
func output(ctx context.Context, files *child.Nursery, cmd *exec.Cmd) (string, error) {
	var out bytes.Buffer
	cmd.Stdout = &out
	cmd.Env = append(os.Environ(), "GOTMPDIR="+files.Dir)
	p, err := files.Start(cmd)
	if err != nil {
		return "", err
	}
	select {
	case <-p.Done():
		return out.String(), p.Err()
	case <-ctx.Done():
	}
	_ = syscall.Kill(-p.Pid, syscall.SIGINT)
	late := time.AfterFunc(patience, p.Kill)
	defer late.Stop()
	<-p.Done()
	return "", ctx.Err()
}
