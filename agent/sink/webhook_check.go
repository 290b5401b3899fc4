package sink

import (
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

const (
	webhookMaxTimeout    = 5 * time.Minute
	webhookMaxBatchBytes = 16 << 20 // bodies are held in memory, several at once
)

// reservedHeaders are those that the request itself decides, and secretHeaders those whose values may not stand in the
// configuration.
var (
	reservedHeaders = []string{
		"Connection", "Content-Encoding", "Content-Length", "Host", "Idempotency-Key", "Keep-Alive", "Te", "Trailer",
		"Transfer-Encoding", "Upgrade", "User-Agent", "Proxy-Connection", "Expect", timestampHeader,
	}
	secretHeaders = []string{"Authorization", "Cookie", "Proxy-Authorization"}
)

// Check returns all that is wrong with the values.
func (o *WebhookOptions) Check() []Problem {
	return slices.Concat(checkURL(o.URL, o.URLFile), checkProxy(o.ProxyURL), o.checkWords(), o.checkNumbers(), o.checkAuth(),
		o.checkHeaders(), o.TLS.check(), o.checkTLSUse())
}

// checkURL is for the keys url and url_file, one of which has to be set.
func checkURL(text, file string) []Problem {
	switch {
	case text == "" && file == "":
		return []Problem{{"url", "is missing: set url, or url_file where the URL has a secret in it"}}
	case text != "" && file != "":
		return []Problem{{"url_file", "can't be set together with url: remove one of them"}}
	case text == "":
		return nil
	}
	u, ok := parseURL(text)
	switch {
	case !ok:
		return []Problem{{"url", "is not an http or https URL: write it as https://host/path"}}
	case u.User != nil:
		return []Problem{{"url", "has a user or password in it: use basic_auth, or put the whole URL in a file for url_file"}}
	}
	return nil
}

// parseURL gives no error: its text would be the URL.
func parseURL(s string) (*url.URL, bool) {
	u, err := url.Parse(s)
	if err != nil || u.Hostname() == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, false
	}
	return u, true
}

// checkProxy is for the key proxy_url.
func checkProxy(text string) []Problem {
	if text == "" {
		return nil
	}
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Hostname() == "" || !slices.Contains([]string{"http", "https", "socks5", "socks5h"}, u.Scheme):
		return []Problem{{"proxy_url", "is not an http, https or socks5 URL: write it as http://host:port"}}
	case u.User != nil:
		return []Problem{{"proxy_url", "has a user or password in it: set the variable HTTPS_PROXY from a Secret instead"}}
	}
	return nil
}

func (o *WebhookOptions) checkWords() []Problem {
	var p []Problem
	if o.Method != http.MethodPost && o.Method != http.MethodPut {
		p = append(p, Problem{"method", "is neither POST nor PUT"})
	}
	if o.Format != "json" && o.Format != "ndjson" {
		p = append(p, Problem{"format", "is neither json nor ndjson"})
	}
	return p
}

func (o *WebhookOptions) checkNumbers() []Problem {
	var p []Problem
	if o.Timeout <= 0 || time.Duration(o.Timeout) > webhookMaxTimeout {
		p = append(p, Problem{"timeout", "must be above 0 and at most 5m"})
	}
	if o.MaxConnections < 1 || o.MaxConnections > 100 {
		p = append(p, Problem{"max_connections", "must be from 1 to 100"})
	}
	if o.MaxBatchRecords < 1 || o.MaxBatchRecords > 10000 {
		p = append(p, Problem{"max_batch_records", "must be from 1 to 10000"})
	}
	if o.MaxBatchBytes < 1 || o.MaxBatchBytes > webhookMaxBatchBytes {
		p = append(p, Problem{"max_batch_bytes", "must be from 1 to 16777216"})
	}
	return p
}

func (o *WebhookOptions) checkAuth() []Problem {
	var p []Problem
	switch b := o.BasicAuth; {
	case b.Username != "" && b.PasswordFile == "":
		p = append(p, Problem{"basic_auth.password_file", "is missing: passwords come from files"})
	case b.Username == "" && b.PasswordFile != "":
		p = append(p, Problem{"basic_auth.username", "is missing"})
	case strings.Contains(b.Username, ":"):
		p = append(p, Problem{"basic_auth.username", "has a colon in it, which ends the user's name"})
	}
	if o.BearerTokenFile != "" && o.BasicAuth != (BasicAuth{}) {
		p = append(p, Problem{"bearer_token_file", "can't be set together with basic_auth: a request has one Authorization"})
	}
	switch {
	case !validHeaderName(o.HMAC.Header) || slices.Contains(reservedHeaders, http.CanonicalHeaderKey(o.HMAC.Header)):
		p = append(p, Problem{"hmac.header", "is not a header that can be set: leave it out for X-Baton-Signature"})
	case o.HMAC.SecretFile == "" && o.HMAC.Header != newWebhookOptions().HMAC.Header:
		p = append(p, Problem{"hmac.secret_file", "is missing: without a secret there is no signature"})
	}
	return p
}

func (o *WebhookOptions) checkHeaders() []Problem {
	var p []Problem
	seen := map[string]bool{}
	if o.HMAC.SecretFile != "" {
		seen[http.CanonicalHeaderKey(o.HMAC.Header)] = true
	}
	if o.BearerTokenFile != "" || o.BasicAuth.PasswordFile != "" {
		seen["Authorization"] = true
	}
	for _, name := range slices.Sorted(maps.Keys(o.Headers)) {
		p = append(p, checkHeader("headers."+name, name, seen)...)
		if slices.Contains(secretHeaders, http.CanonicalHeaderKey(name)) {
			p = append(p, Problem{"headers." + name, "is a secret: use bearer_token_file, basic_auth or header_files"})
		}
		if !validHeaderValue(o.Headers[name]) {
			p = append(p, Problem{"headers." + name, "has characters in it that a header can't carry"})
		}
	}
	for _, name := range slices.Sorted(maps.Keys(o.HeaderFiles)) {
		p = append(p, checkHeader("header_files."+name, name, seen)...)
		if o.HeaderFiles[name] == "" {
			p = append(p, Problem{"header_files." + name, "names no file"})
		}
	}
	return p
}

func checkHeader(key, name string, seen map[string]bool) []Problem {
	canonical := http.CanonicalHeaderKey(name)
	defer func() { seen[canonical] = true }()
	switch {
	case !validHeaderName(name):
		return []Problem{{key, "is not the name of a header"}}
	case slices.Contains(reservedHeaders, canonical):
		return []Problem{{key, "is a header that Baton sets by itself"}}
	case seen[canonical]:
		return []Problem{{key, "is set twice"}}
	}
	return nil
}

func (o *WebhookOptions) checkTLSUse() []Problem {
	if u, ok := parseURL(o.URL); ok && u.Scheme == "http" && o.TLS != (TLSOptions{}) {
		return []Problem{{"tls", "has no effect on an http URL: write https, or remove it"}}
	}
	return nil
}

// validHeaderName tells a token of RFC 9110.
func validHeaderName(s string) bool {
	const marks = "!#$%&'*+-.^_`|~"
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool {
		letter := r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9'
		return !letter && !strings.ContainsRune(marks, r)
	})
}

func validHeaderValue(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f })
}
