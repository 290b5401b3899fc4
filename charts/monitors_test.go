package charts

import (
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"helm.sh/helm/v3/pkg/chartutil"
	appsv1 "k8s.io/api/apps/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"
)

// crds is the folder of the Prometheus operator's CRDs, in a module that nothing here is built with.
var crds = sync.OnceValues(func() (string, error) {
	cmd := exec.Command("go", "mod", "download", "-json", "github.com/prometheus-operator/prometheus-operator")
	cmd.Dir = filepath.Join("..", "scripts", "chart", "crds")
	cmd.Env = append(os.Environ(), "GOWORK=off")
	out, err := cmd.Output()
	var module struct{ Dir, Error string }
	if e := json.Unmarshal(out, &module); e != nil || module.Error != "" {
		return "", errors.Join(err, e, errors.New(module.Error))
	}
	return filepath.Join(module.Dir, "example", "prometheus-operator-crd"), err
})

// monitored checks the one monitor of a kind against the CRD.
func monitored(kind string) func(*testing.T, rendered) {
	return func(t *testing.T, r rendered) {
		monitor := only[*unstructured.Unstructured](t, r.objects)
		same(t, "kind", monitor.GetKind(), kind)
		validate(t, monitor)
		selector, _, err := unstructured.NestedFieldNoCopy(monitor.Object, "spec", "selector")
		if err != nil {
			t.Fatal(err)
		}
		same(t, "selector", selector, only[*appsv1.DaemonSet](t, r.objects).Spec.Selector)
	}
}

func scraped(endpoints string) func(*testing.T, rendered) {
	return func(t *testing.T, r rendered) {
		monitor := only[*unstructured.Unstructured](t, r.objects)
		validate(t, monitor)
		list, _, err := unstructured.NestedSlice(monitor.Object, "spec", endpoints)
		if err != nil {
			t.Fatal(err)
		}
		same(t, "endpoints", list, []any{values{"port": "http", "path": "/metrics", "honorLabels": true, "interval": "30s"}})
	}
}

func labelled(t *testing.T, r rendered) {
	monitor := only[*unstructured.Unstructured](t, r.objects)
	validate(t, monitor)
	same(t, "label", monitor.GetLabels()["prometheus"], "main")
}

// validate holds an object against its CRD.
func validate(t *testing.T, object *unstructured.Unstructured) {
	t.Helper()
	if err := against(t, object); err != nil {
		t.Errorf("the CRD of %s refuses it: %v", object.GetKind(), err)
	}
}

// against is the error with which the CRD refuses an object, also for fields that the API server would drop.
func against(t *testing.T, object *unstructured.Unstructured) error {
	t.Helper()
	dir, err := crds()
	if err != nil {
		t.Fatalf("finding the CRDs: %v", err)
	}
	file := "monitoring.coreos.com_" + strings.ToLower(object.GetKind()) + "s.yaml"
	data, err := os.ReadFile(filepath.Join(dir, file))
	if err != nil {
		t.Fatal(err)
	}
	var crd apiextensionsv1.CustomResourceDefinition
	if err := yaml.Unmarshal(data, &crd); err != nil {
		t.Fatal(err)
	}
	version := crd.Spec.Versions[0]
	same(t, "apiVersion", object.GetAPIVersion(), crd.Spec.Group+"/"+version.Name)
	var schema values
	if err := json.Unmarshal([]byte(inJSON(t, version.Schema.OpenAPIV3Schema)), &schema); err != nil {
		t.Fatal(err)
	}
	closed(schema)
	delete(schema["properties"].(values), "metadata") // which the API server knows better
	delete(schema, "additionalProperties")
	return chartutil.ValidateAgainstSingleSchema(object.Object, []byte(inJSON(t, schema)))
}

// closed refuses fields that a schema doesn't name, as strict field validation does.
func closed(schema any) {
	switch s := schema.(type) {
	case []any:
		for _, item := range s {
			closed(item)
		}
	case values:
		for _, below := range s {
			closed(below)
		}
		if _, named := s["properties"].(values); named && s["type"] == "object" {
			s["additionalProperties"] = false
		}
	}
}

// The checks above find what is wrong.
func TestMonitorsAreChecked(t *testing.T) {
	for _, wrong := range []struct{ field, message string }{{"jobLabels", "jobLabels"}, {"sampleLimit", "sampleLimit"}} {
		r := render(t, release(at("podMonitor.enabled", true)))
		monitor := only[*unstructured.Unstructured](t, r.objects)
		if err := unstructured.SetNestedField(monitor.Object, "often", "spec", wrong.field); err != nil {
			t.Fatal(err)
		}
		if err := against(t, monitor); err == nil || !strings.Contains(err.Error(), wrong.message) {
			t.Errorf("a PodMonitor with spec.%s: often gives %v", wrong.field, err)
		}
	}
}
