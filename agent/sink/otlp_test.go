package sink

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.opentelemetry.io/collector/client"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/consumer/consumertest"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/plog/plogotlp"
	"go.opentelemetry.io/collector/receiver/otlpreceiver"
	"go.opentelemetry.io/collector/receiver/receivertest"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/eventbaton/baton/agent/record"
)

// collector is the Collector's own receiver, for both protocols. It keeps what arrives, unless fault, which sees the
// number of the call from 1, says otherwise.
type collector struct {
	consumertest.LogsSink
	fault func(ctx context.Context, call int, logs plog.Logs) error
	urls  map[string]string // by protocol

	mu    sync.Mutex
	calls int
}

func (c *collector) ConsumeLogs(ctx context.Context, logs plog.Logs) error {
	c.mu.Lock()
	c.calls++
	call := c.calls
	c.mu.Unlock()
	if c.fault != nil {
		if err := c.fault(ctx, call, logs); err != nil {
			return err
		}
	}
	return c.LogsSink.ConsumeLogs(ctx, logs)
}

func (c *collector) ids() []string {
	var ids []string
	for _, logs := range c.AllLogs() {
		ids = append(ids, idsOfLogs(logs)...)
	}
	return ids
}

func idsOfLogs(logs plog.Logs) []string {
	var ids []string
	eachLog(logs, func(_ plog.ResourceLogs, log plog.LogRecord) {
		id, _ := log.Attributes().Get("log.record.uid")
		ids = append(ids, id.Str())
	})
	return ids
}

func eachLog(logs plog.Logs, f func(plog.ResourceLogs, plog.LogRecord)) {
	for _, of := range logs.ResourceLogs().All() {
		for _, scope := range of.ScopeLogs().All() {
			for _, log := range scope.LogRecords().All() {
				f(of, log)
			}
		}
	}
}

// newCollector starts one, with TLS where a certificate is given.
func newCollector(t testing.TB, certFile, keyFile string) *collector {
	t.Helper()
	c := &collector{}
	factory := otlpreceiver.NewFactory()
	config := factory.CreateDefaultConfig().(*otlpreceiver.Config)
	g, h := config.Protocols.GRPC.GetOrInsertDefault(), &config.Protocols.HTTP.GetOrInsertDefault().ServerConfig
	g.NetAddr.Endpoint, h.NetAddr.Endpoint = freeAddress(t), freeAddress(t)
	g.IncludeMetadata, h.IncludeMetadata = true, true
	scheme := "http"
	if certFile != "" {
		scheme = "https"
		g.TLS.GetOrInsertDefault().CertFile, g.TLS.Get().KeyFile = certFile, keyFile
		h.TLS.GetOrInsertDefault().CertFile, h.TLS.Get().KeyFile = certFile, keyFile
	}
	c.urls = map[string]string{"grpc": scheme + "://" + g.NetAddr.Endpoint, "http": scheme + "://" + h.NetAddr.Endpoint}
	r, err := factory.CreateLogs(t.Context(), receivertest.NewNopSettings(factory.Type()), config, c)
	must(t, err)
	must(t, r.Start(t.Context(), componenttest.NewNopHost()))
	t.Cleanup(func() { must(t, r.Shutdown(context.Background())) })
	return c
}

// freeAddress gives one that nobody listens at.
func freeAddress(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer l.Close()
	return l.Addr().String()
}

func openOTLP(t testing.TB, protocol, url string, configure func(*OTLPOptions)) *otlp {
	t.Helper()
	o := newOTLPOptions()
	o.Protocol, o.URL = protocol, url
	if configure != nil {
		configure(o)
	}
	if problems := o.Check(); len(problems) > 0 {
		t.Fatalf("problems: %v", problems)
	}
	s, err := o.Open(Environment{Version: "1.2.3"})
	must(t, err)
	t.Cleanup(func() { must(t, s.Close()) })
	return s.(*otlp)
}

