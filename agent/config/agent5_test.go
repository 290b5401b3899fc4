package config

import (
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

// agent5 is a file of someone who comes from the Agent 5, with our own keys in both places.
const agent5 = `
init_config:
  default_timeout: 10

lock: configmap

instances:
  - port: 4194
    host: localhost
    method: http
    kubelet_port: 10255
    use_histogram: true
    enabled_rates:
      - cpu.*
    node_labels_to_host_tags: {a: b}
    collect_service_tags: no
    leader_candidate: yes
    leader_lease_duration: 90
    collect_events: off
    namespaces: [shop, pay]
    namespace_name_regexp: team-
    tags: [env:prod]
    drain_timeout: 5
sinks:
  - {name: log, type: stdout}
`

func TestAgent5(t *testing.T) {
	c := mustParse(t, agent5)
	want := Default()
	want.Agent5, want.LeaderCandidate, want.LeaderLeaseDuration, want.Lock = true, true, 90*time.Second, LockConfigMap
	want.Namespaces, want.NamespaceNameRegexp, want.Tags = []string{"shop", "pay"}, "team-", []string{"env:prod"}
	want.DrainTimeout, want.matches, want.Warnings = 5*time.Second, c.matches, c.Warnings
	want.Sinks = []Sink{{Name: "log", Type: "stdout", Repeats: RepeatsEvery, Options: &stdoutOptions{}}}
	if !reflect.DeepEqual(c, want) {
		t.Errorf("got\n%#v\nwant\n%#v", c, want)
	}
	if !c.Wants("team-a") || !c.Wants("pay") || c.Wants("my-team-a") || c.Wants("default") {
		t.Error("the namespaces are not the listed ones and those that match")
	}
	if len(c.Warnings) != 1 || !strings.HasSuffix(c.Warnings[0],
		": init_config.default_timeout, port, host, method, kubelet_port, use_histogram, enabled_rates, node_labels_to_host_tags, collect_service_tags") {
		t.Errorf("warnings %q, want one with the keys that do nothing", c.Warnings)
	}
}

// No key of the Agent 5 is taken for one of ours with a typo.
func TestAgent5Keys(t *testing.T) {
	for key := range strings.FieldsSeq(`host port method kubelet_port api_server_url bearer_token_path apiserver_client_crt apiserver_client_key
		kubelet_client_crt kubelet_client_key apiserver_ca_cert kubelet_cert kubelet_tls_verify collect_service_tags service_tag_update_freq
		node_labels_to_host_tags use_histogram enabled_rates enabled_gauges label_to_tag_prefix publish_aliases enable_kubelet_checks
		max_depth min_collection_interval cadvisor_port publish_rate`) {
		c := mustParse(t, "init_config:\ninstances:\n- "+key+": 1\n  collect_events: true")
		if len(c.Warnings) != 1 || !strings.HasSuffix(c.Warnings[0], ": "+key) {
			t.Errorf("%s: warnings %q", key, c.Warnings)
		}
	}
}

func TestAgent5Empty(t *testing.T) {
	for _, yaml := range []string{"init_config:", "init_config: {}\ninstances: []", "instances:", "instances:\n-", "instances:\n- {}"} {
		c := mustParse(t, yaml)
		if !c.Agent5 || !slices.Equal(c.Namespaces, []string{"default"}) || c.LeaderCandidate || len(c.Warnings) != 1 {
			t.Errorf("%q: %v %q", yaml, c, c.Warnings)
		}
	}
}

func TestAgent5Outdated(t *testing.T) {
	c := mustParse(t, "instances:\n- collect_events: true\n  namespace: shop")
	if len(c.Warnings) != 1 || c.Warnings[0] != "line 3: instances[0].namespace is outdated; write namespaces, a list" {
		t.Errorf("warnings %q", c.Warnings)
	}
}
