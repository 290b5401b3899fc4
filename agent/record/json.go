package record

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"
	"unsafe"
)

// AppendJSON appends the record's JSON to dst: what encoding/json makes of the struct, in the struct's order, without
// the escapes for HTML, on one line and without a line's end. It is written out, because encoding/json takes more than
// twice as long, and this is a quarter of what an event of a backlog costs.
//
// It panics for times outside the years 1 to 9999, which a record of From never has.
func (r *Record) AppendJSON(dst []byte) []byte {
	o := open(dst)
	o.text("id", r.ID)
	o.text("cluster", r.Cluster)
	o.optional("clusterName", r.ClusterName)
	o.texts("tags", r.Tags)
	o.time("time", r.Time)
	o.text("type", r.Type)
	o.text("reason", r.Reason)
	o.optional("action", r.Action)
	o.text("message", r.Message)
	o.text("namespace", r.Namespace)
	o.text("name", r.Name)
	o.dst = r.Object.appendJSON(o.key("object"))
	if r.Related != nil {
		o.dst = r.Related.appendJSON(o.key("related"))
	}
	o.dst = r.Source.appendJSON(o.key("source"))
	if r.Enrichment != nil {
		o.dst = r.Enrichment.appendJSON(o.key("enrichment"))
	}
	o.number("count", r.Count)
	if r.CountDelta != nil {
		o.number("countDelta", *r.CountDelta)
	}
	o.time("first", r.First)
	o.time("last", r.Last)
	o.dst = r.Leader.appendJSON(o.key("leader"))
	return o.close()
}

func (o *Object) appendJSON(dst []byte) []byte {
	w := open(dst)
	w.optional("apiVersion", o.APIVersion)
	w.text("kind", o.Kind)
	w.optional("namespace", o.Namespace)
	w.text("name", o.Name)
	w.optional("uid", o.UID)
	w.optional("fieldPath", o.FieldPath)
	return w.close()
}

func (s *Source) appendJSON(dst []byte) []byte {
	o := open(dst)
	o.optional("component", s.Component)
	o.optional("instance", s.Instance)
	o.optional("host", s.Host)
	return o.close()
}

func (e *Enrichment) appendJSON(dst []byte) []byte {
	o := open(dst)
	o.mapping("labels", e.Labels)
	o.mapping("annotations", e.Annotations)
	if len(e.Owners) > 0 {
		o.dst = append(o.key("owners"), '[')
		for i := range e.Owners {
			if i > 0 {
				o.dst = append(o.dst, ',')
			}
			o.dst = e.Owners[i].appendJSON(o.dst)
		}
		o.dst = append(o.dst, ']')
	}
	o.optional("node", e.Node)
	o.optional("zone", e.Zone)
	o.optional("incomplete", e.Incomplete)
	return o.close()
}

func (w *Owner) appendJSON(dst []byte) []byte {
	o := open(dst)
	o.optional("apiVersion", w.APIVersion)
	o.text("kind", w.Kind)
	o.text("name", w.Name)
	o.optional("uid", w.UID)
	return o.close()
}

func (l *Leader) appendJSON(dst []byte) []byte {
	o := open(dst)
	o.text("identity", l.Identity)
	o.number("epoch", l.Epoch)
	return o.close()
}

// object is a JSON object that is being written.
type object struct{ dst []byte }

func open(dst []byte) object { return object{append(dst, '{')} }

func (o *object) close() []byte { return append(o.dst, '}') }

// key begins a member and returns what its value is to be appended to.
func (o *object) key(name string) []byte {
	if o.dst[len(o.dst)-1] != '{' {
		o.dst = append(o.dst, ',')
	}
	o.dst = append(o.dst, '"')
	o.dst = append(o.dst, name...)
	return append(o.dst, '"', ':')
}

func (o *object) text(name, s string) { o.dst = appendText(o.key(name), s) }

func (o *object) optional(name, s string) {
	if s != "" {
		o.text(name, s)
	}
}

func (o *object) texts(name string, ss []string) {
	if len(ss) == 0 {
		return
	}
	o.dst = append(o.key(name), '[')
	for i, s := range ss {
		if i > 0 {
			o.dst = append(o.dst, ',')
		}
		o.dst = appendText(o.dst, s)
	}
	o.dst = append(o.dst, ']')
}

// mapping has the keys in their order, as encoding/json has them.
func (o *object) mapping(name string, m map[string]string) {
	if len(m) == 0 {
		return
	}
	w := open(o.key(name))
	for i, key := range slices.Sorted(maps.Keys(m)) {
		if i > 0 {
			w.dst = append(w.dst, ',')
		}
		w.dst = append(appendText(w.dst, key), ':')
		w.dst = appendText(w.dst, m[key])
	}
	o.dst = w.close()
}

func (o *object) number(name string, n int64) { o.dst = strconv.AppendInt(o.key(name), n, 10) }

func (o *object) time(name string, t time.Time) {
	o.dst = append(o.key(name), '"')
	var err error
	if o.dst, err = t.AppendText(o.dst); err != nil {
		panic(fmt.Sprintf("the record's %s: %v", name, err))
	}
	o.dst = append(o.dst, '"')
}

// appendText appends a string. One with control characters, or beyond ASCII, is left to encoding/json.
func appendText(dst []byte, s string) []byte {
	before, done := len(dst), 0
	dst = append(dst, '"')
	for i := range len(s) {
		switch c := s[i]; {
		case c < ' ' || c > '~':
			return appendEscaped(dst[:before], s)
		case c == '"' || c == '\\':
			dst = append(dst, s[done:i]...)
			dst, done = append(dst, '\\'), i
		}
	}
	dst = append(dst, s[done:]...)
	return append(dst, '"')
}

func appendEscaped(dst []byte, s string) []byte {
	w := appender(dst)
	enc := json.NewEncoder(&w)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(s); err != nil {
		panic(fmt.Sprintf("the string %q: %v", s, err)) // fails neither for a string nor for this writer
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

	enrichmentBytes = int(unsafe.Sizeof(Enrichment{}))
	ownerBytes      = int(unsafe.Sizeof(Owner{}))
	mapEntryBytes   = 3 * stringBytes // two strings, and what the map takes for itself
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
	if r.Enrichment != nil {
		n += r.Enrichment.Size()
	}
	return n
}

// Size is about how many bytes the enrichment holds in memory, and about the length of its JSON.
func (e *Enrichment) Size() int {
	n := enrichmentBytes + len(e.Node) + len(e.Zone) + len(e.Incomplete)
	for _, m := range []map[string]string{e.Labels, e.Annotations} {
		for key, value := range m {
			n += mapEntryBytes + len(key) + len(value)
		}
	}
	for i := range e.Owners {
		o := &e.Owners[i]
		n += ownerBytes + len(o.APIVersion) + len(o.Kind) + len(o.Name) + len(o.UID)
	}
	return n
}

func (o *Object) textBytes() int {
	return len(o.APIVersion) + len(o.Kind) + len(o.Namespace) + len(o.Name) + len(o.UID) + len(o.FieldPath)
}
