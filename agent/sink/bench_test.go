package sink

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/eventbaton/baton/agent/record"
)

// benchRecords is how many records each sink gets at a time. They go in batches as large as it takes.
const benchRecords = 1000

// benchCase is a sink that is measured, twice: what it costs to encode the records alone, and to send them.
type benchCase struct {
	name string
	// open gives the options, and what they need of receivers.
	open func(b testing.TB) Options
	// encode does what Send does until the bytes are there; nil for a sink that has none.
	encode func(s Sink, batch []*record.Record) error
	// again readies the sink for the same records once more; nil where it needs nothing.
	again func(s Sink)
}

// BenchmarkSinks has all sinks, with the same records and metrics. With -cpu 1 the receiver shares the one core, and is one
// that reads, counts nothing and acknowledges.
func BenchmarkSinks(b *testing.B) {
	for _, c := range benchCases {
		b.Run(c.name, func(b *testing.B) {
			encode, send := c.prepare(b)
			if c.encode != nil {
				b.Run("encode", func(b *testing.B) { measure(b, encode) })
			}
			b.Run("send", func(b *testing.B) { measure(b, send) })
		})
	}
}

// Each type of sink is measured, and what is measured works.
func TestBenchmarks(t *testing.T) {
	measured := map[string]bool{}
	for _, c := range benchCases {
		measured[c.name] = true
		t.Run(c.name, func(t *testing.T) {
			encode, send := c.prepare(t)
			encode()
			send()
		})
	}
	for kind := range Types {
		if !measured[kind] {
			t.Errorf("%s is not among the benchmarks", kind)
		}
	}
}

// prepare opens the sink, which is closed when b is over, and gives what encodes and what sends all records.
func (c benchCase) prepare(b testing.TB) (encode, send func()) {
	s, err := c.open(b).Open(Environment{})
	must(b, err)
	b.Cleanup(func() { closed(b, s) })
	if slack, ok := s.(*slack); ok {
		slack.opts.Interval = 0 // which isn't what is measured
	}
	batches := cutToLimits(fresh(benchRecords), s.Limits())
	encode = func() {
		for _, batch := range batches {
			if c.encode != nil {
				must(b, c.encode(s, batch))
			}
		}
	}
	send = func() {
		if c.again != nil {
			c.again(s)
		}
		for _, batch := range batches {
			must(b, s.Send(b.Context(), batch))
		}
	}
	return encode, send
}

// measure reports what each record costs. Processor time tells more than records a second where the machine is shared, and
// less where a disk is waited for.
func measure(b *testing.B, do func()) {
	do() // connects
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	used := processorTime(b)
	for b.Loop() {
		do()
	}
	used = processorTime(b) - used
	runtime.ReadMemStats(&after)
	n := float64(b.N) * benchRecords
	b.ReportMetric(n/b.Elapsed().Seconds(), "records/s")
	b.ReportMetric(float64(used.Nanoseconds())/n, "cpu-ns/record")
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/n, "ns/record")
	b.ReportMetric(float64(after.TotalAlloc-before.TotalAlloc)/n, "B/record")
	b.ReportMetric(float64(after.Mallocs-before.Mallocs)/n, "allocs/record")
	b.ReportMetric(0, "ns/op") // is of a thousand records
}

// processorTime is what this process has used of it.
func processorTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	must(b, syscall.Getrusage(syscall.RUSAGE_SELF, &u))
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// cutToLimits makes batches as the relay does, each as large as may be.
func cutToLimits(all []*record.Record, l Limits) [][]*record.Record {
	var batches [][]*record.Record
	start, size := 0, 0
	for i, r := range all {
		if i > start && (i-start == l.Records || size+r.Size() > l.Bytes) {
			batches = append(batches, all[start:i])
			start, size = i, 0
		}
		size += r.Size()
	}
	return append(batches, all[start:])
}

