package sink

import (
	"fmt"
	"sort"
	"strings"

	"github.com/eventbaton/baton/agent/record"
)

// tooLarge is for a record of which fitMessage says false.
func tooLarge(key string, limit int) error {
	return &Refused{Err: fmt.Errorf("even without its message the record is larger than %s, %d", key, limit)}
}

// fitMessage gives the record, or where size says that it is larger than limit bytes a copy whose message is cut, with a
// mark that tells how long it was. It says false where even the mark alone would be too large: it is not the message
// that is too long.
func fitMessage(r *record.Record, limit int, size func(*record.Record) int) (*record.Record, bool) {
	if size(r) <= limit {
		return r, true
	}
	mark := fmt.Sprintf(" ... [truncated from %d bytes]", len(r.Message))
	cut := func(n int) *record.Record {
		short := *r
		// A record's text is UTF-8: what is not is the half of a character at the cut.
		short.Message = strings.ToValidUTF8(r.Message[:n], "") + mark
		return &short
	}
	n := sort.Search(len(r.Message), func(n int) bool { return size(cut(n)) > limit })
	if n == 0 {
		return nil, false
	}
	return cut(n - 1), true
}
