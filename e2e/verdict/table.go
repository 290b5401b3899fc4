package verdict

import (
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// Row is one line of the table.
type Row struct {
	Fault, Lock             string
	Sink                    string // which one, where a fault is judged by several
	Made, Lost, Repeated    int
	Blackout, Median, Bound time.Duration // Median is 0 where there was one measurement
	Passed                  bool
}

var columns = []string{"fault", "lock", "made", "lost", "repeated", "blackout", "bound"}

func (r Row) cells() []string {
	return []string{
		r.fault(), r.Lock, fmt.Sprint(r.Made), fmt.Sprint(r.Lost), fmt.Sprint(r.Repeated), r.blackout(), r.bound(),
	}
}

// Table is the table as text, with the verdicts.
func Table(rows []Row) string {
	return text(columns, rows, func(r Row) ([]string, bool) { return r.cells(), r.Passed })
}

// Markdown is the table for a document.
func Markdown(rows []Row) string { return markdown(columns, rows, Row.cells) }

func text[R any](columns []string, rows []R, cells func(R) ([]string, bool)) string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, strings.ToUpper(strings.Join(columns, "\t"))+"\tVERDICT")
	for _, r := range rows {
		line, passed := cells(r)
		verdict := "ok"
		if !passed {
			verdict = "FAILED"
		}
		fmt.Fprintln(w, strings.Join(line, "\t")+"\t"+verdict)
	}
	_ = w.Flush() // a strings.Builder takes everything
	return b.String()
}

func markdown[R any](columns []string, rows []R, cells func(R) []string) string {
	var b strings.Builder
	line := func(cells []string) { fmt.Fprintf(&b, "| %s |\n", strings.Join(cells, " | ")) }
	line(columns)
	line(slices.Repeat([]string{"---"}, len(columns)))
	for _, r := range rows {
		line(cells(r))
	}
	return b.String()
}

func (r Row) fault() string {
	if r.Sink == "" {
		return r.Fault
	}
	return r.Fault + ": " + r.Sink
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

// Seconds writes a duration in seconds with two digits.
func Seconds(d time.Duration) string { return fmt.Sprintf("%.2f s", d.Seconds()) }
