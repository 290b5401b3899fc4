package sink

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/eventbaton/baton/agent/record"
)

// bulkServer does what the Bulk API documents: two lines an operation, a status an item in the order of the operations,
// 409 for a create of an _id that is there, 400 for the whole request where it is malformed.
type bulkServer struct {
	fail  func(id string) (status int, kind, reason string) // of an item, 0 for none
	limit int                                               // bytes of a request, 0 for none

	mu        sync.Mutex
	documents map[string]map[string]map[string]any // by index and _id
	requests  []string                             // their queries
}

func (b *bulkServer) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	body, err := bodyOf(req)
	w.Header().Set("Content-Type", "application/json")
	if b.limit > 0 && len(body) > b.limit {
		w.WriteHeader(http.StatusRequestEntityTooLarge)
		return
	}
	if err != nil || req.Method != http.MethodPost || !strings.HasSuffix(req.URL.Path, "/_bulk") ||
		req.Header.Get("Content-Type") != "application/x-ndjson" || !bytes.HasSuffix(body, []byte("\n")) {
		w.WriteHeader(http.StatusBadRequest)
		fmt.Fprintf(w, `{"error":{"type":"illegal_argument_exception","reason":"%s %s"},"status":400}`, req.Method, req.URL.Path)
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.requests = append(b.requests, req.URL.RawQuery)
	lines := bytes.Split(bytes.TrimSuffix(body, []byte("\n")), []byte("\n"))
	items, failed := []any{}, false
	for i := 0; i+1 < len(lines); i += 2 {
		item := b.item(lines[i], lines[i+1])
		failed = failed || item["status"].(int) >= 300
		items = append(items, map[string]any{"create": item})
	}
	json.NewEncoder(w).Encode(map[string]any{"took": 3, "errors": failed, "items": items})
}

func (b *bulkServer) item(action, source []byte) map[string]any {
	var op struct {
		Create struct {
			Index string `json:"_index"`
			ID    string `json:"_id"`
		} `json:"create"`
	}
	var document map[string]any
	failure := func(status int, kind, reason string) map[string]any {
		return map[string]any{"_index": op.Create.Index, "_id": op.Create.ID, "status": status,
			"error": map[string]any{"type": kind, "reason": reason}}
	}
	if err := json.Unmarshal(action, &op); err != nil || op.Create.ID == "" || len(op.Create.ID) > 512 {
		return failure(400, "illegal_argument_exception", "malformed action")
	}
	if err := json.Unmarshal(source, &document); err != nil {
		return failure(400, "document_parsing_exception", err.Error())
	}
	if b.fail != nil {
		if status, kind, reason := b.fail(op.Create.ID); status != 0 {
			return failure(status, kind, reason)
		}
	}
	if b.documents == nil {
		b.documents = map[string]map[string]map[string]any{}
	}
	index := b.documents[op.Create.Index]
	if index == nil {
		index = map[string]map[string]any{}
		b.documents[op.Create.Index] = index
	}
	if _, there := index[op.Create.ID]; there {
		return failure(409, "version_conflict_engine_exception", "["+op.Create.ID+"]: version conflict, document already exists")
	}
	index[op.Create.ID] = document
	return map[string]any{"_index": op.Create.Index, "_id": op.Create.ID, "_version": 1, "result": "created",
		"_shards": map[string]int{"total": 2, "successful": 1, "failed": 0}, "_seq_no": 1, "_primary_term": 1, "status": 201}
}

// stored counts the documents of each id, over all indices.
func (b *bulkServer) stored() map[string]int {
	b.mu.Lock()
	defer b.mu.Unlock()
	n := map[string]int{}
	for _, index := range b.documents {
		for id := range index {
			n[id]++
		}
	}
	return n
}

func openElasticsearch(t *testing.T, url string, configure func(o *ElasticsearchOptions)) *elasticsearch {
	t.Helper()
	o := newElasticsearchOptions()
	o.URL = url
	if configure != nil {
		configure(o)
	}
	return openSink[*elasticsearch](t, o)
}

