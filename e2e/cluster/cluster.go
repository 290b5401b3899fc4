// Package cluster makes a kind cluster of several nodes, and gives it to tests and to `make up`: its kubeconfig, its
// nodes, the Docker engine that they run in. It needs Docker; whatever else it needs is built.
package cluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/kind/pkg/cluster"

	"github.com/eventbaton/baton/e2e/cluster/step"
	"github.com/eventbaton/baton/e2e/controlplane"
)

// Options are what a cluster is made of.
type Options struct {
	// Name is kind's name of the cluster: its nodes are <name>-control-plane, <name>-worker, <name>-worker2, ...
	Name string
	// Workers is how many nodes there are besides the control plane's.
	Workers int
	// Log is told what is being done, a line a step; nil for nothing.
	Log io.Writer
	// Reuse takes a cluster of that name where there is one in good health; else it is made anew.
	Reuse bool
}

// Cluster is a kind cluster. Its methods may be called from several goroutines.
type Cluster struct {
	options  Options
	root     string
	host     string // of the Docker engine
	machine  string // the engine that the machine's own CLI uses
	log      *step.Log
	provider *cluster.Provider

	mu      sync.Mutex
	kubectl string // "" until somebody needs it
}

// Node is one node, which is also the container of that name.
type Node struct {
	Name string
	// Role is control-plane or worker.
	Role string
}

// names are those that kind and a host name allow.
var names = regexp.MustCompile(`^[a-z0-9]([a-z0-9.-]{0,48}[a-z0-9])?$`)

func (o Options) check() error {
	if !names.MatchString(o.Name) {
		return fmt.Errorf("%q can't be a cluster's name: at most 50 lower case letters, digits, dots and dashes", o.Name)
	}
	if o.Workers < 0 {
		return fmt.Errorf("cluster %s: %d workers", o.Name, o.Workers)
	}
	return nil
}

// Find is the cluster of that name, in whatever state it is; it need not exist. It finds, or starts, the engine that it
// would be in.
func Find(ctx context.Context, o Options) (*Cluster, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	root, err := Root(ctx)
	if err != nil {
		return nil, err
	}
	c := &Cluster{options: o, root: root, log: step.To(o.Log)}
	err = c.log.Do("Docker engine", func() (string, error) {
		if c.host, err = startEngine(ctx, c.log, root); err != nil {
			return "", err
		}
		c.machine = machines(ctx)
		if c.Private() {
			return "a private one, " + c.host, nil
		}
		return "the machine's", nil
	})
	if err != nil {
		return nil, err
	}
	c.provider = cluster.NewProvider(cluster.ProviderWithDocker(), cluster.ProviderWithLogger(logger{c.log}))
	return c, nil
}

// Host is the DOCKER_HOST of the engine that the nodes run in, "" for Docker's default.
func (c *Cluster) Host() string { return c.host }

// Private tells whether the nodes run in an engine of their own, which only DOCKER_HOST leads to.
func (c *Cluster) Private() bool { return c.host != "" && c.host != c.machine }

// Kubeconfig is the file that kubectl needs to reach the cluster.
func (c *Cluster) Kubeconfig() string {
	return filepath.Join(c.root, "dist", "kubeconfig-"+c.options.Name)
}

// Config is for clients, as the cluster's admin.
func (c *Cluster) Config() (*rest.Config, error) {
	config, err := clientcmd.BuildConfigFromFlags("", c.Kubeconfig())
	if err != nil {
		return nil, fmt.Errorf("reading the cluster's kubeconfig: %w", err)
	}
	// The tests' own pace, not client-go's, decides.
	config.QPS, config.Burst = 100, 200
	return config, nil
}

// Nodes are the nodes: the control plane's first, the workers in the order of their names.
func (c *Cluster) Nodes(ctx context.Context) ([]Node, error) {
	found, err := c.containers(ctx)
	if err != nil {
		return nil, err
	}
	nodes := make([]Node, len(found))
	for i, f := range found {
		nodes[i] = Node{Name: f.name, Role: f.role}
	}
	return nodes, nil
}

// container is a node as Docker sees it.
type container struct{ name, role, state, image string }

const (
	clusterLabel = "io.x-k8s.kind.cluster"
	roleLabel    = "io.x-k8s.kind.role"
	controlPlane = "control-plane"
)

