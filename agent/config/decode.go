package config

import (
	"cmp"
	"encoding"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// maxNodes bounds how many nodes are decoded. Aliases make a short file a huge one.
const maxNodes = 100_000

// maxMerges bounds how deep merge keys (<<) are nested. A mapping can even merge itself.
const maxMerges = 20

// maxProblems bounds how many problems are told. Nobody reads more of a file that isn't one of ours.
const maxProblems = 100

// decoder puts nodes into values, and collects what is wrong with them instead of ending at the first problem.
type decoder struct {
	file     string
	problems Problems
	untold   int // how many more problems there were
	nodes    int
	places   map[string]place // of every key that was decoded, by its path
}

// place is where something stands.
type place struct {
	file string // empty for the decoder's file
	path string // such as sinks[0].url
	line int
}

func (at place) key(name string, line int) place {
	if at.path != "" {
		name = at.path + "." + name
	}
	return place{path: name, line: line}
}

func (at place) item(i, line int) place {
	return place{path: fmt.Sprintf("%s[%d]", at.path, i), line: line}
}

// problem notes that something is wrong at a place. The text goes on after the key: "is ...; write ...".
func (d *decoder) problem(at place, format string, args ...any) {
	if len(d.problems) == maxProblems {
		d.untold++
		return
	}
	d.problems = append(d.problems, Problem{
		File: cmp.Or(at.file, d.file), Line: at.line, Key: at.path, Text: fmt.Sprintf(format, args...),
	})
}

// spend counts a node, and says whether there may be another one.
func (d *decoder) spend(at place) bool {
	d.nodes++
	if d.nodes == maxNodes {
		d.problem(at, "has, with its aliases, more than %d values; use fewer aliases", maxNodes)
	}
	return d.nodes < maxNodes
}

// told are all problems in the order of the lines, nil for none.
func (d *decoder) told() Problems {
	d.problems.sort()
	if d.untold > 0 {
		last := d.problems[len(d.problems)-1]
		d.problems = append(d.problems, Problem{File: d.file, Line: last.Line, Text: fmt.Sprintf("and %d more problems", d.untold)})
	}
	return d.problems
}

// entry is one key of a mapping.
type entry struct {
	key   string
	line  int // of the key
	value *yaml.Node
}

// entries are the keys of a mapping in their order, those of merge keys last. A key that stands twice is a problem;
// one that is merged as well is not: what stands there itself counts.
func (d *decoder) entries(n *yaml.Node, at place) []entry { return d.merged(n, at, 0) }

func (d *decoder) merged(n *yaml.Node, at place, depth int) []entry {
	var own, merges []entry
	lines := map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := resolve(n.Content[i]), resolve(n.Content[i+1])
		if !d.spend(at) {
			return nil
		}
		switch {
		case key.ShortTag() == "!!merge":
			merges = append(merges, d.merge(value, at.key("<<", key.Line), depth)...)
		case key.Kind != yaml.ScalarNode:
			d.problem(place{path: at.path, line: key.Line}, "has %s as a key; write a word", kindOf(key))
		case lines[key.Value] > 0:
			d.problem(at.key(quoteKey(key.Value), key.Line), "stands twice, first in line %d; remove one", lines[key.Value])
		default:
			lines[key.Value] = key.Line
			own = append(own, entry{key.Value, key.Line, value})
		}
	}
	for _, e := range merges {
		if lines[e.key] == 0 {
			lines[e.key] = e.line
			own = append(own, e)
		}
	}
	return own
}

// merge are the entries that a merge key brings: those of a mapping or of each of a list of mappings.
func (d *decoder) merge(value *yaml.Node, at place, depth int) []entry {
	sources := []*yaml.Node{value}
	if value.Kind == yaml.SequenceNode {
		sources = value.Content
	}
	var all []entry
	for _, source := range sources {
		source = resolve(source)
		switch {
		case source.Kind != yaml.MappingNode:
			d.problem(at, "is %s; a merge key takes the alias of a mapping", kindOf(source))
		case depth == maxMerges:
			d.problem(at, "is nested more than %d deep; write the keys out", maxMerges)
			return nil
		case d.spend(at):
			all = append(all, d.merged(source, at, depth+1)...)
		}
	}
	return all
}

func resolve(n *yaml.Node) *yaml.Node {
	if n.Kind == yaml.AliasNode {
		return n.Alias
	}
	return n
}

