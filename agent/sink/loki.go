package sink

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/eventbaton/baton/agent/record"
)

const (
	// Loki's limits_config, by its documentation: max_line_size 256 KB, max_label_value_length 2,048 bytes, 15 labels
	// (max_label_names_per_series), structured metadata of 64 KB in 128 entries a line.
	lokiMaxLine   = 256 << 10
	lokiMaxValue  = 2048
	lokiMaxLabels = 15
	// A request of more than 4 MB doesn't pass from Loki's distributor to its ingesters
	// (server.grpc_server_max_recv_msg_size), and with its metadata a record is larger there than it is here.
	lokiMaxBatch = 2 << 20
)

// LokiOptions are those of the type loki.
type LokiOptions struct {
	HTTPOptions `yaml:",inline" doc:"Where and how to send."`

	Tenant             string            `yaml:"tenant" doc:"Tenant, sent as X-Scope-OrgID. Grafana Cloud takes it from basic_auth instead."`
	Labels             []string          `yaml:"labels" doc:"What of a record becomes a label of its stream: cluster, namespace, type, kind, component or reason. Few of few values: each combination is a stream."`
	StaticLabels       map[string]string `yaml:"static_labels" doc:"Labels of every stream, by their names. There has to be one."`
	StructuredMetadata bool              `yaml:"structured_metadata" doc:"Send the rest of the record as structured metadata, which Loki has from 3.0 on, or 2.9 with allow_structured_metadata. Without, line has to be json."`
	Line               string            `yaml:"line" doc:"text: the message, and the record's id; json: the record without leader, countDelta and enrichment, in which a repeat may differ."`
	MaxLineBytes       int               `yaml:"max_line_bytes" doc:"How many bytes a line may have, as Loki's max_line_size. A longer message is cut, with a mark."`
}

func newLokiOptions() *LokiOptions {
	o := &LokiOptions{
		HTTPOptions: newHTTPOptions(), Labels: []string{"cluster", "namespace", "type"},
		StaticLabels: map[string]string{"job": "baton"}, StructuredMetadata: true, Line: "text", MaxLineBytes: lokiMaxLine,
	}
	o.Gzip, o.MaxBatchRecords = true, 1000
	return o
}

// lokiLabels are what may be a label: all else has too many values.
var lokiLabels = map[string]func(*record.Record) string{
	"cluster":   func(r *record.Record) string { return cmp.Or(r.ClusterName, r.Cluster) },
	"namespace": func(r *record.Record) string { return r.Namespace },
	"type":      func(r *record.Record) string { return r.Type },
	"kind":      func(r *record.Record) string { return r.Object.Kind },
	"component": func(r *record.Record) string { return r.Source.Component },
	"reason":    func(r *record.Record) string { return r.Reason },
}

// Check returns all that is wrong with the values.
func (o *LokiOptions) Check() []Problem {
	p := slices.Concat(o.check("X-Scope-Orgid"), o.checkLabels())
	if !validHeaderValue(o.Tenant) {
		p = append(p, Problem{"tenant", "has characters in it that a header can't carry"})
	}
	switch {
	case o.Line != "text" && o.Line != "json":
		p = append(p, Problem{"line", "is neither text nor json"})
	case o.Line == "text" && !o.StructuredMetadata:
		p = append(p, Problem{"line", "has to be json without structured_metadata: else most of each record would not be sent"})
	}
	if o.MaxLineBytes < 1024 || o.MaxLineBytes > lokiMaxBatch {
		p = append(p, Problem{"max_line_bytes", "must be from 1024 to 2097152"})
	}
	if o.MaxBatchBytes > lokiMaxBatch {
		p = append(p, Problem{"max_batch_bytes", "must be at most 2097152: Loki's parts pass no larger request among themselves"})
	}
	return p
}

func (o *LokiOptions) checkLabels() []Problem {
	var p []Problem
	seen := map[string]bool{}
	for i, name := range o.Labels {
		key := fmt.Sprintf("labels[%d]", i)
		switch {
		case lokiLabels[name] == nil:
			p = append(p, Problem{key, "is none of " + strings.Join(slices.Sorted(maps.Keys(lokiLabels)), ", ")})
		case seen[name]:
			p = append(p, Problem{key, "stands twice"})
		}
		seen[name] = true
	}
	for _, name := range slices.Sorted(maps.Keys(o.StaticLabels)) {
		key, value := "static_labels."+name, o.StaticLabels[name]
		switch {
		case !validLabel(name):
			p = append(p, Problem{key, "is not the name of a label: letters, digits and _, no digit first, no __ first"})
		case seen[name]:
			p = append(p, Problem{key, "is one of labels as well"})
		case value == "" || len(value) > lokiMaxValue:
			p = append(p, Problem{key, "must have from 1 to 2048 bytes"})
		}
	}
	switch {
	case len(o.StaticLabels) == 0:
		p = append(p, Problem{"static_labels", "is empty: Loki refuses a stream without any label; write job: baton"})
	case len(o.StaticLabels)+len(o.Labels) > lokiMaxLabels:
		p = append(p, Problem{"static_labels", "are, with labels, more than the 15 that Loki takes"})
	}
	return p
}

