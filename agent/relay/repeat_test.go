package relay_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
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
	"github.com/eventbaton/baton/agent/source"
)

// aboutObjects makes records of events named <object>-<reason>-<any>.
func aboutObjects(e *corev1.Event) *record.Record {
	r := convertAll(e)
	object, rest, _ := strings.Cut(e.Name, "-")
	r.Reason, _, _ = strings.Cut(rest, "-")
	r.Object = record.Object{Kind: "Pod", Namespace: e.Namespace, Name: object}
	return r
}

// rated is a world with one sink, at a rate of a record a minute, that is at the log's end.
func rated(o relay.SinkOptions) (*world, *receiver) {
	w := newWorld()
	o.Name = "a"
	if o.Repeats == "" {
		o.Repeats, o.RepeatInterval = relay.RepeatsRate, time.Minute
	}
	r := &receiver{}
	w.add(o, r)
	w.options.Convert = aboutObjects
	w.from(cursor.Position{RV: w.RV()})
	return w, r
}

// told are the events it got, as "name@rv+delta".
func (r *receiver) told() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var told []string
	for _, one := range r.got {
		delta := "?"
		if one.CountDelta != nil {
			delta = fmt.Sprint(*one.CountDelta)
		}
		told = append(told, one.Name+"@"+version(one)+"+"+delta)
	}
	return told
}

func (w *world) at(t testing.TB, what string, rv uint64) {
	t.Helper()
	if p := w.relay.Positions()["a"]; p.RV != rv || p.Listing != nil {
		t.Errorf("%s: the cursor is at %+v, want %d", what, p, rv)
	}
}

// The first record goes at once, and what comes before the interval is over goes as one when it is, also when nothing
// comes any more. Until it has arrived the cursor waits before it, which is no lag.
func TestRate(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		w, r := rated(relay.SinkOptions{})
		began := time.Now()
		w.start(t)
		synctest.Wait()
		w.Create("x", "web-Failed-1", "")
		synctest.Wait()
		same(t, "the first", r.told(), []string{"web-Failed-1@101+1"})
		w.at(t, "with nothing held", 101)
		after(10 * time.Second)
		w.Update("x", "web-Failed-1", 2)
		after(10 * time.Second)
		w.Update("x", "web-Failed-1", 3)
		w.Create("x", "web-Failed-2", "another event of the same") // 104
		w.Create("x", "web-Pulled-1", "another reason")            // 105
		w.Create("x", "db-Failed-1", "another object")             // 106
		w.Create("y", "web-Failed-1", "in another namespace")      // 107
		after(10 * time.Second)
		want := []string{"web-Failed-1@101+1", "web-Pulled-1@105+1", "db-Failed-1@106+1", "web-Failed-1@107+1"}
		same(t, "within the interval", r.told(), want)
		w.at(t, "while something is held", 101)
		if s := w.sinks["a"].Status(); s.HeldRecords != 1 || s.Suppressed != 2 || s.QueuedRecords != 0 || s.LagSeconds != 0 || s.QueuedBytes == 0 {
			t.Errorf("status %+v", s)
		}
		if p := w.relay.Positions()["a"]; !p.Since.IsZero() || !p.Time.Equal(began) {
			t.Errorf("what is held is overdue, or passed: %+v", p)
		}
		after(29 * time.Second)
		same(t, "a second before the interval is over", r.told(), want)
		after(time.Second)
		want = append(want, "web-Failed-2@104+6")
		same(t, "when it is over", r.told(), want)
		w.at(t, "when it has arrived", 107)
		if s := w.sinks["a"].Status(); s.HeldRecords != 0 || s.Suppressed != 2 || s.QueuedBytes != 0 || s.Delivered != 5 {
			t.Errorf("status %+v", s)
		}
		w.Update("x", "web-Failed-1", 1) // 108
		after(59 * time.Second)
		same(t, "it is not over again", r.told(), want)
		after(time.Second)
		want = append(want, "web-Failed-1@108+1")
		same(t, "it is over again", r.told(), want)
		after(time.Hour)
		w.Update("x", "web-Failed-1", 1) // 109
		synctest.Wait()
		same(t, "after a quiet hour", r.told(), append(want, "web-Failed-1@109+1"))
		w.finish(t)
	})
}

