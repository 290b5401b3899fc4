package sink

import (
	"bufio"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestWebhookSendsRecords(t *testing.T) {
	for _, method := range []string{"POST", "PUT"} {
		for format, contentType := range map[string]string{"json": "application/json", "ndjson": "application/x-ndjson"} {
			for _, compress := range []bool{false, true} {
				t.Run(fmt.Sprint(method, format, compress), func(t *testing.T) {
					r := newReceiver(t, nil)
					w := openWebhook(t, r.URL+"/events?key=1", func(o *WebhookOptions) {
						o.Method, o.Format, o.Gzip = method, format, compress
						o.Headers = map[string]string{"x-team": "platform"}
					})
					for _, n := range []int{1, 30} {
						batch := records(n)
						must(t, w.Send(t.Context(), batch))
						got := r.last(t)
						same(t, "records", got.ids(t), ids(batch))
						if got.Method != method || got.RequestURI != "/events?key=1" ||
							got.Header.Get("Content-Type") != contentType || got.Header.Get("X-Team") != "platform" ||
							got.UserAgent() != "baton/1.2.3" || got.ContentLength != int64(len(got.body)) {
							t.Errorf("%s %s %v", got.Method, got.RequestURI, got.Header)
						}
						if _, sent := got.Header["Idempotency-Key"]; sent {
							t.Error("an Idempotency-Key was sent")
						}
					}
				})
			}
		}
	}
}

func TestWebhookLimits(t *testing.T) {
	w := openWebhook(t, "http://h/", func(o *WebhookOptions) { o.MaxBatchRecords, o.MaxBatchBytes = 7, 1000 })
	if got := w.Limits(); got != (Limits{Records: 7, Bytes: 1000}) {
		t.Errorf("limits %+v", got)
	}
}

func TestWebhookCredentials(t *testing.T) {
	r := newReceiver(t, nil)
	userinfo := strings.Replace(r.URL, "http://", "http://me:hunter2@", 1)
	basic := "Basic bWU6aHVudGVyMg==" // me:hunter2
	for _, c := range []struct {
		name         string
		set          func(o *WebhookOptions)
		header, want string
	}{
		{"bearer", func(o *WebhookOptions) { o.BearerTokenFile = tempFile(t, "tok\n") }, "Authorization", "Bearer tok"},
		{"basic", func(o *WebhookOptions) { o.BasicAuth = BasicAuth{"me", tempFile(t, "hunter2\n")} }, "Authorization", basic},
		{"header", func(o *WebhookOptions) { o.HeaderFiles = map[string]string{"x-api-key": tempFile(t, "k")} }, "X-Api-Key", "k"},
		{"URL's user", func(o *WebhookOptions) { o.URL, o.URLFile = "", tempFile(t, userinfo) }, "Authorization", basic},
		{"bearer over URL's user", func(o *WebhookOptions) {
			o.URL, o.URLFile, o.BearerTokenFile = "", tempFile(t, userinfo), tempFile(t, "tok")
		}, "Authorization", "Bearer tok"},
	} {
		t.Run(c.name, func(t *testing.T) {
			must(t, openWebhook(t, r.URL, c.set).Send(t.Context(), records(1)))
			if got := r.last(t).Header[c.header]; !slices.Equal(got, []string{c.want}) {
				t.Errorf("%s: %q, want %q", c.header, got, c.want)
			}
		})
	}
}

func TestWebhookSignature(t *testing.T) {
	r := newReceiver(t, nil)
	for _, compress := range []bool{false, true} {
		w := openWebhook(t, r.URL, func(o *WebhookOptions) { o.HMAC.SecretFile, o.Gzip = tempFile(t, "s3cret\n"), compress })
		must(t, w.Send(t.Context(), records(3)))
		got := r.last(t)
		at := got.Header.Get("X-Baton-Timestamp")
		if seconds, err := strconv.ParseInt(at, 10, 64); err != nil || time.Since(time.Unix(seconds, 0)) > time.Minute {
			t.Errorf("timestamp %q", at)
		}
		mac := hmac.New(sha256.New, []byte("s3cret"))
		fmt.Fprintf(mac, "%s.%s", at, got.body)
		if want := "sha256=" + hex.EncodeToString(mac.Sum(nil)); got.Header.Get("X-Baton-Signature") != want {
			t.Errorf("signature %q, want %q", got.Header.Get("X-Baton-Signature"), want)
		}
	}
}

func TestWebhookAnswers(t *testing.T) {
	var status int
	var after string
	r := newReceiver(t, func(r *receiver) {
		r.answer = func(w http.ResponseWriter, _ *http.Request) {
			if after != "" {
				w.Header().Set("Retry-After", after)
			}
			w.WriteHeader(status)
			if status != 204 && status != 304 {
				io.WriteString(w, " this is\n\x00the \xffreason ")
			}
		}
	})
	w := openWebhook(t, r.URL+"/in", nil)
	for _, c := range []struct {
		status  int
		after   string
		refused bool
		wait    time.Duration
		says    string
	}{
		{200, "", false, 0, ""},
		{202, "", false, 0, ""},
		{204, "", false, 0, ""},
		{304, "", false, 0, "redirects are not followed"},
		{400, "9", true, 0, "answered 400 Bad Request: this is the reason"},
		{401, "9", false, 0, "check the credentials"},
		{403, "", false, 0, "check the credentials"},
		{404, "", false, 0, "check the URL"},
		{405, "", false, 0, "check the URL"},
		{407, "", false, 0, "check the proxy"},
		{408, "", false, 0, "answered 408 Request Timeout: this is the reason"},
		{409, "", false, 0, "not an answer that a receiver of records gives"},
		{413, "", true, 0, "answered 413"},
		{422, "", true, 0, "answered 422"},
		{425, "1", false, time.Second, "answered 425"},
		{429, "2", false, 2 * time.Second, "answered 429 Too Many Requests: this is the reason"},
		{429, "999999", false, 5 * time.Minute, "answered 429"},
		{429, "soon", false, 0, "answered 429"},
		{500, "", false, 0, "answered 500"},
		{503, "Fri, 31 Dec 2999 23:59:59 GMT", false, 5 * time.Minute, "answered 503"},
		{599, "", false, 0, "answered 599:"},
	} {
		t.Run(fmt.Sprint(c.status, c.after), func(t *testing.T) {
			status, after = c.status, c.after
			err := w.Send(t.Context(), records(2))
			wantOutcome(t, err, c.refused, c.wait, c.says)
		})
	}
	if r.connections != 1 {
		t.Errorf("%d connections: an answer that was not read to its end?", r.connections)
	}
}

func wantOutcome(t *testing.T, err error, refused bool, wait time.Duration, says string) {
	t.Helper()
	if says == "" {
		if err != nil {
			t.Error(err)
		}
		return
	}
	if err == nil || !strings.Contains(err.Error(), says) || !strings.Contains(err.Error(), "/in: ") {
		t.Fatalf("error %v, want one that says %q", err, says)
	}
	if _, got := errors.AsType[*Refused](err); got != refused {
		t.Errorf("refused %v, want %v: %v", got, refused, err)
	}
	var got time.Duration
	if r, ok := errors.AsType[*RetryAfter](err); ok {
		got = r.After
	}
	if got != wait {
		t.Errorf("retry after %v, want %v", got, wait)
	}
}

func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)
	for header, want := range map[string]time.Duration{
		"": 0, "0": 0, "-3": 0, "soon": 0, "1.5": 0, " 30 ": 30 * time.Second, "300": 5 * time.Minute,
		"301": 5 * time.Minute, "99999999999999999999999": 5 * time.Minute, "-99999999999999999999999": 0,
		"Wed, 01 Jul 2026 12:00:20 GMT":     20 * time.Second,
		"Wednesday, 01-Jul-26 12:00:20 GMT": 20 * time.Second,
		"Wed, 01 Jul 2026 11:00:00 GMT":     0,
		"Wed, 01 Jul 2099 11:00:00 GMT":     5 * time.Minute,
		"Mon, 01 Jan 9999 00:00:00 GMT":     5 * time.Minute,
	} {
		if got := retryAfter(header, now); got != want {
			t.Errorf("%q: %v, want %v", header, got, want)
		}
	}
}

