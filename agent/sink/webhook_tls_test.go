package sink

import (
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func TestWebhookTLS(t *testing.T) {
	own, other := newAuthority(t), newAuthority(t)
	r := own.serveTLS(t, func(c *tls.Config) { c.MaxVersion = tls.VersionTLS12 })
	old := own.serveTLS(t, func(c *tls.Config) { c.MinVersion, c.MaxVersion = tls.VersionTLS10, tls.VersionTLS11 })
	ca, wrongCA := tempFile(t, own.pem), tempFile(t, other.pem)
	for _, c := range []struct {
		name string
		url  string
		tls  TLSOptions
		says string
	}{
		{"own authority", r.URL, TLSOptions{CAFile: ca}, ""},
		{"own authority, name", r.URL, TLSOptions{CAFile: ca, ServerName: "receiver.test"}, ""},
		{"another name", r.URL, TLSOptions{CAFile: ca, ServerName: "other.test"}, "other.test"},
		{"unknown authority", r.URL, TLSOptions{}, "unknown authority"},
		{"another authority", r.URL, TLSOptions{CAFile: wrongCA}, "x509"},
		{"not verified", r.URL, TLSOptions{InsecureSkipVerify: true}, ""},
		{"no authority in the file", r.URL, TLSOptions{CAFile: tempFile(t, "text")}, "no certificate in PEM"},
		{"no pair in the files", r.URL, TLSOptions{CertFile: ca, KeyFile: ca}, "tls.key_file " + ca},
		{"TLS 1.1", old.URL, TLSOptions{CAFile: ca}, "protocol version"},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := openWebhook(t, c.url, func(o *WebhookOptions) { o.TLS = c.tls }).Send(t.Context(), records(1))
			if c.says == "" && err != nil || c.says != "" && (err == nil || !strings.Contains(err.Error(), c.says)) {
				t.Errorf("error %v, want %q", err, c.says)
			}
		})
	}
}

func TestWebhookHTTP2(t *testing.T) {
	own := newAuthority(t)
	certPEM, keyPEM := own.issue(t, "receiver.test", 2, net.IPv4(127, 0, 0, 1))
	pair, err := tls.X509KeyPair([]byte(certPEM), []byte(keyPEM))
	must(t, err)
	r := newReceiver(t, func(r *receiver) {
		r.EnableHTTP2 = true
		r.TLS = &tls.Config{Certificates: []tls.Certificate{pair}}
		r.StartTLS()
	})
	w := openWebhook(t, r.URL, func(o *WebhookOptions) { o.TLS.CAFile = tempFile(t, own.pem) })
	must(t, w.Send(t.Context(), records(500)))
	if got := r.last(t); got.Proto != "HTTP/2.0" || len(got.ids(t)) != 500 {
		t.Errorf("%s, %d records", got.Proto, len(got.ids(t)))
	}
}

// A client certificate that is renewed is used from the next request on: no connection made with the old one is used
// again. While the new files don't match nothing is sent.
func TestWebhookClientCertificateRotates(t *testing.T) {
	own := newAuthority(t)
	r := own.serveTLS(t, func(c *tls.Config) { c.ClientAuth, c.ClientCAs = tls.RequireAndVerifyClientCert, own.pool() })
	dir, publish := mount(t)
	cert1, key1 := own.issue(t, "client", 101)
	cert2, key2 := own.issue(t, "client", 102)
	w := openWebhook(t, r.URL, func(o *WebhookOptions) {
		o.TLS = TLSOptions{CAFile: tempFile(t, own.pem), CertFile: filepath.Join(dir, "tls.crt"), KeyFile: filepath.Join(dir, "tls.key")}
	})
	for _, c := range []struct {
		cert, key string
		serial    int64 // 0: nothing is sent
	}{{cert1, key1, 101}, {cert2, key1, 0}, {cert2, key2, 102}, {cert2, key2, 102}} {
		publish(map[string]string{"tls.crt": c.cert, "tls.key": c.key})
		w.expire()
		before := r.count()
		err := w.Send(t.Context(), records(1))
		if c.serial == 0 {
			if err == nil || r.count() != before {
				t.Errorf("error %v, %d requests more", err, r.count()-before)
			}
			continue
		}
		must(t, err)
		if got := r.last(t).TLS.PeerCertificates[0].SerialNumber.Int64(); got != c.serial {
			t.Errorf("client certificate %d, want %d", got, c.serial)
		}
	}
	if r.connections != 2 {
		t.Errorf("%d connections, want 2: one a certificate", r.connections)
	}
}

