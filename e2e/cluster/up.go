package cluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"sigs.k8s.io/kind/pkg/apis/config/v1alpha4"
	"sigs.k8s.io/kind/pkg/cluster"
)

const (
	// complete marks, in the control plane's node, a cluster that was ready once: one that was cut off in its making is
	// not waited for.
	complete = "/kind/baton-complete"
	// toStart and toRecover are how long a new cluster, and one that was stopped, may take until all is ready.
	toStart   = 5 * time.Minute
	toRecover = 90 * time.Second
)

// Up makes the cluster, or takes the one there is, and returns when its nodes and system pods are ready.
func Up(ctx context.Context, o Options) (*Cluster, error) {
	c, err := Find(ctx, o)
	if err != nil {
		return nil, err
	}
	image := ""
	err = c.log.Do("Node image", func() (string, error) {
		image, err = script(ctx, c.log, c.root, "scripts/node/image")
		return image, err
	})
	if err != nil {
		return nil, err
	}
	if image == "" {
		return nil, errors.New("scripts/node/image printed no node image")
	}
	if err := os.MkdirAll(filepath.Dir(c.Kubeconfig()), 0o755); err != nil {
		return nil, fmt.Errorf("making the folder of the kubeconfig: %w", err)
	}
	taken, err := c.take(ctx, image)
	if err != nil {
		return nil, err
	}
	if !taken {
		err = c.make(ctx, image)
	}
	if err != nil {
		return nil, err
	}
	return c, nil
}

// take takes the cluster that is there if it is as it should be, and otherwise removes it.
func (c *Cluster) take(ctx context.Context, image string) (taken bool, err error) {
	nodes, err := c.containers(ctx)
	if err != nil || len(nodes) == 0 {
		return false, err
	}
	why := errors.New("a new one was asked for")
	if c.options.Reuse {
		if why = c.differs(nodes, image); why == nil {
			why = c.log.Do("Taking the cluster "+c.options.Name, func() (string, error) { return "", c.recover(ctx, nodes) })
		}
	}
	if why == nil || ctx.Err() != nil {
		return why == nil, ctx.Err()
	}
	return false, c.log.Do("Removing the old cluster "+c.options.Name, func() (string, error) {
		return tail(why.Error(), 1), c.remove()
	})
}

// differs tells what makes a cluster another than the one that is wanted.
func (c *Cluster) differs(nodes []container, image string) error {
	if want := 1 + c.options.Workers; len(nodes) != want || nodes[0].role != controlPlane {
		return fmt.Errorf("it has %d nodes, not %d", len(nodes), want)
	}
	for _, n := range nodes {
		if !sameImage(n.image, image) {
			return fmt.Errorf("its nodes are of the image %s", n.image)
		}
	}
	return nil
}

// recover brings the nodes of a cluster to life that were stopped or paused, as they are when the machine was restarted
// or a test was cut off, and waits until all is ready.
func (c *Cluster) recover(ctx context.Context, nodes []container) error {
	woken, err := c.wake(ctx, nodes)
	if err != nil {
		return err
	}
	if _, err := c.Exec(ctx, nodes[0].name, "test", "-e", complete); err != nil {
		return errors.New("its making was cut off")
	}
	if err := c.export(); err != nil {
		return err
	}
	client, err := c.client()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, toRecover, fmt.Errorf("not ready after %s", toRecover))
	defer cancel()
	if err := beating(ctx, client, woken); err != nil {
		return err
	}
	if err := c.ready(ctx, toRecover); err != nil {
		return err
	}
	return uncordon(ctx, client)
}

// wake starts what does not run, and returns which nodes those were.
func (c *Cluster) wake(ctx context.Context, nodes []container) (woken []string, err error) {
	for _, n := range nodes {
		how := "start"
		switch n.state {
		case "running", "restarting":
			continue
		case "paused":
			how = "unpause"
		}
		if _, err := c.Docker(ctx, how, n.name); err != nil {
			return nil, fmt.Errorf("waking the node %s: %w", n.name, err)
		}
		woken = append(woken, n.name)
	}
	return woken, nil
}

// export writes the kubeconfig. A restarted engine gives the API server another port.
func (c *Cluster) export() error {
	text, err := c.provider.KubeConfig(c.options.Name, false)
	if err != nil {
		return fmt.Errorf("reading the kubeconfig of %s: %w", c.options.Name, explain(err))
	}
	if err := os.WriteFile(c.Kubeconfig(), []byte(text), 0o600); err != nil {
		return fmt.Errorf("writing the cluster's kubeconfig: %w", err)
	}
	return nil
}

func (c *Cluster) make(ctx context.Context, image string) error {
	old, err := oldCgroups(ctx)
	if err != nil {
		return err
	}
	what := fmt.Sprintf("Cluster %s of %d nodes", c.options.Name, 1+c.options.Workers)
	return c.log.Do(what, func() (string, error) {
		if err := c.create(ctx, config(c.options, image, old)); err != nil {
			return "", err
		}
		if err := c.ready(ctx, toStart); err != nil {
			return "", errors.Join(err, c.leave(ctx))
		}
		fmt.Fprintln(c.log, "✓ Nodes and system pods are ready")
		_, err := c.Exec(ctx, c.options.Name+"-"+controlPlane, "touch", complete)
		return "", err
	})
}

// leave removes a new cluster whose caller has gone. One that does not get ready is left to be looked at: the next Up
// replaces it.
func (c *Cluster) leave(ctx context.Context) error {
	if ctx.Err() == nil {
		return nil
	}
	return c.remove()
}

// create has kind make the cluster. kind can't be told to stop, but it gives up when its nodes go.
func (c *Cluster) create(ctx context.Context, how *v1alpha4.Cluster) error {
	if err := c.forget(); err != nil {
		return err
	}
	var err error
	done := make(chan struct{})
	go func() {
		defer close(done)
		err = c.provider.Create(c.options.Name, cluster.CreateWithV1Alpha4Config(how),
			cluster.CreateWithKubeconfigPath(c.Kubeconfig()), cluster.CreateWithDisplayUsage(false))
	}()
	select {
	case <-done:
		if ctx.Err() == nil && err != nil {
			return fmt.Errorf("making the cluster %s: %w", c.options.Name, remedied(explain(err)))
		}
	case <-ctx.Done():
		c.starve(done)
	}
	if ctx.Err() != nil {
		return errors.Join(context.Cause(ctx), c.remove())
	}
	return nil
}

// starve removes the nodes until kind has given up.
func (c *Cluster) starve(done <-chan struct{}) {
	tick := time.NewTicker(500 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-done:
			return
		case <-tick.C:
			_ = c.remove() // the one after kind's end counts
		}
	}
}

// remedies are for what kind's own errors don't say.
var remedies = []struct{ part, text string }{
	{"no space left on device", "Docker's disk is full: `docker system df` says of what, `docker system prune` removes what nobody uses"},
	{"unable to apply caps", "this Docker refuses privileged containers, and no private engine was started: as root one is"},
	{"too many open files", "a limit is too low: `sudo sysctl fs.inotify.max_user_instances=512 fs.inotify.max_user_watches=524288`"},
	{"port is already allocated", "another program took the API server's port: just try again"},
	{"address already in use", "another program took the API server's port: just try again"},
}

func remedied(err error) error {
	for _, r := range remedies {
		if strings.Contains(err.Error(), r.part) {
			return fmt.Errorf("%s\n%w", r.text, err)
		}
	}
	return err
}