func (c *Cluster) containers(ctx context.Context) ([]container, error) {
	ids, err := c.Docker(ctx, "ps", "--all", "--quiet", "--filter", "label="+clusterLabel+"="+c.options.Name)
	if err != nil {
		return nil, fmt.Errorf("looking for the nodes of %s: %w", c.options.Name, err)
	}
	if len(strings.Fields(string(ids))) == 0 {
		return nil, nil
	}
	format := `{{.Name}} {{index .Config.Labels "` + roleLabel + `"}} {{.State.Status}} {{.Config.Image}}`
	out, err := c.Docker(ctx, append([]string{"inspect", "--format", format}, strings.Fields(string(ids))...)...)
	if err != nil {
		return nil, fmt.Errorf("looking at the nodes of %s: %w", c.options.Name, err)
	}
	return parseContainers(string(out))
}

func parseContainers(text string) ([]container, error) {
	var found []container
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) != 4 {
			return nil, fmt.Errorf("docker inspect printed %q for a node, not its name, role, state and image", strings.TrimSpace(line))
		}
		found = append(found, container{name: strings.TrimPrefix(f[0], "/"), role: f[1], state: f[2], image: f[3]})
	}
	slices.SortFunc(found, func(a, b container) int {
		if a.role != b.role {
			return strings.Compare(a.role, b.role)
		}
		return strings.Compare(a.name, b.name)
	})
	return found, nil
}

// Exec runs a command in a node and returns its stdout.
func (c *Cluster) Exec(ctx context.Context, node string, command ...string) ([]byte, error) {
	return c.Docker(ctx, append([]string{"exec", node}, command...)...)
}

// Docker runs the engine's CLI and returns its stdout.
func (c *Cluster) Docker(ctx context.Context, args ...string) ([]byte, error) {
	return output(ctx, nil, "docker", args...)
}

// Kubectl runs a kubectl that was built from the same Kubernetes and returns its stdout.
func (c *Cluster) Kubectl(ctx context.Context, args ...string) ([]byte, error) {
	path, err := c.KubectlPath(ctx)
	if err != nil {
		return nil, err
	}
	return output(ctx, nil, path, append([]string{"--kubeconfig", c.Kubeconfig()}, args...)...)
}

// KubectlPath is where that kubectl is. The first time it may have to be built.
func (c *Cluster) KubectlPath(ctx context.Context) (string, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.kubectl != "" {
		return c.kubectl, nil
	}
	path, err := script(ctx, c.log, c.root, "scripts/node/kubectl")
	if err != nil {
		return "", err
	}
	c.kubectl = path
	return path, nil
}

// Delete removes the cluster with its kubeconfig and, once no cluster is left in it, the engine if that is private. What
// is absent is fine.
func (c *Cluster) Delete(ctx context.Context) error {
	return c.log.Do("Removing the cluster "+c.options.Name, func() (string, error) {
		left, err := c.containers(ctx)
		if err != nil {
			return "", err
		}
		if err := c.remove(); err != nil {
			return "", err
		}
		note := fmt.Sprintf("%d nodes", len(left))
		if len(left) == 0 {
			note = "there was none"
		}
		return note, c.tidy(ctx)
	})
}

// remove removes the nodes and the kubeconfig.
func (c *Cluster) remove() error {
	if err := c.forget(); err != nil {
		return err
	}
	if err := c.provider.Delete(c.options.Name, c.Kubeconfig()); err != nil {
		return fmt.Errorf("removing the cluster %s: %w", c.options.Name, explain(err))
	}
	return nil
}

// forget removes the kubeconfig, and the lock that kind leaves beside it when it is killed and then waits for in vain.
func (c *Cluster) forget() error {
	for _, f := range []string{c.Kubeconfig(), c.Kubeconfig() + ".lock"} {
		if err := os.Remove(f); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("removing the cluster's kubeconfig: %w", err)
		}
	}
	return nil
}

// tidy removes what all clusters share once there is none.
func (c *Cluster) tidy(ctx context.Context) error {
	left, err := c.provider.List()
	if err != nil {
		return fmt.Errorf("looking for other clusters: %w", explain(err))
	}
	if len(left) > 0 {
		return nil
	}
	// kind makes the network again when it needs it. Where something else is attached, Docker refuses.
	_, _ = c.Docker(ctx, "network", "rm", "kind")
	_, err = script(ctx, c.log, c.root, "scripts/engine/stop")
	return err
}

// Root is the folder of the module that the working directory is in.
func Root(ctx context.Context) (string, error) {
	root, err := controlplane.Root(ctx)
	if err != nil {
		return "", err
	}
	if _, err := os.Stat(filepath.Join(root, "charts")); err != nil {
		return "", errors.New("this has to be run in a folder of Baton's repository")
	}
	return root, nil
}
