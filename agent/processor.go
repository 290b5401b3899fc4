package main

import "runtime"

// oneProcessor keeps Go on one processor at a time, unless the environment's GOMAXPROCS says otherwise.
//
// The agent is a guest on every node, also on those with a hundred cores, where Go would prepare for using them all. An
// event goes from goroutine to goroutine, and waking another processor for each of them takes more time than they could
// ever save beside one another: a fifth of what an event costs. One processor is good for some fifty thousand events a
// second, which is more than an API server hands out.
func oneProcessor(env func(string) (string, bool)) {
	if _, set := env("GOMAXPROCS"); !set {
		runtime.GOMAXPROCS(1)
	}
}