func bothProtocols(t *testing.T, test func(t *testing.T, protocol string)) {
	for _, protocol := range []string{"grpc", "http"} {
		t.Run(protocol, func(t *testing.T) { test(t, protocol) })
	}
}

func TestOTLPReachesTheCollector(t *testing.T) {
	c := newCollector(t, "", "")
	bothProtocols(t, func(t *testing.T, protocol string) {
		for _, compress := range []bool{true, false} {
			for _, n := range []int{1, 500} {
				c.Reset()
				o := openOTLP(t, protocol, c.urls[protocol], func(o *OTLPOptions) {
					o.Gzip, o.Headers = compress, map[string]string{"x-team": "platform"}
				})
				batch := records(n)
				must(t, o.Send(t.Context(), batch))
				sameIDs(t, c.ids(), ids(batch))
				metadata := client.FromContext(c.Contexts()[0]).Metadata
				if got := metadata.Get("x-team"); !slices.Equal(got, []string{"platform"}) {
					t.Errorf("header %q", got)
				}
			}
		}
	})
}

func TestOTLPRecord(t *testing.T) {
	r := records(1)[0]
	delta := int64(3)
	r.ClusterName, r.Tags, r.CountDelta, r.Action = "blue", []string{"env:prod", "team:a"}, &delta, "Pulling"
	r.Related = &record.Object{Kind: "Node", Name: "node-3"}
	c := newCollector(t, "", "")
	must(t, openOTLP(t, "grpc", c.urls["grpc"], func(o *OTLPOptions) {
		o.ResourceAttributes = map[string]string{"service.name": "events"}
	}).Send(t.Context(), []*record.Record{r}))
	eachLog(c.AllLogs()[0], func(of plog.ResourceLogs, log plog.LogRecord) {
		sameMap(t, "resource", of.Resource().Attributes().AsRaw(), map[string]any{
			"k8s.cluster.uid": r.Cluster, "k8s.cluster.name": "blue", "k8s.node.name": "node-3", "k8s.object.kind": "Pod",
			"k8s.object.name": r.Object.Name, "k8s.object.uid": r.Object.UID, "k8s.object.api_version": "v1",
			"k8s.object.fieldpath": "spec.containers{web}", "service.name": "events",
		})
		sameMap(t, "attributes", log.Attributes().AsRaw(), map[string]any{
			"log.record.uid": r.ID, "k8s.event.reason": "BackOff", "k8s.event.action": "Pulling", "k8s.event.name": r.Name,
			"k8s.event.start_time": "2026-07-01T12:00:00Z", "k8s.event.uid": "c0ffee00-0000-4000-8000-000000000000",
			"k8s.event.resource_version": "48000", "k8s.namespace.name": "shop", "k8s.event.count": int64(1),
			"baton.count_delta": int64(3), "baton.source.component": "kubelet", "baton.source.instance": "node-3",
			"baton.leader.identity": r.Leader.Identity, "baton.leader.epoch": int64(7),
			"baton.related": map[string]any{"kind": "Node", "name": "node-3"}, "baton.tags": []any{"env:prod", "team:a"},
		})
		if log.Body().Str() != r.Message || !log.Timestamp().AsTime().Equal(r.Time) || log.SeverityText() != "Warning" ||
			log.SeverityNumber() != plog.SeverityNumberWarn || time.Since(log.ObservedTimestamp().AsTime()) > time.Minute {
			t.Errorf("%q %v %v %v", log.Body().Str(), log.Timestamp(), log.SeverityNumber(), log.ObservedTimestamp())
		}
		if scope := c.AllLogs()[0].ResourceLogs().At(0).ScopeLogs().At(0).Scope(); scope.Version() != "1.2.3" {
			t.Errorf("version %q", scope.Version())
		}
	})
}

func TestOTLPSeverity(t *testing.T) {
	for kind, want := range map[string]plog.SeverityNumber{"Normal": 9, "Warning": 13, "Error": 17, "critical": 21, "": 0, "Odd": 0} {
		if got := otlpSeverity(kind); got != want {
			t.Errorf("%s: %v", kind, got)
		}
	}
}

