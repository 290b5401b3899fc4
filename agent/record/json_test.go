package record

import (
	"bytes"
	"encoding/json"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"
)

// The golden form: fields may be added to it, and that is all that may ever change here.
const goldenJSON = `{"id":"7f0e7a52-5f0e-4f3e-9a51-6c1f2b1d0a11/c0ffee00-0000-4000-8000-000000000001/48213",` +
	`"cluster":"7f0e7a52-5f0e-4f3e-9a51-6c1f2b1d0a11","clusterName":"blue","tags":["team:platform","env:prod"],` +
	`"time":"2026-07-01T12:05:00Z","type":"Warning","reason":"BackOff",` +
	`"message":"Back-off restarting failed container \"web\" <in pod web-7d4b9c6f5-abcde>",` +
	`"namespace":"shop","name":"web-7d4b9c6f5-abcde.18a1f2c3d4e5f607",` +
	`"object":{"apiVersion":"v1","kind":"Pod","namespace":"shop","name":"web-7d4b9c6f5-abcde",` +
	`"uid":"c0ffee00-0000-4000-8000-000000000002","fieldPath":"spec.containers{web}"},` +
	`"source":{"component":"kubelet","instance":"node-3","host":"node-3"},"count":12,"countDelta":3,` +
	`"first":"2026-07-01T12:00:00Z","last":"2026-07-01T12:05:00Z",` +
	`"leader":{"identity":"baton-x2x7q_0b9d6c1e-4f0a-4a51-8c8e-0d7c1f7b9a10_agent_5f2c81d0","epoch":7}}`

// The shortest: everything that may be absent is, and the times have the API's microseconds.
const goldenSeriesJSON = `{"id":"c/c0ffee00-0000-4000-8000-000000000003/48300","cluster":"c",` +
	`"time":"2026-07-01T12:01:00.654321Z","type":"Normal","reason":"Scheduled","action":"Binding",` +
	`"message":"assigned","namespace":"shop","name":"web.18a1f2c3",` +
	`"object":{"kind":"Pod","namespace":"shop","name":"web"},` +
	`"related":{"apiVersion":"v1","kind":"Node","name":"node-3"},` +
	`"source":{"component":"default-scheduler","instance":"default-scheduler-1"},"count":4,` +
	`"first":"2026-07-01T12:00:00.123456Z","last":"2026-07-01T12:01:00.654321Z",` +
	`"leader":{"identity":"","epoch":0}}`

func golden() *Record {
	r := From(coreEvent(), origin())
	delta := int64(3)
	r.CountDelta = &delta
	return r
}

func TestGoldenJSON(t *testing.T) {
	if got := string(golden().AppendJSON(nil)); got != goldenJSON {
		t.Errorf("got  %s\nwant %s", got, goldenJSON)
	}
	if got := string(From(seriesEvent(), Origin{Cluster: "c"}).AppendJSON(nil)); got != goldenSeriesJSON {
		t.Errorf("got  %s\nwant %s", got, goldenSeriesJSON)
	}
}

const goldenEnrichmentJSON = `"source":{"component":"kubelet","instance":"node-3","host":"node-3"},` +
	`"enrichment":{"labels":{"app.kubernetes.io/name":"web","team":"shop \"x\""},"annotations":{"a":"b"},` +
	`"owners":[{"apiVersion":"apps/v1","kind":"ReplicaSet","name":"web-7d4b9c6f5","uid":"u-1"},` +
	`{"apiVersion":"apps/v1","kind":"Deployment","name":"web","uid":"u-2"}],` +
	`"node":"node-3","zone":"eu-1a","incomplete":"late"},"count":12,`

func enriched() *Enrichment {
	return &Enrichment{
		Labels:      map[string]string{"team": `shop "x"`, "app.kubernetes.io/name": "web"},
		Annotations: map[string]string{"a": "b"},
		Owners: []Owner{
			{APIVersion: "apps/v1", Kind: "ReplicaSet", Name: "web-7d4b9c6f5", UID: "u-1"},
			{APIVersion: "apps/v1", Kind: "Deployment", Name: "web", UID: "u-2"},
		},
		Node: "node-3", Zone: "eu-1a", Incomplete: Late,
	}
}

// Without an enrichment the JSON is what it always was, above; one that is empty says that nothing was found.
func TestEnrichmentJSON(t *testing.T) {
	r := golden()
	r.Enrichment = enriched()
	if got := string(r.AppendJSON(nil)); !strings.Contains(got, goldenEnrichmentJSON) {
		t.Errorf("got  %s\nwant %s", got, goldenEnrichmentJSON)
	}
	checkRecord(t, r)
	r.Enrichment = &Enrichment{Owners: []Owner{{}}}
	if got := string(r.AppendJSON(nil)); !strings.Contains(got, `"enrichment":{"owners":[{"kind":"","name":""}]},"count"`) {
		t.Errorf("got %s", got)
	}
	r.Enrichment = &Enrichment{}
	if got := string(r.AppendJSON(nil)); !strings.Contains(got, `"enrichment":{},"count"`) {
		t.Errorf("got %s", got)
	}
}

