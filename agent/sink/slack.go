package sink

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/eventbaton/baton/agent/record"
)

// What the receivers take of a message. Slack, "chat.postMessage": a text of more than 40,000 characters is cut; "Rate
// limits": an incoming webhook takes one message a second. Teams, "Create incoming webhooks": a message of 28 KB, four
// requests a second. Both are kept below by what people can read.
const (
	slackMaxText     = 36_000 // bytes as JSON
	teamsMaxText     = 20_000 // bytes as JSON, without what a card takes besides
	chatMaxLine      = 1000   // characters
	chatMinInterval  = time.Second
	chatMaxInterval  = time.Hour
	chatMaxLines     = 100
	chatShownReasons = 5
	// teamsBusy is how long to wait after an answer of the older webhooks that says 200, and in its text 429.
	teamsBusy = 30 * time.Second
)

const (
	formatSlack = "slack"
	formatTeams = "teams"

	chatLine = `{{.Object.Kind}} {{with .Object.Namespace}}{{.}}/{{end}}{{.Object.Name}}` +
		`{{if or (ne .Times 1) (gt .Count .Times)}} ×{{.Times}}{{if not .Exact}}+{{end}}{{end}}` +
		`{{if gt .Count .Times}} ({{.Count}} in all){{end}}: {{.Message | oneline | truncate 300}}`
	slackLine = `*{{.Reason}}* ` + chatLine
	teamsLine = `**{{.Reason}}** ` + chatLine
)

// SlackOptions are those of the type slack.
type SlackOptions struct {
	URLFile  string   `yaml:"url_file" doc:"File with the URL of the incoming webhook. Who knows the URL can post, so it is a secret."`
	Format   string   `yaml:"format" values:"slack teams" doc:"slack: the text that Slack and what is compatible with it take; teams: an Adaptive Card, for a webhook of Microsoft Teams (Workflows)."`
	Template string   `yaml:"template" default:"reason, object, count and message" doc:"Template of a line, one for each object and reason of a message, at most 1000 characters of it. See Templates."`
	Interval Duration `yaml:"interval" doc:"How long events are gathered for one message, and the least time between two: 1s to 1h."`
	MaxLines int      `yaml:"max_lines" doc:"How many lines a message has at most, the most frequent first; the others are counted in a last one."`

	TLS             TLSOptions `yaml:"tls" doc:"TLS, for https."`
	ProxyURL        string     `yaml:"proxy_url" doc:"Proxy to use instead of the environment's HTTPS_PROXY, HTTP_PROXY and NO_PROXY: http, https or socks5."`
	Timeout         Duration   `yaml:"timeout" doc:"How long one request may take in all."`
	MaxBatchRecords int        `yaml:"max_batch_records" doc:"How many records at most make one message."`
}

func newSlackOptions() *SlackOptions {
	return &SlackOptions{
		Format: formatSlack, Interval: Duration(10 * time.Second), MaxLines: 20,
		Timeout: Duration(10 * time.Second), MaxBatchRecords: 1000,
	}
}

// DefaultFilter lets warnings through: what is normal, people don't want to be told.
func (*SlackOptions) DefaultFilter() string { return `event.type == "Warning"` }

// Check returns all that is wrong with the values.
func (o *SlackOptions) Check() []Problem {
	var p []Problem
	if o.URLFile == "" {
		p = append(p, Problem{"url_file", "is missing: it names the file with the URL of the incoming webhook, which is a secret"})
	}
	if o.Format != formatSlack && o.Format != formatTeams {
		p = append(p, Problem{"format", "is neither slack nor teams"})
	}
	if i := time.Duration(o.Interval); i < chatMinInterval || i > chatMaxInterval {
		p = append(p, Problem{"interval", "must be from 1s to 1h"})
	}
	if o.MaxLines < 1 || o.MaxLines > chatMaxLines {
		p = append(p, Problem{"max_lines", "must be from 1 to 100"})
	}
	if o.Timeout <= 0 || time.Duration(o.Timeout) > webhookMaxTimeout {
		p = append(p, Problem{"timeout", "must be above 0 and at most 5m"})
	}
	if o.MaxBatchRecords < 1 || o.MaxBatchRecords > 10000 {
		p = append(p, Problem{"max_batch_records", "must be from 1 to 10000"})
	}
	return slices.Concat(p, checkTemplate("template", o.line()), checkProxy(o.ProxyURL), o.TLS.check())
}