func TestOTLPTimesThatNanosecondsCannotSay(t *testing.T) {
	for _, at := range []time.Time{{}, time.Date(1969, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)} {
		if got := otlpTime(at); got != 0 {
			t.Errorf("%v: %v", at, got)
		}
	}
}

func TestEventVersion(t *testing.T) {
	for id, want := range map[string][2]string{"c/u/7": {"u", "7"}, "a/b/u/7": {"u", "7"}, "u/7": {"u", "7"}, "7": {}, "": {}} {
		if uid, version := eventVersion(id); uid != want[0] || version != want[1] {
			t.Errorf("%s: %q %q", id, uid, version)
		}
	}
}

// Records of one object are one resource's, in their order.
func TestOTLPGroupsByObject(t *testing.T) {
	batch := records(4)
	batch[2].Object, batch[3].Object = batch[0].Object, batch[1].Object
	logs := otlpTranslation{}.logs(batch, time.Now())
	if logs.ResourceLogs().Len() != 2 {
		t.Errorf("%d resources", logs.ResourceLogs().Len())
	}
	same(t, "ids", idsOfLogs(logs), []string{batch[0].ID, batch[2].ID, batch[1].ID, batch[3].ID})
}

// A record that no receiver would take with its whole message is cut; one that is too large without it is refused.
func TestOTLPTooLarge(t *testing.T) {
	c := newCollector(t, "", "")
	bothProtocols(t, func(t *testing.T, protocol string) {
		c.Reset()
		o := openOTLP(t, protocol, c.urls[protocol], func(o *OTLPOptions) { o.MaxBatchBytes = 2000 })
		long := records(1)
		long[0].Message = strings.Repeat("m", 5000)
		must(t, o.Send(t.Context(), long))
		eachLog(c.AllLogs()[0], func(_ plog.ResourceLogs, log plog.LogRecord) {
			if body := log.Body().Str(); len(body) < 500 || len(body) > 2000 || !strings.HasSuffix(body, "[truncated from 5000 bytes]") {
				t.Errorf("%d bytes: %.50q", len(body), body)
			}
		})
		long[0].Reason = strings.Repeat("r", 5000)
		if _, refused := errors.AsType[*Refused](o.Send(t.Context(), long)); !refused || c.calls == 0 {
			t.Error("not refused")
		}
	})
}

// What the receiver finds too large is refused, so that the relay finds the record that is.
func TestOTLPReceiverFindsTooLarge(t *testing.T) {
	c := newCollector(t, "", "")
	for protocol, mib := range map[string]int{"grpc": 5, "http": 21} {
		o := openOTLP(t, protocol, c.urls[protocol], func(o *OTLPOptions) { o.MaxBatchBytes = 16 << 20 })
		batch := records(mib)
		for _, r := range batch {
			r.Message = strings.Repeat("m", 1<<20)
		}
		err := o.Send(t.Context(), batch)
		if _, refused := errors.AsType[*Refused](err); !refused {
			t.Errorf("%s: %v", protocol, err)
		}
	}
}

// cutting forwards to addr, and cuts every nth connection's answer in its midst.
func cutting(t *testing.T, addr string, nth int) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	var running sync.WaitGroup
	t.Cleanup(func() { l.Close(); running.Wait() })
	running.Go(func() {
		for i := 1; ; i++ {
			in, err := l.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("tcp", addr)
			if err != nil {
				in.Close()
				continue
			}
			running.Go(func() { io.Copy(out, in); out.Close() })
			running.Go(func() {
				defer in.Close()
				defer out.Close()
				if i%nth == 0 {
					io.CopyN(in, out, int64(100+i*97%1900))
					in.(*net.TCPConn).SetLinger(0)
					return
				}
				// So that there are new connections to cut.
				io.CopyN(in, out, 4000)
			})
		}
	})
	return l.Addr().String()
}

