package sink

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/eventbaton/baton/agent/record"
)

func enriched() *record.Record {
	r := records(1)[0]
	r.Source.Host = ""
	r.Enrichment = &record.Enrichment{
		Labels: map[string]string{"app.kubernetes.io/name": "web", "team": "shop"}, Annotations: map[string]string{"example.test/note": "n"},
		Owners: []record.Owner{
			{APIVersion: "apps/v1", Kind: "ReplicaSet", Name: "web-7d4b9c6f5", UID: "u1"},
			{APIVersion: "apps/v1", Kind: "Deployment", Name: "web", UID: "u2"}, {Kind: "Website", Name: "shop"},
		},
		Node: "node-7", Zone: "eu-1a", Incomplete: record.Late,
	}
	return r
}

func TestOTLPEnrichment(t *testing.T) {
	attributes := func(r *record.Record) (own, resource map[string]any) {
		l := otlpTranslation{}.logs([]*record.Record{r}, time.Now()).ResourceLogs().At(0)
		return l.ScopeLogs().At(0).LogRecords().At(0).Attributes().AsRaw(), l.Resource().Attributes().AsRaw()
	}
	r := enriched()
	got, resource := attributes(r)
	bare := *r
	bare.Enrichment = nil
	before, resourceBefore := attributes(&bare)
	if !reflect.DeepEqual(resource, resourceBefore) {
		t.Errorf("resource %v, want %v", resource, resourceBefore)
	}
	for name := range before {
		delete(got, name)
	}
	want := map[string]any{
		"k8s.pod.label.app.kubernetes.io/name": "web", "k8s.pod.label.team": "shop", "k8s.pod.annotation.example.test/note": "n",
		"k8s.replicaset.name": "web-7d4b9c6f5", "k8s.replicaset.uid": "u1", "k8s.deployment.name": "web", "k8s.deployment.uid": "u2",
		"baton.owner.kind": "Website", "baton.owner.name": "shop", "k8s.node.name": "node-7", "cloud.availability_zone": "eu-1a",
		"baton.enrichment.incomplete": "late",
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("attributes %v, want %v", got, want)
	}
	r.Object.Kind = "Website"
	r.Enrichment.Owners = []record.Owner{{Kind: "Job", Name: "a"}, {Kind: "Job", Name: "b"}}
	got, _ = attributes(r)
	if got["baton.object.label.team"] != "shop" || got["k8s.job.name"] != "a" {
		t.Errorf("attributes %v", got)
	}
}

func TestDatadogEnrichment(t *testing.T) {
	r := enriched()
	r.Tags = []string{"env:prod"}
	bare := *r
	bare.Enrichment = nil
	before := datadogTags(&bare)
	got := datadogTags(r)
	same(t, "tags before", got[:len(before)], before)
	same(t, "tags", got[len(before):], []string{
		"kube_ownerref_kind:replicaset", "kube_ownerref_name:web-7d4b9c6f5", "kube_replica_set:web-7d4b9c6f5", "kube_deployment:web",
		"node_name:node-7", "availability-zone:eu-1a", "app.kubernetes.io/name:web", "team:shop",
	})
	r.Source.Host = "node-3"
	if got := datadogTags(r); slices.Contains(got, "node_name:node-7") {
		t.Errorf("two nodes: %v", got)
	}
}

