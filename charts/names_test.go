package charts

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/eventbaton/baton/e2e/helm"
)

func withName(r helm.Release, name string) helm.Release {
	r.Name = name
	return r
}

func inNamespace(r helm.Release, namespace string) helm.Release {
	r.Namespace = namespace
	return r
}

// everything switches on all that can be.
var everything = with(at("leaderCandidate", true), at("service.enabled", true), at("podMonitor.enabled", true),
	at("networkPolicy.enabled", true), at("flowSchema.enabled", true), at("namespaces", []string{"a", "b"}))

// Two releases share no object: neither in one namespace, nor in two.
func TestReleasesAreDisjoint(t *testing.T) {
	for _, v := range []values{everything, at("leaderCandidate", true)} {
		first := release(v)
		for _, second := range []helm.Release{
			withName(first, "second"), withName(first, "baton-2"), inNamespace(first, "other"), inNamespace(withName(first, "b"), "obs-baton"),
		} {
			taken := asSet(names(t, render(t, first)))
			for _, name := range names(t, render(t, second)) {
				if taken[name] {
					t.Errorf("%s/%s and %s/%s share %s", first.Namespace, first.Name, second.Namespace, second.Name, name)
				}
			}
		}
	}
}

// What is for the whole cluster has names that can't be another release's, wherever the dashes are.
func TestNamesOutsideAreUnambiguous(t *testing.T) {
	for _, v := range []values{nil, at("flowSchema.enabled", true)} {
		taken := asSet(names(t, render(t, inNamespace(release(v), "x-y"))))
		for _, name := range names(t, render(t, inNamespace(withName(release(v), "baton-x"), "y"))) {
			if taken[name] {
				t.Errorf("baton in x-y and baton-x in y share %s", name)
			}
		}
	}
}

// The pods of two releases in one namespace are told apart, and those of hooks from the agents'.
func TestSelectorsAreDisjoint(t *testing.T) {
	one, two := render(t, release(nil)), render(t, withName(release(nil), "baton-2"))
	selector, err := metav1.LabelSelectorAsSelector(only[*appsv1.DaemonSet](t, one.objects).Spec.Selector)
	if err != nil {
		t.Fatal(err)
	}
	if !selector.Matches(labels.Set(one.pod(t).Labels)) {
		t.Error("the DaemonSet does not select its own pods")
	}
	for name, set := range map[string]map[string]string{
		"another release's agents": two.pod(t).Labels,
		"the test":                 only[*corev1.Pod](t, one.hooks).Labels,
		"the cleanup":              only[*batchv1.Job](t, one.hooks).Spec.Template.Labels,
	} {
		if selector.Matches(labels.Set(set)) {
			t.Errorf("the DaemonSet selects %s, which it would take for its own: %v", name, set)
		}
	}
	for _, arg := range only[*batchv1.Job](t, one.hooks).Spec.Template.Spec.Containers[0].Args {
		text, is := strings.CutPrefix(arg, "--selector=")
		if !is {
			continue
		}
		waits, err := labels.Parse(text)
		if err != nil || !waits.Matches(labels.Set(one.pod(t).Labels)) || waits.Matches(labels.Set(two.pod(t).Labels)) {
			t.Errorf("the cleanup waits for %q (%v)", text, err)
		}
	}
}

// The API refuses a change of a DaemonSet's selector, so that it is the same for every version and all values.
func TestSelectorNeverChanges(t *testing.T) {
	want := map[string]string{
		"app.kubernetes.io/name": "baton", "app.kubernetes.io/instance": "baton", "app.kubernetes.io/component": "agent",
	}
	for _, v := range []values{nil, everything, at("image.tag", "9"), at("podLabels", values{"a": "b"}), at("fullnameOverride", "x")} {
		same(t, "selector", only[*appsv1.DaemonSet](t, render(t, release(v)).objects).Spec.Selector.MatchLabels, want)
	}
}

// Names are valid and short enough, however the release is called. Nothing is taken for a number.
func TestNames(t *testing.T) {
	long := strings.Repeat("a", 53)
	for _, name := range []string{"baton", "x", long, "a" + strings.Repeat("-b", 26), "a.b", "1", "1e3", "0x10", "true", "on"} {
		r := render(t, inNamespace(withName(release(everything), name), "123"))
		for _, o := range r.all() {
			object := accessor(t, o)
			kind := o.GetObjectKind().GroupVersionKind().Kind
			check := validation.IsDNS1123Label
			switch {
			case strings.Contains(kind, "Role"):
				check = nil // any segment of a path
			case kind == "FlowSchema" || kind == "PriorityLevelConfiguration":
				check = validation.IsDNS1123Subdomain
			}
			if check != nil {
				if problems := check(object.GetName()); len(problems) > 0 {
					t.Errorf("%s %q of the release %q: %v", kind, object.GetName(), name, problems)
				}
			}
			for key, value := range object.GetLabels() {
				if problems := validation.IsValidLabelValue(value); len(problems) > 0 {
					t.Errorf("the label %s of %s %q: %v", key, kind, object.GetName(), problems)
				}
			}
			same(t, "instance", object.GetLabels()["app.kubernetes.io/instance"], name)
		}
		same(t, "lock", r.config(t).Name, only[*appsv1.DaemonSet](t, r.objects).Name)
	}
}

// The roles name the lock and the cursors that the agent uses.
func TestRolesNameTheLock(t *testing.T) {
	for _, name := range []string{"baton", "events", strings.Repeat("a", 53)} {
		r := render(t, withName(release(nil), name))
		c := r.config(t)
		text := strings.Join(grants(t, r.objects), "\n")
		for _, want := range []string{" leases.coordination.k8s.io " + c.Name + " ", " configmaps " + c.Name + " ", " configmaps " + c.CursorsName() + " "} {
			if !strings.Contains(text, want) {
				t.Errorf("no role of the release %q has%q:\n%s", name, want, text)
			}
		}
		for _, args := range [][]string{only[*corev1.Pod](t, r.hooks).Spec.Containers[0].Args, only[*batchv1.Job](t, r.hooks).Spec.Template.Spec.Containers[0].Args} {
			if !slices.Contains(args, "--name="+c.Name) {
				t.Errorf("a hook is run with %v, and the lock is %s", args, c.Name)
			}
		}
		for _, o := range r.all() {
			if n := accessor(t, o).GetName(); n == c.CursorsName() || n == c.Name && o.GetObjectKind().GroupVersionKind().Kind == "ConfigMap" {
				t.Errorf("the chart has an object of the name of what the agents make: %s", n)
			}
		}
	}
}

// The same values give the same manifests: nothing is looked up, drawn or dated.
func TestTemplatesArePure(t *testing.T) {
	if a, b := render(t, release(everything)), render(t, release(everything)); a.text != b.text || a.notes != b.notes {
		t.Errorf("rendered twice:\n%s\n%s", a.text, b.text)
	}
	impure := regexp.MustCompile(`\b(lookup|rand\w+|now|date\w*|uuidv4|gen\w+|env|expandenv|getHostByName|derivePassword|htpasswd|bcrypt|shuffle|ago)\b`)
	for path, text := range templates(t) {
		for action := range regexpActions(text) {
			if word := impure.FindString(action); word != "" {
				t.Errorf("%s calls %s in %s", path, word, action)
			}
		}
	}
}