func TestWebhookFollowsNoRedirect(t *testing.T) {
	elsewhere := newReceiver(t, nil)
	for _, code := range []int{301, 302, 303, 307, 308} {
		r := newReceiver(t, func(r *receiver) {
			r.answer = http.RedirectHandler(elsewhere.URL+"/steal?token=hunter2", code).ServeHTTP
		})
		err := openWebhook(t, r.URL+"/in", nil).Send(t.Context(), records(1))
		wantOutcome(t, err, false, 0, fmt.Sprintf("redirects are not followed, so that records and secrets go only where "+
			"the configuration says; this one points to %q", elsewhere.URL))
	}
	if elsewhere.count() != 0 {
		t.Error("records went where the configuration doesn't say")
	}
}

// Receivers echo what they got, also in answers that are no HTTP.
func TestWebhookErrorsTellNoSecret(t *testing.T) {
	echo := func(w http.ResponseWriter, req *http.Request) {
		w.WriteHeader(http.StatusUnauthorized)
		fmt.Fprintf(w, "%v %v %v", req.Header["X-Api-Key"], req.Header["Authorization"], req.RequestURI)
	}
	notHTTP := func(w http.ResponseWriter, req *http.Request) {
		conn, _, _ := w.(http.Hijacker).Hijack()
		fmt.Fprintf(conn, "%v %v %v\r\n\r\n", req.Header["X-Api-Key"], req.Header["Authorization"], req.RequestURI)
		conn.Close()
	}
	pieces := func(w http.ResponseWriter, req *http.Request) {
		w.WriteHeader(http.StatusNotFound)
		fmt.Fprintf(w, "Cannot POST %s; no hook %s for %q; %s", req.URL.Path, path.Base(req.URL.Path), req.URL.Query(),
			strings.ReplaceAll(req.RequestURI, "/", `\/`))
	}
	hangUp := func(w http.ResponseWriter, _ *http.Request) { panic(http.ErrAbortHandler) }
	redirect := func(w http.ResponseWriter, req *http.Request) {
		http.Redirect(w, req, "http://x.test"+req.RequestURI, http.StatusTemporaryRedirect)
	}
	for name, answer := range map[string]http.HandlerFunc{"echo": echo, "no HTTP": notHTTP, "pieces": pieces, "hang up": hangUp, "redirect": redirect} {
		t.Run(name, func(t *testing.T) {
			r := newReceiver(t, func(r *receiver) { r.answer = answer })
			key := func(o *WebhookOptions) { o.HeaderFiles = map[string]string{"x-api-key": tempFile(t, "hunter2-key")} }
			for _, w := range []*webhook{
				openWebhook(t, r.URL+"/a?token=hunter2-query", key),
				openWebhook(t, "", func(o *WebhookOptions) {
					key(o)
					o.URLFile = tempFile(t, strings.Replace(r.URL, "//", "//hunter2-user:hunter2-password@", 1)+"/hunter2-path?x=hunter2-query\n")
				}),
				openWebhook(t, r.URL, func(o *WebhookOptions) { o.BearerTokenFile = tempFile(t, "hunter2-token") }),
				openWebhook(t, r.URL, func(o *WebhookOptions) { o.BasicAuth = BasicAuth{"me", tempFile(t, "hunter2-password")} }),
			} {
				err := w.Send(t.Context(), records(1))
				if err == nil || strings.Contains(err.Error(), "hunter2") || strings.Contains(err.Error(), "aHVudGVy") {
					t.Errorf("error %v", err)
				}
			}
		})
	}
}

