package sink

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	ce "github.com/cloudevents/sdk-go/v2"
	cehttp "github.com/cloudevents/sdk-go/v2/protocol/http"

	"github.com/eventbaton/baton/agent/record"
)

// eventServer reads events as the SDK does, of any mode, and keeps each by source and id, as the specification tells
// repeats by.
type eventServer struct {
	refuse func(ce.Event) bool

	mu      sync.Mutex
	events  map[string]ce.Event
	data    map[string]record.Record
	repeats int
}

func (s *eventServer) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	events, err := readEvents(req)
	if err != nil {
		http.Error(w, err.Error(), http.StatusUnsupportedMediaType)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.events == nil {
		s.events, s.data = map[string]ce.Event{}, map[string]record.Record{}
	}
	for _, e := range events {
		var r record.Record
		if err := errors.Join(e.Validate(), e.DataAs(&r)); err != nil || s.refuse != nil && s.refuse(e) {
			http.Error(w, fmt.Sprint("not taken: ", err), http.StatusUnprocessableEntity)
			return
		}
	}
	for _, e := range events {
		var r record.Record
		e.DataAs(&r)
		key := e.Source() + " " + e.ID()
		if _, there := s.events[key]; there {
			s.repeats++
		}
		s.events[key], s.data[e.ID()] = e, r
	}
	w.WriteHeader(http.StatusAccepted)
}

func readEvents(req *http.Request) ([]ce.Event, error) {
	body, err := bodyOf(req)
	if err != nil {
		return nil, err
	}
	req.Body = io.NopCloser(strings.NewReader(string(body)))
	if strings.HasPrefix(req.Header.Get("Content-Type"), "application/cloudevents-batch+json") {
		return cehttp.NewEventsFromHTTPRequest(req)
	}
	for name, values := range req.Header { // the SDK leaves that to others
		if strings.HasPrefix(name, "Ce-") {
			if values[0], err = url.PathUnescape(values[0]); err != nil {
				return nil, err
			}
		}
	}
	e, err := cehttp.NewEventFromHTTPRequest(req)
	if err != nil {
		return nil, err
	}
	return []ce.Event{*e}, nil
}

func (s *eventServer) stored() map[string]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := map[string]int{}
	for _, e := range s.events {
		n[e.ID()]++
	}
	return n
}

func openCloudEvents(t *testing.T, configure func(o *CloudEventsOptions)) (*cloudEvents, *eventServer) {
	t.Helper()
	server := &eventServer{}
	r := newReceiver(t, func(r *receiver) { r.Config.Handler = server })
	o := newCloudEventsOptions()
	o.URL = r.URL + "/events"
	configure(o)
	return openSink[*cloudEvents](t, o), server
}

func TestCloudEventsModes(t *testing.T) {
	for _, mode := range []string{"structured", "binary", "batched"} {
		for _, compress := range []bool{false, true} {
			t.Run(fmt.Sprint(mode, compress), func(t *testing.T) {
				c, server := openCloudEvents(t, func(o *CloudEventsOptions) {
					o.Mode, o.Gzip, o.SourcePrefix = mode, compress, "https://k8s.example.test"
				})
				batch := records(5)
				batch[1].Cluster, batch[1].Reason = "blue green/1", "Über \"50 %\"\x01"
				batch[2].Object = record.Object{Kind: "Node", Name: "node-3"}
				batch[2].Time = batch[2].Time.Add(123456 * time.Microsecond)
				deliver(t, c, batch, nil)
				eachOnce(t, server.stored(), batch)
				checkEvents(t, server, batch)
			})
		}
	}
}

