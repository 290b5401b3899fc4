// Package kube is the way to the API server: connection, scheme and typed clients of the few kinds Baton uses.
//
// It does without client-go's full clientset: that links and registers every API group there is, which an agent
// on each node would pay for in memory.
package kube

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/client-go/gentype"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

var (
	scheme     = newScheme()
	codecs     = serializer.NewCodecFactory(scheme)
	parameters = runtime.NewParameterCodec(scheme)
)

func newScheme() *runtime.Scheme {
	s := runtime.NewScheme()
	metav1.AddToGroupVersion(s, schema.GroupVersion{Version: "v1"})
	for _, add := range []func(*runtime.Scheme) error{corev1.AddToScheme, coordinationv1.AddToScheme} {
		if err := add(s); err != nil {
			panic(err) // two types under one name: a fault of the build, not of its use
		}
	}
	return s
}

// Config says where the API server is and who is asking: from the kubeconfig file where one is named, else from
// the pod Baton runs in, else from KUBECONFIG or the user's default file. The namespace is the one these name.
func Config(kubeconfig string) (cfg *rest.Config, namespace string, err error) {
	if kubeconfig == "" {
		cfg, err = rest.InClusterConfig()
		if err == nil {
			return cfg, podNamespace(), nil
		}
		if !errors.Is(err, rest.ErrNotInCluster) {
			return nil, "", fmt.Errorf("finding the API server from inside the pod: %w", err)
		}
	}
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = kubeconfig
	loader := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, nil)
	cfg, err = loader.ClientConfig()
	if err != nil {
		if clientcmd.IsEmptyConfig(err) {
			return nil, "", errors.New("no cluster: this is not a pod, and neither --kubeconfig nor KUBECONFIG names " +
				"a kubeconfig file that has one")
		}
		return nil, "", fmt.Errorf("reading the kubeconfig: %w", err)
	}
	namespace, _, err = loader.Namespace()
	if err != nil {
		return nil, "", fmt.Errorf("reading the kubeconfig's namespace: %w", err)
	}
	return cfg, namespace, nil
}

// podNamespace is the namespace of the service account that the pod runs with.
func podNamespace() string {
	b, err := os.ReadFile("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
	if err != nil {
		return ""
	}
	return string(b)
}

// Client makes the typed clients. Its methods may be called from several goroutines.
type Client struct {
	core, coordination rest.Interface
	watches            rest.Interface // core, by a connection of its own
}

// New makes a client; it connects with the first request. userAgent is what the API server's audit log shows.
func New(cfg *rest.Config, userAgent string) (*Client, error) {
	findDeadConnections()
	cfg = rest.CopyConfig(cfg)
	cfg.UserAgent = userAgent
	cfg.QPS = -1 // the callers bound themselves: a renewal must never wait behind a page
	cfg.WarningHandler = rest.NoWarnings{}
	// Compressing a page costs the API server more than the bytes cost the network of a cluster.
	cfg.DisableCompression = true
	cfg.NegotiatedSerializer = codecs.WithoutConversion()
	cfg.ContentType = runtime.ContentTypeProtobuf
	cfg.AcceptContentTypes = runtime.ContentTypeProtobuf + "," + runtime.ContentTypeJSON
	direct, err := rest.HTTPClientFor(cfg)
	if err != nil {
		return nil, fmt.Errorf("preparing the connection to the API server: %w", err)
	}
	watching := rest.CopyConfig(cfg)
	watching.Dial = gathering((&net.Dialer{Timeout: 30 * time.Second, KeepAlive: 30 * time.Second}).DialContext)
	gathered, err := rest.HTTPClientFor(watching)
	if err != nil {
		return nil, fmt.Errorf("preparing the connection of the watches: %w", err)
	}
	core, err := restClient(cfg, direct, corev1.SchemeGroupVersion, "/api")
	coordination, err2 := restClient(cfg, direct, coordinationv1.SchemeGroupVersion, "/apis")
	watches, err3 := restClient(cfg, gathered, corev1.SchemeGroupVersion, "/api")
	if err := errors.Join(err, err2, err3); err != nil {
		return nil, err
	}
	return &Client{core: core, coordination: coordination, watches: watches}, nil
}

func restClient(cfg *rest.Config, client *http.Client, gv schema.GroupVersion, path string) (rest.Interface, error) {
	cfg = rest.CopyConfig(cfg)
	cfg.GroupVersion, cfg.APIPath = &gv, path
	return rest.RESTClientForConfigAndClient(cfg, client)
}

// findDeadConnections makes client-go ping an idle connection after 10 s and give it up 5 s later, so that a
// connection cut without a word is replaced within the shortest sensible lease. client-go reads these two from the
// environment only; what a user has set stands.
func findDeadConnections() {
	for name, seconds := range map[string]string{
		"HTTP2_READ_IDLE_TIMEOUT_SECONDS": "10",
		"HTTP2_PING_TIMEOUT_SECONDS":      "5",
	} {
		if _, set := os.LookupEnv(name); !set {
			_ = os.Setenv(name, seconds) // fails only for names that can't be set
		}
	}
}

// Leases is the client of the Leases in a namespace.
func (c *Client) Leases(namespace string) *gentype.Client[*coordinationv1.Lease] {
	return gentype.NewClient("leases", c.coordination, parameters, namespace,
		func() *coordinationv1.Lease { return &coordinationv1.Lease{} }, gentype.PrefersProtobuf[*coordinationv1.Lease]())
}

// ConfigMaps is the client of the ConfigMaps in a namespace.
func (c *Client) ConfigMaps(namespace string) *gentype.Client[*corev1.ConfigMap] {
	return gentype.NewClient("configmaps", c.core, parameters, namespace,
		func() *corev1.ConfigMap { return &corev1.ConfigMap{} }, gentype.PrefersProtobuf[*corev1.ConfigMap]())
}

// Pods is the client of the Pods in a namespace.
func (c *Client) Pods(namespace string) *gentype.Client[*corev1.Pod] {
	return gentype.NewClient("pods", c.core, parameters, namespace,
		func() *corev1.Pod { return &corev1.Pod{} }, gentype.PrefersProtobuf[*corev1.Pod]())
}

// ListPods lists pods in a namespace, for those who wait for their end. The agents themselves never do: they watch one.
func (c *Client) ListPods(ctx context.Context, namespace string, opts metav1.ListOptions) (*corev1.PodList, error) {
	list := &corev1.PodList{}
	err := c.core.Get().Namespace(namespace).Resource("pods").VersionedParams(&opts, parameters).Do(ctx).Into(list)
	return list, err
}

// Events is the client that makes events in a namespace; EventReader reads them.
func (c *Client) Events(namespace string) *gentype.Client[*corev1.Event] {
	return gentype.NewClient("events", c.core, parameters, namespace,
		func() *corev1.Event { return &corev1.Event{} }, gentype.PrefersProtobuf[*corev1.Event]())
}

// ClusterID is the UID of the namespace kube-system, which lives as long as the cluster does.
func (c *Client) ClusterID(ctx context.Context) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	ns := &corev1.Namespace{}
	if err := c.core.Get().Resource("namespaces").Name(metav1.NamespaceSystem).Do(ctx).Into(ns); err != nil {
		return "", fmt.Errorf("reading the namespace kube-system, whose UID is the cluster's id "+
			"(grant get on it, or set cluster_id): %w", err)
	}
	return string(ns.UID), nil
}
