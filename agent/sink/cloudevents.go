package sink

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/eventbaton/baton/agent/record"
)

const (
	// The CloudEvents specification, "Size Limits": what is at most 64 KB is passed on by everyone between.
	cloudEventsMaxEvent = 64 << 10
	// cloudEventsMaxAttribute bounds each attribute: together they have to pass as headers, of which many servers take 8 KB.
	cloudEventsMaxAttribute = 512
)

// CloudEventsOptions are those of the type cloudevents.
type CloudEventsOptions struct {
	HTTPOptions `yaml:",inline" doc:"Where and how to send."`

	Mode          string `yaml:"mode" doc:"structured: a request an event, max_connections at once, attributes and data in one JSON object; binary: the same with the attributes as headers; batched: a JSON array of events, which is faster, for receivers that say they take it."`
	EventType     string `yaml:"event_type" doc:"The attribute type."`
	SourcePrefix  string `yaml:"source_prefix" doc:"What the attribute source begins with, such as https://k8s.example.test; /clusters/ and the cluster's id follow."`
	MaxEventBytes int    `yaml:"max_event_bytes" doc:"How many bytes an event may have. A longer message is cut, with a mark."`
}

func newCloudEventsOptions() *CloudEventsOptions {
	return &CloudEventsOptions{
		HTTPOptions: newHTTPOptions(), Mode: "structured",
		EventType: "com.github.eventbaton.kubernetes.event.v1", MaxEventBytes: cloudEventsMaxEvent,
	}
}

// Check returns all that is wrong with the values.
func (o *CloudEventsOptions) Check() []Problem {
	p := o.check(cloudEventHeaders()...)
	if o.Mode != "structured" && o.Mode != "binary" && o.Mode != "batched" {
		p = append(p, Problem{"mode", "is none of structured, binary and batched"})
	}
	if o.EventType == "" || attribute(o.EventType) != o.EventType {
		p = append(p, Problem{"event_type", "must be text of 1 to 512 bytes, such as com.example.kubernetes.event"})
	}
	if u, err := url.Parse(o.SourcePrefix); err != nil || u.User != nil || u.RawQuery != "" || u.Fragment != "" ||
		attribute(o.SourcePrefix) != o.SourcePrefix || strings.ContainsFunc(o.SourcePrefix, unicode.IsSpace) {
		p = append(p, Problem{"source_prefix", "is not a URI, or the beginning of one: write it as https://host or urn:name"})
	}
	if o.MaxEventBytes < 4096 || o.MaxEventBytes > webhookMaxBatchBytes {
		p = append(p, Problem{"max_event_bytes", "must be from 4096 to 16777216"})
	}
	return p
}

// cloudEventHeaders are those of the binary mode.
func cloudEventHeaders() []string {
	var names []string
	for _, a := range (&cloudEvents{}).attributes(&record.Record{}) {
		names = append(names, headerOf(a.name))
	}
	return names
}

// Open makes the sink of options that Check finds nothing wrong with.
func (o *CloudEventsOptions) Open(env Environment) (Sink, error) {
	sender, err := o.open(env)
	if err != nil {
		return nil, err
	}
	return &cloudEvents{httpSender: sender, options: *o, events: newSingly(o.MaxConnections)}, nil
}

// cloudEvents sends records by CloudEvents' HTTP protocol binding, version 1.0. The record's id is the event's, and its
// source names the cluster, so that a receiver knows a repeat by the two, as the specification has it.
type cloudEvents struct {
	*httpSender
	options CloudEventsOptions
	events  *singly // but in the mode batched
}

// Limits says fewer records but in the mode batched.
func (c *cloudEvents) Limits() Limits {
	l := c.httpSender.Limits()
	if c.options.Mode != "batched" {
		l.Records = min(l.Records, singlyBatch)
	}
	return l
}

// Send makes one request of the batch, or one of each record, by the mode.
func (c *cloudEvents) Send(ctx context.Context, batch []*record.Record) error {
	if c.options.Mode == "batched" {
		return c.post(ctx, batch)
	}
	return c.events.send(ctx, batch, func(ctx context.Context, r *record.Record) error {
		return c.post(ctx, []*record.Record{r})
	})
}

// post makes one request, of one record but in the mode batched.
func (c *cloudEvents) post(ctx context.Context, batch []*record.Record) error {
	r := request{contentType: map[string]string{
		"structured": "application/cloudevents+json; charset=utf-8",
		"batched":    "application/cloudevents-batch+json; charset=utf-8",
		"binary":     "application/json",
	}[c.options.Mode]}
	call, err := c.ready(r)
	if err != nil {
		return err
	}
	body, err := c.encodeBatch(batch)
	if err != nil {
		return err
	}
	if c.options.Mode == "binary" {
		for _, a := range c.attributes(batch[0]) {
			if a.value != "" {
				call.request.Header.Set(headerOf(a.name), headerText(a.value))
			}
		}
	}
	return c.deliver(ctx, call, body)
}

