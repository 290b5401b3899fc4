package main

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/eventbaton/baton/agent/config"
)

// A holder whose pod the others look for where it is not would be proved dead while it leads.
func TestNoProofOfDeathFromAnotherNamespace(t *testing.T) {
	kubeconfig := filepath.Join(t.TempDir(), "config")
	text := `{"apiVersion":"v1","kind":"Config","current-context":"x","contexts":[{"name":"x","context":{"cluster":"c"}}],` +
		`"clusters":[{"name":"c","cluster":{"server":"https://127.0.0.1:1"}}]}`
	if err := os.WriteFile(kubeconfig, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg := config.Default()
	cfg.LeaderCandidate = true
	env := map[string]string{"POD_NAME": "p", "POD_UID": "u", "POD_NAMESPACE": "here"}
	w := world{env: func(name string) (string, bool) { v, ok := env[name]; return v, ok }}
	for namespace, uid := range map[string]string{"": "u", "here": "u", "elsewhere": ""} {
		flags := runFlags{kubeconfig: kubeconfig, namespace: namespace}
		a, err := newAgent(cfg, flags, w, nil, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		if a.identity.UID != uid || a.identity.Pod != "p" {
			t.Errorf("--namespace %q: identity %s, want the UID %q", namespace, a.identity, uid)
		}
	}
}

// An agent whose lost term does not end is one that a restart mends; one that merely lost it is not.
func TestHealthOfALostTerm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &agent{}
		term, lose := context.WithCancel(t.Context())
		ended := a.lost.watch(term)
		time.Sleep(time.Hour)
		if err := a.Healthy(); err != nil {
			t.Errorf("while it leads: %v", err)
		}
		lose()
		time.Sleep(longestEnd)
		synctest.Wait()
		if err := a.Healthy(); err != nil {
			t.Errorf("while it ends: %v", err)
		}
		time.Sleep(time.Second)
		if err := a.Healthy(); err == nil {
			t.Error("healthy although the lost term does not end")
		}
		ended()
		if err := a.Healthy(); err != nil {
			t.Errorf("after it ended: %v", err)
		}
	})
}
