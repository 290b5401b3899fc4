package election

import "time"

// Clock is the time as one process sees it. A simulation gives each process one with an offset and a rate of its own.
type Clock interface {
	// Now is the wall clock. It is written into records for people and compared with what the same node wrote, never
	// with another machine's clock.
	Now() time.Time
	// Mono is the monotonic clock, since any moment. Every decision about a lease is made by it.
	Mono() time.Duration
	// Timer returns a channel that receives once, after d on this clock, and a function that stops it.
	Timer(d time.Duration) (<-chan time.Time, func() bool)
}

// machineClock is the clock of package time.
type machineClock struct{ start time.Time }

// MachineClock is the clock of this machine, used where Options.Clock is nil.
func MachineClock() Clock { return machineClock{start: time.Now()} }

func (machineClock) Now() time.Time { return time.Now() }

func (c machineClock) Mono() time.Duration { return time.Since(c.start) }

func (machineClock) Timer(d time.Duration) (<-chan time.Time, func() bool) {
	t := time.NewTimer(d)
	return t.C, t.Stop
}