// Loki gets it as metadata, also where there is the most of it; to Loki a repeat that knows less is still a repeat.
func TestLokiEnrichment(t *testing.T) {
	for _, line := range []string{"text", "json"} {
		l, server := openLoki(t, func(o *LokiOptions) { o.Line = line })
		r := enriched()
		r.Enrichment.Labels["app_kubernetes_io_name"] = "another"
		must(t, l.Send(t.Context(), []*record.Record{r}))
		entry, m := server.entry(t, r.ID)
		if strings.Contains(entry.Line, "node-7") || len(server.streams) != 1 {
			t.Errorf("line %s, streams %v", entry.Line, server.streams)
		}
		for name, want := range map[string]string{
			"node": "node-7", "zone": "eu-1a", "owner_kind": "Website", "owner_name": "shop", "enrichment_incomplete": "late",
			"label_app_kubernetes_io_name": "web", "label_team": "shop", "annotation_example_test_note": "n",
		} {
			if m[name] != want {
				t.Errorf("%s: %q, want %q", name, m[name], want)
			}
		}
		late := *r
		late.Enrichment = &record.Enrichment{Incomplete: record.Late}
		must(t, l.Send(t.Context(), []*record.Record{&late}))
		if server.repeats != 1 {
			t.Errorf("%s: %d repeats", line, server.repeats)
		}
	}
	l, server := openLoki(t, nil)
	most := enriched()
	for i := range 48 { // as many and as large as enrich lets through
		most.Enrichment.Labels[fmt.Sprintf("label-%02d", i)] = strings.Repeat("v", 70)
	}
	must(t, l.Send(t.Context(), []*record.Record{most}))
	server.entry(t, most.ID)
}

func TestElasticsearchEnrichment(t *testing.T) {
	item := string((&elasticsearch{index: "events"}).appendItem(nil, enriched()))
	for _, want := range []string{
		`"labels":{"app_kubernetes_io/name":"web","team":"shop"}`, `"annotations":{"example_test/note":"n"}`, `"zone":"eu-1a"`,
	} {
		if !strings.Contains(item, want) {
			t.Errorf("%s is not in %s", want, item)
		}
	}
}

// A label that doesn't suit the index costs the record its labels, and not more; what is refused besides is refused.
func TestElasticsearchRefusesLabels(t *testing.T) {
	for _, c := range []struct {
		name    string
		record  *record.Record
		refuses string // what the receiver refuses a document with
		sent    int
		refused bool
	}{
		{"labels", enriched(), `"team"`, 2, false},
		{"an enriched record", enriched(), `"message"`, 2, true},
		{"one without", records(1)[0], `"message"`, 1, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newReceiver(t, func(r *receiver) {
				r.answer = func(w http.ResponseWriter, _ *http.Request) {
					if strings.Contains(string(r.last(t).plain(t)), c.refuses) {
						io.WriteString(w, items(400, "document_parsing_exception", "failed to parse field [enrichment.labels.team] of type [date]"))
						return
					}
					io.WriteString(w, `{"errors":false,"items":[{"create":{"status":201}}]}`)
				}
			})
			err := openElasticsearch(t, r.URL+"/in", nil).Send(t.Context(), []*record.Record{c.record})
			if _, refused := errors.AsType[*Refused](err); refused != c.refused || !refused && err != nil || r.count() != c.sent {
				t.Fatalf("%d requests, %v", r.count(), err)
			}
			if last := string(r.last(t).plain(t)); c.sent == 2 && !strings.Contains(last, `"zone":"eu-1a","incomplete":"unmapped"`) {
				t.Errorf("in the end it got %s", last)
			}
		})
	}
}

func TestTemplateEnrichment(t *testing.T) {
	const text = `{{index .Enrichment.Labels "team" | default "nobody"}} {{.Enrichment.Zone}}` +
		`{{range .Enrichment.Owners}} {{.Kind}}/{{.Name}}{{end}}{{with .Enrichment.Incomplete}} ({{.}}){{end}}`
	if p := checkTemplate("template", text); len(p) > 0 {
		t.Fatal(p)
	}
	tmpl, err := newTextTemplate("template", text, "", nil, slog.New(slog.DiscardHandler))
	must(t, err)
	for want, r := range map[string]*record.Record{
		"shop eu-1a ReplicaSet/web-7d4b9c6f5 Deployment/web Website/shop (late)": enriched(),
		"nobody ": records(1)[0],
	} {
		got, err := execute(tmpl.parsed, newTextData(r))
		if err != nil || got != want {
			t.Errorf("%q, %v, want %q", got, err, want)
		}
	}
}
