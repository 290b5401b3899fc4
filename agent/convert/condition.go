package convert

import (
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// condition is a CEL expression over event that simplifies itself while it is made.
type condition struct {
	op      operator
	text    string // in CEL, without parentheses around it
	negated string // what an atom becomes where it is negated
	parts   []condition
}

type operator int

const (
	always operator = iota
	never
	atom
	both   // all of the parts
	either // one of the parts
)

var (
	yes = condition{op: always, text: "true"}
	no  = condition{op: never, text: "false"}
)

// maxAbsorbed bounds how many alternatives are compared with each other.
const maxAbsorbed = 100

// all is true where each of the conditions is.
func all(conditions ...condition) condition {
	parts, ok := flatten(conditions, both, always, never)
	switch {
	case !ok:
		return no
	case len(parts) == 0:
		return yes
	case len(parts) == 1:
		return parts[0]
	}
	return condition{op: both, parts: parts, text: joined(parts, " && ")}
}

// anyOf is true where one of the conditions is.
func anyOf(conditions ...condition) condition {
	parts, ok := flatten(conditions, either, never, always)
	if !ok {
		return yes
	}
	if parts = absorb(parts); len(parts) == 0 {
		return no
	} else if len(parts) == 1 {
		return parts[0]
	}
	return condition{op: either, parts: parts, text: joined(parts, " || ")}
}

// flatten are the parts that matter, each once; false where one of them is the end that decides alone.
func flatten(conditions []condition, same, neutral, end operator) ([]condition, bool) {
	var parts []condition
	seen := map[string]bool{}
	add := func(c condition) {
		if !seen[c.text] {
			seen[c.text] = true
			parts = append(parts, c)
		}
	}
	for _, c := range conditions {
		switch c.op {
		case end:
			return nil, false
		case neutral:
		case same:
			for _, part := range c.parts {
				add(part)
			}
		default:
			add(c)
		}
	}
	return parts, true
}

// absorb drops the alternatives that another one has in it: of a || a && b, the second.
func absorb(parts []condition) []condition {
	if len(parts) > maxAbsorbed {
		return parts
	}
	var kept []condition
	for i, p := range parts {
		covered := slices.ContainsFunc(parts, func(q condition) bool { return q.text != parts[i].text && q.covers(p) })
		if !covered {
			kept = append(kept, p)
		}
	}
	return kept
}

// covers says whether the parts of c are among those of other, so that c is true wherever other is.
func (c condition) covers(other condition) bool {
	of := func(c condition) []condition {
		if c.op == both {
			return c.parts
		}
		return []condition{c}
	}
	theirs := of(other)
	for _, mine := range of(c) {
		if !slices.ContainsFunc(theirs, func(p condition) bool { return p.text == mine.text }) {
			return false
		}
	}
	return true
}

// not is true where the condition isn't.
func not(c condition) condition {
	switch c.op {
	case always:
		return no
	case never:
		return yes
	case atom:
		return condition{op: atom, text: c.negated, negated: c.text}
	default:
		return condition{op: atom, text: "!(" + c.text + ")", negated: "(" + c.text + ")"}
	}
}

func joined(parts []condition, with string) string {
	texts := make([]string, len(parts))
	for i, p := range parts {
		texts[i] = p.operand()
	}
	return strings.Join(texts, with)
}

// operand is the condition as part of another one.
func (c condition) operand() string {
	if c.op == either {
		return "(" + c.text + ")"
	}
	return c.text
}

// lines is the condition as it stands in a file: a long one has a line a part.
func (c condition) lines() string {
	const long = 100
	if len(c.text) <= long || len(c.parts) == 0 {
		return c.text
	}
	if c.op == either {
		return joined(c.parts, " ||\n")
	}
	return joined(c.parts, " &&\n")
}

// equal is field == value.
func equal(field, value string) condition {
	return condition{op: atom, text: field + " == " + quoted(value), negated: field + " != " + quoted(value)}
}

// oneOf is true where the field has one of the values.
func oneOf(field string, values []string) condition {
	switch len(values) {
	case 0:
		return no
	case 1:
		return equal(field, values[0])
	}
	quotedValues := make([]string, len(values))
	for i, v := range values {
		quotedValues[i] = quoted(v)
	}
	text := field + " in [" + strings.Join(quotedValues, ", ") + "]"
	return condition{op: atom, text: text, negated: "!(" + text + ")"}
}

// call is a function of the field.
func call(field, function, argument string) condition {
	text := field + "." + function + "(" + argument + ")"
	return condition{op: atom, text: text, negated: "!" + text}
}

// atLeast is field >= n.
func atLeast(field string, n int) condition {
	number := strconv.Itoa(n)
	return condition{op: atom, text: field + " >= " + number, negated: field + " < " + number}
}

// quoted is a string of CEL, a raw one where that is easier to read.
func quoted(s string) string {
	raw := strings.Contains(s, `\`) && !strings.Contains(s, `"`)
	if raw && !strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return `r"` + s + `"`
	}
	return strconv.Quote(s)
}
