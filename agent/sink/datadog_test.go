package sink

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/eventbaton/baton/agent/record"
)

// datadogFake speaks the two APIs as Datadog documents them, and keeps what it took. A text of the tests' events begins
// with the id.
type datadogFake struct {
	mu     sync.Mutex
	events map[string]int
	bodies map[string]datadogEvent
	logs   []map[string]any
	refuse func(id string) bool
}

func newDatadogFake() *datadogFake {
	return &datadogFake{events: map[string]int{}, bodies: map[string]datadogEvent{}}
}

func (f *datadogFake) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	body, err := bodyOf(req)
	switch {
	case req.Header.Get("DD-API-KEY") == "":
		http.Error(w, `{"errors":["no key"]}`, http.StatusUnauthorized)
	case err != nil || req.Header.Get("Content-Type") != "application/json":
		http.Error(w, `{"errors":["Bad Request"]}`, http.StatusBadRequest)
	case req.Method == http.MethodGet && strings.HasSuffix(req.URL.Path, "/api/v1/validate"):
		io.WriteString(w, `{"valid":true}`)
	case req.Method == http.MethodPost && strings.HasSuffix(req.URL.Path, "/api/v1/events"):
		f.takeEvent(w, body)
	case req.Method == http.MethodPost && strings.HasSuffix(req.URL.Path, "/api/v2/logs"):
		f.takeLogs(w, body)
	default:
		http.NotFound(w, req)
	}
}

func (f *datadogFake) takeEvent(w http.ResponseWriter, body []byte) {
	var e datadogEvent
	err := json.Unmarshal(body, &e)
	id, _, _ := strings.Cut(e.Text, " ")
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case err != nil || e.Title == "" || e.Text == "", utf8.RuneCountInString(e.Text) > datadogMaxText,
		len(e.AggregationKey) > datadogMaxKey, len(e.Tags) > datadogMaxTags, f.refuse != nil && f.refuse(id):
		http.Error(w, `{"errors":["Invalid event"]}`, http.StatusBadRequest)
		return
	}
	f.events[id]++
	f.bodies[id] = e
	w.WriteHeader(http.StatusAccepted)
	io.WriteString(w, `{"event":{"id":1,"id_str":"1","title":"x","url":"https://app.datadoghq.com/event/event?id=1"},"status":"ok"}`)
}

