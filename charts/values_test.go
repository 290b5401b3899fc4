package charts

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	flowcontrolv1 "k8s.io/api/flowcontrol/v1"
	networkingv1 "k8s.io/api/networking/v1"
	rbacv1 "k8s.io/api/rbac/v1"
)

// effect is what a value does.
type effect struct {
	path  string
	value any
	given values // what has to be set beside it
	check func(*testing.T, rendered)
}

var effects = slices.Concat(gatheringEffects, enrichEffects, imageEffects, podEffects, accountEffects, extraEffects, hookEffects)

var gatheringEffects = []effect{
	{"leaderCandidate", true, nil, func(t *testing.T, r rendered) {
		same(t, "leader_candidate", r.config(t).LeaderCandidate, true)
	}},
	{"leaderLeaseDuration", 15, nil, func(t *testing.T, r rendered) {
		same(t, "leader_lease_duration", r.config(t).LeaderLeaseDuration, 15*time.Second)
	}},
	{"lock", "configmap", nil, func(t *testing.T, r rendered) { same(t, "lock", r.config(t).Lock, "configmap") }},
	{"namespaces", []string{"a", "b"}, nil, func(t *testing.T, r rendered) {
		same(t, "namespaces", r.config(t).Namespaces, []string{"a", "b"})
	}},
	{"namespaceNameRegexp", "team-.*", nil, func(t *testing.T, r rendered) {
		same(t, "namespace_name_regexp", r.config(t).NamespaceNameRegexp, "team-.*")
	}},
	{"start", "now", nil, func(t *testing.T, r rendered) { same(t, "start", r.config(t).Start, "now") }},
	{"checkpointInterval", 0.5, nil, func(t *testing.T, r rendered) {
		same(t, "checkpoint_interval", r.config(t).CheckpointInterval, 500*time.Millisecond)
	}},
	{"drainTimeout", 25.5, nil, func(t *testing.T, r rendered) {
		same(t, "drain_timeout", r.config(t).DrainTimeout, 25500*time.Millisecond)
		same(t, "terminationGracePeriodSeconds", r.pod(t).Spec.TerminationGracePeriodSeconds, 36)
	}},
	{"clusterName", "production: eu", nil, func(t *testing.T, r rendered) {
		same(t, "cluster_name", r.config(t).ClusterName, "production: eu")
	}},
	{"clusterId", "0042", nil, func(t *testing.T, r rendered) { same(t, "cluster_id", r.config(t).ClusterID, "0042") }},
	{"tags", []string{"env:prod", "12"}, nil, func(t *testing.T, r rendered) {
		same(t, "tags", r.config(t).Tags, []string{"env:prod", "12"})
	}},
	{"logLevel", "debug", nil, func(t *testing.T, r rendered) { same(t, "log_level", r.config(t).LogLevel, "debug") }},
	{"logFormat", "text", nil, func(t *testing.T, r rendered) { same(t, "log_format", r.config(t).LogFormat, "text") }},
	{"sinks", []any{values{"name": "archive", "type": "webhook", "url": "https://example.test/a"}}, nil, func(t *testing.T, r rendered) {
		sinks := r.config(t).Sinks
		if len(sinks) != 1 || sinks[0].Name != "archive" || sinks[0].Type != "webhook" {
			t.Errorf("sinks are %v", sinks)
		}
	}},
	{"existingSecret", "tokens", nil, func(t *testing.T, r rendered) {
		mounts, volumes := r.agent(t).VolumeMounts, r.pod(t).Spec.Volumes
		same(t, "mount", mounts[1], corev1.VolumeMount{Name: "secrets", MountPath: "/etc/baton/secrets", ReadOnly: true})
		same(t, "secret", volumes[1].Secret.SecretName, "tokens")
	}},
}

