package main

import (
	"fmt"
	"time"
)

// number is one line of the table.
type number struct {
	what, value string
	target      string // "" for what is only shown
	missed      bool
}

func shown(what, format string, args ...any) number {
	return number{what: what, value: fmt.Sprintf(format, args...)}
}

// quantity is a value in a unit, with as many digits as are worth reading.
type quantity struct {
	value float64
	unit  string
}

func (q quantity) String() string {
	switch {
	case q.value == float64(int64(q.value)):
		return fmt.Sprintf("%.0f%s", q.value, q.unit)
	case q.value < 1:
		return fmt.Sprintf("%.3f%s", q.value, q.unit)
	case q.value < 10:
		return fmt.Sprintf("%.2f%s", q.value, q.unit)
	default:
		return fmt.Sprintf("%.1f%s", q.value, q.unit)
	}
}

// atMost is a number that is to be no larger than limit.
func atMost(what string, value, limit float64, unit string) number {
	return number{what, quantity{value, unit}.String(), "<= " + quantity{limit, unit}.String(), value > limit}
}

// below is a number that is to be smaller than limit.
func below(what string, value, limit float64, unit string) number {
	return number{what, quantity{value, unit}.String(), "< " + quantity{limit, unit}.String(), value >= limit}
}

// atLeast is a number that is to be no smaller than limit.
func atLeast(what string, value, limit float64, unit string) number {
	return number{what, quantity{value, unit}.String(), ">= " + quantity{limit, unit}.String(), value < limit}
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
