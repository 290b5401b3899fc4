package sink

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/collector/pdata/plog/plogotlp"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/eventbaton/baton/agent/record"
)

// answering is an OTLP receiver that fails as it is told.
type answering struct {
	plogotlp.UnimplementedGRPCServer
	err error
}

func (a *answering) Export(context.Context, plogotlp.ExportRequest) (plogotlp.ExportResponse, error) {
	return plogotlp.NewExportResponse(), a.err
}

func TestOTLPGRPCAnswers(t *testing.T) {
	a := &answering{}
	server := grpc.NewServer()
	plogotlp.RegisterGRPCServer(server, a)
	o := openOTLP(t, "grpc", serveGRPC(t, server), nil)
	for _, c := range []struct {
		err     error
		refused bool
		wait    time.Duration
		says    string
	}{
		{nil, false, 0, ""},
		{status.Error(codes.Canceled, "x"), false, 0, "answered CANCELLED: x"},
		{status.Error(codes.Unknown, "x"), false, 0, "answered UNKNOWN: x"},
		{status.Error(codes.InvalidArgument, "bad\x00 % ü"), true, 0, "answered INVALID_ARGUMENT: bad % ü"},
		{status.Error(codes.DeadlineExceeded, "x"), false, 0, "answered DEADLINE_EXCEEDED: x"},
		{status.Error(codes.NotFound, "x"), false, 0, "answered NOT_FOUND (check the URL"},
		{status.Error(codes.PermissionDenied, "x"), false, 0, "answered PERMISSION_DENIED (check the credentials): x"},
		{status.Error(codes.ResourceExhausted, "x"), false, 0, "answered RESOURCE_EXHAUSTED (where"},
		{exhausted(t), false, 1500 * time.Millisecond, "slow down"},
		{status.Error(codes.ResourceExhausted, "grpc: received message larger than max (5 vs. 4)"), true, 0, "larger than max"},
		{status.Error(codes.Unimplemented, "x"), false, 0, "check the URL, and that the receiver takes logs"},
		{status.Error(codes.Internal, "x"), false, 0, "answered INTERNAL: x"},
		{status.Error(codes.Unavailable, "x"), false, 0, "answered UNAVAILABLE: x"},
		{status.Error(codes.DataLoss, ""), false, 0, "answered DATA_LOSS"},
		{status.Error(codes.Unauthenticated, "x"), false, 0, "answered UNAUTHENTICATED (check the credentials): x"},
		{status.Error(99, "x"), false, 0, "answered 99: x"},
	} {
		t.Run(fmt.Sprint(c.err), func(t *testing.T) {
			a.err = c.err
			wantAnswer(t, o.Send(t.Context(), records(2)), c.refused, c.wait, c.says)
		})
	}
}

func wantAnswer(t *testing.T, err error, refused bool, wait time.Duration, says string) {
	t.Helper()
	if says == "" && err == nil {
		return
	}
	if err == nil || says == "" || !strings.Contains(err.Error(), says) {
		t.Fatalf("error %v, want %q", err, says)
	}
	if _, got := errors.AsType[*Refused](err); got != refused {
		t.Errorf("refused %v: %v", got, err)
	}
	var got time.Duration
	if r, ok := errors.AsType[*RetryAfter](err); ok {
		got = r.After
	}
	if got != wait {
		t.Errorf("retry after %v, want %v", got, wait)
	}
}