// What is no secret stays readable.
func TestWebhookErrorsAreReadable(t *testing.T) {
	r := newReceiver(t, func(r *receiver) {
		r.answer = func(w http.ResponseWriter, req *http.Request) {
			http.Error(w, "and/or "+req.URL.Path+" events", http.StatusNotFound)
		}
	})
	for path, want := range map[string]string{"": ": and/or / events", "/": ": and/or / events", "/in": ": and/or [redacted] events"} {
		w := openWebhook(t, "", func(o *WebhookOptions) { o.URLFile = tempFile(t, r.URL+path) })
		if err := w.Send(t.Context(), records(1)); err == nil || !strings.HasSuffix(err.Error(), want) {
			t.Errorf("%q: %v", path, err)
		}
	}
}

func TestWebhookFileProblemsAreRetried(t *testing.T) {
	r := newReceiver(t, nil)
	absent := filepath.Join(t.TempDir(), "absent")
	for key, set := range map[string]func(o *WebhookOptions){
		"url_file":                 func(o *WebhookOptions) { o.URL, o.URLFile = "", absent },
		"bearer_token_file":        func(o *WebhookOptions) { o.BearerTokenFile = absent },
		"basic_auth.password_file": func(o *WebhookOptions) { o.BasicAuth = BasicAuth{"me", absent} },
		"hmac.secret_file":         func(o *WebhookOptions) { o.HMAC.SecretFile = absent },
		"header_files.x-key":       func(o *WebhookOptions) { o.HeaderFiles = map[string]string{"x-key": absent} },
		"tls.ca_file":              func(o *WebhookOptions) { o.URL, o.TLS.CAFile = "https://127.0.0.1:1/", absent },
		"tls.cert_file":            func(o *WebhookOptions) { o.URL, o.TLS.CertFile, o.TLS.KeyFile = "https://127.0.0.1:1/", absent, absent },
	} {
		w := openWebhook(t, r.URL, set)
		err := w.Send(t.Context(), records(1))
		if err == nil || !strings.HasPrefix(err.Error(), key+": ") || !strings.Contains(err.Error(), absent) {
			t.Errorf("%s: error %v", key, err)
		}
		if _, refused := errors.AsType[*Refused](err); refused {
			t.Errorf("%s: refused", key)
		}
	}
	bad := tempFile(t, "hunter2")
	w := openWebhook(t, "", func(o *WebhookOptions) { o.URLFile = bad })
	if err := w.Send(t.Context(), records(1)); err == nil || !strings.Contains(err.Error(), bad) || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("no URL in url_file: error %v", err)
	}
	if r.count() != 0 {
		t.Error("a request was made without its secret")
	}
}