var textUnmarshaler = reflect.TypeFor[encoding.TextUnmarshaler]()

// value decodes a node into v. Null leaves v as it is: a key without a value means the default.
func (d *decoder) value(n *yaml.Node, v reflect.Value, at place) {
	n = resolve(n)
	d.places[at.path] = at
	if !d.spend(at) || isNull(n) {
		return
	}
	switch {
	case v.Type() == reflect.TypeFor[time.Duration](), v.Addr().Type().Implements(textUnmarshaler):
		d.scalar(n, v, at)
	case v.Kind() == reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		d.value(n, v.Elem(), at)
	case v.Kind() == reflect.Struct:
		if d.expect(n, yaml.MappingNode, at) {
			d.fields(d.entries(n, at), v, at)
		}
	case v.Kind() == reflect.Map:
		d.mapping(n, v, at)
	case v.Kind() == reflect.Slice:
		d.sequence(n, v, at)
	default:
		d.scalar(n, v, at)
	}
}

// fields decodes entries into a struct.
func (d *decoder) fields(entries []entry, v reflect.Value, at place) {
	known := fieldsOf(v)
	for _, e := range entries {
		where := at.key(quoteKey(e.key), e.line)
		if f, ok := known.find(e.key); ok {
			d.field(e.value, f, where)
		} else {
			d.problem(where, "is not a key here; %s", suggest(e.key, known.keys()))
		}
	}
}

// field decodes one field, and checks the words that its tag allows.
func (d *decoder) field(n *yaml.Node, f field, at place) {
	before := len(d.problems)
	d.value(n, f.value, at)
	words := strings.Fields(f.tag.Get("values"))
	if len(words) == 0 || len(d.problems) > before || slices.Contains(words, f.value.String()) {
		return
	}
	d.problem(at, "is %s; write %s", quote(at, f.value.String()), or(words))
}

func (d *decoder) mapping(n *yaml.Node, v reflect.Value, at place) {
	if !d.expect(n, yaml.MappingNode, at) {
		return
	}
	m := reflect.MakeMap(v.Type())
	for _, e := range d.entries(n, at) {
		item := reflect.New(v.Type().Elem()).Elem()
		where := at.key(quoteKey(e.key), e.line)
		d.present(e.value, where)
		d.value(e.value, item, where)
		m.SetMapIndex(reflect.ValueOf(e.key).Convert(v.Type().Key()), item)
	}
	v.Set(m)
}

func (d *decoder) sequence(n *yaml.Node, v reflect.Value, at place) {
	if !d.expect(n, yaml.SequenceNode, at) {
		return
	}
	s := reflect.MakeSlice(v.Type(), 0, 0)
	for i, item := range n.Content {
		if d.nodes >= maxNodes {
			return
		}
		value := reflect.New(v.Type().Elem()).Elem()
		where := at.item(i, item.Line)
		d.present(resolve(item), where)
		d.value(item, value, where)
		s = reflect.Append(s, value)
	}
	v.Set(s)
}

// present complains about an item without a value: there is no default for it.
func (d *decoder) present(n *yaml.Node, at place) {
	if isNull(n) {
		d.problem(at, "is empty; write a value or remove it")
	}
}

// expect says whether n is of the kind, and complains where it isn't.
func (d *decoder) expect(n *yaml.Node, kind yaml.Kind, at place) bool {
	if n.Kind == kind && strings.HasPrefix(n.ShortTag(), "!!") {
		return true
	}
	want := "keys and values, such as key: value"
	if kind == yaml.SequenceNode {
		want = "a list, such as [a, b]"
	}
	d.problem(at, "is %s; write %s", kindOf(n), want)
	return false
}

// kindOf names what a node is.
func kindOf(n *yaml.Node) string {
	if tag := n.ShortTag(); strings.HasPrefix(tag, "!") && !strings.HasPrefix(tag, "!!") {
		return "something tagged " + tag
	}
	if n.Kind == yaml.MappingNode {
		return "a mapping"
	}
	if n.Kind == yaml.SequenceNode {
		return "a list"
	}
	switch n.ShortTag() {
	case "!!null":
		return "empty"
	case "!!bool":
		return "true or false"
	case "!!int", "!!float":
		return "a number"
	case "!!timestamp":
		return "a date"
	case "!!binary":
		return "binary data"
	default:
		return "text"
	}
}