func (f *datadogFake) takeLogs(w http.ResponseWriter, body []byte) {
	var logs []map[string]any
	if err := json.Unmarshal(body, &logs); err != nil || len(logs) > datadogMaxLogs {
		http.Error(w, `{"errors":[{"status":"400","title":"Bad Request"}]}`, http.StatusBadRequest)
		return
	}
	if len(body) > 5_000_000 {
		http.Error(w, `{"errors":[{"status":"413","title":"Request Entity Too Large"}]}`, http.StatusRequestEntityTooLarge)
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.logs = append(f.logs, logs...)
	w.WriteHeader(http.StatusAccepted)
	io.WriteString(w, "{}")
}

// stored counts the ids, whichever API they came by.
func (f *datadogFake) stored() map[string]int {
	f.mu.Lock()
	defer f.mu.Unlock()
	stored := map[string]int{}
	for id, n := range f.events {
		stored[id] += n
	}
	for _, l := range f.logs {
		stored[l["id"].(string)]++
	}
	return stored
}

func datadogAt(t testing.TB, url, mode string) *DatadogOptions {
	t.Helper()
	o := newDatadogOptions()
	o.APIKeyFile, o.URL, o.Mode = filepath.Join(t.TempDir(), "key"), url, mode
	if mode == datadogEvents {
		o.Text = "{{.ID}} " + datadogText
	}
	return o
}

func openDatadog(t *testing.T, url, mode string, configure func(*DatadogOptions)) *datadog {
	t.Helper()
	o := datadogAt(t, url, mode)
	write(t, o.APIKeyFile, "hunter2-key\n")
	if configure != nil {
		configure(o)
	}
	return openSink[*datadog](t, o)
}

// fresh are records of now: Datadog takes no old ones.
func fresh(n int) []*record.Record {
	batch := records(n)
	for i, r := range batch {
		r.Time = time.Now().Add(-time.Duration(i%60) * time.Second)
	}
	return batch
}

// The event is the one that the Agent 5.17 sent, but for the host, which is the event's own.
func TestDatadogEvent(t *testing.T) {
	fake := newDatadogFake()
	d := openDatadog(t, newReceiver(t, func(r *receiver) { r.Config.Handler = fake }).URL+"/proxy/", datadogEvents,
		func(o *DatadogOptions) { o.Text = datadogText })
	r := fresh(1)[0]
	r.Tags, r.ClusterName = []string{"env:prod"}, "production"
	must(t, d.Send(t.Context(), []*record.Record{r}))
	got := fake.bodies["%%%\nweb-7d4b9c6f5-00000"]
	want := datadogEvent{
		Title: "web-7d4b9c6f5-00000 BackOff on node-3",
		Text: "%%%\nweb-7d4b9c6f5-00000 BackOff on node-3\n```\nBack-off restarting failed container web in pod " +
			"web-7d4b9c6f5-00000\nSource: kubelet node-3\n\n```\n%%%",
		DateHappened: r.Time.Unix(), AlertType: "warning", SourceTypeName: "kubernetes", Host: "node-3",
		AggregationKey: "kubernetes:c0ffee00-0000-4000-9000-000000000000",
		Tags: []string{
			"reason:backoff", "namespace:shop", "node_name:node-3", "object_type:pod", "object_name:web-7d4b9c6f5-00000",
			"source_component:kubelet", "kube_cluster_name:production", "env:prod",
		},
	}
	if fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func TestDatadogEventOddities(t *testing.T) {
	now := time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)
	d := openDatadog(t, "http://h", datadogEvents, func(o *DatadogOptions) { o.Text = "{{.Message}}" })
	d.now = func() time.Time { return now }
	for _, c := range []struct {
		name string
		set  func(r *record.Record)
		is   func(e datadogEvent) bool
	}{
		{"normal", func(r *record.Record) { r.Type = "Normal" }, func(e datadogEvent) bool { return e.AlertType == "info" }},
		{"no type", func(r *record.Record) { r.Type = "" }, func(e datadogEvent) bool { return e.AlertType == "info" }},
		{"a node's", func(r *record.Record) { r.Source.Host, r.Object = "", record.Object{Kind: "Node", Name: "n1"} },
			func(e datadogEvent) bool { return e.Host == "n1" && e.AggregationKey == "kubernetes:Node//n1" }},
		{"of no node", func(r *record.Record) { r.Source.Host = "" },
			func(e datadogEvent) bool { return e.Host == "" && e.Title == "web-7d4b9c6f5-00000 BackOff" }},
		{"long names", func(r *record.Record) {
			r.Object.UID, r.Object.Name, r.Source.Host = "", strings.Repeat("x", 600), strings.Repeat("h", 300)
		},
			func(e datadogEvent) bool {
				return len(e.AggregationKey) == 43 && len(e.Title) == datadogMaxTitle && len(e.Host) == datadogMaxHost &&
					len(e.Tags[4]) == datadogMaxTag
			}},
		{"long message", func(r *record.Record) { r.Message = strings.Repeat("ä", 700_000) }, func(e datadogEvent) bool {
			return utf8.RuneCountInString(e.Text) == datadogMaxText && strings.HasSuffix(e.Text, "[truncated from 1400000 bytes]")
		}},
		{"no message", func(r *record.Record) { r.Message = "" }, func(e datadogEvent) bool { return e.Text == e.Title }},
		{"nothing at all", func(r *record.Record) { *r = record.Record{Time: now} },
			func(e datadogEvent) bool {
				return e.Title == "Kubernetes event" && e.AggregationKey == "kubernetes://" && len(e.Tags) == 0
			}},
		{"many tags", func(r *record.Record) { r.Tags = slices.Repeat([]string{"a:b"}, 200) },
			func(e datadogEvent) bool { return len(e.Tags) == datadogMaxTags && e.Tags[0] == "reason:backoff" }},
		{"old", func(r *record.Record) { r.Time = now.Add(-48 * time.Hour) }, func(e datadogEvent) bool {
			return e.DateHappened == now.Add(datadogAgeMargin-datadogMaxAge).Unix() && strings.HasSuffix(e.Text, "(happened at 2026-06-29T12:00:00Z)")
		}},
		{"ahead", func(r *record.Record) { r.Time = now.Add(time.Hour) }, func(e datadogEvent) bool { return e.DateHappened == now.Unix() }},
		{"a little ahead", func(r *record.Record) { r.Time = now.Add(time.Minute) },
			func(e datadogEvent) bool { return e.DateHappened == now.Add(time.Minute).Unix() }},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := records(1)[0]
			c.set(r)
			before := *r
			body, err := d.encodeEvent(r)
			must(t, err)
			var e datadogEvent
			must(t, json.Unmarshal(body, &e))
			if !c.is(e) {
				t.Errorf("got %.2000s", body)
			}
			if before.Message != r.Message || !before.Time.Equal(r.Time) {
				t.Error("the record, which other sinks share, was changed")
			}
		})
	}
}

