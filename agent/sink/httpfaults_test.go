package sink

import (
	"compress/gzip"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/eventbaton/baton/agent/record"
)

// deliver sends all records as the relay does: what fails is sent again as it was, and of what is refused each half. It
// returns the ids of those that were refused alone. Before each further try it calls again.
func deliver(t *testing.T, s Sink, all []*record.Record, again func(error)) (refused []string) {
	t.Helper()
	var send func(batch []*record.Record)
	send = func(batch []*record.Record) {
		for attempt := 0; ; attempt++ {
			err := s.Send(t.Context(), batch)
			_, never := errors.AsType[*Refused](err)
			switch half := len(batch) / 2; {
			case err == nil:
				return
			case never && half == 0:
				refused = append(refused, batch[0].ID)
				return
			case never:
				send(batch[:half])
				send(batch[half:])
				return
			case attempt > 200:
				t.Fatalf("after %d tries: %v", attempt, err)
			}
			if again != nil {
				again(err)
			}
		}
	}
	for batch := range slices.Chunk(all, s.Limits().Records) {
		send(batch)
	}
	return refused
}

// faulty is a receiver with TLS behind which everything goes wrong now and then. What the next handler sees has the right
// Authorization.
type faulty struct {
	*receiver
	next      http.HandlerFunc
	tokenFile string // of the sink
	caFile    string

	mu        sync.Mutex
	n         int
	token     string
	handshake bool // is to fail
	seen      map[string]int
}

var faultKinds = []string{"429", "503", "reset before", "reset in mid-response", "slow", "TLS", "token expired"}

func newFaulty(t *testing.T, next http.HandlerFunc) *faulty {
	t.Helper()
	own := newAuthority(t)
	f := &faulty{
		next: next, token: "token-0", tokenFile: filepath.Join(t.TempDir(), "token"), caFile: tempFile(t, own.pem),
		seen: map[string]int{},
	}
	write(t, f.tokenFile, f.token)
	f.receiver = own.serveTLS(t, func(c *tls.Config) {
		c.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) { return nil, f.greet() }
	})
	f.receiver.Config.Handler = f
	return f
}

func (f *faulty) greet() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.handshake {
		f.handshake = false
		f.seen["TLS"]++
		return errors.New("no handshake")
	}
	return nil
}

// fault decides what goes wrong with the next request, "" for nothing.
func (f *faulty) fault() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.n++
	kind := ""
	if f.n%3 == 0 {
		kind = faultKinds[f.n/3%len(faultKinds)]
	}
	switch {
	case kind == "slow" && f.seen[kind] > 1: // it takes time
		return ""
	case kind == "token expired":
		f.token = fmt.Sprintf("token-%d", f.n)
		if err := os.WriteFile(f.tokenFile, []byte(f.token), 0o600); err != nil {
			return err.Error()
		}
	case kind == "TLS":
		f.handshake = true
		return kind
	}
	if kind != "" {
		f.seen[kind]++
	}
	return kind
}

func (f *faulty) authorized(req *http.Request) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return strings.HasSuffix(req.Header.Get("Authorization"), " "+f.token)
}

func (f *faulty) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	kind := f.fault()
	if !f.authorized(req) {
		http.Error(w, "who are you?", http.StatusUnauthorized)
		return
	}
	switch kind {
	case "429":
		w.Header().Set("Retry-After", "1")
		w.WriteHeader(http.StatusTooManyRequests)
	case "503":
		w.WriteHeader(http.StatusServiceUnavailable)
	case "reset before", "TLS":
		hangUp(w, "")
	case "reset in mid-response":
		answer := httptest.NewRecorder()
		f.next(answer, req)
		hangUp(w, fmt.Sprintf("HTTP/1.1 %d OK\r\nContent-Length: %d\r\n\r\n%.20s", answer.Code, answer.Body.Len()+100, answer.Body))
	case "slow":
		f.next(httptest.NewRecorder(), req)
		<-req.Context().Done()
	default:
		f.next(w, req)
	}
}

func hangUp(w http.ResponseWriter, text string) {
	conn, _, err := w.(http.Hijacker).Hijack()
	if err != nil {
		return
	}
	io.WriteString(conn, text)
	if c, ok := conn.(*tls.Conn); ok {
		c.NetConn().(*net.TCPConn).SetLinger(0)
	}
	conn.Close()
}

// bodyOf is the request's body as it was before compression.
func bodyOf(req *http.Request) ([]byte, error) {
	body := io.Reader(req.Body)
	if req.Header.Get("Content-Encoding") == "gzip" {
		z, err := gzip.NewReader(body)
		if err != nil {
			return nil, err
		}
		body = z
	}
	return io.ReadAll(body)
}

// use sets what a sink needs to talk to it.
func (f *faulty) use(o *HTTPOptions) {
	o.URL, o.TLS.CAFile, o.Timeout = f.URL, f.caFile, Duration(250*time.Millisecond)
	o.MaxBatchRecords = 100
}

// allHappened fails where a kind of fault never occurred.
func (f *faulty) allHappened(t *testing.T) {
	t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, kind := range faultKinds {
		if f.seen[kind] == 0 {
			t.Errorf("%s never happened: %v", kind, f.seen)
		}
	}
}

// eachOnce fails where the ids that were stored aren't those of the records.
func eachOnce(t *testing.T, stored map[string]int, all []*record.Record) {
	t.Helper()
	lost := 0
	for _, r := range all {
		if stored[r.ID] == 0 {
			lost++
		}
	}
	if lost > 0 || len(stored) != len(all) {
		t.Errorf("%d of %d lost, %d stored", lost, len(all), len(stored))
	}
	if most := slices.Max(append([]int{0}, slices.Collect(maps.Values(stored))...)); most > 1 {
		t.Errorf("a record is stored %d times", most)
	}
}

// forget makes the files be read again.
func forget(files ...*file) {
	for _, f := range files {
		if f != nil {
			f.mu.Lock()
			f.read = time.Time{}
			f.mu.Unlock()
		}
	}
}

// open makes the sink of options that must be right.
func openSink[S Sink](t *testing.T, o Options) S {
	t.Helper()
	if problems := o.Check(); len(problems) > 0 {
		t.Fatalf("problems: %v", problems)
	}
	s, err := o.Open(Environment{Version: "1.2.3"})
	must(t, err)
	t.Cleanup(func() { closed(t, s) })
	return s.(S)
}

func problemKeys(o Options) string {
	var keys []string
	for _, p := range o.Check() {
		keys = append(keys, p.Key)
	}
	return strings.Join(keys, " ")
}
