package relay_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/eventbaton/baton/agent/cursor"
	"github.com/eventbaton/baton/agent/record"
	"github.com/eventbaton/baton/agent/relay"
	"github.com/eventbaton/baton/agent/sink"
)

// Lanes at the same place share a reader: there is one watch, and everyone gets everything in order.
func TestOneWatchForAll(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		w := newWorld("a", "b", "c")
		w.fill("x", "one", "two")
		w.start(t)
		synctest.Wait()
		w.fill("x", "three")
		w.Update("x", "one", 1)
		synctest.Wait()
		for name, r := range w.receivers {
			same(t, name, r.names(), []string{"one@101", "two@102", "three@103", "one@104"})
		}
		if lists, watches, open := w.Requests(); lists != 1 || watches != 1 || open != 1 {
			t.Errorf("%d lists, %d watches, %d open; want one of each", lists, watches, open)
		}
		for key, p := range w.relay.Positions() {
			if p.RV != 104 || p.Listing != nil || !p.Since.IsZero() || p.Time.IsZero() {
				t.Errorf("%s is at %+v", key, p)
			}
		}
		w.finish(t)
	})
}

func TestStreams(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		w := newWorld("a")
		w.options.Streams = []string{"x", "y"}
		w.fill("x", "one")
		w.fill("y", "two")
		w.fill("z", "never")
		w.start(t)
		synctest.Wait()
		got := w.receivers["a"].names()
		slices.Sort(got)
		same(t, "events", got, []string{"one@101", "two@102"})
		if p := w.relay.Positions(); len(p) != 2 || p["a.x"].RV != 103 || p["a.y"].RV != 103 {
			t.Errorf("positions %v", p)
		}
		w.finish(t)
	})
}

// A sink that is down lags on its own; the others stay current, and when it is back it catches up and shares the one
// watch again.
func TestDeadSinkLagsAlone(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		w := newWorld("good")
		bad := &receiver{stopped: make(chan struct{})}
		w.add(relay.SinkOptions{Name: "bad", QueueBytes: 4000}, bad)
		w.from(cursor.Position{RV: 100})
		w.start(t)
		var want []string
		for i := range 200 {
			name := fmt.Sprintf("e%03d", i)
			want = append(want, fmt.Sprintf("%s@%d", name, w.Create("x", name, "hello")))
			after(100 * time.Millisecond)
			if n := w.receivers["good"].count(); n != i+1 {
				t.Fatalf("the good sink has %d of %d", n, i+1)
			}
		}
		if s := w.sinks["bad"].Status(); s.QueuedBytes > 5000 || s.QueuedRecords == 0 || s.LagSeconds < 19 {
			t.Errorf("the bad sink's status: %+v", s)
		}
		if _, _, open := w.Requests(); open != 1 {
			t.Errorf("%d watches are open, want the good sink's alone", open)
		}
		close(bad.stopped)
		after(time.Minute)
		w.fill("x", "last1")
		synctest.Wait()
		w.fill("x", "last2")
		after(time.Second)
		want = append(want, "last1@301", "last2@302")
		same(t, "the bad sink", bad.names(), want)
		same(t, "the good sink", w.receivers["good"].names(), want)
		if _, _, open := w.Requests(); open != 1 {
			t.Errorf("%d watches are open, want a shared one", open)
		}
		w.finish(t)
	})
}

// A reader that is ahead of all others must not join one behind it.
func TestFrontNeverWaitsForLaggards(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		w := newWorld("fast")
		slow := &receiver{takes: 10 * time.Second, limits: sink.Limits{Records: 1, Bytes: 1 << 20}}
		w.add(relay.SinkOptions{Name: "slow", QueueBytes: 3000}, slow)
		w.from(cursor.Position{RV: 100})
		w.start(t)
		for i := range 300 {
			w.Create("x", fmt.Sprintf("e%03d", i), "hello")
			after(700 * time.Millisecond)
			if n := w.receivers["fast"].count(); n != i+1 {
				t.Fatalf("the fast sink has %d of %d", n, i+1)
			}
		}
		after(2 * time.Hour)
		same(t, "the slow sink", slow.names(), w.receivers["fast"].names())
		w.finish(t)
	})
}

