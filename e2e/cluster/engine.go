package cluster

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
)

const hostVariable = "DOCKER_HOST"

// problems are the ways in which a Docker engine can't be used, by a part of what its CLI says, and the remedy.
var problems = []struct{ part, remedy string }{
	{"permission denied", "you may not use Docker: run as root, or join its group (`sudo usermod -aG docker $USER`, then log in again)"},
	{"is the docker daemon running", "Docker's daemon does not run: start it (`sudo systemctl start docker`, or Docker Desktop)"},
	{"no such host", "DOCKER_HOST names an engine that can't be found: correct it, or unset it"},
	{"connection refused", "nothing answers where DOCKER_HOST says: correct it, or unset it"},
	{"unable to parse docker host", "DOCKER_HOST is not an address such as unix:///var/run/docker.sock: correct it, or unset it"},
	{"is too old", "Docker's daemon and CLI are of versions that don't understand each other: upgrade the older one"},
	{"is too new", "Docker's daemon and CLI are of versions that don't understand each other: upgrade the older one"},
}

// startEngine finds the Docker engine that nodes can run in, starts a private one where the machine's can't, and has
// this whole program use it: kind knows no other way to be told.
func startEngine(ctx context.Context, log io.Writer, root string) (string, error) {
	if _, err := exec.LookPath("docker"); err != nil {
		return "", errors.New("docker is not on PATH: the nodes are its containers; install it (Debian: `apt install docker.io`)")
	}
	host, err := script(ctx, log, root, "scripts/engine/start")
	if err != nil {
		// Where Docker does not answer at all, what it says leads to the remedy.
		return "", cmp.Or(answers(ctx), err)
	}
	if host == "" {
		return "", nil
	}
	if err := os.Setenv(hostVariable, host); err != nil {
		return "", fmt.Errorf("setting DOCKER_HOST: %w", err)
	}
	return host, answers(ctx)
}

// answers is nil when the engine can be used.
func answers(ctx context.Context) error {
	_, err := output(ctx, nil, "docker", "version", "--format", "{{.Server.Version}}")
	if err == nil || ctx.Err() != nil {
		return err
	}
	return unusable(err)
}

// unusable is what to do about an engine that does not answer.
func unusable(err error) error {
	for _, p := range problems {
		if strings.Contains(strings.ToLower(said(err)), p.part) {
			return fmt.Errorf("%s\n(docker says: %s)", p.remedy, tail(said(err), 1))
		}
	}
	return fmt.Errorf("the Docker engine does not answer: try `docker version`: %w", err)
}

// machines is the engine that docker uses where no variable says otherwise, "" if that can't be told.
func machines(ctx context.Context) string {
	cmd := exec.CommandContext(ctx, "docker", "context", "inspect", "--format", "{{.Endpoints.docker.Host}}")
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, hostVariable+"=") {
			cmd.Env = append(cmd.Env, v)
		}
	}
	out, err := cmd.Output()
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(out))
}

// oldCgroups tells whether the engine's containers are in cgroups of version 1, which the kubelet has to be told to
// accept.
func oldCgroups(ctx context.Context) (bool, error) {
	out, err := output(ctx, nil, "docker", "info", "--format", "{{.CgroupVersion}}")
	if err != nil {
		return false, fmt.Errorf("asking Docker for its version of cgroups: %w", err)
	}
	return strings.TrimSpace(string(out)) == "1", nil
}
