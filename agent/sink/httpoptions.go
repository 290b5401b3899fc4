package sink

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/eventbaton/baton/agent/record"
)

// HTTPOptions are what the sinks that speak HTTP have in common.
type HTTPOptions struct {
	URL     string `yaml:"url" doc:"Where the receiver is: http or https. What is secret in it belongs in url_file."`
	URLFile string `yaml:"url_file" doc:"File with the URL, instead of url. It may have a user and a password."`
	Gzip    bool   `yaml:"gzip" doc:"Compress the body."`

	Headers         map[string]string `yaml:"headers" doc:"Headers to send along."`
	HeaderFiles     map[string]string `yaml:"header_files" doc:"Headers whose values are secrets: the file that has it, by the header's name."`
	BearerTokenFile string            `yaml:"bearer_token_file" doc:"File with the token of an Authorization: Bearer."`
	BasicAuth       BasicAuth         `yaml:"basic_auth" doc:"User and password of an Authorization: Basic."`

	TLS             TLSOptions `yaml:"tls" doc:"TLS, for https."`
	ProxyURL        string     `yaml:"proxy_url" doc:"Proxy to use instead of the environment's HTTPS_PROXY, HTTP_PROXY and NO_PROXY: http, https or socks5."`
	Timeout         Duration   `yaml:"timeout" doc:"How long one request may take in all."`
	MaxConnections  int        `yaml:"max_connections" doc:"How many connections at most."`
	MaxBatchRecords int        `yaml:"max_batch_records" doc:"How many records at most in one request."`
	MaxBatchBytes   int        `yaml:"max_batch_bytes" doc:"How many bytes at most in one request, about, before compression. A record that is larger is sent alone."`
}

func newHTTPOptions() HTTPOptions {
	return HTTPOptions{Timeout: Duration(10 * time.Second), MaxConnections: 4, MaxBatchRecords: 500, MaxBatchBytes: 1 << 20}
}

// webhook gives the options of the webhook that makes the requests.
func (o *HTTPOptions) webhook() *WebhookOptions {
	w := newWebhookOptions()
	w.HTTPOptions = *o
	return w
}

// check returns all that is wrong. The reserved headers, besides those of every request, are set by the sink alone.
func (o *HTTPOptions) check(reserved ...string) []Problem {
	p := o.webhook().Check()
	reserved = append(reserved, "Content-Type")
	for _, headers := range []struct {
		key    string
		values map[string]string
	}{{"headers", o.Headers}, {"header_files", o.HeaderFiles}} {
		for _, name := range slices.Sorted(maps.Keys(headers.values)) {
			if slices.Contains(reserved, http.CanonicalHeaderKey(name)) {
				p = append(p, Problem{headers.key + "." + name, "is a header that Baton sets by itself"})
			}
		}
	}
	return p
}

// open makes what sends.
func (o *HTTPOptions) open(env Environment) (*httpSender, error) {
	s, err := o.webhook().Open(env)
	if err != nil {
		return nil, err
	}
	return &httpSender{webhook: s.(*webhook)}, nil //nolint:forcetypeassert // that is what it opens
}

// httpSender makes the requests of a sink that speaks a protocol of its own. It is a webhook whose body, path and answer
// are the sink's.
type httpSender struct{ *webhook }

// request is what a sink asks of its receiver.
type request struct {
	path        string // to add to the URL's, where that doesn't end with it; "" for none
	query       url.Values
	contentType string
}

// ready makes the call but for its body. It fails where a file is missing, which another try may find.
func (s *httpSender) ready(r request) (call, error) {
	c, err := s.prepare()
	if err != nil {
		return c, err
	}
	c.request.Header.Set("Content-Type", r.contentType)
	u := c.request.URL
	if r.path != "" && !strings.HasSuffix(u.Path, "/"+r.path) {
		if s.url != nil && len(u.Path) > 1 { // what a receiver echoes is no longer the URL of the file
			c.secrets = append(c.secrets, Secret(strings.TrimSuffix(u.EscapedPath(), "/")))
		}
		if u.Path == "" { // to which JoinPath adds no slash
			u.Path = "/"
		}
		u = u.JoinPath(r.path)
		if s.url == nil {
			c.shown = u.Scheme + "://" + u.Host + u.EscapedPath()
		}
	}
	if query := r.query.Encode(); u.RawQuery == "" {
		u.RawQuery = query
	} else if query != "" {
		u.RawQuery += "&" + query
	}
	c.request.URL = u
	return c, nil
}

// deliver sends the call with the body, which is never changed again.
func (s *httpSender) deliver(ctx context.Context, c call, body []byte) error {
	body, err := s.compressed(body)
	if err != nil {
		return err
	}
	c.setBody(body)
	return s.client.do(ctx, c)
}

// compressed gives the body as it is to be sent.
func (w *webhook) compressed(plain []byte) ([]byte, error) {
	if !w.opts.Gzip {
		return plain, nil
	}
	return w.compressor.gzip(plain)
}

// appendFitting appends what appendTo makes of r, and where that has more than limit bytes of r with its message cut. If
// that doesn't help either it answers *Refused: no other try would be shorter.
func appendFitting(dst []byte, r *record.Record, limit int, appendTo func([]byte, *record.Record) []byte) ([]byte, error) {
	start := len(dst)
	if dst = appendTo(dst, r); len(dst)-start <= limit {
		return dst, nil
	}
	var scratch []byte
	short, ok := fitMessage(r, limit, func(r *record.Record) int {
		scratch = appendTo(scratch[:0], r)
		return len(scratch)
	})
	if !ok {
		return nil, &Refused{Err: fmt.Errorf("the record has more than the %d bytes that it may have even without its message", limit)}
	}
	return appendTo(dst[:start], short), nil
}
