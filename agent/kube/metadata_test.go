package kube

import (
	"context"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"k8s.io/client-go/rest"

	"github.com/eventbaton/baton/agent/enrich"
	"github.com/eventbaton/baton/agent/record"
)

// page is one answer of an API server, and the request that it was to.
type page struct {
	code   int
	header map[string]string
	body   string
	asked  *http.Request
}

func (p *page) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.asked = r
	for name, value := range p.header {
		w.Header().Set(name, value)
	}
	w.WriteHeader(p.code)
	_, _ = fmt.Fprint(w, p.body)
}

func metadataReader(t *testing.T, h http.Handler, path string) *MetadataReader {
	t.Helper()
	server := httptest.NewTLSServer(h)
	t.Cleanup(server.Close)
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	m, err := NewMetadataReader(&rest.Config{Host: server.URL + path, TLSClientConfig: rest.TLSClientConfig{CAData: ca}}, "baton/test")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.Close)
	return m
}

const (
	metadataJSON = `{"uid":"u1","labels":{"team":"shop"},"annotations":{"note":"n"},"managedFields":[{"fieldsV1":{"f:x":{}}}],` +
		`"ownerReferences":[{"apiVersion":"v1","kind":"Other","name":"o","uid":"u2"},` +
		`{"apiVersion":"apps/v1","kind":"ReplicaSet","name":"web","uid":"u3","controller":true}]}`
	partialJSON = `{"kind":"PartialObjectMetadata","apiVersion":"meta.k8s.io/v1","metadata":` + metadataJSON + `}`
	columnsJSON = `{"kind":"Table","columnDefinitions":[{"name":"Name"},{"name":"Node"},{"name":"IP"}],"rows":[{"cells":["web-1","`
)

var web = enrich.Object{Version: "v1", Resource: "pods", Namespace: "shop", Name: "web-1"}

func TestReadMetadata(t *testing.T) {
	owner := &record.Owner{APIVersion: "apps/v1", Kind: "ReplicaSet", Name: "web", UID: "u3"}
	full := &enrich.Metadata{UID: "u1", Labels: map[string]string{"team": "shop"}, Annotations: map[string]string{"note": "n"}, Owner: owner}
	placed := *full
	placed.Node = "node-3"
	only := `{"metadata":{"uid":"u1","ownerReferences":[{"kind":"Widget","name":"w"}]}}`
	for name, c := range map[string]struct {
		object      enrich.Object
		path        string
		node, exact bool
		body        string
		want        *enrich.Metadata
		url, accept string
	}{
		"of a pod": {web, "", false, false, partialJSON, full,
			"/api/v1/namespaces/shop/pods/web-1?resourceVersion=0", asMetadata},
		"exactly": {web, "", false, true, partialJSON, full, "/api/v1/namespaces/shop/pods/web-1", asMetadata},
		"of a deployment, below a path": {
			enrich.Object{Group: "apps", Version: "v1", Resource: "deployments", Namespace: "shop", Name: "web"}, "/clusters/c/", false, false,
			partialJSON, full, "/clusters/c/apis/apps/v1/namespaces/shop/deployments/web?resourceVersion=0", asMetadata,
		},
		"of a node": {enrich.Object{Version: "v1", Resource: "nodes", Name: "node-3"}, "", false, false, partialJSON, full,
			"/api/v1/nodes/node-3?resourceVersion=0", asMetadata},
		"of a pod with its node": {web, "", true, false, columnsJSON + `node-3","10.0.0.1"],"object":` + partialJSON + `}]}`, &placed,
			"/api/v1/namespaces/shop/pods/web-1?includeObject=Metadata&resourceVersion=0", asTable},
		"of a pod that is nowhere": {web, "", true, false, columnsJSON + `<none>"],"object":` + partialJSON + `}]}`, full,
			"/api/v1/namespaces/shop/pods/web-1?includeObject=Metadata&resourceVersion=0", asTable},
		"a row without cells": {web, "", true, false, `{"columnDefinitions":[{"name":"Node"}],"rows":[{"object":` + partialJSON + `}]}`, full,
			"/api/v1/namespaces/shop/pods/web-1?includeObject=Metadata&resourceVersion=0", asTable},
		"an only owner": {web, "", false, false, only, &enrich.Metadata{UID: "u1", Owner: &record.Owner{Kind: "Widget", Name: "w"}},
			"/api/v1/namespaces/shop/pods/web-1?resourceVersion=0", asMetadata},
	} {
		t.Run(name, func(t *testing.T) {
			p := &page{code: 200, body: c.body}
			got, err := metadataReader(t, p, c.path).Read(t.Context(), c.object, c.node, c.exact)
			if err != nil || !reflect.DeepEqual(got, c.want) {
				t.Errorf("%+v, %v, want %+v", got, err, c.want)
			}
			if p.asked.URL.RequestURI() != c.url || p.asked.Header.Get("Accept") != c.accept || p.asked.Method != http.MethodGet {
				t.Errorf("asked %s %s as %s", p.asked.Method, p.asked.URL.RequestURI(), p.asked.Header.Get("Accept"))
			}
			if p.asked.UserAgent() != "baton/test" {
				t.Errorf("user agent %s", p.asked.UserAgent())
			}
		})
	}
}

