package charts

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/eventbaton/baton/agent/enrich"
)

// grants are the rights of the objects' roles, a line each: where, what, and to whom.
func grants(t *testing.T, objects []runtime.Object) []string {
	t.Helper()
	subjects := map[string]string{}
	for _, b := range each[*rbacv1.RoleBinding](objects) {
		same(t, "the kind that "+b.Name+" binds", b.RoleRef.Kind, "Role")
		subjects[b.Namespace+"/"+b.RoleRef.Name] = subject(t, b.Subjects)
	}
	for _, b := range each[*rbacv1.ClusterRoleBinding](objects) {
		same(t, "the kind that "+b.Name+" binds", b.RoleRef.Kind, "ClusterRole")
		subjects["/"+b.RoleRef.Name] = subject(t, b.Subjects)
	}
	var all []string
	for _, role := range each[*rbacv1.Role](objects) {
		all = append(all, lines(role.Namespace, role.Rules, subjects[role.Namespace+"/"+role.Name])...)
	}
	for _, role := range each[*rbacv1.ClusterRole](objects) {
		all = append(all, lines("*", role.Rules, subjects["/"+role.Name])...)
	}
	return all
}

func subject(t *testing.T, subjects []rbacv1.Subject) string {
	t.Helper()
	if len(subjects) != 1 || subjects[0].Kind != "ServiceAccount" {
		t.Fatalf("subjects %v", subjects)
	}
	return subjects[0].Namespace + "/" + subjects[0].Name
}

func lines(where string, rules []rbacv1.PolicyRule, who string) []string {
	var all []string
	for _, r := range rules {
		what := strings.Join(r.Resources, ",")
		if r.APIGroups[0] != "" {
			what += "." + strings.Join(r.APIGroups, ",")
		}
		if len(r.ResourceNames) > 0 {
			what += " " + strings.Join(r.ResourceNames, ",")
		}
		all = append(all, fmt.Sprintf("%s: %s %s -> %s", where, strings.Join(r.Verbs, ","), what, who))
	}
	return all
}

var ownRights = []string{
	"obs: get,watch,update leases.coordination.k8s.io baton -> obs/baton",
	"obs: get,watch,update configmaps baton -> obs/baton",
	"obs: get,update configmaps baton-cursors -> obs/baton",
	"obs: create leases.coordination.k8s.io -> obs/baton",
	"obs: create configmaps -> obs/baton",
	"obs: get,watch pods -> obs/baton",
	"obs: create events -> obs/baton",
}

const (
	clusterID  = "kube-system: get namespaces kube-system -> obs/baton"
	everywhere = "*: list,watch events -> obs/baton"
)

