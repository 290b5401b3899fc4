package backend

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/eventbaton/baton/agent/config"
	"github.com/eventbaton/baton/agent/record"
	"github.com/eventbaton/baton/agent/sink"
	"github.com/eventbaton/baton/e2e/fleet"
	"github.com/eventbaton/baton/e2e/receiver"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const agent = "baton-0"

// batch is records from..from+n-1, each of an object of its own.
func batch(from, n int) []*record.Record {
	records := make([]*record.Record, n)
	for i := range records {
		delta, at := int64(1), time.Now().UTC()
		records[i] = &record.Record{
			ID: fmt.Sprintf("c/0f8fad5b-d9cb-469f-a165-%012d/%d", from+i, 100+from+i), Cluster: "c", Time: at, First: at, Last: at,
			Count: int64(from + i), CountDelta: &delta, Type: "Normal", Reason: "Generated", Message: `a "message"`, Namespace: "shop",
			Name:   fmt.Sprintf("e-%d", from+i),
			Object: record.Object{APIVersion: "v1", Kind: "Pod", Namespace: "shop", Name: fmt.Sprintf("web-%d", from+i)},
			Source: record.Source{Component: "kubelet", Host: "node-3"},
			Leader: record.Leader{Identity: agent + "_u_c_i", Epoch: 7},
		}
	}
	return records
}

// open starts the backend, and a sink that is configured as its agent would be.
func open(t *testing.T, k Kind) (*Backend, sink.Sink) {
	t.Helper()
	b, err := k.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	options, err := b.Options(agent)
	if err != nil {
		t.Fatal(err)
	}
	c := fleet.Config{
		Name: "b", Lock: "lease", Lease: 5 * time.Second,
		Sinks: []fleet.Sink{{Name: k.Sink(), Type: k.Type, More: options}},
	}
	parsed, err := config.Parse("f", []byte(c.YAML()), func(string) (string, bool) { return "", false })
	if err != nil {
		t.Fatalf("%v in\n%s", err, c.YAML())
	}
	if match := parsed.Sinks[0].Match; match != nil {
		if ok, err := match.Match(batch(1, 1)[0]); !ok || err != nil {
			t.Fatal("its filter leaves records out:", err)
		}
	}
	s, err := parsed.Sinks[0].Options.Open(sink.Environment{Version: "1.2.3"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return b, s
}

// deliver sends, in batches as large as the sink allows, until everything is acknowledged.
func deliver(t *testing.T, s sink.Sink, records []*record.Record) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for part := range slices.Chunk(records, s.Limits().Records) {
		for err := s.Send(ctx, part); err != nil; err = s.Send(ctx, part) {
			if _, refused := errors.AsType[*sink.Refused](err); refused || ctx.Err() != nil {
				t.Fatal(err)
			}
		}
	}
}

// arrived waits until n different records are there, and some repeats, and returns them all.
func arrived(t *testing.T, b *Backend, n, repeats int) []receiver.Arrival {
	t.Helper()
	there := func() bool { return b.Len() >= n && len(b.Arrivals()) >= n+repeats }
	for end := time.Now().Add(20 * time.Second); !there() && time.Now().Before(end); {
		<-time.After(time.Millisecond) // some are read from what was written
	}
	if got := b.Arrivals(); len(b.Bad()) > 0 || b.Len() != n || len(got) != n+repeats && !b.Resends {
		t.Fatalf("%d records arrived, %d different ones, not %d and %d; bad: %v", len(got), b.Len(), n+repeats, n, b.Bad())
	}
	return b.Arrivals()
}

// A type of sink that is new needs a kind here, and so a row of the fault matrix.
func TestKindsAreAllTypes(t *testing.T) {
	// What the others are: the process's own, and what the package receiver has.
	covered := map[string]bool{"stdout": true, "metrics": true, "webhook": true}
	names := map[string]bool{}
	for _, k := range Kinds() {
		covered[k.Type] = true
		if names[k.Sink()] {
			t.Errorf("two kinds are called %s", k.Sink())
		}
		names[k.Sink()] = true
	}
	for name := range sink.Types {
		if !covered[name] {
			t.Errorf("nothing here takes what the sink %s sends", name)
		}
	}
}

// refuses makes sure that records are not taken, and might be another time.
func refuses(t *testing.T, s sink.Sink, records []*record.Record) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	err := s.Send(ctx, records)
	if _, refused := errors.AsType[*sink.Refused](err); err == nil || refused {
		t.Errorf("what is down answers %v", err)
	}
}