// A queue that is full closes the watch: one that is not read would grow the API server's memory.
func TestFullQueueClosesTheWatch(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		w := newWorld()
		r := &receiver{stopped: make(chan struct{})}
		w.add(relay.SinkOptions{Name: "a", QueueBytes: 4000}, r)
		w.from(cursor.Position{RV: 100})
		w.start(t)
		synctest.Wait()
		for _, name := range many("e", 100) {
			w.Create("x", name, "hello")
			synctest.Wait()
		}
		if _, _, open := w.Requests(); open != 0 {
			t.Errorf("%d watches are open while the queue is full", open)
		}
		close(r.stopped)
		after(time.Second)
		if _, _, open := w.Requests(); open != 1 || r.count() != 100 {
			t.Errorf("%d watches are open, and %d events came", open, r.count())
		}
		w.finish(t)
	})
}

// Batching costs no latency: what comes first goes at once, what comes meanwhile goes together.
func TestGathersWhileInFlight(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		w := newWorld("a")
		w.receivers["a"].takes = time.Second
		w.receivers["a"].limits = sink.Limits{Records: 7, Bytes: 1 << 20}
		w.from(cursor.Position{RV: 100})
		w.start(t)
		synctest.Wait()
		w.fill("x", "first")
		synctest.Wait()
		w.fill("x", many("e", 10)...)
		after(10 * time.Second)
		same(t, "batches", w.receivers["a"].batches(), []int{1, 7, 3})
		w.finish(t)
	})
}

func TestBatchesAreBoundedInBytes(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		w := newWorld("a")
		w.receivers["a"].limits = sink.Limits{Records: 100, Bytes: 3000}
		w.receivers["a"].takes = time.Second
		w.from(cursor.Position{RV: 100})
		w.start(t)
		synctest.Wait()
		w.fill("x", "first")
		synctest.Wait()
		for i, size := range []int{1000, 1000, 5000, 10, 10} {
			w.Create("x", fmt.Sprint(i), strings.Repeat("x", size))
		}
		after(10 * time.Second)
		if got := w.receivers["a"].batches(); len(got) < 4 || got[0] != 1 {
			t.Errorf("batches %v", got)
		}
		for _, one := range w.receivers["a"].got {
			if one.Name == "2" && !slices.Contains(w.receivers["a"].batches(), 1) {
				t.Error("a record above the limit has to go alone")
			}
		}
		w.finish(t)
	})
}

// With messages of the largest size there is, queues and pages stay within their bounds.
func TestMemoryIsBoundedWithHugeMessages(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		w := newWorld()
		r := &receiver{stopped: make(chan struct{})}
		w.add(relay.SinkOptions{Name: "a"}, r)
		huge := strings.Repeat("x", 1400<<10)
		for _, name := range many("e", 30) {
			w.Create("x", name, huge)
		}
		w.start(t)
		after(time.Minute)
		if s := w.sinks["a"].Status(); s.QueuedBytes > 6<<20 || s.QueuedRecords == 0 {
			t.Errorf("%d bytes in %d records wait", s.QueuedBytes, s.QueuedRecords)
		}
		close(r.stopped)
		after(time.Minute)
		if r.count() != 30 {
			t.Errorf("%d of 30 came", r.count())
		}
		w.finish(t)
	})
}