// An object is one by its UID, whatever else is said of it, and a record that is held may be about another part of it.
func TestRateGoesByTheObjectsUID(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		w, r := rated(relay.SinkOptions{})
		w.options.Convert = func(e *corev1.Event) *record.Record {
			r := aboutObjects(e)
			r.Object.UID, r.Object.FieldPath = "uid of "+e.Name[:2], "spec.containers{"+e.Name+"}"
			return r
		}
		w.start(t)
		w.fill("x", "aa1-Failed-1", "aa2-Failed-1", "ab1-Failed-1", "aa3-Pulled-1")
		after(time.Second)
		same(t, "events", r.told(), []string{"aa1-Failed-1@101+1", "ab1-Failed-1@103+1", "aa3-Pulled-1@104+1"})
		after(time.Minute)
		same(t, "events", r.told()[3:], []string{"aa2-Failed-1@102+1"})
		w.finish(t)
	})
}

// Where one part of a sum isn't known, the sum isn't; what comes after it is.
func TestRateOfUnknownCounts(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		w, r := rated(relay.SinkOptions{})
		w.Create("x", "web-Failed-old", "")
		w.from(cursor.Position{RV: w.RV()})
		w.start(t)
		w.Create("x", "web-Failed-1", "") // 102
		after(time.Second)
		w.Update("x", "web-Failed-1", 1)
		w.Update("x", "web-Failed-old", 4)
		w.Update("x", "web-Failed-1", 1) // 105
		after(time.Minute)
		w.Update("x", "web-Failed-old", 4)
		w.Update("x", "web-Failed-1", 1) // 107
		after(time.Minute)
		same(t, "events", r.told(), []string{"web-Failed-1@102+1", "web-Failed-1@105+?", "web-Failed-1@107+5"})
		w.finish(t)
	})
}

// The interval begins when the record has arrived: a sink that was down gets no burst of what it missed.
func TestRateOfASinkThatIsDown(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		w, r := rated(relay.SinkOptions{})
		began := time.Now()
		r.answer = func(int, []*record.Record) error {
			if time.Since(began) < time.Hour {
				return errors.New("500")
			}
			return nil
		}
		w.start(t)
		w.Create("x", "web-Failed-1", "")
		for range 60 {
			after(time.Minute)
			w.Update("x", "web-Failed-1", 1)
		}
		w.at(t, "while it is down", 100)
		after(30 * time.Second)
		same(t, "when it is back", r.told(), []string{"web-Failed-1@101+1"})
		w.at(t, "when it is back", 101)
		after(2 * time.Minute)
		same(t, "a minute later", r.told(), []string{"web-Failed-1@101+1", "web-Failed-1@161+60"})
		w.at(t, "in the end", 161)
		w.finish(t)
	})
}

// A record that was held is refused like any other: it is given up, and holds nothing back.
func TestRateOfRefusedRecords(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		w, r := rated(relay.SinkOptions{})
		r.limits = sink.Limits{Records: 10, Bytes: 1 << 20}
		r.answer = func(_ int, batch []*record.Record) error {
			for _, one := range batch {
				if one.Object.Name == "web" && one.Count > 1 {
					return &sink.Refused{Err: errors.New("never")}
				}
			}
			return nil
		}
		w.start(t)
		for _, object := range []string{"db", "web", "lb"} {
			w.Create("x", object+"-Failed-1", "")
		}
		after(time.Second)
		for _, object := range []string{"db", "web", "lb"} {
			w.Update("x", object+"-Failed-1", 1)
		}
		after(time.Minute)
		same(t, "events", r.told()[3:], []string{"db-Failed-1@104+1", "lb-Failed-1@106+1"})
		w.at(t, "with one refused", 106)
		w.Update("x", "web-Failed-1", 1)
		after(time.Second)
		w.at(t, "the refused one's next", 106)
		after(time.Minute)
		w.at(t, "refused as well", 107)
		if s := w.sinks["a"].Status(); s.Refused != 2 || s.HeldRecords != 0 {
			t.Errorf("status %+v", s)
		}
		w.finish(t)
	})
}

