package sink

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"time"

	"github.com/eventbaton/baton/agent/record"
)

// timestampHeader carries the Unix seconds that are part of the signature.
const timestampHeader = "X-Baton-Timestamp"

// WebhookOptions are those of the type webhook.
type WebhookOptions struct {
	URL     string `yaml:"url" doc:"Where to send the records: http or https. What is secret in it belongs in url_file."`
	URLFile string `yaml:"url_file" doc:"File with the URL, instead of url. It may have a user and a password."`
	Method  string `yaml:"method" doc:"POST or PUT."`
	Format  string `yaml:"format" doc:"json: an array of records; ndjson: a record a line."`
	Gzip    bool   `yaml:"gzip" doc:"Compress the body."`

	Headers         map[string]string `yaml:"headers" doc:"Headers to send along."`
	HeaderFiles     map[string]string `yaml:"header_files" doc:"Headers whose values are secrets: the file that has it, by the header's name."`
	BearerTokenFile string            `yaml:"bearer_token_file" doc:"File with the token of an Authorization: Bearer."`
	BasicAuth       BasicAuth         `yaml:"basic_auth" doc:"User and password of an Authorization: Basic."`
	HMAC            HMAC              `yaml:"hmac" doc:"Signature by which the receiver knows the sender."`

	TLS             TLSOptions `yaml:"tls" doc:"TLS, for https."`
	ProxyURL        string     `yaml:"proxy_url" doc:"Proxy to use instead of the environment's HTTPS_PROXY, HTTP_PROXY and NO_PROXY: http, https or socks5."`
	Timeout         Duration   `yaml:"timeout" doc:"How long one request may take in all."`
	MaxConnections  int        `yaml:"max_connections" doc:"How many connections at most."`
	MaxBatchRecords int        `yaml:"max_batch_records" doc:"How many records at most in one request."`
	MaxBatchBytes   int        `yaml:"max_batch_bytes" doc:"How many bytes at most in one request, about, before compression. A record that is larger is sent alone."`
}

// BasicAuth is the key `basic_auth`.
type BasicAuth struct {
	Username     string `yaml:"username" doc:"The user."`
	PasswordFile string `yaml:"password_file" doc:"File with the password."`
}

// HMAC is the key `hmac`. The signature is `sha256=` and, in hexadecimal, the HMAC-SHA256 under the secret of the
// value of the header X-Baton-Timestamp (Unix seconds), a dot, and the body as it is sent, compressed where it is. A
// receiver that refuses old timestamps can't be sent an old request again by someone else.
type HMAC struct {
	SecretFile string `yaml:"secret_file" doc:"File with the secret that the receiver shares."`
	Header     string `yaml:"header" doc:"Header of the signature: sha256= and the HMAC-SHA256, in hexadecimal, of the header X-Baton-Timestamp, a dot, and the body as it is sent."`
}

func newWebhookOptions() *WebhookOptions {
	return &WebhookOptions{
		Method: http.MethodPost, Format: "json", HMAC: HMAC{Header: "X-Baton-Signature"},
		Timeout: Duration(10 * time.Second), MaxConnections: 4, MaxBatchRecords: 500, MaxBatchBytes: 1 << 20,
	}
}

// Open makes the sink of options that Check finds nothing wrong with.
func (o *WebhookOptions) Open(env Environment) (Sink, error) {
	env = env.withDefaults()
	client, err := newHTTPClient(clientOptions{
		TLS: o.TLS, ProxyURL: o.ProxyURL, Timeout: time.Duration(o.Timeout), MaxConnections: o.MaxConnections,
	}, env)
	if err != nil {
		return nil, err
	}
	if u, err := url.Parse(o.URL); err == nil && u.Scheme == "http" && o.hasCredentials() {
		env.Log.Warn("credentials are sent without TLS", "key", "url")
	}
	w := &webhook{
		opts: *o, client: client,
		url:         newFile("url_file", o.URLFile),
		token:       newFile("bearer_token_file", o.BearerTokenFile),
		password:    newFile("basic_auth.password_file", o.BasicAuth.PasswordFile),
		hmac:        newFile("hmac.secret_file", o.HMAC.SecretFile),
		headerFiles: map[string]*file{},
	}
	for name, path := range o.HeaderFiles {
		w.headerFiles[name] = newFile("header_files."+name, path)
	}
	return w, nil
}

func (o *WebhookOptions) hasCredentials() bool {
	return o.BearerTokenFile != "" || o.BasicAuth.PasswordFile != "" || len(o.HeaderFiles) > 0
}

// webhook sends each batch as one request with the records as its body.
type webhook struct {
	opts   WebhookOptions
	client *httpClient

	url, token, password, hmac *file
	headerFiles                map[string]*file

	compressors sync.Pool // of *gzip.Writer, which are large
}

func (w *webhook) Limits() Limits {
	return Limits{Records: w.opts.MaxBatchRecords, Bytes: w.opts.MaxBatchBytes}
}

func (w *webhook) Close() error {
	w.client.close()
	return nil
}

