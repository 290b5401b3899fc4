package record

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// FuzzRecord: whatever event the API server may hold, the record is valid JSON on one line, says the same when it is
// read back, and its ID depends on nothing but cluster, uid and version.
func FuzzRecord(f *testing.F) {
	f.Add("uid", "17", "message", "reason", "name", int64(0), int64(0), int64(0), int64(0), int32(0), int32(0), uint8(0))
	f.Add("u\xff", "", "a\nb\u2028\x00<>&\xf0\x28", "", "", int64(1<<60), int64(-1<<62), int64(253402300800),
		int64(-62135596801), int32(-1), int32(1<<30), uint8(255))
	f.Add("", "", strings.Repeat("m\xff", 50), "", "", int64(1), int64(2), int64(3), int64(4), int32(5), int32(6), uint8(3))
	f.Fuzz(func(t *testing.T, uid, version, message, reason, name string, a, b, c, d int64, count, series int32, flags uint8) {
		e := fuzzEvent(uid, version, message, reason, name, a, b, c, d, count, series, flags)
		o := Origin{Cluster: name, Tags: []string{reason, name}, Leader: Leader{Identity: reason, Epoch: a}}
		if flags&8 != 0 {
			o.Tags = nil
		}
		r := From(e, o)
		checkRecord(t, r)
		r.Enrichment = fuzzEnrichment(flags, r.Message, r.Reason, r.Name)
		checkRecord(t, r)
		checkID(t, e, o)
	})
}

func fuzzEvent(uid, version, message, reason, name string, a, b, c, d int64, count, series int32, flags uint8) *corev1.Event {
	e := &corev1.Event{
		ObjectMeta: metav1.ObjectMeta{
			Name: name, Namespace: reason, UID: types.UID(uid), ResourceVersion: version,
			CreationTimestamp: metav1.Time{Time: time.Unix(a, b)},
		},
		Message: message, Reason: reason, Count: count, Action: name,
		FirstTimestamp: metav1.Time{Time: time.Unix(b, 0)}, LastTimestamp: metav1.Time{Time: time.Unix(c, 0)},
	}
	if flags&1 != 0 {
		e.Series = &corev1.EventSeries{Count: series, LastObservedTime: metav1.MicroTime{Time: time.Unix(d, a)}}
	}
	if flags&2 != 0 {
		e.Related = &corev1.ObjectReference{Kind: reason, Name: message}
		e.EventTime = metav1.MicroTime{Time: time.Unix(d, c)}
	}
	if flags&4 != 0 {
		e.CreationTimestamp, e.FirstTimestamp, e.LastTimestamp = metav1.Time{}, metav1.Time{}, metav1.Time{}
	}
	return e
}

// fuzzEnrichment is of valid text, as what is decoded from JSON is.
func fuzzEnrichment(flags uint8, a, b, c string) *Enrichment {
	e := &Enrichment{Node: a, Zone: b, Incomplete: c}
	if flags&16 != 0 {
		e.Labels = map[string]string{a: b, b: c, c: a}
	}
	if flags&32 != 0 {
		e.Annotations = map[string]string{c: a}
	}
	if flags&64 != 0 {
		e.Owners = []Owner{{APIVersion: a, Kind: b, Name: c, UID: a}, {}}
	}
	return e
}

func checkRecord(t *testing.T, r *Record) {
	t.Helper()
	line := r.AppendJSON(nil)
	if !json.Valid(line) || !utf8.Valid(line) || bytes.ContainsAny(line, "\n\r") {
		t.Fatalf("not one line of valid JSON: %q", line)
	}
	if want := encoded(t, r); !bytes.Equal(line, want) {
		t.Fatalf("got  %s\nwant %s", line, want)
	}
	var back Record
	if err := json.Unmarshal(line, &back); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(*r, back) {
		t.Errorf("read back: %+v\nwant %+v", back, *r)
	}
	if r.Count < 1 || r.First.After(r.Last) || r.Last.After(r.Time) {
		t.Errorf("count %d, first %v, last %v, time %v", r.Count, r.First, r.Last, r.Time)
	}
	if r.Size() < len(r.Message)+len(r.ID) || 7*r.Size() < len(line) {
		t.Errorf("size %d for %d bytes of JSON", r.Size(), len(line))
	}
}

// encoded is what encoding/json makes of the record.
func encoded(t *testing.T, r *Record) []byte {
	t.Helper()
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(r); err != nil {
		t.Fatal(err)
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}

func checkID(t *testing.T, e *corev1.Event, o Origin) {
	t.Helper()
	same := &corev1.Event{ObjectMeta: metav1.ObjectMeta{UID: e.UID, ResourceVersion: e.ResourceVersion}}
	if a, b := From(e, o).ID, From(same, Origin{Cluster: o.Cluster}).ID; a != b {
		t.Errorf("id %q, and %q for the same version", a, b)
	}
}
