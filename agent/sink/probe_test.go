package sink

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
	"go.opentelemetry.io/collector/pdata/plog/plogotlp"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Every type that hands its records to something can be asked for it.
func TestEveryTypeCanBeProbed(t *testing.T) {
	for name, options := range Types {
		if name == "metrics" {
			continue // it is asked, and asks nobody
		}
		o := options()
		if file, ok := o.(*FileOptions); ok {
			file.Mode = "0600"
		}
		s, err := o.Open(Environment{Stdout: io.Discard})
		must(t, err)
		if _, ok := s.(Prober); !ok {
			t.Errorf("%s has no Probe", name)
		}
		closed(t, s)
	}
}

// wantProbe holds what a probe says, and what Remedy adds, against the parts.
func wantProbe(t *testing.T, err error, says ...string) {
	t.Helper()
	if len(says) == 0 {
		if err != nil {
			t.Errorf("error %v", err)
		}
		return
	}
	if err == nil {
		t.Fatalf("no error, want %q", says)
	}
	text := err.Error() + "; " + Remedy(err)
	for _, want := range says {
		if !strings.Contains(text, want) {
			t.Errorf("error %q lacks %q", text, want)
		}
	}
	if strings.Contains(text, "hunter2") {
		t.Errorf("error %q tells a secret", text)
	}
}

func TestWebhookProbe(t *testing.T) {
	for code, says := range map[int][]string{
		200: nil, 204: nil, 405: nil, 501: nil, 400: nil, 411: nil, 415: nil, 422: nil,
		301: {"redirects are not followed"},
		401: {"answered 401", "(check the credentials)"},
		403: {"answered 403 Forbidden (check the credentials)"},
		404: {"answered 404 Not Found (check the URL", "asked with OPTIONS"},
		500: {"answered 500"},
		503: {"answered 503"},
	} {
		r := newReceiver(t, func(r *receiver) {
			r.answer = func(w http.ResponseWriter, req *http.Request) {
				w.WriteHeader(code)
				io.WriteString(w, req.Header.Get("Authorization"))
			}
		})
		w := openWebhook(t, r.URL+"/events", func(o *WebhookOptions) {
			o.Gzip, o.BearerTokenFile, o.HMAC.SecretFile = true, tempFile(t, "hunter2"), tempFile(t, "secret")
		})
		wantProbe(t, w.Probe(t.Context()), says...)
		got := r.last(t)
		if got.Method != http.MethodOptions || got.URL.Path != "/events" || len(got.body) > 0 || got.Header.Get("Content-Encoding") != "" ||
			got.Header.Get("Authorization") != "Bearer hunter2" || got.Header.Get("X-Baton-Signature") == "" {
			t.Errorf("%s %s %v, body %q", got.Method, got.URL, got.Header, got.body)
		}
	}
	for _, set := range []func(o *WebhookOptions){
		func(o *WebhookOptions) { o.BearerTokenFile = "/nowhere/file" },
		func(o *WebhookOptions) { o.HMAC.SecretFile = "/nowhere/file" },
		func(o *WebhookOptions) { o.HeaderFiles = map[string]string{"X-Key": "/nowhere/file"} },
	} {
		r := newReceiver(t, nil)
		wantProbe(t, openWebhook(t, r.URL, set).Probe(t.Context()), "_file", "/nowhere/file: no such file")
		if r.count() > 0 {
			t.Error("a request went out without its secret")
		}
	}
}

