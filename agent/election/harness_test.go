package election

import (
	"bytes"
	"context"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"go.uber.org/goleak"

	"github.com/eventbaton/baton/agent/election/memapi"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	lockName  = "baton"
	testLease = 15 * time.Second
)

// kinds runs a test against both kinds of lock.
func kinds(t *testing.T, test func(t *testing.T, f *fleet)) {
	for _, configMap := range []bool{false, true} {
		name := "lease"
		if configMap {
			name = "configmap"
		}
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { test(t, newFleet(t, configMap)) })
		})
	}
}

type fleet struct {
	t         *testing.T
	server    *memapi.Server
	configMap bool
	person    Lock // whoever edits the lock by hand
	members   []*member
}

func newFleet(t *testing.T, configMap bool) *fleet {
	f := &fleet{t: t, server: memapi.NewServer(), configMap: configMap}
	f.person = f.lock(memapi.NewLink("person"), configMap)
	t.Cleanup(func() {
		for _, m := range f.members {
			m.stop()
		}
	})
	return f
}

func (f *fleet) lock(l *memapi.Link, configMap bool) Lock {
	if configMap {
		return NewConfigMapLock(f.server.ConfigMaps.Client(l), "ns", lockName)
	}
	return NewLeaseLock(f.server.Leases.Client(l), "ns", lockName)
}

// member is a candidate with a pod.
type member struct {
	f       *fleet
	link    *memapi.Link
	elector *Elector
	id      Identity
	cancel  context.CancelFunc
	done    chan struct{}
	log     bytes.Buffer

	mu     sync.Mutex
	events []Event
	terms  []*Term
}

func identity(pod string) Identity {
	return Identity{Pod: pod, UID: "uid-" + pod, Container: "agent", Instance: "1"}
}

// add makes a candidate that is not started yet. Its work waits for the end of the term.
func (f *fleet) add(name string, change ...func(*Options)) *member {
	m := &member{f: f, link: memapi.NewLink(name), id: identity(name), done: make(chan struct{})}
	o := Options{
		Lock: f.lock(m.link, f.configMap), Other: f.lock(m.link, !f.configMap), Lease: testLease, Identity: m.id,
		Pods: f.server.Pods.Client(m.link), Lead: m.lead,
		Log: slog.New(slog.NewTextHandler(&m.log, nil)),
		Observe: func(e Event) {
			m.mu.Lock()
			defer m.mu.Unlock()
			m.events = append(m.events, e)
		},
	}
	for _, c := range change {
		c(&o)
	}
	m.id = o.Identity
	e, err := New(o)
	if err != nil {
		f.t.Fatal(err)
	}
	m.elector = e
	f.createPod(m.id)
	f.members = append(f.members, m)
	return m
}

func (f *fleet) start(name string, change ...func(*Options)) *member {
	m := f.add(name, change...)
	m.start()
	return m
}

func (m *member) start() {
	ctx, cancel := context.WithCancel(context.Background())
	m.cancel = cancel
	go func() {
		defer close(m.done)
		if err := m.elector.Run(ctx); err != nil {
			m.f.t.Errorf("Run: %v", err)
		}
	}()
}

// stop ends the candidate in order.
func (m *member) stop() {
	if m.cancel == nil {
		return
	}
	m.cancel()
	<-m.done
}

// crash ends it without a word.
func (m *member) crash() {
	m.link.Faults(func(memapi.Call) memapi.Fault { return memapi.Fault{Refuse: memapi.ErrCut} })
	m.stop()
}

func (m *member) lead(ctx context.Context, t *Term) error {
	m.keep(t)
	select {
	case <-ctx.Done():
	case <-t.Drain():
	}
	return nil
}

func (m *member) keep(t *Term) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.terms = append(m.terms, t)
}

// term is the latest one, nil for none.
func (m *member) term() *Term {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.terms) == 0 {
		return nil
	}
	return m.terms[len(m.terms)-1]
}

