package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/eventbaton/baton/agent/config"
	"github.com/eventbaton/baton/agent/cursor"
	"github.com/eventbaton/baton/agent/election"
	"github.com/eventbaton/baton/agent/kube"
)

// settle is how long what was deleted has to stay away. A pod that is gone from the API server may have a write on its way.
const settle = time.Second

type cleanupFlags struct {
	kubeconfig, namespace, name, selector string
	timeout                               time.Duration
}

func (c *cleanupFlags) set() *flag.FlagSet {
	f := flag.NewFlagSet("cleanup", flag.ContinueOnError)
	f.StringVar(&c.kubeconfig, "kubeconfig", "", "the kubeconfig that names the API server (default: the pod's own, else KUBECONFIG)")
	f.StringVar(&c.namespace, "namespace", "", "the namespace of the lock and the cursors (default: POD_NAMESPACE, else the kubeconfig's)")
	f.StringVar(&c.name, "name", config.Default().Name, "the name of the lock")
	f.StringVar(&c.selector, "selector", "", "the labels of the agents' pods, whose end is waited for: one that lives would write again")
	f.DurationVar(&c.timeout, "timeout", time.Minute, "how long all of it may take")
	return f
}

// cleanupCommand removes what the agents have made and no chart knows of: the lock, of either kind, and the cursors.
func cleanupCommand(ctx context.Context, w world, args []string) error {
	var flags cleanupFlags
	if err := parse(w, flags.set(), args); err != nil {
		return err
	}
	if _, err := labels.Parse(flags.selector); err != nil {
		return usageError{fmt.Errorf("--selector: %w", err)}
	}
	client, namespace, err := connect(w, flags.kubeconfig, flags.namespace)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, flags.timeout)
	defer cancel()
	c := &cleaner{out: w.stdout, client: client, namespace: namespace, self: variable(w, "POD_NAME")}
	if flags.selector != "" {
		err := await(ctx, func(ctx context.Context) (string, error) { return c.pods(ctx, flags.selector) })
		if err != nil {
			return fmt.Errorf("nothing is deleted while agents run, because they would write it again: %w", err)
		}
	}
	return c.clean(ctx, leftovers(client, namespace, flags.name))
}

// cleaner deletes and tells of it.
type cleaner struct {
	out       io.Writer
	client    *kube.Client
	namespace string
	self      string // the pod that this runs in, which may bear the labels of the others
}

// pods names those that may still write.
func (c *cleaner) pods(ctx context.Context, selector string) (string, error) {
	list, err := c.client.ListPods(ctx, c.namespace, metav1.ListOptions{LabelSelector: selector})
	if err != nil {
		return "", denied(fmt.Errorf("listing the pods in %s: %w", c.namespace, err), c.namespace, "list", "pods")
	}
	var left []string
	for _, p := range list.Items {
		over := p.Status.Phase == corev1.PodSucceeded || p.Status.Phase == corev1.PodFailed
		if p.Name != c.self && !over {
			left = append(left, fmt.Sprintf("%s on node %s", p.Name, firstOf(p.Spec.NodeName, "none")))
		}
	}
	if len(left) == 0 {
		return "", nil
	}
	slices.Sort(left)
	return fmt.Sprintf("%d pods in %s are left (%s); if their node is lost, delete them by force and run this again",
		len(left), c.namespace, strings.Join(left, ", ")), nil
}

// leftover is one object that may be left.
type leftover struct {
	resource, name string
	// get returns nil where it is not there.
	get    func(context.Context) (metav1.Object, error)
	delete func(context.Context, metav1.DeleteOptions) error
	// ours says whether the object is one that agents make. nil is yes.
	ours func(metav1.Object) bool
}

func (l leftover) String() string { return strings.TrimSuffix(l.resource, "s") + " " + l.name }

