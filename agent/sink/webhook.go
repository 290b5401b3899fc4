package sink

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/eventbaton/baton/agent/record"
)

// timestampHeader carries the Unix seconds that are part of the signature.
const timestampHeader = "X-Baton-Timestamp"

// WebhookOptions are those of the type webhook.
type WebhookOptions struct {
	HTTPOptions `yaml:",inline" doc:"Where and how to send."`
	Method      string `yaml:"method" doc:"POST or PUT."`
	Format      string `yaml:"format" doc:"json: an array of records; ndjson: a record a line."`
	HMAC        HMAC   `yaml:"hmac" doc:"Signature by which the receiver knows the sender."`
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
		HTTPOptions: newHTTPOptions(), Method: http.MethodPost, Format: "json", HMAC: HMAC{Header: "X-Baton-Signature"},
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

	compressor compressor
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
	c, err := target(w.opts.Method, w.opts.URL, w.url)
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

// target makes a request to the URL in text, or where that is empty in the file. What of it is secret, the user and
// password, the query, and in a file all but the host, is kept from the errors.
func target(method, text string, f *file) (call, error) {
	inFile := f != nil
	if inFile {
		s, err := f.secret()
		if err != nil {
			return call{}, err
		}
		text = string(s)
	}
	u, ok := parseURL(text)
	if !ok && !inFile {
		return call{}, errors.New("url is not an http or https URL")
	}
	if !ok {
		return call{}, fmt.Errorf("url_file: %s does not hold an http or https URL", f.path)
	}
	c := call{shown: u.Scheme + "://" + u.Host + u.EscapedPath()}
	if inFile {
		c.shown = u.Scheme + "://" + u.Host + " (the rest is in url_file)"
		c.secrets = append(c.secrets, Secret(text))
	}
	c.hide(u, inFile)
	user := u.User
	u.User = nil
	c.request = &http.Request{Method: method, URL: u, Host: u.Host, Header: http.Header{}}
	if user != nil {
		password, _ := user.Password()
		c.basicAuth(user.Username(), Secret(password))
	}
	return c, nil
}

// longPiece is how long a piece of a URL is that may be a secret by itself: not a word, but a token.
const longPiece = 12

// hide keeps from the errors what is secret in a URL, its query and perhaps its path: as a whole, and each long piece, since
// receivers like to name what they don't know.
func (c *call) hide(u *url.URL, path bool) {
	whole, pieces := []string{u.RawQuery}, []string(nil)
	if path && len(u.Path) > 1 {
		whole = []string{u.RequestURI(), u.EscapedPath(), u.Path, u.RawQuery}
		pieces = strings.Split(u.Path, "/")
	}
	for _, values := range u.Query() {
		pieces = append(pieces, values...)
	}
	pieces = slices.DeleteFunc(pieces, func(s string) bool { return len(s) < longPiece })
	for _, s := range slices.Concat(whole, pieces) {
		c.secrets = append(c.secrets, Secret(s))
	}
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
	return w.compressed(w.appendBody(make([]byte, 0, sizeOf(batch)), batch))
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