func TestRetriesUntilItWorks(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		w := newWorld("a")
		began, calls := time.Now(), []time.Duration{}
		w.receivers["a"].answer = func(int, []*record.Record) error {
			calls = append(calls, time.Since(began))
			if time.Since(began) < 10*time.Minute {
				return errors.New("500")
			}
			return nil
		}
		w.from(cursor.Position{RV: 100})
		w.fill("x", "one")
		w.start(t)
		after(5 * time.Minute)
		s := w.sinks["a"].Status()
		if s.Error != "500" || !s.ErrorSince.Equal(began) || s.Retries < 20 || s.LagSeconds < 299 {
			t.Errorf("status while it is down: %+v", s)
		}
		if p := w.relay.Positions()["a"]; p.RV != 100 || p.Since.IsZero() {
			t.Errorf("position while it is down: %+v", p)
		}
		after(6 * time.Minute)
		same(t, "in the end", w.receivers["a"].names(), []string{"one@101"})
		if s := w.sinks["a"].Status(); s.Error != "" || !s.ErrorSince.IsZero() || s.LagSeconds != 0 || s.Delivered != 1 {
			t.Errorf("status after it: %+v", s)
		}
		if first := calls[1]; first < 180*time.Millisecond || first > 330*time.Millisecond {
			t.Errorf("tried again after %v", first)
		}
		for i := 8; i < len(calls); i++ {
			if gap := calls[i] - calls[i-1]; gap < 7*time.Second || gap > 13*time.Second {
				t.Errorf("try %d after %v", i, gap)
			}
		}
		w.finish(t)
	})
}

func TestRetryAfter(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		w := newWorld("a")
		var calls []time.Time
		w.receivers["a"].answer = func(call int, _ []*record.Record) error {
			calls = append(calls, time.Now())
			if call == 1 {
				return fmt.Errorf("sending: %w", &sink.RetryAfter{Err: errors.New("429"), After: 42 * time.Second})
			}
			return nil
		}
		w.fill("x", "one")
		w.start(t)
		after(time.Minute)
		if len(calls) != 2 || calls[1].Sub(calls[0]) < 42*time.Second || calls[1].Sub(calls[0]) > 43*time.Second {
			t.Errorf("called at %v", calls)
		}
		w.finish(t)
	})
}

// A sink that wants bursts gathered gets them as one batch, when the oldest has waited for long enough or the batch is
// full; a drain waits for none of it, and loses none of it.
func TestGather(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		w := newWorld("a")
		r := w.receivers["a"]
		r.limits = sink.Limits{Records: 50, Bytes: 1 << 20, Gather: 10 * time.Second}
		w.from(cursor.Position{RV: 100})
		w.start(t)
		after(time.Second)
		for _, name := range many("e", 20) {
			w.fill("x", name)
			after(400 * time.Millisecond)
		}
		if r.count() > 0 || w.sinks["a"].Status().QueuedRecords != 20 {
			t.Errorf("after 8 s it has got %d", r.count())
		}
		after(3 * time.Second)
		same(t, "batches of a burst", r.batches(), []int{20})
		w.fill("x", many("f", 70)...)
		after(time.Second)
		same(t, "batches when there is more than one holds", r.batches(), []int{20, 50})
		after(10 * time.Second)
		same(t, "batches in the end", r.batches(), []int{20, 50, 20})
		w.fill("x", "last")
		after(time.Second)
		began := time.Now()
		w.finish(t)
		if p := w.relay.Positions()["a"]; time.Since(began) > 0 || p.RV != 190 || p.Since.IsZero() {
			t.Errorf("a drain took %v, and the cursor is at %+v", time.Since(began), p)
		}
		w.options.Positions = w.relay.Positions()
		w.start(t)
		after(11 * time.Second)
		if names := r.names(); len(names) != 91 || names[90] != "last@191" {
			t.Errorf("the next one got %v", names[90:])
		}
		w.finish(t)
	})
}

