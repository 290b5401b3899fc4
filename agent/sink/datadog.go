package sink

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/eventbaton/baton/agent/record"
)

// The limits of Datadog's APIs. Of events: "Post an event", v1 (text, aggregation_key, date_happened) and v2, where v1
// names none (title, host, tags). Of logs: "Send logs", v2.
const (
	datadogMaxTitle = 500            // characters
	datadogMaxText  = 4000           // characters
	datadogMaxKey   = 100            // characters
	datadogMaxHost  = 255            // characters
	datadogMaxTag   = 200            // characters, "Getting started with tags"
	datadogMaxTags  = 100            // of an event
	datadogMaxAge   = 18 * time.Hour // of events and logs
	datadogMaxLog   = 1_000_000      // bytes, one log
	datadogMaxLogs  = 1000           // of a request; its bytes are 5 MB, which ours never come near

	// datadogAgeMargin is what a request may take, and what clocks may differ.
	datadogAgeMargin = 10 * time.Minute
)

const (
	datadogEvents = "events"
	datadogLogs   = "logs"

	datadogTitle = `{{.Object.Name}} {{.Reason}}{{with .Host}} on {{.}}{{end}}`
	// The original's text: Markdown between the percent signs, the message as it is.
	datadogText = "%%%\n" + datadogTitle + "\n```\n{{.Message}}\nSource: {{.Source.Component}} {{.Source.Host}}\n\n```\n%%%"
)

// datadogSites are those that Datadog's documentation lists.
var datadogSites = []string{
	"datadoghq.com", "us3.datadoghq.com", "us5.datadoghq.com", "datadoghq.eu", "ap1.datadoghq.com", "ap2.datadoghq.com",
	"ddog-gov.com", "us2.ddog-gov.com",
}

// DatadogOptions are those of the type datadog.
type DatadogOptions struct {
	APIKeyFile string `yaml:"api_key_file" doc:"File with the API key."`
	Site       string `yaml:"site" doc:"The Datadog site: datadoghq.com, us3.datadoghq.com, us5.datadoghq.com, datadoghq.eu, ap1.datadoghq.com, ap2.datadoghq.com, ddog-gov.com or us2.ddog-gov.com."`
	URL        string `yaml:"url" doc:"Where to send instead of to the site: an http or https URL, such as a proxy's, to which the API's path is added."`
	Mode       string `yaml:"mode" values:"events logs" doc:"events: an event each, as the Agent 5 sent them; logs: batches of logs."`
	Title      string `yaml:"title" doc:"Template of an event's title, at most 500 characters of it. See Templates."`
	Text       string `yaml:"text" default:"what the Agent 5 wrote" doc:"Template of an event's text, at most 4000 characters of it. See Templates."`

	TLS            TLSOptions `yaml:"tls" doc:"TLS, for https."`
	ProxyURL       string     `yaml:"proxy_url" doc:"Proxy to use instead of the environment's HTTPS_PROXY, HTTP_PROXY and NO_PROXY: http, https or socks5."`
	Timeout        Duration   `yaml:"timeout" doc:"How long one request may take in all."`
	MaxConnections int        `yaml:"max_connections" doc:"How many connections at most, and how many events are on their way at once."`
}

func newDatadogOptions() *DatadogOptions {
	return &DatadogOptions{
		Site: datadogSites[0], Mode: datadogEvents, Title: datadogTitle, Text: datadogText,
		Timeout: Duration(10 * time.Second), MaxConnections: 8,
	}
}

// Check returns all that is wrong with the values.
func (o *DatadogOptions) Check() []Problem {
	var p []Problem
	if o.APIKeyFile == "" {
		p = append(p, Problem{"api_key_file", "is missing: keys come from files; it names the one with Datadog's API key"})
	}
	if o.Mode != datadogEvents && o.Mode != datadogLogs {
		p = append(p, Problem{"mode", "is neither events nor logs"})
	}
	if o.Mode == datadogLogs && (o.Title != datadogTitle || o.Text != datadogText) {
		p = append(p, Problem{"mode", "is logs, which have neither title nor text: remove those keys"})
	}
	if o.Timeout <= 0 || time.Duration(o.Timeout) > webhookMaxTimeout {
		p = append(p, Problem{"timeout", "must be above 0 and at most 5m"})
	}
	if o.MaxConnections < 1 || o.MaxConnections > 100 {
		p = append(p, Problem{"max_connections", "must be from 1 to 100"})
	}
	return slices.Concat(p, o.checkAddress(), checkTemplate("title", o.Title), checkTemplate("text", o.Text),
		checkProxy(o.ProxyURL), o.TLS.check())
}

