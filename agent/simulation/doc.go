// Package simulation is a test: the election and the cursors' register together, many processes of them at a time,
// over an API in memory, in simulated time, under every fault that chance comes up with. There is nothing in it to
// import.
//
//	go test ./agent/simulation -v                                  how often each kind of thing happened
//	go test ./agent/simulation -run Simulation -seed=N -v          one schedule again, step by step
//	go test ./agent/simulation -run Simulation -schedules=200000   a long one
//
// A seed gives the same processes, faults and delays again. What it does not give is the order of two goroutines
// that wake at the same simulated moment, so a rare schedule takes another turn when it is repeated.
package simulation
