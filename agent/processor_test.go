package main

import (
	"runtime"
	"testing"
)

func TestOneProcessor(t *testing.T) {
	before := runtime.GOMAXPROCS(2)
	defer runtime.GOMAXPROCS(before)
	oneProcessor(func(name string) (string, bool) { return "2", name == "GOMAXPROCS" })
	if n := runtime.GOMAXPROCS(0); n != 2 {
		t.Errorf("%d processors where the environment says 2", n)
	}
	oneProcessor(func(string) (string, bool) { return "", false })
	if n := runtime.GOMAXPROCS(0); n != 1 {
		t.Errorf("%d processors", n)
	}
}
