package verdict

import (
	"fmt"
	"slices"
	"time"

	"github.com/eventbaton/baton/e2e/history"
)

// Since is what a judgement says beyond an earlier one of the same log: what a fault has done that came in between.
// First and Lags stay whole.
func (r Result) Since(earlier Result) Result {
	news := r
	news.Made, news.Repeated = r.Made-earlier.Made, r.Repeated-earlier.Repeated
	news.Lost, news.Wrong, news.Resent = without(r.Lost, earlier.Lost), without(r.Wrong, earlier.Wrong), without(r.Resent, earlier.Resent)
	return news
}

// without takes each line of known from lines once.
func without(lines, known []string) []string {
	count := map[string]int{}
	for _, line := range known {
		count[line]++
	}
	return slices.DeleteFunc(slices.Clone(lines), func(line string) bool {
		count[line]--
		return count[line] >= 0
	})
}

// Reelection is the time from then on until the cursors were claimed anew, 0 where they were not.
func Reelection(cursors []history.CursorState, from time.Time) time.Duration {
	epoch := int64(0)
	for _, s := range cursors {
		if s.At.Before(from) {
			epoch = max(epoch, s.Epoch)
			continue
		}
		if s.Epoch > epoch {
			return s.At.Sub(from)
		}
	}
	return 0
}

// Handover is the longest time, from then on, between a lock that was seen given back and the next claim; 0 where none
// was given back. It is for a fault that comes to the leader at a time of its own, such as a rollout.
func Handover(locks []history.LockState, cursors []history.CursorState, from time.Time) time.Duration {
	longest := time.Duration(0)
	for _, lock := range locks {
		if lock.Holder == "" && lock.Version != "" && !lock.At.Before(from) {
			longest = max(longest, Reelection(cursors, lock.At))
		}
	}
	return longest
}

// Fault is one line of the table of faults on a real cluster.
type Fault struct {
	Name, Lock           string
	Lease                time.Duration
	Made, Lost, Repeated int
	Reelection           time.Duration // 0 where nobody else was elected
	Blackout, Bound      time.Duration
	Passed               bool
}

var faultColumns = []string{"fault", "lock", "lease", "made", "lost", "repeated", "re-election", "blackout", "bound"}

func (f Fault) cells() []string {
	reelection := "-"
	if f.Reelection > 0 {
		reelection = Seconds(f.Reelection)
	}
	return []string{
		f.Name, f.Lock, fmt.Sprintf("%.0f s", f.Lease.Seconds()), fmt.Sprint(f.Made), fmt.Sprint(f.Lost), fmt.Sprint(f.Repeated),
		reelection, Seconds(f.Blackout), Seconds(f.Bound),
	}
}

// FaultTable is the table as text, with the verdicts.
func FaultTable(faults []Fault) string {
	return text(faultColumns, faults, func(f Fault) ([]string, bool) { return f.cells(), f.Passed })
}

// FaultMarkdown is the table for a document.
func FaultMarkdown(faults []Fault) string { return markdown(faultColumns, faults, Fault.cells) }

// Machine is what a table was measured on.
type Machine struct {
	Processors, Nodes int
	Kubernetes        string
	Rate              int // events a second
}

// FaultDocument is the table with what has to be known to read it.
func FaultDocument(m Machine, faults []Fault) string {
	return fmt.Sprintf("# Faults on kind\n\n"+
		"One run of `make e2e`, on %d processors: a kind cluster of %d nodes with Kubernetes %s, the chart installed twice in one\n"+
		"namespace that enforces the Pod Security Standard \"restricted\", once with each kind of lock, %d numbered events a second, and\n"+
		"a receiver that notes what comes from whom and when. Before each fault both leaders are on one worker; both take it at\n"+
		"once. `make e2e` runs it again and fails where a row is worse than its bound; `make e2e FAULT=name` takes one fault.\n\n"+
		"- **lost**: versions of events that were stored and did not arrive.\n"+
		"- **repeated**: records that arrived more than once. All were sent after the last write of the cursors.\n"+
		"- **re-election**: from the fault until another leader had claimed the cursors; in a rollout from the lock's release.\n"+
		"- **blackout**: the longest time between two first arrivals, less the longest pause in it of the generator, which makes\n"+
		"  something each %d ms; from the fault on, or where nobody could read or receive, from the end of that: the API server's\n"+
		"  is over once a node's kube-proxy leads to it again.\n\n%s",
		m.Processors, m.Nodes, m.Kubernetes, m.Rate, 1000/m.Rate, FaultMarkdown(faults))
}
