package sink

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"github.com/eventbaton/baton/agent/record"
)

// chatFake is an incoming webhook of Slack, or one of Teams with Workflows. It keeps the texts that it took.
type chatFake struct {
	mu      sync.Mutex
	texts   []string
	methods []string
}

func (f *chatFake) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	body, _ := io.ReadAll(req.Body)
	text, err := chatText(body)
	f.mu.Lock()
	f.methods = append(f.methods, req.Method)
	f.mu.Unlock()
	switch {
	case req.Method != http.MethodPost || req.Header.Get("Content-Type") != "application/json" || err != nil:
		http.Error(w, "invalid_payload", http.StatusBadRequest)
		return
	case text == "":
		http.Error(w, "no_text", http.StatusBadRequest)
		return
	}
	f.mu.Lock()
	f.texts = append(f.texts, text)
	f.mu.Unlock()
	if strings.Contains(string(body), "AdaptiveCard") {
		w.WriteHeader(http.StatusAccepted)
		return
	}
	io.WriteString(w, "ok")
}

// chatText is what people see of a message: the lines.
func chatText(body []byte) (string, error) {
	var m struct {
		Text        string
		Type        string
		Attachments []struct {
			ContentType string
			Content     struct {
				Type, Version string
				Body          []struct {
					Type, Text string
					Wrap       bool
				}
			}
		}
	}
	if err := json.Unmarshal(body, &m); err != nil {
		return "", err
	}
	if m.Type != "message" {
		if utf8.RuneCountInString(m.Text) > 40_000 {
			return "", errors.New("too long: it would be cut")
		}
		return m.Text, nil
	}
	if len(body) > 28<<10 {
		return "", errors.New("too large")
	}
	if len(m.Attachments) != 1 || m.Attachments[0].ContentType != "application/vnd.microsoft.card.adaptive" || m.Attachments[0].Content.Type != "AdaptiveCard" {
		return "", errors.New("no card")
	}
	var lines []string
	for _, b := range m.Attachments[0].Content.Body {
		if b.Type != "TextBlock" || !b.Wrap {
			return "", errors.New("no block of text")
		}
		lines = append(lines, b.Text)
	}
	return strings.Join(lines, "\n• "), nil
}

func openSlack(t *testing.T, url string, configure func(*SlackOptions)) *slack {
	t.Helper()
	o := newSlackOptions()
	o.URLFile = tempFile(t, url+"/services/T0/B0/hunter2\n")
	if configure != nil {
		configure(o)
	}
	s := openSink[*slack](t, o)
	s.opts.Interval = 0 // shorter than one may configure: real time is not to be waited for
	return s
}

func withDelta(r *record.Record, delta int64) *record.Record {
	c := *r
	c.CountDelta = &delta
	return &c
}

// One message stands for a burst: a line an object and reason, with exact counts.
func TestSlackMessage(t *testing.T) {
	rs := records(3)
	for _, r := range rs {
		r.ClusterName, r.Count = "prod <1>", 1
	}
	again := *rs[1] // another version of the second
	again.ID, again.Count, again.Message = strings.TrimSuffix(again.ID, "48001")+"48100", 41, "a & <!channel>\nb"
	other := *rs[1] // another event of the same reason, of before
	other.ID, other.Count = "c/other/7", 5
	failed := *rs[2]
	failed.ID, failed.Reason = "c/failed/9", "Failed"
	for name, c := range map[string]struct {
		batch []*record.Record
		want  string
	}{
		"one": {
			[]*record.Record{withDelta(rs[0], 1)},
			"*1 Warning event* in prod &lt;1&gt;\n• *BackOff* Pod shop/web-7d4b9c6f5-00000: Back-off restarting failed container web in pod web-7d4b9c6f5-00000",
		},
		"several": {
			[]*record.Record{withDelta(rs[0], 1), withDelta(rs[1], 1), withDelta(&again, 40), withDelta(&failed, 2)},
			"*44 Warning events about 3 objects* in prod &lt;1&gt;\n• *BackOff* Pod shop/web-7d4b9c6f5-00001 ×41: a &amp; &lt;!channel&gt; b\n" +
				"• *Failed* Pod shop/web-7d4b9c6f5-00002 ×2: Back-off restarting failed container web in pod web-7d4b9c6f5-00002\n" +
				"• *BackOff* Pod shop/web-7d4b9c6f5-00000: Back-off restarting failed container web in pod web-7d4b9c6f5-00000",
		},
		"not known how many are new": {
			[]*record.Record{rs[1], withDelta(&again, 40), &other},
			"*42+ Warning events* in prod &lt;1&gt;\n• *BackOff* Pod shop/web-7d4b9c6f5-00001 ×42+ (46 in all): Back-off restarting failed container web in pod web-7d4b9c6f5-00001",
		},
		"handed over twice": {
			[]*record.Record{withDelta(rs[0], 1), withDelta(rs[0], 0)},
			"*1 Warning event* in prod &lt;1&gt;\n• *BackOff* Pod shop/web-7d4b9c6f5-00000: Back-off restarting failed container web in pod web-7d4b9c6f5-00000",
		},
	} {
		t.Run(name, func(t *testing.T) {
			fake := &chatFake{}
			s := openSlack(t, newReceiver(t, func(r *receiver) { r.Config.Handler = fake }).URL, nil)
			must(t, s.Send(t.Context(), c.batch))
			same(t, "messages", fake.texts, []string{c.want})
		})
	}
}