// line is the template, or the default one of the format.
func (o *SlackOptions) line() string {
	if o.Template != "" {
		return o.Template
	}
	return o.defaultLine()
}

func (o *SlackOptions) defaultLine() string {
	if o.Format == formatTeams {
		return teamsLine
	}
	return slackLine
}

// Open makes the sink of options that Check finds nothing wrong with.
func (o *SlackOptions) Open(env Environment) (Sink, error) {
	env = env.withDefaults()
	client, err := newHTTPClient(clientOptions{
		TLS: o.TLS, ProxyURL: o.ProxyURL, Timeout: time.Duration(o.Timeout), MaxConnections: 1,
	}, env)
	if err != nil {
		return nil, err
	}
	s := &slack{
		opts: *o, client: client, url: newFile("url_file", o.URLFile),
		format: chatFormat{escape: escapeSlack, bold: "*", maxText: slackMaxText, body: slackBody, taken: slackTook},
	}
	if o.Format == formatTeams {
		s.format = chatFormat{escape: escapeTeams, bold: "**", maxText: teamsMaxText, body: teamsBody, taken: teamsTook}
	}
	s.send = s.post
	s.line, err = newTextTemplate("template", o.line(), o.defaultLine(), s.format.escape, env.Log)
	return s, err
}

// slack makes one message of all that is handed to it at a time: a line an object and reason, with the count, and a
// last one for what the message has no room for, so that the counts of a message are those of its records.
//
// It posts at most one message in an interval. A Send that comes sooner waits for its turn, and those of several streams
// that wait together share a message. The relay gathers a burst for as long, so that it makes one message.
type slack struct {
	opts   SlackOptions
	client *httpClient
	url    *file
	line   *textTemplate
	format chatFormat
	send   func(context.Context, []*record.Record) error // posts a message

	mu    sync.Mutex
	open  *chatRound // the message that still takes records; nil for none
	next  time.Time  // before which no message is posted
	apart bool       // a shared message was refused: until one is taken, each Send has its own
}

// chatFormat is what differs between the receivers.
type chatFormat struct {
	escape  func(string) string
	bold    string
	maxText int
	body    func(lines []string) ([]byte, error)
	taken   func(c call, body string) error // judges the text of a 2xx
}

// chatRound are the calls of Send that share a message.
type chatRound struct {
	batch []*record.Record
	calls int
	done  chan struct{}
	err   error // once done is closed
}

func (s *slack) Limits() Limits {
	return Limits{Records: s.opts.MaxBatchRecords, Bytes: 1 << 20, Gather: time.Duration(s.opts.Interval)}
}

func (s *slack) Close() error {
	s.client.close()
	return nil
}

// Send waits for the interval to pass before it posts. The first of several that wait posts for all.
func (s *slack) Send(ctx context.Context, batch []*record.Record) error {
	round, first := s.join(batch)
	if first {
		round.err = s.lead(ctx, round)
		close(round.done)
		return round.err
	}
	select {
	case <-round.done:
		return round.err
	case <-ctx.Done():
		return fmt.Errorf("waiting for the message's turn: %w", context.Cause(ctx))
	}
}

func (s *slack) join(batch []*record.Record) (round *chatRound, first bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if round = s.open; round == nil || s.apart {
		round, first = &chatRound{done: make(chan struct{})}, true
		if !s.apart {
			s.open = round
		}
	}
	round.batch = append(round.batch, batch...)
	round.calls++
	return round, first
}

