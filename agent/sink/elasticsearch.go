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
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/eventbaton/baton/agent/record"
)

const (
	// Elasticsearch's and OpenSearch's Bulk API refuse a longer _id, and with it the whole request.
	bulkMaxID = 512
	// An index's name may have 255 bytes (Create index API).
	bulkMaxIndex = 255
	// bulkAnswerMax is room for an error of a kilobyte for each of the most records that a batch may have.
	bulkAnswerMax = 10 << 20
)

// ElasticsearchOptions are those of the type elasticsearch, which is for OpenSearch as well.
type ElasticsearchOptions struct {
	HTTPOptions `yaml:",inline" doc:"Where and how to send."`

	Index      string `yaml:"index" doc:"Index or data stream. %Y, %m, %d and %H become the year, month, day and hour, in UTC, of the event: events-%Y.%m.%d is an index a day."`
	Pipeline   string `yaml:"pipeline" doc:"Ingest pipeline that the records are to go through."`
	APIKeyFile string `yaml:"api_key_file" doc:"File with the API key of an Authorization: ApiKey, encoded as Elasticsearch shows it."`
}

func newElasticsearchOptions() *ElasticsearchOptions {
	o := &ElasticsearchOptions{HTTPOptions: newHTTPOptions(), Index: "kubernetes-events"}
	o.Timeout, o.Gzip = Duration(30*time.Second), true
	// Elastic's "Tune for indexing speed" finds a few megabytes a request enough; http.max_content_length is 100 MB, and
	// 10 MB with some who host it.
	o.MaxBatchRecords, o.MaxBatchBytes = 1000, 4<<20
	return o
}

// Check returns all that is wrong with the values.
func (o *ElasticsearchOptions) Check() []Problem {
	p := o.check()
	if text := indexProblem(o.Index); text != "" {
		p = append(p, Problem{"index", text})
	}
	if strings.ContainsFunc(o.Pipeline, unicode.IsControl) {
		p = append(p, Problem{"pipeline", "has control characters in it"})
	}
	if o.APIKeyFile != "" && (o.BearerTokenFile != "" || o.BasicAuth != (BasicAuth{})) {
		p = append(p, Problem{"api_key_file",
			"can't be set together with bearer_token_file or basic_auth: a request has one Authorization"})
	}
	for name := range o.HeaderFiles {
		if o.APIKeyFile != "" && http.CanonicalHeaderKey(name) == "Authorization" {
			p = append(p, Problem{"api_key_file", "can't be set together with the header Authorization of header_files"})
		}
	}
	return p
}

// indexProblem holds an index's name against the rules of the Create index API, "" where it keeps them.
func indexProblem(index string) string {
	name := index
	for _, unit := range []string{"%Y", "%m", "%d", "%H"} {
		name = strings.ReplaceAll(name, unit, "0000")
	}
	switch {
	case index == "":
		return "is missing: name an index or a data stream"
	case strings.Contains(name, "%"):
		return "has a % that is not one of %Y, %m, %d and %H"
	case strings.ContainsFunc(name, func(r rune) bool { return unicode.IsUpper(r) || unicode.IsControl(r) || unicode.IsSpace(r) }):
		return "may have neither capital letters nor spaces"
	case strings.ContainsAny(name, `\/*?"<>|,#:`):
		return `may have none of \ / * ? " < > | , # :`
	case strings.ContainsAny(name[:1], "-_+"), name == ".", name == "..":
		return "may not begin with -, _ or +, and may not be . or .."
	case len(name) > bulkMaxIndex:
		return "is longer than 255 bytes"
	}
	return ""
}

// Open makes the sink of options that Check finds nothing wrong with.
func (o *ElasticsearchOptions) Open(env Environment) (Sink, error) {
	sender, err := o.open(env)
	if err != nil {
		return nil, err
	}
	if strings.HasPrefix(o.URL, "http:") && o.APIKeyFile != "" {
		env.withDefaults().Log.Warn("credentials are sent without TLS", "key", "url")
	}
	return &elasticsearch{
		httpSender: sender, index: o.Index, pipeline: o.Pipeline, apiKey: newFile("api_key_file", o.APIKeyFile),
	}, nil
}

// elasticsearch sends each batch as one _bulk request of create operations, whose _id is the record's: a record that is
// there already is left as it is, which is all a repeat needs.
type elasticsearch struct {
	*httpSender
	index, pipeline string
	apiKey          *file
}

// Send is done once each item of the answer is: created, or there already. Where other items fail it says what all of
// them together allow: to try again, or a refusal.
func (e *elasticsearch) Send(ctx context.Context, batch []*record.Record) error {
	err := e.create(ctx, batch)
	if _, refused := errors.AsType[*Refused](err); refused && len(batch) == 1 {
		if bare := withoutLabels(batch[0]); bare != nil {
			return e.create(ctx, []*record.Record{bare})
		}
	}
	return err
}