// What is no receiver of OTLP, or something between, never acknowledges and never refuses but for the size.
func TestOTLPOddAnswers(t *testing.T) {
	grpcHeaders := map[string]string{"Content-Type": "application/grpc"}
	protobuf := map[string]string{"Content-Type": "application/x-protobuf"}
	ok := map[string]string{"Content-Type": "application/grpc", "Grpc-Status": "0"}
	for _, c := range []struct {
		name, protocol string
		code           int
		headers        map[string]string
		body           string
		refused        bool
		says           string
	}{
		{"a web server", "grpc", 200, nil, "hello", false, "which is not gRPC; check the URL, or set protocol to http"},
		{"a wrong path", "grpc", 404, nil, "", false, "check the URL"},
		{"a proxy's 400", "grpc", 400, nil, "", false, "answered 400"},
		{"a proxy's limit", "grpc", 413, nil, "", true, "answered 413"},
		{"a proxy's 503", "grpc", 503, nil, "", false, "answered 503"},
		{"no status", "grpc", 200, grpcHeaders, "", false, "has no grpc-status"},
		{"no message", "grpc", 200, ok, "", false, "not one whole message"},
		{"half a message", "grpc", 200, ok, "\x00\x00\x00\x00\x09\x0a", false, "not one whole message"},
		{"compressed with something", "grpc", 200, ok, "\x01\x00\x00\x00\x01\x0a", false, "it is compressed with"},
		{"another message", "grpc", 200, ok, "\x00\x00\x00\x00\x02\x0a\x09", false, "no ExportLogsServiceResponse"},
		{"an empty message", "grpc", 200, ok, "\x00\x00\x00\x00\x00", false, ""},
		{"a later field", "grpc", 200, ok, "\x00\x00\x00\x00\x05\x4d....", false, ""},
		{"a login page", "http", 200, map[string]string{"Content-Type": "text/html"}, "<html>", false, "check the URL"},
		{"no protobuf", "http", 200, protobuf, "\x0a\x09", false, "check the URL"},
		{"no JSON", "http", 200, map[string]string{"Content-Type": "application/json"}, "]", false, "check the URL"},
		{"an odd number", "http", 200, map[string]string{"Content-Type": "application/json"},
			`{"partialSuccess":{"rejectedLogRecords":"1.5"}}`, false, "check the URL"},
		{"empty JSON", "http", 200, map[string]string{"Content-Type": "application/json"}, "{}", false, ""},
		{"no content", "http", 204, nil, "", false, ""},
		{"plain text", "http", 200, nil, "ok", false, ""},
		{"a status", "http", 400, protobuf, "\x12\x03bad", true, "answered 400 Bad Request: bad"},
		{"no status", "http", 429, protobuf, "\x12\x09", false, "answered 429"},
		{"an own fault", "http", 500, protobuf, "\x12\x03bad", false, "answered 500 Internal Server Error: bad"},
	} {
		t.Run(c.protocol+" "+c.name, func(t *testing.T) {
			r := newReceiver(t, func(r *receiver) {
				r.Config.Protocols = new(http.Protocols)
				r.Config.Protocols.SetHTTP1(true)
				r.Config.Protocols.SetUnencryptedHTTP2(true)
				r.answer = func(w http.ResponseWriter, _ *http.Request) {
					for name, value := range c.headers {
						w.Header().Set(name, value)
					}
					w.WriteHeader(c.code)
					io.WriteString(w, c.body)
				}
			})
			wantAnswer(t, openOTLP(t, c.protocol, r.URL, nil).Send(t.Context(), records(2)), c.refused, 0, c.says)
		})
	}
}

func TestRetryInfo(t *testing.T) {
	info := func(duration string) string {
		detail := "\x0a\x28type.googleapis.com/google.rpc.RetryInfo\x12" + string(rune(len(duration)+2)) + "\x0a" +
			string(rune(len(duration))) + duration
		return base64.StdEncoding.EncodeToString([]byte("\x08\x08\x1a" + string(rune(len(detail))) + detail))
	}
	for header, want := range map[string]time.Duration{
		"": 0, "!": 0, "CAg": 0, "CAg=": 0, "//8": 0, info("\x08\x02"): 2 * time.Second,
		info("\x08\x02\x10\x80\x01"): 2*time.Second + 128, info("\x08\xff\xff\x7f"): retryAfterMax,
		info("\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"): 0, info("\x08"): 0, info("\x10\xff\xff\xff\xff\x0f"): 0,
	} {
		if got := retryInfo(header); got != want {
			t.Errorf("%s: %v, want %v", header, got, want)
		}
	}
}

// The authority that the sink trusts is renewed on disk while the Collector has been having its new certificate.
func TestOTLPCollectorWithTLS(t *testing.T) {
	own, other := newAuthority(t), newAuthority(t)
	certPEM, keyPEM := own.issue(t, "receiver.test", 2, net.IPv4(127, 0, 0, 1))
	c := newCollector(t, tempFile(t, certPEM), tempFile(t, keyPEM))
	bothProtocols(t, func(t *testing.T, protocol string) {
		dir, publish := mount(t)
		publish(map[string]string{"ca": other.pem})
		o := openOTLP(t, protocol, c.urls[protocol], func(o *OTLPOptions) { o.TLS.CAFile = filepath.Join(dir, "ca") })
		wantAnswer(t, o.Send(t.Context(), records(3)), false, 0, "x509")
		publish(map[string]string{"ca": own.pem})
		o.expire()
		must(t, o.Send(t.Context(), records(3)))
		plain := openOTLP(t, protocol, strings.Replace(c.urls[protocol], "https", "http", 1), nil)
		if err := plain.Send(t.Context(), records(1)); err == nil {
			t.Error("no error without TLS")
		}
	})
}

// A server that has TLS and not HTTP/2 is no gRPC server, and the error says so.
func TestOTLPNeedsHTTP2(t *testing.T) {
	own := newAuthority(t)
	r := own.serveTLS(t, nil)
	err := openOTLP(t, "grpc", r.URL, func(o *OTLPOptions) { o.TLS.CAFile = tempFile(t, own.pem) }).Send(t.Context(), records(1))
	wantAnswer(t, err, false, 0, "no application protocol")
}