func (o *DatadogOptions) checkAddress() []Problem {
	u, ok := parseURL(o.URL)
	switch {
	case o.URL == "" && !slices.Contains(datadogSites, o.Site):
		return []Problem{{"site", "is not one of " + strings.Join(datadogSites, ", ") + "; for another address use url"}}
	case o.URL == "":
		return nil
	case o.Site != datadogSites[0]:
		return []Problem{{"url", "can't be set together with site: remove one of them"}}
	case !ok:
		return []Problem{{"url", "is not an http or https URL: write it as https://host"}}
	case u.User != nil:
		return []Problem{{"url", "has a user or password in it, which would be read by everybody: remove it"}}
	case u.Scheme == "http" && o.TLS != (TLSOptions{}):
		return []Problem{{"tls", "has no effect on an http URL: write https, or remove it"}}
	}
	return nil
}

// Open makes the sink of options that Check finds nothing wrong with.
func (o *DatadogOptions) Open(env Environment) (Sink, error) {
	env = env.withDefaults()
	client, err := newHTTPClient(clientOptions{
		TLS: o.TLS, ProxyURL: o.ProxyURL, Timeout: time.Duration(o.Timeout), MaxConnections: o.MaxConnections,
	}, env)
	if err != nil {
		return nil, err
	}
	d := &datadog{opts: *o, client: client, key: newFile("api_key_file", o.APIKeyFile), now: time.Now, events: newSingly(o.MaxConnections)}
	if d.title, err = newTextTemplate("title", o.Title, datadogTitle, nil, env.Log); err != nil {
		return nil, err
	}
	if d.text, err = newTextTemplate("text", o.Text, datadogText, nil, env.Log); err != nil {
		return nil, err
	}
	base := o.URL
	if base == "" {
		base = "https://api." + o.Site
	}
	if d.api, err = url.Parse(base); err != nil {
		return nil, errors.New("url is not a URL")
	}
	d.intake = d.api
	if o.URL == "" {
		d.intake = &url.URL{Scheme: "https", Host: "http-intake.logs." + o.Site}
	}
	if d.api.Scheme == "http" {
		env.Log.Warn("credentials are sent without TLS", "key", "url")
	}
	return d, nil
}

// datadog sends an event a request, several at once, or a batch of logs a request.
type datadog struct {
	opts        DatadogOptions
	client      *httpClient
	key         *file
	api, intake *url.URL
	title, text *textTemplate
	now         func() time.Time

	events *singly

	compressor compressor
}

func (d *datadog) Limits() Limits {
	if d.opts.Mode == datadogLogs {
		return Limits{Records: datadogMaxLogs, Bytes: 1 << 20}
	}
	return Limits{Records: singlyBatch, Bytes: 1 << 20}
}

func (d *datadog) Close() error {
	d.client.close()
	return nil
}

func (d *datadog) Send(ctx context.Context, batch []*record.Record) error {
	if d.opts.Mode == datadogLogs {
		return d.sendLogs(ctx, batch)
	}
	return d.events.send(ctx, batch, d.postEvent)
}

// Probe asks Datadog whether the key is valid. It sends no event.
func (d *datadog) Probe(ctx context.Context) error {
	c, err := d.prepare(http.MethodGet, d.api, "/api/v1/validate")
	if err != nil {
		return err
	}
	return d.client.do(ctx, c)
}

// LeavesOpen says what the key's validation can't tell.
func (o *DatadogOptions) LeavesOpen() string {
	if o.Mode == datadogLogs && o.URL == "" {
		return "the API was asked about the key: whether the intake of logs, another host, can be reached shows with the first record"
	}
	return ""
}

