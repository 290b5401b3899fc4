package generator

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"
)

// numbered is a client whose answers carry resourceVersions and UIDs, as the fake's own don't, and that fails where
// fail says so: after it has stored what it was asked to.
func numbered(fail func(verb string) error) *fake.Clientset {
	c := fake.NewClientset()
	rv := 0
	// A count per verb decides which request fails; the tracker below stores every one.
	c.PrependReactor("create", "events", func(a clienttesting.Action) (bool, runtime.Object, error) {
		create := a.(clienttesting.CreateAction)
		o, err := metaOf(create.GetObject())
		if err != nil {
			return true, nil, err
		}
		rv++
		o.SetResourceVersion(itoa(rv))
		o.SetUID("00000000-0000-0000-0000-000000000001")
		if err := c.Tracker().Create(a.GetResource(), create.GetObject(), a.GetNamespace()); err != nil {
			return true, nil, err
		}
		return true, create.GetObject(), fail("create")
	})
	return c
}

func TestSteadyRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := Start(t.Context(), Options{Client: numbered(never), Namespace: "n", Prefix: "e", Rate: 10})
		time.Sleep(10*time.Second + 50*time.Millisecond)
		g.Stop()
		if n := g.Log().Len(); n != 100 {
			t.Errorf("%d events in 10 s at a rate of 10", n)
		}
		names := map[string]bool{}
		for _, e := range g.Log().Events() {
			names[e.Name] = true
			if e.UID == "" || e.Last().RV == 0 || e.Last().Count != 1 {
				t.Errorf("%+v", e)
			}
		}
		if len(names) != 100 {
			t.Errorf("%d names", len(names))
		}
	})
}

func never(string) error { return nil }

func TestObjects(t *testing.T) {
	for objects, want := range map[int]int{0: 1, 1: 1, 3: 3} {
		w := newWorker(Options{Objects: objects}, &Log{}, "e-0")
		names := map[string]bool{}
		for w.made = range 10 {
			names[w.object().Name] = true
		}
		if len(names) != want {
			t.Errorf("%d: %v", objects, names)
		}
	}
}

// An answer that is lost leaves open what was stored: the next try has to find out.
func TestLostAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := 0
		g := Start(t.Context(), Options{Client: numbered(func(string) error {
			n++
			if n%3 == 0 {
				return errors.New("connection reset")
			}
			return nil
		}), Namespace: "n", Prefix: "e", Rate: 5})
		time.Sleep(5 * time.Second)
		g.Stop()
		events := g.Log().Events()
		if len(events) < 20 {
			t.Errorf("only %d events", len(events))
		}
		for _, e := range events {
			if len(e.Versions) != 1 || e.Last().RV == 0 {
				t.Errorf("%+v", e)
			}
		}
	})
}

func TestStopsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		g := Start(ctx, Options{Client: numbered(func(string) error { return errors.New("away") }), Namespace: "n", Prefix: "e", Rate: 5})
		time.Sleep(time.Second)
		cancel()
		g.Stop()
	})
}

func TestLoad(t *testing.T) {
	log, err := Load(t.Context(), Options{Client: numbered(never), Namespace: "n", Prefix: "e"}, 100)
	if err != nil || log.Len() != 100 {
		t.Fatal(err, log)
	}
}

func TestUpdateCountsUp(t *testing.T) {
	c := fake.NewClientset()
	c.PrependReactor("update", "events", func(a clienttesting.Action) (bool, runtime.Object, error) {
		o, err := metaOf(a.(clienttesting.UpdateAction).GetObject())
		if err != nil {
			return true, nil, err
		}
		o.SetResourceVersion("2")
		return false, nil, nil
	})
	for _, a := range []api{classic, series} {
		w := newWorker(Options{Client: c, Namespace: "n", Updates: 1}, &Log{}, "e")
		l := &live{api: a, event: &Event{Name: "x", Versions: []Version{{RV: 1, Count: 1}}}}
		l.core, l.series = w.coreEvent("x"), w.seriesEvent("x")
		_ = c.Tracker().Add(&corev1.Event{ObjectMeta: metav1.ObjectMeta{Namespace: "n", Name: "x"}})
		if a == series {
			_ = c.Tracker().Add(w.seriesEvent("x"))
		}
		w.recent = []*live{l}
		if err := w.update(t.Context(), 0); err != nil {
			t.Fatal(err)
		}
		if v := l.event.Last(); v.Count != 2 || v.RV != 2 || len(l.event.Versions) != 2 {
			t.Errorf("api %d: %+v", a, l.event)
		}
	}
}