// What a connection can fail with is told with what to do about it, whichever sink it is.
func TestProbeOfConnections(t *testing.T) {
	own, other := newAuthority(t), newAuthority(t)
	ca := tempFile(t, own.pem)
	ours := own.serveTLS(t, nil)
	mutual := own.serveTLS(t, func(c *tls.Config) { c.ClientAuth, c.ClientCAs = tls.RequireAndVerifyClientCert, own.pool() })
	plain := newReceiver(t, nil)
	strangerCert, strangerKey := other.issue(t, "client", 9)
	for name, c := range map[string]struct {
		url  string
		tls  TLSOptions
		says []string
	}{
		"trusted":            {ours.URL, TLSOptions{CAFile: ca}, nil},
		"unknown authority":  {ours.URL, TLSOptions{}, []string{"x509", "authority", "in tls.ca_file"}},
		"another authority":  {ours.URL, TLSOptions{CAFile: tempFile(t, other.pem)}, []string{"x509", "tls.ca_file"}},
		"another name":       {ours.URL, TLSOptions{CAFile: ca, ServerName: "other.test"}, []string{"is for receiver.test, 127.0.0.1", "tls.server_name"}},
		"no TLS there":       {strings.Replace(plain.URL, "http", "https", 1), TLSOptions{}, []string{"turn TLS off"}},
		"TLS there":          {strings.Replace(ours.URL, "https", "http", 1), TLSOptions{}, []string{"write https"}},
		"client certificate": {mutual.URL, TLSOptions{CAFile: ca}, []string{"wants a client certificate", "tls.cert_file"}},
		"a stranger's": {
			mutual.URL, TLSOptions{CAFile: ca, CertFile: tempFile(t, strangerCert), KeyFile: tempFile(t, strangerKey)},
			[]string{"tls", "check tls.cert_file and tls.key_file"},
		},
		"no file of it":  {ours.URL, TLSOptions{CAFile: "/nowhere/ca"}, []string{"tls.ca_file", "/nowhere/ca"}},
		"nobody listens": {"http://" + freeAddress(t), TLSOptions{}, []string{"connection refused", "nothing listens there"}},
		"no such name":   {"http://receiver.invalid", TLSOptions{}, []string{"the name receiver.invalid doesn't resolve"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			wantProbe(t, openWebhook(t, c.url, func(o *WebhookOptions) { o.TLS = c.tls }).Probe(t.Context()), c.says...)
		})
	}
}

func TestRemedy(t *testing.T) {
	for text, err := range map[string]error{
		"":                     errors.New("something"),
		"nothing answers":      &net.OpError{Op: "dial", Err: os.ErrDeadlineExceeded},
		"the clock":            &tls.CertificateVerificationError{Err: expired(t)},
		"doesn't know":         errors.New("remote error: tls: unrecognized name"), //nolint:misspell // crypto/tls writes it so
		"check the receiver's": &tls.CertificateVerificationError{Err: errors.New("odd")},
	} {
		if got := Remedy(err); !strings.Contains(got, text) || text == "" && got != "" {
			t.Errorf("%v: %q, want %q", err, got, text)
		}
	}
}

// expired is what verifying a certificate that has ended gives.
func expired(t *testing.T) error {
	t.Helper()
	own := newAuthority(t)
	_, err := own.cert.Verify(x509.VerifyOptions{Roots: own.pool(), CurrentTime: time.Now().AddDate(1, 0, 0)})
	if err == nil {
		t.Fatal("a certificate outlived its end")
	}
	return err
}

func TestOTLPProbe(t *testing.T) {
	c := newCollector(t, "", "")
	bothProtocols(t, func(t *testing.T, protocol string) {
		for _, compress := range []bool{true, false} {
			c.Reset()
			o := openOTLP(t, protocol, c.urls[protocol], func(o *OTLPOptions) { o.Gzip = compress })
			wantProbe(t, o.Probe(t.Context()))
			if got := c.ids(); len(got) > 0 {
				t.Errorf("it delivered %q", got)
			}
			wantProbe(t, openOTLP(t, protocol, "http://"+freeAddress(t), nil).Probe(t.Context()), "nothing listens there")
			missing := openOTLP(t, protocol, c.urls[protocol], func(o *OTLPOptions) { o.BearerTokenFile = "/nowhere/token" })
			wantProbe(t, missing.Probe(t.Context()), "bearer_token_file: stat /nowhere/token")
		}
	})
}