// prepare makes a request but for its body. It fails where the file of the key is missing, which another try may find.
func (d *datadog) prepare(method string, base *url.URL, path string) (call, error) {
	key, err := d.key.headerSecret()
	if err != nil {
		return call{}, err
	}
	u := *base
	u.Path = strings.TrimSuffix(u.Path, "/") + path
	c := call{
		request: &http.Request{Method: method, URL: &u, Host: u.Host, Header: http.Header{}},
		shown:   u.Scheme + "://" + u.Host + u.EscapedPath(), secrets: []Secret{key},
		reset: "X-RateLimit-Reset", // seconds, "Rate limits"
	}
	c.hide(&u, false)
	c.request.Header.Set("DD-API-KEY", string(key))
	c.request.Header.Set("Content-Type", "application/json")
	c.request.Header.Set("Accept", "application/json")
	return c, nil
}

// deliver sends a request and reads the answer: what stands between may say 200 to everything.
func (d *datadog) deliver(ctx context.Context, c call) error {
	body, err := d.client.exchange(ctx, c)
	if err != nil {
		return err
	}
	if body = bytes.TrimSpace(body); len(body) == 0 {
		return nil // as proxies that speak Datadog's API answer
	}
	var answer struct {
		Status string            `json:"status"`
		Errors []json.RawMessage `json:"errors"`
	}
	if err := json.Unmarshal(body, &answer); err != nil || len(answer.Errors) > 0 || answer.Status != "" && answer.Status != "ok" {
		return fmt.Errorf("%s: not an answer that Datadog gives to what it took; check the URL: %s", c.shown, c.clean(string(body)))
	}
	return nil
}

// datadogEvent is the body of a POST to /api/v1/events.
type datadogEvent struct {
	Title          string   `json:"title"`
	Text           string   `json:"text"`
	DateHappened   int64    `json:"date_happened"`
	AlertType      string   `json:"alert_type"`
	AggregationKey string   `json:"aggregation_key"`
	SourceTypeName string   `json:"source_type_name"`
	Host           string   `json:"host,omitempty"`
	Tags           []string `json:"tags"`
}

func (d *datadog) postEvent(ctx context.Context, r *record.Record) error {
	c, err := d.prepare(http.MethodPost, d.api, "/api/v1/events")
	if err != nil {
		return err
	}
	body, err := d.encodeEvent(r)
	if err != nil {
		return err
	}
	c.setBody(body)
	return d.deliver(ctx, c)
}

func (d *datadog) encodeEvent(r *record.Record) ([]byte, error) {
	at, moved := datadogTime(r.Time, d.now())
	if moved {
		late := *r
		late.Message += "\n(happened at " + r.Time.Format(time.RFC3339) + ")"
		r = &late
	}
	data := newTextData(r)
	title, err := d.title.within(datadogMaxTitle, data)
	if err != nil {
		return nil, err
	}
	text, err := d.text.within(datadogMaxText, data)
	if err != nil {
		return nil, err
	}
	// An event without a title or a text is refused.
	if title = oneline(title); title == "" {
		title = "Kubernetes event"
	}
	if strings.TrimSpace(text) == "" {
		text = title
	}
	alert := "info"
	if r.Type == "Warning" {
		alert = "warning"
	}
	tags := datadogTags(r)
	return marshal(datadogEvent{
		Title: title, Text: text, DateHappened: at.Unix(), AlertType: alert, AggregationKey: datadogKey(r.Object),
		SourceTypeName: "kubernetes", Host: truncate(datadogMaxHost, hostOf(r)), Tags: tags[:min(len(tags), datadogMaxTags)],
	})
}

// datadogTime keeps a time within what Datadog takes, and says whether it had to be moved. A reporter's clock may be far
// ahead.
func datadogTime(t, now time.Time) (time.Time, bool) {
	oldest, newest := now.Add(datadogAgeMargin-datadogMaxAge), now.Add(datadogAgeMargin)
	switch {
	case t.Before(oldest):
		return oldest, true
	case t.After(newest):
		return now, true
	}
	return t, false
}

