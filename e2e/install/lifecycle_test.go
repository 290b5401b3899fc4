package install

import (
	"maps"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"

	"github.com/eventbaton/baton/e2e/helm"
	"github.com/eventbaton/baton/e2e/inventory"
)

// Nobody runs the hook's Job here.
var noCleanup = values{"cleanup": false}

func with(all ...values) values {
	merged := values{}
	for _, v := range all {
		maps.Copy(merged, v)
	}
	return merged
}

// Both versions of Helm do all that is done to a release, and one goes on where the other has begun.
func TestLifecycle(t *testing.T) {
	namespace(t, "shop")
	three, four := helm.V3(suite.kubeconfig), helm.V4(suite.kubeconfig)
	for name, c := range map[string]struct{ first, then helm.Client }{
		"helm-3": {three, three}, "helm-4": {four, four}, "from-3-to-4": {three, four},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			lifecycle(t, unique(name), c.first, c.then)
		})
	}
}

func lifecycle(t *testing.T, ns string, first, then helm.Client) {
	ctx := within(t)
	before := take(t)
	release := helm.Release{Name: ns, Namespace: ns, Chart: suite.chart, CreateNamespace: true, Values: noCleanup}
	do(t, first.Install(ctx, release))
	installed := roles(t, ns)
	config := configOf(t, ns)
	if len(installed) != 3 || !strings.Contains(config, "leader_candidate: false") {
		t.Errorf("installed: roles %v, configuration\n%s", installed, config)
	}

	release.Values = with(noCleanup, values{
		"leaderCandidate": true, "lock": "configmap", "namespaces": []any{"shop"}, "clusterId": "c", "networkPolicy": values{"enabled": true},
	})
	do(t, then.Upgrade(ctx, release))
	upgraded := []string{ns + "/" + ns + "-baton", "shop/" + ns + "-baton:" + ns + ":events"}
	if got := roles(t, ns); !slices.Equal(got, upgraded) {
		t.Errorf("upgraded, it has the roles %v, want %v", got, upgraded)
	}
	if got := configOf(t, ns); !strings.Contains(got, "lock: configmap") || !strings.Contains(got, "- shop") {
		t.Errorf("upgraded, its configuration is\n%s", got)
	}

	do(t, then.Rollback(ctx, ns, ns, 1))
	if got := roles(t, ns); !slices.Equal(got, installed) {
		t.Errorf("rolled back, it has the roles %v, want %v", got, installed)
	}
	if got := configOf(t, ns); got != config {
		t.Errorf("rolled back, its configuration is\n%s\nwant\n%s", got, config)
	}

	do(t, then.Uninstall(ctx, ns, ns, 0))
	if left := inventory.Left(before, take(t), ns, ns); !slices.Equal(left, []string{"namespaces /" + ns}) {
		t.Errorf("uninstalled, it leaves %v", left)
	}
}

// Two releases in one namespace share nothing, and the end of one does nothing to the other.
func TestSideBySide(t *testing.T) {
	t.Parallel()
	ctx, client := within(t), helm.V4(suite.kubeconfig)
	ns, east, west := unique("both"), unique("east"), unique("west")
	namespace(t, ns)
	for _, name := range []string{east, west} {
		do(t, client.Install(ctx, helm.Release{
			Name: name, Namespace: ns, Chart: suite.chart, Values: with(noCleanup, values{"flowSchema": values{"enabled": true}}),
		}))
	}
	before := roles(t, west)
	do(t, client.Uninstall(ctx, east, ns, 0))
	if left := roles(t, east); len(left) > 0 {
		t.Errorf("the one that is gone leaves the roles %v", left)
	}
	if after := roles(t, west); len(after) != 3 || !slices.Equal(before, after) {
		t.Errorf("the other one had the roles %v, and has %v", before, after)
	}
	do(t, client.Uninstall(ctx, west, ns, 0))
}

// What the chart refuses is refused before anything is made.
func TestRefusedValues(t *testing.T) {
	t.Parallel()
	for version, client := range helm.Both(suite.kubeconfig) {
		err := client.Install(within(t), helm.Release{
			Name: "refused", Namespace: "refused", Chart: suite.chart, CreateNamespace: true, Values: values{"leaderCandidat": true},
		})
		if err == nil || !strings.Contains(err.Error(), "leaderCandidat") {
			t.Errorf("%s: a misspelt value: %v", version, err)
		}
		_, err = suite.plane.Client().CoreV1().Namespaces().Get(t.Context(), "refused", metav1.GetOptions{})
		if !apierrors.IsNotFound(err) {
			t.Errorf("%s: its namespace was made: %v", version, err)
		}
	}
}

func do(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func take(t *testing.T) inventory.Inventory {
	t.Helper()
	config := suite.plane.Admin()
	config.ContentType, config.AcceptContentTypes, config.WarningHandler = "", "", rest.NoWarnings{}
	d, err := discovery.NewDiscoveryClientForConfig(config)
	do(t, err)
	m, err := metadata.NewForConfig(config)
	do(t, err)
	all, err := inventory.Take(t.Context(), d, m)
	do(t, err)
	return all
}

// roles are the names of a release's roles and cluster roles, each of which must have a binding of the same name.
func roles(t *testing.T, release string) []string {
	t.Helper()
	ctx, mine := t.Context(), metav1.ListOptions{LabelSelector: "app.kubernetes.io/instance=" + release}
	rbac := suite.plane.Client().RbacV1()
	var names, bound []string
	add := func(all *[]string, o metav1.Object) { *all = append(*all, o.GetNamespace()+"/"+o.GetName()) }
	r, err := rbac.Roles("").List(ctx, mine)
	do(t, err)
	for i := range r.Items {
		add(&names, &r.Items[i])
	}
	c, err := rbac.ClusterRoles().List(ctx, mine)
	do(t, err)
	for i := range c.Items {
		add(&names, &c.Items[i])
	}
	b, err := rbac.RoleBindings("").List(ctx, mine)
	do(t, err)
	for i := range b.Items {
		add(&bound, &b.Items[i])
	}
	cb, err := rbac.ClusterRoleBindings().List(ctx, mine)
	do(t, err)
	for i := range cb.Items {
		add(&bound, &cb.Items[i])
	}
	slices.Sort(names)
	slices.Sort(bound)
	if !slices.Equal(names, bound) {
		t.Errorf("%s has the roles %v and the bindings %v", release, names, bound)
	}
	return names
}

// configOf is a release's kubernetes.yaml, as it is in the cluster.
func configOf(t *testing.T, release string) string {
	t.Helper()
	all, err := suite.plane.Client().CoreV1().ConfigMaps("").List(t.Context(), metav1.ListOptions{
		LabelSelector: "app.kubernetes.io/instance=" + release,
	})
	do(t, err)
	i := slices.IndexFunc(all.Items, func(m corev1.ConfigMap) bool { return m.Data["kubernetes.yaml"] != "" })
	if i < 0 {
		t.Fatalf("%s has no ConfigMap with a kubernetes.yaml", release)
	}
	return all.Items[i].Data["kubernetes.yaml"]
}
