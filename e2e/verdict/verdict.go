// Package verdict judges what a receiver got against what was made, and what was seen of the cursors.
package verdict

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/eventbaton/baton/e2e/generator"
	"github.com/eventbaton/baton/e2e/history"
	"github.com/eventbaton/baton/e2e/receiver"
)

// Case is what is judged.
type Case struct {
	Made     []generator.Event
	Receiver receiver.Log
	// Cursors are what was seen of them, for the rule that nothing below a claimed cursor is repeated. Where Stream is
	// the key of the receiver's cursor.
	Cursors []history.CursorState
	Stream  string
	// LatestOnly takes an event for delivered once its last version has arrived. Else every version has to: all of
	// them are in the watch history.
	LatestOnly bool
	// Since is when the first leader had begun: what was overwritten before then, nobody could have read.
	Since time.Time
	// Resends says that the receiver has made the leader repeat, so that one epoch may deliver a record twice.
	Resends bool
	// Excused are names of events that need not arrive.
	Excused func(name string) bool
	// Uncounted says that the receiver is not told the counts.
	Uncounted bool
}

// Result is the judgement.
type Result struct {
	Made     int      // versions
	Lost     []string // each version, or event, that should have arrived and did not
	Repeated int      // deliveries of what had been delivered before
	Wrong    []string // other things that must not be, one line each
	// Resent are the repeats that only a receiver's lost answer excuses, one line each. Without Case.Resends they are Wrong.
	Resent []string
	// First are the times of first arrivals of what was made, ascending.
	First []time.Time
	// Lags are the times from the API server's answer to the first arrival, ascending. They may be negative.
	Lags []time.Duration
}

// Judge judges.
func Judge(c Case) Result {
	j := &judge{Case: c, index: map[receiver.Version]made{}, first: map[receiver.Version]receiver.Arrival{}, start: c.Receiver.Start()}
	j.remember()
	j.arrive()
	j.miss()
	j.deltas()
	j.stale()
	slices.SortFunc(j.result.First, time.Time.Compare)
	slices.Sort(j.result.Lags)
	j.result.Wrong = append(j.result.Wrong, c.Receiver.Bad()...)
	if !c.Resends {
		j.result.Wrong = append(j.result.Wrong, j.result.Resent...)
	}
	return j.result
}

type made struct {
	name    string
	version generator.Version
}

type judge struct {
	Case
	start  time.Time
	index  map[receiver.Version]made
	uids   []receiver.UID // of Made, in its order
	first  map[receiver.Version]receiver.Arrival
	result Result
}

func (j *judge) wrong(format string, args ...any) {
	j.result.Wrong = append(j.result.Wrong, fmt.Sprintf(format, args...))
}

func (j *judge) resent(format string, args ...any) {
	j.result.Resent = append(j.result.Resent, fmt.Sprintf(format, args...))
}

func (j *judge) remember() {
	for _, e := range j.Made {
		uid, err := receiver.ParseUID(e.UID)
		if err != nil {
			j.wrong("the event %s: %v", e.Name, err)
		}
		j.uids = append(j.uids, uid)
		for _, v := range e.Versions {
			j.index[receiver.Version{UID: uid, RV: v.RV}] = made{e.Name, v}
		}
		j.result.Made += len(e.Versions)
	}
}

// arrive looks at every delivery in turn.
func (j *judge) arrive() {
	claimed := claims(j.Cursors, j.Stream)
	for _, a := range j.Receiver.Arrivals() {
		m, ours := j.index[a.Version]
		if ours && m.version.Count != a.Count && !j.Uncounted {
			j.wrong("%s came with count %d, stored was %d", m.name, a.Count, m.version.Count)
		}
		before, again := j.first[a.Version]
		if !again {
			j.first[a.Version] = a
			if ours {
				at := j.start.Add(a.At)
				j.result.First = append(j.result.First, at)
				j.result.Lags = append(j.result.Lags, at.Sub(m.version.At))
			}
			continue
		}
		j.result.Repeated++
		if before.Epoch == a.Epoch && before.Leader == a.Leader {
			j.resent("%s was delivered twice in epoch %d", a.UID, a.Epoch)
		}
		if rv, ok := claimed[a.Epoch]; ok && before.Epoch < a.Epoch && a.RV <= rv {
			j.resent("%s at version %d was repeated in epoch %d, which began at %d", a.UID, a.RV, a.Epoch, rv)
		}
	}
}

