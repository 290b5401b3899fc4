// Package fleet runs agents as real processes against an API server without a kubelet: it makes their pods, and plays
// the kubelet that reports on them.
package fleet

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/eventbaton/baton/e2e/child"
	"github.com/eventbaton/baton/e2e/controlplane"
	"github.com/eventbaton/baton/e2e/history"
)

// Options describe a fleet.
type Options struct {
	Plane *controlplane.ControlPlane
	// Binary is the agent's.
	Binary string
	// Namespace is the release's. It is made if need be.
	Namespace string
	// Size is the number of agents.
	Size int
	// Config is what all agents are told. Name and Lock are needed.
	Config Config
	// Each, where set, changes one agent's configuration; i counts from 0.
	Each func(i int, c *Config)
	// SinkURL, where set, adds a sink named receiver, of type webhook, to each agent.
	SinkURL func(agent string) string
}

// Fleet is some agents with one lock. Agents may be added while it runs.
type Fleet struct {
	options Options
	client  *kubernetes.Clientset
	nursery *child.Nursery

	Lock    *history.History[history.LockState]
	Other   *history.History[history.LockState] // the other kind of lock, of the same name
	Cursors *history.History[history.CursorState]

	mu     sync.Mutex
	agents []*Agent
	stop   context.CancelFunc
	wg     sync.WaitGroup
}

// New makes all that the agents need: namespace, rights, pods. It starts none of them.
func New(ctx context.Context, o Options) (*Fleet, error) {
	nursery, err := child.Open("baton-fleet")
	if err != nil {
		return nil, err
	}
	f := &Fleet{
		options: o, client: o.Plane.Client(), nursery: nursery,
		Lock: history.New[history.LockState](), Other: history.New[history.LockState](), Cursors: history.New[history.CursorState](),
	}
	if err := f.prepare(ctx); err != nil {
		f.Stop()
		return nil, err
	}
	return f, nil
}

func (f *Fleet) prepare(ctx context.Context) error {
	if err := f.makeNamespace(ctx); err != nil {
		return err
	}
	if err := f.makeRoles(ctx); err != nil {
		return err
	}
	for range f.options.Size {
		if _, err := f.Add(ctx); err != nil {
			return err
		}
	}
	ctx, f.stop = context.WithCancel(context.WithoutCancel(ctx))
	f.follow(ctx)
	return nil
}

func (f *Fleet) makeNamespace(ctx context.Context) error {
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: f.options.Namespace}}
	_, err := f.client.CoreV1().Namespaces().Create(ctx, ns, metav1.CreateOptions{})
	if err != nil && !apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("making the namespace %s: %w", f.options.Namespace, err)
	}
	return nil
}

// Add adds an agent with a pod, a user and a proxy of its own. It is not started.
func (f *Fleet) Add(ctx context.Context) (*Agent, error) {
	f.mu.Lock()
	n := len(f.agents)
	f.mu.Unlock()
	a, err := f.newAgent(n)
	if err != nil {
		return nil, err
	}
	f.mu.Lock()
	f.agents = append(f.agents, a)
	f.mu.Unlock()
	return a, errors.Join(f.grantAll(ctx, a), a.MakePod(ctx))
}

// Start starts all agents that do not run.
func (f *Fleet) Start() error {
	var errs []error
	for _, a := range f.Agents() {
		if !a.Running() {
			errs = append(errs, a.Start())
		}
	}
	return errors.Join(errs...)
}

// Agents are all agents there are, running or not.
func (f *Fleet) Agents() []*Agent {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]*Agent(nil), f.agents...)
}

// Agent is the agent with this identity, nil for a stranger.
func (f *Fleet) Agent(identity string) *Agent {
	for _, a := range f.Agents() {
		if a.Name == history.PodOf(identity) {
			return a
		}
	}
	return nil
}

// Leader waits until the lock is held by an agent for which is, where set, is true.
func (f *Fleet) Leader(ctx context.Context, is func(*Agent) bool) (*Agent, error) {
	var leader *Agent
	_, err := f.Lock.Wait(ctx, func(s history.LockState) bool {
		leader = f.Agent(s.Holder)
		return leader != nil && (is == nil || is(leader))
	})
	if err != nil {
		return nil, fmt.Errorf("waiting for a leader of %s: %w", f.options.Namespace, err)
	}
	return leader, nil
}

// Terminate ends all agents in order, and says what is wrong with the way they ended. It is called once at most.
func (f *Fleet) Terminate(grace time.Duration) error {
	var wg sync.WaitGroup
	agents := f.Agents()
	errs := make([]error, len(agents))
	for i, a := range agents {
		wg.Go(func() { errs[i] = a.terminate(grace) })
	}
	wg.Wait()
	return errors.Join(errs...)
}

// Stop kills what still runs and removes all files; what is in the API server stays.
func (f *Fleet) Stop() {
	if f.stop != nil {
		f.stop()
	}
	f.wg.Wait()
	for _, a := range f.Agents() {
		a.close()
	}
	_ = f.nursery.Close() // a folder that can't be removed is the sweeper's business
}

// Build builds the agent into dir, or takes the one that BATON_BINARY names.
func Build(ctx context.Context, dir string) (string, error) {
	if binary := os.Getenv("BATON_BINARY"); binary != "" {
		return binary, nil
	}
	root, err := controlplane.Root(ctx)
	if err != nil {
		return "", err
	}
	binary := filepath.Join(dir, "baton")
	cmd := exec.CommandContext(ctx, "go", "build", "-o", binary, "./agent")
	cmd.Dir = root
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building the agent: %w\n%s", err, out)
	}
	return binary, nil
}
