package convert

import (
	"regexp/syntax"
	"strings"
)

// maxWords bounds how many words a pattern may stand for to be written as a list of them.
const maxWords = 20

// matches is true where the pattern, of Go's package regexp and not anchored, matches somewhere in the field. A filter's
// matches has the same syntax, so that every pattern can be carried over as it is; plain ones become plainer.
func matches(field, pattern string) (condition, error) {
	re, err := syntax.Parse(pattern, syntax.Perl)
	if err != nil {
		return no, err
	}
	parts, begin, end := anchors(optional(sequence(re)))
	words, ok := wordsOf(parts)
	switch {
	case !ok || len(words) > 1 && (!begin || !end):
		return call(field, "matches", quoted(pattern)), nil
	case begin && end:
		return oneOf(field, words), nil
	case words[0] == "":
		return yes, nil
	case begin:
		return call(field, "startsWith", quoted(words[0])), nil
	case end:
		return call(field, "endsWith", quoted(words[0])), nil
	default:
		return call(field, "contains", quoted(words[0])), nil
	}
}

// sequence are the parts of a pattern one after another.
func sequence(re *syntax.Regexp) []*syntax.Regexp {
	switch re.Op {
	case syntax.OpCapture:
		return sequence(re.Sub[0])
	case syntax.OpConcat:
		var parts []*syntax.Regexp
		for _, sub := range re.Sub {
			parts = append(parts, sequence(sub)...)
		}
		return parts
	default:
		return []*syntax.Regexp{re}
	}
}

// optional drops what may be empty from both ends: there it asks for nothing.
func optional(parts []*syntax.Regexp) []*syntax.Regexp {
	empty := func(re *syntax.Regexp) bool {
		return re.Op == syntax.OpStar || re.Op == syntax.OpQuest || re.Op == syntax.OpRepeat && re.Min == 0
	}
	for len(parts) > 0 && empty(parts[0]) {
		parts = parts[1:]
	}
	for len(parts) > 0 && empty(parts[len(parts)-1]) {
		parts = parts[:len(parts)-1]
	}
	return parts
}

// anchors takes ^ and $ from the ends.
func anchors(parts []*syntax.Regexp) (middle []*syntax.Regexp, begin, end bool) {
	for len(parts) > 0 && parts[0].Op == syntax.OpBeginText {
		parts, begin = parts[1:], true
	}
	for len(parts) > 0 && parts[len(parts)-1].Op == syntax.OpEndText {
		parts, end = parts[:len(parts)-1], true
	}
	return parts, begin, end
}

// wordsOf are all that the parts match, false where those are too many to tell.
func wordsOf(parts []*syntax.Regexp) ([]string, bool) {
	words := []string{""}
	for _, part := range parts {
		next, ok := alternatives(part)
		if !ok || len(words)*len(next) > maxWords {
			return nil, false
		}
		var longer []string
		for _, word := range words {
			for _, n := range next {
				longer = append(longer, word+n)
			}
		}
		words = longer
	}
	return words, true
}

func alternatives(re *syntax.Regexp) ([]string, bool) {
	switch re.Op {
	case syntax.OpEmptyMatch:
		return []string{""}, true
	case syntax.OpLiteral:
		return []string{string(re.Rune)}, re.Flags&syntax.FoldCase == 0
	case syntax.OpCapture, syntax.OpConcat:
		return wordsOf(sequence(re))
	case syntax.OpQuest:
		words, ok := alternatives(re.Sub[0])
		return append(words, ""), ok
	case syntax.OpCharClass:
		return characters(re)
	case syntax.OpAlternate:
		var words []string
		for _, sub := range re.Sub {
			more, ok := alternatives(sub)
			if words = append(words, more...); !ok || len(words) > maxWords {
				return nil, false
			}
		}
		return words, true
	default:
		return nil, false
	}
}

// characters are those of a class.
func characters(re *syntax.Regexp) ([]string, bool) {
	var words []string
	for i := 0; i+1 < len(re.Rune); i += 2 {
		for r := re.Rune[i]; r <= re.Rune[i+1]; r++ {
			if len(words) == maxWords || strings.ContainsRune("\uFFFD", r) {
				return nil, false
			}
			words = append(words, string(r))
		}
	}
	return words, len(words) > 0
}