func TestMetadataThatIsNotThere(t *testing.T) {
	gone := `{"kind":"Status","status":"Failure","reason":"NotFound","details":{"name":"web-1","kind":"pods"},"code":404}`
	for name, c := range map[string]struct {
		page page
		want error
		text string
	}{
		"gone":              {page{code: 404, body: gone}, enrich.ErrGone, ""},
		"no such resource":  {page{code: 404, body: `{"kind":"Status","reason":"NotFound","details":{}}`}, enrich.ErrUnsupported, ""},
		"no such group":     {page{code: 404, body: "404 page not found\n"}, enrich.ErrUnsupported, ""},
		"refused":           {page{code: 403, body: `{"kind":"Status","reason":"Forbidden"}`}, enrich.ErrRefused, ""},
		"busy":              {page{code: 429, header: map[string]string{"Retry-After": "7"}}, &enrich.BusyError{Code: 429, After: 7 * time.Second}, ""},
		"busy for ever":     {page{code: 503, header: map[string]string{"Retry-After": "86400"}}, &enrich.BusyError{Code: 503, After: time.Minute}, ""},
		"busy, in no words": {page{code: 429}, &enrich.BusyError{Code: 429, After: time.Second}, ""},
		"broken":            {page{code: 500, body: "x"}, nil, "500"}, // perhaps for this kind alone
		"out of service":    {page{code: 503}, nil, "503"},
		"a wrong token":     {page{code: 401}, nil, "401"},
		"no JSON":           {page{code: 200, body: "<html>"}, nil, "invalid character"},
		"another object":    {page{code: 200, body: `{"status":{}}`}, nil, "no object's metadata"},
		"an endless answer": {page{code: 200, body: `{"metadata":{"uid":"` + strings.Repeat("x", maxMetadata)}, nil, "unexpected end"},
		"nobody's metadata": {page{code: 200, body: `{"metadata":{}}`}, nil, "no object's metadata"},
	} {
		t.Run(name, func(t *testing.T) {
			m, err := metadataReader(t, &c.page, "").Read(t.Context(), web, false, false)
			if m != nil || err == nil || !strings.Contains(err.Error(), c.text) {
				t.Fatalf("%+v, %v", m, err)
			}
			if busy, ok := errors.AsType[*enrich.BusyError](c.want); ok {
				got, is := errors.AsType[*enrich.BusyError](err)
				if !is || *got != *busy {
					t.Errorf("%v, want %v", err, c.want)
				}
			} else if c.want != nil && !errors.Is(err, c.want) {
				t.Errorf("%v, want %v", err, c.want)
			}
		})
	}
	for _, rows := range []string{`[]`, `[{},{}]`, `[{}]`, `7`} {
		p := &page{code: 200, body: `{"rows":` + rows + `}`}
		if m, err := metadataReader(t, p, "").Read(t.Context(), web, true, false); m != nil || err == nil {
			t.Errorf("rows %s: %+v, %v", rows, m, err)
		}
	}
}

// An event may name its object as it likes: no name leads out of its place.
func TestNamesThatAreNone(t *testing.T) {
	p := &page{code: 200, body: partialJSON}
	m := metadataReader(t, p, "")
	for _, name := range []string{"../secrets/key", "..", ".", "a/b", "a%2Fb", ""} {
		for _, o := range []enrich.Object{
			{Version: "v1", Resource: "pods", Namespace: "shop", Name: name},
			{Version: "v1", Resource: "pods", Namespace: name, Name: "web-1"},
		} {
			if o.Namespace == "" {
				continue // of the cluster
			}
			if got, err := m.Read(t.Context(), o, false, false); !errors.Is(err, enrich.ErrGone) || p.asked != nil {
				t.Errorf("%q: %+v, %v", o, got, err)
			}
		}
	}
	if _, err := m.Read(t.Context(), enrich.Object{Version: "v1", Resource: "pods", Namespace: "shop", Name: "a?watch=1#x"}, false, false); err != nil ||
		p.asked.URL.RequestURI() != "/api/v1/namespaces/shop/pods/a%3Fwatch=1%23x?resourceVersion=0" {
		t.Errorf("%v, asked %s", err, p.asked.URL.RequestURI())
	}
}

// An API server that takes requests and never answers: records go on without. That no batch waits any longer, and after
// three none at all, is shown in agent/enrich, where there is a clock to measure it by.
func TestHangingServer(t *testing.T) {
	var group sync.WaitGroup
	defer group.Wait()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	m := metadataReader(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		group.Add(1)
		defer group.Done()
		select {
		case <-r.Context().Done():
		case <-ctx.Done():
		}
	}), "")
	const wait = 50 * time.Millisecond
	counters := &enrich.Counters{}
	e := enrich.New(enrich.Options{
		Reader: m, Labels: []string{"*"}, Kinds: enrich.Known(), Wait: wait, RequestsPerSecond: 1000, Counters: counters,
	})
	defer e.Close()
	var waited int
	for i := range 50 {
		r := &record.Record{Object: record.Object{Kind: "Pod", Namespace: "shop", Name: fmt.Sprint("web-", i)}}
		began := time.Now()
		e.Enrich(t.Context(), []*record.Record{r})
		if time.Since(began) >= wait {
			waited++
		}
		if r.Enrichment == nil || r.Enrichment.Incomplete != record.Late {
			t.Errorf("enrichment %+v", r.Enrichment)
		}
	}
	if waited < 3 {
		t.Errorf("%d batches waited", waited)
	}
	if n := counters.Snapshot(); n["late"] != 50 || n["found"] != 0 {
		t.Errorf("counters %v", n)
	}
}
