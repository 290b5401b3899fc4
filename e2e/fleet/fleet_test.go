package fleet

import (
	"context"
	"testing"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/eventbaton/baton/agent/config"
)

func TestYAMLIsWhatTheAgentTakes(t *testing.T) {
	c := Config{
		Name: "b", Lock: "configmap", Lease: 5 * time.Second, Namespaces: []string{"x", "y"},
		Sinks: []Sink{{Name: "r", Type: "webhook", More: map[string]string{"url": "http://127.0.0.1:1/a", "timeout": "1s"}}},
		More:  map[string]string{"checkpoint_interval": "1"},
	}
	none := func(string) (string, bool) { return "", false }
	got, err := config.Parse("f", []byte(c.YAML()), none)
	if err != nil {
		t.Fatalf("%v in\n%s", err, c.YAML())
	}
	if got.Name != "b" || got.Lock != "configmap" || got.LeaderLeaseDuration != c.Lease || len(got.Namespaces) != 2 ||
		got.Sinks[0].Name != "r" || got.CheckpointInterval != time.Second || !got.LeaderCandidate {
		t.Errorf("%+v", got)
	}
}

func TestConfigsAreNotShared(t *testing.T) {
	first := Config{Sinks: []Sink{{More: map[string]string{"url": "a"}}}}
	second := first.clone()
	second.Sinks[0].More["url"], second.More["start"] = "b", "now"
	if first.Sinks[0].More["url"] != "a" || len(first.More) > 0 {
		t.Errorf("%+v", first)
	}
}

func TestHistory(t *testing.T) {
	h := newHistory[int]()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	go func() {
		for i := range 4 {
			h.add(i)
		}
	}()
	if got, err := h.Wait(ctx, func(n int) bool { return n == 3 }); err != nil || got != 3 || h.Now() != 3 || len(h.All()) != 4 {
		t.Error(got, err, h.All())
	}
	cancel()
	if _, err := h.Wait(ctx, func(n int) bool { return n == 9 }); err == nil {
		t.Error("a wait in vain has to end with its context")
	}
}

func TestLockState(t *testing.T) {
	holder, seconds := "p_u_c_i", int32(5)
	lease := &coordinationv1.Lease{Spec: coordinationv1.LeaseSpec{HolderIdentity: &holder, LeaseDurationSeconds: &seconds}}
	with := func(annotation string) runtime.Object {
		return &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{
			ResourceVersion: "7", Annotations: map[string]string{"control-plane.alpha.kubernetes.io/leader": annotation},
		}}
	}
	for _, test := range []struct {
		name   string
		event  watch.Event
		holder string
	}{
		{"a lease", watch.Event{Type: watch.Added, Object: lease}, holder},
		{"a map", watch.Event{Type: watch.Modified, Object: with(`{"holderIdentity":"p_u_c_i"}`)}, holder},
		{"nonsense", watch.Event{Type: watch.Modified, Object: with(`{`)}, ""},
		{"deleted", watch.Event{Type: watch.Deleted, Object: lease}, ""},
	} {
		if got := lockState(test.event); got.Holder != test.holder {
			t.Errorf("%s: %+v", test.name, got)
		}
	}
	if podOf(holder) != "p" {
		t.Error(podOf(holder))
	}
}

func TestCursorState(t *testing.T) {
	o := &corev1.ConfigMap{Data: map[string]string{
		"owner": "p_u_c_i", "epoch": "4", "cursor.a": `{"rv":"17"}`, "cursor.b.ns": `{"rv":"5","listing":{"stream":"ns"}}`, "cursor.c": "nonsense",
	}}
	s := cursorState(watch.Event{Type: watch.Added, Object: o})
	if s.Owner != "p_u_c_i" || s.Epoch != 4 || len(s.RVs) != 2 || s.RVs["a"] != 17 || s.RVs["b.ns"] != 5 || s.Listing["a"] || !s.Listing["b.ns"] {
		t.Errorf("%+v", s)
	}
}