func TestElasticsearchCreatesDocuments(t *testing.T) {
	for _, compress := range []bool{false, true} {
		b := &bulkServer{}
		r := newReceiver(t, func(r *receiver) { r.Config.Handler = b })
		e := openElasticsearch(t, r.URL+"/es/", func(o *ElasticsearchOptions) {
			o.Gzip, o.Index, o.Pipeline = compress, "events-%Y.%m.%d-%H", "geo"
		})
		batch := records(3)
		batch[1].Time = time.Date(2025, 12, 31, 23, 59, 59, 123456000, time.UTC)
		batch[2].Message = "über \"quotes\"\n and lines"
		for range 2 { // the second time everything is there already
			must(t, e.Send(t.Context(), batch))
		}
		eachOnce(t, b.stored(), batch)
		document := b.documents["events-2025.12.31-23"][batch[1].ID]
		if document["@timestamp"] != "2025-12-31T23:59:59.123456Z" || document["id"] != batch[1].ID {
			t.Errorf("document %v", document)
		}
		if got := b.documents["events-2026.07.01-12"][batch[2].ID]["message"]; got != batch[2].Message {
			t.Errorf("message %q", got)
		}
		if !strings.Contains(b.requests[0], "pipeline=geo") || !strings.Contains(b.requests[0], "filter_path=errors") {
			t.Errorf("query %q", b.requests[0])
		}
	}
}

func TestElasticsearchCredentials(t *testing.T) {
	b := &bulkServer{}
	var got string
	r := newReceiver(t, func(r *receiver) {
		r.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			got = req.Header.Get("Authorization")
			b.ServeHTTP(w, req)
		})
	})
	for want, set := range map[string]func(o *ElasticsearchOptions){
		"ApiKey a2V5":            func(o *ElasticsearchOptions) { o.APIKeyFile = tempFile(t, "a2V5\n") },
		"Basic bWU6aHVudGVyMg==": func(o *ElasticsearchOptions) { o.BasicAuth = BasicAuth{"me", tempFile(t, "hunter2")} },
		"Bearer tok":             func(o *ElasticsearchOptions) { o.BearerTokenFile = tempFile(t, "tok") },
	} {
		must(t, openElasticsearch(t, r.URL, set).Send(t.Context(), records(1)))
		if got != want {
			t.Errorf("Authorization %q, want %q", got, want)
		}
	}
	err := openElasticsearch(t, r.URL, func(o *ElasticsearchOptions) { o.APIKeyFile = "/absent" }).Send(t.Context(), records(1))
	if err == nil || !strings.HasPrefix(err.Error(), "api_key_file: ") {
		t.Errorf("error %v", err)
	}
}