func TestDatadogLogs(t *testing.T) {
	fake := newDatadogFake()
	r := newReceiver(t, func(r *receiver) { r.Config.Handler = fake })
	d := openDatadog(t, r.URL, datadogLogs, nil)
	batch := fresh(3)
	batch[0].Tags, batch[1].Type = []string{"team:a,b"}, "Normal"
	batch[2].Time = time.Now().Add(-100 * time.Hour)
	must(t, d.Send(t.Context(), batch))
	got := fake.logs[0]
	for key, want := range map[string]any{
		"ddsource": "kubernetes", "hostname": "node-3", "service": "kubelet", "status": "warn", "message": batch[0].Message,
		"timestamp": float64(batch[0].Time.UnixMilli()), "id": batch[0].ID,
		"ddtags": "reason:backoff,namespace:shop,node_name:node-3,object_type:pod,object_name:web-7d4b9c6f5-00000,source_component:kubelet,team:a_b",
	} {
		if got[key] != want {
			t.Errorf("%s: %v, want %v", key, got[key], want)
		}
	}
	whole, _ := json.Marshal(got["event"])
	var again record.Record
	must(t, json.Unmarshal(whole, &again))
	if !bytes.Equal(again.AppendJSON(nil), batch[0].AppendJSON(nil)) {
		t.Errorf("the record arrived as %s", whole)
	}
	if fake.logs[1]["status"] != "info" || time.Since(time.UnixMilli(int64(fake.logs[2]["timestamp"].(float64)))) > datadogMaxAge {
		t.Errorf("got %v", fake.logs[1:])
	}
	if l := d.Limits(); l.Records != 1000 || l.Bytes != 1<<20 {
		t.Errorf("limits %+v", l)
	}
}

// A log that is too large loses some of its message, and says so. Control characters take six bytes each.
func TestDatadogLargeLogs(t *testing.T) {
	now := time.Now()
	for name, message := range map[string]string{"plain": strings.Repeat("x", 1_400_000), "control characters": strings.Repeat("\x01", 400_000)} {
		r := fresh(1)[0]
		r.Message = message
		log, err := appendLog([]byte("["), r, now)
		must(t, err)
		if len(log) > datadogMaxLog+1 || len(log) < datadogMaxLog-50 || !strings.Contains(string(log), fmt.Sprintf("[truncated from %d bytes]", len(message))) {
			t.Errorf("%s: %d bytes", name, len(log))
		}
	}
	// Together they are more than a request takes: what is refused is split until it fits.
	fake := newDatadogFake()
	d := openDatadog(t, newReceiver(t, func(r *receiver) { r.Config.Handler = fake }).URL, datadogLogs, nil)
	batch := fresh(12)
	for _, r := range batch {
		r.Message = strings.Repeat("\x01", 80_000)
	}
	if refused := deliver(t, d, batch, nil); len(refused) > 0 || len(fake.stored()) != len(batch) {
		t.Errorf("%d stored, refused %v", len(fake.stored()), refused)
	}
	r := fresh(1)[0]
	r.Reason = strings.Repeat("x", 1_200_000)
	if log, err := appendLog(nil, r, now); err != nil || !json.Valid(log) || len(log) < 1_200_000 {
		t.Errorf("what is no message: %d bytes, %v", len(log), err)
	}
}