// What a leader held back when it crashed, the next one reads again.
func TestHeldRecordsOutliveALeader(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		w, r := rated(relay.SinkOptions{})
		w.start(t)
		w.Create("x", "web-Failed-1", "")
		after(time.Second)
		w.Update("x", "web-Failed-1", 1)
		w.Create("x", "db-Failed-1", "") // 103
		after(time.Second)
		w.at(t, "before the crash", 101)
		w.options.Positions = w.relay.Positions()
		w.kill(t)
		w.start(t)
		after(time.Second)
		same(t, "events", r.told(), []string{"web-Failed-1@101+1", "db-Failed-1@103+1", "web-Failed-1@102+?", "db-Failed-1@103+1"})
		w.at(t, "after it", 103)
		w.finish(t)
	})
}

// A leader that ends in order sends what it holds back, so that the next one repeats nothing. What it holds back behind
// something else that isn't sent it leaves to that one.
func TestDrainSendsWhatIsHeld(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		w, r := rated(relay.SinkOptions{})
		r.limits = sink.Limits{Records: 2, Bytes: 1 << 20}
		w.start(t)
		for i := range 5 {
			w.Create("x", fmt.Sprintf("o%d-Failed-1", i), "")
			synctest.Wait()
		}
		for i := range 5 {
			w.Update("x", fmt.Sprintf("o%d-Failed-1", i), 1)
		}
		after(time.Second)
		began := time.Now()
		w.finish(t)
		same(t, "batches", r.batches(), []int{1, 1, 1, 1, 1, 2, 2, 1})
		w.at(t, "drained", 110)
		if time.Since(began) > 0 || w.sinks["a"].Status().HeldRecords != 0 {
			t.Errorf("it took %v, and holds %d", time.Since(began), w.sinks["a"].Status().HeldRecords)
		}
		w.options.Positions = w.relay.Positions()
		w.start(t)
		w.Update("x", "o0-Failed-1", 1)
		after(time.Hour)
		if told := r.told(); len(told) != 11 || told[10] != "o0-Failed-1@111+?" {
			t.Errorf("the next one sent %v", told[10:])
		}
		w.finish(t)
	})
}

func TestDrainWithAQueue(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		w, r := rated(relay.SinkOptions{})
		r.limits = sink.Limits{Records: 1, Bytes: 1 << 20}
		w.start(t)
		w.Create("x", "web-Failed-1", "")
		after(time.Second)
		w.Update("x", "web-Failed-1", 1) // held
		w.Create("x", "db-Failed-1", "") // 103
		after(time.Second)
		r.set(func(r *receiver) { r.takes = time.Second })
		w.Create("x", "in-Flight-1", "")
		synctest.Wait()
		w.Create("x", "in-Queue-1", "")
		w.Update("x", "db-Failed-1", 1) // held, but behind what is in the queue
		w.Update("x", "web-Failed-1", 1)
		synctest.Wait()
		w.finish(t)
		same(t, "events", r.told()[2:], []string{"in-Flight-1@104+1", "web-Failed-1@107+2"})
		w.at(t, "drained", 104)
		w.options.Positions = w.relay.Positions()
		w.start(t)
		after(time.Hour)
		same(t, "the next one's", r.told()[4:], []string{"in-Queue-1@105+1", "db-Failed-1@106+?", "web-Failed-1@107+?"})
		w.finish(t)
	})
}

// A sink that gathers gets what is held at a drain, and only that.
func TestDrainOfASinkThatGathers(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		w, r := rated(relay.SinkOptions{})
		r.limits = sink.Limits{Records: 10, Bytes: 1 << 20, Gather: 10 * time.Second}
		w.start(t)
		w.Create("x", "web-Failed-1", "")
		after(11 * time.Second)
		w.Update("x", "web-Failed-1", 1)
		after(time.Second)
		w.Create("x", "db-Failed-1", "") // gathers
		after(time.Second)
		w.finish(t)
		same(t, "events", r.told(), []string{"web-Failed-1@101+1", "web-Failed-1@102+1"})
		w.at(t, "drained", 102)
	})
}

