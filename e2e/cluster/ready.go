package cluster

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
)

// look is the pace at which a cluster is looked at until it is ready.
const look = 300 * time.Millisecond

// ready waits until every node and every system pod is ready. The error says what is not.
func (c *Cluster) ready(ctx context.Context, within time.Duration) error {
	client, err := c.client()
	if err != nil {
		return err
	}
	return await(ctx, within, func(ctx context.Context) error { return lacking(ctx, client, 1+c.options.Workers) })
}

func (c *Cluster) client() (*kubernetes.Clientset, error) {
	config, err := c.Config()
	if err != nil {
		return nil, err
	}
	config.Timeout = 10 * time.Second
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("making a client of %s: %w", c.options.Name, err)
	}
	return client, nil
}

// beating waits until each of these nodes' kubelets has renewed its Lease: until then its status, and that of its pods,
// is from before it went to sleep.
func beating(ctx context.Context, client kubernetes.Interface, nodes []string) error {
	for _, node := range nodes {
		first := ""
		// The caller's context ends it.
		err := await(ctx, longest, func(ctx context.Context) error {
			lease, err := client.CoordinationV1().Leases(corev1.NamespaceNodeLease).Get(ctx, node, metav1.GetOptions{})
			if err != nil {
				return fmt.Errorf("reading the heartbeat of the node %s: %w", node, err)
			}
			if first == "" {
				first = lease.ResourceVersion
			}
			if lease.ResourceVersion == first {
				return fmt.Errorf("the kubelet of the node %s does not report", node)
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// uncordon lets pods onto every node again, which a drain that was cut off has not.
func uncordon(ctx context.Context, client kubernetes.Interface) error {
	nodes, err := client.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	if err != nil {
		return fmt.Errorf("listing the nodes: %w", err)
	}
	for _, n := range nodes.Items {
		if !n.Spec.Unschedulable {
			continue
		}
		patch := []byte(`{"spec":{"unschedulable":null}}`)
		if _, err := client.CoreV1().Nodes().Patch(ctx, n.Name, types.StrategicMergePatchType, patch, metav1.PatchOptions{}); err != nil {
			return fmt.Errorf("uncordoning the node %s: %w", n.Name, err)
		}
	}
	return nil
}

// await calls check until it returns nil. Its last error tells why it took too long.
func await(ctx context.Context, within time.Duration, check func(context.Context) error) error {
	ctx, cancel := context.WithTimeoutCause(ctx, within, fmt.Errorf("not ready after %s", within))
	defer cancel()
	tick := time.NewTicker(look)
	defer tick.Stop()
	for {
		err := check(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", context.Cause(ctx), err)
		case <-tick.C:
		}
	}
}

// lacking is what a cluster of that many nodes lacks to be of use.
func lacking(ctx context.Context, client kubernetes.Interface, size int) error {
	nodes, err := client.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	if err != nil {
		return fmt.Errorf("listing the nodes: %w", err)
	}
	pods, err := client.CoreV1().Pods(metav1.NamespaceSystem).List(ctx, metav1.ListOptions{})
	if err != nil {
		return fmt.Errorf("listing the system pods: %w", err)
	}
	return errors.Join(nodesLack(nodes.Items, size), podsLack(pods.Items, size))
}

func nodesLack(nodes []corev1.Node, size int) error {
	if len(nodes) != size {
		return fmt.Errorf("%d nodes of %d have joined", len(nodes), size)
	}
	var lack []string
	for _, n := range nodes {
		is, message := false, "it has not reported yet"
		for _, condition := range n.Status.Conditions {
			if condition.Type == corev1.NodeReady {
				is, message = condition.Status == corev1.ConditionTrue, condition.Message
			}
		}
		if !is {
			lack = append(lack, fmt.Sprintf("node %s is not ready: %s", n.Name, message))
		}
	}
	return joined(lack)
}

// podsLack wants every pod of kube-system ready, a kube-proxy on every node, and coredns.
func podsLack(pods []corev1.Pod, size int) error {
	proxies, dns := 0, 0
	for _, p := range pods {
		switch p.Labels["k8s-app"] {
		case "kube-proxy":
			proxies++
		case "kube-dns":
			dns++
		}
	}
	lack := unready(pods)
	if proxies < size {
		lack = append(lack, fmt.Sprintf("%d of %d pods of kube-proxy exist", proxies, size))
	}
	if dns == 0 {
		lack = append(lack, "no pod of coredns exists")
	}
	return joined(lack)
}

// Unready says of each pod that is not ready why, as far as its own status tells; it is nil where all are.
func Unready(pods []corev1.Pod) error { return joined(unready(pods)) }

func unready(pods []corev1.Pod) []string {
	var lack []string
	for _, p := range pods {
		if !running(p) {
			lack = append(lack, fmt.Sprintf("pod %s is not ready: %s", p.Name, state(p)))
		}
	}
	return lack
}

func joined(lack []string) error {
	if len(lack) == 0 {
		return nil
	}
	return errors.New(strings.Join(lack, "\n"))
}

func running(p corev1.Pod) bool {
	if p.DeletionTimestamp != nil {
		return false
	}
	for _, c := range p.Status.Conditions {
		if c.Type == corev1.PodReady {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}

// state is why a pod is not ready, as far as its own status tells.
func state(p corev1.Pod) string {
	if p.DeletionTimestamp != nil {
		return "it is being deleted"
	}
	for _, c := range p.Status.ContainerStatuses {
		if w := c.State.Waiting; w != nil {
			return strings.TrimSpace(w.Reason + " " + w.Message)
		}
	}
	for _, c := range p.Status.Conditions {
		if c.Status != corev1.ConditionTrue && c.Message != "" {
			return c.Message
		}
	}
	return string(p.Status.Phase)
}
