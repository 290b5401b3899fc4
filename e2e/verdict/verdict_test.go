package verdict

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/eventbaton/baton/e2e/generator"
	"github.com/eventbaton/baton/e2e/history"
	"github.com/eventbaton/baton/e2e/receiver"
)

func uid(n int) string { return fmt.Sprintf("00000000-0000-0000-0000-%012d", n) }

// event is event number n with versions at these resourceVersions and the counts 1, 2, ...
func event(n int, rvs ...uint64) generator.Event {
	e := generator.Event{Name: fmt.Sprintf("e%d", n), UID: uid(n)}
	for i, rv := range rvs {
		e.Versions = append(e.Versions, generator.Version{RV: rv, Count: int64(i + 1), At: time.Now()})
	}
	return e
}

// sent is one delivery; delta -1 for none.
type sent struct {
	n     int
	rv    uint64
	count int
	delta int
	epoch int
}

func got(t *testing.T, deliveries ...sent) *receiver.Receiver {
	t.Helper()
	r := receiver.New()
	for _, s := range deliveries {
		delta := ""
		if s.delta >= 0 {
			delta = fmt.Sprintf(`"countDelta":%d,`, s.delta)
		}
		body := fmt.Sprintf(`{"id":"c/%s/%d","count":%d,%s"leader":{"identity":"p%d","epoch":%d}}`, uid(s.n), s.rv, s.count, delta, s.epoch, s.epoch)
		w := httptest.NewRecorder()
		r.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/a", strings.NewReader(body)))
		if w.Code != http.StatusOK {
			t.Fatal(w.Code, w.Body)
		}
	}
	return r
}

func TestJudge(t *testing.T) {
	claim := func(epoch int64, rv uint64) history.CursorState {
		return history.CursorState{Epoch: epoch, RVs: map[string]uint64{"s": rv}}
	}
	listing := func(epoch int64) history.CursorState {
		return history.CursorState{Epoch: epoch, RVs: map[string]uint64{"s": 0}, Listing: map[string]bool{"s": true}}
	}
	both := []generator.Event{event(1, 10, 12), event(2, 11)}
	for _, test := range []struct {
		name           string
		made           []generator.Event
		got            []sent
		cursors        []history.CursorState
		latest         bool
		resends        bool
		lost, repeated int
		wrong          string
	}{
		{name: "all arrived", made: both, got: []sent{{1, 10, 1, 1, 1}, {2, 11, 1, -1, 1}, {1, 12, 2, 1, 1}}},
		{name: "a version is lost", made: both, got: []sent{{2, 11, 1, -1, 1}, {1, 12, 2, -1, 1}}, lost: 1},
		{name: "the last version suffices", made: both, latest: true, got: []sent{{2, 11, 1, -1, 1}, {1, 12, 2, -1, 1}}},
		{name: "the last version is lost", made: both, latest: true, got: []sent{{2, 11, 1, -1, 1}, {1, 10, 1, -1, 1}}, lost: 1},
		{
			name: "repeated behind the cursor", made: both[1:], cursors: []history.CursorState{claim(1, 5), claim(1, 11), claim(2, 10)},
			got: []sent{{2, 11, 1, -1, 1}, {2, 11, 1, -1, 2}}, repeated: 1,
		},
		{
			name: "repeated before the cursor", made: both[1:], cursors: []history.CursorState{claim(1, 5), claim(2, 11)},
			got: []sent{{2, 11, 1, -1, 1}, {2, 11, 1, -1, 2}}, repeated: 1, wrong: "which began at 11",
		},
		{
			name: "repeated in a list", made: both[1:], cursors: []history.CursorState{claim(1, 5), listing(2), claim(2, 11)},
			got: []sent{{2, 11, 1, -1, 1}, {2, 11, 1, -1, 2}}, repeated: 1,
		},
		{name: "repeated in one epoch", made: both[1:], got: []sent{{2, 11, 1, -1, 1}, {2, 11, 1, -1, 1}}, repeated: 1, wrong: "twice in epoch 1"},
		{name: "an answer was lost", resends: true, made: both[1:], got: []sent{{2, 11, 1, -1, 1}, {2, 11, 1, -1, 1}}, repeated: 1},
		{name: "a wrong count", made: both[1:], got: []sent{{2, 11, 7, -1, 1}}, wrong: "count 7, stored was 1"},
		{name: "a wrong delta", made: both[:1], got: []sent{{1, 10, 1, 1, 1}, {1, 12, 2, 2, 1}}, wrong: "countDelta 2 where 1"},
		{name: "a new epoch knows no delta", made: both[:1], got: []sent{{1, 10, 1, 1, 1}, {1, 12, 2, 1, 2}}, wrong: "countDelta 1 where 2"},
		{
			name: "the old leader goes on", made: []generator.Event{event(1, 1), event(2, 2), event(3, 3)},
			got: []sent{{1, 1, 1, -1, 2}, {2, 2, 1, -1, 1}, {3, 3, 1, -1, 1}}, wrong: "epoch 1 has sent 2 requests",
		},
		{name: "one was in flight", made: []generator.Event{event(1, 1), event(2, 2)}, got: []sent{{1, 1, 1, -1, 2}, {2, 2, 1, -1, 1}}},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := Judge(Case{Made: test.made, Receiver: got(t, test.got...), Cursors: test.cursors, Stream: "s", LatestOnly: test.latest, Resends: test.resends})
			if len(r.Lost) != test.lost || r.Repeated != test.repeated {
				t.Errorf("lost %v, repeated %d", r.Lost, r.Repeated)
			}
			if all := strings.Join(r.Wrong, "\n"); !strings.Contains(all, test.wrong) || (test.wrong == "") != (all == "") {
				t.Errorf("wrong: %s", all)
			}
		})
	}
}

