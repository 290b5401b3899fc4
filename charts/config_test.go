package charts

import (
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/eventbaton/baton/agent/config"
	"github.com/eventbaton/baton/agent/sink"
)

// keys are, for each key of kubernetes.yaml, values that set it and what the agent makes of them.
var keys = map[string]struct {
	set  values
	want any
}{
	"leader_candidate":      {at("leaderCandidate", true), true},
	"name":                  {at("fullnameOverride", "other"), "other"},
	"leader_lease_duration": {at("leaderLeaseDuration", 3600), time.Hour},
	"lock":                  {at("lock", "configmap"), "configmap"},
	"namespaces":            {at("namespaces", []string{"0", "team-a"}), []string{"0", "team-a"}},
	"namespace_name_regexp": {at("namespaceNameRegexp", `team-[ab]\d`), `team-[ab]\d`},
	"start":                 {at("start", "now"), "now"},
	"checkpoint_interval":   {at("checkpointInterval", 0.1), 100 * time.Millisecond},
	"drain_timeout":         {at("drainTimeout", 300), 5 * time.Minute},
	"cluster_name":          {at("clusterName", "true"), "true"},
	"cluster_id":            {at("clusterId", "1e3"), "1e3"},
	"tags":                  {at("tags", []string{"null", "a: b # c"}), []string{"null", "a: b # c"}},
	"enrich": {
		at("enrich", values{"labels": []string{"app.kubernetes.io/*"}, "node": true, "wait": "100ms", "custom_kinds": []any{rollouts}}),
		config.Enrich{
			Labels: []string{"app.kubernetes.io/*"}, Node: true, Wait: 100 * time.Millisecond, RequestsPerSecond: 20,
			CustomKinds: []config.CustomKind{{APIVersion: "argoproj.io/v1alpha1", Kind: "Rollout", Resource: "rollouts"}},
		},
	},
	"log_level":  {at("logLevel", "error"), "error"},
	"log_format": {at("logFormat", "text"), "text"},
	"sinks":      {at("sinks", []any{values{"name": "x", "type": "stdout", "filter": `event.type == "Warning"`}}), nil},
}

var rollouts = values{"api_version": "argoproj.io/v1alpha1", "kind": "Rollout", "resource": "rollouts"}

// Every key of the agent's configuration is reachable by a value, and means what the value says.
func TestEveryKeyHasAValue(t *testing.T) {
	fields := configFields(reflect.ValueOf(config.Config{}))
	for _, key := range slices.Sorted(maps.Keys(fields)) {
		if key == "collect_events" {
			continue // refused
		}
		k, ok := keys[key]
		if !ok {
			t.Errorf("no value sets %s: add one to the chart, and a case here", key)
			continue
		}
		t.Run(key, func(t *testing.T) {
			got := render(t, release(k.set)).config(t)
			if key == "sinks" {
				same(t, key, []string{got.Sinks[0].Name, got.Sinks[0].Type, got.Sinks[0].Filter}, []string{"x", "stdout", `event.type == "Warning"`})
				return
			}
			same(t, key, configFields(reflect.ValueOf(*got))[key].Interface(), k.want)
		})
	}
}

func configFields(v reflect.Value) map[string]reflect.Value {
	all := map[string]reflect.Value{}
	for i := range v.NumField() {
		if key := v.Type().Field(i).Tag.Get("yaml"); key != "" && key != "-" {
			all[key] = v.Field(i)
		}
	}
	return all
}

// The chart's defaults are the agent's, but for the name, which is the release's.
func TestDefaultsAreTheAgents(t *testing.T) {
	got := render(t, release(nil)).config(t)
	want, err := config.Parse("empty", nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	for key, value := range configFields(reflect.ValueOf(*got)) {
		same(t, key, value.Interface(), configFields(reflect.ValueOf(*want))[key].Interface())
	}
	other := render(t, withName(release(nil), "team")).config(t)
	same(t, "name", other.Name, "team-baton")
}

// A sink of each type, with all options that it documents, reaches the agent as it was written.
func TestEveryOptionOfEverySink(t *testing.T) {
	for name, options := range sink.Types {
		t.Run(name, func(t *testing.T) {
			full := example(reflect.TypeOf(options()).Elem())
			full["name"], full["type"], full["filter"] = "x", name, "true"
			r := render(t, release(at("sinks", []any{full})))
			for key := range full {
				if !strings.Contains(r.configText(t), key+":") {
					t.Errorf("%s is missing from\n%s", key, r.configText(t))
				}
			}
			_, err := config.Parse("kubernetes.yaml", []byte(r.configText(t)), nil)
			if err != nil && (strings.Contains(err.Error(), "is not a key") || strings.Contains(err.Error(), "; write text")) {
				t.Errorf("the schema takes what the agent doesn't know: %v", err)
			}
			for version, message := range refused(t, release(at("sinks", []any{with(full, at("no_such_key", 1))}))) {
				if !strings.Contains(message, "no_such_key") {
					t.Errorf("%s does not name the key: %s", version, message)
				}
			}
		})
	}
}

// example has a value for every key of a struct: values that belong together are not looked at here.
func example(t reflect.Type) values {
	all := values{}
	for field := range t.Fields() {
		key, options, _ := strings.Cut(field.Tag.Get("yaml"), ",")
		if options == "inline" {
			maps.Copy(all, example(field.Type))
		}
		if key == "" || key == "-" {
			continue
		}
		all[key] = exampleOf(field.Type)
		if words := strings.Fields(field.Tag.Get("values")); len(words) > 0 {
			all[key] = words[0]
		}
	}
	return all
}

func exampleOf(t reflect.Type) any {
	if t == reflect.TypeFor[sink.Duration]() {
		return "10s"
	}
	switch t.Kind() {
	case reflect.Struct:
		return example(t)
	case reflect.Map:
		return values{"X-Key": exampleOf(t.Elem())}
	case reflect.Slice:
		return []any{exampleOf(t.Elem())}
	case reflect.Bool:
		return true
	case reflect.Int, reflect.Int64:
		return 1048576
	default:
		return "https://example.test/"
	}
}

// A change of the configuration, and nothing else, changes the checksum by which the pods are replaced.
func TestChecksumFollowsTheConfiguration(t *testing.T) {
	sum := func(v values) string { return render(t, release(v)).pod(t).Annotations["checksum/config"] }
	before := sum(nil)
	if len(before) != 64 {
		t.Errorf("the checksum is %q", before)
	}
	for _, changed := range []values{at("tags", []string{"a"}), at("leaderLeaseDuration", 61), at("sinks", []any{values{"name": "y", "type": "stdout"}})} {
		if sum(changed) == before {
			t.Errorf("%v does not change the checksum", changed)
		}
	}
	for _, same := range []values{at("service.enabled", true), at("cleanup", false), nil} {
		if sum(same) != before {
			t.Errorf("%v changes the checksum", same)
		}
	}
}
