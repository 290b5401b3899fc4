package memapi

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
)

func named(name string) *coordinationv1.Lease {
	return &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Name: name}}
}

func create(t *testing.T, s *Server, name string) *coordinationv1.Lease {
	t.Helper()
	o, err := s.Leases.Create(named(name))
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func TestOptimisticConcurrency(t *testing.T) {
	s := NewServer()
	old := create(t, s, "a")
	if _, err := s.Leases.Create(named("a")); !apierrors.IsAlreadyExists(err) {
		t.Errorf("created twice: %v", err)
	}
	same, err := s.Leases.Update(old)
	if err != nil || same.ResourceVersion != old.ResourceVersion {
		t.Errorf("an update that changes nothing: %v, %v", same, err)
	}
	old.Labels = map[string]string{"x": "y"}
	changed, err := s.Leases.Update(old)
	if err != nil || changed.ResourceVersion == old.ResourceVersion {
		t.Errorf("%v, %v", changed, err)
	}
	old.Labels = nil
	if _, err := s.Leases.Update(old); !apierrors.IsConflict(err) {
		t.Errorf("an update of an old version: %v", err)
	}
	if err := s.Leases.Delete("a"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Leases.Update(changed); !apierrors.IsNotFound(err) {
		t.Errorf("an update of nothing: %v", err)
	}
	create(t, s, "a")
	changed.ResourceVersion = ""
	if _, err := s.Leases.Update(changed); !apierrors.IsConflict(err) {
		t.Errorf("an update of another UID: %v", err)
	}
}

func next(t *testing.T, w watch.Interface) (watch.EventType, string) {
	t.Helper()
	synctest.Wait()
	select {
	case e, open := <-w.ResultChan():
		if !open {
			return "", ""
		}
		return e.Type, e.Object.(*coordinationv1.Lease).Name
	default:
		return "nothing", ""
	}
}

func expect(t *testing.T, w watch.Interface, want watch.EventType) {
	t.Helper()
	if got, _ := next(t, w); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func options(name, version string) metav1.ListOptions {
	seconds := int64(60)
	return metav1.ListOptions{FieldSelector: "metadata.name=" + name, ResourceVersion: version, TimeoutSeconds: &seconds}
}

func open(t *testing.T, c *Client[*coordinationv1.Lease], o metav1.ListOptions) watch.Interface {
	t.Helper()
	w, err := c.Watch(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func TestWatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, link := NewServer(), NewLink("x")
		c := s.Leases.Client(link)
		first := create(t, s, "a")
		create(t, s, "b")
		label := func(o *coordinationv1.Lease) { o.Labels = map[string]string{"v": o.ResourceVersion} }
		if err := s.Leases.Edit("a", label); err != nil {
			t.Fatal(err)
		}
		fresh, replay := open(t, c, options("a", "")), open(t, c, options("a", first.ResourceVersion))
		expect(t, fresh, watch.Added)
		expect(t, replay, watch.Modified)
		expect(t, fresh, "nothing")
		if err := s.Leases.Delete("a"); err != nil {
			t.Fatal(err)
		}
		expect(t, fresh, watch.Deleted)
		expect(t, replay, watch.Deleted)
		fresh.Stop()
		expect(t, fresh, "")
		link.CutWatches()
		expect(t, replay, "")
		s.Leases.Compact()
		if _, err := c.Watch(context.Background(), options("a", first.ResourceVersion)); !apierrors.IsResourceExpired(err) {
			t.Errorf("from before the compaction: %v", err)
		}
		timed := open(t, c, options("a", ""))
		time.Sleep(time.Minute)
		expect(t, timed, "")
		if n := s.Count(func(c Call) bool { return c.Verb == "watch" && c.Client == "x" }); n != 4 {
			t.Errorf("counted %d watches", n)
		}
	})
}

func TestFaults(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, link := NewServer(), NewLink("x")
		c := s.Leases.Client(link)
		ctx, none := context.Background(), metav1.CreateOptions{}
		exists := func(name string) bool { _, err := s.Leases.Get(name); return err == nil }
		say := func(f Fault) { link.Faults(func(Call) Fault { return f }) }

		refusal := errors.New("no")
		say(Fault{Refuse: refusal})
		if _, err := c.Create(ctx, named("refused"), none); !errors.Is(err, refusal) || exists("refused") {
			t.Errorf("refused: %v", err)
		}
		say(Fault{Lose: ErrCut})
		if _, err := c.Create(ctx, named("lost"), none); !errors.Is(err, ErrCut) || !exists("lost") {
			t.Errorf("lost: %v", err)
		}
		short, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		say(Fault{Before: time.Minute, Orphan: true})
		if _, err := c.Create(short, named("orphan"), none); !errors.Is(err, context.DeadlineExceeded) || exists("orphan") {
			t.Errorf("orphan: %v", err)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if !exists("orphan") {
			t.Error("the orphan never arrived")
		}
		link.Faults(nil)
		link.Part(true)
		time.AfterFunc(time.Minute, func() { link.Part(false) })
		began := time.Now()
		if _, err := c.Create(ctx, named("parted"), none); !errors.Is(err, ErrCut) || exists("parted") || time.Since(began) != time.Minute {
			t.Errorf("parted: %v after %v", err, time.Since(began))
		}
	})
}

func TestNewsWaitForThePartitionsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, link := NewServer(), NewLink("x")
		w := open(t, s.Leases.Client(link), options("a", ""))
		defer w.Stop()
		link.Lag(func() time.Duration { return time.Second })
		link.Part(true)
		create(t, s, "a")
		time.Sleep(30 * time.Second)
		expect(t, w, "nothing")
		link.Part(false)
		time.Sleep(time.Second)
		expect(t, w, watch.Added)
	})
}