func checkEvents(t *testing.T, server *eventServer, batch []*record.Record) {
	t.Helper()
	plain := server.events["https://k8s.example.test/clusters/"+batch[0].Cluster+" "+batch[0].ID]
	if plain.SpecVersion() != "1.0" || plain.Type() != "com.github.eventbaton.kubernetes.event.v1" ||
		plain.Subject() != "Pod/shop/"+batch[0].Object.Name || !plain.Time().Equal(batch[0].Time) ||
		plain.DataContentType() != "application/json" || plain.Extensions()["partitionkey"] != batch[0].Object.UID ||
		plain.Extensions()["k8sreason"] != "BackOff" || plain.Extensions()["k8stype"] != "Warning" ||
		plain.Extensions()["k8snamespace"] != "shop" || plain.Extensions()["k8skind"] != "Pod" {
		t.Errorf("event %v", plain)
	}
	odd, ok := server.events["https://k8s.example.test/clusters/blue%20green%2F1 "+batch[1].ID]
	if !ok || odd.Extensions()["k8sreason"] != "Über \"50 %\" " {
		t.Errorf("event %v", odd)
	}
	node := server.events["https://k8s.example.test/clusters/"+batch[2].Cluster+" "+batch[2].ID]
	if _, has := node.Extensions()["partitionkey"]; has || node.Subject() != "Node/node-3" || !node.Time().Equal(batch[2].Time) {
		t.Errorf("event %v", node)
	}
	for _, r := range batch {
		got := server.data[r.ID]
		if !bytes.Equal(got.AppendJSON(nil), r.AppendJSON(nil)) {
			t.Errorf("data %v, want %v", got, r)
		}
	}
}

func TestCloudEventsLimits(t *testing.T) {
	for mode, want := range map[string]Limits{"structured": {Records: 100, Bytes: 1 << 20}, "binary": {Records: 100, Bytes: 1 << 20}, "batched": {Records: 500, Bytes: 1 << 20}} {
		c, _ := openCloudEvents(t, func(o *CloudEventsOptions) { o.Mode = mode })
		if got := c.Limits(); got != want {
			t.Errorf("%s: %v, want %v", mode, got, want)
		}
	}
}

func TestCloudEventsLargeRecords(t *testing.T) {
	for _, mode := range []string{"structured", "binary", "batched"} {
		c, server := openCloudEvents(t, func(o *CloudEventsOptions) { o.Mode = mode })
		batch := records(2)
		batch[0].Message = strings.Repeat("long \"", 100000)
		batch[1].Reason, batch[1].Object.Name = strings.Repeat("ü", 10000), strings.Repeat("n", 10000)
		deliver(t, c, batch, nil)
		eachOnce(t, server.stored(), batch)
		if got := server.data[batch[0].ID].Message; len(got) > 64<<10 || len(got) < 40<<10 || !strings.HasSuffix(got, "[truncated from 600000 bytes]") {
			t.Errorf("%s: a message of %d bytes", mode, len(got))
		}
		batch[1].Action = strings.Repeat("a", 70000)
		if _, refused := errors.AsType[*Refused](c.Send(t.Context(), batch[1:])); !refused {
			t.Errorf("%s: a record that can't be made to fit was not refused", mode)
		}
	}
}

// One event that the receiver refuses is found, and is the only one that is given up.
func TestCloudEventsRefused(t *testing.T) {
	c, server := openCloudEvents(t, func(o *CloudEventsOptions) { o.Mode = "batched" })
	all := records(50)
	server.refuse = func(e ce.Event) bool { return e.ID() == all[31].ID }
	same(t, "refused", deliver(t, c, all, nil), []string{all[31].ID})
	eachOnce(t, server.stored(), append(all[:31:31], all[32:]...))
}

