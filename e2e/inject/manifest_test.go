package inject

import (
	"os"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"
)

func TestManifestIsSwitchedOn(t *testing.T) {
	text, err := os.ReadFile("../../manifests/baton.yaml")
	if err != nil {
		t.Fatal(err)
	}
	sink := map[string]any{"name": "receiver", "type": "webhook", "url": "http://10.0.0.1:1/x"}
	const on = "KUBERNETES_LEADER_CANDIDATE"
	got, err := Manifest(text, Edit{Lock: ConfigMap, Sinks: []map[string]any{sink}, Env: map[string]string{on: "true"}})
	if err != nil {
		t.Fatal(err)
	}
	before, after := separator.Split(string(text), -1), separator.Split(string(got), -1)
	if len(before) != len(after) {
		t.Errorf("%d objects have become %d", len(before)-1, len(after)-1)
	}
	var config, daemons bool
	for _, part := range after {
		var c corev1.ConfigMap
		if strings.Contains(part, "kind: ConfigMap\n") && yaml.Unmarshal([]byte(part), &c) == nil {
			config = true
			if y := c.Data[configFile]; !strings.Contains(y, "lock: configmap") || !strings.Contains(y, "http://10.0.0.1:1/x") || !strings.Contains(y, "type: stdout") {
				t.Error(y)
			}
		}
		var d appsv1.DaemonSet
		if strings.Contains(part, "kind: DaemonSet\n") && yaml.UnmarshalStrict([]byte(part), &d) == nil {
			daemons = true
			values := map[string][]string{}
			for _, v := range d.Spec.Template.Spec.Containers[0].Env {
				values[v.Name] = append(values[v.Name], v.Value)
			}
			if len(values[on]) != 1 || values[on][0] != "true" || len(values["POD_UID"]) != 1 {
				t.Error(values)
			}
		}
	}
	if !config || !daemons {
		t.Errorf("ConfigMap %v, DaemonSet %v in\n%s", config, daemons, got)
	}
}

func TestManifestRefuses(t *testing.T) {
	for name, text := range map[string]string{
		"no ConfigMap":       "kind: DaemonSet\nspec: {template: {spec: {containers: [{name: agent}]}}}\n",
		"no mapping":         "kind: ConfigMap\ndata: {kubernetes.yaml: hello}\n",
		"document 1":         "kind: Secret\n---\na: b: c\n",
		"0 containers where": "kind: DaemonSet\n",
	} {
		if _, err := Manifest([]byte(text), Edit{}); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
