package election

import "time"

// Kind is what happened in an election.
type Kind string

// The takeovers say why a candidate could take the lock; Acquired follows each of them.
const (
	TakeoverMissing  Kind = "takeover_missing"  // there was no lock object
	TakeoverReleased Kind = "takeover_released" // it had no holder
	TakeoverExpired  Kind = "takeover_expired"  // its record had not changed for the lease in it
	TakeoverDead     Kind = "takeover_dead"     // its holder was proved dead
	Reclaimed        Kind = "reclaimed"         // it was this process's own, from a term that had ended

	Acquired Kind = "acquired"  // a term began
	Conflict Kind = "conflict"  // a write was refused because somebody else's was first
	Unknown  Kind = "unknown"   // a write's outcome was not known and was read back
	Deposed  Kind = "deposed"   // a term ended because somebody else holds the lock
	Expired  Kind = "expired"   // a term ended by its own deadline
	Restored Kind = "restored"  // a lock that was deleted or damaged under its leader was written again
	Released Kind = "released"  // the lock was given back
	BothHeld Kind = "both_held" // the Lease and the ConfigMap were held at once
)

// Event is one thing that happened in an election.
type Event struct {
	Kind Kind
	// Lock is the lock that it happened to, as Lock.String gives it.
	Lock string
	// Holder is the one before for a takeover, the other one for Deposed and BothHeld, else this process.
	Holder string
	// Since is how long before a takeover the lock was last seen to change: how long nobody can have led, less the
	// time that the holder was still alive after its last renewal.
	Since time.Duration
}
