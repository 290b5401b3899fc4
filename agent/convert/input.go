package convert

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"go.yaml.in/yaml/v3"

	"github.com/eventbaton/baton/agent/config"
)

// The bounds of an input. Aliases make a short file a huge or an endless one.
const (
	maxNodes = 100_000
	maxDepth = 100
)

// input is the configuration that is read.
type input struct {
	file      string
	data      []byte
	variables func(string) (string, []string)
	problems  config.Problems
	findings  []Finding
	nodes     int
}

// place is where something stands in the input.
type place struct {
	path string
	line int
}

func (at place) key(name string, line int) place {
	if strings.ContainsFunc(name, oddInKey) || name == "" {
		name = strconv.Quote(name)
	}
	if at.path != "" {
		name = at.path + "." + name
	}
	return place{name, line}
}

func (at place) item(i, line int) place { return place{fmt.Sprintf("%s[%d]", at.path, i), line} }

func oddInKey(r rune) bool {
	return !unicode.IsLetter(r) && !unicode.IsDigit(r) && !strings.ContainsRune("_-/", r)
}

// problem notes why the input can't be used: "is ...; write ...".
func (in *input) problem(at place, format string, args ...any) {
	in.problems = append(in.problems, config.Problem{
		File: in.file, Line: at.line, Key: shown(at.path), Text: fmt.Sprintf(format, args...),
	})
}

// read parses the file, whose content has to be a mapping.
func (in *input) read(data []byte) *object {
	in.data = data
	root, err := config.Document(in.file, data)
	if problems, ok := errors.AsType[config.Problems](err); ok {
		in.problems = problems
		return nil
	}
	if root == nil {
		in.problem(place{line: 1}, "is empty; name the file with the configuration")
		return nil
	}
	root = in.resolve(root, 0)
	if len(in.problems) > 0 {
		return nil
	}
	o := in.object(value{root, place{line: max(root.Line, 1)}})
	in.refuseManifest(o)
	return o
}

// refuseManifest says what to do with a ConfigMap in which the configuration is.
func (in *input) refuseManifest(o *object) {
	kind, _ := o.find("kind")
	_, versioned := o.find("apiVersion")
	if kind.node == nil || !versioned {
		return
	}
	in.problem(kind.place, "says that this is an object of Kubernetes; give the configuration in it, such as by "+
		`kubectl get configmap NAME -o jsonpath='{.data.config\.yaml}' | baton convert ... -`)
}

// resolve is the node without aliases, merge keys and comments, in which there may be secrets.
func (in *input) resolve(n *yaml.Node, depth int) *yaml.Node {
	in.nodes++
	switch {
	case in.nodes > maxNodes && len(in.problems) == 0:
		in.problem(place{line: n.Line}, "there are, with aliases, more than %d values; use fewer aliases", maxNodes)
	case depth > maxDepth && len(in.problems) == 0:
		in.problem(place{line: n.Line}, "is nested more than %d deep, maybe by an alias of itself; write it out", maxDepth)
	}
	if len(in.problems) > 0 {
		return n
	}
	if n.Kind == yaml.AliasNode {
		return in.resolve(n.Alias, depth+1)
	}
	out := *n
	out.Content, out.Anchor, out.HeadComment, out.LineComment, out.FootComment = nil, "", "", "", ""
	if n.Kind != yaml.MappingNode {
		for _, item := range n.Content {
			out.Content = append(out.Content, in.resolve(item, depth+1))
		}
		return &out
	}
	out.Content = in.merged(n, depth)
	return &out
}

// merged are the keys and values of a mapping, after its own those of its merge keys that it doesn't have.
func (in *input) merged(n *yaml.Node, depth int) []*yaml.Node {
	var own, merges []*yaml.Node
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, item := n.Content[i], in.resolve(n.Content[i+1], depth+1)
		switch {
		case key.ShortTag() != "!!merge":
			own = append(own, in.resolve(key, depth+1), item)
		case item.Kind == yaml.SequenceNode:
			for _, source := range item.Content {
				merges = append(merges, source.Content...)
			}
		default:
			merges = append(merges, item.Content...)
		}
	}
	known := map[string]bool{}
	for i := 0; i < len(own); i += 2 {
		known[own[i].Value] = true
	}
	for i := 0; i+1 < len(merges); i += 2 {
		if !known[merges[i].Value] {
			known[merges[i].Value] = true
			own = append(own, merges[i], merges[i+1])
		}
	}
	return own
}

// value is a node and its place.
type value struct {
	node *yaml.Node
	place
}

func (v value) empty() bool {
	return v.node == nil || v.node.Kind == yaml.ScalarNode && v.node.ShortTag() == "!!null"
}

