package install

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/eventbaton/baton/agent/sink"
	"github.com/eventbaton/baton/e2e/helm"
)

type values = map[string]any

// allOn is every switch of the chart, but for those that exclude each other.
func allOn() values {
	return values{
		"leaderCandidate": true, "leaderLeaseDuration": 15, "lock": "configmap", "start": "now", "checkpointInterval": 0.5,
		"drainTimeout": 30, "clusterName": "west", "tags": []any{"env:prod"}, "logLevel": "debug", "logFormat": "text",
		"namespaceNameRegexp": "shop-.*", "existingSecret": "keys", "terminationGracePeriodSeconds": 60,
		"sinks": []any{values{"name": "archive", "type": "webhook", "url_file": "/etc/baton/secrets/url", "filter": `event.type == "Warning"`}},
		"image": values{"digest": "sha256:" + strings.Repeat("0", 64), "pullPolicy": "Always"}, "global": values{"imageRegistry": "registry.example.test:5000"},
		"pullSecrets": []any{"pull"}, "nodeSelector": values{"disk": "ssd"}, "tolerations": []any{values{"key": "a", "operator": "Exists"}},
		"affinity": values{"nodeAffinity": values{"requiredDuringSchedulingIgnoredDuringExecution": values{"nodeSelectorTerms": []any{
			values{"matchExpressions": []any{values{"key": "zone", "operator": "In", "values": []any{"a"}}}},
		}}}},
		"priorityClassName": "system-node-critical", "updateStrategy": values{"type": "OnDelete"},
		"podAnnotations": values{"a.example.test/b": "c"}, "podLabels": values{"team": "ops"},
		"extraEnv":          []any{values{"name": "HTTPS_PROXY", "value": "http://proxy.example.test:3128"}},
		"extraVolumes":      []any{values{"name": "ca", "configMap": values{"name": "ca"}}},
		"extraVolumeMounts": []any{values{"name": "ca", "mountPath": "/etc/ssl/certs", "readOnly": true}},
		"serviceAccount":    values{"name": "gatherer", "annotations": values{"example.test/role": "r"}},
		"service":           values{"enabled": true},
		"podMonitor":        values{"enabled": true, "interval": "30s", "labels": values{"release": "prometheus"}},
		"networkPolicy": values{
			"enabled": true, "from": []any{values{"namespaceSelector": values{"matchLabels": values{"name": "monitoring"}}}},
			"egress": []any{values{"ports": []any{values{"port": 443}}}},
		},
		"flowSchema": values{"enabled": true},
	}
}

// The values of the chart that change which objects there are, or what is in them.
func variants(t *testing.T) map[string]values {
	all := map[string]values{
		"defaults":          {},
		"all":               allOn(),
		"namespaces":        {"namespaces": []any{"shop", "bank"}},
		"nothing global":    {"namespaces": []any{"shop"}, "clusterId": "c"},
		"configmap":         {"lock": "configmap", "leaderCandidate": true},
		"service monitor":   {"serviceMonitor": values{"enabled": true, "interval": "10s"}},
		"own rights":        {"rbac": values{"create": false}, "serviceAccount": values{"create": false}},
		"no cleanup":        {"cleanup": false},
		"level of theirs":   {"flowSchema": values{"enabled": true, "priorityLevel": "leader-election"}},
		"no limits":         {"resources": values{"limits": nil, "requests": nil}},
		"a very long name":  {"fullnameOverride": strings.Repeat("very-long-", 6) + "x"},
		"another test's ns": {"hooks": values{"testNamespace": "bank"}},
	}
	sinks := map[string]values{
		"stdout":        {"name": "s", "type": "stdout"},
		"webhook":       {"name": "s", "type": "webhook", "url": "https://example.test/events"},
		"cloudevents":   {"name": "s", "type": "cloudevents", "url": "https://broker.example.test/events", "mode": "batched"},
		"datadog":       {"name": "s", "type": "datadog", "site": "datadoghq.eu", "api_key_file": "/etc/baton/secrets/datadog"},
		"elasticsearch": {"name": "s", "type": "elasticsearch", "url": "https://search.example.test:9200", "index": "events-%Y.%m.%d"},
		"file":          {"name": "s", "type": "file", "path": "/var/log/baton/events.log", "fsync": "always"},
		"kafka":         {"name": "s", "type": "kafka", "brokers": []any{"kafka.example.test:9092"}, "topic": "events"},
		"loki":          {"name": "s", "type": "loki", "url": "https://loki.example.test", "labels": []any{"cluster", "namespace"}},
		"metrics":       {"name": "s", "type": "metrics", "max_series": 5000},
		"otlp":          {"name": "s", "type": "otlp", "url": "https://collector.example.test:4317"},
		"slack":         {"name": "s", "type": "slack", "url_file": "/etc/baton/secrets/slack", "interval": "30s"},
	}
	if want, got := slices.Sorted(maps.Keys(sink.Types)), slices.Sorted(maps.Keys(sinks)); !slices.Equal(want, got) {
		t.Errorf("these types of sink are tried: %v, and there are: %v", got, want)
	}
	for name, s := range sinks {
		all["sink "+name] = values{"sinks": []any{s}}
	}
	return all
}

