package sink

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
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
}

// httpClient is what every sink that speaks HTTP sends with. It makes its transport anew when one of the TLS files
// has changed, so that no connection outlives its certificate for longer than it is busy.
type httpClient struct {
	opts          clientOptions
	userAgent     string
	proxy         func(*http.Request) (*url.URL, error)
	ca, cert, key *file

	mu        sync.Mutex
	loaded    [3][]byte // what the transport was made of
	transport *http.Transport
}

func newHTTPClient(o clientOptions, env Environment) (*httpClient, error) {
	proxy, err := proxyFrom(o.ProxyURL)
	if err != nil {
		return nil, err
	}
	if o.TLS.InsecureSkipVerify {
		env.Log.Warn("the receiver's certificate is not verified: anyone on the way can read and change what is sent",
			"key", "tls.insecure_skip_verify")
	}
	return &httpClient{
		opts: o, userAgent: "baton/" + env.Version, proxy: proxy,
		ca:   newFile("tls.ca_file", o.TLS.CAFile),
		cert: newFile("tls.cert_file", o.TLS.CertFile),
		key:  newFile("tls.key_file", o.TLS.KeyFile),
	}, nil
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
	transport, err := c.current()
	if err != nil {
		return err
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
		return c.failed(ctx, limited, call, "", err)
	}
	body, err := readBody(resp)
	if err != nil && resp.StatusCode/100 == 2 {
		// The answer may have been the whole truth, but a repeat harms less than a loss.
		return c.failed(ctx, limited, call, fmt.Sprintf(": answered %d, and then", resp.StatusCode), err)
	}
	return call.outcome(resp, body, time.Now())
}

// readBody reads the answer to its end, so that the connection is used again, unless it is too long to be worth it.
func readBody(resp *http.Response) ([]byte, error) {
	defer resp.Body.Close()
	if resp.StatusCode < 200 { // 101: what follows is no answer
		return nil, nil
	}
	return io.ReadAll(io.LimitReader(resp.Body, responseMaxBody))
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
	var files [3][]byte
	for i, f := range []*file{c.ca, c.cert, c.key} {
		var err error
		if files[i], err = f.content(); err != nil {
			return nil, err
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.transport != nil && equal(files, c.loaded) {
		return c.transport, nil
	}
	config, err := c.tlsConfig(files[0], files[1], files[2])
	if err != nil {
		return nil, err
	}
	if c.transport != nil {
		c.transport.CloseIdleConnections()
	}
	c.transport, c.loaded = c.newTransport(config), files
	return c.transport, nil
}

func equal(a, b [3][]byte) bool {
	return bytes.Equal(a[0], b[0]) && bytes.Equal(a[1], b[1]) && bytes.Equal(a[2], b[2])
}

func (c *httpClient) tlsConfig(ca, cert, key []byte) (*tls.Config, error) {
	config := &tls.Config{
		MinVersion:         tls.VersionTLS12,
		ServerName:         c.opts.TLS.ServerName,
		InsecureSkipVerify: c.opts.TLS.InsecureSkipVerify, //nolint:gosec // asked for, and warned of
	}
	if c.ca != nil {
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(ca) {
			return nil, fmt.Errorf("tls.ca_file: %s has no certificate in PEM", c.ca.path)
		}
	}
	if c.cert != nil {
		pair, err := tls.X509KeyPair(cert, key)
		if err != nil {
			return nil, fmt.Errorf("tls.cert_file %s and tls.key_file %s: %w", c.cert.path, c.key.path, err)
		}
		config.Certificates = []tls.Certificate{pair}
	}
	return config, nil
}

func (c *httpClient) newTransport(config *tls.Config) *http.Transport {
	dialer := &net.Dialer{Timeout: 5 * time.Second, KeepAlive: 15 * time.Second}
	return &http.Transport{
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
}

func (c *httpClient) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.transport != nil {
		c.transport.CloseIdleConnections()
	}
}
