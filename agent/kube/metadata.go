package kube

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"github.com/eventbaton/baton/agent/enrich"
	"github.com/eventbaton/baton/agent/record"
)

const (
	// asMetadata asks for an object's metadata alone, asTable for the row that kubectl prints of it: a pod's has its node,
	// which is not in the metadata.
	asMetadata = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
	asTable    = "application/json;as=Table;g=meta.k8s.io;v=v1"

	// maxMetadata bounds an answer. Labels and annotations of an object have 256 KiB at most, and managed fields are about
	// as long as the object, of 1.5 MiB at most.
	maxMetadata = 4 << 20
	// longestPause bounds what Retry-After may ask for.
	longestPause = time.Minute
)

// MetadataReader reads the metadata of single objects. It has connections of its own, so that what it waits for keeps
// nothing else waiting.
type MetadataReader struct {
	client *http.Client
	base   *url.URL
}

var _ enrich.Reader = (*MetadataReader)(nil)

// NewMetadataReader makes a reader; it connects with the first request.
func NewMetadataReader(cfg *rest.Config, userAgent string) (*MetadataReader, error) {
	findDeadConnections()
	cfg = rest.CopyConfig(cfg)
	cfg.UserAgent = userAgent
	cfg.DisableCompression = true
	// client-go gives all who connect in the same way the same connection. A way of one's own is a connection of one's own.
	cfg.Dial = (&net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second}).DialContext
	client, err := rest.HTTPClientFor(cfg)
	if err != nil {
		return nil, fmt.Errorf("preparing the connection for metadata: %w", err)
	}
	base, _, err := rest.DefaultServerUrlFor(cfg)
	if err != nil {
		return nil, fmt.Errorf("the API server's address: %w", err)
	}
	return &MetadataReader{client: client, base: base}, nil
}

// Close closes the connections that nobody uses any more.
func (m *MetadataReader) Close() { m.client.CloseIdleConnections() }

// Read implements enrich.Reader. Unless exact is set, the API server may answer from its cache, which costs it next to
// nothing and may be a moment behind.
func (m *MetadataReader) Read(ctx context.Context, o enrich.Object, row, exact bool) (*enrich.Metadata, error) {
	if !segment(o.Name) || o.Namespace != "" && !segment(o.Namespace) {
		return nil, enrich.ErrGone // an event may name anything; nothing can be called that
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, m.url(o, row, exact), http.NoBody)
	if err != nil {
		return nil, fmt.Errorf("asking for %s: %w", o, err)
	}
	request.Header.Set("Accept", asMetadata)
	if row {
		request.Header.Set("Accept", asTable)
	}
	response, err := m.client.Do(request)
	if err != nil {
		return nil, fmt.Errorf("asking for %s: %w", o, err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, maxMetadata))
	if err != nil {
		return nil, fmt.Errorf("reading the metadata of %s: %w", o, err)
	}
	if err := refusal(response, body, o); err != nil {
		return nil, err
	}
	if row {
		return decodeRow(body)
	}
	var partial partialObject
	if err := json.Unmarshal(body, &partial); err != nil {
		return nil, fmt.Errorf("the metadata of %s: %w", o, err)
	}
	return partial.metadata()
}

func segment(name string) bool { return name != "" && len(rest.IsValidPathSegmentName(name)) == 0 }

func (m *MetadataReader) url(o enrich.Object, row, exact bool) string {
	u := *m.base
	parts := []string{strings.TrimSuffix(u.Path, "/"), "apis", o.Group, o.Version}
	if o.Group == "" {
		parts = []string{strings.TrimSuffix(u.Path, "/"), "api", o.Version}
	}
	if o.Namespace != "" {
		parts = append(parts, "namespaces", o.Namespace)
	}
	u.Path = strings.Join(append(parts, o.Resource, o.Name), "/")
	query := url.Values{}
	if !exact {
		query.Set("resourceVersion", "0")
	}
	if row {
		query.Set("includeObject", string(metav1.IncludeMetadata))
	}
	u.RawQuery = query.Encode()
	return u.String()
}