func TestWebhookAuthorityRotates(t *testing.T) {
	own, other := newAuthority(t), newAuthority(t)
	r := own.serveTLS(t, nil)
	ca := tempFile(t, other.pem)
	w := openWebhook(t, r.URL, func(o *WebhookOptions) { o.TLS.CAFile = ca })
	if err := w.Send(t.Context(), records(1)); err == nil {
		t.Error("no error with the wrong authority")
	}
	write(t, ca, other.pem+own.pem)
	w.expire()
	must(t, w.Send(t.Context(), records(1)))
	write(t, ca, other.pem)
	w.expire()
	if err := w.Send(t.Context(), records(1)); err == nil {
		t.Error("a connection outlived the authority that it was made under")
	}
}

// proxy forwards both ways that a client may ask for, and counts.
func proxy(t *testing.T, to string) (*receiver, func() string) {
	t.Helper()
	var asked string
	p := newReceiver(t, func(r *receiver) {
		r.answer = func(w http.ResponseWriter, req *http.Request) {
			asked = req.Method + " " + req.Host
			if req.Method == http.MethodConnect {
				tunnel(t, w, to)
			}
		}
	})
	return p, func() string { return asked }
}

func tunnel(t *testing.T, w http.ResponseWriter, to string) {
	w.WriteHeader(http.StatusOK)
	client, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		t.Error(err)
		return
	}
	server, err := net.Dial("tcp", to)
	if err != nil {
		t.Error(err)
		return
	}
	go func() {
		defer server.Close()
		io.Copy(server, client)
	}()
	go func() {
		defer client.Close()
		io.Copy(client, server)
	}()
}

func TestWebhookProxy(t *testing.T) {
	own := newAuthority(t)
	r := own.serveTLS(t, nil)
	p, asked := proxy(t, r.Listener.Addr().String())
	w := openWebhook(t, "https://receiver.test/in", func(o *WebhookOptions) {
		o.ProxyURL, o.TLS.CAFile = p.URL, tempFile(t, own.pem)
	})
	must(t, w.Send(t.Context(), records(3)))
	if got := r.last(t); asked() != "CONNECT receiver.test:443" || len(got.ids(t)) != 3 {
		t.Errorf("asked the proxy for %q", asked())
	}
	plain := openWebhook(t, "http://receiver.test/in", func(o *WebhookOptions) { o.ProxyURL = p.URL })
	must(t, plain.Send(t.Context(), records(3)))
	if asked() != "POST receiver.test" || len(p.last(t).ids(t)) != 3 {
		t.Errorf("asked the proxy for %q", asked())
	}
}

// The environment is read once a process, so each case is one of its own.
func TestWebhookProxyOfTheEnvironment(t *testing.T) {
	for _, c := range []struct{ noProxy, want string }{
		{"", "https://receiver.test/in by http://proxy.test:3128"},
		{"receiver.test", "https://receiver.test/in by <nil>"},
	} {
		cmd := exec.CommandContext(t.Context(), os.Args[0])
		cmd.Env = append(os.Environ(), "BATON_TEST_PROXY=1", "HTTPS_PROXY=http://proxy.test:3128", "NO_PROXY="+c.noProxy)
		if out, err := cmd.CombinedOutput(); err != nil || string(out) != c.want {
			t.Errorf("NO_PROXY=%s: %v, %s, want %s", c.noProxy, err, out, c.want)
		}
	}
}

func sayProxy() {
	o := newWebhookOptions()
	o.URL = "https://receiver.test/in"
	s, err := o.Open(Environment{})
	if err != nil {
		panic(err)
	}
	transport, err := s.(*webhook).client.current()
	if err != nil {
		panic(err)
	}
	req, err := http.NewRequest(o.Method, o.URL, nil)
	if err != nil {
		panic(err)
	}
	proxy, err := transport.Proxy(req)
	if err != nil {
		panic(err)
	}
	fmt.Printf("%v by %v", req.URL, proxy)
	os.Exit(0)
}