func TestWebhookSecretsRotate(t *testing.T) {
	one, two := newReceiver(t, nil), newReceiver(t, nil)
	dir, publish := mount(t)
	publish(map[string]string{"url": one.URL, "token": "first"})
	w := openWebhook(t, "", func(o *WebhookOptions) {
		o.URLFile, o.BearerTokenFile = filepath.Join(dir, "url"), filepath.Join(dir, "token")
	})
	must(t, w.Send(t.Context(), records(1)))
	publish(map[string]string{"url": two.URL, "token": "second"})
	w.expire()
	must(t, w.Send(t.Context(), records(1)))
	for r, want := range map[*receiver]string{one: "Bearer first", two: "Bearer second"} {
		if got := r.last(t).Header.Get("Authorization"); got != want || r.count() != 1 {
			t.Errorf("%d requests, the last with %q, want %q", r.count(), got, want)
		}
	}
}

func TestWebhookWarns(t *testing.T) {
	var log strings.Builder
	env := Environment{Log: slog.New(slog.NewTextHandler(&log, nil))}
	o := newWebhookOptions()
	o.URL, o.BearerTokenFile = "http://h/?token=hunter2", "/t"
	o.TLS.InsecureSkipVerify = true
	s, err := o.Open(env)
	must(t, err)
	closed(t, s)
	for _, want := range []string{"tls.insecure_skip_verify", "without TLS"} {
		if !strings.Contains(log.String(), want) || strings.Contains(log.String(), "hunter2") {
			t.Errorf("log %q, want %q in it", log.String(), want)
		}
	}
}

