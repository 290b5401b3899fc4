package serve

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	"go.uber.org/goleak"

	"github.com/eventbaton/baton/agent/record"
	"github.com/eventbaton/baton/agent/relay"
	"github.com/eventbaton/baton/agent/sink"
	"github.com/eventbaton/baton/agent/term"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fake is an agent as the test wants it.
type fake struct {
	status         Status
	healthy, ready error
}

func (f *fake) Status() Status { return f.status }
func (f *fake) Healthy() error { return f.healthy }
func (f *fake) Ready() error   { return f.ready }

func leader() *fake {
	return &fake{status: Status{
		Mode: "candidate", Ready: true,
		Election: &Election{Role: "leader", Holder: "a"},
		Term:     term.Status{Leading: true, Epoch: 7, Checkpoint: time.Unix(1700000000, 5e8)},
		Sinks:    []relay.Status{{Name: "log", Delivered: 12}, {Name: "archive", Refused: 2, Error: "down", LagSeconds: 1.5}},
		Counters: Counters{Election: map[string]uint64{"acquired": 3}, Gaps: 1, WentBack: 2, Lookups: map[string]uint64{"found": 4}},
	}}
}

func ask(t *testing.T, f *fake, path string) (int, string) {
	t.Helper()
	answer := httptest.NewRecorder()
	Handler(f, Metrics(prometheus.NewRegistry(), f, NewLag())).ServeHTTP(answer, httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, nil))
	return answer.Code, answer.Body.String()
}

func TestVerdicts(t *testing.T) {
	f := leader()
	for _, path := range []string{"/healthz", "/readyz"} {
		if code, body := ask(t, f, path); code != http.StatusOK || body != "ok\n" {
			t.Errorf("%s: %d %q", path, code, body)
		}
	}
	f.ready = errors.New("cannot watch the lock")
	if code, body := ask(t, f, "/readyz"); code != http.StatusServiceUnavailable || !strings.Contains(body, "cannot watch the lock") {
		t.Errorf("/readyz: %d %q", code, body)
	}
	if code, _ := ask(t, f, "/healthz"); code != http.StatusOK {
		t.Errorf("/healthz: %d for an agent that is not ready", code)
	}
	f.healthy = errors.New("stuck")
	if code, body := ask(t, f, "/healthz"); code != http.StatusServiceUnavailable || !strings.Contains(body, "stuck") {
		t.Errorf("/healthz: %d %q", code, body)
	}
}

func TestStatus(t *testing.T) {
	f := leader()
	code, body := ask(t, f, "/status")
	var got Status
	if err := json.Unmarshal([]byte(body), &got); err != nil || code != http.StatusOK {
		t.Fatalf("/status: %d %v %s", code, err, body)
	}
	if got.Term.Epoch != 7 || len(got.Sinks) != 2 || got.Sinks[1].Error != "down" || got.Election.Holder != "a" {
		t.Errorf("/status: %s", body)
	}
}

func TestMetrics(t *testing.T) {
	_, body := ask(t, leader(), "/metrics")
	for _, want := range []string{
		"baton_leader 1", "baton_ready 1", "baton_epoch 7", "baton_checkpoint_timestamp_seconds 1.7000000005e+09",
		"baton_source_gaps_total 1", "baton_source_went_back_total 2", `baton_election_events_total{kind="acquired"} 3`,
		`baton_sink_records_total{sink="log"} 12`, `baton_sink_refused_total{sink="archive"} 2`,
		`baton_sink_waiting_seconds{sink="archive"} 1.5`, `baton_sink_failing{sink="archive"} 1`, `baton_sink_failing{sink="log"} 0`,
		"go_goroutines", "process_resident_memory_bytes",
	} {
		if !strings.Contains(body, want) {
			t.Errorf("/metrics lacks %s", want)
		}
	}
}

// count has a sink of type metrics count an event.
func count(t *testing.T, registry *prometheus.Registry) {
	t.Helper()
	s, err := sink.Types["metrics"]().Open(sink.Environment{Metrics: registry})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Send(t.Context(), []*record.Record{{ID: "a", Type: "Warning", Reason: "BackOff"}}); err != nil {
		t.Fatal(err)
	}
}

// Names and help are as Prometheus' own linter wants them, and the catalogue has each metric that there is.
func TestMetricNames(t *testing.T) {
	f, lag, registry := leader(), NewLag(), prometheus.NewRegistry()
	lag.Observe("log", 0.1)
	count(t, registry)
	families, err := Metrics(registry, f, lag).Gather()
	if err != nil {
		t.Fatal(err)
	}
	problems, err := promlint.NewWithMetricFamilies(families).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		if strings.HasPrefix(p.Metric, "baton_") {
			t.Errorf("%s: %s", p.Metric, p.Text)
		}
	}
	known := map[string]bool{}
	labels := map[string]string{}
	for _, d := range Catalogue() {
		known[d.Name], labels[d.Name] = true, d.Labels
	}
	for _, family := range families {
		if name := family.GetName(); strings.HasPrefix(name, "baton_") && !known[name] {
			t.Errorf("the catalogue lacks %s", name)
		} else if known[name] {
			var names []string
			for _, l := range family.GetMetric()[0].GetLabel() {
				names = append(names, l.GetName())
			}
			want := strings.Split(labels[name], ", ")
			slices.Sort(want)
			if got := strings.Join(names, ", "); got != strings.Join(want, ", ") {
				t.Errorf("%s has the labels %s; the catalogue says %s", name, got, labels[name])
			}
		}
		delete(known, family.GetName())
	}
	if len(known) > 0 {
		t.Errorf("the catalogue has what is not there: %v", known)
	}
}

func TestListenSaysWhatIsWrong(t *testing.T) {
	l, err := Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if _, err := Listen(l.Addr().String()); err == nil || !strings.Contains(err.Error(), "--listen "+l.Addr().String()) {
		t.Errorf("a taken address: %v", err)
	}
}

// A client that never finishes its request does not keep the process.
func TestRunEndsWithABusyClient(t *testing.T) {
	l, err := Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	entered := make(chan struct{})
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	slow := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		close(entered)
		<-r.Context().Done()
	})
	done := make(chan error, 1)
	go func() { done <- Run(ctx, l, slow, slog.New(slog.DiscardHandler)) }()
	client, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if _, err := io.WriteString(client, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	<-entered
	stop()
	if err := <-done; err != nil {
		t.Errorf("Run: %v", err)
	}
}

var _ prometheus.Collector = collector{}