func TestCutToLimits(t *testing.T) {
	all := records(5)
	for limits, want := range map[Limits]string{
		{Records: 5, Bytes: 1 << 20}: "5", {Records: 2, Bytes: 1 << 20}: "2 2 1", {Records: 5, Bytes: 1}: "1 1 1 1 1",
		{Records: 5, Bytes: 3 * all[0].Size()}: "3 2",
	} {
		var sizes []string
		for _, batch := range cutToLimits(all, limits) {
			sizes = append(sizes, fmt.Sprint(len(batch)))
		}
		if got := strings.Join(sizes, " "); got != want {
			t.Errorf("%+v: batches of %s, want %s", limits, got, want)
		}
	}
}

// benchCases are each type with its defaults, and those of its options that cost or gain much.
var benchCases = []benchCase{
	{name: "stdout", open: func(b testing.TB) Options { return pipeOptions{pipeToNobody(b)} }, encode: encodeLines},
	{name: "file", open: fileAt("always"), encode: encodeLines},
	{name: "file-no-fsync", open: fileAt("never"), encode: encodeLines},
	{name: "webhook", open: func(b testing.TB) Options { return webhookTo(b, false) }, encode: encodeWebhook},
	{name: "webhook-gzip", open: func(b testing.TB) Options { return webhookTo(b, true) }, encode: encodeWebhook},
	{name: "cloudevents", open: cloudEventsIn("structured"), encode: encodeCloudEvents},
	{name: "cloudevents-batched", open: cloudEventsIn("batched"), encode: encodeCloudEvents},
	{name: "datadog", open: datadogIn(datadogEvents), encode: encodeDatadog},
	{name: "datadog-logs", open: datadogIn(datadogLogs), encode: encodeDatadog},
	{name: "elasticsearch", open: elasticsearchTo, encode: encodeElasticsearch},
	{name: "loki", open: lokiTo, encode: encodeLoki},
	{name: "otlp", open: otlpBy(otlpGRPC), encode: encodeOTLP},
	{name: "otlp-http", open: otlpBy(otlpHTTP), encode: encodeOTLP},
	{name: "kafka", open: kafkaTo, encode: encodeKafka},
	{name: "slack", open: slackIn(formatSlack), encode: encodeSlack},
	{name: "slack-teams", open: slackIn(formatTeams), encode: encodeSlack},
	{name: "metrics", open: func(testing.TB) Options { return newMetricsOptions() }, again: func(s Sink) { s.(*metricsSink).counted = memory{} }},
}

// pipeOptions are a stdout that is a pipe, as it is in a pod.
type pipeOptions struct{ *os.File }

func (pipeOptions) Check() []Problem { return nil }
func (p pipeOptions) Open(env Environment) (Sink, error) {
	env.Stdout = p.File
	return (&StdoutOptions{}).Open(env)
}

func pipeToNobody(b testing.TB) *os.File {
	r, w, err := os.Pipe()
	must(b, err)
	read := make(chan struct{})
	go func() {
		defer close(read)
		buf := make([]byte, 64<<10)
		for {
			if _, err := r.Read(buf); err != nil {
				return
			}
		}
	}()
	b.Cleanup(func() {
		w.Close()
		<-read
		r.Close()
	})
	return w
}

func encodeLines(_ Sink, batch []*record.Record) error {
	appendLines(make([]byte, 0, sizeOf(batch)), batch)
	return nil
}

func fileAt(fsync string) func(testing.TB) Options {
	return func(b testing.TB) Options {
		o := newFileOptions()
		o.Path, o.Fsync, o.MaxFileBytes, o.MaxFiles = filepath.Join(b.TempDir(), "events.log"), fsync, 10<<20, 2
		return o
	}
}

func webhookTo(b testing.TB, compress bool) Options {
	o := newWebhookOptions()
	o.URL, o.Gzip = "http://"+sayingAlways(b, "204 No Content", ""), compress
	return o
}

func encodeWebhook(s Sink, batch []*record.Record) error {
	_, err := s.(*webhook).encode(batch)
	return err
}

func cloudEventsIn(mode string) func(testing.TB) Options {
	return func(b testing.TB) Options {
		o := newCloudEventsOptions()
		o.URL, o.Mode = "http://"+sayingAlways(b, "202 Accepted", ""), mode
		return o
	}
}