// A call that is called off returns at once, whatever the receiver is doing, and says whose doing it was.
func TestWebhookCalledOff(t *testing.T) {
	for name, answer := range map[string]http.HandlerFunc{
		"before the answer": func(w http.ResponseWriter, req *http.Request) { <-req.Context().Done() },
		"in its midst": func(w http.ResponseWriter, req *http.Request) {
			io.WriteString(w, "some")
			http.NewResponseController(w).Flush()
			<-req.Context().Done()
		},
	} {
		t.Run(name, func(t *testing.T) {
			arrived := make(chan struct{})
			r := newReceiver(t, func(r *receiver) {
				r.answer = func(w http.ResponseWriter, req *http.Request) { close(arrived); answer(w, req) }
			})
			w := openWebhook(t, r.URL, nil)
			deposed := errors.New("deposed")
			ctx, cancel := context.WithCancelCause(t.Context())
			go func() { <-arrived; cancel(deposed) }()
			start := time.Now()
			if err := w.Send(ctx, records(1)); !errors.Is(err, deposed) {
				t.Errorf("error %v, want the context's", err)
			}
			if took := time.Since(start); took > 2*time.Second {
				t.Errorf("took %v", took)
			}
		})
	}
}

func TestWebhookTimeout(t *testing.T) {
	r := newReceiver(t, func(r *receiver) {
		r.answer = func(w http.ResponseWriter, req *http.Request) { <-req.Context().Done() }
	})
	err := openWebhook(t, r.URL, func(o *WebhookOptions) { o.Timeout = Duration(50 * time.Millisecond) }).
		Send(t.Context(), records(1))
	if err == nil || !strings.HasSuffix(err.Error(), "/: no answer within 50ms") && !strings.HasSuffix(err.Error(), ": no answer within 50ms") {
		t.Errorf("error %v", err)
	}
}

func TestWebhookBrokenAnswers(t *testing.T) {
	raw := func(text string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			conn, _, _ := w.(http.Hijacker).Hijack()
			io.WriteString(conn, text)
			conn.(*net.TCPConn).SetLinger(0)
			conn.Close()
		}
	}
	for name, text := range map[string]string{
		"reset at once":        "",
		"reset in the headers": "HTTP/1.1 200 OK\r\nContent-",
		"reset in the body":    "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nsome",
		"broken chunks":        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
		"no HTTP":              "220 smtp.example.test ESMTP\r\n",
		"endless header":       "HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", 200<<10),
	} {
		t.Run(name, func(t *testing.T) {
			r := newReceiver(t, func(r *receiver) { r.answer = raw(text) })
			err := openWebhook(t, r.URL+"/in", nil).Send(t.Context(), records(1))
			wantOutcome(t, err, false, 0, ": ")
			if len(err.Error()) > 400 {
				t.Errorf("an error of %d bytes", len(err.Error()))
			}
		})
	}
}

func TestWebhookNobodyThere(t *testing.T) {
	r := newReceiver(t, nil)
	r.Close()
	err := openWebhook(t, r.URL+"/in", nil).Send(t.Context(), records(1))
	wantOutcome(t, err, false, 0, "connection refused")
}

func TestWebhookHugeAnswer(t *testing.T) {
	for _, status := range []int{200, 500} {
		r := newReceiver(t, func(r *receiver) {
			r.answer = func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(status)
				for { // until the client hangs up
					if _, err := w.Write([]byte(strings.Repeat("x", 32<<10))); err != nil {
						return
					}
				}
			}
		})
		err := openWebhook(t, r.URL+"/in", nil).Send(t.Context(), records(1))
		if status == 200 {
			wantOutcome(t, err, false, 0, "")
		} else {
			wantOutcome(t, err, false, 0, strings.Repeat("x", shownBody)+" ...")
		}
	}
}

// A receiver may close a connection that is idle just when it is used again. That is no failure worth a line.
func TestWebhookIdleConnectionClosed(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	var wg sync.WaitGroup
	t.Cleanup(func() { listener.Close(); wg.Wait() })
	wg.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			answerOnce(conn)
		}
	})
	w := openWebhook(t, "http://"+listener.Addr().String(), nil)
	for range 5 {
		must(t, w.Send(t.Context(), records(1)))
	}
}

// answerOnce answers one request and closes the connection at the second, without a word.
func answerOnce(conn net.Conn) {
	defer conn.Close()
	in := bufio.NewReader(conn)
	for i := range 2 {
		req, err := http.ReadRequest(in)
		if err != nil {
			return
		}
		io.Copy(io.Discard, req.Body)
		if i == 0 {
			io.WriteString(conn, "HTTP/1.1 204 No Content\r\n\r\n")
		}
	}
}

