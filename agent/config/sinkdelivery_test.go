package config

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"context"
	"crypto/tls"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl/plain"

	"github.com/eventbaton/baton/agent/record"
	"github.com/eventbaton/baton/agent/sink"
)

// What stands in the reference as an example delivers, to a receiver of its kind on this machine.
func TestSinkExamplesDeliver(t *testing.T) {
	for kind := range sink.Types {
		for _, example := range sinkExamples(t, kind) {
			c, err := Parse(kind, []byte(example), nil)
			if err != nil {
				t.Fatal(err)
			}
			t.Run(c.Sinks[0].Name, func(t *testing.T) { exampleDelivers(t, c.Sinks[0].Options) })
		}
	}
}

func exampleDelivers(t *testing.T, options sink.Options) {
	r := newReceivers(t)
	r.move(reflect.ValueOf(options).Elem(), "")
	switch o := options.(type) {
	case *sink.DatadogOptions:
		o.Site, o.URL = "datadoghq.com", r.server.URL // a site is Datadog's own host
	case *sink.KafkaOptions:
		o.Brokers = r.kafka(o)
	}
	if problems := options.Check(); len(problems) > 0 {
		t.Fatalf("moved here it has problems: %v", problems)
	}
	s, err := options.Open(sink.Environment{Stdout: &r.got, Metrics: r.metrics})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	// One record, which every sink takes at a time.
	err = s.Send(ctx, []*record.Record{exampleRecord()})
	shown := r.scrape()
	if err := cmp.Or(err, s.Close()); err != nil {
		t.Fatal(err)
	}
	if got := shown + r.all(); !strings.Contains(got, "prod-shop") {
		t.Errorf("the record is not in what arrived: %q", got)
	}
}

func exampleRecord() *record.Record {
	now := time.Now().UTC().Truncate(time.Second)
	return &record.Record{
		ID: "c/u/7", Cluster: "c", Time: now, First: now, Last: now, Count: 1, Type: "Warning", Reason: "BackOff", Namespace: "prod-shop",
		Name: "web.1", Message: "Back-off restarting failed container", Leader: record.Leader{Identity: "one", Epoch: 1},
		Object: record.Object{APIVersion: "v1", Kind: "Pod", Namespace: "prod-shop", Name: "web-7d4b9c6f5-x2x8v", UID: "p"},
	}
}

// receivers stand in for what an example names: a server that answers as each protocol has it, and a folder.
type receivers struct {
	t       *testing.T
	server  *httptest.Server
	metrics *prometheus.Registry
	dir     string
	caFile  string
	topic   func() string // all that is in Kafka, "" without it

	mu  sync.Mutex
	got bytes.Buffer
}

func newReceivers(t *testing.T) *receivers {
	r := &receivers{t: t, dir: t.TempDir(), metrics: prometheus.NewRegistry(), topic: func() string { return "" }}
	r.server = httptest.NewUnstartedServer(r)
	r.server.EnableHTTP2 = true // which gRPC needs
	r.server.StartTLS()
	t.Cleanup(r.server.Close)
	der := r.server.Certificate().Raw
	r.caFile = r.secret("ca.crt", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})))
	return r
}

func (r *receivers) secret(name, content string) string {
	path := filepath.Join(r.dir, name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		r.t.Fatal(err)
	}
	return path
}

// move replaces the addresses and paths in options by those that are here.
func (r *receivers) move(options reflect.Value, prefix string) {
	for _, f := range fieldsOf(options) {
		switch key := prefix + f.key; {
		case f.value.Kind() == reflect.Struct:
			r.move(f.value, key+".")
		case key == "tls.ca_file":
			f.value.SetString(r.caFile)
		case f.value.Kind() != reflect.String || f.value.IsZero():
		case key == "url":
			f.value.SetString(r.here(f.value.String()))
		case key == "path":
			f.value.SetString(filepath.Join(r.dir, filepath.Base(f.value.String())))
		case key == "url_file":
			f.value.SetString(r.secret(key, r.here("https://hooks.example.test/services/T/B/x")))
		case strings.HasSuffix(key, "_file"):
			f.value.SetString(r.secret(key, "secret"))
		}
	}
}