// What gathers never fills the queue: half of it is sent whatever the sink wants.
func TestGatherIsBoundedByTheQueue(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		w := newWorld()
		r := &receiver{limits: sink.Limits{Records: 1 << 20, Bytes: 1 << 30, Gather: time.Hour}}
		w.add(relay.SinkOptions{Name: "a", QueueBytes: 20_000}, r)
		w.from(cursor.Position{RV: 100})
		w.start(t)
		after(time.Second)
		w.fill("x", many("e", 200)...)
		after(time.Minute)
		if got, waiting := r.count(), w.sinks["a"].Status(); got < 150 || waiting.QueuedBytes > 10_000 || got+waiting.QueuedRecords != 200 {
			t.Errorf("it got %d, %d wait with %d bytes", got, waiting.QueuedRecords, waiting.QueuedBytes)
		}
		w.finish(t)
	})
}

// One record that is refused costs none of the others, does not stop the cursor, and does not vanish.
func TestRefusedRecord(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		var logged bytes.Buffer
		w := newWorld()
		r := &receiver{}
		r.answer = func(_ int, batch []*record.Record) error {
			for _, one := range batch {
				if one.Name == "e00013" {
					return &sink.Refused{Err: errors.New("400 no thanks")}
				}
			}
			return nil
		}
		w.add(relay.SinkOptions{Name: "a", Log: slog.New(slog.NewJSONHandler(&logged, nil))}, r)
		w.fill("x", many("e", 40)...)
		w.start(t)
		after(time.Second)
		var want []string
		for i, name := range many("e", 40) {
			if i != 13 {
				want = append(want, fmt.Sprintf("%s@%d", name, 101+i))
			}
		}
		same(t, "events", r.names(), want)
		s := w.sinks["a"].Status()
		if s.Refused != 1 || len(s.Refusals) != 1 || s.Delivered != 39 || s.Retries != 0 ||
			!strings.Contains(s.Refusals[0].Error, "no thanks") {
			t.Errorf("status %+v", s)
		}
		if p := w.relay.Positions()["a"]; p.RV != 140 {
			t.Errorf("the cursor is at %+v", p)
		}
		var line struct {
			Level, Sink string
			Record      record.Record
		}
		if err := json.Unmarshal(logged.Bytes(), &line); err != nil || line.Record.Name != "e00013" || line.Level != "ERROR" || line.Sink != "a" {
			t.Errorf("logged %s: %v", logged.Bytes(), err)
		}
		w.finish(t)
	})
}

func TestRefusalsAreBounded(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		w := newWorld("a")
		w.receivers["a"].answer = func(int, []*record.Record) error { return &sink.Refused{Err: errors.New("never")} }
		w.fill("x", many("e", 100)...)
		w.start(t)
		after(time.Second)
		if s := w.sinks["a"].Status(); s.Refused != 100 || len(s.Refusals) != 5 {
			t.Errorf("%d refused, %d kept", s.Refused, len(s.Refusals))
		}
		w.finish(t)
	})
}

// Whoever may no longer lead hands nothing over, also not a retry.
func TestMayLead(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		w := newWorld("a", "b")
		var lost atomic.Bool
		w.options.MayLead = func() bool { return !lost.Load() }
		w.receivers["b"].stopped = make(chan struct{}) // hangs in flight
		w.receivers["a"].answer = func(call int, _ []*record.Record) error {
			if call > 1 {
				return errors.New("500")
			}
			return nil
		}
		w.from(cursor.Position{RV: 100})
		w.start(t)
		w.fill("x", "one")
		after(time.Second)
		w.fill("x", "two")
		after(time.Second)
		lost.Store(true)
		calls := w.receivers["a"].calls
		after(time.Minute)
		select {
		case err := <-w.done:
			if !errors.Is(err, relay.ErrLost) {
				t.Errorf("Run ended with %v", err)
			}
		default:
			w.kill(t)
			t.Error("it goes on")
		}
		if w.receivers["a"].calls != calls || w.receivers["a"].busy+w.receivers["b"].busy != 0 {
			t.Error("something was handed over, or is still being")
		}
		w.cancel()
	})
}

