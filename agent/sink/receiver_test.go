package sink

import (
	"bytes"
	"compress/gzip"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/eventbaton/baton/agent/record"
)

// receiver keeps the requests that arrive and answers as the test says, 204 without.
type receiver struct {
	*httptest.Server
	answer http.HandlerFunc

	mu          sync.Mutex
	requests    []received
	connections int
}

type received struct {
	*http.Request
	body []byte
}

func newReceiver(t *testing.T, configure func(*receiver)) *receiver {
	t.Helper()
	r := &receiver{}
	r.Server = httptest.NewUnstartedServer(r)
	r.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			r.mu.Lock()
			r.connections++
			r.mu.Unlock()
		}
	}
	r.Config.ErrorLog = log.New(io.Discard, "", 0)
	if configure != nil {
		configure(r)
	}
	if r.URL == "" {
		r.Start()
	}
	t.Cleanup(r.Close)
	return r
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	body, _ := io.ReadAll(req.Body)
	r.mu.Lock()
	r.requests = append(r.requests, received{req, body})
	r.mu.Unlock()
	if r.answer == nil {
		w.WriteHeader(http.StatusNoContent)
		return
	}
	r.answer(w, req)
}

func (r *receiver) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.requests)
}

func (r *receiver) last(t *testing.T) received {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.requests) == 0 {
		t.Fatal("no request arrived")
	}
	return r.requests[len(r.requests)-1]
}

// plain gives the body as it was before compression.
func (r received) plain(t *testing.T) []byte {
	t.Helper()
	if r.Header.Get("Content-Encoding") != "gzip" {
		return r.body
	}
	z, err := gzip.NewReader(bytes.NewReader(r.body))
	must(t, err)
	plain, err := io.ReadAll(z)
	must(t, err)
	return plain
}

func (r received) ids(t *testing.T) []string {
	t.Helper()
	if r.Header.Get("Content-Type") == "application/x-ndjson" {
		return idsOf(t, r.plain(t))
	}
	var batch []*record.Record
	must(t, json.Unmarshal(r.plain(t), &batch))
	return ids(batch)
}

func openWebhook(t *testing.T, url string, configure func(*WebhookOptions)) *webhook {
	t.Helper()
	o := newWebhookOptions()
	o.URL = url
	if configure != nil {
		configure(o)
	}
	if problems := o.Check(); len(problems) > 0 {
		t.Fatalf("problems: %v", problems)
	}
	s, err := o.Open(Environment{Version: "1.2.3"})
	must(t, err)
	t.Cleanup(func() { closed(t, s) })
	return s.(*webhook)
}

// expire makes the sink look at its files again, as it does when a second has passed.
func (w *webhook) expire() {
	files := []*file{w.url, w.token, w.password, w.hmac, w.client.ca, w.client.cert, w.client.key}
	for _, f := range w.headerFiles {
		files = append(files, f)
	}
	for _, f := range files {
		if f != nil {
			f.mu.Lock()
			f.read = time.Time{}
			f.mu.Unlock()
		}
	}
}

// authority is a CA of the test's own.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pem  string
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	template := certificate("authority", 1)
	template.IsCA, template.BasicConstraintsValid, template.KeyUsage = true, true, x509.KeyUsageCertSign
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	must(t, err)
	cert, err := x509.ParseCertificate(der)
	must(t, err)
	return &authority{cert, key, encodePEM("CERTIFICATE", der)}
}

// issue gives a certificate and its key in PEM, good for server and client.
func (a *authority) issue(t *testing.T, name string, serial int64, ips ...net.IP) (certPEM, keyPEM string) {
	t.Helper()
	template := certificate(name, serial)
	template.DNSNames, template.IPAddresses = []string{name}, ips
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, &key.PublicKey, a.key)
	must(t, err)
	keyDER, err := x509.MarshalECPrivateKey(key)
	must(t, err)
	return encodePEM("CERTIFICATE", der), encodePEM("EC PRIVATE KEY", keyDER)
}

func (a *authority) pool() *x509.CertPool {
	p := x509.NewCertPool()
	p.AddCert(a.cert)
	return p
}

func certificate(name string, serial int64) *x509.Certificate {
	return &x509.Certificate{
		SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
}

func encodePEM(kind string, der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}

// serveTLS starts the receiver with a certificate for 127.0.0.1 and receiver.test.
func (a *authority) serveTLS(t *testing.T, configure func(*tls.Config)) *receiver {
	t.Helper()
	certPEM, keyPEM := a.issue(t, "receiver.test", 2, net.IPv4(127, 0, 0, 1))
	pair, err := tls.X509KeyPair([]byte(certPEM), []byte(keyPEM))
	must(t, err)
	return newReceiver(t, func(r *receiver) {
		r.TLS = &tls.Config{Certificates: []tls.Certificate{pair}}
		if configure != nil {
			configure(r.TLS)
		}
		r.StartTLS()
	})
}
