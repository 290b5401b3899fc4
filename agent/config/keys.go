package config

import (
	"reflect"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// field is one field of a struct that a key stands for.
type field struct {
	key   string
	tag   reflect.StructTag
	value reflect.Value
}

type fields []field

// fieldsOf are the fields of a struct that have a key, those of embedded structs as its own.
func fieldsOf(v reflect.Value) fields {
	var all fields
	for structField, value := range v.Fields() {
		key, options, _ := strings.Cut(structField.Tag.Get("yaml"), ",")
		switch {
		case key == "-":
		case options == "inline" || structField.Anonymous && key == "":
			all = append(all, fieldsOf(value)...)
		case key != "":
			all = append(all, field{key, structField.Tag, value})
		}
	}
	return all
}

func (f fields) find(key string) (field, bool) {
	i := slices.IndexFunc(f, func(f field) bool { return f.key == key })
	if i < 0 {
		return field{}, false
	}
	return f[i], true
}

func (f fields) keys() []string {
	keys := make([]string, len(f))
	for i := range f {
		keys[i] = f[i].key
	}
	return keys
}

// suggest says what to write instead of a word that isn't known: the one that was likely meant, or all.
func suggest(word string, known []string) string {
	if near := nearest(word, known); near != "" {
		return "did you mean " + near + "?"
	}
	if len(known) == 0 {
		return "remove it"
	}
	sorted := slices.Sorted(slices.Values(known))
	return "there are " + strings.Join(sorted, ", ")
}

// nearest is the known word that is the same but for case and dashes, or at most two mistakes away; "" for none.
func nearest(word string, known []string) string {
	word = letters(word)
	best, least := "", 3
	for _, k := range known {
		candidate := letters(k)
		if longer := len(candidate) - len(word); longer >= least || -longer >= least {
			continue
		}
		if d := distance(word, candidate); d < least && d < (len(k)+1)/2 {
			best, least = k, d
		}
	}
	return best
}

func letters(s string) string {
	if len(s) > 100 {
		return ""
	}
	return separators.Replace(strings.ToLower(s))
}

var separators = strings.NewReplacer("_", "", "-", "", ".", "")

// distance is how many letters have to be added, removed, changed or swapped with the next one.
func distance(a, b string) int {
	before, row := make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		last := slices.Clone(row)
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			row[j+1] = min(last[j+1]+1, row[j]+1, last[j]+cost)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				row[j+1] = min(row[j+1], before[j-1]+1)
			}
		}
		before = last
	}
	return row[len(b)]
}

// quoteKey is a key as it is written in a path: in quotes where it isn't a plain word.
func quoteKey(key string) string {
	odd := func(r rune) bool {
		return !unicode.IsLetter(r) && !unicode.IsDigit(r) && !strings.ContainsRune("_-/<", r)
	}
	if key == "" || len(key) > 80 || strings.ContainsFunc(key, odd) {
		return strconv.Quote(shorten(key))
	}
	return key
}

// quote is a value as a message shows it: short, and without secrets.
func quote(at place, value string) string { return strconv.Quote(shorten(redact(at.path, value))) }

func shorten(s string) string {
	const most = 60
	if r := []rune(s); len(r) > most {
		return string(r[:most]) + "..."
	}
	return s
}

// or lists words as alternatives.
func or(words []string) string {
	if len(words) == 1 {
		return words[0]
	}
	return strings.Join(words[:len(words)-1], ", ") + " or " + words[len(words)-1]
}