// Not every receiver is told the counts.
func TestJudgeOfOtherReceivers(t *testing.T) {
	made := []generator.Event{event(1, 10, 12)}
	backwards := got(t, sent{1, 12, 2, 1, 1}, sent{1, 10, 1, 1, 1})
	uncounted := got(t, sent{1, 10, 0, -1, 1}, sent{1, 12, 0, -1, 1})
	for _, test := range []struct {
		name  string
		c     Case
		wrong string
	}{
		{"backwards", Case{Made: made, Receiver: backwards}, "countDelta"},
		{"no counts", Case{Made: made, Receiver: uncounted}, "count 0"},
		{"no counts are told", Case{Made: made, Receiver: uncounted, Uncounted: true}, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := Judge(test.c)
			if all := strings.Join(r.Wrong, "\n"); len(r.Lost) > 0 || !strings.Contains(all, test.wrong) || (test.wrong == "") != (all == "") {
				t.Errorf("lost %v, wrong: %s", r.Lost, all)
			}
		})
	}
}

func TestGap(t *testing.T) {
	zero := time.Now()
	at := func(s ...int) []time.Time {
		times := make([]time.Time, len(s))
		for i := range s {
			times[i] = zero.Add(time.Duration(s[i]) * time.Second)
		}
		return times
	}
	first := at(0, 9, 10, 13, 14, 30)
	for _, test := range []struct {
		from, to int
		clip     bool
		want     int
	}{
		{0, 20, false, 16}, {10, 14, false, 3}, {11, 14, false, 3}, {11, 14, true, 2}, {8, 9, true, 1}, {8, 9, false, 9}, {31, 40, true, 0},
	} {
		if got := Gap(first, at(test.from)[0], at(test.to)[0], test.clip); got != time.Duration(test.want)*time.Second {
			t.Errorf("%+v: %v", test, got)
		}
	}
}

func TestBlackoutWithoutThePauseOfTheGenerator(t *testing.T) {
	zero := time.Now()
	at := func(s ...int) []time.Time {
		var times []time.Time
		for _, n := range s {
			times = append(times, zero.Add(time.Duration(n)*time.Second))
		}
		return times
	}
	for _, test := range []struct {
		name string
		made []time.Time
		want int
	}{
		{"nothing was made for a while, and nothing was late", at(0, 9), 1},
		{"what was made came late", at(0, 1, 2, 3), 9},
		{"both", at(0, 5, 6), 5},
		{"what comes last is late, not unmade", at(0, 1), 9},
		{"pauses outside of the gap", at(-20, -9, 1, 2, 40), 9},
	} {
		if got := Blackout(at(0, 10), test.made, at(0)[0], at(20)[0], false); got != time.Duration(test.want)*time.Second {
			t.Errorf("%s: %v", test.name, got)
		}
	}
}

func TestCursors(t *testing.T) {
	state := func(version string, epoch int64, owner string, rv uint64) history.CursorState {
		return history.CursorState{Version: version, Epoch: epoch, Owner: owner, RVs: map[string]uint64{"s": rv}}
	}
	for _, test := range []struct {
		name   string
		states []history.CursorState
		wrong  string
	}{
		{"forth", []history.CursorState{state("1", 1, "a", 5), state("2", 1, "a", 6), state("3", 2, "b", 6)}, ""},
		{"deleted", []history.CursorState{state("1", 1, "a", 5), {Deleted: true}, state("3", 2, "b", 6)}, ""},
		{"the test's own", []history.CursorState{state("1", 3, "a", 5), state("own", 0, "x", 0), state("3", 4, "b", 6)}, ""},
		{"epoch back", []history.CursorState{state("1", 2, "a", 5), state("2", 1, "b", 6)}, "from 2 back to 1"},
		{"two owners", []history.CursorState{state("1", 2, "a", 5), state("2", 2, "b", 6)}, "belongs to a and to b"},
		{"position back", []history.CursorState{state("1", 2, "a", 5), state("2", 3, "b", 4)}, "from 5 back to 4"},
	} {
		t.Run(test.name, func(t *testing.T) {
			all := strings.Join(Cursors(test.states, map[string]bool{"own": true}, false), "\n")
			if !strings.Contains(all, test.wrong) || (test.wrong == "") != (all == "") {
				t.Error(all)
			}
		})
	}
}

func TestTable(t *testing.T) {
	rows := []Row{
		{Fault: "SIGTERM", Lock: "lease", Made: 10, Blackout: 120 * time.Millisecond, Median: 100 * time.Millisecond, Bound: time.Second, Passed: true},
		{Fault: "control", Lock: "configmap", Lost: 2},
		{Fault: "sinks down", Lock: "lease", Sink: "kafka"},
	}
	text := Table(rows)
	for _, want := range []string{"FAULT", "sinks down: kafka  ", "0.12 s (median 0.10 s)", "1.00 s", "ok", "FAILED"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in\n%s", want, text)
		}
	}
	if got, want := Markdown(rows), `| fault | lock | made | lost | repeated | blackout | bound |
| --- | --- | --- | --- | --- | --- | --- |
| SIGTERM | lease | 10 | 0 | 0 | 0.12 s (median 0.10 s) | 1.00 s |
| control | configmap | 0 | 2 | 0 | 0.00 s | - |
| sinks down: kafka | lease | 0 | 0 | 0 | 0.00 s | - |
`; got != want {
		t.Error(got)
	}
	if got := Quantile([]int{1, 2, 3, 4}, 0.5); got != 3 || Quantile([]int{}, 0.5) != 0 || !slices.Equal([]int{4}, []int{Quantile([]int{1, 2, 3, 4}, 1)}) {
		t.Error(got)
	}
}