func TestOTLPPaths(t *testing.T) {
	r := newReceiver(t, nil)
	for path, want := range map[string]string{
		"": "/v1/logs", "/": "/v1/logs", "/otlp": "/otlp/v1/logs", "/otlp/": "/otlp/v1/logs", "/v1/logs": "/v1/logs",
		"/a/v1/logs?tenant=1": "/a/v1/logs?tenant=1",
	} {
		must(t, openOTLP(t, "http", r.URL+path, nil).Send(t.Context(), records(1)))
		if got := r.last(t).RequestURI; got != want {
			t.Errorf("%s: %s", path, got)
		}
	}
}

func TestOTLPCalledOff(t *testing.T) {
	c := newCollector(t, "", "")
	bothProtocols(t, func(t *testing.T, protocol string) {
		deposed := errors.New("deposed")
		ctx, cancel := context.WithCancelCause(t.Context())
		c.fault = holding(func() { cancel(deposed) })
		if err := openOTLP(t, protocol, c.urls[protocol], nil).Send(ctx, records(1)); !errors.Is(err, deposed) {
			t.Errorf("error %v", err)
		}
	})
}

func TestOTLPCheck(t *testing.T) {
	for name, c := range map[string]struct {
		set  func(o *OTLPOptions)
		keys string
	}{
		"defaults": {func(o *OTLPOptions) {}, ""},
		"all": {func(o *OTLPOptions) {
			o.Protocol, o.URL, o.URLFile, o.ResourceAttributes = "http", "", "/url", map[string]string{"service.name": "x"}
		}, ""},
		"HTTP with a path":  {func(o *OTLPOptions) { o.Protocol, o.URL = "http", "https://h/otlp?x=1" }, ""},
		"protocol":          {func(o *OTLPOptions) { o.Protocol = "udp" }, "protocol"},
		"gRPC with a path":  {func(o *OTLPOptions) { o.URL = "https://h/v1/logs" }, "url"},
		"proxy without TLS": {func(o *OTLPOptions) { o.URL, o.ProxyURL = "http://h", "http://p:1" }, "proxy_url"},
		"timeout":           {func(o *OTLPOptions) { o.Timeout = Duration(2 * time.Minute) }, "timeout"},
		"very long":         {func(o *OTLPOptions) { o.Timeout = Duration(time.Hour) }, "timeout"},
		"own header":        {func(o *OTLPOptions) { o.Headers = map[string]string{"grpc-timeout": "1S"} }, "headers.grpc-timeout"},
		"attribute":         {func(o *OTLPOptions) { o.ResourceAttributes = map[string]string{"": "x"} }, "resource_attributes"},
	} {
		t.Run(name, func(t *testing.T) {
			o := newOTLPOptions()
			o.URL = "https://collector.example.test:4317"
			c.set(o)
			if got := problemKeys(o); got != c.keys {
				t.Errorf("problems with %q, want %q", got, c.keys)
			}
		})
	}
}

// Whatever is in a record, the official types read it back, and the answers' parsers never fail on what they are given.
func FuzzOTLP(f *testing.F) {
	f.Add("c/u/7", "Warning", "BackOff", "message", "web", "node-3", int64(3), int64(1782907200), []byte("\x0a\x04\x08\x01\x12\x00"))
	f.Add("", "", "", "\x00ü", "", "", int64(-1), int64(-1<<60), []byte("\xff"))
	f.Fuzz(func(t *testing.T, id, kind, reason, message, name, node string, count, seconds int64, answer []byte) {
		for _, s := range []*string{&id, &kind, &reason, &message, &name, &node} {
			*s = strings.ToValidUTF8(*s, "\uFFFD") // as record.From makes it
		}
		r := &record.Record{
			ID: id, Type: kind, Reason: reason, Message: message, Object: record.Object{Kind: kind, Name: name},
			Source: record.Source{Host: node}, Count: count, CountDelta: &count, Time: time.Unix(seconds, 0), Tags: []string{name},
			Related: &record.Object{Name: name},
		}
		data, err := marshaler.MarshalLogs(otlpTranslation{}.logs([]*record.Record{r, r}, time.Now()))
		must(t, err)
		request := plogotlp.NewExportRequest()
		must(t, request.UnmarshalProto(data))
		if got := idsOfLogs(request.Logs()); len(got) != 2 || got[0] != id || got[1] != id {
			t.Errorf("ids %q, want twice %q", got, id)
		}
		if p, ok := parsePartial(answer); ok {
			response := plogotlp.NewExportResponse()
			if response.UnmarshalProto(answer) == nil && response.PartialSuccess().RejectedLogRecords() != p.rejected {
				t.Errorf("rejected %d, official %d", p.rejected, response.PartialSuccess().RejectedLogRecords())
			}
		}
		parsePartialJSON(answer)
		parseStatus(answer)
		unframe(answer, "gzip")
		retryInfo(string(answer))
	})
}
