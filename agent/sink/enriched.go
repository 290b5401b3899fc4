package sink

import (
	"maps"
	"slices"
	"strings"

	"go.opentelemetry.io/collector/pdata/pcommon"

	"github.com/eventbaton/baton/agent/record"
)

// otlpKinds are the kinds that OpenTelemetry's semantic conventions have attributes for: k8s.<this>.name, .uid, .label.<key>
// and .annotation.<key>.
var otlpKinds = map[string]string{
	"Pod": "pod", "Node": "node", "Namespace": "namespace", "Deployment": "deployment", "ReplicaSet": "replicaset",
	"StatefulSet": "statefulset", "DaemonSet": "daemonset", "Job": "job", "CronJob": "cronjob",
}

// putEnrichment puts what is known of the object beside what is known of the event, and not into the resource: it may be
// late, and a resource that changes with it would be another one.
func putEnrichment(to pcommon.Map, r *record.Record) {
	e := r.Enrichment
	if e == nil {
		return
	}
	to.EnsureCapacity(to.Len() + len(e.Labels) + len(e.Annotations) + 2*len(e.Owners) + 3)
	prefix := "baton.object."
	if kind := otlpKinds[r.Object.Kind]; kind != "" {
		prefix = "k8s." + kind + "."
	}
	for _, key := range slices.Sorted(maps.Keys(e.Labels)) {
		to.PutStr(prefix+"label."+key, e.Labels[key])
	}
	for _, key := range slices.Sorted(maps.Keys(e.Annotations)) {
		to.PutStr(prefix+"annotation."+key, e.Annotations[key])
	}
	for i := range e.Owners {
		putOwner(to, &e.Owners[i])
	}
	putOptional(to, "k8s.node.name", e.Node)
	putOptional(to, "cloud.availability_zone", e.Zone)
	putOptional(to, "baton.enrichment.incomplete", e.Incomplete)
}

// putOwner keeps the first of a kind. Of those that no convention has a name for the last one counts, who is the top.
func putOwner(to pcommon.Map, o *record.Owner) {
	kind := otlpKinds[o.Kind]
	if kind == "" {
		to.PutStr("baton.owner.kind", o.Kind)
		to.PutStr("baton.owner.name", o.Name)
		return
	}
	if _, ok := to.Get("k8s." + kind + ".name"); !ok {
		to.PutStr("k8s."+kind+".name", o.Name)
		putOptional(to, "k8s."+kind+".uid", o.UID)
	}
}

// datadogOwners are the tags by which Datadog's agent names who controls a pod.
var datadogOwners = map[string]string{
	"Deployment": "kube_deployment", "ReplicaSet": "kube_replica_set", "StatefulSet": "kube_stateful_set",
	"DaemonSet": "kube_daemon_set", "Job": "kube_job", "CronJob": "kube_cronjob",
}

// datadogEnrichment adds tags: the owners by the names of Datadog's agent, the labels by their own. Annotations are no tags,
// and are in the record that a log carries.
func datadogEnrichment(add func(name, value string), r *record.Record) {
	e := r.Enrichment
	if e == nil {
		return
	}
	for i, o := range e.Owners {
		if i == 0 {
			add("kube_ownerref_kind", strings.ToLower(o.Kind))
			add("kube_ownerref_name", o.Name)
		}
		add(datadogOwners[o.Kind], o.Name)
	}
	if hostOf(r) == "" {
		add("node_name", e.Node)
	}
	add("availability-zone", e.Zone)
	for _, key := range slices.Sorted(maps.Keys(e.Labels)) {
		add(key, e.Labels[key])
	}
}

// lokiEnrichment adds structured metadata. It is in no label and in no line: by these Loki knows a repeat, and a repeat may
// know more of the object, or less.
func lokiEnrichment(o *jsonObject, e *record.Enrichment) {
	if e == nil {
		return
	}
	o.optional("node", cutValue(e.Node))
	o.optional("zone", cutValue(e.Zone))
	if n := len(e.Owners); n > 0 {
		o.optional("owner_kind", cutValue(e.Owners[n-1].Kind))
		o.optional("owner_name", cutValue(e.Owners[n-1].Name))
	}
	o.optional("enrichment_incomplete", e.Incomplete)
	lokiMap(o, "label_", e.Labels)
	lokiMap(o, "annotation_", e.Annotations)
}

// lokiMap leaves out a name that is another's in Loki's characters.
func lokiMap(o *jsonObject, prefix string, m map[string]string) {
	seen := map[string]bool{}
	for _, key := range slices.Sorted(maps.Keys(m)) {
		name := prefix + strings.Map(lokiRune, key)
		if !seen[name] {
			o.optional(name, cutValue(m[key]))
		}
		seen[name] = true
	}
}

func lokiRune(r rune) rune {
	if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' {
		return r
	}
	return '_'
}