// Draining finishes what is in flight and nothing else, and the positions are final.
func TestDrain(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		w := newWorld("a", "down")
		w.receivers["a"].takes = time.Second
		w.receivers["a"].limits = sink.Limits{Records: 3, Bytes: 1 << 20}
		w.receivers["down"].answer = func(int, []*record.Record) error { return errors.New("500") }
		w.from(cursor.Position{RV: 100})
		w.start(t)
		synctest.Wait()
		w.fill("x", "one")
		synctest.Wait()
		w.fill("x", many("e", 10)...)
		after(1500 * time.Millisecond) // the second batch is in flight
		began := time.Now()
		w.finish(t)
		if took := time.Since(began); took != 500*time.Millisecond {
			t.Errorf("draining took %v", took)
		}
		if p := w.relay.Positions(); p["a"].RV != 104 || p["down"].RV != 100 || w.receivers["a"].count() != 4 {
			t.Errorf("%d events came, positions %v", w.receivers["a"].count(), p)
		}
		if s := w.sinks["down"].Status(); s.Error != "" || s.QueuedRecords != 0 {
			t.Errorf("who does not lead knows nothing of a sink: %+v", s)
		}
	})
}

func TestCancelIsPrompt(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		w := newWorld("a")
		w.receivers["a"].stopped = make(chan struct{})
		w.fill("x", "one")
		w.start(t)
		after(time.Second)
		began := time.Now()
		w.kill(t)
		if took := time.Since(began); took != 0 || w.receivers["a"].busy != 0 {
			t.Errorf("it took %v", took)
		}
	})
}

// What the filter leaves out, what no sink wants, and deletions move a cursor in turn: at once where nothing waits, and
// never past a record that does.
func TestMarkers(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		w := newWorld()
		r := &receiver{}
		w.add(relay.SinkOptions{Name: "a", Filter: func(r *record.Record) (bool, error) { return r.Name != "filtered", nil }}, r)
		w.options.Convert = func(e *corev1.Event) *record.Record {
			if e.Namespace == "unwanted" {
				return nil
			}
			return record.From(e, record.Origin{})
		}
		w.from(cursor.Position{RV: 100})
		w.start(t)
		synctest.Wait()
		at := func(what string, want uint64) {
			t.Helper()
			synctest.Wait()
			if p := w.relay.Positions()["a"]; p.RV != want {
				t.Errorf("%s: at %d, want %d", what, p.RV, want)
			}
		}
		w.fill("x", "filtered")
		at("filtered", 101)
		w.fill("unwanted", "one")
		at("unwanted", 102)
		w.Delete("x", "filtered")
		at("deleted", 103)
		hang := make(chan struct{})
		r.set(func(r *receiver) { r.stopped = hang })
		w.fill("x", "held") // 104
		synctest.Wait()
		w.fill("x", "filtered") // 105
		w.Delete("x", "filtered")
		at("behind a record", 103)
		close(hang)
		at("once it is acknowledged", 106)
		same(t, "events", r.names(), []string{"held@104"})
		if s := w.sinks["a"].Status(); s.Filtered != 2 {
			t.Errorf("%d filtered, want 2", s.Filtered)
		}
		w.finish(t)
	})
}

// A page's position holds for the whole of it: no part of it moves the cursor.
func TestPageIsAcknowledgedAsAWhole(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		w := newWorld("a")
		w.pageLimit = 10
		r := w.receivers["a"]
		r.limits, r.takes = sink.Limits{Records: 1, Bytes: 1 << 20}, time.Second
		w.fill("x", many("e", 35)...)
		w.start(t)
		for i := range 35 {
			synctest.Wait()
			p := w.relay.Positions()["a"]
			switch page := i / 10; {
			case page == 0 && !p.Fresh():
				t.Errorf("after %d records at %+v", i, p)
			case page > 0 && (p.Listing == nil || p.RV != 0 || p.Listing.RV != 135 || p.Listing.Continue != fmt.Sprintf("135|x/e%05d", page*10-1)):
				t.Errorf("after %d records at %+v", i, p)
			}
			if w.relay.Listing() != (i >= 10) {
				t.Errorf("after %d records: Listing is %v", i, w.relay.Listing())
			}
			after(time.Second)
		}
		if p := w.relay.Positions()["a"]; p.RV != 135 || p.Listing != nil {
			t.Errorf("in the end at %+v", p)
		}
		w.finish(t)
	})
}

