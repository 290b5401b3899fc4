package cursor

import (
	"fmt"
	"time"
)

// Position is how far a sink is in one stream of events: everything up to it is acknowledged.
//
// Without a Listing everything up to RV is. With one, the reader is in the middle of a list: everything up to RV
// is, and besides every object whose key lies before the place where Continue goes on.
type Position struct {
	// RV is a resourceVersion of events, 0 for "before everything that is retained".
	RV uint64 `json:"rv,string"`
	// Listing is the place in a half-read list, nil where none is being read.
	Listing *Listing `json:"listing,omitempty"`
	// Time is the time of the newest acknowledged event, for people; nothing is decided by it but what is said.
	Time time.Time `json:"time,omitzero"`
	// Since is when the oldest record that waited for an acknowledgement was read, zero where none waited when
	// this was written. It is what `baton status` calls the lag.
	Since time.Time `json:"since,omitzero"`
}

// Listing is a place in a half-read list. Lists come in the order of keys, so RV may pass a list only after its
// last page is acknowledged: then it becomes this RV.
type Listing struct {
	// Stream is the namespace whose events are listed, "" for all: a token used for another one skips events.
	Stream string `json:"stream"`
	// RV is the resourceVersion of the list's first page.
	RV uint64 `json:"rv,string"`
	// Continue is the token of the first page that is not acknowledged yet.
	Continue string `json:"continue"`
}

// Fresh is the position before everything.
func (p Position) Fresh() bool { return p.RV == 0 && p.Listing == nil }

// check says what makes it no position.
func (p Position) check() error {
	if l := p.Listing; l != nil && l.RV < p.RV {
		return fmt.Errorf("not a position: the list's rv %d is below its base %d", l.RV, p.RV)
	}
	return nil
}

// Back says whether a move from p to next goes back. The base never decreases, nor does the RV of a list over the
// same base. Within a list tokens can't be compared, so every page is as good as another, and a list may be given
// up (its token has turned out to be bad): both cost repeats, no more.
func (p Position) Back(next Position) bool {
	if next.RV != p.RV {
		return next.RV < p.RV
	}
	return p.Listing != nil && next.Listing != nil && next.Listing.RV < p.Listing.RV
}

// SamePlace says whether p and q are at the same place, whatever they say of times.
func (p Position) SamePlace(q Position) bool {
	if p.Listing == nil || q.Listing == nil {
		return p.RV == q.RV && p.Listing == q.Listing
	}
	return p.RV == q.RV && *p.Listing == *q.Listing
}

func (p Position) equal(q Position) bool {
	return p.SamePlace(q) && p.Time.Equal(q.Time) && p.Since.Equal(q.Since)
}

// own is a copy that shares nothing with p. A listing without a token is the start of the list: none.
func (p Position) own() Position {
	if p.Listing == nil || p.Listing.Continue == "" {
		p.Listing = nil
		return p
	}
	l := *p.Listing
	p.Listing = &l
	return p
}

// String is a position as errors name it.
func (p Position) String() string {
	if p.Listing == nil {
		return fmt.Sprintf("rv %d", p.RV)
	}
	return fmt.Sprintf("rv %d in a list of rv %d", p.RV, p.Listing.RV)
}