// What a message has no room for is counted: of a large batch no occurrence is missing from the counts.
func TestSlackLargeBatch(t *testing.T) {
	var batch []*record.Record
	want := int64(0)
	for i, r := range records(900) {
		r.Reason = fmt.Sprintf("Reason%d", i%9)
		r.Message = strings.Repeat("\"\\<>&\n ä", 200)
		n := int64(i%7) + 1
		want += n
		batch = append(batch, withDelta(r, n))
	}
	for format, lines := range map[string][]int{formatSlack: {1, 20, 100}, formatTeams: {1, 20, 100}} {
		for _, n := range lines {
			fake := &chatFake{}
			s := openSlack(t, newReceiver(t, func(r *receiver) { r.Config.Handler = fake }).URL, func(o *SlackOptions) {
				o.Format, o.MaxLines = format, n
				o.Template = "TIMES={{.Times}} {{.Message}}"
			})
			must(t, s.Send(t.Context(), batch))
			text := fake.texts[0]
			shown := strings.Split(text, "\n• ")
			if len(shown) > n+2 || !strings.Contains(shown[0], fmt.Sprintf("%d Warning events about 900 objects", want)) {
				t.Errorf("%s: %d lines, the first %q", format, len(shown), shown[0])
			}
			got := sumOf(regexp.MustCompile(`TIMES=(\d+)`), text)
			rest := shown[len(shown)-1]
			counted := sumOf(regexp.MustCompile(`^and \d+ more lines?, (\d+) events?:`), rest)
			if got+counted != want || sumOf(regexp.MustCompile(`(?:Reason\d|others) (\d+)`), rest) != counted {
				t.Errorf("%s, %d lines: %d + %d of %d: %q", format, n, got, counted, want, rest)
			}
		}
	}
}

func sumOf(pattern *regexp.Regexp, text string) int64 {
	sum := int64(0)
	for _, found := range pattern.FindAllStringSubmatch(text, -1) {
		n, _ := strconv.ParseInt(found[1], 10, 64)
		sum += n
	}
	return sum
}

func TestTeamsMessage(t *testing.T) {
	fake := &chatFake{}
	s := openSlack(t, newReceiver(t, func(r *receiver) { r.Config.Handler = fake }).URL, func(o *SlackOptions) { o.Format = formatTeams })
	r := records(1)[0]
	r.Message, r.Type = "see [this](https://evil.test) <at>all</at>", ""
	must(t, s.Send(t.Context(), []*record.Record{withDelta(r, 1)}))
	same(t, "messages", fake.texts, []string{
		"**1 event**\n• **BackOff** Pod shop/web-7d4b9c6f5-00000: see \\[this\\](https://evil.test) &lt;at>all&lt;/at>",
	})
}