// The deltas of an event within one epoch add up to its count, for each sink and through retries.
func TestCountDelta(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		w := newWorld("a", "b")
		failed := 0
		w.receivers["b"].answer = func(call int, _ []*record.Record) error {
			if call%2 == 1 {
				failed++
				return errors.New("500")
			}
			return nil
		}
		w.fill("x", "old")
		w.start(t)
		after(time.Second)
		w.fill("x", "new")
		for i := range 10 {
			after(time.Second)
			w.Update("x", "new", int32(i))
			w.Update("x", "old", 2)
		}
		after(time.Minute)
		for name, r := range w.receivers {
			sums := map[string]int64{}
			for i, one := range r.got {
				if i == 0 {
					if one.CountDelta != nil {
						t.Errorf("%s: what a list gave has a delta of %d", name, *one.CountDelta)
					}
					continue
				}
				sums[one.Name] += *one.CountDelta
			}
			if sums["new"] != 46 || sums["old"] != 20 || len(r.got) != 22 {
				t.Errorf("%s: deltas %v in %d records", name, sums, len(r.got))
			}
		}
		w.finish(t)
	})
}

// An event that expired is made anew by its reporter, which goes on counting: how much of the count is new isn't known.
func TestCountDeltaOfAnEventMadeAnew(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		w := newWorld("a")
		w.from(cursor.Position{RV: 100})
		w.start(t)
		w.Create("x", "e", "hello")
		w.Delete("x", "e")
		w.Recreate("x", "e", "hello", 57)
		w.Update("x", "e", 2)
		after(time.Second)
		var got []string
		for _, one := range w.receivers["a"].got {
			delta := "unknown"
			if one.CountDelta != nil {
				delta = fmt.Sprint(*one.CountDelta)
			}
			got = append(got, fmt.Sprint(one.Count, " ", delta))
		}
		same(t, "counts and deltas", got, []string{"1 1", "57 unknown", "59 2"})
		w.finish(t)
	})
}

// A log that went back is delivered whole to every sink, the one that lags included, and the positions say so.
func TestLogWentBack(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		w := newWorld("good")
		bad := &receiver{stopped: make(chan struct{})}
		w.add(relay.SinkOptions{Name: "bad", QueueBytes: 3000}, bad)
		w.from(cursor.Position{RV: 100})
		w.start(t)
		for _, name := range many("e", 50) {
			w.Create("x", name, "hello")
			synctest.Wait()
		}
		w.GoBack(20)
		w.fill("x", "new1", "new2")
		after(40 * time.Second)
		good := w.receivers["good"].names()
		same(t, "the good sink", good[50:], []string{"new1@21", "new2@22"})
		resets := w.relay.Resets()
		if _, ok := resets["good"]; !ok || len(resets) != 1 || len(w.relay.Resets()) != 0 {
			t.Errorf("resets %v", resets)
		}
		if p := w.relay.Positions(); p["good"].RV != 22 || p["bad"].RV != 100 {
			t.Errorf("positions %v", p)
		}
		close(bad.stopped)
		after(time.Minute)
		w.fill("x", "new3")
		after(time.Second)
		got := bad.names()
		same(t, "the bad sink", got[len(got)-3:], []string{"new1@21", "new2@22", "new3@23"})
		if _, ok := w.relay.Resets()["bad"]; !ok || w.relay.Positions()["bad"].RV != 23 {
			t.Errorf("the bad sink is at %+v", w.relay.Positions()["bad"])
		}
		if _, _, open := w.Requests(); open != 1 {
			t.Errorf("%d watches are open", open)
		}
		w.finish(t)
	})
}

