package matrix

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/eventbaton/baton/e2e/fleet"
	"github.com/eventbaton/baton/e2e/receiver"
)

// A sink is tried again after a growing pause, so how soon it catches up depends on how long it was away.
const outage = 4 * time.Second

func sinkCells() []cell {
	return []cell{
		{name: "sink down", fault: sinkDown},
		{name: "sink answers 500", fault: answers(receiver.Mode{Status: 500}, outage)},
		{name: "sink answers 401", fault: answers(receiver.Mode{Status: 401}, outage)},
		{name: "sink answers 429, Retry-After", fault: answers(receiver.Mode{Status: 429, RetryAfter: "2"}, outage)},
		{name: "sink resets", fault: answers(receiver.Mode{Reset: true}, outage)},
		{name: "sink hangs", each: impatient, fault: answers(receiver.Mode{Hang: true}, outage)},
		{name: "sink slow", each: impatient, fault: answers(receiver.Mode{Delay: 500 * time.Millisecond}, outage)},
		{name: "sink refuses one record of a batch", excused: every("7"), fault: refuses, after: refused},
	}
}

// impatient gives a request a second to be answered.
func impatient(_ int, c *fleet.Config) {
	for i := range c.Sinks {
		c.Sinks[i].More["timeout"] = "1s"
	}
}

func sinkDown(r *run) {
	r.inject()
	r.sink.Down()
	r.pass(outage)
	r.must(r.sink.Up())
	r.heal()
}

// every tells the events whose number ends so.
func every(digit string) func(string) bool {
	return func(name string) bool { return strings.HasSuffix(name, digit) }
}

// refuses answers 400 to each batch with such a record, also where it is alone, after a pause that lets batches grow.
func refuses(r *run) {
	r.inject()
	r.sink.Set(receiver.Mode{Status: 503})
	r.pass(2 * time.Second)
	r.sink.Set(receiver.Mode{Refuse: func(rec receiver.Record) bool { return r.excused(rec.Name) }})
	r.heal()
	r.pass(2 * time.Second)
}

// refused: each refused record is in the log, whole; they are counted, the last ones are in the status, and the cursor
// is past them. Those that were read while the sink did not refuse yet have arrived.
func refused(r *run) {
	leader := r.leader()
	r.eventually("each excused record has arrived or is in the log", 20*time.Second, func() bool {
		return r.accountedFor(r.refusals(leader))
	})
	log := r.refusals(leader)
	if s := r.status(leader).Sinks[0]; len(log) == 0 || s.Refused != len(log) || len(s.Refusals) == 0 {
		r.Errorf("%d refused records are in the log, the status counts %d and shows %v", len(log), s.Refused, s.Refusals)
	}
}

// accountedFor says whether each version that may be refused is in the log or has arrived. One that was overwritten before
// the leader watched can't have been read.
func (r *run) accountedFor(log map[string]bool) bool {
	for _, e := range r.events.Log().Events() {
		if !r.excused(e.Name) {
			continue
		}
		uid, err := receiver.ParseUID(e.UID)
		r.must(err)
		for i, v := range e.Versions {
			if i+1 < len(e.Versions) && e.Versions[i+1].At.Before(r.since) {
				continue
			}
			if !r.sink.Has(receiver.Version{UID: uid, RV: v.RV}) && !log[fmt.Sprintf("%s/%d", e.UID, v.RV)] {
				return false
			}
		}
	}
	return true
}

// refusals are the records that an agent has logged as refused, as "uid/resourceVersion".
func (r *run) refusals(a *fleet.Agent) map[string]bool {
	r.Helper()
	text, err := os.ReadFile(a.Stderr())
	r.must(err)
	found := map[string]bool{}
	for line := range strings.Lines(string(text)) {
		var entry struct {
			ID     string
			Record *struct{ ID, Message, Name string }
		}
		if json.Unmarshal([]byte(line), &entry) != nil || entry.Record == nil {
			continue
		}
		if entry.ID != entry.Record.ID || entry.Record.Name == "" || entry.Record.Message == "" {
			r.Errorf("a refused record is not logged whole: %s", line)
		}
		_, version, _ := strings.Cut(entry.ID, "/")
		found[version] = true
	}
	return found
}