func encodeCloudEvents(s Sink, batch []*record.Record) error {
	c, n := s.(*cloudEvents), len(batch)
	if c.options.Mode != "batched" {
		n = 1
	}
	for request := range slices.Chunk(batch, n) {
		if _, err := c.encodeBatch(request); err != nil {
			return err
		}
	}
	return nil
}

func datadogIn(mode string) func(testing.TB) Options {
	return func(b testing.TB) Options {
		o := newDatadogOptions()
		o.APIKeyFile, o.Mode = filepath.Join(b.TempDir(), "key"), mode
		o.URL = "http://" + sayingAlways(b, "202 Accepted", `{"status":"ok"}`)
		must(b, os.WriteFile(o.APIKeyFile, []byte("key"), 0o600))
		return o
	}
}

func encodeDatadog(s Sink, batch []*record.Record) error {
	d := s.(*datadog)
	if d.opts.Mode == datadogLogs {
		_, err := d.encodeLogs(batch)
		return err
	}
	for _, r := range batch {
		if _, err := d.encodeEvent(r); err != nil {
			return err
		}
	}
	return nil
}

func elasticsearchTo(b testing.TB) Options {
	o := newElasticsearchOptions()
	items := strings.Repeat(`{"create":{"status":201}},`, benchRecords)
	o.URL = "http://" + sayingAlways(b, "200 OK", `{"errors":false,"items":[`+strings.TrimSuffix(items, ",")+`]}`)
	return o
}

func encodeElasticsearch(s Sink, batch []*record.Record) error {
	e := s.(*elasticsearch)
	body, err := e.appendBulk(make([]byte, 0, 2*sizeOf(batch)), batch)
	if err == nil {
		_, err = e.compressed(body)
	}
	return err
}

func lokiTo(b testing.TB) Options {
	o := newLokiOptions()
	o.URL = "http://" + sayingAlways(b, "204 No Content", "")
	return o
}

func encodeLoki(s Sink, batch []*record.Record) error {
	l := s.(*loki)
	body, err := l.appendPush(make([]byte, 0, 2*sizeOf(batch)), batch)
	if err == nil {
		_, err = l.compressed(body)
	}
	return err
}

func otlpBy(protocol string) func(testing.TB) Options {
	return func(b testing.TB) Options {
		o := newOTLPOptions()
		if o.Protocol = protocol; protocol == otlpGRPC {
			o.URL = "http://" + serve(b, answerGRPC)
		} else {
			o.URL = "http://" + sayingAlways(b, "200 OK", "")
		}
		return o
	}
}

func encodeOTLP(s Sink, batch []*record.Record) error {
	o := s.(*otlp)
	message, err := o.encode(batch)
	if err == nil {
		_, err = o.compressed(message)
	}
	return err
}

func kafkaTo(b testing.TB) Options {
	o := newKafkaOptions()
	o.Brokers, o.Topic = newKafka(b, kfake.BlackholeProduce()).ListenAddrs(), "events"
	return o
}

func encodeKafka(s Sink, batch []*record.Record) error {
	_, err := s.(*kafka).messages(batch, time.Now())
	return err
}

func slackIn(format string) func(testing.TB) Options {
	return func(b testing.TB) Options {
		o := newSlackOptions()
		o.URLFile, o.Format = filepath.Join(b.TempDir(), "url"), format
		must(b, os.WriteFile(o.URLFile, []byte("http://"+sayingAlways(b, "200 OK", "")), 0o600))
		return o
	}
}

func encodeSlack(s Sink, batch []*record.Record) error {
	_, err := s.(*slack).encode(batch)
	return err
}

// serve runs a receiver on loopback that speaks as the function does, and gives its address.
func serve(b testing.TB, speak func(*bufio.Reader, net.Conn) error) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(b, err)
	var running sync.WaitGroup
	running.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			running.Go(func() {
				defer conn.Close()
				speak(bufio.NewReaderSize(conn, 64<<10), conn) // ends when the sink is closed
			})
		}
	})
	b.Cleanup(func() {
		l.Close()
		running.Wait()
	})
	return l.Addr().String()
}

