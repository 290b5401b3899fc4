package history

import (
	"context"
	"testing"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"
)

func TestHistory(t *testing.T) {
	h := New[int]()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	go func() {
		for i := range 4 {
			h.Add(i)
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
	if PodOf(holder) != "p" {
		t.Error(PodOf(holder))
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

// A watch that breaks goes on where it was, and with the object as it is where that place is forgotten.
func TestFollowsThroughBrokenWatches(t *testing.T) {
	c := fake.NewClientset()
	asked := make(chan string, 100)
	watches := make(chan *watch.FakeWatcher, 100)
	c.PrependWatchReactor("configmaps", func(a clienttesting.Action) (bool, watch.Interface, error) {
		asked <- a.(clienttesting.WatchActionImpl).ListOptions.ResourceVersion
		w := watch.NewFake()
		watches <- w
		return true, w, nil
	})
	ctx, cancel := context.WithCancel(t.Context())
	h := New[CursorState]()
	done := make(chan struct{})
	go func() {
		defer close(done)
		Cursors(ctx, c, "n", "b", h)
	}()
	object := func(version, epoch string) *corev1.ConfigMap {
		return &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "b-cursors", ResourceVersion: version}, Data: map[string]string{"epoch": epoch}}
	}
	w := <-watches
	w.Add(object("7", "1"))
	w.Stop()
	w = <-watches
	w.Modify(object("8", "2"))
	w.Error(&metav1.Status{Code: 410})
	w = <-watches
	w.Add(object("9", "3"))
	if s, err := h.Wait(ctx, func(s CursorState) bool { return s.Epoch == 3 }); err != nil || s.Version != "9" {
		t.Error(s, err)
	}
	cancel()
	w.Stop()
	<-done
	if a, b, d := <-asked, <-asked, <-asked; a != "" || b != "7" || d != "" || len(h.All()) != 3 {
		t.Error(a, b, d, h.All())
	}
}
