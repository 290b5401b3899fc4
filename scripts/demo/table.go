package main

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// errVerdict says that something was lost, or not as it must be.
var errVerdict = errors.New("the demo has failed")

// outcome is what the demo ends with.
type outcome struct {
	rows             []row
	stored, repeated int
	lost, wrong      []string
}

const (
	next = "Next: README.md tells how it works; `make matrix` plays all other faults, with both kinds of lock."
	// shown is how many of the lines that say what is wrong are shown.
	shown = 5
)

func (o outcome) err() error {
	if len(o.lost)+len(o.wrong) > 0 {
		return errVerdict
	}
	return nil
}

// text is the table, what it means, and what to read next.
func (o outcome) text(p paint) string {
	var b strings.Builder
	for _, l := range o.lines() {
		b.WriteString(l.text(0, p) + "\n")
	}
	return b.String()
}

func (o outcome) lines() []line {
	lines := []line{{}, o.line("fault", "blackout", "stored", "lost", "repeated", dim)}
	for _, r := range o.rows {
		blackout := "-"
		if r.Blackout > 0 {
			blackout = seconds(r.Blackout)
		}
		lines = append(lines, o.line(r.Fault, blackout, fmt.Sprint(r.Stored), fmt.Sprint(r.Lost), fmt.Sprint(r.Repeated), lostLook(r.Lost)))
	}
	total := o.line("in all", "", fmt.Sprint(o.stored), fmt.Sprint(len(o.lost)), fmt.Sprint(o.repeated), lostLook(len(o.lost)))
	lines = append(lines, total, line{})
	lines = append(lines, o.meaning()...)
	return append(lines, line{}, line{{"  " + next, bold}})
}

// line has the figure of what was lost in a look of its own.
func (o outcome) line(fault, blackout, stored, lost, repeated string, l look) line {
	rest := plain
	if l == dim {
		rest = dim
	}
	return line{
		{fmt.Sprintf("  %-10s %9s %8s ", fault, blackout, stored), rest}, {fmt.Sprintf("%7s", lost), l},
		{fmt.Sprintf("%11s", repeated), rest},
	}
}

func lostLook(n int) look {
	if n > 0 {
		return bad
	}
	return good
}

func (o outcome) meaning() []line {
	lines := []line{
		{{"  Blackout is the longest time in which nothing new arrived.", dim}},
		{{fmt.Sprintf("  With SIGKILL it includes the %s until the kubelet's report; the lease of %.0f s was not waited for.",
			seconds(kubelet), lease.Seconds()), dim}},
	}
	if o.repeated > 0 {
		const repeats = "  Repeated is what was sent after the cursor was last written; by its id a receiver can drop it."
		lines = append(lines, line{{repeats, dim}})
	}
	if o.err() == nil {
		return append(lines, line{{fmt.Sprintf("  All %d versions of events arrived. Nothing was lost.", o.stored), good}})
	}
	return append(lines, o.complaints()...)
}

func (o outcome) complaints() []line {
	var lines []line
	for _, c := range []struct {
		what string
		list []string
	}{{"lost", o.lost}, {"wrong", o.wrong}} {
		for i, text := range c.list {
			if i == shown {
				lines = append(lines, line{{fmt.Sprintf("  %s: and %d more", c.what, len(c.list)-i), bad}})
				break
			}
			lines = append(lines, line{{fmt.Sprintf("  %s: %s", c.what, text), bad}})
		}
	}
	return lines
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.2f s", d.Seconds()) }