// sayingAlways is a server of HTTP/1.1 that gives every request the same answer.
func sayingAlways(b testing.TB, status, body string) string {
	answer := "HTTP/1.1 " + status + "\r\n"
	if status[:3] != "204" {
		answer += fmt.Sprintf("Content-Length: %d\r\n", len(body))
	}
	answer += "\r\n" + body
	return serve(b, func(r *bufio.Reader, conn net.Conn) error {
		for {
			if err := skipRequest(r); err != nil {
				return err
			}
			if _, err := io.WriteString(conn, answer); err != nil {
				return err
			}
		}
	})
}

var contentLength = []byte("Content-Length: ")

// skipRequest reads a request that says how long its body is.
func skipRequest(r *bufio.Reader) error {
	length := 0
	for {
		line, err := r.ReadSlice('\n')
		if err != nil {
			return err
		}
		if len(line) == 2 { // the empty one
			_, err := r.Discard(length)
			return err
		}
		if digits, ok := bytes.CutPrefix(line, contentLength); ok {
			length = 0
			for _, digit := range bytes.TrimSpace(digits) {
				length = 10*length + int(digit-'0')
			}
		}
	}
}

// The types and flags of HTTP/2's frames (RFC 9113, 6) that answerGRPC knows.
const (
	h2Data, h2Headers, h2Settings, h2Ping, h2WindowUpdate = 0, 1, 4, 6, 8
	h2EndStream, h2Ack, h2EndHeaders                      = 1, 1, 4
	h2FrameHeader                                         = 9
	h2Window                                              = 1<<31 - 1
)

// answerGRPC is a server of gRPC that answers OK to every call with an empty message. It understands no header: whichever
// call it is, its data ends with a flag.
func answerGRPC(r *bufio.Reader, conn net.Conn) error {
	const preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
	if _, err := r.Discard(len(preface)); err != nil {
		return err
	}
	settings := binary.BigEndian.AppendUint32([]byte{0, 4}, h2Window) // SETTINGS_INITIAL_WINDOW_SIZE
	out := appendFrame(nil, h2Settings, 0, 0, settings)
	unread := h2Window - 1<<16
	for {
		if unread > 0 && unread > h2Window/2 {
			out = appendFrame(out, h2WindowUpdate, 0, 0, binary.BigEndian.AppendUint32(nil, uint32(unread)))
			unread = 0
		}
		if _, err := conn.Write(out); err != nil {
			return err
		}
		out = out[:0]
		for len(out) == 0 {
			head, err := r.Peek(h2FrameHeader)
			if err != nil {
				return err
			}
			size := int(head[0])<<16 | int(head[1])<<8 | int(head[2])
			kind, flags, stream := head[3], head[4], binary.BigEndian.Uint32(head[5:])
			r.Discard(h2FrameHeader)
			var ping [8]byte
			if kind == h2Ping {
				read, _ := io.ReadFull(r, ping[:])
				size -= read
			}
			if _, err := r.Discard(size); err != nil {
				return err
			}
			switch {
			case kind == h2Data && flags&h2EndStream != 0:
				out = appendOK(out, stream)
			case kind == h2Settings && flags&h2Ack == 0:
				out = appendFrame(out, h2Settings, h2Ack, 0, nil)
			case kind == h2Ping && flags&h2Ack == 0:
				out = appendFrame(out, h2Ping, h2Ack, 0, ping[:])
			}
			if kind == h2Data {
				unread += size
			}
		}
	}
}

// appendOK appends :status 200 and content-type (of HPACK's static table 8 and 31), a message of no bytes, and the trailer.
func appendOK(dst []byte, stream uint32) []byte {
	dst = appendFrame(dst, h2Headers, h2EndHeaders, stream, []byte("\x88\x0f\x10\x10application/grpc"))
	dst = appendFrame(dst, h2Data, 0, stream, make([]byte, grpcHeader))
	return appendFrame(dst, h2Headers, h2EndHeaders|h2EndStream, stream, []byte("\x00\x0bgrpc-status\x010"))
}

func appendFrame(dst []byte, kind, flags byte, stream uint32, payload []byte) []byte {
	n := len(payload)
	dst = append(dst, byte(n>>16), byte(n>>8), byte(n), kind, flags)
	return append(binary.BigEndian.AppendUint32(dst, stream), payload...)
}
