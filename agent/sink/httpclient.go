package sink

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"sync"
	"time"
)

const (
	responseMaxBody = 64 << 10 // what is read of an answer
	shownBody       = 200      // what an error shows of it
	// gRPC servers close a connection with the third ping they find too many (grpc-go's keepalive.EnforcementPolicy: less
	// than five minutes apart), so there may be but one before an idle connection is closed anyway.
	grpcPingAfter = 30 * time.Second
)

// TLSOptions are the key `tls` of every sink that speaks HTTP.
type TLSOptions struct {
	CAFile             string `yaml:"ca_file" doc:"PEM file of the authorities to trust instead of the system's."`
	CertFile           string `yaml:"cert_file" doc:"PEM file of the client certificate."`
	KeyFile            string `yaml:"key_file" doc:"PEM file of the client certificate's key."`
	ServerName         string `yaml:"server_name" doc:"Name that the server's certificate must have, where it is not the URL's host."`
	InsecureSkipVerify bool   `yaml:"insecure_skip_verify" doc:"Accept any certificate. Anyone on the way can then read and change what is sent."`
}

func (o TLSOptions) check() []Problem {
	switch {
	case o.CertFile != "" && o.KeyFile == "":
		return []Problem{{"tls.key_file", "is missing: cert_file needs the certificate's key"}}
	case o.KeyFile != "" && o.CertFile == "":
		return []Problem{{"tls.cert_file", "is missing: key_file needs its certificate"}}
	}
	return nil
}

// clientOptions are what a sink makes of its own options for its client.
type clientOptions struct {
	TLS            TLSOptions
	ProxyURL       string // HTTPS_PROXY, HTTP_PROXY and NO_PROXY of the environment where it is empty
	Timeout        time.Duration
	MaxConnections int
	GRPC           bool // HTTP/2 alone, without TLS too, as gRPC has it
}

// httpClient is what every sink that speaks HTTP sends with. It makes its transport anew when one of the TLS files
// has changed, so that no connection outlives its certificate for longer than it is busy.
type httpClient struct {
	tlsFiles
	opts      clientOptions
	userAgent string
	proxy     func(*http.Request) (*url.URL, error)

	mu        sync.Mutex
	loaded    tlsContents // what the transport was made of
	transport *http.Transport
}

func newHTTPClient(o clientOptions, env Environment) (*httpClient, error) {
	proxy, err := proxyFrom(o.ProxyURL)
	if err != nil {
		return nil, err
	}
	return &httpClient{tlsFiles: newTLSFiles(o.TLS, env), opts: o, userAgent: "baton/" + env.Version, proxy: proxy}, nil
}

func proxyFrom(configured string) (func(*http.Request) (*url.URL, error), error) {
	if configured != "" {
		u, err := url.Parse(configured)
		if err != nil {
			return nil, errors.New("proxy_url is not a URL")
		}
		return http.ProxyURL(u), nil
	}
	return http.ProxyFromEnvironment, nil
}

// call is one request, and what its errors say of it.
type call struct {
	request *http.Request
	shown   string   // where it goes, without what must not be printed
	secrets []Secret // what an answer might echo, and no error may repeat
	reset   string   // a header that says, where Retry-After doesn't, in how many seconds to try again; "" for none
	// judge says what the answer means, instead of outcome; nil for outcome.
	judge func(c call, resp *http.Response, body []byte) error
	// answerMax is how many bytes of an answer are read, where they are more than responseMaxBody.
	answerMax int64
}

func (c *call) setBody(body []byte) {
	get := func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(body)), nil }
	c.request.Body, _ = get()
	c.request.GetBody = get
	c.request.ContentLength = int64(len(body))
}

// do sends the request once, within the client's timeout, and gives nil once the receiver has answered 2xx; else an
// error as Sink.Send promises it. It returns promptly when ctx ends.
func (c *httpClient) do(ctx context.Context, call call) error {
	_, err := c.exchange(ctx, call)
	return err
}

