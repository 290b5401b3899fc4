package election

import (
	"strconv"
	"time"
)

// tracker judges one lock object by what was seen of it and when.
type tracker struct {
	seen    bool
	last    Observation
	high    uint64        // the highest version that was seen
	arrived time.Duration // when last was seen
	changed time.Duration // when the record was last seen to differ from the one before
}

// see takes an observation that arrived now. asked is when the request for it was made, negative for one that came by
// a watch. Watch, reads and writes run side by side, so one may be overtaken by a newer one: an older version is
// dropped, except where it was asked for after the newer had arrived, which means that the API went back in time.
func (t *tracker) see(o Observation, asked, now time.Duration) bool {
	version, numbered := number(o.Version)
	if t.overtaken(o, asked) {
		return false
	}
	if !t.seen || !o.same(t.last) {
		t.changed = now
	}
	if numbered {
		t.high = version
	}
	t.seen, t.last, t.arrived = true, o, now
	return true
}

func (t *tracker) overtaken(o Observation, asked time.Duration) bool {
	version, numbered := number(o.Version)
	older := o.Version == "" || numbered && version < t.high
	return t.seen && older && asked <= t.arrived
}

// number is false for a version that can't be compared; such a one is taken for newer.
func number(version string) (uint64, bool) {
	n, err := strconv.ParseUint(version, 10, 64)
	return n, err == nil
}

// verdict says whether a lock can be taken.
type verdict struct {
	free bool
	// how is the kind of takeover where it is free.
	how Kind
	// wait is how long it takes at most until that may have changed by itself, negative for never.
	wait time.Duration
}

// never is the wait of a lock that only an observation can free.
const never = time.Duration(-1)

// judge is for a candidate named me with the lease own. It does not know of deaths.
func (t *tracker) judge(me string, own, now time.Duration) verdict {
	switch {
	case !t.seen:
		return verdict{wait: never}
	case !t.last.Exists:
		return verdict{free: true, how: TakeoverMissing}
	case t.last.Readable && t.last.Record.Holder == "":
		return verdict{free: true, how: TakeoverReleased}
	case t.last.heldBy(me):
		// Who asks does not lead, so nobody does: the record is of a term that was lost, or of a write that was
		// given up and happened nevertheless.
		return verdict{free: true, how: Reclaimed}
	}
	lease := own
	if t.last.Readable {
		lease = t.last.Record.lease(own)
	}
	if left := t.changed + lease - now; left > 0 {
		return verdict{wait: left}
	}
	return verdict{free: true, how: TakeoverExpired}
}
