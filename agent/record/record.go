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
	// Enrichment is what the API server said of the object, absent where nothing of it is asked for.
	Enrichment *Enrichment `json:"enrichment,omitempty"`
	// Count is how often this was observed in all: series.count, else count, else 1.
	Count int64 `json:"count"`
	// CountDelta is how many of Count are new since the version of this event that was last handed to the same
	// sink in the same epoch, or under a rate how much is new of its object and reason. It is absent where that version is not known.
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

// Enrichment is what the API server said of the object that an event is about, at about the time of the delivery. Two
// deliveries of one ID may differ in it. It is shared by records and never changed.
type Enrichment struct {
	// Labels and Annotations are those that the configuration allows. Long ones are cut, with a mark.
	Labels      map[string]string `json:"labels,omitempty"`
	Annotations map[string]string `json:"annotations,omitempty"`
	// Owners are those who control the object: its owner first, then the owner's, up to the one that nobody controls.
	Owners []Owner `json:"owners,omitempty"`
	// Node is the node that the object is, or that the pod is on, and Zone where that node is.
	Node string `json:"node,omitempty"`
	Zone string `json:"zone,omitempty"`
	// Incomplete is why something of this is missing, one of the words below; empty where nothing is.
	Incomplete string `json:"incomplete,omitempty"`
}

// Why an enrichment is incomplete.
const (
	Late        = "late"        // the answer was not there in time
	Refused     = "refused"     // a right is missing
	Gone        = "gone"        // the object, or an owner, is not there any more
	Unsupported = "unsupported" // nobody knows where objects of this kind are
	Large       = "large"       // labels and annotations were left out that are too large together
	Unmapped    = "unmapped"    // the receiver took the record only without its labels and annotations
)

// Owner names an owner of the object.
type Owner struct {
	APIVersion string `json:"apiVersion,omitempty"`
	Kind       string `json:"kind"`
	Name       string `json:"name"`
	UID        string `json:"uid,omitempty"`
}

// Leader names who delivered a record. Of two deliveries of one ID the one of the lower epoch is the repeat.
type Leader struct {
	Identity string `json:"identity"`
	Epoch    int64  `json:"epoch"`
}