// refusal says in enrich's words what an answer other than 200 means.
func refusal(response *http.Response, body []byte, o enrich.Object) error {
	switch code := response.StatusCode; {
	case code == http.StatusOK:
		return nil
	case code == http.StatusForbidden:
		return enrich.ErrRefused
	case code == http.StatusNotFound && namesObject(body):
		return enrich.ErrGone
	case code == http.StatusNotFound:
		return enrich.ErrUnsupported
	case code == http.StatusTooManyRequests || code == http.StatusServiceUnavailable && response.Header.Get("Retry-After") != "":
		return &enrich.BusyError{Code: code, After: retryAfter(response)}
	default:
		return fmt.Errorf("asking for %s: the API server answers %s", o, response.Status)
	}
}

// namesObject tells a 404 for an object from one for a resource that the API server doesn't have.
func namesObject(body []byte) bool {
	var status metav1.Status
	return json.Unmarshal(body, &status) == nil && status.Details != nil && status.Details.Name != ""
}

func retryAfter(response *http.Response) time.Duration {
	seconds, err := strconv.Atoi(response.Header.Get("Retry-After"))
	if err != nil || seconds < 1 {
		return time.Second
	}
	return min(time.Duration(seconds)*time.Second, longestPause)
}

// partialObject is what is used of a PartialObjectMetadata. It is not metav1's: managed fields, most of what comes, are
// passed over.
type partialObject struct {
	Metadata *struct {
		UID             string            `json:"uid"`
		Labels          map[string]string `json:"labels"`
		Annotations     map[string]string `json:"annotations"`
		OwnerReferences []struct {
			APIVersion string `json:"apiVersion"`
			Kind       string `json:"kind"`
			Name       string `json:"name"`
			UID        string `json:"uid"`
			Controller bool   `json:"controller"`
		} `json:"ownerReferences"`
	} `json:"metadata"`
}

func (p *partialObject) metadata() (*enrich.Metadata, error) {
	if p.Metadata == nil || p.Metadata.UID == "" {
		return nil, errors.New("the API server's answer is no object's metadata")
	}
	m := &enrich.Metadata{UID: p.Metadata.UID, Labels: p.Metadata.Labels, Annotations: p.Metadata.Annotations}
	for _, r := range p.Metadata.OwnerReferences {
		// An only owner counts, whatever it says of itself.
		if r.Controller || len(p.Metadata.OwnerReferences) == 1 {
			m.Owner = &record.Owner{APIVersion: r.APIVersion, Kind: r.Kind, Name: r.Name, UID: r.UID}
			break
		}
	}
	return m, nil
}

// table is what is used of a Table of one row.
type table struct {
	Columns []struct {
		Name string `json:"name"`
	} `json:"columnDefinitions"`
	Rows []struct {
		Cells  []any         `json:"cells"`
		Object partialObject `json:"object"`
	} `json:"rows"`
}

func decodeRow(body []byte) (*enrich.Metadata, error) {
	var t table
	if err := json.Unmarshal(body, &t); err != nil {
		return nil, fmt.Errorf("the API server's row of a pod: %w", err)
	}
	if len(t.Rows) != 1 {
		return nil, fmt.Errorf("the API server answers with %d rows for one pod", len(t.Rows))
	}
	m, err := t.Rows[0].Object.metadata()
	if err != nil {
		return nil, err
	}
	for i, c := range t.Columns {
		// A pod that is nowhere yet has "<none>" there, which no node can be called.
		if node, ok := cell(t.Rows[0].Cells, i); ok && c.Name == "Node" && !strings.HasPrefix(node, "<") {
			m.Node = node
		}
	}
	return m, nil
}

func cell(cells []any, i int) (string, bool) {
	if i >= len(cells) {
		return "", false
	}
	text, ok := cells[i].(string)
	return text, ok
}