// Ten thousand records through every fault the Collector and what is before it can have: none is lost, none refused.
func TestOTLPFaults(t *testing.T) {
	bothProtocols(t, func(t *testing.T, protocol string) {
		dir, publish := mount(t)
		own, other := newAuthority(t), newAuthority(t)
		certPEM, keyPEM := own.issue(t, "receiver.test", 2, net.IPv4(127, 0, 0, 1))
		publish(map[string]string{"token": "old", "ca": own.pem})
		c := newCollector(t, tempFile(t, certPEM), tempFile(t, keyPEM))
		expired := false
		c.fault = func(ctx context.Context, call int, logs plog.Logs) error {
			bearer := client.FromContext(ctx).Metadata.Get("authorization")
			switch {
			case call > 60 && !slices.Equal(bearer, []string{"Bearer new"}):
				expired = true
				return status.Error(codes.Unauthenticated, "token is expired")
			case call%11 == 1:
				return errors.New("down for now")
			case call%11 == 3:
				return exhausted(t)
			case call%11 == 5: // it arrived, and the answer says it did not
				c.LogsSink.ConsumeLogs(ctx, logs)
				return status.Error(codes.Aborted, "who knows")
			case call%33 == 7:
				<-ctx.Done()
				return ctx.Err()
			case call%11 == 9:
				return status.Error(codes.Internal, "panic")
			}
			return nil
		}
		base, err := url.Parse(c.urls[protocol])
		must(t, err)
		o := openOTLP(t, protocol, "https://"+cutting(t, base.Host, 3), func(o *OTLPOptions) {
			o.BearerTokenFile, o.Timeout = filepath.Join(dir, "token"), Duration(300*time.Millisecond)
			o.MaxBatchRecords, o.TLS.CAFile = 100, filepath.Join(dir, "ca")
		})
		asked, failed, distrusted, token := 0, 0, 0, "old"
		all := records(10_000)
		refused := deliver(t, o, all, func(err error) {
			failed++
			if r, ok := errors.AsType[*RetryAfter](err); ok && r.After > 0 {
				asked++
			}
			ca := own.pem
			if strings.Contains(err.Error(), "x509") {
				distrusted++
			} else if failed%10 == 0 {
				ca = other.pem
			}
			if expired {
				token = "new"
			}
			publish(map[string]string{"token": token, "ca": ca})
			o.expire()
		})
		if len(refused) > 0 || !expired || failed < 30 || asked == 0 || distrusted == 0 {
			t.Errorf("%d refused, expired %v, %d failed, %d asked for time, %d x509", len(refused), expired, failed, asked, distrusted)
		}
		sameIDs(t, c.ids(), ids(all))
	})
}

func exhausted(t *testing.T) error {
	s, err := status.New(codes.ResourceExhausted, "slow down").WithDetails(
		&errdetails.RetryInfo{RetryDelay: durationpb.New(1500 * time.Millisecond)})
	must(t, err)
	return s.Err()
}

// sameIDs compares without regard to order and repeats.
func sameIDs(t *testing.T, got, want []string) {
	t.Helper()
	got, want = distinct(got), distinct(want)
	if !slices.Equal(got, want) {
		t.Errorf("%d ids arrived of %d", len(got), len(want))
	}
}

func distinct(ids []string) []string {
	ids = slices.Clone(ids)
	slices.Sort(ids)
	return slices.Compact(ids)
}

// picky is a receiver by the official types that rejects records for good, and says so by a partial success.
type picky struct {
	plogotlp.UnimplementedGRPCServer
	rejects string // in the message
	warns   string

	mu    sync.Mutex
	taken []string
}

