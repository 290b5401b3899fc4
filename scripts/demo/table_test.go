package main

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
)

func TestTable(t *testing.T) {
	good := outcome{stored: 893, repeated: 12, rows: []row{
		{"start", 0, 32, 0, 0},
		{"no fault", 43 * time.Millisecond, 251, 0, 0},
		{"SIGKILL", 612 * time.Millisecond, 320, 0, 12},
		{"SIGTERM", 87 * time.Millisecond, 290, 0, 0},
	}}
	bad := good
	bad.rows = []row{{"SIGKILL", 15 * time.Second, 320, 7, 12}}
	for i := range 7 {
		bad.lost = append(bad.lost, fmt.Sprintf("e-0-%06d at version 7 (count 1)", i))
	}
	bad.wrong = []string{"the epoch went from 2 back to 1 (by baton-0)"}
	for name, o := range map[string]outcome{"good.txt": good, "bad.txt": bad} {
		golden(t, name, o.text(false))
	}
	if good.err() != nil || !errors.Is(bad.err(), errVerdict) {
		t.Error(good.err(), bad.err())
	}
	for l := range strings.SplitSeq(good.text(false), "\n") {
		if len(l) > 118 {
			t.Errorf("too long: %s", l)
		}
	}
}