// lead posts the round's message when its time has come.
func (s *slack) lead(ctx context.Context, round *chatRound) error {
	for {
		wait := s.turn(round)
		if wait <= 0 {
			break
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			s.shut(round)
			return fmt.Errorf("waiting for the message's turn: %w", context.Cause(ctx))
		}
	}
	return s.after(round, s.send(ctx, round.batch))
}

// turn takes the turn and shuts the round, or says how long there is to wait.
func (s *slack) turn(round *chatRound) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	if wait := s.next.Sub(now); wait > 0 {
		return wait
	}
	s.next = now.Add(time.Duration(s.opts.Interval))
	if s.open == round {
		s.open = nil
	}
	return 0
}

func (s *slack) shut(round *chatRound) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open == round {
		s.open = nil
	}
}

// after learns from what became of the message. One that several calls share can't be refused for good: only one of
// them might be to blame, so each is tried on its own.
func (s *slack) after(round *chatRound, err error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if asked, ok := errors.AsType[*RetryAfter](err); ok {
		s.next = time.Now().Add(max(asked.After, time.Duration(s.opts.Interval)))
	}
	if refused, ok := errors.AsType[*Refused](err); ok && round.calls > 1 {
		s.apart = true
		return fmt.Errorf("what several streams sent together was refused, and is tried apart: %w", refused.Err)
	}
	if err == nil {
		s.apart = false
	}
	return err
}

// Probe asks the webhook for what it refuses as such once it knows the URL: Slack a message without a text, Teams a GET,
// which doesn't run the workflow. It posts no message.
func (s *slack) Probe(ctx context.Context) error {
	c, err := s.prepare()
	if err != nil {
		return err
	}
	c.setBody([]byte("{}"))
	if s.opts.Format == formatTeams {
		c.request.Method, c.request.Body, c.request.GetBody, c.request.ContentLength = http.MethodGet, nil, nil, 0
	}
	c.judge = func(c call, resp *http.Response, body []byte) error {
		if resp.StatusCode == http.StatusBadRequest || resp.StatusCode == http.StatusMethodNotAllowed {
			return nil
		}
		return c.outcome(resp, body, time.Now())
	}
	return s.client.do(ctx, c)
}

func (s *slack) prepare() (call, error) {
	c, err := target(http.MethodPost, "", s.url)
	if err != nil {
		return c, err
	}
	c.request.Header.Set("Content-Type", "application/json")
	return c, nil
}

func (s *slack) post(ctx context.Context, batch []*record.Record) error {
	c, err := s.prepare()
	if err != nil {
		return err
	}
	body, err := s.encode(batch)
	if err != nil {
		return err
	}
	c.setBody(body)
	answer, err := s.client.exchange(ctx, c)
	if err != nil {
		return err
	}
	return s.format.taken(c, strings.TrimSpace(string(answer)))
}

func (s *slack) encode(batch []*record.Record) ([]byte, error) {
	lines, err := s.message(batch)
	if err != nil {
		return nil, err
	}
	return s.format.body(lines)
}

// message gives the lines of a message, of which the first is its head.
func (s *slack) message(batch []*record.Record) ([]string, error) {
	groups := group(batch)
	head := s.head(batch, groups)
	lines, room := []string{head}, s.format.maxText-jsonLength(head)-2*chatMaxLine // for the last line
	for i, g := range groups {
		if i == s.opts.MaxLines {
			break
		}
		line, err := s.line.within(chatMaxLine, g)
		if err != nil {
			return nil, err
		}
		if line = strings.TrimSpace(line); line == "" {
			line = s.format.escape(g.Reason)
		}
		if room -= jsonLength(line) + 2; room < 0 {
			break
		}
		lines = append(lines, line)
	}
	if rest := groups[len(lines)-1:]; len(rest) > 0 {
		lines = append(lines, s.rest(rest))
	}
	return lines, nil
}