// The agent has these rights, and no others.
func TestRights(t *testing.T) {
	in := func(namespace string) string { return namespace + ": list,watch events -> obs/baton" }
	for name, c := range map[string]struct {
		values values
		want   []string
	}{
		"by default":                     {nil, []string{clusterID, everywhere}},
		"with a cluster's id":            {at("clusterId", "x"), []string{everywhere}},
		"with namespaces":                {at("namespaces", []string{"a", "obs"}), []string{clusterID, in("a"), in("obs")}},
		"with a regexp":                  {at("namespaceNameRegexp", "a"), []string{clusterID, everywhere}},
		"with namespaces and a regexp":   {with(at("namespaces", []string{"a"}), at("namespaceNameRegexp", "b")), []string{clusterID, everywhere}},
		"with namespaces and an id":      {with(at("namespaces", []string{"a"}), at("clusterId", "x")), []string{in("a")}},
		"with a ConfigMap for a lock":    {at("lock", "configmap"), []string{clusterID, everywhere}},
		"while nothing is gathered, too": {at("leaderCandidate", true), []string{clusterID, everywhere}},
	} {
		t.Run(name, func(t *testing.T) {
			r := render(t, release(c.values))
			got := grants(t, r.objects)
			want := slices.Concat(ownRights, c.want)
			slices.Sort(got)
			slices.Sort(want)
			if !slices.Equal(got, want) {
				t.Errorf("rights\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
			}
			streams := r.config(t).Streams()
			for _, stream := range streams {
				where := stream
				if stream == "" {
					where = "*"
				}
				if !slices.Contains(got, in(where)) {
					t.Errorf("the agent reads the events of %q and may not", stream)
				}
			}
		})
	}
}

// What enriches the records takes get on what it looks up, and on nothing else; nothing where it is off.
func TestRightsToEnrich(t *testing.T) {
	const node = "*: get nodes -> obs/baton"
	shop := at("namespaces", []string{"shop"})
	for name, c := range map[string]struct {
		values values
		want   []string
	}{
		"off":                  {at("enrich", values{"wait": "1s", "kinds": []string{"Pod"}, "custom_kinds": []any{rollouts}}), nil},
		"node":                 {at("enrich", values{"node": true}), []string{node, "*: get pods -> obs/baton"}},
		"node without pods":    {at("enrich", values{"node": true, "kinds": []string{"Node"}}), []string{node}},
		"labels of some kinds": {at("enrich", values{"labels": []string{"*"}, "kinds": []string{"Pod", "Job", "CronJob", "Namespace"}}), []string{"*: get namespaces -> obs/baton", "*: get pods -> obs/baton", "*: get cronjobs,jobs.batch -> obs/baton"}},
		"others besides": {
			at("enrich", values{"owners": true, "kinds": []string{"ReplicaSet", "Pod"}, "custom_kinds": []any{
				rollouts, values{"api_version": "v1", "kind": "Gadget", "resource": "gadgets"},
				values{"api_version": "example.test/v1", "kind": "Zone", "resource": "zones", "cluster_scoped": true},
			}}),
			[]string{
				"*: get zones.example.test -> obs/baton", "*: get gadgets,pods -> obs/baton", "*: get replicasets.apps -> obs/baton",
				"*: get rollouts.argoproj.io -> obs/baton",
			},
		},
		"in namespaces": {
			with(shop, at("enrich", values{"annotations": []string{"a"}, "node": true, "kinds": []string{"Pod", "Node", "PersistentVolume"}})),
			[]string{node, "shop: get pods -> obs/baton"},
		},
		"in namespaces alone": {
			with(shop, at("enrich", values{"annotations": []string{"a"}, "kinds": []string{"Pod", "Node"}})), []string{"shop: get pods -> obs/baton"},
		},
		"in default, where events of the cluster's objects are": {
			with(at("namespaces", []string{"default"}), at("enrich", values{"labels": []string{"a"}, "kinds": []string{"Pod", "Node"}})),
			[]string{node, "default: get pods -> obs/baton"},
		},
		"with a regexp": {
			with(shop, with(at("namespaceNameRegexp", "a"), at("enrich", values{"labels": []string{"a"}, "kinds": []string{"Pod", "Node"}}))),
			[]string{node, "*: get pods -> obs/baton"},
		},
		"without roles": {with(at("rbac.create", false), at("enrich", values{"node": true})), nil},
	} {
		t.Run(name, func(t *testing.T) {
			got := grants(t, render(t, release(c.values)).objects)
			off := maps.Clone(c.values)
			delete(off, "enrich")
			without := grants(t, render(t, release(off)).objects)
			got = slices.DeleteFunc(got, func(line string) bool { return slices.Contains(without, line) })
			slices.Sort(got)
			slices.Sort(c.want)
			if !slices.Equal(got, c.want) {
				t.Errorf("rights\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(c.want, "\n"))
			}
		})
	}
}

// With every kind, the rights are those to the kinds that the agent knows.
func TestRightsToEveryKnownKind(t *testing.T) {
	r := render(t, release(at("enrich", values{"labels": []string{"*"}})))
	may := map[string]bool{}
	for _, role := range each[*rbacv1.ClusterRole](r.objects) {
		for _, rule := range role.Rules {
			for _, resource := range rule.Resources {
				if strings.HasSuffix(role.Name, ":enrich") {
					may[rule.APIGroups[0]+"/"+resource] = true
				}
			}
		}
	}
	known := map[string]bool{}
	for _, k := range enrich.Known() {
		known[k.Group+"/"+k.Resource] = true
	}
	same(t, "what may be read", may, known)
}

// With an id and namespaces nothing is left that is for the whole cluster.
func TestNothingClusterWide(t *testing.T) {
	r := render(t, release(with(at("namespaces", []string{"a"}), at("clusterId", "x"))))
	for _, o := range r.all() {
		object := accessor(t, o)
		if ns := object.GetNamespace(); ns != "obs" && ns != "a" {
			t.Errorf("%T %s is in %q", o, object.GetName(), ns)
		}
	}
}

// The hooks have rights of their own, which end with them.
func TestHooksRights(t *testing.T) {
	r := render(t, release(nil))
	got := grants(t, r.hooks)
	want := []string{
		"obs: list pods -> obs/baton-cleanup",
		"obs: get,delete leases.coordination.k8s.io baton -> obs/baton-cleanup",
		"obs: get,delete configmaps baton,baton-cursors -> obs/baton-cleanup",
		"obs: get leases.coordination.k8s.io baton -> obs/baton-test",
		"obs: get configmaps baton,baton-cursors -> obs/baton-test",
		"obs: create events -> obs/baton-test",
	}
	same(t, "rights of the hooks", got, want)
	elsewhere := grants(t, render(t, release(at("namespaces", []string{"a"}))).hooks)
	if !slices.Contains(elsewhere, "a: create events -> obs/baton-test") || slices.Contains(elsewhere, "obs: create events -> obs/baton-test") {
		t.Errorf("with namespaces the test has %v", elsewhere)
	}
}

// A hook's account and roles come before its pod and go after it.
func TestHooks(t *testing.T) {
	for _, hook := range render(t, release(nil)).hooks {
		object := accessor(t, hook)
		a := object.GetAnnotations()
		kind := hook.GetObjectKind().GroupVersionKind().Kind
		weight := "-5"
		if kind == "Pod" || kind == "Job" {
			weight = "0"
		}
		event := "test"
		if strings.HasSuffix(object.GetName(), "-cleanup") {
			event = "post-delete"
		}
		same(t, kind+" "+object.GetName(), a, map[string]string{
			"helm.sh/hook": event, "helm.sh/hook-weight": weight, "helm.sh/hook-delete-policy": "before-hook-creation,hook-succeeded",
		})
	}
}

// names are all objects' kinds, namespaces and names.
func names(t *testing.T, r rendered) []string {
	t.Helper()
	var all []string
	for _, o := range r.all() {
		object := accessor(t, o)
		all = append(all, fmt.Sprintf("%s %s/%s", o.GetObjectKind().GroupVersionKind().Kind, object.GetNamespace(), object.GetName()))
	}
	slices.Sort(all)
	return all
}

func asSet(list []string) map[string]bool {
	set := map[string]bool{}
	for _, s := range list {
		set[s] = true
	}
	return set
}
