package cluster

import (
	"os"
	"strings"
	"testing"

	"github.com/eventbaton/baton/e2e/cluster/step"
)

func TestStartEngineWithoutDocker(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	_, err := startEngine(t.Context(), nil, t.TempDir())
	if err == nil || !strings.Contains(err.Error(), "docker is not on PATH") || !strings.Contains(err.Error(), "install") {
		t.Errorf("error %v", err)
	}
}

func TestStartEngineThatCannotBeUsed(t *testing.T) {
	for says, want := range map[string]string{
		"permission denied while trying to connect to the Docker daemon socket at unix:///var/run/docker.sock": "docker $USER",
		"Cannot connect to the Docker daemon at unix:///x.sock. Is the docker daemon running?":                 "systemctl start docker",
		"error during connect: dial tcp: lookup nowhere: no such host":                                         "DOCKER_HOST names",
		"dial tcp 127.0.0.1:1: connect: connection refused":                                                    "DOCKER_HOST says",
		"Error response from daemon: client version 1.12 is too old. Minimum supported API version is 1.40":    "upgrade",
		"the whale sleeps": "`docker version`",
	} {
		t.Run(want, func(t *testing.T) {
			t.Setenv("DOCKER_HOST", "")
			programs(t, map[string]string{"docker": "echo '" + says + "' >&2; exit 1"})
			root := checkout(t, map[string]string{"scripts/engine/start": "echo 'no engine' >&2; exit 1"})
			_, err := startEngine(t.Context(), nil, root)
			if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), says) {
				t.Errorf("error %v, want %q and what docker says", err, want)
			}
		})
	}
}

func TestStartEngine(t *testing.T) {
	// The private one of another time, which nobody answers for any more, is no reason to give up.
	t.Setenv("DOCKER_HOST", "unix:///gone")
	programs(t, map[string]string{"docker": `[ "$DOCKER_HOST" = unix:///private ] || { echo refused >&2; exit 1; }; echo 28`})
	root := checkout(t, map[string]string{"scripts/engine/start": "echo starting >&2; echo unix:///private"})
	host, err := startEngine(t.Context(), nil, root)
	if err != nil || host != "unix:///private" || os.Getenv("DOCKER_HOST") != host {
		t.Errorf("host %q, DOCKER_HOST %q, error %v", host, os.Getenv("DOCKER_HOST"), err)
	}
}

func TestStartEngineOfTheMachine(t *testing.T) {
	t.Setenv("DOCKER_HOST", "")
	programs(t, map[string]string{"docker": "echo 28"})
	host, err := startEngine(t.Context(), nil, checkout(t, map[string]string{"scripts/engine/start": ":"}))
	if err != nil || host != "" || os.Getenv("DOCKER_HOST") != "" {
		t.Errorf("host %q, DOCKER_HOST %q, error %v", host, os.Getenv("DOCKER_HOST"), err)
	}
}

func TestStartEngineThatFails(t *testing.T) {
	programs(t, map[string]string{"docker": "echo 28"})
	root := checkout(t, map[string]string{"scripts/engine/start": "echo 'run it as root' >&2; exit 1"})
	if _, err := startEngine(t.Context(), step.To(nil), root); err == nil || !strings.Contains(err.Error(), "run it as root") {
		t.Errorf("error %v", err)
	}
}

func TestPrivate(t *testing.T) {
	t.Setenv("DOCKER_HOST", "unix:///private")
	programs(t, map[string]string{"docker": `echo "unix:///${DOCKER_HOST:-machine}"`})
	machine := machines(t.Context())
	for host, want := range map[string]bool{"": false, "unix:///machine": false, "unix:///private": true} {
		if c := (&Cluster{host: host, machine: machine}); c.Private() != want || c.Host() != host {
			t.Errorf("%q beside %q: private %v", host, machine, c.Private())
		}
	}
}

func TestOldCgroups(t *testing.T) {
	for version, want := range map[string]bool{"1": true, "2": false} {
		programs(t, map[string]string{"docker": "echo " + version})
		if old, err := oldCgroups(t.Context()); err != nil || old != want {
			t.Errorf("version %s: old %v, error %v", version, old, err)
		}
	}
	programs(t, map[string]string{"docker": "exit 1"})
	if _, err := oldCgroups(t.Context()); err == nil {
		t.Error("an engine that does not answer has cgroups")
	}
}