// Probe asks with OPTIONS, as CloudEvents' "HTTP 1.1 Web Hooks" has it. A receiver that doesn't know that method is there as
// well.
func (c *cloudEvents) Probe(ctx context.Context) error {
	call, err := c.ready(request{contentType: "application/json"})
	if err != nil {
		return err
	}
	call.request.Method = http.MethodOptions
	call.request.Header.Del("Content-Encoding")
	call.judge = answeredOptions
	return c.client.do(ctx, call)
}

// LeavesOpen says what OPTIONS can't tell.
func (*CloudEventsOptions) LeavesOpen() string { return newWebhookOptions().LeavesOpen() }

func answeredOptions(c call, resp *http.Response, body []byte) error {
	if resp.StatusCode == http.StatusMethodNotAllowed || resp.StatusCode == http.StatusNotImplemented {
		return nil
	}
	return c.outcome(resp, body, time.Now())
}

// encodeBatch gives the body.
func (c *cloudEvents) encodeBatch(batch []*record.Record) ([]byte, error) {
	body := make([]byte, 0, 2*sizeOf(batch))
	switch c.options.Mode {
	case "binary":
		return appendFitting(body, batch[0], c.options.MaxEventBytes, appendRecord)
	case "structured":
		return appendFitting(body, batch[0], c.options.MaxEventBytes, c.appendEvent)
	}
	body = append(body, '[')
	for i, r := range batch {
		if i > 0 {
			body = append(body, ',', '\n')
		}
		var err error
		if body, err = appendFitting(body, r, c.options.MaxEventBytes, c.appendEvent); err != nil {
			return nil, err
		}
	}
	return append(body, ']'), nil
}

func appendRecord(dst []byte, r *record.Record) []byte { return r.AppendJSON(dst) }

// appendEvent appends the event in the JSON event format: its attributes, and the record as its data.
func (c *cloudEvents) appendEvent(dst []byte, r *record.Record) []byte {
	o := jsonObject{dst: append(dst, '{')}
	for _, a := range c.attributes(r) {
		o.optional(a.name, a.value)
	}
	o.text("datacontenttype", "application/json")
	return append(r.AppendJSON(append(o.dst, `,"data":`...)), '}')
}

type eventAttribute struct{ name, value string }

// attributes are those of the event, extensions among them, without the type of its data. One that is empty is not sent.
func (c *cloudEvents) attributes(r *record.Record) []eventAttribute {
	return []eventAttribute{
		{"specversion", "1.0"},
		{"id", attribute(r.ID)},
		{"source", attribute(c.options.SourcePrefix + "/clusters/" + url.PathEscape(r.Cluster))},
		{"type", c.options.EventType},
		{"subject", attribute(subject(r))},
		{"time", r.Time.Format(time.RFC3339Nano)},
		// The extension "Partitioning": what happens to one object stays in order.
		{"partitionkey", attribute(r.Object.UID)},
		{"k8stype", attribute(r.Type)},
		{"k8sreason", attribute(r.Reason)},
		{"k8snamespace", attribute(r.Namespace)},
		{"k8skind", attribute(r.Object.Kind)},
	}
}

// subject is the object that the event is about: Pod/shop/web, or Node/node-3.
func subject(r *record.Record) string {
	parts := make([]string, 0, 3)
	for _, part := range []string{r.Object.Kind, r.Object.Namespace, r.Object.Name} {
		if part != "" {
			parts = append(parts, part)
		}
	}
	return strings.Join(parts, "/")
}

// attribute makes a text one that the specification's type String allows, without control characters and what Unicode has
// no characters for, and bounds it.
func attribute(s string) string {
	s = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || r&0xfffe == 0xfffe || r >= 0xfdd0 && r <= 0xfdef {
			return ' '
		}
		return r
	}, s)
	return cutText(s, cloudEventsMaxAttribute)
}

func headerOf(name string) string { return "Ce-" + strings.ToUpper(name[:1]) + name[1:] }

// headerText encodes an attribute's value as the protocol binding says under "HTTP Header Values".
func headerText(s string) string {
	const hex = "0123456789ABCDEF"
	var b strings.Builder
	for i := range len(s) {
		if c := s[i]; c <= ' ' || c == '"' || c == '%' || c >= utf8.RuneSelf || c == 0x7f {
			b.Write([]byte{'%', hex[c>>4], hex[c&15]})
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}
