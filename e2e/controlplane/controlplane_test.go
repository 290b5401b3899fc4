package controlplane

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/eventbaton/baton/e2e/port"
)

func start(t *testing.T, o Options) *ControlPlane {
	t.Helper()
	c, err := Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Stop(); err != nil {
			t.Error(err)
		}
		if _, err := os.Stat(c.nursery.Dir); !os.IsNotExist(err) {
			t.Errorf("%s is left: %v", c.nursery.Dir, err)
		}
	})
	return c
}

func event(name string) *corev1.Event {
	return &corev1.Event{
		ObjectMeta:     metav1.ObjectMeta{Namespace: "default", Name: name},
		InvolvedObject: corev1.ObjectReference{Kind: "Pod", Namespace: "default", Name: "p"},
		Type:           "Normal", Reason: "Test", LastTimestamp: metav1.Now(),
	}
}

func create(t *testing.T, c *ControlPlane, name string) *corev1.Event {
	t.Helper()
	e, err := c.Client().CoreV1().Events("default").Create(t.Context(), event(name), metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func watchStatus(t *testing.T, c *ControlPlane, rv string) error {
	t.Helper()
	w, err := c.Client().CoreV1().Events("default").Watch(t.Context(), metav1.ListOptions{ResourceVersion: rv})
	if err != nil {
		return err
	}
	defer w.Stop()
	select {
	case e := <-w.ResultChan():
		return apierrors.FromObject(e.Object)
	case <-time.After(10 * time.Second):
		return errors.New("the watch says nothing")
	}
}

func TestControlPlane(t *testing.T) {
	c := start(t, Options{EventsEtcd: true, Audit: true})
	t.Run("users have no rights of their own", func(t *testing.T) {
		u, err := c.NewUser()
		if err != nil {
			t.Fatal(err)
		}
		client, err := kubernetes.NewForConfig(c.Config(u))
		if err != nil {
			t.Fatal(err)
		}
		_, err = client.CoreV1().Events("default").List(t.Context(), metav1.ListOptions{})
		if !apierrors.IsForbidden(err) || !strings.Contains(err.Error(), u.Name) {
			t.Errorf("got %v, want a refusal that names %s", err, u.Name)
		}
	})
	t.Run("compaction ends the history", func(t *testing.T) {
		first := create(t, c, "a")
		create(t, c, "b")
		create(t, c, "bb")
		if err := c.Compact(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := watchStatus(t, c, first.ResourceVersion); !apierrors.IsResourceExpired(err) {
			t.Errorf("got %v, want expired", err)
		}
	})
	t.Run("a killed API server comes back at its address", func(t *testing.T) {
		create(t, c, "c")
		address := c.Address()
		c.KillAPIServer()
		if _, err := net.Dial("tcp", address); err == nil {
			t.Error("a killed API server still answers")
		}
		if err := c.StartAPIServer(t.Context()); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Client().CoreV1().Events("default").Get(t.Context(), "c", metav1.GetOptions{}); err != nil || c.Address() != address {
			t.Error(err, c.Address())
		}
	})
	t.Run("the wiped events' etcd forgets events only", func(t *testing.T) {
		if err := c.WipeEventsEtcd(t.Context()); err != nil {
			t.Fatal(err)
		}
		eventually(t, func(ctx context.Context) error {
			list, err := c.Client().CoreV1().Events("default").List(ctx, metav1.ListOptions{})
			if err == nil && len(list.Items) > 0 {
				return errors.New("events are left")
			}
			return err
		})
		if _, err := c.Client().CoreV1().Namespaces().Get(t.Context(), "default", metav1.GetOptions{}); err != nil {
			t.Error(err)
		}
	})
	t.Run("the audit log is kept", func(t *testing.T) {
		b, err := os.ReadFile(c.AuditLog())
		if err != nil || !strings.Contains(string(b), `"resource":"events"`) {
			t.Errorf("%v, %d bytes", err, len(b))
		}
	})
}

func eventually(t *testing.T, f func(context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for {
		err := f(ctx)
		if err == nil {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatal(err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// A port that was free when it was chosen may be taken when the server binds it.
func TestTakenPortIsReplaced(t *testing.T) {
	c := start(t, Options{})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	again := *c.etcd
	again.name, again.ports = "etcd-again", nil
	first := l.Addr().(*net.TCPAddr).Port
	args := again.args
	var once sync.Once
	again.args = func(ports []int) []string {
		once.Do(func() { ports = []int{first, ports[1]} })
		a := args(ports)
		a[0] = "--data-dir=" + filepath.Join(c.nursery.Dir, again.name)
		return a
	}
	if err := again.start(t.Context()); err != nil {
		t.Fatal(err)
	}
	defer again.give()
	if again.ports[0] == first || port.Address(again.ports[0]) == c.Address() {
		t.Error("not another port:", again.ports)
	}
}