// 10,000 records through every fault: none is lost, and each id is acknowledged.
func TestDatadogThroughFaults(t *testing.T) {
	for _, mode := range []string{datadogEvents, datadogLogs} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			fake := newDatadogFake()
			f := newFaulty(t, fake.ServeHTTP)
			var requests atomic.Int64
			f.receiver.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
				if mode == datadogEvents && requests.Add(1)%5 > 0 { // an event is a request: there are more than enough
					fake.ServeHTTP(w, req)
					return
				}
				req.Header.Set("Authorization", "Key "+req.Header.Get("DD-API-KEY"))
				f.ServeHTTP(w, req)
			})
			o := datadogAt(t, f.URL, mode)
			o.APIKeyFile, o.TLS.CAFile, o.Timeout = f.tokenFile, f.caFile, Duration(500*time.Millisecond)
			o.MaxConnections = 2
			d := openSink[*datadog](t, o)
			all := fresh(10_000)
			step := 1000
			if mode == datadogLogs {
				step = 100 // that there are enough requests for faults
			}
			for part := range slices.Chunk(all, step) {
				if refused := deliver(t, d, part, func(error) { forget(d.key) }); len(refused) > 0 {
					t.Errorf("refused %v", refused)
				}
			}
			f.allHappened(t)
			stored := fake.stored()
			lost := 0
			for _, r := range all {
				if stored[r.ID] == 0 {
					lost++
				}
			}
			if lost > 0 || len(stored) != len(all) {
				t.Errorf("%d lost, %d of %d stored", lost, len(stored), len(all))
			}
			if len(d.events.accepted) > 0 {
				t.Errorf("%d ids are still remembered", len(d.events.accepted))
			}
		})
	}
}

// What Datadog took of a batch is not sent again when the rest is, and one refused event costs no other.
func TestDatadogPartOfABatch(t *testing.T) {
	fake := newDatadogFake()
	down := true
	r := newReceiver(t, func(r *receiver) {
		n := 0
		r.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			fake.mu.Lock()
			n++
			fails := down && n > 5
			fake.mu.Unlock()
			if fails {
				w.Header().Set("X-RateLimit-Reset", "7")
				w.WriteHeader(http.StatusTooManyRequests)
				return
			}
			fake.ServeHTTP(w, req)
		})
	})
	d := openDatadog(t, r.URL, datadogEvents, func(o *DatadogOptions) { o.MaxConnections = 3 })
	batch := fresh(30)
	fake.refuse = func(id string) bool { return id == batch[20].ID }
	err := d.Send(t.Context(), batch)
	if asked, ok := errors.AsType[*RetryAfter](err); !ok || asked.After != 7*time.Second {
		t.Fatalf("error %v", err)
	}
	if n := len(fake.stored()); n != 5 || len(d.events.accepted) != 5 {
		t.Errorf("%d events, %d remembered", n, len(d.events.accepted))
	}
	down = false
	if refused := deliver(t, d, batch, nil); len(refused) != 1 || refused[0] != batch[20].ID {
		t.Errorf("refused %v", refused)
	}
	delete(fake.events, batch[20].ID)
	eachOnce(t, fake.stored(), slices.Delete(slices.Clone(batch), 20, 21))
	if len(d.events.accepted) != 0 {
		t.Errorf("%d ids are still remembered", len(d.events.accepted))
	}
}

