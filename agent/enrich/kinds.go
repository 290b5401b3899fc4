package enrich

import "strings"

// Kind says where the objects of a kind are. There is no discovery: that would be a hundred requests, and a right more.
type Kind struct {
	Group, Version string
	Kind, Resource string
	Cluster        bool // not in a namespace

	top bool // nobody controls objects of this kind
}

func (k *Kind) apiVersion() string {
	if k.Group == "" {
		return k.Version
	}
	return k.Group + "/" + k.Version
}

// Known are the kinds that events are mostly about. Secrets and ConfigMaps are left out on purpose: a right to their
// metadata is one to all that is in them.
func Known() []Kind {
	return []Kind{
		{Version: "v1", Kind: "Pod", Resource: "pods"},
		{Version: "v1", Kind: "Node", Resource: "nodes", Cluster: true, top: true},
		{Version: "v1", Kind: "Namespace", Resource: "namespaces", Cluster: true, top: true},
		{Version: "v1", Kind: "Service", Resource: "services"},
		{Version: "v1", Kind: "PersistentVolumeClaim", Resource: "persistentvolumeclaims"},
		{Version: "v1", Kind: "PersistentVolume", Resource: "persistentvolumes", Cluster: true, top: true},
		{Version: "v1", Kind: "ReplicationController", Resource: "replicationcontrollers"},
		{Group: "apps", Version: "v1", Kind: "Deployment", Resource: "deployments"},
		{Group: "apps", Version: "v1", Kind: "ReplicaSet", Resource: "replicasets"},
		{Group: "apps", Version: "v1", Kind: "StatefulSet", Resource: "statefulsets"},
		{Group: "apps", Version: "v1", Kind: "DaemonSet", Resource: "daemonsets"},
		{Group: "batch", Version: "v1", Kind: "Job", Resource: "jobs"},
		{Group: "batch", Version: "v1", Kind: "CronJob", Resource: "cronjobs"},
		{Group: "autoscaling", Version: "v2", Kind: "HorizontalPodAutoscaler", Resource: "horizontalpodautoscalers"},
		{Group: "networking.k8s.io", Version: "v1", Kind: "Ingress", Resource: "ingresses"},
		{Group: "policy", Version: "v1", Kind: "PodDisruptionBudget", Resource: "poddisruptionbudgets"},
	}
}

// kinds finds a kind by what an event says of its object.
type kinds map[string][]*Kind

func newKinds(list []Kind) kinds {
	all := kinds{}
	for i := range list {
		all[list[i].Kind] = append(all[list[i].Kind], &list[i])
	}
	return all
}

// find is nil for a kind that nobody knows. The version doesn't matter, as an object has all of them; some reporters leave
// out the group as well.
func (k kinds) find(apiVersion, kind string) *Kind {
	group, _, grouped := strings.Cut(apiVersion, "/")
	if !grouped {
		group = ""
	}
	for _, candidate := range k[kind] {
		if apiVersion == "" || candidate.Group == group {
			return candidate
		}
	}
	return nil
}