func TestOTLPProbeAnswers(t *testing.T) {
	a := &answering{}
	server := grpc.NewServer()
	plogotlp.RegisterGRPCServer(server, a)
	o := openOTLP(t, "grpc", serveGRPC(t, server), nil)
	for says, err := range map[string]error{
		"UNAUTHENTICATED (check the credentials)":   status.Error(codes.Unauthenticated, "x"),
		"PERMISSION_DENIED (check the credentials)": status.Error(codes.PermissionDenied, "x"),
		"that the receiver takes logs":              status.Error(codes.Unimplemented, "x"),
	} {
		a.err = err
		wantProbe(t, o.Probe(t.Context()), says)
	}
	for code, says := range map[int][]string{
		200: nil, 422: nil, 401: {"check the credentials"}, 404: {"check the URL"}, 400: {"answered 400"}, 502: {"answered 502"},
	} {
		r := newReceiver(t, func(r *receiver) {
			r.answer = func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(code)
				if code == 422 {
					io.WriteString(w, "error at least one valid stream is required for ingestion")
				}
			}
		})
		wantProbe(t, openOTLP(t, "http", r.URL, nil).Probe(t.Context()), says...)
		if got := r.last(t); got.URL.Path != "/v1/logs" || len(got.plain(t)) > 0 {
			t.Errorf("%s: %q", got.URL, got.body)
		}
	}
}

// A probe of Kafka has the topic and the rights judged, and leaves nothing behind.
func TestKafkaProbe(t *testing.T) {
	writer := kfake.ACL{Resource: kmsg.ACLResourceTypeTopic, Name: "events", Pattern: kmsg.ACLResourcePatternTypeLiteral, Operation: kmsg.ACLOperationWrite, Allow: true}
	reader := writer
	reader.Operation = kmsg.ACLOperationRead
	c := newKafka(t, kfake.EnableSASL(), kfake.EnableACLs(), kfake.Superuser("PLAIN", "root", "r"),
		kfake.User("PLAIN", "writer", "hunter2", writer), kfake.User("PLAIN", "reader", "hunter2", reader), kfake.User("PLAIN", "nobody", "hunter2"))
	as := func(user, password string) func(*KafkaOptions) {
		return func(o *KafkaOptions) {
			o.SASL = KafkaSASL{Mechanism: "PLAIN", Username: user, PasswordFile: tempFile(t, password)}
		}
	}
	for name, test := range map[string]struct {
		set  func(*KafkaOptions)
		says []string
	}{
		"may write":      {as("writer", "hunter2"), nil},
		"may read":       {as("reader", "hunter2"), []string{"topic events", "may not write to it"}},
		"may do nothing": {as("nobody", "hunter2"), []string{"topic events", "right"}},
		"wrong password": {as("writer", "hunter22"), []string{"credentials"}},
		"no such topic": {func(o *KafkaOptions) {
			as("root", "r")(o)
			o.Topic = "absent"
		}, []string{"topic absent: UNKNOWN_TOPIC_OR_PARTITION", "create the topic"}},
		"no password": {func(o *KafkaOptions) {
			o.SASL = KafkaSASL{Mechanism: "PLAIN", Username: "writer", PasswordFile: "/nowhere/password"}
		}, []string{"sasl.password_file: stat /nowhere/password"}},
		"no login": {nil, []string{"check use_tls, sasl.mechanism"}},
		"nobody listens": {func(o *KafkaOptions) {
			as("writer", "hunter2")(o)
			o.Brokers = []string{freeAddress(t)}
		}, []string{"connection refused", "nothing listens there"}},
		"no such name": {func(o *KafkaOptions) {
			as("writer", "hunter2")(o)
			o.Brokers = []string{"broker.invalid:9092"}
		}, []string{"the name broker.invalid doesn't resolve"}},
		"no TLS there": {func(o *KafkaOptions) {
			as("writer", "hunter2")(o)
			o.UseTLS, o.Timeout = true, Duration(500*time.Millisecond)
		}, []string{"topic events"}},
	} {
		t.Run(name, func(t *testing.T) {
			wantProbe(t, openKafka(t, c, test.set).Probe(t.Context()), test.says...)
		})
	}
	if got := consume(t, c); len(got) > 0 {
		t.Errorf("%d messages were produced", len(got))
	}
	if info := c.TopicInfo("absent"); info != nil {
		t.Errorf("the probe made a topic: %+v", info)
	}
}