var enrichEffects = []effect{
	{"enrich.labels", []string{"team", "*/name"}, nil, enriches("labels", []string{"team", "*/name"}, 6)},
	{"enrich.annotations", []string{"a"}, nil, enriches("annotations", []string{"a"}, 6)},
	{"enrich.owners", true, nil, enriches("owners", true, 6)},
	{"enrich.node", true, nil, enriches("node", true, 1)},
	{"enrich.kinds", []string{"Pod"}, at("enrich.owners", true), enriches("kinds", []string{"Pod"}, 1)},
	{"enrich.custom_kinds", []any{rollouts}, at("enrich.owners", true), func(t *testing.T, r rendered) {
		same(t, "custom_kinds", r.config(t).Enrich.CustomKinds[0].Resource, "rollouts")
	}},
	{"enrich.wait", "1s", nil, enriches("wait", time.Second, 0)},
	{"enrich.requests_per_second", 7, nil, enriches("requests_per_second", 7, 0)},
}

// enriches checks a key of enrich, and how many groups its objects are of that may be read.
func enriches(key string, want any, groups int) func(*testing.T, rendered) {
	return func(t *testing.T, r rendered) {
		same(t, key, configFields(reflect.ValueOf(r.config(t).Enrich))[key].Interface(), want)
		got := map[string]bool{}
		for _, role := range each[*rbacv1.ClusterRole](r.objects) {
			for _, rule := range role.Rules {
				if slices.Equal(rule.Verbs, []string{"get"}) {
					got[rule.APIGroups[0]] = true
				}
			}
		}
		same(t, "groups", len(got), groups)
	}
}

const someDigest = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

var imageEffects = []effect{
	{"image.repository", "mine/baton", nil, image("mine/baton:0.1.0")},
	{"image.tag", "0.1.1", nil, image("eventbaton/baton:0.1.1")},
	{"image.digest", someDigest, at("image.tag", "0.1.1"), image("eventbaton/baton@" + someDigest)},
	{"image.pullPolicy", "Always", nil, func(t *testing.T, r rendered) {
		for _, c := range r.containers(t) {
			same(t, "imagePullPolicy", c.ImagePullPolicy, "Always")
		}
	}},
	{"global.imageRegistry", "registry.example.test:5000/", nil, image("registry.example.test:5000/eventbaton/baton:0.1.0")},
	{"pullSecrets", []string{"one", "two"}, nil, func(t *testing.T, r rendered) {
		for _, pod := range r.pods(t) {
			same(t, "imagePullSecrets", pod.ImagePullSecrets, []corev1.LocalObjectReference{{Name: "one"}, {Name: "two"}})
		}
	}},
}

// image checks the image of the agent and of the hooks.
func image(want string) func(*testing.T, rendered) {
	return func(t *testing.T, r rendered) {
		for _, c := range r.containers(t) {
			same(t, "the image of "+c.Name, c.Image, want)
		}
	}
}

// pods are those of the DaemonSet, of the test and of the cleanup.
func (r rendered) pods(t *testing.T) []corev1.PodSpec {
	t.Helper()
	test, job := only[*corev1.Pod](t, r.hooks), only[*batchv1.Job](t, r.hooks)
	return []corev1.PodSpec{r.pod(t).Spec, test.Spec, job.Spec.Template.Spec}
}

func (r rendered) containers(t *testing.T) []corev1.Container {
	t.Helper()
	var all []corev1.Container
	for _, pod := range r.pods(t) {
		all = append(all, pod.Containers...)
	}
	return all
}