func TestDatadogAnswers(t *testing.T) {
	status, body := 0, ""
	r := newReceiver(t, func(r *receiver) {
		r.answer = func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status); io.WriteString(w, body) }
	})
	for _, mode := range []string{datadogEvents, datadogLogs} {
		d := openDatadog(t, r.URL, mode, nil)
		for _, c := range []struct {
			status  int
			body    string
			refused bool
			says    string
		}{
			{202, `{"status":"ok"}`, false, ""},
			{202, `{}`, false, ""},
			{200, "", false, ""},
			{200, "<html>Welcome to the hotel's network</html>", false, "not an answer that Datadog gives"},
			{202, `{"status":"error"}`, false, "not an answer that Datadog gives"},
			{202, `{"errors":["no"]}`, false, "not an answer that Datadog gives"},
			{400, `{"errors":["hunter2-key is bad"]}`, true, "answered 400"},
			{401, "", false, "check the credentials"},
			{403, `{"errors":["Forbidden hunter2-key"]}`, false, "check the credentials"},
			{408, "", false, "answered 408"},
			{413, "", true, "answered 413"},
			{429, "", false, "answered 429"},
			{500, "", false, "answered 500"},
		} {
			status, body = c.status, c.body
			err := d.Send(t.Context(), fresh(1))
			_, refused := errors.AsType[*Refused](err)
			if (err == nil) != (c.says == "") || refused != c.refused || err != nil && !strings.Contains(err.Error(), c.says) {
				t.Errorf("%s, %d %s: %v", mode, c.status, c.body, err)
			}
			if err != nil && strings.Contains(err.Error(), "hunter2") {
				t.Errorf("the key is in %v", err)
			}
		}
	}
}