func (r *receivers) here(text string) string {
	u, err := url.Parse(text)
	if err != nil {
		r.t.Fatal(err)
	}
	return r.server.URL + u.EscapedPath()
}

// kafka starts brokers that are as the options say, and gives their addresses.
func (r *receivers) kafka(o *sink.KafkaOptions) []string {
	options := []kfake.Opt{kfake.NumBrokers(1), kfake.SeedTopics(1, o.Topic)}
	var reader []kgo.Opt
	if o.UseTLS {
		options = append(options, kfake.TLS(&tls.Config{Certificates: r.server.TLS.Certificates}))
		reader = append(reader, kgo.DialTLSConfig(r.server.Client().Transport.(*http.Transport).TLSClientConfig.Clone()))
	} else {
		o.TLS.CAFile = ""
	}
	if o.SASL.Mechanism != "" {
		options = append(options, kfake.EnableSASL(), kfake.Superuser("PLAIN", "reader", "secret"), kfake.Superuser(o.SASL.Mechanism, o.SASL.Username, "secret"))
		reader = append(reader, kgo.SASL(plain.Auth{User: "reader", Pass: "secret"}.AsMechanism()))
	}
	cluster, err := kfake.NewCluster(options...)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(cluster.Close)
	r.topic = func() string {
		return readTopic(r.t, append(reader, kgo.SeedBrokers(cluster.ListenAddrs()...), kgo.ConsumeTopics(o.Topic)))
	}
	return cluster.ListenAddrs()
}

// readTopic gives the first message.
func readTopic(t *testing.T, options []kgo.Opt) string {
	client, err := kgo.NewClient(options...)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	fetched := client.PollFetches(ctx)
	if err := errors.Join(ctx.Err(), fetched.Err()); err != nil || fetched.NumRecords() == 0 {
		t.Fatalf("%d messages: %v", fetched.NumRecords(), err)
	}
	return string(fetched.Records()[0].Value)
}

// ServeHTTP keeps what arrives, and answers as those who speak the request's protocol do.
func (r *receivers) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	body, _ := io.ReadAll(req.Body)
	body = unpacked(req.Header, body)
	r.mu.Lock()
	r.got.Write(body)
	r.mu.Unlock()
	switch {
	case strings.HasPrefix(req.Header.Get("Content-Type"), "application/grpc"):
		w.Header().Set("Content-Type", "application/grpc")
		w.Header().Set("Trailer", "Grpc-Status")
		w.Write(make([]byte, 5)) // an empty message
		w.Header().Set("Grpc-Status", "0")
	case strings.HasSuffix(req.URL.Path, "/_bulk"):
		io.WriteString(w, `{"errors":false,"items":[{"create":{"status":201}}]}`)
	case strings.HasPrefix(req.URL.Path, "/api/"):
		w.WriteHeader(http.StatusAccepted)
		io.WriteString(w, `{"status":"ok"}`)
	default:
		w.WriteHeader(http.StatusNoContent)
	}
}

// unpacked is the body without compression.
func unpacked(h http.Header, body []byte) []byte {
	if h.Get("Grpc-Encoding") == "gzip" {
		body = body[5:]
	} else if h.Get("Content-Encoding") != "gzip" {
		return body
	}
	z, err := gzip.NewReader(bytes.NewReader(body))
	if err != nil {
		return nil
	}
	plain, _ := io.ReadAll(z)
	return plain
}

// scrape is what /metrics would show.
func (r *receivers) scrape() string {
	families, err := r.metrics.Gather()
	if err != nil {
		r.t.Fatal(err)
	}
	return fmt.Sprint(families)
}

// all is what has arrived, by any way.
func (r *receivers) all() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	text := r.got.String() + r.topic()
	logs, err := filepath.Glob(filepath.Join(r.dir, "*.log"))
	if err != nil {
		r.t.Fatal(err)
	}
	for _, path := range logs {
		lines, err := os.ReadFile(path)
		if err != nil {
			r.t.Fatal(err)
		}
		text += string(lines)
	}
	return text
}
