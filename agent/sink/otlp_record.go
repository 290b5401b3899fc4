package sink

import (
	"strings"
	"time"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/eventbaton/baton/agent/record"
)

// otlpTranslation makes log records of records. Names are those of the Collector's k8s_events receiver (v0.144:
// k8s_event_to_logdata.go), k8s.cluster.* and log.record.uid those of OpenTelemetry's semantic conventions, by
// which records with the same uid are the same. What no convention has a name for begins with baton.
type otlpTranslation struct {
	version  string
	resource map[string]string
}

// otlpResource is what tells one resource from another.
type otlpResource struct {
	cluster, clusterName, node string
	object                     record.Object
}

// logs gives the batch, one resource an object, each with its records in their order.
func (t otlpTranslation) logs(batch []*record.Record, now time.Time) plog.Logs {
	logs := plog.NewLogs()
	observed := pcommon.NewTimestampFromTime(now)
	known := make(map[otlpResource]plog.LogRecordSlice, len(batch))
	for _, r := range batch {
		key := otlpResource{r.Cluster, r.ClusterName, r.Source.Host, r.Object}
		records, ok := known[key]
		if !ok {
			of := logs.ResourceLogs().AppendEmpty()
			t.putResource(of.Resource().Attributes(), &key)
			scope := of.ScopeLogs().AppendEmpty()
			scope.Scope().SetName("github.com/eventbaton/baton")
			scope.Scope().SetVersion(t.version)
			records = scope.LogRecords()
			known[key] = records
		}
		log := records.AppendEmpty()
		log.SetObservedTimestamp(observed)
		putRecord(log, r)
	}
	return logs
}

func (t otlpTranslation) putResource(to pcommon.Map, r *otlpResource) {
	to.EnsureCapacity(9 + len(t.resource))
	to.PutStr("k8s.cluster.uid", r.cluster)
	putOptional(to, "k8s.cluster.name", r.clusterName)
	putOptional(to, "k8s.node.name", r.node)
	to.PutStr("k8s.object.kind", r.object.Kind)
	to.PutStr("k8s.object.name", r.object.Name)
	putOptional(to, "k8s.object.uid", r.object.UID)
	putOptional(to, "k8s.object.fieldpath", r.object.FieldPath)
	putOptional(to, "k8s.object.api_version", r.object.APIVersion)
	for name, value := range t.resource {
		to.PutStr(name, value)
	}
}

func putRecord(to plog.LogRecord, r *record.Record) {
	to.SetTimestamp(otlpTime(r.Time))
	to.SetSeverityNumber(otlpSeverity(r.Type))
	to.SetSeverityText(r.Type)
	to.Body().SetStr(r.Message)
	a := to.Attributes()
	a.EnsureCapacity(20)
	a.PutStr("log.record.uid", r.ID)
	a.PutStr("k8s.event.reason", r.Reason)
	a.PutStr("k8s.event.action", r.Action)
	if !r.First.IsZero() {
		a.PutStr("k8s.event.start_time", r.First.Format(time.RFC3339Nano))
	}
	a.PutStr("k8s.event.name", r.Name)
	uid, version := eventVersion(r.ID)
	a.PutStr("k8s.event.uid", uid)
	a.PutStr("k8s.event.resource_version", version)
	a.PutStr("k8s.namespace.name", r.Object.Namespace)
	a.PutInt("k8s.event.count", r.Count)
	if r.CountDelta != nil {
		a.PutInt("baton.count_delta", *r.CountDelta)
	}
	putOptional(a, "baton.source.component", r.Source.Component)
	putOptional(a, "baton.source.instance", r.Source.Instance)
	a.PutStr("baton.leader.identity", r.Leader.Identity)
	a.PutInt("baton.leader.epoch", r.Leader.Epoch)
	if r.Related != nil {
		putObject(a.PutEmptyMap("baton.related"), r.Related)
	}
	putEnrichment(a, r)
	if len(r.Tags) > 0 {
		tags := a.PutEmptySlice("baton.tags")
		for _, tag := range r.Tags {
			tags.AppendEmpty().SetStr(tag)
		}
	}
}

func putObject(to pcommon.Map, o *record.Object) {
	to.PutStr("kind", o.Kind)
	to.PutStr("name", o.Name)
	putOptional(to, "namespace", o.Namespace)
	putOptional(to, "uid", o.UID)
	putOptional(to, "apiVersion", o.APIVersion)
	putOptional(to, "fieldPath", o.FieldPath)
}

func putOptional(to pcommon.Map, name, value string) {
	if value != "" {
		to.PutStr(name, value)
	}
}

// otlpSeverity has the two types that Kubernetes knows, and two that some reporters write all the same.
func otlpSeverity(eventType string) plog.SeverityNumber {
	switch strings.ToLower(eventType) {
	case "normal":
		return plog.SeverityNumberInfo
	case "warning":
		return plog.SeverityNumberWarn
	case "error":
		return plog.SeverityNumberError
	case "critical":
		return plog.SeverityNumberFatal
	}
	return plog.SeverityNumberUnspecified
}

// otlpTime is 0, which stands for an unknown time, for what nanoseconds since 1970 can't say.
func otlpTime(t time.Time) pcommon.Timestamp {
	if y := t.Year(); y < 1970 || y > 2200 {
		return 0
	}
	return pcommon.NewTimestampFromTime(t)
}

// eventVersion takes an id apart; the cluster's may have slashes in it.
func eventVersion(id string) (uid, version string) {
	i := strings.LastIndexByte(id, '/')
	if i < 0 {
		return "", ""
	}
	rest, version := id[:i], id[i+1:]
	return rest[strings.LastIndexByte(rest, '/')+1:], version
}