// A drain tries once, and a sink that hangs is given up with the context: the cursor stays where it was.
func TestDrainOfASinkThatFails(t *testing.T) {
	for _, hangs := range []bool{false, true} {
		inBubble(t, func(t *testing.T) {
			w, r := rated(relay.SinkOptions{})
			w.start(t)
			w.Create("x", "web-Failed-1", "")
			after(time.Second)
			w.Update("x", "web-Failed-1", 1)
			w.Create("x", "db-Failed-1", "")
			after(time.Second)
			calls := r.calls
			if hangs {
				r.set(func(r *receiver) { r.stopped = make(chan struct{}) })
				close(w.drain)
				after(time.Second)
				w.kill(t)
			} else {
				r.set(func(r *receiver) { r.answer = func(int, []*record.Record) error { return errors.New("500") } })
				w.finish(t)
			}
			w.at(t, "drained", 101)
			if r.calls != calls+1 {
				t.Errorf("%d calls", r.calls-calls)
			}
		})
	}
}

// A version that comes again, as it may after an expired token, or an older one is no news, and takes no turn.
func TestRateOfVersionsThatComeAgain(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		w := newScripted(t, func(w *world) relay.Options {
			w.add(relay.SinkOptions{Name: "a", Repeats: relay.RepeatsRate, RepeatInterval: time.Minute}, &receiver{})
			return relay.Options{Positions: map[string]cursor.Position{"a": {}}, Convert: aboutObjects}
		})
		r := w.open[0]
		page := source.Batch{Items: []source.Item{itemOf("web-X", 105, 7)}, Position: cursor.Position{RV: 100}}
		mustTake(t, w.take(t, r, page))
		for i, rv := range []uint64{103, 105, 106} {
			b := source.Batch{Ordered: true, Items: []source.Item{itemOf("web-X", rv, int32(6+i))}, Position: cursor.Position{RV: rv}}
			mustTake(t, w.take(t, r, b))
			if p := w.relay.Positions()["a"]; p.RV != min(rv, 105) {
				t.Errorf("after %d the cursor is at %+v", rv, p)
			}
		}
		after(time.Minute)
		same(t, "events", w.receivers["a"].told(), []string{"web-X@105+?", "web-X@106+1"})
		if s := w.sinks["a"].Status(); s.Suppressed != 2 {
			t.Errorf("status %+v", s)
		}
		w.finish(t)
	})
}

// Pages are in the order of keys: of the events of a page the latest is kept, and the cursor stays before the page.
func TestRateInAList(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		w, r := rated(relay.SinkOptions{})
		w.pageLimit = 3
		for _, name := range []string{"b-X-3", "b-X-2", "b-X-1", "a-X-1", "a-X-2", "a-X-3", "c-X-1"} { // 101 and so on
			w.Create("x", name, "")
		}
		w.Compact()
		w.options.Positions["a"] = cursor.Position{}
		w.start(t)
		after(time.Second)
		same(t, "events", r.names(), []string{"a-X-1@104", "b-X-1@103", "c-X-1@107"})
		if p := w.relay.Positions()["a"]; !p.Fresh() {
			t.Errorf("with events of the first page held the cursor is at %+v", p)
		}
		if w.relay.Listing() {
			t.Error("the list has been read")
		}
		after(time.Minute)
		same(t, "events", r.names()[3:], []string{"a-X-3@106", "b-X-2@102"})
		w.at(t, "with all arrived", 107)
		w.finish(t)
	})
}

// A cursor that waits before the second page goes on there under the next leader.
func TestRateWaitsBeforeAPage(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		w, r := rated(relay.SinkOptions{})
		w.pageLimit = 2
		w.fill("x", "a-X-1", "b-X-1", "c-X-1", "c-X-2", "d-X-1")
		w.options.Positions["a"] = cursor.Position{}
		w.start(t)
		after(time.Second)
		p := w.relay.Positions()["a"]
		if p.RV != 0 || p.Listing == nil || p.Listing.Continue != "105|x/b-X-1" {
			t.Fatalf("the cursor is at %+v", p)
		}
		if w.relay.Listing() {
			t.Error("the list has been read: a crash would repeat no less if the cursor were written more often")
		}
		w.kill(t)
		w.options.Positions["a"] = p
		w.start(t)
		after(2 * time.Minute)
		same(t, "events", r.names(), []string{
			"a-X-1@101", "b-X-1@102", "c-X-1@103", "d-X-1@105", "c-X-1@103", "d-X-1@105", "c-X-2@104",
		})
		w.at(t, "in the end", 105)
		w.finish(t)
	})
}