// withoutLabels is the record without what may not suit the index: a label whose first value looks like a date makes a field
// that takes nothing else, and each new label takes one of the fields that an index may have. It is nil where there is nothing
// of the kind. An event is worth more than its labels.
func withoutLabels(r *record.Record) *record.Record {
	if r.Enrichment == nil || len(r.Enrichment.Labels)+len(r.Enrichment.Annotations) == 0 {
		return nil
	}
	bare, enrichment := *r, *r.Enrichment
	enrichment.Labels, enrichment.Annotations, enrichment.Incomplete = nil, nil, record.Unmapped
	bare.Enrichment = &enrichment
	return &bare
}

// create sends the batch.
func (e *elasticsearch) create(ctx context.Context, batch []*record.Record) error {
	c, err := e.bulk()
	if err != nil {
		return err
	}
	body, err := e.appendBulk(make([]byte, 0, 2*sizeOf(batch)), batch)
	if err != nil {
		return err
	}
	c.answerMax = bulkAnswerMax
	c.judge = func(c call, resp *http.Response, body []byte) error { return c.bulkOutcome(resp, body, len(batch)) }
	return e.deliver(ctx, c, body)
}

// bulk makes the request but for its body.
func (e *elasticsearch) bulk() (call, error) {
	query := url.Values{"filter_path": {"errors,items.*.status,items.*.error.type,items.*.error.reason"}}
	if e.pipeline != "" {
		query.Set("pipeline", e.pipeline)
	}
	c, err := e.ready(request{path: "_bulk", query: query, contentType: "application/x-ndjson"})
	if err != nil || e.apiKey == nil {
		return c, err
	}
	key, err := e.apiKey.headerSecret()
	if err != nil {
		return c, err
	}
	c.request.Header.Set("Authorization", "ApiKey "+string(key))
	c.secrets = append(c.secrets, key)
	return c, nil
}

// Probe sends a request without any operation. Who is let in is told that there is none; whether one may write to the index
// shows with the first record.
func (e *elasticsearch) Probe(ctx context.Context) error {
	c, err := e.bulk()
	if err != nil {
		return err
	}
	c.request.URL.RawQuery = "" // filter_path would take the error away
	c.judge = func(c call, resp *http.Response, body []byte) error {
		if resp.StatusCode == http.StatusBadRequest && bytes.Contains(body, []byte(`"error"`)) {
			return nil
		}
		if resp.StatusCode/100 == 2 {
			return c.bulkOutcome(resp, body, 0)
		}
		return c.outcome(resp, body, time.Now())
	}
	return e.deliver(ctx, c, []byte("\n"))
}

// LeavesOpen says what a request without any operation can't tell.
func (*ElasticsearchOptions) LeavesOpen() string {
	return "whether it may write to the index, and whether that is there or may be made, shows with the first record"
}

// appendBulk appends two lines a record: what to do, and the document.
func (e *elasticsearch) appendBulk(dst []byte, batch []*record.Record) ([]byte, error) {
	for _, r := range batch {
		var err error
		if dst, err = appendFitting(dst, r, e.opts.MaxBatchBytes, e.appendItem); err != nil {
			return nil, err
		}
	}
	return dst, nil
}

func (e *elasticsearch) appendItem(dst []byte, r *record.Record) []byte {
	dst = append(dst, `{"create":{"_index":`...)
	dst = appendJSONText(dst, e.indexOf(r.Time))
	dst = append(dst, `,"_id":`...)
	dst = appendJSONText(dst, bulkID(r.ID))
	dst = append(dst, "}}\n"...)
	dst = append(dst, `{"@timestamp":"`...)
	dst = r.Time.AppendFormat(dst, time.RFC3339Nano)
	dst = append(dst, `",`...)
	start := len(dst)
	dst = r.AppendJSON(dst)
	copy(dst[start:], dst[start+1:]) // the record's members follow @timestamp
	dst[len(dst)-1] = '\n'
	dedot(dst[start:])
	return dst
}

// indexOf is the index of an event of that time. A repeat has the same time, and so goes to the same index.
func (e *elasticsearch) indexOf(t time.Time) string {
	if !strings.Contains(e.index, "%") {
		return e.index
	}
	t = t.UTC()
	return strings.NewReplacer("%Y", fmt.Sprintf("%04d", t.Year()), "%m", t.Format("01"), "%d", t.Format("02"),
		"%H", t.Format("15")).Replace(e.index)
}

// bulkID is the record's id, or where that is too long for an _id its digest.
func bulkID(id string) string {
	if len(id) <= bulkMaxID {
		return id
	}
	sum := sha256.Sum256([]byte(id))
	return "sha256:" + hex.EncodeToString(sum[:])
}

// appendJSONText appends a string, quoted. One that needs escapes, or is beyond ASCII, is left to encoding/json.
func appendJSONText(dst []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			quoted, err := json.Marshal(s)
			if err != nil {
				panic(fmt.Sprintf("the string %q: %v", s, err)) // a string always has a JSON form
			}
			return append(dst, quoted...)
		}
	}
	dst = append(dst, '"')
	dst = append(dst, s...)
	return append(dst, '"')
}

// bulkAnswer is what the Bulk API answers, in so far as filter_path asks for it.
type bulkAnswer struct {
	Errors bool                  `json:"errors"`
	Items  []map[string]bulkItem `json:"items"` // one a record, in order, by its operation
}