func TestWebhookConnections(t *testing.T) {
	r := newReceiver(t, nil)
	w := openWebhook(t, r.URL, func(o *WebhookOptions) { o.MaxConnections = 2 })
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			if err := w.Send(t.Context(), records(2)); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if r.count() != 20 || r.connections > 2 {
		t.Errorf("%d requests over %d connections", r.count(), r.connections)
	}
}

func FuzzRetryAfter(f *testing.F) {
	for _, s := range []string{"", "3", "-1", "99999999999999999999", "Wed, 01 Jul 2026 12:00:20 GMT", "soon"} {
		f.Add(s, int64(1782907200))
	}
	f.Fuzz(func(t *testing.T, header string, now int64) {
		if d := retryAfter(header, time.Unix(now, 0)); d < 0 || d > retryAfterMax {
			t.Errorf("%v", d)
		}
	})
}

// FuzzAnswer: whatever a receiver says, an answer is done, refused or retried as its status says, and an error is one
// short line without a secret.
func FuzzAnswer(f *testing.F) {
	f.Add(200, "", "", []byte("ok"))
	f.Add(429, "17", "", []byte("\x1b[31m secret-token \xff\r\n"))
	f.Add(307, "", "http://secret-token@h\x00", []byte(strings.Repeat("secret-token", 9000)))
	f.Add(422, "x", "//h", []byte(strings.Repeat(" ", 4000)+"x"))
	f.Fuzz(func(t *testing.T, status int, after, location string, body []byte) {
		resp := &http.Response{StatusCode: status, Header: http.Header{"Retry-After": {after}, "Location": {location}}}
		c := call{shown: "http://h/", secrets: []Secret{"secret-token"}}
		err := c.outcome(resp, body, time.Unix(1782907200, 0))
		if (err == nil) != (status/100 == 2) {
			t.Fatalf("%d: %v", status, err)
		}
		if err != nil {
			checkAnswerError(t, status, err, location)
		}
	})
}

func checkAnswerError(t *testing.T, status int, err error, location string) {
	t.Helper()
	text := err.Error()
	if _, refused := errors.AsType[*Refused](err); refused != slices.Contains([]int{400, 413, 422}, status) {
		t.Errorf("%d: refused %v", status, refused)
	}
	if r, ok := errors.AsType[*RetryAfter](err); ok && (r.After <= 0 || r.After > retryAfterMax) {
		t.Errorf("retry after %v", r.After)
	}
	if strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r == 0x7f || r == '\uFFFD' }) || len(text) > 1000 {
		t.Errorf("not one short line: %q", text)
	}
	if strings.Contains(text, "secret-token") && !strings.Contains(location, "secret-token") {
		t.Errorf("a secret in %q", text)
	}
}

// FuzzRawAnswer sends any bytes at all as the answer.
func FuzzRawAnswer(f *testing.F) {
	f.Add([]byte("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"))
	f.Add([]byte("HTTP/1.1 429 X\r\nRetry-After: 3\r\n\r\n"))
	f.Add([]byte("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n"))
	f.Add([]byte("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.0 204\r\n\r\n"))
	var answer []byte
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		io.Copy(io.Discard, req.Body)
		conn, _, _ := w.(http.Hijacker).Hijack()
		conn.Write(answer)
		conn.Close()
	}))
	f.Cleanup(server.Close)
	o := newWebhookOptions()
	o.URL = server.URL
	s, err := o.Open(Environment{})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { s.Close() })
	batch := records(1)
	f.Fuzz(func(t *testing.T, raw []byte) {
		answer = raw
		err := s.Send(t.Context(), batch)
		if err == nil && !strings.Contains(string(raw), " 2") && !strings.Contains(string(raw), " +2") {
			t.Errorf("done after %q", raw)
		}
		if err != nil && (len(err.Error()) > 600 || strings.ContainsAny(err.Error(), "\n\x00")) {
			t.Errorf("not one short line: %q", err)
		}
	})
}