// Of each answer: whether it is done, refused or to be tried again is what all items together allow.
func TestElasticsearchItems(t *testing.T) {
	for _, c := range []struct {
		name    string
		answer  string // to three records
		says    string // "" for done
		refused bool
	}{
		{"created", `{"errors":false,"items":[{"create":{"status":201}},{"create":{"status":201}},{"create":{"status":200}}]}`, "", false},
		{"there already", `{"errors":true,"items":[{"create":{"status":409,"error":{"type":"version_conflict_engine_exception"}}},
			{"create":{"status":201}},{"create":{"status":409}}]}`, "", false},
		{"too many", items(201, "", "", 429, "es_rejected_execution_exception", "queue full", 201, "", ""),
			"1 of 3 records were not taken: 429 es_rejected_execution_exception: queue full", false},
		{"unavailable", items(503, "unavailable_shards_exception", "primary shard is not active", 503, "", "", 201, "", ""), "2 of 3", false},
		{"can't be parsed", items(201, "", "", 400, "document_parsing_exception", "[1:7] failed to parse", 201, "", ""),
			"1 of 3 records were not taken for good: 400 document_parsing_exception", true},
		{"immense term", items(400, "illegal_argument_exception", "Document contains at least one immense term", 201, "", "", 201, "", ""),
			"for good", true},
		{"field limit", items(400, "illegal_argument_exception", "Limit of total fields [1000] has been exceeded", 201, "", "", 201, "", ""),
			"for good", true},
		{"both", items(400, "mapper_parsing_exception", "x", 429, "es_rejected_execution_exception", "y", 201, "", ""), "1 of 3 records were not taken: 429", false},
		{"no more shards", items(400, "validation_exception", "this action would add [2] shards, but this cluster currently has [1000]/[1000]",
			400, "validation_exception", "", 400, "validation_exception", ""), "3 of 3", false},
		{"index name", items(400, "invalid_index_name_exception", "x", 201, "", "", 201, "", ""), "1 of 3", false},
		{"pipeline", items(400, "illegal_argument_exception", "pipeline with id [x] does not exist", 201, "", "", 201, "", ""), "1 of 3", false},
		{"no _id", items(400, "illegal_argument_exception", "Document ID is not supported in create operation request", 201, "", "", 201, "", ""), "1 of 3", false},
		{"closed", items(400, "index_closed_exception", "closed", 201, "", "", 201, "", ""), "1 of 3", false},
		{"no index", items(404, "index_not_found_exception", "no such index", 201, "", "", 201, "", ""), "1 of 3", false},
		{"read-only", items(403, "cluster_block_exception", "index [x] blocked by: [FORBIDDEN/12]", 201, "", "", 201, "", ""), "check the credentials", false},
		{"too large", items(413, "x", "y", 201, "", "", 201, "", ""), "for good", true},
		{"too few", `{"errors":false,"items":[{"create":{"status":201}}]}`, "without an answer of the Bulk API", false},
		{"another operation", `{"errors":false,"items":[{"index":{"status":201}},{"create":{"status":201}},{"create":{"status":201}}]}`, "1 of 3", false},
		{"no items", `{"errors":false}`, "check the URL", false},
		{"no JSON", `<html>welcome</html>`, "check the URL: <html>welcome</html>", false},
		{"nothing", ``, "check the URL", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newReceiver(t, func(r *receiver) {
				r.answer = func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, c.answer) }
			})
			err := openElasticsearch(t, r.URL+"/in", nil).Send(t.Context(), records(3))
			if c.says == "" {
				must(t, err)
				return
			}
			if err == nil || !strings.Contains(err.Error(), c.says) || len(err.Error()) > 500 {
				t.Fatalf("error %v, want %q", err, c.says)
			}
			if _, refused := errors.AsType[*Refused](err); refused != c.refused {
				t.Errorf("refused %v: %v", refused, err)
			}
		})
	}
}

// items writes an answer of items, each a status, a type and a reason.
func items(of ...any) string {
	var all []string
	for i := 0; i < len(of); i += 3 {
		all = append(all, fmt.Sprintf(`{"create":{"status":%d,"error":{"type":%q,"reason":%q}}}`, of[i], of[i+1], of[i+2]))
	}
	return `{"errors":true,"items":[` + strings.Join(all, ",") + `]}`
}

func TestElasticsearchWholeAnswers(t *testing.T) {
	for status, c := range map[int]struct {
		refused bool
		wait    time.Duration
	}{400: {}, 401: {}, 403: {}, 404: {}, 413: {true, 0}, 429: {false, 7 * time.Second}, 500: {false, 7 * time.Second}, 503: {false, 7 * time.Second}} {
		r := newReceiver(t, func(r *receiver) {
			r.answer = func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Retry-After", "7")
				w.WriteHeader(status)
			}
		})
		err := openElasticsearch(t, r.URL+"/in", nil).Send(t.Context(), records(2))
		if !strings.Contains(err.Error(), "/in/_bulk: ") {
			t.Errorf("error %v", err)
		}
		wantOutcome(t, fmt.Errorf("/in: %w", err), c.refused, c.wait, fmt.Sprint("answered ", status))
	}
}

