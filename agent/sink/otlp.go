package sink

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/eventbaton/baton/agent/record"
)

const (
	otlpGRPC = "grpc"
	otlpHTTP = "http"

	otlpHTTPPath = "/v1/logs"                                                  // OTLP specification, OTLP/HTTP Request
	otlpGRPCPath = "/opentelemetry.proto.collector.logs.v1.LogsService/Export" // logs_service.proto

	// otlpMaxTimeout is below the time in which a gRPC server finds too many pings on a connection.
	otlpMaxTimeout = time.Minute
)

// OTLPOptions are those of the type otlp.
type OTLPOptions struct {
	Protocol           string            `yaml:"protocol" doc:"grpc or http; http carries protobuf."`
	ResourceAttributes map[string]string `yaml:"resource_attributes" doc:"Attributes to add to every resource, such as service.name."`
	HTTPOptions        `yaml:",inline" doc:"What all that speaks HTTP has."`
}

// newOTLPOptions has batches half as large as what a Collector takes by gRPC (max_recv_msg_size_mib of its
// configgrpc: 4 MiB after decompression; by HTTP, max_request_body_size of confighttp, 20 MiB), and larger than any event.
func newOTLPOptions() *OTLPOptions {
	o := &OTLPOptions{Protocol: otlpGRPC, HTTPOptions: newHTTPOptions()}
	o.Gzip, o.MaxBatchBytes = true, 2<<20
	return o
}

// Check returns all that is wrong with the values.
func (o *OTLPOptions) Check() []Problem {
	p := o.check("Te", "Grpc-Encoding", "Grpc-Accept-Encoding", "Grpc-Timeout")
	if o.Protocol != otlpGRPC && o.Protocol != otlpHTTP {
		p = append(p, Problem{"protocol", "is neither grpc nor http"})
	}
	if t := time.Duration(o.Timeout); t > otlpMaxTimeout && t <= webhookMaxTimeout { // above that it has been said
		p = append(p, Problem{"timeout", "must be at most 1m"})
	}
	if u, ok := parseURL(o.URL); ok && o.Protocol == otlpGRPC {
		if strings.Trim(u.Path, "/") != "" || u.RawQuery != "" {
			p = append(p, Problem{"url", "has a path or a query, which gRPC does not: write https://host:4317, or set protocol to http"})
		}
		if u.Scheme == "http" && o.ProxyURL != "" {
			p = append(p, Problem{"proxy_url", "has no effect on gRPC without TLS: write https in url, or remove it"})
		}
	}
	if _, ok := o.ResourceAttributes[""]; ok {
		p = append(p, Problem{"resource_attributes", "has an attribute without a name"})
	}
	return p
}

// Open makes the sink of options that Check finds nothing wrong with.
func (o *OTLPOptions) Open(env Environment) (Sink, error) {
	env = env.withDefaults()
	sender, err := o.open(env)
	if err != nil {
		return nil, err
	}
	sender.client.opts.GRPC = o.Protocol == otlpGRPC
	return &otlp{
		httpSender: sender, opts: *o, log: env.Log,
		translation: otlpTranslation{version: env.Version, resource: o.ResourceAttributes},
	}, nil
}

// otlp sends each batch as one export request of the OpenTelemetry protocol: unary gRPC over net/http's HTTP/2, or
// protobuf over HTTP. grpc-go would do the same for eight megabytes more, without the client's files that are read again.
type otlp struct {
	*httpSender
	opts        OTLPOptions
	translation otlpTranslation
	log         *slog.Logger

	mu     sync.Mutex
	warned string // what the receiver last warned of
}

func (o *otlp) Send(ctx context.Context, batch []*record.Record) error {
	message, err := o.encode(batch)
	if err != nil {
		return err
	}
	c, err := o.call(len(batch))
	if err != nil {
		return err
	}
	if o.opts.Protocol == otlpHTTP {
		return o.deliver(ctx, c, message)
	}
	framed, err := o.frame(message)
	if err != nil {
		return err
	}
	c.setBody(framed)
	return o.client.do(ctx, c)
}