var podEffects = []effect{
	{"resources", values{"limits": values{"memory": "1Gi", "cpu": 2}}, nil, func(t *testing.T, r rendered) {
		limits := r.agent(t).Resources.Limits
		same(t, "limits", values{"memory": limits.Memory(), "cpu": limits.Cpu()}, values{"memory": "1Gi", "cpu": "2"})
	}},
	{"nodeSelector", values{"pool": "a"}, nil, func(t *testing.T, r rendered) {
		same(t, "nodeSelector", r.pod(t).Spec.NodeSelector, values{"kubernetes.io/os": "linux", "pool": "a"})
	}},
	{"tolerations", []any{}, nil, func(t *testing.T, r rendered) { same(t, "tolerations", r.pod(t).Spec.Tolerations, nil) }},
	{"affinity", values{"podAntiAffinity": values{}}, nil, func(t *testing.T, r rendered) {
		same(t, "affinity", r.pod(t).Spec.Affinity, values{"podAntiAffinity": values{}})
	}},
	{"priorityClassName", "system-node-critical", nil, func(t *testing.T, r rendered) {
		same(t, "priorityClassName", r.pod(t).Spec.PriorityClassName, "system-node-critical")
	}},
	{"updateStrategy.type", "OnDelete", nil, func(t *testing.T, r rendered) {
		same(t, "updateStrategy", only[*appsv1.DaemonSet](t, r.objects).Spec.UpdateStrategy, values{"type": "OnDelete"})
	}},
	{"updateStrategy.rollingUpdate.maxUnavailable", 3, nil, func(t *testing.T, r rendered) {
		same(t, "maxUnavailable", only[*appsv1.DaemonSet](t, r.objects).Spec.UpdateStrategy.RollingUpdate.MaxUnavailable, 3)
	}},
	{"updateStrategy.rollingUpdate.maxSurge", "10%", at("updateStrategy.rollingUpdate.maxUnavailable", 0), func(t *testing.T, r rendered) {
		same(t, "rollingUpdate", only[*appsv1.DaemonSet](t, r.objects).Spec.UpdateStrategy.RollingUpdate,
			values{"maxSurge": "10%", "maxUnavailable": 0})
	}},
	{"terminationGracePeriodSeconds", 90, nil, func(t *testing.T, r rendered) {
		same(t, "terminationGracePeriodSeconds", r.pod(t).Spec.TerminationGracePeriodSeconds, 90)
		cleanup := only[*batchv1.Job](t, r.hooks).Spec.Template.Spec.Containers[0]
		if !slices.Contains(cleanup.Args, "--timeout=120s") {
			t.Errorf("the cleanup waits with %v, which is not longer than a pod has to end", cleanup.Args)
		}
	}},
	{"podAnnotations", values{"note": "12"}, nil, func(t *testing.T, r rendered) { same(t, "note", r.pod(t).Annotations["note"], "12") }},
	{"podLabels", values{"team": "a"}, nil, func(t *testing.T, r rendered) { same(t, "team", r.pod(t).Labels["team"], "a") }},
	{"extraEnv", []any{values{"name": "HTTPS_PROXY", "value": "http://proxy:3128"}}, nil, func(t *testing.T, r rendered) {
		same(t, "HTTPS_PROXY", r.env(t, "HTTPS_PROXY"), "http://proxy:3128")
	}},
	{"extraVolumes", []any{values{"name": "ca", "configMap": values{"name": "ca"}}}, nil, func(t *testing.T, r rendered) {
		same(t, "volume", r.pod(t).Spec.Volumes[1].Name, "ca")
	}},
	{"extraVolumeMounts", []any{values{"name": "ca", "mountPath": "/ca"}}, nil, func(t *testing.T, r rendered) {
		same(t, "mount", r.agent(t).VolumeMounts[1], corev1.VolumeMount{Name: "ca", MountPath: "/ca"})
	}},
}

var accountEffects = []effect{
	{"serviceAccount.create", false, nil, func(t *testing.T, r rendered) {
		same(t, "accounts", len(each[*corev1.ServiceAccount](r.objects)), 0)
		same(t, "account", r.pod(t).Spec.ServiceAccountName, "default")
	}},
	{"serviceAccount.name", "mine", nil, func(t *testing.T, r rendered) {
		same(t, "account", r.pod(t).Spec.ServiceAccountName, "mine")
		same(t, "made", only[*corev1.ServiceAccount](t, r.objects).Name, "mine")
		for _, b := range each[*rbacv1.RoleBinding](r.objects) {
			same(t, b.Name, b.Subjects, []rbacv1.Subject{{Kind: "ServiceAccount", Name: "mine", Namespace: "obs"}})
		}
		same(t, "cluster", only[*rbacv1.ClusterRoleBinding](t, r.objects).Subjects[0].Name, "mine")
	}},
	{"serviceAccount.annotations", values{"role": "arn"}, nil, func(t *testing.T, r rendered) {
		same(t, "annotations", only[*corev1.ServiceAccount](t, r.objects).Annotations, values{"role": "arn"})
	}},
	{"rbac.create", false, nil, func(t *testing.T, r rendered) {
		for _, o := range r.all() {
			if o.GetObjectKind().GroupVersionKind().Group == rbacv1.GroupName {
				t.Errorf("it makes %v", o)
			}
		}
	}},
}

