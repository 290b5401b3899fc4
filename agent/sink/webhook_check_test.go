package sink

import (
	"reflect"
	"strings"
	"testing"
)

func TestWebhookCheck(t *testing.T) {
	for _, c := range []struct {
		name string
		set  func(o *WebhookOptions)
		keys string // of the problems, in order
	}{
		{"defaults and a URL", func(o *WebhookOptions) {}, ""},
		{"everything", func(o *WebhookOptions) {
			o.URL, o.URLFile = "", "/url"
			o.Method, o.Format, o.ProxyURL, o.BearerTokenFile = "PUT", "ndjson", "socks5://proxy:1080", "/token"
			o.Headers, o.HeaderFiles = map[string]string{"X-A": "b"}, map[string]string{"X-Api-Key": "/key"}
			o.TLS = TLSOptions{CAFile: "/ca", CertFile: "/c", KeyFile: "/k", ServerName: "s", InsecureSkipVerify: true}
			o.HMAC = HMAC{SecretFile: "/s", Header: "X-Hub-Signature-256"}
		}, ""},
		{"no URL", func(o *WebhookOptions) { o.URL = "" }, "url"},
		{"two URLs", func(o *WebhookOptions) { o.URLFile = "/f" }, "url_file"},
		{"another scheme", func(o *WebhookOptions) { o.URL = "ftp://h/" }, "url"},
		{"no scheme", func(o *WebhookOptions) { o.URL = "example.test/events" }, "url"},
		{"no host", func(o *WebhookOptions) { o.URL = "https:///events" }, "url"},
		{"unreadable", func(o *WebhookOptions) { o.URL = "https://h/%zz" }, "url"},
		{"password in URL", func(o *WebhookOptions) { o.URL = "https://me:hunter2@h/" }, "url"},
		{"user in URL", func(o *WebhookOptions) { o.URL = "https://hunter2@h/" }, "url"},
		{"method", func(o *WebhookOptions) { o.Method = "post" }, "method"},
		{"format", func(o *WebhookOptions) { o.Format = "xml" }, "format"},
		{"proxy", func(o *WebhookOptions) { o.ProxyURL = "proxy:3128" }, "proxy_url"},
		{"proxy's password", func(o *WebhookOptions) { o.ProxyURL = "http://u:hunter2@p:1" }, "proxy_url"},
		{"numbers", func(o *WebhookOptions) { o.Timeout, o.MaxConnections, o.MaxBatchRecords, o.MaxBatchBytes = 0, 0, 0, 0 },
			"timeout max_connections max_batch_records max_batch_bytes"},
		{"large numbers", func(o *WebhookOptions) {
			o.Timeout, o.MaxConnections, o.MaxBatchRecords, o.MaxBatchBytes = 1<<62, 1<<30, 1<<30, 1<<30
		}, "timeout max_connections max_batch_records max_batch_bytes"},
		{"user alone", func(o *WebhookOptions) { o.BasicAuth.Username = "me" }, "basic_auth.password_file"},
		{"password alone", func(o *WebhookOptions) { o.BasicAuth.PasswordFile = "/p" }, "basic_auth.username"},
		{"colon", func(o *WebhookOptions) { o.BasicAuth = BasicAuth{"a:b", "/p"} }, "basic_auth.username"},
		{"two Authorizations", func(o *WebhookOptions) { o.BasicAuth, o.BearerTokenFile = BasicAuth{"a", "/p"}, "/t" },
			"bearer_token_file"},
		{"a third", func(o *WebhookOptions) {
			o.BearerTokenFile, o.HeaderFiles = "/t", map[string]string{"authorization": "/a"}
		}, "header_files.authorization"},
		{"cert alone", func(o *WebhookOptions) { o.TLS.CertFile = "/c" }, "tls.key_file"},
		{"key alone", func(o *WebhookOptions) { o.TLS.KeyFile = "/c" }, "tls.cert_file"},
		{"TLS without TLS", func(o *WebhookOptions) { o.URL, o.TLS.CAFile = "http://h/", "/c" }, "tls"},
		{"header's name", func(o *WebhookOptions) { o.Headers = map[string]string{"X A": "b", "": "c"} }, "headers. headers.X A"},
		{"header's value", func(o *WebhookOptions) { o.Headers = map[string]string{"X-A": "b\nX-B: c"} }, "headers.X-A"},
		{"secret header", func(o *WebhookOptions) { o.Headers = map[string]string{"authorization": "hunter2"} },
			"headers.authorization"},
		{"reserved header", func(o *WebhookOptions) { o.Headers = map[string]string{"content-length": "1"} },
			"headers.content-length"},
		{"header twice", func(o *WebhookOptions) {
			o.Headers, o.HeaderFiles = map[string]string{"X-A": "b"}, map[string]string{"x-a": "/f"}
		}, "header_files.x-a"},
		{"header without file", func(o *WebhookOptions) { o.HeaderFiles = map[string]string{"x-a": ""} }, "header_files.x-a"},
		{"signature's header", func(o *WebhookOptions) { o.HMAC = HMAC{"/s", "X Y"} }, "hmac.header"},
		{"signature's header without secret", func(o *WebhookOptions) { o.HMAC.Header = "X-S" }, "hmac.secret_file"},
		{"signature's header twice", func(o *WebhookOptions) {
			o.HMAC.SecretFile, o.Headers = "/s", map[string]string{"x-baton-signature": "b"}
		}, "headers.x-baton-signature"},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := newWebhookOptions()
			o.URL = "https://example.test/events"
			c.set(o)
			var keys []string
			for _, p := range o.Check() {
				keys = append(keys, p.Key)
				if p.Text == "" || strings.Contains(p.Text, "hunter2") {
					t.Errorf("%s: %q", p.Key, p.Text)
				}
			}
			if got := strings.Join(keys, " "); got != c.keys {
				t.Errorf("problems with %q, want %q", got, c.keys)
			}
		})
	}
}

// The decoder and the reference go by the tags alone.
func TestOptionsHaveTags(t *testing.T) {
	for name, options := range Types {
		checkTags(t, name, reflect.TypeOf(options()).Elem())
	}
}

func checkTags(t *testing.T, name string, typ reflect.Type) {
	for f := range typ.Fields() {
		if f.Tag.Get("yaml") == "" || !strings.HasSuffix(f.Tag.Get("doc"), ".") {
			t.Errorf("%s.%s: no key, or no sentence for the reference", name, f.Name)
		}
		if f.Type.Kind() == reflect.Struct {
			checkTags(t, name+"."+f.Name, f.Type)
		}
	}
}