// field is one key of an object.
type field struct {
	name string
	value
}

// object is a mapping. Whoever asks for a key has dealt with it: rest are those that nobody asked for.
type object struct {
	in *input
	place
	fields []field
	asked  map[string]bool
}

// object reads a mapping; nothing is as good as an empty one.
func (in *input) object(v value) *object {
	o := &object{in: in, place: v.place, asked: map[string]bool{}}
	if v.empty() {
		return o
	}
	if v.node.Kind != yaml.MappingNode {
		in.problem(v.place, "is not a mapping; write keys and values, such as key: value")
		return o
	}
	for i := 0; i+1 < len(v.node.Content); i += 2 {
		key := v.node.Content[i]
		at := v.key(key.Value, key.Line)
		if _, twice := o.find(key.Value); twice {
			in.problem(at, "stands twice; remove one")
			continue
		}
		o.fields = append(o.fields, field{key.Value, value{v.node.Content[i+1], at}})
	}
	return o
}

func (o *object) find(key string) (field, bool) {
	i := slices.IndexFunc(o.fields, func(f field) bool { return f.name == key })
	if i < 0 {
		return field{name: key, value: value{place: o.key(key, o.line)}}, false
	}
	return o.fields[i], true
}

// get is the value of a key; one that isn't there is empty.
func (o *object) get(key string) value {
	o.asked[key] = true
	f, _ := o.find(key)
	return f.value
}

// rest are the keys with a value that nobody has asked for.
func (o *object) rest() []field {
	return slices.DeleteFunc(slices.Clone(o.fields), func(f field) bool { return o.asked[f.name] || f.empty() })
}

// has says whether the key stands there, even without a value.
func (o *object) has(key string) bool {
	_, ok := o.find(key)
	return ok
}

func (o *object) object(key string) *object { return o.in.object(o.get(key)) }

// text is a single value.
type text struct {
	place
	value     string   // with ${NAME} for a variable of the environment
	variables []string // of the environment, which it takes its value from
}

func (t text) set() bool { return t.value != "" }

func (o *object) text(key string) text { return o.in.text(o.get(key)) }

func (in *input) text(v value) text {
	t := text{place: v.place}
	if v.empty() {
		return t
	}
	if v.node.Kind != yaml.ScalarNode {
		in.problem(v.place, "is not a single value; write text")
		return t
	}
	t.value, t.variables = in.variables(v.node.Value)
	return t
}

// texts are the items of a list of text; a single text is one of one.
func (o *object) texts(key string) []text {
	v := o.get(key)
	if !v.empty() && v.node.Kind == yaml.ScalarNode {
		return []text{o.in.text(v)}
	}
	var all []text
	for _, item := range o.in.list(v) {
		all = append(all, o.in.text(item))
	}
	return all
}

func (o *object) list(key string) []value { return o.in.list(o.get(key)) }

func (in *input) list(v value) []value {
	if v.empty() {
		return nil
	}
	if v.node.Kind != yaml.SequenceNode {
		in.problem(v.place, "is not a list; write one, such as [a, b]")
		return nil
	}
	items := make([]value, len(v.node.Content))
	for i, n := range v.node.Content {
		items[i] = value{n, v.item(i, n.Line)}
	}
	return items
}

// first is the first item of a list; where there is none, nothing, at the list's place.
func (o *object) first(key string) value {
	if list := o.list(key); len(list) > 0 {
		return list[0]
	}
	return value{place: o.get(key).place}
}

// objects are the items of a list of mappings.
func (o *object) objects(key string) []*object {
	var all []*object
	for _, item := range o.list(key) {
		all = append(all, o.in.object(item))
	}
	return all
}

// pairs are the keys of an object whose values are text.
func (o *object) pairs() []pair {
	all := make([]pair, 0, len(o.fields))
	for _, f := range o.fields {
		o.asked[f.name] = true
		all = append(all, pair{f.name, o.in.text(f.value)})
	}
	return all
}

type pair struct {
	name string
	text
}

// isTrue reads a boolean, false where there is none.
func (o *object) isTrue(key string) bool {
	t := o.text(key)
	switch strings.ToLower(t.value) {
	case "true", "yes", "on", "y":
		return true
	case "", "false", "no", "off", "n":
		return false
	}
	o.in.problem(t.place, "is neither true nor false; write one of them")
	return false
}

// number reads a whole number, 0 where there is none.
func (o *object) number(key string) int {
	t := o.text(key)
	if !t.set() {
		return 0
	}
	n, err := strconv.ParseInt(t.value, 0, 32)
	if err != nil {
		o.in.problem(t.place, "is not a whole number; write one")
	}
	return int(n)
}