// What the brokers say of themselves is told too, and what they have to sort out alone is not.
func TestKafkaProbeAnswers(t *testing.T) {
	for says, fault := range map[string]kfake.Fault{
		"partition 2: LEADER_NOT_AVAILABLE": {Keys: []kmsg.Key{kmsg.Metadata}, Partitions: []int32{2}, Err: kerr.LeaderNotAvailable},
		"the right of idempotent writes":    {Keys: []kmsg.Key{kmsg.InitProducerID}, Err: kerr.ClusterAuthorizationFailed},
		"":                                  {Keys: []kmsg.Key{kmsg.Metadata}, Partitions: []int32{2}, Err: kerr.ReplicaNotAvailable},
	} {
		c := newKafka(t)
		fault.Count = -1
		c.Fault(fault)
		err := openKafka(t, c, nil).Probe(t.Context())
		if says == "" {
			wantProbe(t, err)
		} else {
			wantProbe(t, err, says)
		}
	}
}

func TestKafkaProbeTLS(t *testing.T) {
	own := newAuthority(t)
	certPEM, keyPEM := own.issue(t, "receiver.test", 2, net.IPv4(127, 0, 0, 1))
	pair, err := tls.X509KeyPair([]byte(certPEM), []byte(keyPEM))
	must(t, err)
	c := newKafka(t, kfake.TLS(&tls.Config{Certificates: []tls.Certificate{pair}}))
	for says, set := range map[string]TLSOptions{
		"":                   {CAFile: tempFile(t, own.pem)},
		"in tls.ca_file":     {},
		"is for receiver.te": {CAFile: tempFile(t, own.pem), ServerName: "other.test"},
	} {
		k := openKafka(t, c, func(o *KafkaOptions) { o.UseTLS, o.TLS = true, set })
		if err := k.Probe(t.Context()); says == "" {
			wantProbe(t, err)
		} else {
			wantProbe(t, err, says)
		}
	}
}

// A broker that takes the connection and says nothing.
func TestKafkaProbeEnds(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer l.Close()
	configure := func(o *KafkaOptions) { o.Brokers = []string{l.Addr().String()} }
	ctx, cancel := context.WithTimeoutCause(t.Context(), 50*time.Millisecond, errors.New("the time is up"))
	defer cancel()
	wantProbe(t, openKafka(t, newKafka(t), configure).Probe(ctx), "the time is up")
	wantProbe(t, openKafka(t, newKafka(t), func(o *KafkaOptions) {
		configure(o)
		o.Timeout = Duration(100 * time.Millisecond)
	}).Probe(t.Context()), "no answer within 100ms")
}

func TestStdoutProbe(t *testing.T) {
	var out strings.Builder
	s := openStdout(t, &out)
	wantProbe(t, s.(Prober).Probe(t.Context()))
	closed(t, s)
	if out.Len() > 0 {
		t.Errorf("it wrote %q", out.String())
	}
	f, err := os.Open(tempFile(t, "x"))
	must(t, err)
	for range 2 { // only for reading, and closed
		s = openStdout(t, f)
		wantProbe(t, s.(Prober).Probe(t.Context()), "writing to stdout")
		closed(t, s)
		_ = f.Close()
	}
}
