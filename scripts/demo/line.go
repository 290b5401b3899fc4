package main

import (
	"strings"
	"unicode/utf8"
)

// look is how text looks: the parameters of ANSI's SGR sequence, "" for as it is.
type look string

const (
	plain look = ""
	bold  look = "1"
	dim   look = "2"
	good  look = "32"
	bad   look = "1;31"
	warm  look = "33"
)

// agentLooks tell the agents apart, by their number.
var agentLooks = []look{"36", "35", "94"}

// paint says whether looks are shown.
type paint bool

// span is text of one look. It has no control characters.
type span struct {
	text string
	look look
}

// line is one line of the screen.
type line []span

// text is the line, cut to width columns where width is not 0. Each rune takes one column.
func (l line) text(width int, p paint) string {
	var b strings.Builder
	left := width
	for _, s := range l {
		t := s.text
		if width > 0 {
			t = cut(t, left)
			left -= utf8.RuneCountInString(t)
		}
		if p && s.look != plain && t != "" {
			t = "\x1b[" + string(s.look) + "m" + t + "\x1b[0m"
		}
		b.WriteString(t)
	}
	return b.String()
}

// cut is the first n runes.
func cut(s string, n int) string {
	for i := range s {
		if n == 0 {
			return s[:i]
		}
		n--
	}
	return s
}

// fit is s with exactly n runes.
func fit(s string, n int) string {
	if missing := n - utf8.RuneCountInString(s); missing > 0 {
		return s + strings.Repeat(" ", missing)
	}
	return cut(s, n)
}

// wrap breaks text into lines of at most width runes, where its words allow it.
func wrap(text string, width int) []string {
	var lines []string
	current := ""
	for word := range strings.FieldsSeq(text) {
		switch {
		case current == "":
			current = word
		case utf8.RuneCountInString(current)+1+utf8.RuneCountInString(word) <= width:
			current += " " + word
		default:
			lines, current = append(lines, current), word
		}
	}
	return append(lines, current)
}

// clean takes control characters out of what others have written.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, s)
}