// head is such as "*12 Warning events about 3 objects* in production".
func (s *slack) head(batch []*record.Record, groups []TextData) string {
	kind, objects := batch[0].Type, map[record.Object]bool{}
	for _, g := range groups {
		objects[objectOf(g.Record)] = true
		if g.Type != kind {
			kind = ""
		}
	}
	if kind != "" {
		kind = s.format.escape(truncate(50, kind)) + " "
	}
	text := s.format.bold + timesOf(groups) + " " + kind + plural("event", totalOf(groups).Times, !totalOf(groups).Exact)
	if len(objects) > 1 {
		text += fmt.Sprintf(" about %d objects", len(objects))
	}
	text += s.format.bold
	if name := batch[0].ClusterName; name != "" {
		text += " in " + s.format.escape(truncate(100, oneline(name)))
	}
	return text
}

// rest counts what has no line of its own: "and 37 more lines, 120 events: BackOff 100, Failed 20".
func (s *slack) rest(groups []TextData) string {
	var reasons []string
	byReason := map[string][]TextData{}
	for _, g := range groups {
		if byReason[g.Reason] == nil {
			reasons = append(reasons, g.Reason)
		}
		byReason[g.Reason] = append(byReason[g.Reason], g)
	}
	slices.SortStableFunc(reasons, func(a, b string) int {
		return cmp.Compare(totalOf(byReason[b]).Times, totalOf(byReason[a]).Times)
	})
	var parts []string
	var others []TextData
	for i, reason := range reasons {
		if i < chatShownReasons {
			parts = append(parts, s.format.escape(truncate(100, oneline(reason)))+" "+timesOf(byReason[reason]))
		} else {
			others = append(others, byReason[reason]...)
		}
	}
	if len(others) > 0 {
		parts = append(parts, "others "+timesOf(others))
	}
	total := totalOf(groups)
	return fmt.Sprintf("and %d more %s, %s %s: %s", len(groups), plural("line", int64(len(groups)), false),
		timesOf(groups), plural("event", total.Times, !total.Exact), strings.Join(parts, ", "))
}

// group gathers the records of an object with a reason, those with the most new occurrences first.
func group(batch []*record.Record) []TextData {
	type key struct {
		object       record.Object
		kind, reason string
	}
	type tally struct {
		TextData
		counts map[string]int64 // by the event
		seen   map[string]bool  // ids
	}
	var order []*tally
	found := map[key]*tally{}
	for _, r := range batch {
		k := key{objectOf(r), r.Type, r.Reason}
		t := found[k]
		if t == nil {
			t = &tally{TextData: TextData{Exact: true}, counts: map[string]int64{}, seen: map[string]bool{}}
			found[k] = t
			order = append(order, t)
		}
		if t.seen[r.ID] {
			continue // handed over twice
		}
		t.seen[r.ID] = true
		t.add(r)
		event, _, _ := cutLast(r.ID, '/')
		t.Count += max(r.Count-t.counts[event], 0)
		t.counts[event] = max(r.Count, t.counts[event])
	}
	groups := make([]TextData, len(order))
	for i, t := range order {
		groups[i] = t.TextData
	}
	slices.SortStableFunc(groups, func(a, b TextData) int { return cmp.Compare(b.Times, a.Times) })
	return groups
}

// add counts one more record of the group, but for Count.
func (d *TextData) add(r *record.Record) {
	one := newTextData(r)
	d.Record, d.Host, d.Related, d.CountDelta = r, one.Host, one.Related, one.CountDelta
	d.Times += one.Times
	d.Exact = d.Exact && one.Exact
	d.Records++
	d.IDs = append(d.IDs, r.ID)
}

// objectOf is the object without what differs between events about it.
func objectOf(r *record.Record) record.Object {
	o := r.Object
	o.FieldPath, o.APIVersion = "", ""
	return o
}

func cutLast(s string, sep byte) (before, after string, found bool) {
	if i := strings.LastIndexByte(s, sep); i >= 0 {
		return s[:i], s[i+1:], true
	}
	return s, "", false
}

