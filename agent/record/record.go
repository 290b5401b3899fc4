// Package record holds the one shape in which Baton hands an event to a sink.
//
// A record is one version of a Kubernetes event. Its JSON form is stable and documented: fields are added,
// never renamed or removed, and every sink that takes JSON gets the same.
package record

import "time"

// Record is one version of an event.
type Record struct {
	// ID is `<cluster>/<event uid>/<resourceVersion>`. It is the idempotency key: two records with one ID are
	// the same record delivered twice, whoever sent them.
	ID      string `json:"id"`
	Cluster string `json:"cluster"`
	// ClusterName is the configured cluster_name, absent where there is none.
	ClusterName string   `json:"clusterName,omitempty"`
	Tags        []string `json:"tags,omitempty"`
	// Time is the latest of series.lastObservedTime, lastTimestamp, eventTime, firstTimestamp and
	// creationTimestamp: events.k8s.io/v1 leaves the older fields null.
	Time      time.Time `json:"time"`
	Type      string    `json:"type"`
	Reason    string    `json:"reason"`
	Action    string    `json:"action,omitempty"`
	Message   string    `json:"message"`
	Namespace string    `json:"namespace"`
	Name      string    `json:"name"`
	Object    Object    `json:"object"`
	Related   *Object   `json:"related,omitempty"`
	Source    Source    `json:"source"`
	// Count is how often this was observed in all: series.count, else count, else 1.
	Count int64 `json:"count"`
	// CountDelta is how many of Count are new since the version of this event that was last handed to the same
	// sink in the same epoch. It is absent where that version is not known.
	CountDelta *int64    `json:"countDelta,omitempty"`
	First      time.Time `json:"first"`
	Last       time.Time `json:"last"`
	Leader     Leader    `json:"leader"`
}

// Object names the object that an event is about.
type Object struct {
	APIVersion string `json:"apiVersion,omitempty"`
	Kind       string `json:"kind"`
	Namespace  string `json:"namespace,omitempty"`
	Name       string `json:"name"`
	UID        string `json:"uid,omitempty"`
	FieldPath  string `json:"fieldPath,omitempty"`
}

// Source names who reported an event.
type Source struct {
	Component string `json:"component,omitempty"`
	Instance  string `json:"instance,omitempty"`
	Host      string `json:"host,omitempty"`
}

// Leader names who delivered a record. Of two deliveries of one ID the one of the lower epoch is the repeat.
type Leader struct {
	Identity string `json:"identity"`
	Epoch    int64  `json:"epoch"`
}
