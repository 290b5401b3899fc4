package charts

import (
	"iter"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// templates are the sources, by path.
func templates(t *testing.T) map[string]string {
	t.Helper()
	all := map[string]string{}
	paths, err := filepath.Glob(filepath.Join(chart, "templates", "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		all[path] = string(data)
	}
	if len(all) == 0 {
		t.Fatal("there are no templates")
	}
	return all
}

var (
	action  = regexp.MustCompile(`(?s)\{\{.*?\}\}`)
	literal = regexp.MustCompile(`"[^"]*"|/\*(?s:.*?)\*/`)
)

// regexpActions are the actions of a template, without their texts and comments.
func regexpActions(text string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for _, found := range action.FindAllString(text, -1) {
			if !yield(literal.ReplaceAllString(found, "")) {
				return
			}
		}
	}
}

func manifest(t *testing.T) (string, []runtime.Object) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("..", "manifests", "baton.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	return string(data), decode(t, string(data))
}

// manifests/baton.yaml is the chart in kube-system, and nothing of Helm's.
func TestManifest(t *testing.T) {
	text, objects := manifest(t)
	var got []string
	for _, o := range objects {
		object := accessor(t, o)
		kind := o.GetObjectKind().GroupVersionKind().Kind
		got = append(got, kind+" "+object.GetName())
		if ns := object.GetNamespace(); ns != "kube-system" && !strings.HasPrefix(kind, "Cluster") {
			t.Errorf("%s %s is in %q", kind, object.GetName(), ns)
		}
	}
	same(t, "objects", got, []string{
		"ServiceAccount baton", "ConfigMap baton-config", "ClusterRole baton:kube-system:events",
		"ClusterRoleBinding baton:kube-system:events", "Role baton:kube-system:cluster-id", "Role baton",
		"RoleBinding baton:kube-system:cluster-id", "RoleBinding baton", "DaemonSet baton",
	})
	_, body, _ := strings.Cut(text, "\n---\n")
	for _, word := range []string{"helm.sh/", "managed-by", "Helm ", "Source:"} {
		if strings.Contains(body, word) {
			t.Errorf("it has %q in it", word)
		}
	}
}

// As in the original it is switched on by a variable in the DaemonSet's env, which is there to be edited.
func TestManifestIsSwitchedOnByItsEnv(t *testing.T) {
	_, objects := manifest(t)
	r := rendered{objects: objects}
	same(t, "KUBERNETES_LEADER_CANDIDATE", r.env(t, "KUBERNETES_LEADER_CANDIDATE"), "false")
	same(t, "leader_candidate", r.config(t).LeaderCandidate, false)
	same(t, "name", r.config(t).Name, "baton")
	if broken := restricted(only[*appsv1.DaemonSet](t, objects).Spec.Template.Spec); len(broken) > 0 {
		t.Errorf("it breaks %v", broken)
	}
}

// It grants what the chart does.
func TestManifestsRights(t *testing.T) {
	_, objects := manifest(t)
	want := grants(t, render(t, inNamespace(release(nil), "kube-system")).objects)
	same(t, "rights", grants(t, objects), want)
}

// The notes say in a line what to do next.
func TestNotes(t *testing.T) {
	upgrade := "helm upgrade baton CHART -n obs --reuse-values --set leaderCandidate=true"
	for name, c := range map[string]struct {
		values     values
		says, lack []string
	}{
		"idle":         {nil, []string{"Nothing is gathered yet", upgrade, "get lease baton", "logs -f", "gcloud"}, nil},
		"switched on":  {at("leaderCandidate", true), []string{"One pod of obs/baton gathers", "get lease baton", "helm test baton -n obs"}, []string{upgrade}},
		"a ConfigMap":  {at("lock", "configmap"), []string{"get configmap baton", `control-plane\.alpha\.kubernetes\.io/leader`}, []string{"get lease"}},
		"without RBAC": {at("rbac.create", false), nil, []string{"gcloud"}},
	} {
		notes := render(t, release(c.values)).notes
		if n := len(strings.Split(strings.TrimSpace(notes), "\n")); n > 10 {
			t.Errorf("%s: the notes have %d lines", name, n)
		}
		for _, part := range c.says {
			if !strings.Contains(notes, part) {
				t.Errorf("%s: the notes lack %q:\n%s", name, part, notes)
			}
		}
		for _, part := range c.lack {
			if strings.Contains(notes, part) {
				t.Errorf("%s: the notes have %q:\n%s", name, part, notes)
			}
		}
	}
}

// The commands of the notes select the agents.
func TestNotesSelectTheAgents(t *testing.T) {
	r := render(t, withName(release(nil), "other"))
	_, rest, _ := strings.Cut(r.notes, " -l ")
	for pair := range strings.SplitSeq(strings.Fields(rest)[0], ",") {
		key, value, _ := strings.Cut(pair, "=")
		same(t, key, r.pod(t).Labels[key], value)
	}
}

// The ConfigMap's name is free for the lock, and the pod mounts the one that is made.
func TestConfigIsMounted(t *testing.T) {
	for _, name := range []string{"baton", strings.Repeat("a", 53)} {
		r := render(t, withName(release(nil), name))
		made := only[*corev1.ConfigMap](t, r.objects).Name
		for _, pod := range r.pods(t)[:2] {
			if !slices.ContainsFunc(pod.Volumes, func(v corev1.Volume) bool { return v.ConfigMap != nil && v.ConfigMap.Name == made }) {
				t.Errorf("%s does not mount %s", pod.Containers[0].Name, made)
			}
		}
	}
}
