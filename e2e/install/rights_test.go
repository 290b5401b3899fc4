package install

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/eventbaton/baton/agent/enrich"
	"github.com/eventbaton/baton/e2e/helm"
)

// Agents, `helm test` and the cleanup live through all that rights are for; then each right was used and each call was
// allowed by one.
func TestRights(t *testing.T) {
	for _, name := range []string{"shop", "bank"} {
		namespace(t, name)
	}
	for name, c := range map[string]struct {
		client helm.Client
		values values
	}{
		"cluster": {helm.V3(suite.kubeconfig), values{
			"enrich": map[string]any{"labels": []any{"*"}, "node": true, "requests_per_second": 1000},
		}},
		"namespaces": {helm.V4(suite.kubeconfig), values{
			"namespaces": []any{"shop", "bank"}, "clusterId": "c",
			"enrich": map[string]any{"owners": true, "requests_per_second": 1000},
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ns := unique("rights-" + name)
			namespace(t, ns)
			release := helm.Release{Name: ns, Namespace: ns, Chart: suite.chart, Values: with(c.values, values{
				"leaderCandidate": true, "leaderLeaseDuration": 5, "lock": "configmap",
			})}
			rendered := everything(t, render(t, release))
			rights := granted(t, rendered)
			wide := slices.ContainsFunc(rights, func(r right) bool { return r.Namespace == "" || r.Namespace == "kube-system" })
			if wide != (name == "cluster") {
				t.Errorf("that it has rights outside its namespaces is %v: %v", wide, rights)
			}
			live(t, c.client, release, rendered, rights)
			judge(t, rights)
			controls(t, rights)
		})
	}
}

// live is a release's life: a takeover from a leader that was killed and one from a leader that has ended, with either
// kind of lock, a change from one to the other, a test, and the end.
func live(t *testing.T, client helm.Client, release helm.Release, rendered []*unstructured.Unstructured, rights []right) {
	ctx, ns := within(t), release.Namespace
	release.Values = with(release.Values, noCleanup)
	do(t, client.Install(ctx, release))
	hooks(t, rendered)
	settled(t, ctx, rights)

	c := newCrew(t, ctx, ns, ns+"-baton")
	c.start("a")
	c.leads(c.configMap, "a")
	happenings(t, ctx)
	c.start("b")
	c.follows("b")
	c.kill("a")
	c.leads(c.configMap, "b")

	release.Values = with(release.Values, values{"lock": "lease"})
	do(t, client.Upgrade(ctx, release))
	c.stop("a")
	c.start("d")
	c.leads(c.lease, "d")
	c.stop("b")
	c.start("e")
	c.follows("e")
	c.stop("d")
	c.leads(c.lease, "e")

	probe := find[corev1.Pod](t, rendered, "Pod")[0]
	if said, err := hook(t, ctx, ns, probe.Name, probe.Spec); err != nil || !strings.Contains(said, "was acknowledged by log after") {
		t.Errorf("helm test: %v: %s%s", err, said, c.logs())
	}
	c.stop("e")
	cleanup := find[batchv1.Job](t, rendered, "Job")[0]
	said, err := hook(t, ctx, ns, cleanup.Name, cleanup.Spec.Template.Spec)
	if err != nil || strings.Count(said, ": deleted\n") != 3 {
		t.Errorf("cleanup: %v: %s", err, said)
	}
	do(t, client.Uninstall(ctx, ns, ns, 0))
}

// happenings are events about an object of each kind that records are enriched with the labels of. That there is none of
// the name takes the right all the same.
func happenings(t *testing.T, ctx context.Context) { //nolint:revive // a test's own comes first
	t.Helper()
	for _, kind := range enrich.Known() {
		object := corev1.ObjectReference{APIVersion: strings.TrimPrefix(kind.Group+"/"+kind.Version, "/"), Kind: kind.Kind, Name: unique("x")}
		namespaces := []string{"shop", "bank"}
		if kind.Cluster {
			namespaces = []string{"default"}
		}
		for _, in := range namespaces {
			if !kind.Cluster {
				object.Namespace = in
			}
			_, err := suite.plane.Client().CoreV1().Events(in).Create(ctx, &corev1.Event{
				ObjectMeta: metav1.ObjectMeta{GenerateName: "happening-"}, InvolvedObject: object, Reason: "Happened", Type: corev1.EventTypeNormal,
				LastTimestamp: metav1.Now(),
			}, metav1.CreateOptions{})
			do(t, err)
		}
	}
}

// hooks makes what Helm would make before it runs the pods of the hooks, which nobody runs here.
func hooks(t *testing.T, rendered []*unstructured.Unstructured) {
	t.Helper()
	s := connect(t)
	for _, o := range rendered {
		_, isHook := o.GetAnnotations()["helm.sh/hook"]
		if isHook && o.GetKind() != "Pod" && o.GetKind() != "Job" {
			do(t, s.create(t.Context(), o))
		}
	}
}

// judge waits until the log has the last calls, which is written after they are answered.
func judge(t *testing.T, rights []right) {
	t.Helper()
	var err error
	for range 50 {
		if err = compare(rights, calls(t, users(rights)...)); err == nil {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Error(err)
}

func users(rights []right) []string {
	var all []string
	for _, r := range rights {
		all = append(all, r.User)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// controls shows that the comparison sees a verb too many, and one too few.
func controls(t *testing.T, rights []right) {
	t.Helper()
	made := calls(t, users(rights)...)
	for i, r := range rights {
		wide := r
		wide.Verb = "patch"
		if err := compare(append(slices.Clone(rights), wide), made); err == nil || err.Error() != "never used: "+wide.String() {
			t.Errorf("granted besides: %s. The comparison says: %v", wide, err)
		}
		narrow := slices.Delete(slices.Clone(rights), i, i+1)
		if slices.ContainsFunc(narrow, r.within) {
			continue // for another one, and what that allows is no less
		}
		if err := compare(narrow, made); err == nil || !strings.Contains(err.Error(), "no role grants what "+r.User+" did: "+r.Verb) {
			t.Errorf("not granted: %s. The comparison says: %v", r, err)
		}
	}
	if len(rights) == 0 || len(made) == 0 {
		t.Error("there is nothing to compare")
	}
}

// A call that is refused is seen, with the right that was missing.
func TestRefusedCall(t *testing.T) {
	t.Parallel()
	ctx := within(t)
	ns := unique("poor")
	namespace(t, ns)
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "poor"}}
	_, err := suite.plane.Client().CoreV1().ServiceAccounts(ns).Create(ctx, account, metav1.CreateOptions{})
	do(t, err)
	said, err := hook(t, ctx, ns, "cleanup", corev1.PodSpec{ServiceAccountName: "poor", Containers: []corev1.Container{{
		Args: []string{"cleanup", "--namespace=" + ns, "--name=baton"},
	}}})
	if err == nil || !strings.Contains(said, `the verb "get" on leases`) {
		t.Errorf("%v: %s", err, said)
	}
	user := "system:serviceaccount:" + ns + ":poor"
	lease := right{user, "get", "coordination.k8s.io", "leases", ns, "baton"}
	refused := "403 answered to " + user + ": get leases.coordination.k8s.io " + ns + "/baton"
	for range 50 {
		if err = compare([]right{lease}, calls(t, user)); err != nil && strings.Contains(err.Error(), refused) {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Errorf("the comparison says: %v", err)
}