func (m *member) leads() bool { t := m.term(); return t != nil && t.Valid() }

func (m *member) count(k Kind) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := 0
	for _, e := range m.events {
		if e.Kind == k {
			n++
		}
	}
	return n
}

func (m *member) mustLead(what string) {
	m.f.t.Helper()
	synctest.Wait()
	if !m.leads() {
		m.f.t.Fatalf("%s: %s does not lead; the lock says %+v; events %v", what, m.id.Pod, m.f.record(), m.events)
	}
}

func (m *member) mustNotLead(what string) {
	m.f.t.Helper()
	synctest.Wait()
	if m.leads() {
		m.f.t.Fatalf("%s: %s leads", what, m.id.Pod)
	}
}

func (m *member) mustHave(k Kind) {
	m.f.t.Helper()
	synctest.Wait()
	if m.count(k) == 0 {
		m.f.t.Fatalf("%s has no event %s, only %v", m.id.Pod, k, m.events)
	}
}

// pass lets time go by and everything settle.
func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func (f *fleet) observation() Observation {
	f.t.Helper()
	o, err := f.person.Get(context.Background())
	if err != nil {
		f.t.Fatal(err)
	}
	return o
}

func (f *fleet) record() Record { f.t.Helper(); return f.observation().Record }

// hold writes a record by hand.
func (f *fleet) hold(r Record) {
	f.t.Helper()
	if _, err := f.person.Write(context.Background(), f.observation(), r); err != nil {
		f.t.Fatal(err)
	}
}

func (f *fleet) editMeta(change func(metav1.Object)) {
	f.t.Helper()
	var err error
	if f.configMap {
		err = f.server.ConfigMaps.Edit(lockName, func(o *corev1.ConfigMap) { change(o) })
	} else {
		err = f.server.Leases.Edit(lockName, func(o *coordinationv1.Lease) { change(o) })
	}
	if err != nil {
		f.t.Fatal(err)
	}
}

func (f *fleet) deleteLock() {
	f.t.Helper()
	err := f.server.Leases.Delete(lockName)
	if f.configMap {
		err = f.server.ConfigMaps.Delete(lockName)
	}
	if err != nil {
		f.t.Fatal(err)
	}
}

func (f *fleet) createPod(id Identity) {
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: id.Pod, UID: types.UID(id.UID)}}
	pod.Status.ContainerStatuses = []corev1.ContainerStatus{{
		Name:  id.Container,
		State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: metav1.NewTime(time.Now().Add(-time.Hour))}},
	}}
	if _, err := f.server.Pods.Create(pod); err != nil && !apierrors.IsAlreadyExists(err) {
		f.t.Fatal(err)
	}
}

func (f *fleet) editPod(name string, change func(*corev1.ContainerStatus)) {
	f.t.Helper()
	err := f.server.Pods.Edit(name, func(p *corev1.Pod) { change(&p.Status.ContainerStatuses[0]) })
	if err != nil {
		f.t.Fatal(err)
	}
}

func (f *fleet) requests(client string) int {
	return f.server.Count(func(c memapi.Call) bool { return c.Client == client })
}

func (f *fleet) writes() int {
	return f.server.Count(func(c memapi.Call) bool { return c.Write() && c.Client != "person" })
}

func forbidden() error {
	return apierrors.NewForbidden(schema.GroupResource{Resource: "things"}, lockName, nil)
}

// refuse answers 403 to these verbs of a kind.
func refuse(kind string, verbs ...string) func(memapi.Call) memapi.Fault {
	return func(c memapi.Call) memapi.Fault {
		if c.Kind == kind && slices.Contains(verbs, c.Verb) {
			return memapi.Fault{Refuse: forbidden()}
		}
		return memapi.Fault{}
	}
}

func (f *fleet) kind() string {
	if f.configMap {
		return "configmaps"
	}
	return "leases"
}

func lease(d time.Duration) func(*Options) { return func(o *Options) { o.Lease = d } }

func noPods(o *Options) { o.Pods = nil }