type bulkItem struct {
	Status int `json:"status"`
	Error  struct {
		Type   string `json:"type"`
		Reason string `json:"reason"`
	} `json:"error"`
}

// bulkOutcome judges the answer to n records.
func (c call) bulkOutcome(resp *http.Response, body []byte, n int) error {
	switch code := resp.StatusCode; {
	case code == http.StatusBadRequest || code == http.StatusUnprocessableEntity:
		return c.answered(resp, body) // what is wrong with a record is said of its item
	case code/100 != 2:
		return c.outcome(resp, body, time.Now())
	}
	var answer bulkAnswer
	if err := json.Unmarshal(body, &answer); err != nil || len(answer.Items) != n {
		return fmt.Errorf("%s: answered %d without an answer of the Bulk API to %d records in it; check the URL: %s",
			c.shown, resp.StatusCode, n, c.clean(string(body)))
	}
	var again, never bulkFailures
	for _, operations := range answer.Items {
		item, ok := operations["create"]
		switch {
		case ok && (item.Status/100 == 2 || item.Status == http.StatusConflict):
		case ok && item.refused():
			never.add(item)
		default:
			again.add(item)
		}
	}
	switch {
	case again.n > 0:
		return again.error(c, n, "")
	case never.n > 0:
		return &Refused{Err: never.error(c, n, "for good")}
	}
	return nil
}

// notOfTheRecord are pieces of the reasons that come with a 400 and yet say nothing about the record, but something about
// the index, its settings or the configuration.
var notOfTheRecord = []string{
	"maximum normal shards open", "maximum shards open", "op_type", "pipeline with id", "write index", "is not a data stream",
	"no matching index template", "Document ID is not supported", "_id must be unset",
}

// refused says whether the item will never be taken as it is: it can't be parsed, or its fields don't suit the mapping.
// What else fails (too many requests, a full disk, rights, a missing index, a closed one) can be mended at the receiver.
func (i bulkItem) refused() bool {
	switch {
	case i.Status == http.StatusRequestEntityTooLarge:
		return true
	case i.Status != http.StatusBadRequest:
		return false
	case slices.Contains([]string{"validation_exception", "invalid_index_name_exception", "index_closed_exception"}, i.Error.Type):
		return false
	}
	return !slices.ContainsFunc(notOfTheRecord, func(s string) bool { return strings.Contains(i.Error.Reason, s) })
}

// bulkFailures counts items that failed, and keeps the first.
type bulkFailures struct {
	n     int
	first bulkItem
}

func (f *bulkFailures) add(i bulkItem) {
	if f.n == 0 {
		f.first = i
	}
	f.n++
}

func (f *bulkFailures) error(c call, of int, how string) error {
	var text strings.Builder
	fmt.Fprintf(&text, "%s: %d of %d records were not taken", c.shown, f.n, of)
	if how != "" {
		text.WriteString(" " + how)
	}
	text.WriteString(": " + strconv.Itoa(f.first.Status))
	if said := c.clean(f.first.Error.Type + ": " + f.first.Error.Reason); said != ":" {
		text.WriteString(" " + said)
	}
	if f.first.Status == http.StatusUnauthorized || f.first.Status == http.StatusForbidden {
		text.WriteString(" (check the credentials and their rights)")
	}
	return errors.New(text.String())
}

// dedotted are the objects whose keys may have dots. Elasticsearch takes a dot for a level: app beside
// app.kubernetes.io/name would be text and an object at once, and the record would be refused.
var dedotted = [][]byte{[]byte(`"labels":{`), []byte(`"annotations":{`)}

// dedot replaces, in place, the dots in the keys of those objects by underscores, but where the key is there already. The
// pieces looked for can't be within a text, where quotes are escaped.
func dedot(document []byte) {
	for _, object := range dedotted {
		for rest := document; ; {
			_, after, found := bytes.Cut(rest, object)
			if !found {
				break
			}
			dedotKeys(after)
			rest = after
		}
	}
}

// dedotKeys does so for the object whose first member rest begins with. The values are texts.
func dedotKeys(rest []byte) {
	var keys [][]byte
	for len(rest) > 0 && rest[0] == '"' {
		keys = append(keys, quoted(rest))
		rest = rest[len(keys[len(keys)-1]):]
		if len(rest) < 2 || rest[0] != ':' || rest[1] != '"' {
			break
		}
		rest = rest[1+len(quoted(rest[1:])):]
		if len(rest) == 0 || rest[0] != ',' {
			break
		}
		rest = rest[1:]
	}
	for _, key := range keys {
		underscored := bytes.ReplaceAll(key, []byte("."), []byte("_"))
		if !slices.ContainsFunc(keys, func(k []byte) bool { return bytes.Equal(k, underscored) }) {
			copy(key, underscored)
		}
	}
}

// quoted is the JSON text that b begins with, quotes and all.
func quoted(b []byte) []byte {
	for i := 1; i < len(b); i++ {
		switch b[i] {
		case '\\':
			i++
		case '"':
			return b[:i+1]
		}
	}
	return b
}