func (p *picky) Export(_ context.Context, request plogotlp.ExportRequest) (plogotlp.ExportResponse, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	answer := plogotlp.NewExportResponse()
	answer.PartialSuccess().SetErrorMessage(p.warns)
	rejected := int64(0)
	eachLog(request.Logs(), func(_ plog.ResourceLogs, log plog.LogRecord) {
		if p.rejects != "" && strings.Contains(log.Body().Str(), p.rejects) {
			rejected++
			return
		}
		id, _ := log.Attributes().Get("log.record.uid")
		p.taken = append(p.taken, id.Str())
	})
	if rejected > 0 {
		answer.PartialSuccess().SetRejectedLogRecords(rejected)
		answer.PartialSuccess().SetErrorMessage("timestamp too old")
	}
	return answer, nil
}

func (p *picky) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := bodyOf(r)
	request := plogotlp.NewExportRequest()
	if err := request.UnmarshalProto(body); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	answer, _ := p.Export(r.Context(), request)
	if r.Header.Get("X-Answer") == "json" {
		w.Header().Set("Content-Type", "application/json")
		data, _ := answer.MarshalJSON()
		w.Write(data)
		return
	}
	w.Header().Set("Content-Type", "application/x-protobuf")
	data, _ := answer.MarshalProto()
	w.Write(data)
}

// serve starts both servers and gives their URLs.
func (p *picky) serve(t testing.TB) map[string]string {
	t.Helper()
	server := grpc.NewServer()
	plogotlp.RegisterGRPCServer(server, p)
	return map[string]string{"grpc": serveGRPC(t, server), "http": serveHTTP(t, p)}
}

func serveGRPC(t testing.TB, server *grpc.Server) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	ended := make(chan struct{})
	go func() { defer close(ended); server.Serve(l) }()
	t.Cleanup(func() { server.Stop(); <-ended })
	return "http://" + l.Addr().String()
}

func serveHTTP(t testing.TB, h http.Handler) string {
	t.Helper()
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	return server.URL
}

func TestOTLPPartialSuccess(t *testing.T) {
	for name, headers := range map[string]map[string]string{"grpc": nil, "http": nil, "http, JSON": {"X-Answer": "json"}} {
		t.Run(name, func(t *testing.T) {
			protocol := name[:4]
			p := &picky{rejects: "poison"}
			o := openOTLP(t, protocol, p.serve(t)[protocol], func(o *OTLPOptions) {
				o.Headers, o.MaxBatchRecords = headers, 100
			})
			all := records(1000)
			all[3].Message, all[777].Message = "poison", "more poison"
			err := o.Send(t.Context(), all[:10])
			if err == nil || !strings.Contains(err.Error(), "rejected 1 of 10 log records: timestamp too old") {
				t.Errorf("error %v", err)
			}
			refused := deliver(t, o, all, func(err error) { t.Error(err) })
			sameIDs(t, refused, []string{all[3].ID, all[777].ID})
			if taken := distinct(p.taken); len(taken) != 998 || slices.Contains(taken, all[3].ID) {
				t.Errorf("%d taken", len(taken))
			}
		})
	}
}

// A receiver that takes all and has something to say is heard once.
func TestOTLPWarning(t *testing.T) {
	var log strings.Builder
	p := &picky{warns: "this API\nends soon"}
	o := newOTLPOptions()
	o.URL = p.serve(t)["grpc"]
	s, err := o.Open(Environment{Log: slog.New(slog.NewTextHandler(&log, nil))})
	must(t, err)
	defer closed(t, s)
	for range 3 {
		must(t, s.Send(t.Context(), records(1)))
	}
	if strings.Count(log.String(), "this API ends soon") != 1 {
		t.Errorf("log %q", log.String())
	}
}

func sameMap(t *testing.T, what string, got, want map[string]any) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%s: %v, want %v", what, got, want)
	}
}

// holding calls arrived once, and answers no more.
func holding(arrived func()) func(context.Context, int, plog.Logs) error {
	return func(ctx context.Context, _ int, _ plog.Logs) error {
		arrived()
		<-ctx.Done()
		return ctx.Err()
	}
}