func totalOf(groups []TextData) TextData {
	total := TextData{Exact: true}
	for _, g := range groups {
		total.Times += g.Times
		total.Exact = total.Exact && g.Exact
	}
	return total
}

// timesOf is how many occurrences there are, with a plus where there may be more.
func timesOf(groups []TextData) string {
	total := totalOf(groups)
	text := strconv.FormatInt(total.Times, 10)
	if !total.Exact {
		text += "+"
	}
	return text
}

func plural(noun string, n int64, more bool) string {
	if n == 1 && !more {
		return noun
	}
	return noun + "s"
}

// jsonLength is at least how long the text is in JSON.
func jsonLength(s string) int {
	n := 0
	for _, r := range s {
		switch {
		case r == '"' || r == '\\' || r == '\n' || r == '\t' || r == '\r':
			n += 2
		case r < ' ' || r == 0x7f || r == '\u2028' || r == '\u2029':
			n += 6
		default:
			n += utf8.RuneLen(r)
		}
	}
	return n
}

// escapeSlack keeps a value from mentioning people and channels, and from making links of its own ("Formatting text for
// app surfaces").
func escapeSlack(s string) string { return slackEscapes.Replace(s) }

var slackEscapes = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;")

// escapeTeams does the same for the Markdown of Adaptive Cards: no links, no mentions.
func escapeTeams(s string) string { return teamsEscapes.Replace(s) }

// A backslash of the value's own would take the meaning from the one that is put before a bracket.
var teamsEscapes = strings.NewReplacer(`\`, `\\`, "[", `\[`, "]", `\]`, "<", "&lt;")

func slackBody(lines []string) ([]byte, error) {
	return marshal(map[string]string{"text": strings.Join(lines, "\n• ")})
}

// teamsBody is a message with an Adaptive Card, a block of text a line.
func teamsBody(lines []string) ([]byte, error) {
	type block struct {
		Type    string `json:"type"`
		Text    string `json:"text"`
		Wrap    bool   `json:"wrap"`
		Spacing string `json:"spacing,omitempty"`
	}
	blocks := make([]block, len(lines))
	for i, line := range lines {
		blocks[i] = block{Type: "TextBlock", Text: line, Wrap: true, Spacing: "Small"}
	}
	card := map[string]any{
		"$schema": "http://adaptivecards.io/schemas/adaptive-card.json", "type": "AdaptiveCard", "version": "1.4",
		"msteams": map[string]string{"width": "Full"}, "body": blocks,
	}
	return marshal(map[string]any{
		"type":        "message",
		"attachments": []any{map[string]any{"contentType": "application/vnd.microsoft.card.adaptive", "contentUrl": nil, "content": card}},
	})
}

// slackTook knows "ok", nothing at all and JSON, as what is compatible with Slack answers. Some say in it, with a 200, that
// they did not take the message: Slack's own chat.postMessage, which is no webhook, among them.
func slackTook(c call, body string) error {
	var said struct{ OK, Success any }
	_ = json.Unmarshal([]byte(body), &said) // of what is no object nothing is known
	switch {
	case said.OK == false || said.Success == false:
		return fmt.Errorf("%s: the message was not taken: %s", c.shown, c.clean(body))
	case body == "" || body == "ok" || json.Valid([]byte(body)):
		return nil
	}
	return fmt.Errorf("%s: not an answer that a webhook gives to what it took; check the URL: %s", c.shown, c.clean(body))
}

// teamsTook knows the answers of Workflows (nothing, or JSON) and of the older webhooks, which say "1", or 200 and in the
// text what went wrong.
func teamsTook(c call, body string) error {
	if body == "" || json.Valid([]byte(body)) {
		return nil
	}
	err := fmt.Errorf("%s: the message was not taken: %s", c.shown, c.clean(body))
	if bytes.Contains([]byte(body), []byte("429")) {
		return &RetryAfter{Err: err, After: teamsBusy}
	}
	return err
}
