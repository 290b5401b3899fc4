package matrix

import (
	"bufio"
	"context"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/tools/record"

	"github.com/eventbaton/baton/e2e/fleet"
	"github.com/eventbaton/baton/e2e/history"
)

const (
	metricsNamespace = "metrics"
	metricsReason    = "Tested"
)

// metricsRun has two agents with a sink of type metrics, and a reporter as those of Kubernetes are.
type metricsRun struct {
	*testing.T
	ctx      context.Context
	events   corev1client.EventInterface
	fleet    *fleet.Fleet
	recorder record.EventRecorder
}

func newMetricsRun(t *testing.T) *metricsRun {
	ctx, cancel := context.WithTimeout(suite.ctx, runTimeout)
	t.Cleanup(cancel)
	plane, err := shared(ctx)
	m := &metricsRun{T: t, ctx: ctx}
	m.must(err)
	m.fleet, err = fleet.New(ctx, fleet.Options{
		Plane: plane, Binary: suite.binary, Namespace: metricsNamespace, Size: 2,
		Config: fleet.Config{
			Name: "baton", Lock: "lease", Lease: lease, Namespaces: []string{metricsNamespace},
			Sinks: []fleet.Sink{{Name: "metrics", Type: "metrics"}}, More: map[string]string{"checkpoint_interval": "1"},
		},
	})
	m.must(err)
	t.Cleanup(m.fleet.Stop)
	m.events = plane.Client().CoreV1().Events(metricsNamespace)
	broadcaster := record.NewBroadcasterWithCorrelatorOptions(record.CorrelatorOptions{BurstSize: 1000, QPS: 1000})
	t.Cleanup(broadcaster.Shutdown)
	broadcaster.StartRecordingToSink(&corev1client.EventSinkImpl{Interface: m.events})
	m.recorder = broadcaster.NewRecorder(runtime.NewScheme(), corev1.EventSource{Component: "test"})
	return m
}

func (m *metricsRun) must(err error) {
	m.Helper()
	if err != nil {
		m.Fatal(err)
	}
}

// report reports the same of some objects, n times.
func (m *metricsRun) report(objects, n int) {
	for i := range objects * n {
		about := &corev1.ObjectReference{APIVersion: "v1", Kind: "Pod", Namespace: metricsNamespace, Name: fmt.Sprint("pod-", i%objects)}
		m.recorder.Event(about, "Warning", metricsReason, "it happened")
	}
}

// expire does to all events what their time to live does.
func (m *metricsRun) expire() {
	m.Helper()
	m.must(m.events.DeleteCollection(m.ctx, metav1.DeleteOptions{}, metav1.ListOptions{FieldSelector: "reason=" + metricsReason}))
}

// counted is what the agent says that it has counted.
func (m *metricsRun) counted(a *fleet.Agent) int {
	m.Helper()
	answer, err := a.Get(m.ctx, "/metrics")
	m.must(err)
	defer answer.Body.Close()
	want := fmt.Sprintf(`baton_events_total{kind="Pod",namespace=%q,reason=%q,type="Warning"} `, metricsNamespace, metricsReason)
	for lines := bufio.NewScanner(answer.Body); lines.Scan(); {
		if value, ok := strings.CutPrefix(lines.Text(), want); ok {
			n, err := strconv.Atoi(value)
			m.must(err)
			return n
		}
	}
	return 0
}

// wantCounted waits until the agent has counted as much, and fails at more.
func (m *metricsRun) wantCounted(when string, a *fleet.Agent, want int) {
	m.Helper()
	end := time.Now().Add(settleTimeout)
	for {
		switch n := m.counted(a); {
		case n == want:
			return
		case n > want || time.Now().After(end):
			m.Fatalf("%s: %s has counted %d, want %d", when, a.Name, n, want)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// saved waits until the cursor has passed every event there is, and the leader watches: of what it lists it can't tell how
// often it happened since it leads.
func (m *metricsRun) saved() {
	m.Helper()
	list, err := m.events.List(m.ctx, metav1.ListOptions{FieldSelector: "reason=" + metricsReason})
	m.must(err)
	newest := uint64(0)
	for _, e := range list.Items {
		rv, err := strconv.ParseUint(e.ResourceVersion, 10, 64)
		m.must(err)
		newest = max(newest, rv)
	}
	_, err = m.fleet.Cursors.Wait(m.ctx, func(s history.CursorState) bool {
		const stream = "metrics." + metricsNamespace
		return s.RVs[stream] > 0 && s.RVs[stream] >= newest && !s.Listing[stream]
	})
	m.must(err)
}

// What client-go's recorder reports is counted once, however often it happens, when its events expire, and when another
// agent takes over.
func TestEventsAsMetric(t *testing.T) {
	m := newMetricsRun(t)
	m.must(m.fleet.Start())
	first, err := m.fleet.Leader(m.ctx, func(*fleet.Agent) bool { return true })
	m.must(err)
	m.saved()
	m.report(5, 4)
	m.wantCounted("while nothing else happens", first, 20)
	m.expire()
	m.report(5, 2)
	m.wantCounted("after the events have expired", first, 30)
	m.saved()
	first.Proxy.Cut()
	second, err := m.fleet.Leader(m.ctx, func(a *fleet.Agent) bool { return a != first })
	m.must(err)
	first.Proxy.Heal()
	m.report(5, 3)
	m.wantCounted("after another has taken over", second, 15)
	m.wantCounted("after another has taken over", first, 30)
	m.must(m.fleet.Terminate(15 * time.Second))
}
