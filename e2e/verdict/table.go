package verdict

import (
	"fmt"
	"strings"
	"text/tabwriter"
	"time"
)

// Row is one line of the table.
type Row struct {
	Fault, Lock             string
	Made, Lost, Repeated    int
	Blackout, Median, Bound time.Duration // Median is 0 where there was one measurement
	Passed                  bool
}

// Table is the table as text.
func Table(rows []Row) string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "FAULT\tLOCK\tMADE\tLOST\tREPEATED\tBLACKOUT\tBOUND\tVERDICT")
	for _, r := range rows {
		fmt.Fprintf(w, "%s\t%s\t%d\t%d\t%d\t%s\t%s\t%s\n",
			r.Fault, r.Lock, r.Made, r.Lost, r.Repeated, r.blackout(), r.bound(), r.verdict())
	}
	_ = w.Flush() // a strings.Builder takes everything
	return b.String()
}

func (r Row) blackout() string {
	s := Seconds(r.Blackout)
	if r.Median > 0 {
		s += " (median " + Seconds(r.Median) + ")"
	}
	return s
}

func (r Row) bound() string {
	if r.Bound == 0 {
		return "-"
	}
	return Seconds(r.Bound)
}

func (r Row) verdict() string {
	if r.Passed {
		return "ok"
	}
	return "FAILED"
}

// Seconds writes a duration in seconds with two digits.
func Seconds(d time.Duration) string { return fmt.Sprintf("%.2f s", d.Seconds()) }
