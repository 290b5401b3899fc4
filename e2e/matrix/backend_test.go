package matrix

import (
	"fmt"
	"time"

	"github.com/eventbaton/baton/e2e/fleet"
	"github.com/eventbaton/baton/e2e/receiver"
	"github.com/eventbaton/baton/e2e/receiver/backend"
)

const (
	// receiverSink is the sink that all cells have.
	receiverSink = "receiver"

	// longestPause is about the longest time between two tries of a sink, and what the try takes.
	longestPause = 15 * time.Second
	// drained is how long a sink may take, from then on that its receiver is well again, to deliver what it has missed.
	drained = 45 * time.Second
)

// backendCells have a fleet with a sink of each kind, whose receivers are away all at once. Each sink is judged.
func backendCells() []cell {
	all := cell{
		backends: true, rate: 5, objects: 40, bound: longestPause,
		// An id is short enough for the lines of a chat to have many.
		config: func(c *fleet.Config) { c.More["cluster_id"] = "matrix" },
	}
	down, failing := all, all
	down.name, down.fault = "sink down two minutes, leader killed", away(2*time.Minute, (*backend.Backend).Down)
	failing.name, failing.fault = "sink answers errors, leader killed", away(10*time.Second, (*backend.Backend).Fail)
	return []cell{down, failing}
}

// target is what is judged: what one sink has delivered.
type target struct {
	name  string // in the table, "" where there is but one
	sink  string // in the configuration
	log   *receiver.Receiver
	kind  backend.Kind
	wrong []string // what the cell itself found wrong
}

// targets are the receiver that all cells have, and the others.
func (r *run) targets() []target {
	all := []target{{sink: receiverSink, log: r.sink.Receiver}}
	if len(r.backends) > 0 {
		all[0].name = "webhook"
	}
	for _, b := range r.backends {
		all = append(all, target{name: b.Name, sink: b.Sink(), log: b.Receiver, kind: b.Kind})
	}
	for i := range all {
		all[i].wrong = r.wrong[all[i].sink]
	}
	return all
}

// openBackends starts one of each kind where the cell wants them.
func (r *run) openBackends() {
	if !r.cell.backends {
		return
	}
	dir := r.TempDir()
	for _, k := range backend.Kinds() {
		b, err := k.Open(dir)
		r.must(err)
		r.Cleanup(b.Close)
		r.backends = append(r.backends, b)
	}
}

// configure gives an agent its sinks.
func (r *run) configure(i int, c *fleet.Config) {
	for _, b := range r.backends {
		options, err := b.Options(fmt.Sprintf("agent-%d", i))
		r.must(err)
		c.Sinks = append(c.Sinks, fleet.Sink{Name: b.Sink(), Type: b.Type, More: options})
	}
	if r.each != nil {
		r.each(i, c)
	}
}

// away does harm to every receiver, which lasts for d, and in the middle of it the leader is killed and its pod deleted.
func away(d time.Duration, harm func(*backend.Backend)) func(*run) {
	return func(r *run) {
		r.settle()
		r.inject()
		all := append([]*backend.Backend{backend.Webhook(r.sink)}, r.backends...)
		for _, b := range all {
			harm(b)
		}
		healed := time.Now().Add(d)
		r.pass(d / 2)
		old := r.leader()
		r.kill(old)
		reportGone(r, old)
		r.successor(old)
		r.must(old.Start())
		r.must(old.ReportRunning(r.ctx, time.Now()))
		r.pass(time.Until(healed))
		for _, b := range all {
			r.must(b.Up())
		}
		r.drain(r.heal())
	}
}

// drain waits for all that was made until the receivers were well again to arrive.
func (r *run) drain(well time.Time) {
	made := r.events.Log().Events()
	for _, t := range r.targets() {
		if !r.settled(t, made, well.Add(drained)) {
			r.wrong[t.sink] = append(r.wrong[t.sink], "has not delivered what it had missed within "+drained.String())
		}
	}
}
