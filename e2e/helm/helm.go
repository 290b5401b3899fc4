// Package helm installs charts as a user does with Helm 3 and with Helm 4, by the Go module of each.
//
// Both clients do what their command does without flags, but for the time they wait; what differs between the two, as
// server-side apply and what --wait watches, is left as it is, because that is what is to be tried.
package helm

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"time"

	"k8s.io/client-go/tools/clientcmd"
)

// Release is one installation of a chart.
type Release struct {
	Name, Namespace string
	Chart           string // the chart's folder
	// Values are as --set gives them: they override those of the files.
	Values     map[string]any
	ValueFiles []string
	// CreateNamespace makes a missing namespace at the installation.
	CreateNamespace bool
	// Wait is how long to wait until everything is ready; 0 is not at all, but for hooks.
	Wait time.Duration
}

// Rendered is what a chart makes of its values.
type Rendered struct {
	Manifest, Notes string
	Hooks           []string // each hook's manifest, in the order of their files
}

// Client is one version of Helm.
type Client interface {
	// Lint is the error of every problem that `helm lint --strict` finds.
	Lint(r Release) error
	// Template renders without a cluster.
	Template(ctx context.Context, r Release) (Rendered, error)
	Install(ctx context.Context, r Release) error
	// Upgrade starts from the chart's values, not from those of the last revision.
	Upgrade(ctx context.Context, r Release) error
	// Rollback goes back to a revision, 0 for the last but one.
	Rollback(ctx context.Context, name, namespace string, revision int) error
	// Uninstall waits until everything is deleted; with 0, for hooks alone.
	Uninstall(ctx context.Context, name, namespace string, wait time.Duration) error
	// Test runs `helm test`. The error has the logs of the test's pods.
	Test(ctx context.Context, name, namespace string, timeout time.Duration) error
}

// Both are the clients of the cluster that a kubeconfig names, by "helm3" and "helm4".
func Both(kubeconfig string) map[string]Client {
	return map[string]Client{"helm3": V3(kubeconfig), "helm4": V4(kubeconfig)}
}

// kubeVersion is the version of Kubernetes that a chart is rendered for without a cluster. Both modules take 1.20
// otherwise, which their commands never do.
const kubeVersion = "v1.36.0"

// hookTimeout is how long Helm waits for a hook where nothing else was said: the default of --timeout.
const hookTimeout = 5 * time.Minute

// timeout is what is left of what was asked for, when ctx ends earlier: some of Helm's actions know no context.
func timeout(ctx context.Context, wait time.Duration) time.Duration {
	if wait <= 0 {
		wait = hookTimeout
	}
	if deadline, ok := ctx.Deadline(); ok {
		wait = min(wait, max(0, time.Until(deadline)))
	}
	return wait
}

// alone runs an action that knows no context, unless it has no time at all.
func alone(ctx context.Context, action func() error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return action()
}

// merged puts a release's values over those of its files.
func merged(files, over map[string]any) (map[string]any, error) {
	data, err := json.Marshal(over)
	if err != nil {
		return nil, fmt.Errorf("the values can't be written: %w", err)
	}
	// As from a file: Helm knows no types of Go but those that a decoder makes.
	var plain map[string]any
	if err := json.Unmarshal(data, &plain); err != nil {
		return nil, fmt.Errorf("the values can't be read: %w", err)
	}
	return overlay(files, plain), nil
}

// overlay merges nested maps; anything else replaces.
func overlay(base, over map[string]any) map[string]any {
	sum := maps.Clone(base)
	if sum == nil {
		sum = map[string]any{}
	}
	for key, value := range over {
		below, isMap := sum[key].(map[string]any)
		if above, ok := value.(map[string]any); ok && isMap {
			sum[key] = overlay(below, above)
			continue
		}
		sum[key] = value
	}
	return sum
}

// failed says which Helm failed at what.
func failed(version, what string, r Release, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %s %s in %s: %w", version, what, r.Name, r.Namespace, err)
}

func loadKubeconfig(path, namespace string) clientcmd.ClientConfig {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = path
	overrides := &clientcmd.ConfigOverrides{}
	overrides.Context.Namespace = namespace
	return clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, overrides)
}
