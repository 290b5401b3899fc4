package main

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

// An agent whose lost term does not end is one that a restart mends; one that merely lost it is not.
func TestHealthOfALostTerm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &agent{}
		term, lose := context.WithCancel(t.Context())
		ended := a.lost.watch(term)
		time.Sleep(time.Hour)
		if err := a.Healthy(); err != nil {
			t.Errorf("while it leads: %v", err)
		}
		lose()
		time.Sleep(longestEnd)
		synctest.Wait()
		if err := a.Healthy(); err != nil {
			t.Errorf("while it ends: %v", err)
		}
		time.Sleep(time.Second)
		if err := a.Healthy(); err == nil {
			t.Error("healthy although the lost term does not end")
		}
		ended()
		if err := a.Healthy(); err != nil {
			t.Errorf("after it ended: %v", err)
		}
	})
}