func TestSlackTemplate(t *testing.T) {
	fake := &chatFake{}
	url := newReceiver(t, func(r *receiver) { r.Config.Handler = fake }).URL
	s := openSlack(t, url, func(o *SlackOptions) {
		o.Template = `<https://x.test/{{.Object.UID}}|{{.Object.Name}}> {{join " " .IDs}} {{.Records}}`
	})
	batch := records(2)
	batch[1].Object = batch[0].Object
	must(t, s.Send(t.Context(), batch))
	if want := "<https://x.test/" + batch[0].Object.UID + "|web-7d4b9c6f5-00000> " + batch[0].ID + " " + batch[1].ID + " 2"; !strings.HasSuffix(fake.texts[0], want) {
		t.Errorf("got %q, want %q in it", fake.texts[0], want)
	}
	s = openSlack(t, url, func(o *SlackOptions) { o.Template = "{{with .Action}}{{.}}{{end}}" })
	must(t, s.Send(t.Context(), batch[:1]))
	if got := fake.texts[1]; got != "*1+ Warning events*\n• BackOff" {
		t.Errorf("a line without text: %q", got)
	}
}

// chatClock counts the messages of a sink whose posting is the test's.
type chatClock struct {
	mu   sync.Mutex
	at   []time.Duration
	sent [][]string
	fail func(batch []*record.Record) error
}

func (c *chatClock) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.sent)
}

func openPaced(t *testing.T, interval time.Duration) (*slack, *chatClock) {
	t.Helper()
	c, start := &chatClock{}, time.Now()
	o := newSlackOptions()
	o.URLFile, o.Interval = "/url", Duration(interval)
	s := openSink[*slack](t, o)
	s.send = func(_ context.Context, batch []*record.Record) error {
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.fail != nil {
			if err := c.fail(batch); err != nil {
				return err
			}
		}
		c.at, c.sent = append(c.at, time.Since(start)), append(c.sent, ids(batch))
		return nil
	}
	return s, c
}

// At most one message goes in an interval, and a Send returns when its message is acknowledged, not before.
func TestSlackIsRateLimited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, c := openPaced(t, 10*time.Second)
		all := records(4)
		for i, want := range []time.Duration{0, 10 * time.Second, 20 * time.Second} {
			must(t, s.Send(t.Context(), all[i:i+1]))
			if len(c.at) != i+1 || c.at[i] != want {
				t.Fatalf("messages at %v", c.at)
			}
		}
		time.Sleep(time.Minute)
		must(t, s.Send(t.Context(), all[3:]))
		if c.at[3] != 80*time.Second {
			t.Errorf("messages at %v", c.at)
		}
	})
}

// The Sends of several streams that wait for the same turn share a message; each returns with what became of it.
func TestSlackStreamsShareAMessage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, c := openPaced(t, 10*time.Second)
		all := records(31)
		must(t, s.Send(t.Context(), all[:1]))
		var streams sync.WaitGroup
		for i := range 10 {
			streams.Go(func() { must(t, s.Send(t.Context(), all[1+3*i:4+3*i])) })
		}
		streams.Wait()
		if len(c.sent) != 2 || len(c.sent[1]) != 30 || c.at[1] != 10*time.Second {
			t.Errorf("messages at %v with %v", c.at, c.sent)
		}
		slices.Sort(c.sent[1])
		same(t, "records", c.sent[1], ids(all[1:]))
	})
}

// A message that several streams share is never refused for good: of one that is alone is judged.
func TestSlackRefusalIsOfOneStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, c := openPaced(t, time.Second)
		all := records(21)
		bad := all[7].ID
		c.fail = func(batch []*record.Record) error {
			if slices.Contains(ids(batch), bad) {
				return &Refused{errors.New("invalid_payload")}
			}
			return nil
		}
		must(t, s.Send(t.Context(), all[20:]))
		var streams sync.WaitGroup
		var mu sync.Mutex
		var refused []string
		for part := range slices.Chunk(all[:20], 5) {
			streams.Go(func() {
				given := deliver(t, s, part, func(error) { time.Sleep(250 * time.Millisecond) })
				mu.Lock()
				refused = append(refused, given...)
				mu.Unlock()
			})
		}
		streams.Wait()
		same(t, "refused", refused, []string{bad})
		got := slices.Concat(c.sent...)
		slices.Sort(got)
		same(t, "sent", got, ids(all[:7], all[8:]))
		if s.apart {
			t.Error("messages are apart for ever")
		}
	})
}

func TestSlackWaitsAsLongAsAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, c := openPaced(t, time.Second)
		c.fail = func([]*record.Record) error { return &RetryAfter{errors.New("429"), 30 * time.Second} }
		if err := s.Send(t.Context(), records(1)); err == nil {
			t.Fatal("no error")
		}
		c.fail = nil
		must(t, s.Send(t.Context(), records(1))) // another stream, which wasn't told
		if c.at[0] != 30*time.Second {
			t.Errorf("messages at %v", c.at)
		}
	})
}

// A Send that is called off while it waits returns at once, and so do those that count on it; nothing is posted.
func TestSlackCalledOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, c := openPaced(t, time.Hour)
		all := records(3)
		must(t, s.Send(t.Context(), all[:1]))
		deposed := errors.New("deposed")
		first, callOff := context.WithCancelCause(t.Context())
		errs := make(chan error, 2)
		go func() { errs <- s.Send(first, all[1:2]) }()
		synctest.Wait()
		go func() { errs <- s.Send(t.Context(), all[2:]) }()
		synctest.Wait()
		before := time.Now()
		callOff(deposed)
		for range 2 {
			if err := <-errs; !errors.Is(err, deposed) {
				t.Errorf("error %v", err)
			}
		}
		// One that only joined leaves by itself.
		go func() { errs <- s.Send(t.Context(), all[1:2]) }()
		synctest.Wait()
		joined, leave := context.WithCancelCause(t.Context())
		leave(deposed)
		if err := s.Send(joined, all[2:]); !errors.Is(err, deposed) {
			t.Errorf("error %v", err)
		}
		if time.Since(before) > 0 || c.count() != 1 {
			t.Errorf("after %v: %d messages", time.Since(before), c.count())
		}
		if err := <-errs; err != nil || c.count() != 2 {
			t.Errorf("%d messages, %v", c.count(), err)
		}
	})
}

func TestSlackAnswers(t *testing.T) {
	status, body, after := 0, "", ""
	r := newReceiver(t, func(r *receiver) {
		r.answer = func(w http.ResponseWriter, _ *http.Request) {
			if after != "" {
				w.Header().Set("Retry-After", after)
			}
			w.WriteHeader(status)
			io.WriteString(w, body)
		}
	})
	for _, c := range []struct {
		format  string
		status  int
		body    string
		after   string
		refused bool
		wait    time.Duration
		says    string
	}{
		{"slack", 200, "ok", "", false, 0, ""},
		{"slack", 200, "", "", false, 0, ""},
		{"slack", 200, `{"success":true}`, "", false, 0, ""},
		{"slack", 200, `{"ok":true,"ts":"1"}`, "", false, 0, ""},
		{"slack", 200, `{"ok":false,"error":"not_authed"}`, "", false, 0, "was not taken: {\"ok\":false,\"error\":\"not_authed\"}"},
		{"slack", 200, `{"success":false}`, "", false, 0, "was not taken"},
		{"slack", 200, "<html>hotel</html>", "", false, 0, "not an answer that a webhook gives"},
		{"slack", 400, "invalid_payload", "", true, 0, "invalid_payload"},
		{"slack", 403, "action_prohibited", "", false, 0, "action_prohibited"},
		{"slack", 404, "no_service", "", false, 0, "no_service"},
		{"slack", 410, "channel_is_archived", "", false, 0, "channel_is_archived"},
		{"slack", 429, "rate_limited", "0", false, 0, "rate_limited"},
		{"slack", 500, "rollup_error", "", false, 0, "rollup_error"},
		{"teams", 202, "", "", false, 0, ""},
		{"teams", 200, "1", "", false, 0, ""},
		{"teams", 200, "Webhook message delivery failed with error: Microsoft Teams endpoint returned HTTP error 429", "", false, teamsBusy, "was not taken"},
		{"teams", 200, "Webhook Bad Request - Null or empty event", "", false, 0, "was not taken"},
	} {
		status, body, after = c.status, c.body, c.after
		err := openSlack(t, r.URL, func(o *SlackOptions) { o.Format = c.format }).Send(t.Context(), records(2))
		_, refused := errors.AsType[*Refused](err)
		var wait time.Duration
		if asked, ok := errors.AsType[*RetryAfter](err); ok {
			wait = asked.After
		}
		if (err == nil) != (c.says == "") || refused != c.refused || wait != c.wait || err != nil && !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s %d %s: %v, refused %v, wait %v", c.format, c.status, c.body, err, refused, wait)
		}
		if err != nil && strings.Contains(err.Error(), "hunter2") {
			t.Errorf("the URL is in %v", err)
		}
	}
}

