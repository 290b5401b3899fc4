package record

import (
	"strings"
	"time"
	"unicode/utf8"

	corev1 "k8s.io/api/core/v1"
)

// Origin is what a record carries besides its event. Its tags are shared by all records and never changed.
type Origin struct {
	Cluster     string // the cluster's id, the first part of every record's ID
	ClusterName string
	Tags        []string
	Leader      Leader
}

// From gives the record of one version of an event. It never fails: what is missing or nonsense in the event, which
// the API server accepts in most fields, is left out or replaced as the fields of Record say. Text that is not UTF-8
// gets U+FFFD where it is not, so that the record is valid in every format a sink may speak.
//
// The record shares the event's strings; the event may be dropped.
func From(e *corev1.Event, o Origin) *Record {
	t := timesOf(e)
	return &Record{
		ID:          text(o.Cluster + "/" + string(e.UID) + "/" + e.ResourceVersion),
		Cluster:     text(o.Cluster),
		ClusterName: text(o.ClusterName),
		Tags:        texts(o.Tags),
		Time:        t.time,
		Type:        text(e.Type),
		Reason:      text(e.Reason),
		Action:      text(e.Action),
		Message:     text(e.Message),
		Namespace:   text(e.Namespace),
		Name:        text(e.Name),
		Object:      objectOf(&e.InvolvedObject),
		Related:     relatedOf(e.Related),
		Source:      sourceOf(e),
		Count:       countOf(e),
		First:       t.first,
		Last:        t.last,
		Leader:      Leader{Identity: text(o.Leader.Identity), Epoch: o.Leader.Epoch},
	}
}

func objectOf(r *corev1.ObjectReference) Object {
	return Object{
		APIVersion: text(r.APIVersion),
		Kind:       text(r.Kind),
		Namespace:  text(r.Namespace),
		Name:       text(r.Name),
		UID:        text(string(r.UID)),
		FieldPath:  text(r.FieldPath),
	}
}

func relatedOf(r *corev1.ObjectReference) *Object {
	if r == nil {
		return nil
	}
	o := objectOf(r)
	return &o
}

// sourceOf reads both generations of fields: core/v1 reporters fill source, those of events.k8s.io/v1 the reporting
// controller and instance, and recent client-go both.
func sourceOf(e *corev1.Event) Source {
	component := e.Source.Component
	if component == "" {
		component = e.ReportingController
	}
	return Source{Component: text(component), Instance: text(e.ReportingInstance), Host: text(e.Source.Host)}
}

// countOf passes over counts below one: zero is an absent one, and a negative one is a reporter's overflow, which says
// nothing but that the event was seen.
func countOf(e *corev1.Event) int64 {
	if e.Series != nil && e.Series.Count > 0 {
		return int64(e.Series.Count)
	}
	return max(int64(e.Count), 1)
}

// times are an event's three, in UTC. They are zero only where the event has none at all, which the API server, that
// stamps every object's creation, doesn't hand out.
type times struct{ time, first, last time.Time }

func timesOf(e *corev1.Event) times {
	var (
		created  = utc(e.CreationTimestamp.Time)
		first    = utc(e.FirstTimestamp.Time)
		last     = utc(e.LastTimestamp.Time)
		observed = utc(e.EventTime.Time)
		series   time.Time
	)
	if e.Series != nil {
		series = utc(e.Series.LastObservedTime.Time)
	}
	t := times{
		time:  latest(series, last, observed, first, created),
		first: earliest(first, observed),
		last:  latest(series, last, observed, first),
	}
	if t.first.IsZero() {
		t.first = earliest(created, last, series)
	}
	if t.last.IsZero() {
		t.last = created
	}
	return t
}

// utc drops a time that RFC 3339 can't say: a client that speaks protobuf can store any year.
func utc(t time.Time) time.Time {
	t = t.UTC()
	if y := t.Year(); y < 1 || y > 9999 {
		return time.Time{}
	}
	return t
}

func latest(ts ...time.Time) time.Time {
	var l time.Time
	for _, t := range ts {
		if t.After(l) {
			l = t
		}
	}
	return l
}

// earliest passes over zero times.
func earliest(ts ...time.Time) time.Time {
	var e time.Time
	for _, t := range ts {
		if !t.IsZero() && (e.IsZero() || t.Before(e)) {
			e = t
		}
	}
	return e
}

// text looks first whether anything has to be done: ValidString is ten times as fast as ToValidUTF8, and what a reporter
// writes is nearly always valid.
func text(s string) string {
	if utf8.ValidString(s) {
		return s
	}
	return strings.ToValidUTF8(s, "\uFFFD")
}

// texts copies only where something has to be replaced.
func texts(ss []string) []string {
	for i, s := range ss {
		if text(s) != s {
			valid := append([]string(nil), ss...)
			for j := i; j < len(valid); j++ {
				valid[j] = text(valid[j])
			}
			return valid
		}
	}
	return ss
}