// Whatever values are given, the API server takes what the chart renders, to the last field.
func TestAccepted(t *testing.T) {
	installCRDs(t)
	for _, name := range []string{"restricted", "shop", "bank"} {
		namespace(t, name)
	}
	for name, v := range variants(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rendered := everything(t, render(t, helm.Release{Name: "r", Namespace: "restricted", Values: v}))
			connect(t).accepted(t, rendered)
		})
	}
	t.Run("manifests/baton.yaml", func(t *testing.T) {
		t.Parallel()
		text, err := os.ReadFile(filepath.Join(suite.root, "manifests", "baton.yaml"))
		if err != nil {
			t.Fatal(err)
		}
		connect(t).accepted(t, objects(t, string(text)))
	})
	t.Run("but not everything", func(t *testing.T) {
		t.Parallel()
		refused(t)
	})
}

// refused shows that the server does look: at unknown fields, and at what a pod asks for.
func refused(t *testing.T) {
	all := everything(t, render(t, helm.Release{Name: "r", Namespace: "restricted"}))
	s := connect(t)
	for _, o := range all {
		if o.GetKind() != "DaemonSet" && o.GetKind() != "Pod" {
			continue
		}
		unknown := o.DeepCopy()
		if err := unstructured.SetNestedField(unknown.Object, true, "spec", "leaderCandidate"); err != nil {
			t.Fatal(err)
		}
		if err := s.create(t.Context(), unknown, "All"); err == nil || !strings.Contains(err.Error(), `unknown field "spec.leaderCandidate"`) {
			t.Errorf("%s with an unknown field: %v", o.GetKind(), err)
		}
		where := []string{"spec", "hostNetwork"}
		if o.GetKind() == "DaemonSet" {
			where = []string{"spec", "template", "spec", "hostNetwork"}
		}
		wide := o.DeepCopy()
		if err := unstructured.SetNestedField(wide.Object, true, where...); err != nil {
			t.Fatal(err)
		}
		if err := s.create(t.Context(), wide, "All"); err == nil && !strings.Contains(s.warned(), "host namespaces") {
			t.Errorf("%s with the node's network is taken without a word", o.GetKind())
		}
	}
}

// installCRDs installs the CRDs of the Prometheus operator. Their module is one of its own, which nothing is built with.
func installCRDs(t *testing.T) {
	t.Helper()
	cmd := exec.CommandContext(within(t), "go", "mod", "download", "-json", "github.com/prometheus-operator/prometheus-operator")
	cmd.Dir = filepath.Join(suite.root, "scripts", "chart", "crds")
	cmd.Env = append(os.Environ(), "GOWORK=off")
	out, err := cmd.Output()
	var module struct{ Dir, Error string }
	if e := json.Unmarshal(out, &module); e != nil || err != nil {
		t.Fatal(errors.Join(err, e), module.Error)
	}
	s := connect(t)
	for _, kind := range []string{"podmonitors", "servicemonitors"} {
		text, err := os.ReadFile(filepath.Join(module.Dir, "example", "prometheus-operator-crd", "monitoring.coreos.com_"+kind+".yaml"))
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range objects(t, string(text)) {
			if err := s.create(t.Context(), o); err != nil && !apierrors.IsAlreadyExists(err) {
				t.Fatal(err)
			}
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for _, kind := range []string{"PodMonitor", "ServiceMonitor"} {
		for {
			s.mapper.Reset()
			_, err := s.mapper.RESTMapping(schema.GroupKind{Group: "monitoring.coreos.com", Kind: kind}, "v1")
			if err == nil {
				break
			}
			select {
			case <-ctx.Done():
				t.Fatal(err)
			case <-time.After(20 * time.Millisecond):
			}
		}
	}
}
