package sink

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"reflect"
	"strings"
	"testing"
)

func openSender(t *testing.T, configure func(o *HTTPOptions)) *httpSender {
	t.Helper()
	o := newHTTPOptions()
	configure(&o)
	if problems := o.check(); len(problems) > 0 {
		t.Fatalf("problems: %v", problems)
	}
	s, err := o.open(Environment{Version: "1.2.3"})
	must(t, err)
	t.Cleanup(func() { closed(t, s) })
	return s
}

func TestHTTPOptionsMakeRequests(t *testing.T) {
	for in, want := range map[string]string{
		"":                      "/a/b?x=1+2",
		"/":                     "/a/b?x=1+2",
		"/base":                 "/base/a/b?x=1+2",
		"/base/":                "/base/a/b?x=1+2",
		"/ba%20se":              "/ba%20se/a/b?x=1+2",
		"/base/a/b":             "/base/a/b?x=1+2",
		"/base?z=hunter2&y=%20": "/base/a/b?z=hunter2&y=%20&x=1+2",
	} {
		r := newReceiver(t, nil)
		for _, inFile := range []bool{false, true} {
			s := openSender(t, func(o *HTTPOptions) {
				o.Headers, o.Gzip = map[string]string{"X-Team": "platform"}, inFile
				if o.URL = r.URL + in; inFile {
					o.URL, o.URLFile = "", tempFile(t, r.URL+in)
				}
			})
			c, err := s.ready(request{path: "a/b", query: url.Values{"x": {"1 2"}}, contentType: "text/x"})
			must(t, err)
			must(t, s.deliver(t.Context(), c, []byte("body")))
			got := r.last(t)
			if got.Method != http.MethodPost || got.RequestURI != want || string(got.plain(t)) != "body" ||
				got.Header.Get("Content-Type") != "text/x" || got.Header.Get("X-Team") != "platform" || got.UserAgent() != "baton/1.2.3" {
				t.Errorf("%s %s, want %s: %v", got.Method, got.RequestURI, want, got.Header)
			}
		}
	}
}

// A receiver that echoes what it was asked makes no error tell what is secret in the URL.
func TestHTTPOptionsTellNoSecret(t *testing.T) {
	r := newReceiver(t, func(r *receiver) {
		r.answer = func(w http.ResponseWriter, req *http.Request) {
			w.WriteHeader(http.StatusForbidden)
			fmt.Fprint(w, req.RequestURI, " ", req.URL.Path, " ", req.URL.RawQuery, " ", req.Header.Get("Authorization"))
		}
	})
	for _, set := range []func(o *HTTPOptions){
		func(o *HTTPOptions) { o.URL = r.URL + "/?z=hunter2&a=hunter2" },
		func(o *HTTPOptions) { o.URLFile = tempFile(t, r.URL+"/hunter2/?z=hunter2&a=hunter2") },
		func(o *HTTPOptions) { o.URL, o.BearerTokenFile = r.URL, tempFile(t, "hunter2") },
		func(o *HTTPOptions) { o.URL, o.BasicAuth = r.URL, BasicAuth{"me", tempFile(t, "hunter2")} },
	} {
		s := openSender(t, set)
		c, err := s.ready(request{path: "_bulk", query: url.Values{"filter": {"x"}}, contentType: "text/x"})
		must(t, err)
		err = s.deliver(t.Context(), c, nil)
		if err == nil || strings.Contains(err.Error(), "hunter2") || strings.Contains(err.Error(), "aHVudGVyMg") {
			t.Errorf("error %v", err)
		}
	}
}

// A URL without TLS where the receiver has it is the configuration's mistake, not the records'.
func TestHTTPOptionsWithoutTLS(t *testing.T) {
	r := newAuthority(t).serveTLS(t, nil)
	s := openSender(t, func(o *HTTPOptions) { o.URL = strings.Replace(r.URL, "https", "http", 1) })
	c, err := s.ready(request{contentType: "text/x"})
	must(t, err)
	err = s.deliver(t.Context(), c, nil)
	if _, refused := errors.AsType[*Refused](err); refused || err == nil || !strings.Contains(err.Error(), "write https") {
		t.Errorf("error %v", err)
	}
}

