package main

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
)

// docker runs the engine's command line against a host ("" is the default one) and returns all it has said.
type docker func(ctx context.Context, host string, stdin io.Reader, args ...string) (string, error)

func cli(ctx context.Context, host string, stdin io.Reader, args ...string) (string, error) {
	command := exec.CommandContext(ctx, "docker", args...)
	command.Stdin = stdin
	if host != "" {
		command.Env = append(os.Environ(), "DOCKER_HOST="+host)
	}
	out, err := command.CombinedOutput()
	return strings.TrimSpace(string(out)), err
}

// private is an engine of our own.
type private interface {
	host() string
	running() bool
	start(ctx context.Context) error
}

// find returns the host of an engine that can run privileged containers, which kind's nodes are.
func find(ctx context.Context, docker docker, own private, asRoot bool) (string, error) {
	host, err := current(ctx, docker)
	if err != nil {
		return "", err
	}
	if asRoot && (own.running() || host == own.host()) {
		return own.host(), own.start(ctx)
	}
	refusal, err := refused(ctx, docker, host)
	switch {
	case err != nil:
		return "", err
	case refusal == "":
		return host, nil
	case !strings.HasPrefix(host, "unix://"):
		return "", fmt.Errorf("the engine at %s cannot run kind's nodes: %s; set DOCKER_HOST to one that can", host, refusal)
	case !asRoot:
		return "", fmt.Errorf("the engine at %s cannot run kind's nodes: %s; run this as root, which can start an engine that "+
			"does without that capability, or set DOCKER_HOST to another engine", host, refusal)
	}
	return own.host(), own.start(ctx)
}

// current is the host that the docker command uses when it is told nothing.
func current(ctx context.Context, docker docker) (string, error) {
	if host := os.Getenv("DOCKER_HOST"); host != "" {
		return host, nil
	}
	host, err := docker(ctx, "", nil, "context", "inspect", "--format", "{{.Endpoints.docker.Host}}")
	if errors.Is(err, exec.ErrNotFound) {
		return "", errors.New("docker is not on PATH: install Docker, kind's nodes are its containers")
	}
	if err != nil {
		return "", fmt.Errorf("docker context inspect: %w: %s", err, host)
	}
	return host, nil
}

// refused tries a privileged container and returns what the engine says where it has not the capabilities to give. The
// image is empty, so there is nothing to run in it: the attempt ends before the process starts, one way or the other.
func refused(ctx context.Context, docker docker, host string) (string, error) {
	image := fmt.Sprintf("baton-engine-probe:%d", os.Getpid())
	if out, err := docker(ctx, host, emptyArchive(), "import", "-", image); err != nil {
		if errors.Is(err, exec.ErrNotFound) {
			return "", errors.New("docker is not on PATH: install Docker, kind's nodes are its containers")
		}
		return "", fmt.Errorf("the Docker engine at %s does not answer: start it, or set DOCKER_HOST to one that runs, or join "+
			"the group that may use it (%s)", host, out)
	}
	out, err := docker(ctx, host, nil, "run", "--rm", "--privileged", "--network", "none", image, "/nothing")
	if ctx.Err() != nil {
		return "", fmt.Errorf("trying a privileged container at %s: %w", host, ctx.Err())
	}
	// Removing it is a courtesy: a few bytes stay where it fails.
	_, _ = docker(ctx, host, nil, "image", "rm", "--force", image)
	return lacksCapability(out, err), nil
}

// lacksCapability returns the line that refuses capabilities. That the program is missing is what a good engine says.
func lacksCapability(out string, err error) string {
	if err == nil {
		return ""
	}
	for line := range strings.Lines(out) {
		lower := strings.ToLower(line)
		if strings.Contains(lower, "cap") && strings.Contains(lower, "operation not permitted") {
			return strings.TrimSpace(line)
		}
	}
	return ""
}

func emptyArchive() io.Reader {
	var archive bytes.Buffer
	// Writing to memory does not fail.
	_ = tar.NewWriter(&archive).Close()
	return &archive
}