func TestDatadogProbe(t *testing.T) {
	fake := newDatadogFake()
	r := newReceiver(t, func(r *receiver) { r.Config.Handler = fake })
	d := openDatadog(t, r.URL+"?tenant=hunter2", datadogEvents, nil)
	must(t, d.Probe(t.Context()))
	if len(fake.stored()) > 0 {
		t.Error("an event was sent")
	}
	r.Config.Handler = http.NotFoundHandler()
	d = openDatadog(t, r.URL, datadogEvents, func(o *DatadogOptions) { o.APIKeyFile = "/nowhere" })
	for name, err := range map[string]error{"Probe": d.Probe(t.Context()), "Send": d.Send(t.Context(), fresh(2))} {
		if err == nil || !strings.HasPrefix(err.Error(), "api_key_file: ") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestDatadogAddresses(t *testing.T) {
	for _, site := range datadogSites {
		for mode, want := range map[string]string{
			datadogEvents: "https://api." + site + "/api/v1/events", datadogLogs: "https://http-intake.logs." + site + "/api/v2/logs",
		} {
			d := openDatadog(t, "", mode, func(o *DatadogOptions) { o.Site = site })
			base, path := d.api, "/api/v1/events"
			if mode == datadogLogs {
				base, path = d.intake, "/api/v2/logs"
			}
			c, err := d.prepare(http.MethodPost, base, path)
			must(t, err)
			if c.shown != want || c.request.URL.String() != want {
				t.Errorf("%s, want %s", c.shown, want)
			}
		}
	}
}

func TestDatadogCheck(t *testing.T) {
	for _, c := range []struct {
		name string
		set  func(o *DatadogOptions)
		keys string
	}{
		{"defaults and a key", func(*DatadogOptions) {}, ""},
		{"everything", func(o *DatadogOptions) {
			o.URL, o.Mode, o.ProxyURL, o.TLS = "https://proxy.test/dd", "events", "http://p:1", TLSOptions{CAFile: "/ca"}
			o.Title, o.Text = "{{.Reason}}", "{{.Message}}"
		}, ""},
		{"no key", func(o *DatadogOptions) { o.APIKeyFile = "" }, "api_key_file"},
		{"site", func(o *DatadogOptions) { o.Site = "datadog.com" }, "site"},
		{"site and URL", func(o *DatadogOptions) { o.Site, o.URL = "datadoghq.eu", "https://h" }, "url"},
		{"URL", func(o *DatadogOptions) { o.URL = "h:1" }, "url"},
		{"user in URL", func(o *DatadogOptions) { o.URL = "https://hunter2@h" }, "url"},
		{"TLS without TLS", func(o *DatadogOptions) { o.URL, o.TLS.CAFile = "http://h", "/ca" }, "tls"},
		{"mode", func(o *DatadogOptions) { o.Mode = "metrics" }, "mode"},
		{"logs have no title", func(o *DatadogOptions) { o.Mode, o.Title = "logs", "x" }, "mode"},
		{"numbers", func(o *DatadogOptions) { o.Timeout, o.MaxConnections = 0, 0 }, "timeout max_connections"},
		{"large numbers", func(o *DatadogOptions) { o.Timeout, o.MaxConnections = 1<<62, 101 }, "timeout max_connections"},
		{"templates", func(o *DatadogOptions) { o.Title, o.Text = "{{.Titel}}", "{{" }, "title text"},
		{"others", func(o *DatadogOptions) { o.ProxyURL, o.TLS.KeyFile = "p", "/k" }, "proxy_url tls.cert_file"},
	} {
		o := newDatadogOptions()
		o.APIKeyFile = "/key"
		c.set(o)
		if got := problemKeys(o); got != c.keys {
			t.Errorf("%s: problems with %q, want %q", c.name, got, c.keys)
		}
	}
}

// FuzzDatadog: whatever an event says, both translations are what the APIs take.
func FuzzDatadog(f *testing.F) {
	f.Add("Warning", "BackOff", "Back-off", "Pod", "web", "u", "n1", "env:prod", int64(1782907200))
	f.Add("", "", "", "", "", "", "", "", int64(-1))
	f.Add("\x00", "%%%\n```", strings.Repeat("\x01", 9000), "Node", strings.Repeat("é", 300), "", "h\n", "a,b", int64(1)<<40)
	o := datadogAt(f, "http://h", datadogEvents)
	s, err := o.Open(Environment{})
	must(f, err)
	f.Cleanup(func() { s.Close() })
	d := s.(*datadog)
	f.Fuzz(func(t *testing.T, kind, reason, message, object, name, uid, host, tag string, at int64) {
		r := TemplateExample()
		r.Time = time.Unix(at%(1<<36), 0).UTC()
		for to, s := range map[*string]string{&r.Type: kind, &r.Reason: reason, &r.Message: message, &r.Object.Kind: object,
			&r.Object.Name: name, &r.Object.UID: uid, &r.Source.Host: host} {
			*to = strings.ToValidUTF8(s, "")
		}
		r.Tags = []string{strings.ToValidUTF8(tag, "")}
		body, err := d.encodeEvent(r)
		must(t, err)
		var e datadogEvent
		must(t, json.Unmarshal(body, &e))
		checkDatadogEvent(t, e)
		if y := r.Time.Year(); y < 1 || y > 9999 {
			return // no record has such a time
		}
		log, err := appendLog(nil, r, time.Now())
		must(t, err)
		var parsed struct {
			datadogLog
			Event record.Record
		}
		must(t, json.Unmarshal(log, &parsed))
		if len(log) > datadogMaxLog || parsed.ID != r.ID || parsed.Message != r.Message || parsed.Event.ID != r.ID {
			t.Errorf("log %.300s", log)
		}
	})
}

func checkDatadogEvent(t *testing.T, e datadogEvent) {
	t.Helper()
	age := time.Since(time.Unix(e.DateHappened, 0))
	switch {
	case strings.TrimSpace(e.Title) == "", utf8.RuneCountInString(e.Title) > datadogMaxTitle, strings.Contains(e.Title, "\n"),
		strings.TrimSpace(e.Text) == "", utf8.RuneCountInString(e.Text) > datadogMaxText,
		len(e.AggregationKey) > datadogMaxKey, utf8.RuneCountInString(e.Host) > datadogMaxHost,
		age > datadogMaxAge, age < -datadogAgeMargin, e.AlertType != "info" && e.AlertType != "warning":
		t.Errorf("event %+v", e)
	}
}
