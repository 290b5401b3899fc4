package main

import (
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"sync"
	"testing"

	"github.com/eventbaton/baton/agent/config"
	"github.com/eventbaton/baton/agent/record"
)

// metadataServer has one pod, and remembers what it was asked for.
func metadataServer(t *testing.T) (kubeconfig string, asked func() []string) {
	t.Helper()
	var (
		mu    sync.Mutex
		paths []string
	)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		paths = append(paths, r.URL.RequestURI())
		_, _ = fmt.Fprint(w, `{"metadata":{"uid":"u","labels":{"team":"shop","other":"x"}}}`)
	}))
	t.Cleanup(server.Close)
	kubeconfig = filepath.Join(t.TempDir(), "kubeconfig")
	text := fmt.Sprintf(`{"apiVersion":"v1","kind":"Config","current-context":"x","contexts":[{"name":"x",`+
		`"context":{"cluster":"c"}}],"clusters":[{"name":"c","cluster":{"server":%q}}]}`, server.URL)
	if err := os.WriteFile(kubeconfig, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return kubeconfig, func() []string {
		mu.Lock()
		defer mu.Unlock()
		return paths
	}
}

func enrichingAgent(t *testing.T, yaml, kubeconfig string) *agent {
	t.Helper()
	cfg, err := config.Parse("f", []byte(yaml), nil)
	if err != nil {
		t.Fatal(err)
	}
	reader, err := metadataReader(cfg, kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	return &agent{cfg: cfg, metadata: reader, counters: newCounters(), log: slog.New(slog.DiscardHandler)}
}

// What the configuration says is what is looked up, and counted beyond the end of a term.
func TestEnricher(t *testing.T) {
	kubeconfig, asked := metadataServer(t)
	a := enrichingAgent(t, "leader_candidate: true\nenrich: {labels: [team], kinds: [Pod], wait: 5}", kubeconfig)
	perTerm := a.newEnricher()
	for range 2 {
		e := perTerm()
		pod := &record.Record{Object: record.Object{APIVersion: "v1", Kind: "Pod", Namespace: "shop", Name: "web", UID: "u"}}
		service := &record.Record{Object: record.Object{APIVersion: "v1", Kind: "Service", Namespace: "shop", Name: "web"}}
		e.Enrich(t.Context(), []*record.Record{pod, service})
		e.Close()
		if want := (&record.Enrichment{Labels: map[string]string{"team": "shop"}}); !reflect.DeepEqual(pod.Enrichment, want) {
			t.Errorf("the pod has %+v, want %+v", pod.Enrichment, want)
		}
		if service.Enrichment != nil {
			t.Errorf("the service, which is left out, has %+v", service.Enrichment)
		}
	}
	const path = "/api/v1/namespaces/shop/pods/web?resourceVersion=0"
	if got := asked(); !reflect.DeepEqual(got, []string{path, path}) {
		t.Errorf("asked for %q", got)
	}
	if got := a.counters.snapshot().Lookups; got["found"] != 2 || got["late"] != 0 {
		t.Errorf("counters %v", got)
	}
}

// Where nothing is to be added nothing is connected to, and nothing counted.
func TestNoEnricher(t *testing.T) {
	a := enrichingAgent(t, "leader_candidate: true\nenrich: {wait: 1}", "/no/such/file")
	if a.metadata != nil || a.newEnricher() != nil || a.counters.snapshot().Lookups != nil {
		t.Errorf("%v, %v", a.metadata, a.counters.snapshot().Lookups)
	}
}
