package config

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Problem is one thing that is wrong with the configuration.
type Problem struct {
	File string // the file, or the environment variable, that says it
	Line int    // from 1; 0 where File is an environment variable or can't be read
	Key  string // such as sinks[1].url; empty where the file as a whole is wrong
	Text string // what is wrong; what to write instead
}

// String is `file:line: key: what is wrong; what to write`.
func (p Problem) String() string {
	b := &strings.Builder{}
	b.WriteString(p.File)
	if p.Line > 0 {
		fmt.Fprintf(b, ":%d", p.Line)
	}
	if p.Key != "" {
		b.WriteString(": " + p.Key)
	}
	return b.String() + ": " + p.Text
}

// Problems are all that is wrong, in the order of the lines. It is the type of every error of this package.
type Problems []Problem

// Error has a line a problem.
func (p Problems) Error() string {
	lines := make([]string, len(p))
	for i, problem := range p {
		lines[i] = problem.String()
	}
	return strings.Join(lines, "\n")
}

// sort orders the problems by line, and keeps the order in which those of one line were found.
func (p Problems) sort() {
	slices.SortStableFunc(p, func(a, b Problem) int { return cmp.Compare(a.Line, b.Line) })
}