// exchange is do for who has to read what the receiver said with its 2xx: of the body the first responseMaxBody bytes.
func (c *httpClient) exchange(ctx context.Context, call call) ([]byte, error) {
	transport, err := c.current()
	if err != nil {
		return nil, err
	}
	limited, cancel := context.WithTimeout(ctx, c.opts.Timeout)
	defer cancel()
	req := call.request.WithContext(limited)
	req.Header.Set("User-Agent", c.userAgent)
	// To be sent again to a connection that the receiver closed while it was idle: every record has its id. An empty
	// value is not put on the wire.
	req.Header["Idempotency-Key"] = []string{}
	resp, err := transport.RoundTrip(req)
	if err != nil {
		return nil, c.failed(ctx, limited, call, "", err)
	}
	body, err := readBody(resp, max(call.answerMax, responseMaxBody))
	if err != nil && resp.StatusCode/100 == 2 {
		// The answer may have been the whole truth, but a repeat harms less than a loss.
		return nil, c.failed(ctx, limited, call, fmt.Sprintf(": answered %d, and then", resp.StatusCode), err)
	}
	if call.judge != nil {
		return body, call.judge(call, resp, body)
	}
	return body, call.outcome(resp, body, time.Now())
}

// readBody reads the answer to its end, so that the connection is used again, unless it is too long to be worth it.
func readBody(resp *http.Response, maxBody int64) ([]byte, error) {
	defer resp.Body.Close()
	if resp.StatusCode < 200 { // 101: what follows is no answer
		return nil, nil
	}
	return io.ReadAll(io.LimitReader(resp.Body, maxBody))
}

// failed is the error of a request that got no answer, or not all of it.
func (c *httpClient) failed(ctx, limited context.Context, call call, when string, err error) error {
	switch {
	case ctx.Err() != nil:
		return fmt.Errorf("%s%s: %w", call.shown, when, context.Cause(ctx))
	case limited.Err() != nil:
		return fmt.Errorf("%s%s: no answer within %s", call.shown, when, c.opts.Timeout)
	}
	// Some of net/http's errors quote what the other side sent.
	return &cleanError{text: fmt.Sprintf("%s%s: %s", call.shown, when, call.clean(err.Error())), err: err}
}

// cleanError prints as text, without what must not be printed, and is err to errors.Is and errors.As.
type cleanError struct {
	text string
	err  error
}

func (e *cleanError) Error() string { return e.text }
func (e *cleanError) Unwrap() error { return e.err }

// current gives the transport for the TLS files as they are now.
func (c *httpClient) current() (*http.Transport, error) {
	files, err := c.contents()
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.transport != nil && files.equal(c.loaded) {
		return c.transport, nil
	}
	config, err := c.tlsConfig(files)
	if err != nil {
		return nil, err
	}
	if c.transport != nil {
		c.transport.CloseIdleConnections()
	}
	c.transport, c.loaded = c.newTransport(config), files
	return c.transport, nil
}

func (c *httpClient) newTransport(config *tls.Config) *http.Transport {
	dialer := &net.Dialer{Timeout: 5 * time.Second, KeepAlive: 15 * time.Second}
	t := &http.Transport{
		Proxy:               c.proxy,
		DialContext:         dialer.DialContext,
		TLSClientConfig:     config,
		TLSHandshakeTimeout: 5 * time.Second,
		MaxConnsPerHost:     c.opts.MaxConnections,
		MaxIdleConns:        c.opts.MaxConnections,
		MaxIdleConnsPerHost: c.opts.MaxConnections,
		// Below the minute after which many load balancers drop an idle connection without a word.
		IdleConnTimeout:        50 * time.Second,
		MaxResponseHeaderBytes: 64 << 10,
		DisableCompression:     true, // of answers, of which only some bytes are read
		ForceAttemptHTTP2:      true,
		// A connection that died without a word is noticed before the next batch is lost in it.
		HTTP2: &http.HTTP2Config{SendPingTimeout: 15 * time.Second, PingTimeout: 5 * time.Second},
	}
	if c.opts.GRPC {
		t.Protocols = new(http.Protocols)
		t.Protocols.SetHTTP2(true)
		t.Protocols.SetUnencryptedHTTP2(true)
		t.HTTP2.SendPingTimeout = grpcPingAfter
		t.Proxy = c.proxyOfTLS
	}
	return t
}

// proxyOfTLS leaves out what has no TLS: proxies take it in HTTP/1 alone.
func (c *httpClient) proxyOfTLS(r *http.Request) (*url.URL, error) {
	if r.URL.Scheme == "http" {
		return nil, nil
	}
	return c.proxy(r)
}

func (c *httpClient) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.transport != nil {
		c.transport.CloseIdleConnections()
	}
}