func leftovers(c *kube.Client, namespace, name string) []leftover {
	leases, maps := c.Leases(namespace), c.ConfigMaps(namespace)
	configMap := func(name string, ours func(metav1.Object) bool) leftover {
		return leftover{
			resource: "configmaps", name: name, ours: ours,
			get: func(ctx context.Context) (metav1.Object, error) {
				return present(maps.Get(ctx, name, metav1.GetOptions{}))
			},
			delete: func(ctx context.Context, o metav1.DeleteOptions) error { return maps.Delete(ctx, name, o) },
		}
	}
	return []leftover{
		{
			resource: "leases", name: name,
			get: func(ctx context.Context) (metav1.Object, error) {
				return present(leases.Get(ctx, name, metav1.GetOptions{}))
			},
			delete: func(ctx context.Context, o metav1.DeleteOptions) error { return leases.Delete(ctx, name, o) },
		},
		configMap(name, func(o metav1.Object) bool {
			_, locked := o.GetAnnotations()[election.LeaderAnnotation]
			return locked
		}),
		configMap(cursor.ObjectName(name), nil),
	}
}

// present makes an object that is not there nil.
func present[T metav1.Object](o T, err error) (metav1.Object, error) {
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return o, nil
}

// clean deletes all, and looks again whether somebody has made any of it anew.
func (c *cleaner) clean(ctx context.Context, all []leftover) error {
	var errs []error
	for _, l := range all {
		errs = append(errs, c.remove(ctx, l))
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	for {
		select {
		case <-ctx.Done():
			return ended(ctx, errors.New("it is deleted, and whether it stays so was not seen"))
		case <-time.After(settle):
		}
		again, err := c.again(ctx, all)
		if err != nil || !again {
			return err
		}
	}
}

// again deletes what is there once more, and tells whether anything was.
func (c *cleaner) again(ctx context.Context, all []leftover) (bool, error) {
	var found bool
	for _, l := range all {
		object, err := c.look(ctx, l)
		if err != nil {
			return false, err
		}
		if object == nil {
			continue
		}
		found = true
		_, _ = fmt.Fprintf(c.out, "%s: somebody has made it again; does an agent of this name still run in %s?\n", l, c.namespace)
		if err := c.remove(ctx, l); err != nil {
			return false, err
		}
	}
	return found, nil
}

// look returns the leftover, nil where it is not there or is none.
func (c *cleaner) look(ctx context.Context, l leftover) (metav1.Object, error) {
	var object metav1.Object
	err := await(ctx, func(ctx context.Context) (string, error) {
		var err error
		object, err = l.get(ctx)
		return "", c.explain("get", l, err)
	})
	if err != nil || object == nil || l.ours != nil && !l.ours(object) {
		return nil, err
	}
	return object, nil
}

// remove deletes the very object that it has seen, so that nothing else of that name is hit.
func (c *cleaner) remove(ctx context.Context, l leftover) error {
	said := "absent"
	err := await(ctx, func(ctx context.Context) (string, error) {
		object, err := l.get(ctx)
		switch {
		case err != nil:
			return "", c.explain("get", l, err)
		case object == nil:
			return "", nil
		case l.ours != nil && !l.ours(object):
			said = "left as it is: it is no lock of an agent"
			return "", nil
		}
		uid := object.GetUID()
		err = l.delete(ctx, metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &uid}})
		if err != nil && !apierrors.IsNotFound(err) {
			return "", c.explain("delete", l, err)
		}
		said = "deleted"
		return "", nil
	})
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(c.out, "%s: %s\n", l, said)
	return err
}

func (c *cleaner) explain(verb string, l leftover, err error) error {
	if err == nil {
		return nil
	}
	return denied(fmt.Errorf("%s %s in %s: %w", verb, l, c.namespace, err), c.namespace, verb, l.resource)
}

// denied adds to an error which right would mend it, where one would.
func denied(err error, namespace, verb, resource string) error {
	if !apierrors.IsForbidden(err) {
		return err
	}
	return fmt.Errorf("%w (a Role in the namespace %s has to grant the verb %q on %s)", err, namespace, verb, resource)
}
