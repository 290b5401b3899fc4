package verdict

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/eventbaton/baton/e2e/history"
)

func TestSince(t *testing.T) {
	before := Result{Made: 10, Repeated: 2, Lost: []string{"a"}, Wrong: []string{"x", "x"}}
	after := Result{Made: 15, Repeated: 2, Lost: []string{"b"}, Wrong: []string{"x", "y", "x", "x"}}
	news := after.Since(before)
	if news.Made != 5 || news.Repeated != 0 || !slices.Equal(news.Lost, []string{"b"}) || !slices.Equal(news.Wrong, []string{"y", "x"}) {
		t.Errorf("%+v", news)
	}
	if again := after.Since(after); again.Made != 0 || len(again.Lost)+len(again.Wrong) > 0 {
		t.Errorf("%+v", again)
	}
}

func TestReelection(t *testing.T) {
	zero := time.Now()
	at := func(s int) time.Time { return zero.Add(time.Duration(s) * time.Second) }
	claim := func(s int, epoch int64) history.CursorState { return history.CursorState{At: at(s), Epoch: epoch} }
	cursors := []history.CursorState{claim(0, 1), claim(1, 1), claim(4, 1), claim(5, 2), claim(6, 2), claim(9, 3)}
	for from, want := range map[int]int{1: 4, 2: 3, 6: 3, 10: 0} {
		if got := Reelection(cursors, at(from)); got != time.Duration(want)*time.Second {
			t.Errorf("from %d: %v", from, got)
		}
	}
	lock := func(s int, holder, version string) history.LockState {
		return history.LockState{At: at(s), Holder: holder, Version: version}
	}
	locks := []history.LockState{lock(0, "a", "1"), lock(3, "", "2"), lock(4, "b", "3"), lock(5, "", ""), lock(8, "", "4"), lock(12, "", "5")}
	for from, want := range map[int]int{0: 2, 4: 1, 9: 0} {
		if got := Handover(locks, cursors, at(from)); got != time.Duration(want)*time.Second {
			t.Errorf("handover from %d: %v", from, got)
		}
	}
}

func TestFaultTables(t *testing.T) {
	faults := []Fault{
		{Name: "node paused", Lock: "lease", Lease: 15 * time.Second, Made: 7, Repeated: 3, Reelection: 1500 * time.Millisecond, Blackout: 2 * time.Second, Bound: 17 * time.Second, Passed: true},
		{Name: "no fault", Lock: "configmap", Lease: time.Minute, Lost: 1, Bound: time.Second},
	}
	text := strings.Split(FaultTable(faults), "\n")
	if len(text) != 4 || !strings.HasSuffix(text[0], "VERDICT") || !strings.HasSuffix(text[1], "  ok") || !strings.HasSuffix(text[2], "  FAILED") {
		t.Error(strings.Join(text, "\n"))
	}
	want := `| fault | lock | lease | made | lost | repeated | re-election | blackout | bound |
| --- | --- | --- | --- | --- | --- | --- | --- | --- |
| node paused | lease | 15 s | 7 | 0 | 3 | 1.50 s | 2.00 s | 17.00 s |
| no fault | configmap | 60 s | 0 | 1 | 0 | - | 0.00 s | 1.00 s |
`
	if got := FaultMarkdown(faults); got != want {
		t.Error(got)
	}
	document := FaultDocument(Machine{Processors: 2, Nodes: 3, Kubernetes: "v1.36.3", Rate: 20}, faults)
	for _, part := range []string{"on 2 processors", "of 3 nodes with Kubernetes v1.36.3", "20 numbered events", "each 50 ms", want} {
		if !strings.Contains(document, part) {
			t.Errorf("%q is not in\n%s", part, document)
		}
	}
}
