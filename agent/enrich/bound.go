package enrich

import (
	"maps"
	"slices"
	"strings"
	"unicode/utf8"
)

// The bounds of what a record gets. An annotation may have 256 KiB.
const (
	maxValue  = 1 << 10 // of a label or an annotation
	maxValues = 4 << 10 // of all, with their names
	maxCount  = 50

	mark = "..." // at the end of a value that was cut
)

// lastApplied has the whole object in it. No pattern means it, only its name.
const lastApplied = "kubectl.kubernetes.io/last-applied-configuration"

// matches says whether a name is one that a pattern means: * stands for any characters, a / among them, or none.
func matches(pattern, name string) bool {
	first, rest, found := strings.Cut(pattern, "*")
	if !found {
		return pattern == name
	}
	if name == lastApplied || !strings.HasPrefix(name, first) {
		return false
	}
	name = name[len(first):]
	for {
		var part string
		if part, rest, found = strings.Cut(rest, "*"); !found {
			return strings.HasSuffix(name, part)
		}
		i := strings.Index(name, part)
		if i < 0 {
			return false
		}
		name = name[i+len(part):]
	}
}

// room is what a record may still get.
type room struct {
	bytes, count int
	full         bool // something was left out
}

func newRoom() room { return room{bytes: maxValues, count: maxCount} }

// take gives those that the patterns mean, in the order of their names as far as there is room; nil for none.
func (r *room) take(all map[string]string, patterns []string) map[string]string {
	var taken map[string]string
	if len(patterns) == 0 {
		return nil
	}
	for _, name := range slices.Sorted(maps.Keys(all)) {
		if !slices.ContainsFunc(patterns, func(p string) bool { return matches(p, name) }) {
			continue
		}
		value := cut(all[name])
		if r.count == 0 || len(name)+len(value) > r.bytes {
			r.full = true
			continue
		}
		r.count--
		r.bytes -= len(name) + len(value)
		if taken == nil {
			taken = map[string]string{}
		}
		taken[strings.Clone(name)] = value
	}
	return taken
}

// cut gives at most maxValue bytes of a text, with the mark where that is not all. What it gives is a copy, which doesn't
// keep the whole text in memory.
func cut(s string) string {
	if len(s) <= maxValue {
		return strings.Clone(s)
	}
	end := maxValue - len(mark)
	for end > 0 && !utf8.RuneStart(s[end]) {
		end--
	}
	return s[:end] + mark
}