// A request that is too large is split until it is not; a poisoned record is found and is the only one that is given up.
func TestElasticsearchSplits(t *testing.T) {
	all := records(60)
	poison := all[17].ID
	b := &bulkServer{limit: 20000, fail: func(id string) (int, string, string) {
		if id == poison {
			return 400, "document_parsing_exception", "[1:2] failed to parse field"
		}
		return 0, "", ""
	}}
	r := newReceiver(t, func(r *receiver) { r.Config.Handler = b })
	refused := deliver(t, openElasticsearch(t, r.URL, nil), all, nil)
	same(t, "refused", refused, []string{poison})
	eachOnce(t, b.stored(), append(all[:17:17], all[18:]...))
}

func TestElasticsearchCutsMessages(t *testing.T) {
	b := &bulkServer{}
	r := newReceiver(t, func(r *receiver) { r.Config.Handler = b })
	e := openElasticsearch(t, r.URL, func(o *ElasticsearchOptions) { o.MaxBatchBytes = 4096 })
	batch := records(2)
	batch[0].Message = strings.Repeat("long ", 10000)
	must(t, e.Send(t.Context(), batch))
	got := b.documents["kubernetes-events"][batch[0].ID]["message"].(string)
	if len(got) < 1000 || len(got) > 4096 || !strings.Contains(got, "truncated") {
		t.Errorf("%d bytes: %.40s", len(got), got)
	}
	batch[0].Reason = strings.Repeat("r", 5000)
	if _, refused := errors.AsType[*Refused](e.Send(t.Context(), batch[:1])); !refused {
		t.Error("a record that can't be made to fit was not refused")
	}
}

func TestElasticsearchLongID(t *testing.T) {
	b := &bulkServer{}
	r := newReceiver(t, func(r *receiver) { r.Config.Handler = b })
	batch := records(1)
	batch[0].ID = strings.Repeat("x", 513)
	must(t, openElasticsearch(t, r.URL, nil).Send(t.Context(), batch))
	for id, n := range b.stored() {
		if len(id) != len("sha256:")+64 || n != 1 {
			t.Errorf("id %q", id)
		}
	}
}

func TestDedot(t *testing.T) {
	for in, want := range map[string]string{
		`{"object":{"labels":{"app.kubernetes.io/name":"a.b","app":"x"}},"reason":"a.b"}`: `{"object":{"labels":{"app_kubernetes_io/name":"a.b","app":"x"}},"reason":"a.b"}`,
		`{"labels":{"a.b":"1","a_b":"2"},"annotations":{"c.d":"\",\"e.f"}}`:               `{"labels":{"a.b":"1","a_b":"2"},"annotations":{"c_d":"\",\"e.f"}}`,
		`{"message":"\"labels\":{\"a.b\":1}","labels":{}}`:                                `{"message":"\"labels\":{\"a.b\":1}","labels":{}}`,
		`{"labels":{"a.b`: `{"labels":{"a_b`,
	} {
		got := []byte(in)
		if dedot(got); string(got) != want {
			t.Errorf("%s\ngot  %s\nwant %s", in, got, want)
		}
	}
}

