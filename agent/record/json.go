package record

import (
	"encoding/json"
	"fmt"
	"unsafe"
)

// AppendJSON appends the record's JSON to dst: what encoding/json makes of the struct, in the struct's order, without
// the escapes for HTML, on one line and without a line's end.
//
// It panics for times outside the years 1 to 9999, which a record of From never has.
func (r *Record) AppendJSON(dst []byte) []byte {
	w := appender(dst)
	enc := json.NewEncoder(&w)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(r); err != nil {
		panic(fmt.Sprintf("record %s: %v", r.ID, err))
	}
	return w[:len(w)-1]
}

type appender []byte

func (a *appender) Write(p []byte) (int, error) {
	*a = append(*a, p...)
	return len(p), nil
}

const (
	recordBytes = int(unsafe.Sizeof(Record{}))
	objectBytes = int(unsafe.Sizeof(Object{}))
	stringBytes = int(unsafe.Sizeof(""))
)

// Size is about how many bytes the record holds in memory. What it shares with other records counts in full, so that
// the sum over a queue errs on the safe side, and that it is about the length of the record's JSON as well, unless
// the text is full of control characters (six bytes each there).
func (r *Record) Size() int {
	n := recordBytes + len(r.ID) + len(r.Cluster) + len(r.ClusterName) +
		len(r.Type) + len(r.Reason) + len(r.Action) + len(r.Message) + len(r.Namespace) + len(r.Name) +
		r.Object.textBytes() +
		len(r.Source.Component) + len(r.Source.Instance) + len(r.Source.Host) +
		len(r.Leader.Identity)
	for _, t := range r.Tags {
		n += stringBytes + len(t)
	}
	if r.Related != nil {
		n += objectBytes + r.Related.textBytes()
	}
	if r.CountDelta != nil {
		n += int(unsafe.Sizeof(*r.CountDelta))
	}
	return n
}

func (o *Object) textBytes() int {
	return len(o.APIVersion) + len(o.Kind) + len(o.Namespace) + len(o.Name) + len(o.UID) + len(o.FieldPath)
}