// datadogKey groups the events of an object.
func datadogKey(o record.Object) string {
	key := "kubernetes:" + o.UID
	if o.UID == "" {
		key = "kubernetes:" + o.Kind + "/" + o.Namespace + "/" + o.Name
	}
	if len(key) > datadogMaxKey {
		sum := sha256.Sum256([]byte(key))
		key = "kubernetes:" + hex.EncodeToString(sum[:16])
	}
	return key
}

// datadogTags are those of the original, in its order, and then the configured ones.
func datadogTags(r *record.Record) []string {
	tags := make([]string, 0, 8+len(r.Tags))
	add := func(name, value string) {
		if name != "" && value != "" {
			tags = append(tags, truncate(datadogMaxTag, name+":"+oneline(value)))
		}
	}
	add("reason", strings.ToLower(r.Reason))
	add("namespace", r.Namespace)
	add("node_name", hostOf(r))
	add("object_type", strings.ToLower(r.Object.Kind))
	add("object_name", strings.ToLower(r.Object.Name))
	add("source_component", strings.ToLower(r.Source.Component))
	add("kube_cluster_name", r.ClusterName)
	tags = append(tags, r.Tags...)
	datadogEnrichment(add, r) // last: an event has a hundred tags at most
	return tags
}

// datadogLog is one of the logs of a POST to /api/v2/logs, but for its last attribute, event, which is the record. All
// attributes before it but id are those that Datadog reserves.
type datadogLog struct {
	Source    string `json:"ddsource"`
	Tags      string `json:"ddtags"`
	Hostname  string `json:"hostname,omitempty"`
	Service   string `json:"service,omitempty"`
	Status    string `json:"status"`
	Timestamp int64  `json:"timestamp"` // milliseconds
	Message   string `json:"message"`
	ID        string `json:"id"`
}

func (d *datadog) sendLogs(ctx context.Context, batch []*record.Record) error {
	c, err := d.prepare(http.MethodPost, d.intake, "/api/v2/logs")
	if err != nil {
		return err
	}
	body, err := d.encodeLogs(batch)
	if err != nil {
		return err
	}
	c.request.Header.Set("Content-Encoding", "gzip") // recommended for logs
	c.setBody(body)
	return d.deliver(ctx, c)
}

// encodeLogs gives the compressed body.
func (d *datadog) encodeLogs(batch []*record.Record) ([]byte, error) {
	plain := make([]byte, 0, 2*sizeOf(batch))
	now := d.now()
	for i, r := range batch {
		if i == 0 {
			plain = append(plain, '[')
		} else {
			plain = append(plain, ',')
		}
		var err error
		if plain, err = appendLog(plain, r, now); err != nil {
			return nil, err
		}
	}
	return d.compressor.gzip(append(plain, ']'))
}

// appendLog cuts the message of a log that is too large. Where it is something else that is large, Datadog cuts it.
func appendLog(dst []byte, r *record.Record, now time.Time) ([]byte, error) {
	before := len(dst)
	dst, err := appendWholeLog(dst, r, now)
	if err != nil || len(dst)-before <= datadogMaxLog {
		return dst, err
	}
	fits, ok := fitMessage(r, datadogMaxLog, func(r *record.Record) int {
		whole, _ := appendWholeLog(nil, r, now)
		return len(whole)
	})
	if !ok {
		return dst, nil
	}
	return appendWholeLog(dst[:before], fits, now)
}

func appendWholeLog(dst []byte, r *record.Record, now time.Time) ([]byte, error) {
	at, _ := datadogTime(r.Time, now)
	status := "info"
	if r.Type == "Warning" {
		status = "warn"
	}
	head, err := marshal(datadogLog{
		Source: "kubernetes", Tags: strings.Join(commaless(datadogTags(r)), ","), Hostname: hostOf(r), Service: r.Source.Component,
		Status: status, Timestamp: at.UnixMilli(), Message: r.Message, ID: r.ID,
	})
	if err != nil {
		return nil, err
	}
	dst = append(dst, head[:len(head)-1]...)
	dst = r.AppendJSON(append(dst, `,"event":`...))
	return append(dst, '}'), nil
}

// commaless is for tags that are joined by commas.
func commaless(tags []string) []string {
	for i, t := range tags {
		tags[i] = strings.ReplaceAll(t, ",", "_")
	}
	return tags
}