// validLabel tells what Loki's documentation allows as a name.
func validLabel(s string) bool {
	return s != "" && !strings.HasPrefix(s, "__") && (s[0] < '0' || s[0] > '9') && !strings.ContainsFunc(s, func(r rune) bool {
		return r != '_' && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9')
	})
}

// Open makes the sink of options that Check finds nothing wrong with.
func (o *LokiOptions) Open(env Environment) (Sink, error) {
	sender, err := o.open(env)
	if err != nil {
		return nil, err
	}
	static := jsonObject{dst: []byte{'{'}}
	for _, name := range slices.Sorted(maps.Keys(o.StaticLabels)) {
		static.text(name, o.StaticLabels[name])
	}
	return &loki{httpSender: sender, options: *o, static: static.dst}, nil
}

// loki sends each batch as one push request. A line has the event's time and nothing that differs from one delivery of a
// record to the next, so that Loki drops a repeat: to it lines of one stream, time and text are the same. The text has the
// record's id, or else it would drop what happened to two pods in the same second.
type loki struct {
	*httpSender
	options LokiOptions
	static  []byte // of the labels' object, without its end
}

// Send is done once Loki has answered 204.
func (l *loki) Send(ctx context.Context, batch []*record.Record) error {
	c, err := l.push()
	if err != nil {
		return err
	}
	body, err := l.appendPush(make([]byte, 0, 2*sizeOf(batch)), batch)
	if err != nil {
		return err
	}
	c.judge = call.lokiOutcome
	return l.deliver(ctx, c, body)
}

// push makes the request but for its body.
func (l *loki) push() (call, error) {
	c, err := l.ready(request{path: "loki/api/v1/push", contentType: "application/json"})
	if err == nil && l.options.Tenant != "" {
		c.request.Header.Set("X-Scope-OrgID", l.options.Tenant)
	}
	return c, err
}

// lokiNoStream is what Loki says of a request with nothing in it, in its own protocol and in OTLP.
var lokiNoStream = []byte("at least one valid stream")

// Probe pushes no stream, which a Loki that lets one in either takes or says to miss.
func (l *loki) Probe(ctx context.Context) error {
	c, err := l.push()
	if err != nil {
		return err
	}
	c.judge = func(c call, resp *http.Response, body []byte) error {
		if (resp.StatusCode == http.StatusBadRequest || resp.StatusCode == http.StatusUnprocessableEntity) &&
			bytes.Contains(body, lokiNoStream) {
			return nil
		}
		return c.lokiOutcome(resp, body)
	}
	return l.deliver(ctx, c, []byte(`{"streams":[]}`))
}

// notOfTheLine are pieces of what Loki says with a 400 that every line would get: its configuration or ours is to be mended.
var notOfTheLine = []string{"allow_structured_metadata", "missing required labels", "ingestion blocked"}

// lokiOutcome judges an answer. Of a request with a line that Loki doesn't take, too old or too far behind the newest of
// its stream, it keeps the others and answers 400: the relay finds it by sending the others again, which are repeats then.
// A 2xx that isn't one of Loki's or a proxy's, such as the 260 of a tenant that is blocked, acknowledges nothing.
func (c call) lokiOutcome(resp *http.Response, body []byte) error {
	switch code := resp.StatusCode; {
	case code == http.StatusOK || code == http.StatusAccepted || code == http.StatusNoContent:
		return nil
	case code/100 == 2:
		return c.answered(resp, body)
	}
	err := c.outcome(resp, body, time.Now())
	if refused, ok := errors.AsType[*Refused](err); ok &&
		slices.ContainsFunc(notOfTheLine, func(s string) bool { return strings.Contains(string(body), s) }) {
		return refused.Err
	}
	return err
}

// lokiStream is the lines of one set of labels.
type lokiStream struct {
	labels  string // a JSON object
	records []*record.Record
}

// streams sorts the batch by labels, in the order in which these first come, and each stream by time: a line that is older
// than the newest of its stream by too much is refused, so the oldest go first.
func (l *loki) streams(batch []*record.Record) []*lokiStream {
	var all []*lokiStream
	byLabels := map[string]*lokiStream{}
	var labels []byte
	for _, r := range batch {
		labels = l.appendLabels(labels[:0], r)
		s := byLabels[string(labels)]
		if s == nil {
			s = &lokiStream{labels: string(labels)}
			byLabels[s.labels] = s
			all = append(all, s)
		}
		s.records = append(s.records, r)
	}
	for _, s := range all {
		slices.SortStableFunc(s.records, func(a, b *record.Record) int { return a.Time.Compare(b.Time) })
	}
	return all
}

func (l *loki) appendLabels(dst []byte, r *record.Record) []byte {
	o := jsonObject{dst: append(dst, l.static...)}
	for _, name := range l.options.Labels {
		o.optional(name, cutValue(lokiLabels[name](r)))
	}
	return o.close()
}

