package main

import (
	"strings"
	"testing"
)

func TestNext(t *testing.T) {
	for name, c := range map[string]struct {
		kubectl, host string
		alias, docker bool
	}{
		"theirs":         {"kubectl", "", false, false},
		"built":          {"/cache/kubectl", "", true, false},
		"private engine": {"kubectl", "unix:///engine", false, true},
	} {
		t.Run(name, func(t *testing.T) {
			text := next(c.kubectl, "/dist/kubeconfig", c.host, "baton-x")
			for part, want := range map[string]bool{
				"export KUBECONFIG=/dist/kubeconfig\n": true, "delete pod baton-x": true, "get lease baton": true, "make down": true,
				"alias kubectl=/cache/kubectl": c.alias, "export DOCKER_HOST=unix:///engine": c.docker, "DOCKER_HOST": c.docker,
			} {
				if got := strings.Contains(text, part); got != want {
					t.Errorf("%q is there: %v, in\n%s", part, got, text)
				}
			}
		})
	}
}