// When the log went back, what was held of the old one goes at once, in its place, and the cursor goes back when that
// has arrived.
func TestRateWhenTheLogWentBack(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		w, r := rated(relay.SinkOptions{RepeatInterval: 10 * time.Minute, Repeats: relay.RepeatsRate})
		w.start(t)
		w.Create("x", "web-Failed-1", "")
		after(time.Second)
		w.Update("x", "web-Failed-1", 1)
		after(time.Second)
		hang := make(chan struct{})
		r.set(func(r *receiver) { r.stopped = hang })
		w.GoBack(20)
		w.fill("x", "web-Failed-1", "web-Failed-2", "db-Failed-1")
		after(40 * time.Second)
		if resets := w.relay.Resets(); len(resets) != 0 {
			t.Errorf("resets %v", resets)
		}
		w.at(t, "before all of the old log has arrived", 101)
		close(hang)
		r.set(func(r *receiver) { r.stopped = nil })
		after(time.Second)
		same(t, "events", r.told(), []string{"web-Failed-1@101+1", "web-Failed-1@102+1", "db-Failed-1@23+?"})
		resets := w.relay.Resets()
		if p, ok := resets["a"]; !ok || !p.Fresh() || len(resets) != 1 {
			t.Errorf("resets %v", resets)
		}
		after(time.Hour)
		same(t, "events", r.told()[3:], []string{"web-Failed-2@22+?"})
		w.at(t, "in the end", 23)
		w.finish(t)
	})
}

// Each stream has a memory of its own, and a cursor that waits alone.
func TestRateInTwoNamespaces(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		w, r := rated(relay.SinkOptions{})
		w.options.Convert = func(e *corev1.Event) *record.Record {
			r := aboutObjects(e)
			r.Object.UID = "the same"
			return r
		}
		w.options.Streams = []string{"x", "y"}
		w.from(cursor.Position{RV: 100})
		w.start(t)
		w.Create("x", "web-Failed-1", "")
		w.Create("y", "web-Failed-1", "")
		after(time.Second)
		w.Update("x", "web-Failed-1", 1)
		w.Create("y", "db-Pulled-1", "")
		after(time.Second)
		if p := w.relay.Positions(); p["a.x"].RV != 101 || p["a.y"].RV != 104 || r.count() != 3 {
			t.Errorf("positions %v, with %v", p, r.told())
		}
		if s := w.sinks["a"].Status(); s.HeldRecords != 1 {
			t.Errorf("status %+v", s)
		}
		after(time.Minute)
		if p := w.relay.Positions(); p["a.x"].RV != 103 || p["a.y"].RV != 104 || r.count() != 4 {
			t.Errorf("positions %v, with %v", p, r.told())
		}
		w.finish(t)
	})
}

// A version that the filter leaves out takes nobody's turn and supersedes nothing; what it counts is in the next one.
func TestRateAfterTheFilter(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		w, r := rated(relay.SinkOptions{Filter: func(r *record.Record) (bool, error) { return r.Count != 1 && r.Count != 4, nil }})
		w.start(t)
		w.Create("x", "web-Failed-1", "")
		after(time.Second)
		w.at(t, "filtered out", 101)
		for range 3 {
			w.Update("x", "web-Failed-1", 1)
			after(time.Second)
		}
		same(t, "events", r.told(), []string{"web-Failed-1@102+?"})
		w.at(t, "with one held", 102)
		after(time.Minute)
		w.Update("x", "web-Failed-1", 1) // 105
		after(time.Minute)
		same(t, "events", r.told(), []string{"web-Failed-1@102+?", "web-Failed-1@103+1", "web-Failed-1@105+2"})
		if s := w.sinks["a"].Status(); s.Filtered != 2 || s.Suppressed != 0 {
			t.Errorf("status %+v", s)
		}
		w.finish(t)
	})
}

