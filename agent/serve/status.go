package serve

import (
	"time"

	"github.com/eventbaton/baton/agent/relay"
	"github.com/eventbaton/baton/agent/term"
)

// Status is the answer of /status. Fields are added, never renamed or removed.
type Status struct {
	Version  string `json:"version"`
	Identity string `json:"identity"`
	// Mode is idle (not told to gather), candidate (takes part in the election) or solo (gathers without one).
	Mode string `json:"mode"`
	// Ready and Problem are what /readyz says.
	Ready   bool   `json:"ready"`
	Problem string `json:"problem,omitempty"`
	// Election is absent where there is none.
	Election *Election   `json:"election,omitempty"`
	Term     term.Status `json:"term"`
	// Sinks are those of this process: a follower's have delivered what they did while it led.
	Sinks    []relay.Status `json:"sinks"`
	Counters Counters       `json:"counters"`
}

// Election is what the agent knows of the election. Times are the lock's, by its holder's clock.
type Election struct {
	Role         string    `json:"role"` // follower or leader
	Lock         string    `json:"lock"` // kind namespace/name
	Holder       string    `json:"holder,omitempty"`
	HolderSince  time.Time `json:"holderSince,omitzero"`
	LastRenewal  time.Time `json:"lastRenewal,omitzero"`
	LeaseSeconds float64   `json:"leaseSeconds"`
	Transitions  int       `json:"transitions"`
	Epoch        int64     `json:"epoch"` // the highest that any lock or claim is known to have had
}

// Counters count since the process started.
type Counters struct {
	// Election counts what happened in the election, by kind: see docs/operations.md.
	Election map[string]uint64 `json:"election"`
	// Gaps is how often a position was too old to watch from, so that the events were listed.
	Gaps uint64 `json:"gaps"`
	// WentBack is how often the API server's log of events was found at an older version than before.
	WentBack uint64 `json:"wentBack"`
	// Lookups counts what was asked of the events' objects (enrich), by outcome: see docs/operations.md.
	Lookups map[string]uint64 `json:"lookups,omitempty"`
}