func TestElasticsearchCheck(t *testing.T) {
	for _, c := range []struct {
		set  func(o *ElasticsearchOptions)
		keys string
	}{
		{func(*ElasticsearchOptions) {}, ""},
		{func(o *ElasticsearchOptions) { o.Index = "logs-kubernetes.events-default" }, ""},
		{func(o *ElasticsearchOptions) { o.Index = "events-%Y.%m.%d.%H" }, ""},
		{func(o *ElasticsearchOptions) { o.Index = "" }, "index"},
		{func(o *ElasticsearchOptions) { o.Index = "Events" }, "index"},
		{func(o *ElasticsearchOptions) { o.Index = "events-%y" }, "index"},
		{func(o *ElasticsearchOptions) { o.Index = "events 1" }, "index"},
		{func(o *ElasticsearchOptions) { o.Index = "events*" }, "index"},
		{func(o *ElasticsearchOptions) { o.Index = "_events" }, "index"},
		{func(o *ElasticsearchOptions) { o.Index = strings.Repeat("e", 256) }, "index"},
		{func(o *ElasticsearchOptions) { o.Pipeline = "a\nb" }, "pipeline"},
		{func(o *ElasticsearchOptions) { o.APIKeyFile, o.BearerTokenFile = "/k", "/t" }, "api_key_file"},
		{func(o *ElasticsearchOptions) {
			o.APIKeyFile, o.HeaderFiles = "/k", map[string]string{"authorization": "/t"}
		}, "api_key_file"},
		{func(o *ElasticsearchOptions) { o.Headers = map[string]string{"content-type": "x"} }, "headers.content-type"},
		{func(o *ElasticsearchOptions) { o.URL, o.Timeout, o.Index = "", 0, "" }, "url timeout index"},
	} {
		o := newElasticsearchOptions()
		o.URL = "https://es.example.test"
		c.set(o)
		if got := problemKeys(o); got != c.keys {
			t.Errorf("problems with %q, want %q", got, c.keys)
		}
	}
}

// Ten thousand records through everything that goes wrong, items that are turned away among it: each is stored once.
func TestElasticsearchFaults(t *testing.T) {
	all := records(10000)
	tries := map[string]int{}
	b := &bulkServer{fail: func(id string) (int, string, string) {
		if tries[id]++; len(id)%2 == 0 && tries[id] == 1 && len(tries)%3 == 0 {
			return 429, "es_rejected_execution_exception", "rejected execution of coordinating operation"
		}
		return 0, "", ""
	}}
	f := newFaulty(t, b.ServeHTTP)
	o := newElasticsearchOptions()
	f.use(&o.HTTPOptions)
	o.APIKeyFile = f.tokenFile
	e := openSink[*elasticsearch](t, o)
	if refused := deliver(t, e, all, func(error) { forget(e.apiKey) }); len(refused) > 0 {
		t.Errorf("refused %q", refused)
	}
	eachOnce(t, b.stored(), all)
	f.allHappened(t)
}

// FuzzElasticsearch: whatever is in a record, it becomes an action and a document of one line each, with its id and time.
func FuzzElasticsearch(f *testing.F) {
	f.Add("id", "message", "Reason", int64(1782907200), "events-%Y")
	f.Add(strings.Repeat("i", 600), "a\nb\"labels\":{\"a.b\":", "\x00", int64(-62135596800), "e")
	f.Fuzz(func(t *testing.T, id, message, reason string, seconds int64, index string) {
		if indexProblem(index) != "" || seconds < -62135596800 || seconds > 253402300799 {
			return
		}
		r := record.Record{ID: strings.ToValidUTF8(id, "?"), Message: strings.ToValidUTF8(message, "?"),
			Reason: strings.ToValidUTF8(reason, "?"), Time: time.Unix(seconds, 0).UTC()}
		e := &elasticsearch{index: index}
		item := e.appendItem(nil, &r)
		lines := bytes.Split(item, []byte("\n"))
		if len(lines) != 3 || len(lines[2]) != 0 {
			t.Fatalf("%q", item)
		}
		var action map[string]map[string]string
		var document struct {
			Timestamp time.Time `json:"@timestamp"`
			record.Record
		}
		must(t, json.Unmarshal(lines[0], &action))
		must(t, json.Unmarshal(lines[1], &document))
		if got := action["create"]["_id"]; got != bulkID(r.ID) || len(got) > bulkMaxID {
			t.Errorf("_id %q", got)
		}
		if document.Message != r.Message || document.Reason != r.Reason || !document.Timestamp.Equal(r.Time) {
			t.Errorf("%q became %q", r.Message, document.Message)
		}
	})
}
