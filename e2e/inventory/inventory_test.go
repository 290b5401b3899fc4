package inventory

import (
	"errors"
	"slices"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	fakediscovery "k8s.io/client-go/discovery/fake"
	"k8s.io/client-go/metadata/fake"
	clienttesting "k8s.io/client-go/testing"
)

// preferred answers with what there is; the fake's own answer is always empty.
type preferred struct {
	*fakediscovery.FakeDiscovery
	lists []*metav1.APIResourceList
	err   error
}

func (p preferred) ServerPreferredResources() ([]*metav1.APIResourceList, error) {
	return p.lists, p.err
}

func kinds(err error) preferred {
	verbs := metav1.Verbs{"get", "list"}
	return preferred{err: err, lists: []*metav1.APIResourceList{
		{GroupVersion: "v1", APIResources: []metav1.APIResource{
			{Name: "configmaps", Verbs: verbs}, {Name: "events", Verbs: verbs}, {Name: "bindings", Verbs: metav1.Verbs{"create"}},
		}},
		{GroupVersion: "rbac.authorization.k8s.io/v1", APIResources: []metav1.APIResource{{Name: "clusterroles", Verbs: verbs}}},
	}}
}

func some(kind, namespace, name, instance string) *metav1.PartialObjectMetadata {
	version := map[string]string{"ConfigMap": "v1", "Event": "v1", "ClusterRole": "rbac.authorization.k8s.io/v1"}[kind]
	return &metav1.PartialObjectMetadata{
		TypeMeta:   metav1.TypeMeta{APIVersion: version, Kind: kind},
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, Labels: map[string]string{instanceLabel: instance}},
	}
}

func take(t *testing.T, objects ...runtime.Object) Inventory {
	t.Helper()
	scheme := fake.NewTestScheme()
	if err := metav1.AddMetaToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	i, err := Take(t.Context(), kinds(nil), fake.NewSimpleMetadataClient(scheme, objects...))
	if err != nil {
		t.Fatal(err)
	}
	return i
}

func TestLeft(t *testing.T) {
	before := []runtime.Object{some("ConfigMap", "guest", "kube-root-ca.crt", ""), some("ClusterRole", "", "admin", "")}
	after := append(slices.Clone(before),
		some("ConfigMap", "guest", "a", ""), some("ConfigMap", "kube-system", "b-guest", ""), some("ClusterRole", "", "c", "guest"),
		some("ConfigMap", "other", "d", "other"), some("Event", "guest", "e", "guest"))
	got := Left(take(t, before...), take(t, after...), "guest", "guest")
	want := []string{"clusterroles.rbac.authorization.k8s.io /c", "configmaps guest/a", "configmaps kube-system/b-guest"}
	if !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
	if left := Left(take(t, after...), take(t, before...), "guest", "guest"); len(left) > 0 {
		t.Errorf("what has gone is not left: %q", left)
	}
}

func TestTakeFails(t *testing.T) {
	scheme := fake.NewTestScheme()
	if err := metav1.AddMetaToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	c := fake.NewSimpleMetadataClient(scheme)
	c.PrependReactor("list", "configmaps", func(clienttesting.Action) (bool, runtime.Object, error) {
		return true, nil, errors.New("no time")
	})
	if _, err := Take(t.Context(), kinds(nil), c); err == nil || !strings.Contains(err.Error(), "listing the configmaps: no time") {
		t.Error(err)
	}
	if _, err := Take(t.Context(), kinds(errors.New("no answer")), c); err == nil || !strings.Contains(err.Error(), "no answer") {
		t.Error(err)
	}
}
