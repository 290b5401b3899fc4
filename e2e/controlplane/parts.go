package controlplane

import (
	"context"
	"crypto/tls"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/eventbaton/baton/e2e/port"
)

func (c *ControlPlane) etcdServer(assets, name string) *server {
	data := filepath.Join(c.nursery.Dir, name)
	client := &http.Client{Timeout: time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	return &server{
		name: name, binary: filepath.Join(assets, "etcd"), scheme: "http", nursery: c.nursery, data: data, count: 2,
		args: func(ports []int) []string {
			client, peer := port.URL("http", ports[0]), port.URL("http", ports[1])
			return []string{
				"--data-dir=" + data, "--unsafe-no-fsync", "--log-level=warn",
				"--listen-client-urls=" + client, "--advertise-client-urls=" + client,
				"--listen-peer-urls=" + peer, "--initial-advertise-peer-urls=" + peer,
				"--initial-cluster=default=" + peer, "--quota-backend-bytes=8589934592",
			}
		},
		ready: func(ctx context.Context, url string) error { return get(ctx, client, url+"/health", "") },
	}
}

func (c *ControlPlane) apiServer(assets string) *server {
	client := &http.Client{Timeout: time.Second, Transport: &http.Transport{
		DisableKeepAlives: true, TLSClientConfig: &tls.Config{RootCAs: c.keys.pool()},
	}}
	return &server{
		name: "kube-apiserver", binary: filepath.Join(assets, "kube-apiserver"), scheme: "https", nursery: c.nursery, count: 1,
		args: func(ports []int) []string { return c.apiFlags(ports[0]) },
		ready: func(ctx context.Context, url string) error {
			return get(ctx, client, url+"/readyz", c.user(0).Token)
		},
	}
}

func (c *ControlPlane) apiFlags(p int) []string {
	dir := c.nursery.Dir
	flags := []string{
		"--bind-address=127.0.0.1", fmt.Sprintf("--secure-port=%d", p), "--advertise-address=127.0.0.1",
		"--etcd-servers=" + c.etcd.url(),
		"--tls-cert-file=" + c.keys.certFile, "--tls-private-key-file=" + c.keys.keyFile, "--cert-dir=" + dir,
		"--token-auth-file=" + filepath.Join(dir, tokensFile), "--authorization-mode=RBAC",
		"--service-account-issuer=https://baton.test", "--service-account-key-file=" + c.keys.keyFile,
		"--service-account-signing-key-file=" + c.keys.keyFile, "--service-cluster-ip-range=10.0.0.0/24",
		// Nobody makes service accounts here: no controllers run.
		"--disable-admission-plugins=ServiceAccount", "--endpoint-reconciler-type=none", "--profiling=false",
	}
	if c.events != nil {
		flags = append(flags, "--etcd-servers-overrides=/events#"+c.events.url())
	}
	if c.options.EventTTL > 0 {
		flags = append(flags, "--event-ttl="+c.options.EventTTL.String())
	}
	if c.options.Audit {
		flags = append(flags, "--audit-log-path="+c.AuditLog(), "--audit-policy-file="+filepath.Join(dir, "audit.yaml"))
		// A file that can't be written is seen by the API server's own message at its start.
		_ = os.WriteFile(filepath.Join(dir, "audit.yaml"), []byte(auditPolicy), 0o600)
	}
	return append(flags, c.options.Flags...)
}

const auditPolicy = `apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules: [{level: Metadata}]
`