// A sink that was down for longer than events are kept says what it may have missed, and only then.
func TestGaps(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		w := newWorld("good")
		bad := &receiver{stopped: make(chan struct{})}
		w.add(relay.SinkOptions{Name: "bad", QueueBytes: 1000}, bad)
		w.from(cursor.Position{RV: 100})
		w.start(t)
		began := time.Now()
		for i := range 120 {
			w.Create("x", fmt.Sprint(i), "hello")
			if i >= 60 {
				w.Delete("x", fmt.Sprint(i-60))
			}
			after(time.Minute)
			w.Compact()
		}
		close(bad.stopped)
		after(time.Minute)
		s := w.sinks["bad"].Status()
		if s.Gaps != 1 || s.LastGap.From.Sub(began) > 5*time.Minute || s.LastGap.To.Sub(began) != 60*time.Minute {
			t.Errorf("the bad sink's gaps: %d, %+v", s.Gaps, s.LastGap)
		}
		if s := w.sinks["good"].Status(); s.Gaps != 0 {
			t.Errorf("the good sink's gaps: %d, %+v", s.Gaps, s.LastGap)
		}
		w.finish(t)
	})
}

func TestLagIsObserved(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		w := newWorld()
		var lags []float64
		w.add(relay.SinkOptions{Name: "a", ObserveLag: func(name string, s float64) { lags = append(lags, s) }}, &receiver{takes: 2 * time.Second})
		w.fill("x", "one", "two")
		w.start(t)
		after(time.Minute)
		same(t, "lags", lags, []float64{2, 2})
		w.finish(t)
	})
}

// Dirty has a value when a sink begins to fail, so that the cursor can say since when it lags.
func TestDirty(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		w := newWorld("a")
		w.from(cursor.Position{RV: 100})
		w.receivers["a"].answer = func(int, []*record.Record) error { return errors.New("500") }
		w.start(t)
		synctest.Wait()
		select {
		case <-w.relay.Dirty():
			t.Error("dirty with nothing done")
		default:
		}
		w.fill("x", "one")
		synctest.Wait()
		<-w.relay.Dirty()
		w.kill(t)
	})
}

// A filter that can't judge an event lets through what it says it does, and is heard of once.
func TestFilterThatFails(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		var logged bytes.Buffer
		w := newWorld()
		r := &receiver{}
		w.add(relay.SinkOptions{
			Name: "a", Log: slog.New(slog.NewTextHandler(&logged, nil)),
			Filter: func(*record.Record) (bool, error) { return true, errors.New("no such index") },
		}, r)
		w.fill("x", "one", "two")
		w.start(t)
		after(time.Second)
		same(t, "events", r.names(), []string{"one@101", "two@102"})
		if n := strings.Count(logged.String(), "no such index"); n != 1 {
			t.Errorf("logged %d times", n)
		}
		w.finish(t)
	})
}

// A sink's error is logged when it changes, and its end with how long it took, not every try.
func TestErrorsAreLoggedOnce(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		var logged bytes.Buffer
		w := newWorld()
		began := time.Now()
		r := &receiver{answer: func(int, []*record.Record) error {
			switch d := time.Since(began); {
			case d < 5*time.Minute:
				return errors.New("status 500")
			case d < 10*time.Minute:
				return errors.New("status 401")
			}
			return nil
		}}
		w.add(relay.SinkOptions{Name: "a", Log: slog.New(slog.NewTextHandler(&logged, nil))}, r)
		w.fill("x", "one")
		w.start(t)
		after(11 * time.Minute)
		for what, want := range map[string]int{"status 500": 1, "status 401": 1, "takes records again": 1, "outage=10m": 1} {
			if n := strings.Count(logged.String(), what); n != want {
				t.Errorf("%q is logged %d times, want %d:\n%s", what, n, want, logged.String())
			}
		}
		w.finish(t)
	})
}
