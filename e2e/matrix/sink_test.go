package matrix

import (
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

// refused: the refused records are counted and logged whole, and have not stopped the others.
func refused(r *run) {
	r.sink.Set(receiver.Mode{})
}
