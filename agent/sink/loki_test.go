package sink

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/grafana/loki/pkg/push"

	"github.com/eventbaton/baton/agent/record"
)

// lokiServer takes push requests as Loki does: lines that are valid are kept, those of one stream, time and text once; for
// those that are not, the whole request gets a 400.
type lokiServer struct {
	oldest time.Time // what is older is refused

	mu      sync.Mutex
	newest  map[string]time.Time // by stream
	entries map[string]push.Entry
	streams map[string]bool
	tenant  string
	repeats int
}

func (l *lokiServer) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	body, err := bodyOf(req)
	var pushed *push.PushRequest
	if err == nil {
		pushed, err = decodePush(body)
	}
	if err != nil || req.URL.Path != "/loki/api/v1/push" || req.Header.Get("Content-Type") != "application/json" {
		http.Error(w, fmt.Sprint("not a push request: ", err), http.StatusBadRequest)
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.tenant = req.Header.Get("X-Scope-OrgID")
	var problems []string
	for _, s := range pushed.Streams {
		for _, e := range s.Entries {
			if problem := l.take(s.Labels, e); problem != "" {
				problems = append(problems, problem)
			}
		}
	}
	if len(problems) > 0 {
		http.Error(w, problems[0], http.StatusBadRequest)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

func (l *lokiServer) take(labels string, e push.Entry) string {
	if l.entries == nil {
		l.newest, l.entries, l.streams = map[string]time.Time{}, map[string]push.Entry{}, map[string]bool{}
	}
	size := 0
	for _, m := range e.StructuredMetadata {
		size += len(m.Name) + len(m.Value)
	}
	switch newest := l.newest[labels]; {
	case labels == "{}":
		return "error at least one label pair is required per stream"
	case len(e.Line) > 256<<10:
		return "max entry size exceeded"
	case size > 64<<10 || len(e.StructuredMetadata) > 128:
		return "has structured metadata too large"
	case e.Timestamp.Before(l.oldest):
		return "entry has timestamp too old: " + e.Timestamp.String()
	case newest.Sub(e.Timestamp) > time.Hour:
		return "entry too far behind"
	case e.Timestamp.After(newest):
		l.newest[labels] = e.Timestamp
	}
	key := fmt.Sprint(labels, e.Timestamp.UnixNano(), e.Line)
	if _, there := l.entries[key]; there {
		l.repeats++
	}
	l.entries[key] = e
	l.streams[labels] = true
	return ""
}

// stored counts the lines of each record.
func (l *lokiServer) stored() map[string]int {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := map[string]int{}
	for _, e := range l.entries {
		n[metadata(e)["id"]]++
	}
	return n
}

func (l *lokiServer) entry(t *testing.T, id string) (push.Entry, map[string]string) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, e := range l.entries {
		if m := metadata(e); m["id"] == id || strings.Contains(e.Line, id) {
			return e, m
		}
	}
	t.Fatalf("no line of %s", id)
	return push.Entry{}, nil
}

func metadata(e push.Entry) map[string]string {
	m := map[string]string{}
	for _, l := range e.StructuredMetadata {
		m[l.Name] = l.Value
	}
	return m
}

// decodePush makes of the JSON what Loki's own decoder does, and takes it once through its protobuf, as between its parts.
func decodePush(body []byte) (*push.PushRequest, error) {
	var in struct {
		Streams []struct {
			Stream push.LabelsAdapter  `json:"stream"`
			Values [][]json.RawMessage `json:"values"`
		} `json:"streams"`
	}
	if err := json.Unmarshal(body, &in); err != nil {
		return nil, err
	}
	var req push.PushRequest
	for _, s := range in.Streams {
		var labels []string
		for _, l := range s.Stream {
			labels = append(labels, fmt.Sprintf("%s=%q", l.Name, l.Value))
		}
		stream := push.Stream{Labels: "{" + strings.Join(labels, ", ") + "}"}
		for _, v := range s.Values {
			e, err := decodeEntry(v)
			if err != nil {
				return nil, err
			}
			stream.Entries = append(stream.Entries, e)
		}
		req.Streams = append(req.Streams, stream)
	}
	wire, err := req.Marshal()
	if err != nil {
		return nil, err
	}
	var out push.PushRequest
	return &out, out.Unmarshal(wire)
}

func decodeEntry(v []json.RawMessage) (e push.Entry, err error) {
	if len(v) != 2 && len(v) != 3 {
		return e, fmt.Errorf("a value of %d parts", len(v))
	}
	var at string
	if err := json.Unmarshal(v[0], &at); err != nil {
		return e, err
	}
	ns, err := strconv.ParseInt(at, 10, 64)
	if err != nil {
		return e, err
	}
	e.Timestamp = time.Unix(0, ns).UTC()
	if err := json.Unmarshal(v[1], &e.Line); err != nil {
		return e, err
	}
	if len(v) == 3 {
		err = json.Unmarshal(v[2], &e.StructuredMetadata)
	}
	return e, err
}

func openLoki(t *testing.T, configure func(o *LokiOptions)) (*loki, *lokiServer) {
	t.Helper()
	server := &lokiServer{}
	r := newReceiver(t, func(r *receiver) { r.Config.Handler = server })
	o := newLokiOptions()
	o.URL = r.URL
	if configure != nil {
		configure(o)
	}
	return openSink[*loki](t, o), server
}

func TestLokiSendsLines(t *testing.T) {
	l, server := openLoki(t, func(o *LokiOptions) { o.Tenant = "shop" })
	batch := records(4)
	batch[1].ClusterName, batch[1].Related = "blue", &record.Object{Kind: "Node", Name: "node-3"}
	batch[2].Time = batch[2].Time.Add(123456 * time.Microsecond)
	batch[2].Message, batch[2].Tags = "über \"quotes\"\nand lines", []string{"env:prod", "team:a"}
	must(t, l.Send(t.Context(), batch))
	eachOnce(t, server.stored(), batch)
	if server.tenant != "shop" || len(server.streams) != 2 ||
		!server.streams[`{cluster="blue", job="baton", namespace="shop", type="Warning"}`] {
		t.Errorf("tenant %q, streams %v", server.tenant, server.streams)
	}
	e, m := server.entry(t, batch[2].ID)
	if !e.Timestamp.Equal(batch[2].Time) || e.Line != batch[2].Message+" id="+batch[2].ID {
		t.Errorf("%s %q", e.Timestamp, e.Line)
	}
	for name, want := range map[string]string{
		"reason": "BackOff", "kind": "Pod", "object_name": batch[2].Object.Name, "source_host": "node-3", "component": "kubelet",
		"count": "3", "tags": "env:prod,team:a", "first": "2026-07-01T12:00:02Z", "cluster_id": batch[2].Cluster, "namespace": "",
	} {
		if m[name] != want {
			t.Errorf("%s: %q, want %q", name, m[name], want)
		}
	}
	if _, m := server.entry(t, batch[1].ID); m["related_kind"] != "Node" {
		t.Errorf("metadata %v", m)
	}
}

// What differs from one delivery to the next is not sent, so a repeat is one to Loki too; the same said of two objects in
// the same second is not.
func TestLokiRepeats(t *testing.T) {
	for _, line := range []string{"text", "json"} {
		l, server := openLoki(t, func(o *LokiOptions) { o.Line = line })
		batch := records(3)
		for _, r := range batch {
			r.Time, r.Message = batch[0].Time, "the same"
		}
		must(t, l.Send(t.Context(), batch))
		delta := int64(5)
		again := records(3)
		for _, r := range again {
			r.Time, r.Message, r.CountDelta = batch[0].Time, "the same", &delta
			r.Leader = record.Leader{Identity: "another", Epoch: 99}
		}
		must(t, l.Send(t.Context(), again))
		eachOnce(t, server.stored(), batch)
		if server.repeats != 3 {
			t.Errorf("%s: %d repeats, want 3", line, server.repeats)
		}
		if first, second := push1(t, l, batch[:1]), push1(t, l, again[:1]); first != second {
			t.Errorf("two deliveries differ:\n%s\n%s", first, second)
		}
	}
}

func push1(t *testing.T, l *loki, batch []*record.Record) string {
	t.Helper()
	body, err := l.appendPush(nil, batch)
	must(t, err)
	return string(body)
}

func TestLokiJSONLine(t *testing.T) {
	l, server := openLoki(t, func(o *LokiOptions) { o.Line, o.StructuredMetadata, o.Labels = "json", false, nil })
	batch := records(1)
	must(t, l.Send(t.Context(), batch))
	e, m := server.entry(t, batch[0].ID)
	var got record.Record
	must(t, json.Unmarshal([]byte(e.Line), &got))
	if strings.Contains(e.Line, "leader") || len(m) > 0 || got.Object != batch[0].Object || got.Count != 1 || !server.streams[`{job="baton"}`] {
		t.Errorf("line %s, metadata %v, streams %v", e.Line, m, server.streams)
	}
}

// Of a batch with lines that are too old the others arrive, and the old ones alone are given up; lines that are out of
// order, within a batch and from one to the next, are none of these.
func TestLokiTooOld(t *testing.T) {
	l, server := openLoki(t, nil)
	server.oldest = time.Date(2026, 7, 1, 0, 0, 0, 0, time.UTC)
	all := records(40)
	slices.Reverse(all)
	for _, i := range []int{7, 23} {
		all[i].Time = server.oldest.Add(-time.Hour)
	}
	all[3].Time = time.Time{} // an event without any time
	refused := deliver(t, l, all, nil)
	slices.Sort(refused)
	want := ids([]*record.Record{all[23], all[7], all[3]})
	slices.Sort(want)
	same(t, "refused", refused, want)
	kept := slices.DeleteFunc(slices.Clone(all), func(r *record.Record) bool { return slices.Contains(want, r.ID) })
	eachOnce(t, server.stored(), kept)
}

// Within a batch the oldest lines of a stream go first, or else those would be too far behind.
func TestLokiSortsStreams(t *testing.T) {
	l, server := openLoki(t, nil)
	batch := records(2)
	batch[0].Time = batch[1].Time.Add(2 * time.Hour)
	must(t, l.Send(t.Context(), batch))
	eachOnce(t, server.stored(), batch)
}

func TestLokiLargeRecords(t *testing.T) {
	for _, line := range []string{"text", "json"} {
		l, server := openLoki(t, func(o *LokiOptions) { o.Line = line })
		batch := records(2)
		batch[0].Message = strings.Repeat("long \"", 100000)
		for _, s := range []*string{&batch[1].Reason, &batch[1].Action, &batch[1].Namespace, &batch[1].Object.Name} {
			*s = strings.Repeat("ü", 20000)
		}
		must(t, l.Send(t.Context(), batch))
		e, _ := server.entry(t, batch[0].ID)
		if len(e.Line) > 256<<10 || len(e.Line) < 255<<10 || !strings.Contains(e.Line, "[truncated from 600000 bytes]") {
			t.Errorf("a line of %d bytes", len(e.Line))
		}
		if _, m := server.entry(t, batch[1].ID); len(m["reason"]) > 2048 || len(m["reason"]) < 2040 {
			t.Errorf("a reason of %d bytes", len(m["reason"]))
		}
	}
	l, _ := openLoki(t, func(o *LokiOptions) { o.Line, o.MaxLineBytes = "json", 1024 })
	batch := records(1)
	batch[0].Action = strings.Repeat("a", 2000)
	if _, refused := errors.AsType[*Refused](l.Send(t.Context(), batch)); !refused {
		t.Error("a record that can't be made to fit was not refused")
	}
}

func TestLokiAnswers(t *testing.T) {
	for _, c := range []struct {
		status  int
		body    string
		says    string // "" for done
		refused bool
		wait    time.Duration
	}{
		{204, "", "", false, 0},
		{200, "", "", false, 0},
		{260, "ingestion blocked for user shop until", "260", false, 0},
		{400, "entry too far behind, oldest acceptable timestamp is: 2026", "too far behind", true, 0},
		{400, "out of order", "out of order", true, 0},
		{400, "includes structured metadata, but this feature is disallowed. Please see limits_config.allow_structured_metadata", "disallowed", false, 0},
		{400, "missing required labels team for user shop", "required labels", false, 0},
		{401, "no org id", "check the credentials", false, 0},
		{413, "", "413", true, 0},
		{429, "Ingestion rate limit exceeded", "rate limit", false, 7 * time.Second},
		{500, "at least 2 live replicas required", "replicas", false, 7 * time.Second},
	} {
		t.Run(fmt.Sprint(c.status, c.says), func(t *testing.T) {
			r := newReceiver(t, func(r *receiver) {
				r.answer = func(w http.ResponseWriter, _ *http.Request) {
					w.Header().Set("Retry-After", "7")
					w.WriteHeader(c.status)
					io.WriteString(w, c.body)
				}
			})
			o := newLokiOptions()
			o.URL = r.URL + "/loki/api/v1/push" // the whole of it, as Grafana Cloud shows it
			err := openSink[*loki](t, o).Send(t.Context(), records(2))
			if got := r.last(t).URL.Path; got != "/loki/api/v1/push" {
				t.Errorf("path %s", got)
			}
			if err != nil {
				err = fmt.Errorf("/in: %w", err)
			}
			wantOutcome(t, err, c.refused, c.wait, c.says)
		})
	}
}

func TestLokiCheck(t *testing.T) {
	for _, c := range []struct {
		set  func(o *LokiOptions)
		keys string
	}{
		{func(*LokiOptions) {}, ""},
		{func(o *LokiOptions) { o.Labels = nil }, ""},
		{func(o *LokiOptions) { o.Labels = []string{"message"} }, "labels[0]"},
		{func(o *LokiOptions) { o.Labels = []string{"type", "type"} }, "labels[1]"},
		{func(o *LokiOptions) { o.StaticLabels = nil }, "static_labels"},
		{func(o *LokiOptions) { o.StaticLabels = map[string]string{"type": "x"} }, "static_labels.type"},
		{func(o *LokiOptions) { o.StaticLabels = map[string]string{"1a": "x", "__a": "x", "a-b": "x", "": "x"} },
			"static_labels. static_labels.1a static_labels.__a static_labels.a-b"},
		{func(o *LokiOptions) { o.StaticLabels = map[string]string{"a": ""} }, "static_labels.a"},
		{func(o *LokiOptions) {
			for i := range 14 {
				o.StaticLabels[fmt.Sprint("a", i)] = "x"
			}
		}, "static_labels"},
		{func(o *LokiOptions) { o.Line = "xml" }, "line"},
		{func(o *LokiOptions) { o.StructuredMetadata = false }, "line"},
		{func(o *LokiOptions) { o.StructuredMetadata, o.Line = false, "json" }, ""},
		{func(o *LokiOptions) { o.Tenant = "a\nb" }, "tenant"},
		{func(o *LokiOptions) { o.Headers = map[string]string{"x-scope-orgid": "a"} }, "headers.x-scope-orgid"},
		{func(o *LokiOptions) { o.MaxLineBytes, o.MaxBatchBytes = 1, 5<<20 }, "max_line_bytes max_batch_bytes"},
		{func(o *LokiOptions) { o.URL = "" }, "url"},
	} {
		o := newLokiOptions()
		o.URL = "https://loki.example.test"
		c.set(o)
		if got := problemKeys(o); got != c.keys {
			t.Errorf("problems with %q, want %q", got, c.keys)
		}
	}
}

func TestLokiFaults(t *testing.T) {
	all := records(10000)
	server := &lokiServer{}
	f := newFaulty(t, server.ServeHTTP)
	o := newLokiOptions()
	f.use(&o.HTTPOptions)
	o.BearerTokenFile = f.tokenFile
	l := openSink[*loki](t, o)
	if refused := deliver(t, l, all, func(error) { l.expire() }); len(refused) > 0 {
		t.Errorf("refused %q", refused)
	}
	eachOnce(t, server.stored(), all)
	f.allHappened(t)
	if server.repeats == 0 {
		t.Error("nothing was repeated")
	}
}

// FuzzLoki: whatever is in a record, it becomes a line that Loki's types can hold, with its time, text and id.
func FuzzLoki(f *testing.F) {
	f.Add("id", "message", "Reason", "ns", int64(1782907200123456000), true, false)
	f.Add("", "a\nb\x00\"", strings.Repeat("r", 5000), "", int64(-1), false, true)
	f.Fuzz(func(t *testing.T, id, message, reason, namespace string, ns int64, asJSON, structured bool) {
		valid := func(s string) string { return strings.ToValidUTF8(s, "?") }
		r := records(1)[0]
		r.ID, r.Message, r.Reason, r.Namespace = valid(id), valid(message), valid(reason), valid(namespace)
		r.Time = time.Unix(0, ns).UTC()
		o := newLokiOptions()
		o.StructuredMetadata = structured
		if asJSON {
			o.Line = "json"
		}
		o.URL = "http://h"
		s, err := o.Open(Environment{})
		must(t, err)
		body, err := s.(*loki).appendPush(nil, []*record.Record{r})
		if _, refused := errors.AsType[*Refused](err); refused {
			return
		}
		must(t, err)
		req, err := decodePush(body)
		must(t, err)
		e := req.Streams[0].Entries[0]
		if r.Time.Year() >= 1970 && !e.Timestamp.Equal(r.Time) {
			t.Errorf("time %s, want %s", e.Timestamp, r.Time)
		}
		if !asJSON && len(e.Line) < o.MaxLineBytes/2 && e.Line != r.Message+" id="+r.ID {
			t.Errorf("line %q", e.Line)
		}
		if structured && metadata(e)["id"] != cutValue(r.ID) {
			t.Errorf("metadata %v", e.StructuredMetadata)
		}
	})
}