// Each kind takes what its sink sends, nothing while it is down or fails, and has lost nothing when it is well again.
func TestKinds(t *testing.T) {
	for _, k := range Kinds() {
		t.Run(k.Sink(), func(t *testing.T) {
			t.Parallel()
			b, s := open(t, k)
			deliver(t, s, batch(1, 30))
			for _, a := range arrived(t, b, 30, 0) {
				check(t, b, a)
			}
			for i, harm := range []func(){b.Down, b.Fail} {
				harm()
				harm()
				next := batch(31+30*i, 30)
				refuses(t, s, next[:1])
				if err := errors.Join(b.Up(), b.Up()); err != nil {
					t.Fatal(err)
				}
				deliver(t, s, next)
				arrived(t, b, 60+30*i, 0)
			}
			deliver(t, s, batch(1, 1))
			arrived(t, b, 90, 1)
		})
	}
}

// check holds an arrival against the record of batch that it is.
func check(t *testing.T, b *Backend, a receiver.Arrival) {
	t.Helper()
	count, epoch, leader := int64(a.RV-100), int64(7), agent+"_u_c_i"
	hasDelta := true
	if b.Uncounted {
		count, hasDelta = 0, false
	}
	if b.Type == "loki" { // whose lines say neither who sent them nor what is new in them
		epoch, leader, hasDelta = 0, agent, false
	}
	if a.Count != count || a.Epoch != epoch || b.Leader(a.Leader) != leader || a.HasDelta != hasDelta || hasDelta && a.Delta != 1 {
		t.Errorf("%+v of %s", a, b.Leader(a.Leader))
	}
}

// What is not as a sink sends it is told of, and not taken.
func TestWhatIsWrong(t *testing.T) {
	good, err := json.Marshal(batch(1, 1)[0])
	if err != nil {
		t.Fatal(err)
	}
	const types = "application/json"
	for _, test := range []struct {
		name              string
		read              func(*http.Request) ([]receiver.Record, error)
		path, kind, body  string
		key, says, header string
	}{
		{name: "datadog's key", read: reads(readDatadogEvent), path: "/api/v1/events", kind: types, body: "{}", key: "x", says: "API key"},
		{name: "datadog's path", read: reads(readDatadogEvent), path: "/api/v2/events", kind: types, body: "{}", says: "/api/v1/events"},
		{name: "a text", read: reads(readDatadogEvent), path: "/api/v1/events", kind: types, body: `{"text":"x"}`, says: "the text"},
		{name: "a log's id", read: reads(readDatadogLogs), path: "/api/v2/logs", kind: types, body: `[{"id":"x","event":` + string(good) + `}]`, says: "a log has the id"},
		{name: "an index", read: reads(readBulk), path: "/_bulk", kind: "application/x-ndjson", body: `{"index":{}}`, says: "no create"},
		{name: "an _id", read: reads(readBulk), path: "/_bulk", kind: "application/x-ndjson", body: `{"create":{"_id":"x"}}` + "\n" + string(good), says: "has the _id"},
		{name: "no document", read: reads(readBulk), path: "/_bulk", kind: "application/x-ndjson", body: `{"create":{"_id":"x"}}`, says: "document 1"},
		{name: "a type of content", read: reads(readBulk), path: "/_bulk", kind: types, body: "", says: "application/x-ndjson"},
		{name: "no label", read: reads(readPush), path: "/loki/api/v1/push", kind: types, body: `{"streams":[{"stream":{}}]}`, says: "no label"},
		{name: "an entry", read: reads(readPush), path: "/loki/api/v1/push", kind: types, body: `{"streams":[{"stream":{"a":"b"},"values":[["1"]]}]}`, says: "entry 1"},
		{name: "a time", read: reads(readPush), path: "/loki/api/v1/push", kind: types, body: `{"streams":[{"stream":{"a":"b"},"values":[["x","{}",{}]]}]}`, says: "its time"},
		{name: "metadata", read: reads(readPush), path: "/loki/api/v1/push", kind: types, body: `{"streams":[{"stream":{"a":"b"},"values":[["1","{\"id\":\"x\"}",{}]]}]}`, says: "metadata"},
		{name: "an event's id", read: reads(readCloudEvents), kind: "application/cloudevents+json", body: `{"specversion":"1.0","id":"x","source":"s","type":"t","data":` + string(good) + `}`, says: "has the data of"},
		{name: "no event", read: reads(readCloudEvents), kind: types, body: `{}`, says: "unknown"},
		{name: "a header", read: reads(readCloudEvents), kind: types, header: "%zz", body: `{}`, says: "Ce-Id"},
	} {
		t.Run(test.name, func(t *testing.T) {
			req := httptest.NewRequest(http.MethodPost, "/a"+test.path, strings.NewReader(test.body))
			req.Header.Set("Content-Type", test.kind)
			req.Header.Set("DD-API-KEY", datadogKey)
			if test.key != "" {
				req.Header.Set("DD-API-KEY", test.key)
			}
			if test.header != "" {
				req.Header.Set("Ce-Id", test.header)
			}
			if got, err := test.read(req); err == nil || !strings.Contains(err.Error(), test.says) {
				t.Errorf("%v %v", got, err)
			}
		})
	}
}
