// Package controlplane runs etcd and kube-apiserver on loopback ports, without a kubelet or any controller, for tests
// and for the demo. It needs no rights and leaves nothing behind.
package controlplane

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/eventbaton/baton/e2e/child"
	"github.com/eventbaton/baton/e2e/port"
)

// Options are what a control plane can be started with. The zero value serves.
type Options struct {
	// EventsEtcd gives the events an etcd of their own.
	EventsEtcd bool
	// EventTTL is how long events are kept, one hour if zero.
	EventTTL time.Duration
	// Audit keeps the metadata of each request in the file AuditLog.
	Audit bool
	// Flags are more flags of kube-apiserver.
	Flags []string
}

// ControlPlane is a running API server with its storage. Its methods may be called from several goroutines, those that
// stop and start a part from one at a time.
type ControlPlane struct {
	options Options
	nursery *child.Nursery
	etcd    *server
	events  *server // nil where events have no etcd of their own
	api     *server
	keys    *keys
	client  *kubernetes.Clientset
	admin   *rest.Config

	mu    sync.Mutex
	users []User
}

// Start starts a control plane and returns once it is ready. The first one on a machine has Kubernetes built, which
// takes minutes.
func Start(ctx context.Context, o Options) (*ControlPlane, error) {
	assets, err := Assets(ctx)
	if err != nil {
		return nil, err
	}
	nursery, err := child.Open("baton-controlplane")
	if err != nil {
		return nil, err
	}
	c := &ControlPlane{options: o, nursery: nursery}
	if err := c.start(ctx, assets); err != nil {
		return nil, errors.Join(err, nursery.Close())
	}
	return c, nil
}

// Assets returns the folder of etcd and kube-apiserver: KUBEBUILDER_ASSETS, or what scripts/k8s/build has built.
func Assets(ctx context.Context) (string, error) {
	if dir := os.Getenv("KUBEBUILDER_ASSETS"); dir != "" {
		return dir, nil
	}
	root, err := Root(ctx)
	if err != nil {
		return "", err
	}
	cmd := exec.CommandContext(ctx, filepath.Join(root, "scripts", "k8s", "build"))
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("building Kubernetes: %w", err)
	}
	return strings.TrimSpace(string(out)), nil
}

// Root returns the folder of the module that the working directory is in.
func Root(ctx context.Context) (string, error) {
	out, err := exec.CommandContext(ctx, "go", "env", "GOMOD").Output()
	if err != nil {
		return "", fmt.Errorf("finding the module's folder: %w", err)
	}
	return filepath.Dir(strings.TrimSpace(string(out))), nil
}

func (c *ControlPlane) start(ctx context.Context, assets string) error {
	var err error
	if c.keys, err = makeKeys(c.nursery.Dir); err != nil {
		return err
	}
	if c.users, err = makeUsers(c.nursery.Dir); err != nil {
		return err
	}
	c.etcd = c.etcdServer(assets, "etcd")
	if err := c.etcd.start(ctx); err != nil {
		return err
	}
	if c.options.EventsEtcd {
		c.events = c.etcdServer(assets, "etcd-events")
		if err := c.events.start(ctx); err != nil {
			return err
		}
	}
	c.api = c.apiServer(assets)
	if err := c.api.start(ctx); err != nil {
		return err
	}
	return c.connect()
}

func (c *ControlPlane) connect() error {
	c.admin = c.config(c.user(0), c.api.url())
	var err error
	if c.client, err = kubernetes.NewForConfig(c.admin); err != nil {
		return fmt.Errorf("making the admin's client: %w", err)
	}
	return nil
}

// Stop kills everything and removes its files. A second call does nothing.
func (c *ControlPlane) Stop() error {
	err := c.nursery.Close()
	for _, s := range []*server{c.etcd, c.events, c.api} {
		if s != nil {
			s.give()
		}
	}
	return err
}

// Address is host and port of the API server, the same after a restart.
func (c *ControlPlane) Address() string { return port.Address(c.api.ports[0]) }

// Client is the admin's. The admin is exempt from the API server's flow control.
func (c *ControlPlane) Client() *kubernetes.Clientset { return c.client }

// Admin is a copy of the admin's configuration.
func (c *ControlPlane) Admin() *rest.Config { return rest.CopyConfig(c.admin) }

// AuditLog is the file of the audit log, a JSON object a line.
func (c *ControlPlane) AuditLog() string { return filepath.Join(c.nursery.Dir, "audit.log") }

// APIServerPid is the API server's process id, for those who measure it.
func (c *ControlPlane) APIServerPid() int { return c.api.process.Pid }

// KillAPIServer kills the API server. In order it would stop only after its watches have ended, up to a minute later.
func (c *ControlPlane) KillAPIServer() { c.api.kill() }

// StartAPIServer starts a killed API server again, on the same port, and returns once it is ready.
func (c *ControlPlane) StartAPIServer(ctx context.Context) error { return c.api.start(ctx) }

// KillEventsEtcd kills the events' own etcd.
func (c *ControlPlane) KillEventsEtcd() { c.events.kill() }

// StartEventsEtcd starts a killed events' etcd again.
func (c *ControlPlane) StartEventsEtcd(ctx context.Context) error { return c.events.start(ctx) }

// WipeEventsEtcd kills the events' own etcd and starts it with nothing in it.
func (c *ControlPlane) WipeEventsEtcd(ctx context.Context) error {
	c.events.kill()
	if err := os.RemoveAll(c.events.data); err != nil {
		return fmt.Errorf("wiping the events' etcd: %w", err)
	}
	return c.events.start(ctx)
}
