package charts

import (
	"strings"
	"testing"

	"github.com/eventbaton/baton/e2e/helm"
)

// Wrong values are refused by both Helms, with a message that names the value and says what is right.
func TestWrongValuesAreRefused(t *testing.T) {
	sinkOf := func(v values) values { return at("sinks", []any{with(values{"name": "a", "type": "webhook"}, v)}) }
	env := func(name string) values { return at("extraEnv", []any{values{"name": name, "value": "true"}}) }
	for name, c := range map[string]struct {
		values values
		says   []string
	}{
		"a typo":                    {at("leaderCandidat", true), []string{"additional properties 'leaderCandidat' not allowed"}},
		"a typo below":              {at("image.tags", "1"), []string{"/image", "'tags' not allowed"}},
		"text for a switch":         {at("leaderCandidate", "true"), []string{"/leaderCandidate", "got string, want boolean"}},
		"a short lease":             {at("leaderLeaseDuration", 4), []string{"/leaderLeaseDuration", "minimum: got 4, want 5"}},
		"a long lease":              {at("leaderLeaseDuration", 3601), []string{"/leaderLeaseDuration", "maximum: got 3,601, want 3,600"}},
		"half a second of a lease":  {at("leaderLeaseDuration", 5.5), []string{"/leaderLeaseDuration", "want integer"}},
		"an unknown lock":           {at("lock", "endpoints"), []string{"/lock", "value must be one of 'lease', 'configmap'"}},
		"a pattern for a namespace": {at("namespaces", []string{"team-*"}), []string{"/namespaces/0", "does not match pattern"}},
		"a namespace twice":         {at("namespaces", []string{"a", "a"}), []string{"/namespaces", "items at 0 and 1 are equal"}},
		"an unknown start":          {at("start", "latest"), []string{"/start", "'retained', 'now'"}},
		"a hasty checkpoint":        {at("checkpointInterval", 0.05), []string{"/checkpointInterval", "want 0.1"}},
		"a long drain":              {at("drainTimeout", 301), []string{"/drainTimeout", "want 300"}},
		"a slash in the id":         {at("clusterId", "a/b"), []string{"/clusterId", "does not match pattern"}},
		"an empty tag":              {at("tags", []string{" "}), []string{"/tags/0"}},
		"an unknown level":          {at("logLevel", "trace"), []string{"/logLevel", "'debug', 'info', 'warn', 'error'"}},
		"an unknown sink":           {at("sinks", []any{values{"name": "a", "type": "kafkaesque"}}), []string{"/sinks/0/type", "'stdout', 'webhook'"}},
		"a sink without a name":     {at("sinks", []any{values{"type": "stdout"}}), []string{"/sinks/0", "missing property 'name'"}},
		"a sink's name":             {at("sinks", []any{values{"name": "A_b", "type": "stdout"}}), []string{"/sinks/0/name"}},
		"a sink's typo":             {sinkOf(values{"urll": "https://a.test"}), []string{"/sinks/0", "'urll' not allowed"}},
		"a sink's typo below":       {sinkOf(at("tls.ca", "x")), []string{"/sinks/0/tls", "'ca' not allowed"}},
		"a token in the values":     {sinkOf(values{"bearer_token": "s3cret"}), []string{"/sinks/0", "'bearer_token' not allowed"}},
		"another type's key":        {at("sinks", []any{values{"name": "a", "type": "stdout", "url": "https://a.test"}}), []string{"/sinks/0", "'url' not allowed"}},
		"a digest":                  {at("image.digest", "sha256:12"), []string{"/image/digest"}},
		"no unit of memory":         {at("resources.limits.memory", "128MB"), []string{"resources.limits.memory", `"128MB"`, "write it as 128Mi"}},
		"a grace that is too short": {with(at("drainTimeout", 100), at("terminationGracePeriodSeconds", 60)), []string{"terminationGracePeriodSeconds is 60", "drainTimeout (100)", "write 110"}},
		"both monitors":             {with(at("podMonitor.enabled", true), at("serviceMonitor.enabled", true)), []string{"scraped twice", "disable one"}},
		"collectEvents":             {at("collectEvents", true), []string{"collectEvents", "every pod of the DaemonSet would gather", "leaderCandidate=true"}},
		"collectEvents: false":      {at("collectEvents", false), []string{"collectEvents", "left out"}},
		"collect_events by env":     {env("KUBERNETES_COLLECT_EVENTS"), []string{"KUBERNETES_COLLECT_EVENTS", "every pod of the DaemonSet would gather", "leaderCandidate=true"}},
		"another pod's identity":    {env("POD_UID"), []string{"extraEnv sets POD_UID", "remove it"}},
	} {
		t.Run(name, func(t *testing.T) {
			for version, message := range refused(t, release(c.values)) {
				for _, part := range c.says {
					if !strings.Contains(message, part) {
						t.Errorf("%s does not say %q but: %s", version, part, message)
					}
				}
			}
		})
	}
}

// What is free is free, and a parent chart's own globals don't matter.
func TestWhatIsTaken(t *testing.T) {
	for name, v := range map[string]values{
		"globals of a parent":  at("global.storageClass", "fast"),
		"no sinks":             at("sinks", []any{}),
		"a duration in number": at("sinks", []any{values{"name": "a", "type": "webhook", "url": "https://a.test", "timeout": 30}}),
		"no limits":            at("resources", values{"limits": nil}),
		"a variable of a key": at("extraEnv", []any{values{
			"name": "KEY", "valueFrom": values{"secretKeyRef": values{"name": "a", "key": "b"}},
		}}),
		"an affinity": at("affinity", values{"nodeAffinity": values{"requiredDuringSchedulingIgnoredDuringExecution": values{
			"nodeSelectorTerms": []any{values{"matchExpressions": []any{values{"key": "a", "operator": "Exists"}}}},
		}}}),
	} {
		t.Run(name, func(t *testing.T) { render(t, release(v)).config(t) })
	}
}

// `helm lint --strict` has no complaint, and finds wrong values too.
func TestLint(t *testing.T) {
	for version, client := range helm.Both("") {
		for _, good := range []values{nil, at("leaderCandidate", true), at("serviceMonitor.enabled", true), at("flowSchema.enabled", true)} {
			if err := client.Lint(release(good)); err != nil {
				t.Errorf("%s: %v", version, err)
			}
		}
		for value, bad := range map[string]values{"/lock": at("lock", "none"), "leaderCandidate=true": at("collectEvents", true)} {
			if err := client.Lint(release(bad)); err == nil || !strings.Contains(err.Error(), value) {
				t.Errorf("%s takes %v: %v", version, bad, err)
			}
		}
	}
}
