package config

import (
	"strings"
	"testing"
	"time"

	"github.com/eventbaton/baton/agent/enrich"
)

func TestEnrich(t *testing.T) {
	c := mustParse(t, `
leader_candidate: true
enrich:
  labels: [team, app.kubernetes.io/*, "*"]
  annotations: [example.test/note]
  owners: true
  node: yes
  kinds: [Pod, ReplicaSet]
  custom_kinds:
    - {api_version: argoproj.io/v1alpha1, kind: Rollout, resource: rollouts}
    - {api_version: example.test/v1, kind: Zone, resource: zones, cluster_scoped: true}
  wait: 100ms
  requests_per_second: 5
`)
	e := c.Enrich
	if !e.Enabled() || e.Wait != 100*time.Millisecond || e.RequestsPerSecond != 5 || len(c.Warnings) != 0 {
		t.Errorf("%+v, warnings %q", e, c.Warnings)
	}
	want := []enrich.Kind{
		{Version: "v1", Kind: "Pod", Resource: "pods"},
		{Group: "apps", Version: "v1", Kind: "ReplicaSet", Resource: "replicasets"},
		{Group: "argoproj.io", Version: "v1alpha1", Kind: "Rollout", Resource: "rollouts"},
		{Group: "example.test", Version: "v1", Kind: "Zone", Resource: "zones", Cluster: true},
	}
	got := e.Lookups()
	if len(got) != len(want) {
		t.Fatalf("kinds %+v, want %+v", got, want)
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("kind %+v, want %+v", got[i], want[i])
		}
	}
	roundTrip(t, c)
}

// Nothing is added unless it is asked for.
func TestEnrichIsOff(t *testing.T) {
	for _, yaml := range []string{"", "enrich:", "enrich: {}", "enrich: {wait: 1, requests_per_second: 1}", "enrich: {labels: [], owners: no}"} {
		if c := mustParse(t, "leader_candidate: true\n"+yaml); c.Enrich.Enabled() || len(c.Warnings) != 0 {
			t.Errorf("%q: %+v, warnings %q", yaml, c.Enrich, c.Warnings)
		}
	}
	for _, yaml := range []string{"labels: [a]", "annotations: [a]", "owners: true", "node: true"} {
		c := mustParse(t, "enrich: {"+yaml+"}")
		if !c.Enrich.Enabled() || len(c.Enrich.Lookups()) != len(enrich.Known()) {
			t.Errorf("%q: %+v", yaml, c.Enrich)
		}
	}
	c := mustParse(t, "leader_candidate: true\nenrich: {kinds: [Pod]}")
	if len(c.Warnings) != 1 || !strings.Contains(c.Warnings[0], "it adds nothing") {
		t.Errorf("warnings %q", c.Warnings)
	}
}

func TestEnrichProblems(t *testing.T) {
	custom := func(fields string) string {
		return "custom_kinds:\n  - {api_version: example.test/v1, kind: Widget, resource: widgets}\n  - {" + fields + "}"
	}
	for yaml, want := range map[string]string{
		"label: [a]":                 "2: enrich.label: is not a key here; did you mean labels?",
		"labels: team":               "2: enrich.labels: is text; write a list",
		"labels:\n  - a\n  - team=a": `4: enrich.labels[1]: is "team=a", which no name can be like`,
		"labels: [\"\"]":             `2: enrich.labels[0]: is "", which no name can be like`,
		"labels: [a/b/c]":            `2: enrich.labels[0]: is "a/b/c", which no name`,
		"labels: [a, b, a]":          `2: enrich.labels[2]: is "a", which is in the list already`,
		"annotations: [a b]":         `2: enrich.annotations[0]: is "a b", which no name`,
		"owners: Deployment":         `2: enrich.owners: is "Deployment"; write true or false`,
		"wait: 6":                    "2: enrich.wait: is 6s; write 0 to 5 seconds",
		"wait: -1":                   "2: enrich.wait: is -1s; write 0 to 5 seconds",
		"requests_per_second: 0":     "2: enrich.requests_per_second: is 0; write 1 to 1000",
		"requests_per_second: 1.5":   `2: enrich.requests_per_second: is "1.5"; write a whole number`,
		"kinds: [Pods]":              `2: enrich.kinds[0]: is "Pods", which is none of those that are known; did you mean Pod?`,
		"kinds: [Secret]":            `2: enrich.kinds[0]: is "Secret", which is none of those that are known; there are CronJob,`,
		"kinds: [Pod, Pod]":          `2: enrich.kinds[1]: is "Pod", which is in the list already`,

		custom("kind: X, resource: xs"):                                         `4: enrich.custom_kinds[1].api_version: is ""; write a group and a version`,
		custom("api_version: a/b/c, kind: X, resource: xs"):                     `4: enrich.custom_kinds[1].api_version: is "a/b/c"; write`,
		custom("api_version: A_/v1, kind: X, resource: xs"):                     `4: enrich.custom_kinds[1].api_version: is "A_/v1"; write`,
		custom("api_version: a/v1, kind: rollout, resource: xs"):                `4: enrich.custom_kinds[1].kind: is "rollout"; write the kind`,
		custom("api_version: a/v1, kind: X, resource: xs/status"):               `4: enrich.custom_kinds[1].resource: is "xs/status"; write the name`,
		custom("api_version: v1, kind: Secret, resource: secrets"):              `4: enrich.custom_kinds[1].resource: is "secrets": the right to their labels`,
		custom("api_version: example.test/v2, kind: Widget, resource: widgets"): "4: enrich.custom_kinds[1]: is Widget, which is known already",
		custom("api_version: apps/v1, kind: Deployment, resource: deployments"): "4: enrich.custom_kinds[1]: is Deployment, which is known already",
		custom("api_version: a/v1, kind: X, resource: xs, namespaced: true"):    "4: enrich.custom_kinds[1].namespaced: is not a key here",
	} {
		_, err := parse("k.yaml", []byte("enrich:\n  "+strings.ReplaceAll(yaml, "\n", "\n  ")), nil, testTypes())
		if err == nil || !strings.Contains(err.Error(), "k.yaml:"+want) || strings.Count(err.Error(), "\n") > 0 {
			t.Errorf("%q:\n%v\nwant\nk.yaml:%s", yaml, err, want)
		}
	}
}