// claims are the cursors with which the epochs began. An epoch that began in the middle of a list has none: what it may
// repeat is not a matter of versions.
func claims(states []history.CursorState, stream string) map[int64]uint64 {
	m, known := map[int64]uint64{}, map[int64]bool{}
	for _, s := range states {
		rv, ok := s.RVs[stream]
		if !ok || known[s.Epoch] {
			continue
		}
		known[s.Epoch] = true
		if !s.Listing[stream] {
			m[s.Epoch] = rv
		}
	}
	return m
}

func (j *judge) miss() {
	for i, e := range j.Made {
		if j.Excused != nil && j.Excused(e.Name) {
			continue
		}
		for k, v := range e.Versions {
			if k+1 < len(e.Versions) && (j.LatestOnly || e.Versions[k+1].At.Before(j.Since)) {
				continue
			}
			if _, ok := j.first[receiver.Version{UID: j.uids[i], RV: v.RV}]; !ok {
				j.result.Lost = append(j.result.Lost, fmt.Sprintf("%s at version %d (count %d)", e.Name, v.RV, v.Count))
			}
		}
	}
}

// deltas checks that the countDeltas of an event, within one epoch, add up to its count.
func (j *judge) deltas() {
	type key struct {
		uid   receiver.UID
		epoch int64
	}
	last := map[key]receiver.Arrival{}
	for _, a := range j.Receiver.Arrivals() {
		k := key{a.UID, a.Epoch}
		before, known := last[k]
		if known && a.RV <= before.RV {
			continue // a repeat
		}
		last[k] = a
		if !a.HasDelta {
			continue
		}
		if want := a.Count - before.Count; a.Delta != want {
			j.wrong("%s at version %d, epoch %d: countDelta %d where %d are new", a.UID, a.RV, a.Epoch, a.Delta, want)
		}
	}
}

// stale looks for a leader that goes on sending after its successor has begun. One request may have been in flight.
func (j *judge) stale() {
	requests := j.Receiver.Requests()
	newest, since := int64(0), time.Duration(0)
	late := map[int64]map[int32]bool{}
	for _, a := range j.Receiver.Arrivals() {
		if a.Epoch > newest {
			newest, since = a.Epoch, a.At
		}
		if a.Epoch < newest && requests[a.Request].Began > since {
			if late[a.Epoch] == nil {
				late[a.Epoch] = map[int32]bool{}
			}
			late[a.Epoch][a.Request] = true
		}
	}
	for epoch, n := range late {
		if len(n) > 1 {
			j.wrong("epoch %d has sent %d requests after a later one had begun", epoch, len(n))
		}
	}
}

// Gap is the longest time without a first arrival between from and to. With clip, the first one begins at from, else
// with the last arrival before from.
func Gap(first []time.Time, from, to time.Time, clip bool) time.Duration {
	return Blackout(first, nil, from, to, clip)
}

// Blackout is the longest Gap, where the longest pause in a gap in which nothing was made is none of it: what isn't made
// can't arrive. made are the times at which something was, ascending.
func Blackout(first, made []time.Time, from, to time.Time, clip bool) time.Duration {
	var longest time.Duration
	last := from
	for _, at := range first {
		if at.Before(from) {
			if !clip {
				last = at
			}
			continue
		}
		longest = max(longest, at.Sub(last)-pause(made, last, at))
		last = at
		if !at.Before(to) {
			break
		}
	}
	return longest
}

// pause is the longest time between from and the last that was made before to in which nothing was.
func pause(made []time.Time, from, to time.Time) time.Duration {
	var longest time.Duration
	i, _ := slices.BinarySearchFunc(made, from, time.Time.Compare)
	for last := from; i < len(made) && made[i].Before(to); i++ {
		longest = max(longest, made[i].Sub(last))
		last = made[i]
	}
	return longest
}

// Quantile is the q-quantile of what is sorted, 0 of nothing.
func Quantile[T cmp.Ordered](sorted []T, q float64) T {
	var zero T
	if len(sorted) == 0 {
		return zero
	}
	return sorted[min(len(sorted)-1, int(q*float64(len(sorted))))]
}