func (w *webhook) Send(ctx context.Context, batch []*record.Record) error {
	c, err := w.prepare()
	if err != nil {
		return err
	}
	body, err := w.encode(batch)
	if err != nil {
		return err
	}
	if err := w.sign(&c, body, time.Now()); err != nil {
		return err
	}
	c.setBody(body)
	return w.client.do(ctx, c)
}

// prepare makes the request but for its body. It fails where a file is missing, which another try may find.
func (w *webhook) prepare() (call, error) {
	c, err := w.target()
	if err != nil {
		return c, err
	}
	h := c.request.Header
	h.Set("Content-Type", map[string]string{"json": "application/json", "ndjson": "application/x-ndjson"}[w.opts.Format])
	if w.opts.Gzip {
		h.Set("Content-Encoding", "gzip")
	}
	for name, value := range w.opts.Headers {
		h.Set(name, value)
	}
	if err := w.authorize(&c); err != nil {
		return c, err
	}
	for name, f := range w.headerFiles {
		value, err := f.headerSecret()
		if err != nil {
			return c, err
		}
		h.Set(name, string(value))
		c.secrets = append(c.secrets, value)
	}
	return c, nil
}

// target reads the URL. What of it is secret, the user and password, the query, and in a file all but the host, is
// kept from the errors.
func (w *webhook) target() (call, error) {
	text, inFile := w.opts.URL, w.url != nil
	if inFile {
		s, err := w.url.secret()
		if err != nil {
			return call{}, err
		}
		text = string(s)
	}
	u, ok := parseURL(text)
	if !ok {
		return call{}, fmt.Errorf("url_file: %s does not hold an http or https URL", w.opts.URLFile)
	}
	c := call{shown: u.Scheme + "://" + u.Host + u.EscapedPath()}
	if inFile {
		c.shown = u.Scheme + "://" + u.Host + " (the rest is in url_file)"
		c.secrets = append(c.secrets, Secret(text), Secret(u.RequestURI()))
	}
	if u.RawQuery != "" {
		c.secrets = append(c.secrets, Secret(u.RawQuery))
	}
	user := u.User
	u.User = nil
	c.request = &http.Request{Method: w.opts.Method, URL: u, Host: u.Host, Header: http.Header{}}
	if user != nil {
		password, _ := user.Password()
		c.basicAuth(user.Username(), Secret(password))
	}
	return c, nil
}

func (w *webhook) authorize(c *call) error {
	switch {
	case w.token != nil:
		token, err := w.token.headerSecret()
		if err != nil {
			return err
		}
		c.request.Header.Set("Authorization", "Bearer "+string(token))
		c.secrets = append(c.secrets, token)
	case w.password != nil:
		password, err := w.password.secret()
		if err != nil {
			return err
		}
		c.basicAuth(w.opts.BasicAuth.Username, password)
	}
	return nil
}

func (c *call) basicAuth(user string, password Secret) {
	encoded := base64.StdEncoding.EncodeToString([]byte(user + ":" + string(password)))
	c.request.Header.Set("Authorization", "Basic "+encoded)
	c.secrets = append(c.secrets, password, Secret(encoded))
}

func (w *webhook) sign(c *call, body []byte, now time.Time) error {
	if w.hmac == nil {
		return nil
	}
	secret, err := w.hmac.secret()
	if err != nil {
		return err
	}
	at := strconv.FormatInt(now.Unix(), 10)
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(at + "."))
	mac.Write(body)
	c.request.Header.Set(timestampHeader, at)
	c.request.Header.Set(w.opts.HMAC.Header, "sha256="+hex.EncodeToString(mac.Sum(nil)))
	c.secrets = append(c.secrets, secret)
	return nil
}

// encode gives the body. It is never used again: the transport may still read it after it has returned.
func (w *webhook) encode(batch []*record.Record) ([]byte, error) {
	if !w.opts.Gzip {
		return w.appendBody(make([]byte, 0, sizeOf(batch)), batch), nil
	}
	var body bytes.Buffer
	z, _ := w.compressors.Get().(*gzip.Writer)
	if z == nil {
		z, _ = gzip.NewWriterLevel(nil, gzip.BestSpeed) // records are so alike that more time gains little
	}
	defer w.compressors.Put(z)
	z.Reset(&body)
	if _, err := z.Write(w.appendBody(make([]byte, 0, sizeOf(batch)), batch)); err != nil {
		return nil, fmt.Errorf("compressing: %w", err)
	}
	if err := z.Close(); err != nil {
		return nil, fmt.Errorf("compressing: %w", err)
	}
	return body.Bytes(), nil
}

func (w *webhook) appendBody(dst []byte, batch []*record.Record) []byte {
	if w.opts.Format == "ndjson" {
		return appendLines(dst, batch)
	}
	dst = append(dst, '[')
	for i, r := range batch {
		if i > 0 {
			dst = append(dst, ',', '\n')
		}
		dst = r.AppendJSON(dst)
	}
	return append(dst, ']')
}