// encode gives the request's protobuf. A record that is too large alone has its message cut.
func (o *otlp) encode(batch []*record.Record) ([]byte, error) {
	now := time.Now()
	if len(batch) == 1 && batch[0].Size() > o.opts.MaxBatchBytes/2 {
		fits, ok := fitMessage(batch[0], o.opts.MaxBatchBytes, func(r *record.Record) int {
			return marshaler.LogsSize(o.translation.logs([]*record.Record{r}, now))
		})
		if !ok {
			return nil, tooLarge("max_batch_bytes", o.opts.MaxBatchBytes)
		}
		batch = []*record.Record{fits}
	}
	message, err := marshaler.MarshalLogs(o.translation.logs(batch, now))
	if err != nil {
		return nil, &Refused{Err: fmt.Errorf("encoding: %w", err)} // which no message of this type is known to do
	}
	return message, nil
}

// marshaler gives what an ExportLogsServiceRequest is on the wire: the same bytes as a LogsData.
var marshaler plog.ProtoMarshaler

// call makes the request but for its body, for a batch of n.
func (o *otlp) call(n int) (call, error) {
	if o.opts.Protocol == otlpHTTP {
		c, err := o.ready(request{contentType: otlpProtobuf})
		if err != nil {
			return c, err
		}
		c.at(httpLogsPath(c.request.URL), o.url == nil)
		c.judge = func(c call, resp *http.Response, body []byte) error { return o.judgeHTTP(c, resp, body, n) }
		return c, nil
	}
	c, err := o.ready(request{contentType: "application/grpc"})
	if err != nil {
		return c, err
	}
	c.at(&url.URL{Scheme: c.request.URL.Scheme, Host: c.request.URL.Host}, o.url == nil)
	c.request.URL.Path = otlpGRPCPath
	h := c.request.Header
	h.Set("Te", "trailers")
	h.Set("Grpc-Timeout", strconv.FormatInt(time.Duration(o.opts.Timeout).Milliseconds(), 10)+"m")
	h.Del("Content-Encoding")
	if o.opts.Gzip {
		h.Set("Grpc-Encoding", "gzip")
	}
	c.judge = func(c call, resp *http.Response, body []byte) error { return o.judgeGRPC(c, resp, body, n) }
	return c, nil
}

// at sets where the call goes, and shows it in errors where it is no secret.
func (c *call) at(u *url.URL, shown bool) {
	c.request.URL = u
	if shown {
		c.shown = u.Scheme + "://" + u.Host + u.EscapedPath()
	}
}

// httpLogsPath takes the base of a receiver, as OTEL_EXPORTER_OTLP_ENDPOINT has it, or the whole URL.
func httpLogsPath(base *url.URL) *url.URL {
	whole := *base
	if !strings.HasSuffix(whole.Path, otlpHTTPPath) {
		whole.Path, whole.RawPath = strings.TrimRight(whole.Path, "/")+otlpHTTPPath, ""
	}
	return &whole
}

// frame puts the five bytes before a message that gRPC has: whether it is compressed, and its length.
func (o *otlp) frame(message []byte) ([]byte, error) {
	payload, err := o.compressed(message)
	if err != nil {
		return nil, err
	}
	if len(payload) > 1<<31 {
		return nil, errors.New("the batch is larger than gRPC can say")
	}
	framed := make([]byte, grpcHeader, grpcHeader+len(payload))
	if o.opts.Gzip {
		framed[0] = 1
	}
	binary.BigEndian.PutUint32(framed[1:], uint32(len(payload)))
	return append(framed, payload...), nil
}

// warn tells what a receiver that took the batch has to say, when that changes.
func (o *otlp) warn(text string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if text != o.warned {
		o.warned = text
		o.log.Warn("the receiver took the records, and has something to say", "text", text)
	}
}