var extraEffects = []effect{
	{"service.enabled", true, nil, checkService},
	{"podMonitor.enabled", true, nil, monitored("PodMonitor")},
	{"podMonitor.interval", "30s", at("podMonitor.enabled", true), scraped("podMetricsEndpoints")},
	{"podMonitor.labels", values{"prometheus": "main"}, at("podMonitor.enabled", true), labelled},
	{"serviceMonitor.enabled", true, nil, func(t *testing.T, r rendered) {
		monitored("ServiceMonitor")(t, r)
		checkService(t, r)
	}},
	{"serviceMonitor.interval", "30s", at("serviceMonitor.enabled", true), scraped("endpoints")},
	{"serviceMonitor.labels", values{"prometheus": "main"}, at("serviceMonitor.enabled", true), labelled},
	{"networkPolicy.enabled", true, nil, func(t *testing.T, r rendered) {
		policy := only[*networkingv1.NetworkPolicy](t, r.objects).Spec
		same(t, "policyTypes", policy.PolicyTypes, []string{"Ingress"})
		same(t, "ingress", policy.Ingress, []any{values{"ports": []any{values{"port": "http", "protocol": "TCP"}}}})
		same(t, "podSelector", policy.PodSelector, only[*appsv1.DaemonSet](t, r.objects).Spec.Selector)
	}},
	{"networkPolicy.from", []any{values{"podSelector": values{}}}, at("networkPolicy.enabled", true), func(t *testing.T, r rendered) {
		policy := only[*networkingv1.NetworkPolicy](t, r.objects).Spec
		same(t, "from", policy.Ingress[0].From, []any{values{"podSelector": values{}}})
	}},
	{"networkPolicy.egress", []any{values{}}, at("networkPolicy.enabled", true), func(t *testing.T, r rendered) {
		policy := only[*networkingv1.NetworkPolicy](t, r.objects).Spec
		same(t, "policyTypes", policy.PolicyTypes, []string{"Ingress", "Egress"})
		same(t, "egress", policy.Egress, []any{values{}})
	}},
	{"flowSchema.enabled", true, nil, func(t *testing.T, r rendered) {
		flow, level := only[*flowcontrolv1.FlowSchema](t, r.objects), only[*flowcontrolv1.PriorityLevelConfiguration](t, r.objects)
		same(t, "level", flow.Spec.PriorityLevelConfiguration.Name, level.Name)
		same(t, "precedence", flow.Spec.MatchingPrecedence, 500)
		rule := flow.Spec.Rules[0]
		same(t, "account", rule.Subjects[0].ServiceAccount, values{"namespace": "obs", "name": "baton"})
		for _, resource := range rule.ResourceRules {
			same(t, "namespaces", resource.Namespaces, []string{"obs"})
			same(t, "cluster scope", resource.ClusterScope, false)
		}
	}},
	{"flowSchema.priorityLevel", "leader-election", at("flowSchema.enabled", true), func(t *testing.T, r rendered) {
		same(t, "level", only[*flowcontrolv1.FlowSchema](t, r.objects).Spec.PriorityLevelConfiguration.Name, "leader-election")
		same(t, "levels", len(each[*flowcontrolv1.PriorityLevelConfiguration](r.objects)), 0)
	}},
	{"flowSchema.matchingPrecedence", 700, at("flowSchema.enabled", true), func(t *testing.T, r rendered) {
		same(t, "precedence", only[*flowcontrolv1.FlowSchema](t, r.objects).Spec.MatchingPrecedence, 700)
	}},
}