// At most a quarter of the queue is held: the oldest goes sooner, and nothing is lost.
func TestHeldBytesAreBounded(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		w, r := rated(relay.SinkOptions{QueueBytes: 40_000})
		w.start(t)
		names := many("o", 200)
		for _, name := range names {
			w.Create("x", name+"-Failed-1", "")
		}
		after(time.Second)
		most := 0
		for i, name := range names {
			w.Update("x", name+"-Failed-1", 1)
			synctest.Wait()
			s := w.sinks["a"].Status()
			most = max(most, s.QueuedBytes)
			if early := r.count() - 200; s.HeldRecords+early != i+1 {
				t.Fatalf("%d are held and %d were sent sooner, of %d", s.HeldRecords, early, i+1)
			}
		}
		if most > 10_000 || most < 9_000 {
			t.Errorf("up to %d bytes are held, want a quarter of 40000", most)
		}
		first := r.names()[200]
		if first != "o00000-Failed-1@301" {
			t.Errorf("%s went sooner, not the oldest", first)
		}
		w.Update("x", names[199]+"-Failed-1", 1)
		w.Create("x", "huge-Failed-1", strings.Repeat("x", 50_000))
		after(time.Second)
		w.Update("x", "huge-Failed-1", 1)
		after(time.Second)
		if got := r.names(); got[len(got)-1] != "huge-Failed-1@503" {
			t.Errorf("last came %s", got[len(got)-1])
		}
		after(time.Hour)
		w.at(t, "in the end", 503)
		if s := w.sinks["a"].Status(); s.HeldRecords != 0 || s.QueuedBytes != 0 || r.count() != 402 {
			t.Errorf("%d records came, status %+v", r.count(), s)
		}
		w.finish(t)
	})
}

// While the sink is down, what is held and what waits stay within the queue, and the reader stops as ever.
func TestHeldRecordsOfADeadSinkAreBounded(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		w, r := rated(relay.SinkOptions{QueueBytes: 20_000})
		r.stopped = make(chan struct{})
		w.start(t)
		for i := range 500 {
			name := fmt.Sprintf("o%d-Failed-1", i%100)
			if i < 100 {
				w.Create("x", name, "")
			} else {
				w.Update("x", name, 1)
			}
			after(100 * time.Millisecond)
		}
		if s := w.sinks["a"].Status(); s.QueuedBytes > 21_000 || s.QueuedRecords == 0 {
			t.Errorf("status %+v", s)
		}
		if _, _, open := w.Requests(); open != 0 {
			t.Errorf("%d watches are open while the queue is full", open)
		}
		close(r.stopped)
		after(time.Hour)
		sums := map[string]int64{}
		for _, one := range r.got {
			sums[one.Name] += *one.CountDelta
		}
		for i := range 100 {
			if name := fmt.Sprintf("o%d-Failed-1", i); sums[name] != 5 {
				t.Errorf("%s: the deltas add up to %d, want 5", name, sums[name])
			}
		}
		w.at(t, "in the end", 600)
		w.finish(t)
	})
}

// Of so many objects and reasons a lane knows that it isn't their turn. What is held of others goes sooner.
func TestGroupsAreBounded(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		w := newScripted(t, func(w *world) relay.Options {
			w.add(relay.SinkOptions{Name: "a", Repeats: relay.RepeatsRate, RepeatInterval: time.Hour}, &receiver{})
			return relay.Options{Positions: map[string]cursor.Position{"a": {}}, Convert: aboutObjects}
		})
		r, rv := w.receivers["a"], uint64(0)
		take := func(count int32, names ...string) {
			t.Helper()
			b := source.Batch{Ordered: true}
			for _, name := range names {
				rv++
				b.Items = append(b.Items, itemOf(name, rv, count))
			}
			b.Position.RV = rv
			mustTake(t, w.take(t, w.open[0], b))
		}
		take(1, "early-X", "held-X")
		take(2, "held-X")
		if w.sinks["a"].Status().HeldRecords != 1 {
			t.Fatal("nothing is held")
		}
		for i := range 20 {
			take(1, many(fmt.Sprintf("o%02d", i), 1000)...)
		}
		if got := w.sinks["a"].Status(); got.HeldRecords != 0 || r.count() != 20_003 {
			t.Errorf("%d records came, %d are held", r.count(), got.HeldRecords)
		}
		take(2, "early-X", "o1900999")
		if got := w.sinks["a"].Status(); got.HeldRecords != 1 || r.count() != 20_004 {
			t.Errorf("%d records came, %d are held", r.count(), got.HeldRecords)
		}
		w.finish(t)
	})
}