func (l *loki) appendPush(dst []byte, batch []*record.Record) ([]byte, error) {
	dst = append(dst, `{"streams":[`...)
	for i, s := range l.streams(batch) {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, `{"stream":`...)
		dst = append(append(dst, s.labels...), `,"values":[`...)
		for j, r := range s.records {
			if j > 0 {
				dst = append(dst, ',')
			}
			var err error
			if dst, err = l.appendEntry(dst, r); err != nil {
				return nil, err
			}
		}
		dst = append(dst, "]}"...)
	}
	return append(dst, "]}"...), nil
}

// appendEntry appends a time, a line and the metadata.
func (l *loki) appendEntry(dst []byte, r *record.Record) ([]byte, error) {
	line, err := appendFitting(nil, r, l.options.MaxLineBytes, l.appendLine)
	if err != nil {
		return nil, err
	}
	dst = append(dst, `["`...)
	dst = strconv.AppendInt(dst, nanoseconds(r.Time), 10)
	dst = append(dst, `",`...)
	dst = appendJSONText(dst, string(line))
	if l.options.StructuredMetadata {
		dst = l.appendMetadata(append(dst, ','), r)
	}
	return append(dst, ']'), nil
}

// nanoseconds is the Unix time. What doesn't fit, which no event of this age has, is Unix time 0: Loki refuses that as too
// old, and so the record is told of.
func nanoseconds(t time.Time) int64 {
	if y := t.Year(); y < 1970 || y > 2261 {
		return 0
	}
	return t.UnixNano()
}

func (l *loki) appendLine(dst []byte, r *record.Record) []byte {
	if l.options.Line == "json" {
		stable := *r
		stable.Leader, stable.CountDelta, stable.Enrichment = record.Leader{}, nil, nil
		dst = stable.AppendJSON(dst)
		if bytes.HasSuffix(dst, []byte(noLeader)) {
			dst = append(dst[:len(dst)-len(noLeader)], '}')
		}
		return dst
	}
	dst = append(dst, r.Message...)
	dst = append(dst, " id="...)
	return append(dst, r.ID...)
}

// noLeader is how the JSON of a record without a leader ends.
const noLeader = `,"leader":{"identity":"","epoch":0}}`

// appendMetadata appends what is neither in the labels nor in the message. The names are the record's, as Loki takes them.
func (l *loki) appendMetadata(dst []byte, r *record.Record) []byte {
	o := jsonObject{dst: append(dst, '{')}
	o.text("id", cutValue(r.ID))
	for _, name := range []string{"cluster", "namespace", "type", "kind", "component", "reason"} {
		if !slices.Contains(l.options.Labels, name) {
			o.optional(name, cutValue(lokiLabels[name](r)))
		}
	}
	o.text("cluster_id", cutValue(r.Cluster))
	o.optional("tags", cutValue(strings.Join(r.Tags, ",")))
	o.optional("action", cutValue(r.Action))
	o.optional("event_name", cutValue(r.Name))
	o.reference("object", &r.Object)
	if r.Related != nil {
		o.reference("related", r.Related)
	}
	o.optional("source_instance", cutValue(r.Source.Instance))
	o.optional("source_host", cutValue(r.Source.Host))
	o.text("count", strconv.FormatInt(r.Count, 10))
	o.text("first", r.First.Format(time.RFC3339Nano))
	o.text("last", r.Last.Format(time.RFC3339Nano))
	lokiEnrichment(&o, r.Enrichment)
	return o.close()
}

// cutValue bounds a label's value, or an entry of the metadata: fifteen and some thirty of these have their limits together.
func cutValue(s string) string { return cutText(s, lokiMaxValue) }

// cutText gives at most n bytes of s, and with "..." at the end where that is not all.
func cutText(s string, n int) string {
	if len(s) <= n {
		return s
	}
	const mark = "..."
	return strings.ToValidUTF8(s[:n-len(mark)], "") + mark
}

// jsonObject is a JSON object of texts that is being written.
type jsonObject struct{ dst []byte }

func (o *jsonObject) close() []byte { return append(o.dst, '}') }

func (o *jsonObject) text(name, s string) {
	if o.dst[len(o.dst)-1] != '{' {
		o.dst = append(o.dst, ',')
	}
	o.dst = appendJSONText(append(appendJSONText(o.dst, name), ':'), s)
}

func (o *jsonObject) optional(name, s string) {
	if s != "" {
		o.text(name, s)
	}
}

func (o *jsonObject) reference(prefix string, r *record.Object) {
	o.optional(prefix+"_api_version", cutValue(r.APIVersion))
	o.optional(prefix+"_kind", cutValue(r.Kind))
	o.optional(prefix+"_namespace", cutValue(r.Namespace))
	o.optional(prefix+"_name", cutValue(r.Name))
	o.optional(prefix+"_uid", cutValue(r.UID))
	o.optional(prefix+"_field_path", cutValue(r.FieldPath))
}