func TestHTTPOptionsCheck(t *testing.T) {
	o := newHTTPOptions()
	o.URL, o.Headers, o.HeaderFiles = "h", map[string]string{"content-type": "a", "x-a": "b"}, map[string]string{"X-Own": "/f"}
	var keys []string
	for _, p := range o.check("X-Own") {
		keys = append(keys, p.Key)
	}
	if got := strings.Join(keys, " "); got != "url headers.content-type header_files.X-Own" {
		t.Errorf("problems with %q", got)
	}
}

// Each option reaches the webhook that makes the requests.
func TestHTTPOptionsReachTheWebhook(t *testing.T) {
	var o HTTPOptions
	for f, v := range reflect.ValueOf(&o).Elem().Fields() {
		switch v.Kind() {
		case reflect.String:
			v.SetString(f.Name)
		case reflect.Bool:
			v.SetBool(true)
		case reflect.Int, reflect.Int64:
			v.SetInt(7)
		case reflect.Map:
			v.Set(reflect.ValueOf(map[string]string{f.Name: "x"}))
		}
	}
	o.BasicAuth, o.TLS = BasicAuth{"u", "/p"}, TLSOptions{CAFile: "/ca"}
	w := reflect.ValueOf(o.webhook()).Elem()
	for f, v := range reflect.ValueOf(o).Fields() {
		if got := w.FieldByName(f.Name); !reflect.DeepEqual(got.Interface(), v.Interface()) {
			t.Errorf("%s: %v, want %v", f.Name, got, v)
		}
	}
}

// A probe tells who is there and lets one in from who is not, or does not, and hands over no record.
func TestProbes(t *testing.T) {
	for kind, there := range map[string]func(w http.ResponseWriter){
		"elasticsearch": func(w http.ResponseWriter) {
			http.Error(w, `{"error":{"type":"parse_exception","reason":"request body is required"},"status":400}`, http.StatusBadRequest)
		},
		"loki": func(w http.ResponseWriter) {
			http.Error(w, "error at least one valid stream is required for ingestion", http.StatusUnprocessableEntity)
		},
		"cloudevents": func(w http.ResponseWriter) { w.WriteHeader(http.StatusMethodNotAllowed) },
	} {
		answers := map[string]func(w http.ResponseWriter){
			"":                      there,
			"check the credentials": func(w http.ResponseWriter) { w.WriteHeader(http.StatusUnauthorized) },
			"check the URL":         func(w http.ResponseWriter) { w.WriteHeader(http.StatusNotFound) },
		}
		for says, answer := range answers {
			r := newReceiver(t, func(r *receiver) { r.answer = func(w http.ResponseWriter, _ *http.Request) { answer(w) } })
			o := Types[kind]()
			reflect.ValueOf(o).Elem().FieldByName("URL").SetString(r.URL)
			err := openSink[prober](t, o).Probe(t.Context())
			if (err == nil) != (says == "") || err != nil && !strings.Contains(err.Error(), says) {
				t.Errorf("%s: error %v, want %q", kind, err, says)
			}
		}
	}
	dir := t.TempDir()
	for path, there := range map[string]bool{dir + "/events.log": true, dir + "/absent/events.log": false, dir: false, tempFile(t, "x"): true} {
		err := openFile(t, path, nil).Probe(t.Context())
		if (err == nil) != there {
			t.Errorf("%s: error %v", path, err)
		}
	}
	if got := names(t, dir); got != "" {
		t.Errorf("a probe left %s", got)
	}
}

type prober interface {
	Sink
	Probe(ctx context.Context) error
}