// The JSON of equal records is equal, whatever the order in which a map gives its keys.
func TestEnrichmentJSONIsStable(t *testing.T) {
	r := golden()
	r.Enrichment = &Enrichment{Labels: map[string]string{}}
	for key := range strings.SplitSeq("abcdefghijklmnopqrstuvwxyz", "") {
		r.Enrichment.Labels[key] = key
	}
	first := r.AppendJSON(nil)
	for range 20 {
		if again := r.AppendJSON(nil); !bytes.Equal(first, again) {
			t.Fatalf("first %s\nthen  %s", first, again)
		}
	}
}

func TestAppendJSONAppends(t *testing.T) {
	got := golden().AppendJSON([]byte("before"))
	if string(got) != "before"+goldenJSON {
		t.Errorf("got %s", got)
	}
}

func TestAppendJSONPanicsForATimeOutsideJSON(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("no panic: what would the line have said?")
		}
	}()
	(&Record{Time: time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC)}).AppendJSON(nil)
}

// docs/record.md promises the fields and shows an example. It must name every field, in order, with the type that it
// has here, and say of exactly those that may be absent that they may.
func TestDocs(t *testing.T) {
	doc, err := os.ReadFile("../../docs/record.md")
	if err != nil {
		t.Fatal(err)
	}
	var rows []string
	for line := range strings.Lines(string(doc)) {
		if cells := strings.Split(line, "|"); len(cells) > 4 && strings.HasPrefix(line, "| `") {
			rows = append(rows, strings.TrimSpace(cells[1])+" "+strings.TrimSpace(cells[2])+" "+strings.TrimSpace(cells[3]))
		}
	}
	want := documented(reflect.TypeFor[Record](), "")
	if got, want := strings.Join(rows, "\n"), strings.Join(want, "\n"); got != want {
		t.Errorf("docs/record.md has the fields\n%s\nwant\n%s", got, want)
	}
	checkExample(t, doc)
}

func checkExample(t *testing.T, doc []byte) {
	t.Helper()
	_, rest, _ := bytes.Cut(doc, []byte("```json\n"))
	example, _, found := bytes.Cut(rest, []byte("```"))
	var compact bytes.Buffer
	if err := json.Compact(&compact, example); !found || err != nil {
		t.Fatalf("docs/record.md: no example, or not JSON: %v", err)
	}
	if compact.String() != goldenJSON {
		t.Errorf("docs/record.md: the example is\n%s\nwant\n%s", compact.String(), goldenJSON)
	}
}

// documented gives "`name` type presence" for each field, those of related once: they are those of object. The fields of a
// list's objects are written as owners[].kind.
func documented(t reflect.Type, prefix string) []string {
	var rows []string
	for f := range t.Fields() {
		name, option, _ := strings.Cut(f.Tag.Get("json"), ",")
		presence := "always"
		if option == "omitempty" {
			presence = "optional"
		}
		typ := jsonType(f.Type)
		rows = append(rows, "`"+prefix+name+"` "+typ+" "+presence)
		switch inner := f.Type; {
		case name == "related" || !strings.Contains(typ, "object"):
		case inner.Kind() == reflect.Slice:
			rows = append(rows, documented(inner.Elem(), prefix+name+"[].")...)
		case inner.Kind() == reflect.Pointer:
			rows = append(rows, documented(inner.Elem(), prefix+name+".")...)
		case inner.Kind() == reflect.Struct:
			rows = append(rows, documented(inner, prefix+name+".")...)
		}
	}
	return rows
}

func jsonType(t reflect.Type) string {
	switch {
	case t == reflect.TypeFor[time.Time]():
		return "time"
	case t.Kind() == reflect.Pointer:
		return jsonType(t.Elem())
	case t.Kind() == reflect.Slice:
		return "array of " + jsonType(t.Elem()) + "s"
	case t.Kind() == reflect.Map:
		return "map to " + jsonType(t.Elem())
	case t.Kind() == reflect.Int64:
		return "integer"
	case t.Kind() == reflect.Struct:
		return "object"
	}
	return t.Kind().String()
}

// A message may have 1.4 MB, none of it UTF-8.
func TestHugeMessage(t *testing.T) {
	for _, message := range []string{strings.Repeat("\xff", 1<<20), strings.Repeat("m\xff", 1<<19), strings.Repeat("\x01", 1<<20)} {
		e := coreEvent()
		e.Message = message
		checkRecord(t, From(e, origin()))
	}
}
