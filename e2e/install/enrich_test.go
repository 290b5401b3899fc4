package install

import (
	"context"
	"errors"
	"reflect"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"

	"github.com/eventbaton/baton/agent/enrich"
	"github.com/eventbaton/baton/agent/kube"
	"github.com/eventbaton/baton/agent/record"
	"github.com/eventbaton/baton/e2e/helm"
)

// A real API server tells of a pod what the configuration asks for, in the forms in which the agent asks.
func TestEnrichment(t *testing.T) {
	t.Parallel()
	ctx := within(t)
	ns := unique("enrich")
	namespace(t, ns)
	pod, owners := deployed(t, ctx, ns)
	reader := metadataReader(t, suite.plane.Admin())
	counters := &enrich.Counters{}
	e := enrich.New(enrich.Options{
		Reader: reader, Labels: []string{"app.kubernetes.io/*"}, Annotations: []string{"note"}, Owners: true, Node: true,
		Kinds: enrich.Known(), Wait: 30 * time.Second, RequestsPerSecond: 100, Counters: counters,
	})
	defer e.Close()
	about := func(name string, uid types.UID) *record.Record {
		return &record.Record{Time: time.Now(), Object: record.Object{APIVersion: "v1", Kind: "Pod", Namespace: ns, Name: name, UID: string(uid)}}
	}
	whole, replaced, gone := about("web-1", pod.UID), about("web-1", "another"), about("web-2", "")
	e.Enrich(ctx, []*record.Record{whole, replaced, gone})
	node := pod.Spec.NodeName
	for _, c := range []struct {
		what string
		got  *record.Record
		want record.Enrichment
	}{
		{"the pod", whole, record.Enrichment{
			Labels:      map[string]string{"app.kubernetes.io/name": "web"},
			Annotations: map[string]string{"note": "a \"note\""}, Owners: owners, Node: node, Zone: "eu-1a",
		}},
		{"a pod that had its name before", replaced, record.Enrichment{Incomplete: record.Gone}},
		{"a pod that is not there", gone, record.Enrichment{Incomplete: record.Gone}},
	} {
		if !reflect.DeepEqual(*c.got.Enrichment, c.want) {
			t.Errorf("%s: %+v, want %+v", c.what, *c.got.Enrichment, c.want)
		}
	}
	if n := counters.Snapshot(); n["found"] != 4 || n["gone"] != 2 || n["failed"] != 0 {
		t.Errorf("counters %v", n)
	}
}

// What the API server says of an object of a kind that it doesn't have, and to who may not read.
func TestEnrichmentRefused(t *testing.T) {
	t.Parallel()
	ctx := within(t)
	ns := unique("enrich")
	namespace(t, ns)
	object := enrich.Object{Version: "v1", Resource: "pods", Namespace: ns, Name: "x"}
	admin := metadataReader(t, suite.plane.Admin())
	for what, o := range map[string]enrich.Object{
		"a group":    {Group: "example.test", Version: "v1", Resource: "widgets", Namespace: ns, Name: "x"},
		"a resource": {Group: "apps", Version: "v1", Resource: "widgets", Namespace: ns, Name: "x"},
	} {
		if _, err := admin.Read(ctx, o, false, false); !errors.Is(err, enrich.ErrUnsupported) {
			t.Errorf("%s that there is not: %v", what, err)
		}
	}
	for _, exact := range []bool{false, true} {
		if _, err := admin.Read(ctx, object, true, exact); !errors.Is(err, enrich.ErrGone) {
			t.Errorf("a pod that there is not, exactly %v: %v", exact, err)
		}
	}
	poor := suite.plane.Admin()
	poor.Impersonate = rest.ImpersonationConfig{UserName: "nobody"}
	if _, err := metadataReader(t, poor).Read(ctx, object, false, false); !errors.Is(err, enrich.ErrRefused) {
		t.Errorf("without a right: %v", err)
	}
}

func metadataReader(t *testing.T, config *rest.Config) *kube.MetadataReader {
	t.Helper()
	reader, err := kube.NewMetadataReader(config, "baton/test")
	do(t, err)
	t.Cleanup(reader.Close)
	return reader
}

// deployed makes a pod with all that is above it, as the controllers would, which don't run here.
func deployed(t *testing.T, ctx context.Context, ns string) (*corev1.Pod, []record.Owner) { //nolint:revive // a test's own comes first
	t.Helper()
	client := suite.plane.Client()
	labels := map[string]string{"app.kubernetes.io/name": "web", "other": "x"}
	template := corev1.PodTemplateSpec{
		ObjectMeta: metav1.ObjectMeta{Labels: labels},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: "i"}}},
	}
	selector := &metav1.LabelSelector{MatchLabels: labels}
	above, err := client.AppsV1().Deployments(ns).Create(ctx, &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: "web"}, Spec: appsv1.DeploymentSpec{Selector: selector, Template: template},
	}, metav1.CreateOptions{})
	do(t, err)
	set, err := client.AppsV1().ReplicaSets(ns).Create(ctx, &appsv1.ReplicaSet{
		ObjectMeta: metav1.ObjectMeta{Name: "web-7", OwnerReferences: owned("Deployment", above.Name, above.UID)},
		Spec:       appsv1.ReplicaSetSpec{Selector: selector, Template: template},
	}, metav1.CreateOptions{})
	do(t, err)
	node, err := client.CoreV1().Nodes().Create(ctx, &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: ns, Labels: map[string]string{corev1.LabelTopologyZone: "eu-1a"}},
	}, metav1.CreateOptions{})
	do(t, err)
	pod := podOf(agents(t, ns), "web-1")
	pod.Labels, pod.Annotations = labels, map[string]string{"note": "a \"note\"", "other": "x"}
	pod.OwnerReferences, pod.Spec.NodeName = owned("ReplicaSet", set.Name, set.UID), node.Name
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: pod.Spec.ServiceAccountName}}
	_, err = client.CoreV1().ServiceAccounts(ns).Create(ctx, account, metav1.CreateOptions{})
	do(t, err)
	pod, err = client.CoreV1().Pods(ns).Create(ctx, pod, metav1.CreateOptions{})
	do(t, err)
	return pod, []record.Owner{
		{APIVersion: "apps/v1", Kind: "ReplicaSet", Name: "web-7", UID: string(set.UID)},
		{APIVersion: "apps/v1", Kind: "Deployment", Name: "web", UID: string(above.UID)},
	}
}

func owned(kind, name string, uid types.UID) []metav1.OwnerReference {
	yes := true
	return []metav1.OwnerReference{{APIVersion: "apps/v1", Kind: kind, Name: name, UID: uid, Controller: &yes}}
}

// agents is the chart's DaemonSet, whose pods pass Pod Security.
func agents(t *testing.T, ns string) *appsv1.DaemonSet {
	t.Helper()
	return &find[appsv1.DaemonSet](t, everything(t, render(t, helm.Release{Name: ns, Namespace: ns})), "DaemonSet")[0]
}