// Only the first version of an event is sent. The others move the cursor in turn.
func TestFirst(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		w, r := rated(relay.SinkOptions{Repeats: relay.RepeatsFirst})
		w.start(t)
		w.Create("x", "web-Failed-1", "")
		synctest.Wait()
		hang := make(chan struct{})
		r.set(func(r *receiver) { r.stopped = hang })
		w.Create("x", "web-Failed-2", "")
		w.Update("x", "web-Failed-1", 1)
		w.Update("x", "web-Failed-2", 1)
		synctest.Wait()
		w.at(t, "behind a record that waits", 101)
		close(hang)
		synctest.Wait()
		w.at(t, "when it has arrived", 104)
		w.Update("x", "web-Failed-1", 1)
		synctest.Wait()
		w.at(t, "at once", 105)
		w.Delete("x", "web-Failed-1")
		w.Create("x", "web-Failed-1", "") // 107
		after(time.Hour)
		same(t, "events", r.told(), []string{"web-Failed-1@101+1", "web-Failed-2@102+1", "web-Failed-1@107+1"})
		if s := w.sinks["a"].Status(); s.Suppressed != 3 || s.HeldRecords != 0 || s.Filtered != 0 {
			t.Errorf("status %+v", s)
		}
		w.finish(t)

		w.options.Positions = w.relay.Positions()
		w.start(t)
		w.Update("x", "web-Failed-2", 1) // 108
		w.Update("x", "web-Failed-2", 1)
		after(time.Second)
		same(t, "the next leader's", r.told()[3:], []string{"web-Failed-2@108+?"})
		w.finish(t)
	})
}

// The first version that the sink wants is the first.
func TestFirstAfterTheFilter(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		w, r := rated(relay.SinkOptions{
			Repeats: relay.RepeatsFirst, Filter: func(r *record.Record) (bool, error) { return r.Count > 2, nil },
		})
		w.start(t)
		w.Create("x", "web-Failed-1", "")
		for range 4 {
			w.Update("x", "web-Failed-1", 1)
		}
		after(time.Second)
		same(t, "events", r.names(), []string{"web-Failed-1@103"})
		if s := w.sinks["a"].Status(); s.Suppressed != 2 || s.Filtered != 2 {
			t.Errorf("status %+v", s)
		}
		w.finish(t)
	})
}

// What goes on is remembered, however many others come; what does not is forgotten in the end.
func TestFirstIsBounded(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		w := newScripted(t, func(w *world) relay.Options {
			w.add(relay.SinkOptions{Name: "a", Repeats: relay.RepeatsFirst}, &receiver{})
			return relay.Options{Positions: map[string]cursor.Position{"a": {}}, Convert: convertAll}
		})
		rv := uint64(0)
		take := func(names ...string) {
			t.Helper()
			b := source.Batch{Ordered: true}
			for _, name := range names {
				rv++
				b.Items = append(b.Items, itemOf(name, rv, 1))
			}
			b.Position.RV = rv
			mustTake(t, w.take(t, w.open[0], b))
		}
		take("on", "off")
		for i := range 40 {
			take(many(fmt.Sprint("e", i, "-"), 1000)...)
			take("on")
		}
		if n := w.receivers["a"].count(); n != 40_002 {
			t.Errorf("%d records came, want each event once", n)
		}
		take("off")
		if n := w.receivers["a"].count(); n != 40_003 {
			t.Errorf("%d records came: what was long ago isn't remembered for ever", n)
		}
		w.finish(t)
	})
}

// TestRateLosesNoCount plays random histories against a sink that fails at random: of each object and reason the last
// version arrives, two records of it are an interval apart, and the deltas add up to all that happened.
func TestRateLosesNoCount(t *testing.T) {
	for seed := range uint64(40) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			inBubble(t, func(t *testing.T) { playCounts(t, rand.New(rand.NewPCG(seed, 3))) })
		})
	}
}