func checkService(t *testing.T, r rendered) {
	service := only[*corev1.Service](t, r.objects)
	same(t, "clusterIP", service.Spec.ClusterIP, "None")
	same(t, "families", service.Spec.IPFamilyPolicy, corev1.IPFamilyPolicyPreferDualStack)
	same(t, "not ready", service.Spec.PublishNotReadyAddresses, true)
	same(t, "selector", service.Spec.Selector, only[*appsv1.DaemonSet](t, r.objects).Spec.Selector.MatchLabels)
	same(t, "port", service.Spec.Ports[0].TargetPort, r.agent(t).Ports[0].Name)
}

var hookEffects = []effect{
	{"cleanup", false, nil, func(t *testing.T, r rendered) {
		for _, hook := range r.hooks {
			same(t, "hook", accessor(t, hook).GetAnnotations()["helm.sh/hook"], "test")
		}
	}},
	{"hooks.nodeSelector", values{"pool": "a"}, nil, func(t *testing.T, r rendered) {
		for _, pod := range r.pods(t)[1:] {
			same(t, "nodeSelector", pod.NodeSelector, values{"kubernetes.io/os": "linux", "pool": "a"})
		}
	}},
	{"hooks.tolerations", []any{}, nil, func(t *testing.T, r rendered) {
		for _, pod := range r.pods(t)[1:] {
			same(t, "tolerations", pod.Tolerations, nil)
		}
	}},
	{"hooks.resources", values{"limits": values{"memory": "99Mi"}}, nil, func(t *testing.T, r rendered) {
		for _, pod := range r.pods(t)[1:] {
			same(t, "memory", pod.Containers[0].Resources.Limits.Memory(), "99Mi")
		}
	}},
	{"hooks.testNamespace", "b", at("namespaces", []string{"a", "b"}), func(t *testing.T, r rendered) {
		args := only[*corev1.Pod](t, r.hooks).Spec.Containers[0].Args
		if !slices.Contains(args, "--event-namespace=b") {
			t.Errorf("the probe runs with %v", args)
		}
	}},
	{"nameOverride", "events", nil, func(t *testing.T, r rendered) {
		same(t, "name", only[*appsv1.DaemonSet](t, r.objects).Name, "baton-events")
		same(t, "lock", r.config(t).Name, "baton-events")
	}},
	{"fullnameOverride", "gatherer", nil, func(t *testing.T, r rendered) {
		same(t, "name", only[*appsv1.DaemonSet](t, r.objects).Name, "gatherer")
		same(t, "lock", r.config(t).Name, "gatherer")
	}},
}

// Each value does what it says, and what it does is something.
func TestValues(t *testing.T) {
	for _, e := range effects {
		t.Run(e.path, func(t *testing.T) {
			without := render(t, release(e.given))
			got := render(t, release(with(e.given, at(e.path, e.value))))
			if got.text == without.text {
				t.Errorf("%s: %v changes nothing", e.path, e.value)
			}
			got.config(t)
			e.check(t, got)
		})
	}
}

// Every value that the schema knows is tried above.
func TestEveryValueIsTried(t *testing.T) {
	var schema values
	data, err := os.ReadFile(filepath.Join(chart, "values.schema.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, &schema); err != nil {
		t.Fatal(err)
	}
	tried := map[string]bool{"collectEvents": true}
	for _, e := range effects {
		tried[e.path] = true
	}
	known := leaves(schema, "")
	for _, path := range known {
		if !tried[path] {
			t.Errorf("no test shows what %s does", path)
		}
	}
	for path := range tried {
		if !slices.Contains(known, path) {
			t.Errorf("%s is not in the schema", path)
		}
	}
}

// leaves are the dotted paths of a schema's values.
func leaves(schema values, path string) []string {
	properties, nested := schema["properties"].(values)
	if !nested || strings.Count(path, ".") == 0 && path == "resources" {
		return []string{path}
	}
	var all []string
	for _, key := range slices.Sorted(maps.Keys(properties)) {
		all = append(all, leaves(properties[key].(values), strings.TrimPrefix(path+"."+key, "."))...)
	}
	return all
}