// A value can't take the meaning from what escapes it.
func TestTeamsEscapes(t *testing.T) {
	for in, want := range map[string]string{
		"[a](b)":      `\[a\](b)`,
		`\[a\](b)`:    `\\\[a\\\](b)`,
		`\\[a\\](b)`:  `\\\\\[a\\\\\](b)`,
		`C:\dir <at>`: `C:\\dir &lt;at>`,
	} {
		if got := escapeTeams(in); got != want {
			t.Errorf("%s: %s, want %s", in, got, want)
		}
	}
}

func TestSlackProbe(t *testing.T) {
	fake := &chatFake{}
	r := newReceiver(t, func(r *receiver) { r.Config.Handler = fake })
	for format, method := range map[string]string{formatSlack: "POST", formatTeams: "GET"} {
		must(t, openSlack(t, r.URL, func(o *SlackOptions) { o.Format = format }).Probe(t.Context()))
		if got := fake.methods[len(fake.methods)-1]; got != method || len(fake.texts) > 0 {
			t.Errorf("%s: %s, and %q was posted", format, got, fake.texts)
		}
	}
	for name, s := range map[string]*slack{
		"no_service": openSlack(t, newReceiver(t, func(r *receiver) {
			r.answer = func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no_service", http.StatusNotFound) }
		}).URL, nil),
		"url_file": openSlack(t, r.URL, func(o *SlackOptions) { o.URLFile = "/nowhere" }),
	} {
		for _, err := range []error{s.Probe(t.Context()), s.Send(t.Context(), records(1))} {
			if err == nil || !strings.Contains(err.Error(), name) || strings.Contains(err.Error(), "hunter2") {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}

// 10,000 records through every fault: none is lost, and each id is acknowledged.
func TestSlackThroughFaults(t *testing.T) {
	fake := &chatFake{}
	f := newFaulty(t, fake.ServeHTTP)
	f.receiver.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		req.Header.Set("Authorization", "URL "+filepath.Base(req.URL.Path))
		f.ServeHTTP(w, req)
	})
	urlFile := filepath.Join(t.TempDir(), "url")
	renew := func(s *slack) {
		token, err := os.ReadFile(f.tokenFile)
		must(t, err)
		write(t, urlFile, f.URL+"/services/"+string(token))
		if s != nil {
			forget(s.url)
			s.next = time.Time{} // nobody waits here for what 429 asks
		}
	}
	renew(nil)
	s := openSlack(t, "", func(o *SlackOptions) {
		o.URLFile, o.TLS.CAFile, o.Timeout = urlFile, f.caFile, Duration(500*time.Millisecond)
		o.Template, o.MaxLines, o.MaxBatchRecords = `{{join " " .IDs}}`, 100, 100
	})
	all := records(10_000)
	if refused := deliver(t, s, all, func(error) { renew(s) }); len(refused) > 0 {
		t.Errorf("refused %v", refused)
	}
	f.allHappened(t)
	stored := map[string]int{}
	for _, text := range fake.texts {
		for line := range strings.SplitSeq(text, "\n• ") {
			for id := range strings.FieldsSeq(line) {
				if strings.Contains(id, "/") {
					stored[id]++
				}
			}
		}
	}
	lost := 0
	for _, r := range all {
		if stored[r.ID] == 0 {
			lost++
		}
	}
	if lost > 0 || len(stored) != len(all) {
		t.Errorf("%d lost, %d of %d stored", lost, len(stored), len(all))
	}
}

func TestSlackCheck(t *testing.T) {
	for _, c := range []struct {
		name string
		set  func(o *SlackOptions)
		keys string
	}{
		{"defaults and a URL", func(*SlackOptions) {}, ""},
		{"everything", func(o *SlackOptions) {
			o.Format, o.Template, o.Interval, o.MaxLines = "teams", "{{.Reason}}", Duration(time.Minute), 5
			o.ProxyURL, o.TLS, o.MaxBatchRecords = "http://p:1", TLSOptions{CAFile: "/ca"}, 10
		}, ""},
		{"no URL", func(o *SlackOptions) { o.URLFile = "" }, "url_file"},
		{"format", func(o *SlackOptions) { o.Format = "irc" }, "format"},
		{"numbers", func(o *SlackOptions) { o.Interval, o.MaxLines, o.Timeout, o.MaxBatchRecords = 0, 0, 0, 0 },
			"interval max_lines timeout max_batch_records"},
		{"large numbers", func(o *SlackOptions) { o.Interval, o.MaxLines, o.Timeout, o.MaxBatchRecords = 1<<62, 101, 1<<62, 1<<30 },
			"interval max_lines timeout max_batch_records"},
		{"template", func(o *SlackOptions) { o.Template = "{{.Mesage}}" }, "template"},
		{"others", func(o *SlackOptions) { o.ProxyURL, o.TLS.KeyFile = "p", "/k" }, "proxy_url tls.cert_file"},
	} {
		o := newSlackOptions()
		o.URLFile = "/url"
		c.set(o)
		if got := problemKeys(o); got != c.keys {
			t.Errorf("%s: problems with %q, want %q", c.name, got, c.keys)
		}
	}
	s := openSlack(t, "http://h", func(o *SlackOptions) { o.MaxBatchRecords = 7 })
	if l := s.Limits(); l.Records != 7 || l.Bytes != 1<<20 {
		t.Errorf("limits %+v", l)
	}
}

// FuzzSlack: whatever events say, both formats take the message, its counts are those of its records, and what events
// say neither mentions anyone nor links anywhere.
func FuzzSlack(f *testing.F) {
	f.Add("BackOff", "Back-off", "web", "production", int64(3), uint8(4))
	f.Add("", "<!channel> [x](http://y) &amp;", "\x00<@U1>", "<c>", int64(-1), uint8(255))
	f.Add(strings.Repeat("é", 2000), strings.Repeat("\x01\"", 5000), "", "", int64(0), uint8(1))
	o := newSlackOptions()
	o.URLFile = "/url"
	var sinks [2]*slack
	for i, format := range []string{formatSlack, formatTeams} {
		o.Format = format
		s, err := o.Open(Environment{})
		must(f, err)
		f.Cleanup(func() { s.Close() })
		sinks[i] = s.(*slack)
	}
	f.Fuzz(func(t *testing.T, reason, message, name, cluster string, delta int64, n uint8) {
		batch := make([]*record.Record, int(n)+1)
		sum := int64(0)
		for i := range batch {
			r := TemplateExample()
			r.ID, r.Reason = fmt.Sprint("c/e/", i), strings.ToValidUTF8(reason, "")
			r.Message, r.ClusterName = strings.ToValidUTF8(message, ""), strings.ToValidUTF8(cluster, "")
			r.Object.Name = fmt.Sprint(strings.ToValidUTF8(name, ""), i%40)
			batch[i] = withDelta(r, max(delta%1000, 0))
			sum += *batch[i].CountDelta
		}
		if total := totalOf(group(batch)); total.Times != sum || !total.Exact {
			t.Errorf("%d occurrences of %d", total.Times, sum)
		}
		for _, s := range sinks {
			body, err := s.encode(batch)
			must(t, err)
			text, err := chatText(body)
			if err != nil || !strings.Contains(text, fmt.Sprint(sum)) || strings.Contains(text, "<") {
				t.Errorf("%s: %v: %.300q", s.opts.Format, err, text)
			}
		}
	})
}
