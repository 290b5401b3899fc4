package cursor

import "time"

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