func TestCloudEventsCheck(t *testing.T) {
	for _, c := range []struct {
		set  func(o *CloudEventsOptions)
		keys string
	}{
		{func(*CloudEventsOptions) {}, ""},
		{func(o *CloudEventsOptions) { o.Mode = "batch" }, "mode"},
		{func(o *CloudEventsOptions) { o.EventType = "" }, "event_type"},
		{func(o *CloudEventsOptions) { o.EventType = "a\nb" }, "event_type"},
		{func(o *CloudEventsOptions) { o.SourcePrefix = "urn:example:k8s" }, ""},
		{func(o *CloudEventsOptions) { o.SourcePrefix = "https://me:hunter2@h" }, "source_prefix"},
		{func(o *CloudEventsOptions) { o.SourcePrefix = "a b" }, "source_prefix"},
		{func(o *CloudEventsOptions) { o.SourcePrefix = "http://h/?a=b" }, "source_prefix"},
		{func(o *CloudEventsOptions) { o.MaxEventBytes = 1 }, "max_event_bytes"},
		{func(o *CloudEventsOptions) { o.Headers = map[string]string{"ce-id": "x"} }, "headers.ce-id"},
		{func(o *CloudEventsOptions) { o.URL = "" }, "url"},
	} {
		o := newCloudEventsOptions()
		o.URL = "https://broker.example.test"
		c.set(o)
		if got := problemKeys(o); got != c.keys {
			t.Errorf("problems with %q, want %q", got, c.keys)
		}
	}
}

func TestCloudEventsFaults(t *testing.T) {
	for mode, n := range map[string]int{"batched": 10000, "structured": 1000, "binary": 1000} {
		t.Run(mode, func(t *testing.T) {
			all := records(n)
			server := &eventServer{}
			f := newFaulty(t, server.ServeHTTP)
			o := newCloudEventsOptions()
			f.use(&o.HTTPOptions)
			o.Mode, o.BearerTokenFile = mode, f.tokenFile
			c := openSink[*cloudEvents](t, o)
			if refused := deliver(t, c, all, func(error) { c.expire() }); len(refused) > 0 {
				t.Errorf("refused %q", refused)
			}
			eachOnce(t, server.stored(), all)
			f.allHappened(t)
			if server.repeats == 0 {
				t.Error("nothing was repeated")
			}
		})
	}
}

// FuzzCloudEvents: whatever is in a record, the SDK takes its event for a valid one, with the record as its data.
func FuzzCloudEvents(f *testing.F) {
	f.Add("id", "c", "message", "Reason", "Pod", int64(1782907200), byte(0))
	f.Add("id/1", "a b%/\x00ü", "a\nb\x00\"", strings.Repeat("r", 5000), "\ufffe\U0001fffe", int64(-62135596800), byte(1))
	f.Fuzz(func(t *testing.T, id, cluster, message, reason, kind string, seconds int64, mode byte) {
		if strings.TrimSpace(attribute(id)) == "" || seconds < -62135596800 || seconds > 253402300799 {
			return
		}
		valid := func(s string) string { return strings.ToValidUTF8(s, "?") }
		r := records(1)[0]
		r.ID, r.Cluster, r.Message, r.Reason, r.Object.Kind = valid(id), valid(cluster), valid(message), valid(reason), valid(kind)
		r.Time = time.Unix(seconds, 0).UTC()
		o := newCloudEventsOptions()
		o.Mode = []string{"structured", "batched", "binary"}[mode%3]
		c := &cloudEvents{options: *o}
		body, err := c.encodeBatch([]*record.Record{r})
		if _, refused := errors.AsType[*Refused](err); refused {
			return
		}
		must(t, err)
		if o.Mode == "binary" {
			for _, a := range c.attributes(r) {
				if text := headerText(a.value); !validHeaderValue(text) {
					t.Errorf("%s: %q", a.name, text)
				}
			}
			return
		}
		var events []ce.Event
		if o.Mode == "structured" {
			body = []byte("[" + string(body) + "]")
		}
		must(t, json.Unmarshal(body, &events))
		var data record.Record
		must(t, events[0].DataAs(&data))
		if err := events[0].Validate(); err != nil || events[0].ID() != attribute(r.ID) || data.ID != r.ID || !events[0].Time().Equal(r.Time) {
			t.Errorf("%v: %s", err, body)
		}
	})
}
