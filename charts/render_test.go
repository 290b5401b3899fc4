// Package charts tests the charts without a cluster: what they render, with Helm 3 and with Helm 4, is decoded into the
// types of the API.
package charts

import (
	"encoding/json"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/yaml"

	"github.com/eventbaton/baton/agent/config"
	"github.com/eventbaton/baton/e2e/helm"
)

const chart = "baton"

// values are what a user sets.
type values = map[string]any

// at is a value at a dotted path.
func at(path string, value any) values {
	first, rest, nested := strings.Cut(path, ".")
	if nested {
		return values{first: at(rest, value)}
	}
	return values{first: value}
}

// with adds values to values.
func with(all ...values) values {
	sum := values{}
	for _, v := range all {
		for key, value := range v {
			above, isMap := value.(values)
			below, was := sum[key].(values)
			if isMap && was {
				value = with(below, above)
			}
			sum[key] = value
		}
	}
	return sum
}

// release is one of the values in the namespace obs.
func release(v values) helm.Release {
	return helm.Release{Name: "baton", Namespace: "obs", Chart: chart, Values: v}
}

// rendered is what a release becomes, decoded.
type rendered struct {
	objects, hooks []runtime.Object
	notes, text    string
}

func (r rendered) all() []runtime.Object { return slices.Concat(r.objects, r.hooks) }

// render renders with both Helms, which must agree.
func render(t *testing.T, r helm.Release) rendered {
	t.Helper()
	got := map[string]helm.Rendered{}
	for version, client := range helm.Both("") {
		out, err := client.Template(t.Context(), r)
		if err != nil {
			t.Fatal(err)
		}
		got[version] = out
	}
	three, four := got["helm3"], got["helm4"]
	if a, b := plain(three.Manifest), plain(four.Manifest); a != b {
		t.Errorf("the manifest of Helm 3\n%s\nis not that of Helm 4\n%s", a, b)
	}
	if a, b := plain(strings.Join(three.Hooks, "\n")), plain(strings.Join(four.Hooks, "\n")); a != b {
		t.Errorf("the hooks of Helm 3\n%s\nare not those of Helm 4\n%s", a, b)
	}
	if three.Notes != four.Notes {
		t.Errorf("the notes of Helm 3\n%s\nare not those of Helm 4\n%s", three.Notes, four.Notes)
	}
	return rendered{
		objects: decode(t, three.Manifest), hooks: decode(t, three.Hooks...), notes: three.Notes,
		text: plain(three.Manifest + strings.Join(three.Hooks, "\n")),
	}
}

// plain is a manifest without empty lines, in which the two Helms differ.
func plain(manifest string) string {
	return regexp.MustCompile(`\n\s*\n`).ReplaceAllString(strings.TrimSpace(manifest)+"\n", "\n")
}

// strict refuses unknown fields and keys that stand twice.
var strict = serializer.NewCodecFactory(scheme.Scheme, serializer.EnableStrict).UniversalDeserializer()

func decode(t *testing.T, manifests ...string) []runtime.Object {
	t.Helper()
	var all []runtime.Object
	for _, manifest := range manifests {
		for document := range strings.SplitSeq("\n"+manifest, "\n---") {
			if bare := regexp.MustCompile(`(?m)^#.*$`).ReplaceAllString(document, ""); strings.TrimSpace(bare) == "" {
				continue
			}
			all = append(all, decodeOne(t, document))
		}
	}
	return all
}

func decodeOne(t *testing.T, document string) runtime.Object {
	t.Helper()
	if strings.Contains(document, "monitoring.coreos.com/") {
		object := &unstructured.Unstructured{}
		if err := yaml.UnmarshalStrict([]byte(document), &object.Object); err != nil {
			t.Fatalf("%v in\n%s", err, document)
		}
		return object
	}
	object, _, err := strict.Decode([]byte(document), nil, nil)
	if err != nil {
		t.Fatalf("%v in\n%s", err, document)
	}
	return object
}

// only is the one object of a type.
func only[T runtime.Object](t *testing.T, objects []runtime.Object) T {
	t.Helper()
	found := each[T](objects)
	if len(found) != 1 {
		t.Fatalf("%d objects of type %T, want one", len(found), *new(T))
	}
	return found[0]
}

// each are the objects of a type.
func each[T runtime.Object](objects []runtime.Object) []T {
	var found []T
	for _, o := range objects {
		if typed, ok := o.(T); ok {
			found = append(found, typed)
		}
	}
	return found
}

// accessor is the metadata of any object.
func accessor(t *testing.T, o runtime.Object) metav1.Object {
	t.Helper()
	object, err := meta.Accessor(o)
	if err != nil {
		t.Fatal(err)
	}
	return object
}

// pod is the DaemonSet's.
func (r rendered) pod(t *testing.T) corev1.PodTemplateSpec {
	t.Helper()
	return only[*appsv1.DaemonSet](t, r.objects).Spec.Template
}

// agent is the DaemonSet's container.
func (r rendered) agent(t *testing.T) corev1.Container {
	t.Helper()
	containers := r.pod(t).Spec.Containers
	if len(containers) != 1 || containers[0].Name != "agent" {
		t.Fatalf("containers %v, want one named agent", containers)
	}
	return containers[0]
}

// env is a variable of the agent's, "" where it has none.
func (r rendered) env(t *testing.T, name string) string {
	t.Helper()
	value := ""
	for i, v := range r.agent(t).Env {
		if v.Name == name {
			value = r.agent(t).Env[i].Value
		}
	}
	return value
}

// config is kubernetes.yaml as the agent understands it.
func (r rendered) config(t *testing.T) *config.Config {
	t.Helper()
	c, err := config.Parse("kubernetes.yaml", []byte(r.configText(t)), nil)
	if err != nil {
		t.Fatalf("the agent does not take the chart's configuration: %v", err)
	}
	return c
}

func (r rendered) configText(t *testing.T) string {
	t.Helper()
	data := only[*corev1.ConfigMap](t, r.objects).Data
	if keys := slices.Collect(maps.Keys(data)); !slices.Equal(keys, []string{"kubernetes.yaml"}) {
		t.Fatalf("the ConfigMap has the keys %v", keys)
	}
	return data["kubernetes.yaml"]
}

// refused is the message with which each Helm refuses values.
func refused(t *testing.T, r helm.Release) map[string]string {
	t.Helper()
	messages := map[string]string{}
	for version, client := range helm.Both("") {
		out, err := client.Template(t.Context(), r)
		if err == nil {
			t.Errorf("%s takes %s and gives\n%s", version, inJSON(t, r.Values), out.Manifest)
			continue
		}
		messages[version] = err.Error()
	}
	return messages
}

func inJSON(t *testing.T, v any) string {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// same compares what is to be shown as JSON.
func same(t *testing.T, what string, got, want any) {
	t.Helper()
	if g, w := sorted(t, got), sorted(t, want); g != w {
		t.Errorf("%s is %s, want %s", what, g, w)
	}
}

// sorted is JSON whose keys are in order, those of structs too.
func sorted(t *testing.T, v any) string {
	t.Helper()
	var plain any
	if err := json.Unmarshal([]byte(inJSON(t, v)), &plain); err != nil {
		t.Fatal(err)
	}
	return inJSON(t, plain)
}