func playCounts(t *testing.T, random *rand.Rand) {
	o := relay.SinkOptions{Repeats: relay.RepeatsRate, RepeatInterval: time.Duration(1+random.IntN(60)) * time.Second}
	tight := random.IntN(2) == 0
	if tight {
		o.QueueBytes = 2000 + random.IntN(20_000)
	}
	w, r := rated(o)
	var calm atomic.Bool
	failing := rand.New(rand.NewPCG(random.Uint64(), 4))
	r.limits = sink.Limits{Records: 1 + random.IntN(20), Bytes: 1 << 20, Gather: time.Duration(random.IntN(2)*random.IntN(3000)) * time.Millisecond}
	r.takes = time.Duration(random.IntN(200)) * time.Millisecond
	last := map[string]time.Time{}
	r.answer = func(_ int, batch []*record.Record) error {
		if !calm.Load() && failing.IntN(3) == 0 {
			return errors.New("500")
		}
		for _, one := range batch {
			if gap := time.Since(last[groupOf(one)]); !tight && gap < o.RepeatInterval {
				t.Errorf("%s comes %v after the one before", one.Name, gap)
			}
			last[groupOf(one)] = time.Now()
		}
		return nil
	}
	w.start(t)
	happened, latest, live := map[string]int64{}, map[string]uint64{}, map[string]bool{}
	position, versions := uint64(0), int64(300)
	for range 300 {
		name := fmt.Sprintf("o%d-R%d-%d", random.IntN(4), random.IntN(2), random.IntN(3))
		group := name[:strings.LastIndex(name, "-")]
		switch n := int32(1 + random.IntN(3)); {
		case !live[name]:
			latest[group], live[name] = w.Create("x", name, "hello"), true
			happened[group]++
		case random.IntN(8) == 0:
			w.Delete("x", name)
			delete(live, name)
			versions--
		default:
			latest[group] = w.Update("x", name, n)
			happened[group] += int64(n)
		}
		after(time.Duration(random.IntN(4000)) * time.Millisecond)
		p := w.relay.Positions()["a"]
		if p.RV < position {
			t.Fatalf("the position went back from %d to %d", position, p.RV)
		}
		position = p.RV
	}
	calm.Store(true)
	after(10 * time.Minute)
	counted, newest, ids := map[string]int64{}, map[string]uint64{}, map[string]bool{}
	for _, one := range r.got {
		if ids[one.ID] {
			t.Errorf("%s came twice", one.ID)
		}
		ids[one.ID] = true
		group := one.Object.Name + "-" + one.Reason
		counted[group] += *one.CountDelta
		newest[group] = max(newest[group], rvOf(one))
	}
	for group, n := range happened {
		if counted[group] != n || newest[group] != latest[group] {
			t.Errorf("%s: %d of %d, up to %d of %d", group, counted[group], n, newest[group], latest[group])
		}
	}
	if s := w.sinks["a"].Status(); s.Suppressed+s.Delivered != versions || s.HeldRecords != 0 || s.QueuedBytes != 0 {
		t.Errorf("%d versions, status %+v", versions, s)
	}
	w.at(t, "in the end", w.RV())
	w.finish(t)
}

// Leaders that end in order hand over at random moments: no record comes twice, and the last ones all come.
func TestHandOversRepeatNothing(t *testing.T) {
	for seed := range uint64(20) {
		inBubble(t, func(t *testing.T) {
			random := rand.New(rand.NewPCG(seed, 5))
			w, r := rated(relay.SinkOptions{})
			w.start(t)
			latest, live := map[string]uint64{}, map[string]bool{}
			for range 200 {
				name := fmt.Sprintf("o%d-R-%d", random.IntN(5), random.IntN(3))
				if group, _, _ := strings.Cut(name, "-"); live[name] {
					latest[group] = w.Update("x", name, 1)
				} else {
					latest[group], live[name] = w.Create("x", name, ""), true
				}
				after(time.Duration(random.IntN(10_000)) * time.Millisecond)
				if random.IntN(20) == 0 {
					w.finish(t)
					w.at(t, "handed over", w.RV())
					w.options.Positions = w.relay.Positions()
					w.start(t)
				}
			}
			after(2 * time.Minute)
			ids, newest := map[string]bool{}, map[string]uint64{}
			for _, one := range r.got {
				if ids[one.ID] {
					t.Errorf("seed %d: %s came twice", seed, one.ID)
				}
				ids[one.ID] = true
				newest[one.Object.Name] = max(newest[one.Object.Name], rvOf(one))
			}
			for group, rv := range latest {
				if newest[group] != rv {
					t.Errorf("seed %d: %s came up to %d of %d", seed, group, newest[group], rv)
				}
			}
			w.finish(t)
		})
	}
}
