package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	rbacv1 "k8s.io/api/rbac/v1"
	"sigs.k8s.io/yaml"

	"github.com/eventbaton/baton/e2e/helm"
)

// The release and its namespace that stand for anyone's in the table.
const (
	someRelease   = "baton"
	someNamespace = "release-namespace"
)

// use is what a right is for.
type use struct{ right, why string }

// uses says what needs each rule that the chart renders: by its right in the words of the table. The generator fails
// where a rule has no use, and where a use has no rule.
var uses = []use{
	{
		"agent: list, watch events; the cluster",
		"reads the events. With `namespaces` and no `namespaceNameRegexp` it is a Role in each of them, and " +
			"nothing is for the whole cluster",
	},
	{
		"agent: get namespaces, nodes, persistentvolumes; the cluster",
		"enriches the records. Only with `enrich`: `node` takes pods and nodes, the rest all that `kinds` doesn't leave out. " +
			"With `namespaces` and no `namespaceNameRegexp` this is for nodes alone, or all three where `default` is among them",
	},
	{
		"agent: get persistentvolumeclaims, pods, replicationcontrollers, services; the cluster",
		"the same; with `namespaces` and no `namespaceNameRegexp` it is a Role in each of them",
	},
	{"agent: get daemonsets, deployments, replicasets, statefulsets; the cluster", "the same"},
	{"agent: get horizontalpodautoscalers; the cluster", "the same"},
	{"agent: get cronjobs, jobs; the cluster", "the same"},
	{"agent: get ingresses; the cluster", "the same"},
	{"agent: get poddisruptionbudgets; the cluster", "the same"},
	{
		"agent: get namespace kube-system; kube-system",
		"the cluster's id, which the ids of the records begin with. Not with `clusterId`",
	},
	{
		"agent: get, watch, update lease baton; release's",
		"the lock: followers watch it, its holder renews it",
	},
	{
		"agent: get, watch, update configmap baton; release's",
		"the lock of the other kind: `lock` may be changed at any time, and a holder of the one looks for a " +
			"holder of the other",
	},
	{
		"agent: get, update configmap baton-cursors; release's",
		"the cursors: a leader claims them and moves them",
	},
	{
		"agent: create leases; release's",
		"the first lock. RBAC can't restrict a creation by name",
	},
	{
		"agent: create configmaps; release's",
		"the first cursors, and the first lock where it is a ConfigMap",
	},
	{
		"agent: get, watch pods; release's",
		"the proof that a leader is dead: its pod is gone or its container has ended. The pod's name is nobody's " +
			"to know in advance",
	},
	{
		"agent: create events; release's",
		"says that the leader has changed",
	},
	{
		"helm test: get lease baton; release's",
		"who leads",
	},
	{
		"helm test: create events; release's",
		"the test's event. With `namespaces`, in the first of them",
	},
	{
		"helm test: get configmaps baton, baton-cursors; release's",
		"who leads, where the lock is a ConfigMap, and whether every sink has acknowledged the test's event",
	},
	{
		"cleanup: list pods; release's",
		"waits until the last agent has ended, which would make the lock again",
	},
	{
		"cleanup: get, delete lease baton; release's",
		"deletes the lock at uninstall. Only with `cleanup`",
	},
	{
		"cleanup: get, delete configmaps baton, baton-cursors; release's",
		"deletes lock and cursors at uninstall. Only with `cleanup`",
	},
}

// rightsTable says for each right that the chart grants what uses it.
func rightsTable(chart string, uses []use) (string, error) {
	release := helm.Release{Name: someRelease, Namespace: someNamespace, Chart: chart, Values: map[string]any{
		"enrich": map[string]any{"labels": []any{"*"}, "node": true}, // the only rights that are there on request alone
	}}
	rendered, err := helm.V3("").Template(context.Background(), release)
	if err != nil {
		return "", err
	}
	b := &strings.Builder{}
	b.WriteString("| who | right | where | what uses it |\n| --- | --- | --- | --- |\n")
	left := map[string]string{}
	for _, u := range uses {
		left[u.right] = u.why
	}
	var unused []error
	for _, text := range append(strings.Split(rendered.Manifest, "\n---\n"), rendered.Hooks...) {
		var role rbacv1.ClusterRole // a Role has the same fields
		if err := yaml.Unmarshal([]byte(text), &role); err != nil {
			return "", fmt.Errorf("reading what was rendered: %w", err)
		}
		if role.Kind != "Role" && role.Kind != "ClusterRole" {
			continue
		}
		for _, rule := range role.Rules {
			who, what, where := holder(role.Name), words(rule), place(role.Namespace)
			key := fmt.Sprintf("%s: %s; %s", who, what, where)
			if left[key] == "" {
				unused = append(unused, fmt.Errorf("the rule %q has no line in uses: say there what needs it", key))
			}
			fmt.Fprintf(b, "| %s | %s | %s | %s |\n", who, what, where, left[key])
			delete(left, key)
		}
	}
	for _, key := range slices.Sorted(maps.Keys(left)) {
		unused = append(unused, fmt.Errorf("uses has %q, which the chart doesn't grant: remove the line", key))
	}
	return b.String(), errors.Join(unused...)
}

// holder is whose a role is.
func holder(role string) string {
	switch role {
	case someRelease + "-test":
		return "helm test"
	case someRelease + "-cleanup":
		return "cleanup"
	default:
		return "agent"
	}
}

func place(namespace string) string {
	switch namespace {
	case "":
		return "the cluster"
	case someNamespace:
		return "release's"
	default:
		return namespace
	}
}

func words(rule rbacv1.PolicyRule) string {
	resource := strings.Join(rule.Resources, ", ")
	if len(rule.ResourceNames) == 1 {
		resource = strings.TrimSuffix(resource, "s")
	}
	text := strings.Join(rule.Verbs, ", ") + " " + resource
	if len(rule.ResourceNames) > 0 {
		text += " " + strings.Join(rule.ResourceNames, ", ")
	}
	return text
}
