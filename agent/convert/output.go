package convert

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"

	"github.com/eventbaton/baton/agent/config"
	"github.com/eventbaton/baton/agent/sink"
)

// output is the kubernetes.yaml that is written.
type output struct {
	title  string   // begins the file's first comment
	intro  string   // goes on with it
	header []string // and what there is to say of no sink
	top    settings
	ready  []*yaml.Node // sinks that are in our layout already
	sinks  []*draft
	bare   bool // without comments
}

// settings are keys with their values, each with the place that it comes from.
type settings []setting

type setting struct {
	path     []string // such as [tls ca_file]
	node     *yaml.Node
	from     place
	comments []string
}

// set sets a key, which has dots where it is nested, to a value. A comment stands above it.
func (s *settings) set(from place, key string, node *yaml.Node, comments ...string) {
	s.setPath(from, strings.Split(key, "."), node, comments...)
}

func (s *settings) setPath(from place, path []string, node *yaml.Node, comments ...string) {
	same := func(other setting) bool { return slices.Equal(other.path, path) }
	*s = append(slices.DeleteFunc(*s, same), setting{path, node, from, comments})
}

// setText sets a key to a text, unless that is empty.
func (s *settings) setText(key string, t text) {
	if t.set() {
		s.set(t.place, key, word(t.value))
	}
}

// draft is a sink that is being written.
type draft struct {
	place             // of what it comes from
	name, kind string // kind is empty where there is no equal: then it is a comment
	filter     condition
	keys       settings
	comments   []string // above it
}

func (d *draft) comment(lines ...string) { d.comments = append(d.comments, lines...) }

// sink begins a sink under a name as near to the given one as a sink's may be. The comments say where it comes from.
func (c *conversion) sink(at place, name, kind string, comments ...string) *draft {
	d := &draft{place: at, name: c.freeName(name), kind: kind, filter: yes, comments: comments}
	if kind != "" && d.name != name {
		d.comment(c.note(at, "is the sink %s here: a sink's name is a DNS label, and each is another", d.name))
	}
	c.sinks = append(c.sinks, d)
	return d
}

func (c *conversion) freeName(name string) string {
	const most = 50
	base := strings.Trim(strings.Map(func(r rune) rune {
		switch r = unicode.ToLower(r); {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9':
			return r
		}
		return '-'
	}, name), "-")
	base = strings.Trim(base[:min(len(base), most)], "-")
	if base == "" {
		base = "sink"
	}
	for i := 1; ; i++ {
		free := base
		if i > 1 {
			free += "-" + strconv.Itoa(i)
		}
		if !slices.ContainsFunc(c.sinks, func(d *draft) bool { return d.name == free }) {
			return free
		}
	}
}

// settle writes the file, and takes away what config.Parse doesn't accept until it accepts it all.
func (c *conversion) settle() []byte {
	for {
		out := c.render()
		_, err := config.Parse("", out, nil)
		problems, ok := errors.AsType[config.Problems](err)
		if !ok {
			return out
		}
		written := slices.DeleteFunc(slices.Clone(c.sinks), func(d *draft) bool { return d.kind == "" })
		less := false
		for _, problem := range problems {
			if problem.Key != "" || len(problems) == 1 { // another one without a key only counts the others
				less = c.giveUp(problem, written) || less
			}
		}
		if !less {
			c.problem(place{line: 1}, "can't be converted: %s", problems[0].Text)
			return nil
		}
	}
}

// giveUp takes away what there is a problem with, and says whether there was anything to take away.
func (c *conversion) giveUp(problem config.Problem, written []*draft) bool {
	var i int
	switch n, _ := fmt.Sscanf(problem.Key, "sinks[%d]", &i); {
	case problem.Key == "" && !c.bare:
		c.bare = true // the file as a whole is too long
	case n == 1 && i < len(written):
		_, key, _ := strings.Cut(problem.Key, "].")
		c.giveUpOf(written[i], key, problem.Text)
	case problem.Key != "" && c.drop(&c.top, problem.Key, problem.Text):
	case len(written) > 0:
		for _, d := range written[len(written)-len(written)/8-1:] { // one at a time would take long
			c.giveUpOf(d, "", problem.Text)
		}
	default:
		return false
	}
	return true
}

func (c *conversion) giveUpOf(d *draft, key, problem string) {
	switch {
	case d.kind == "": // for another problem already
	case key == "filter" && d.filter.op != always:
		d.filter = yes
		d.comment(c.lack(d.place, "its conditions are too much for one filter (%s); it gets all events", problem))
	case key == "" || !c.drop(&d.keys, key, problem):
		c.giveUpSink(d, strings.TrimSpace(key+" "+problem))
	}
}

func (c *conversion) giveUpSink(d *draft, problem string) {
	d.comment(c.lack(d.place, "as a sink of type %s, %s", d.kind, problem))
	if d.filter.op != always {
		d.comment("Its filter would be: " + d.filter.text)
	}
	d.kind = ""
}

// drop takes away the settings at or below the key, else those above it; false where there are none.
func (c *conversion) drop(s *settings, key, problem string) bool {
	path := strings.FieldsFunc(key, func(r rune) bool { return strings.ContainsRune(`.[]"`, r) })
	related := func(other setting) bool {
		n := min(len(path), len(other.path))
		return slices.Equal(path[:n], other.path[:n])
	}
	var found bool
	*s = slices.DeleteFunc(*s, func(other setting) bool {
		if !related(other) {
			return false
		}
		found = true
		c.lack(other.from, "%s %s", strings.Join(other.path, "."), problem)
		return true
	})
	return found
}

// render is the file as it stands.
func (c *conversion) render() []byte {
	root := &yaml.Node{Kind: yaml.MappingNode}
	c.top.write(root, orderOf(reflect.ValueOf(config.Default())))
	list := &yaml.Node{Kind: yaml.SequenceNode, Content: slices.Clone(c.ready)}
	var pending []string
	for _, d := range c.sinks {
		if d.kind == "" {
			pending = append(pending, append(d.comments, "")...)
			continue
		}
		list.Content = append(list.Content, d.node(pending))
		pending = nil
	}
	key := word("sinks")
	if len(list.Content) == 0 {
		pending = append(pending, "Nothing of this has an equal. Until there is another sink, the pod's log shows the records.")
		list.Content = append(list.Content, (&draft{name: "log", kind: "stdout", filter: yes}).node(pending))
		pending = nil
	}
	root.Content = append(root.Content, key, list)
	document := &yaml.Node{Kind: yaml.DocumentNode, Content: []*yaml.Node{root}, HeadComment: commentOf(c.above())}
	document.FootComment = commentOf(pending)
	if c.bare {
		strip(document)
	}
	var b strings.Builder
	encoder := yaml.NewEncoder(&b)
	encoder.SetIndent(2)
	if err := encoder.Encode(document); err != nil { // which a tree of our own can't bring about
		panic(err)
	}
	return []byte(b.String())
}

// above is what stands above the file.
func (c *conversion) above() []string {
	above := []string{c.title}
	if c.intro != "" {
		above = append(above, c.intro)
	}
	if len(c.header) > 0 {
		above = append(append(above, ""), c.header...)
	}
	return above
}

// strip takes the comments away.
func strip(n *yaml.Node) {
	n.HeadComment, n.FootComment = "", ""
	for _, child := range n.Content {
		strip(child)
	}
}

// node is the sink, with what precedes it above its own comments.
func (d *draft) node(before []string) *yaml.Node {
	n := &yaml.Node{Kind: yaml.MappingNode, HeadComment: commentOf(append(before, d.comments...))}
	n.Content = append(n.Content, word("name"), word(d.name), word("type"), word(d.kind))
	options := sink.Types[d.kind]()
	_, selective := options.(sink.Selective)
	if d.filter.op != always || selective {
		n.Content = append(n.Content, word("filter"), word(d.filter.lines()))
	}
	d.keys.write(n, orderOf(reflect.ValueOf(options)))
	return n
}

// write appends the settings to a mapping in the order of the reference.
func (s settings) write(n *yaml.Node, order []string) {
	sorted := slices.Clone(s)
	slices.SortStableFunc(sorted, func(a, b setting) int {
		return rank(order, a.path) - rank(order, b.path)
	})
	for _, each := range sorted {
		into := n
		for _, part := range each.path[:len(each.path)-1] {
			into = child(into, part)
		}
		key := word(each.path[len(each.path)-1])
		key.HeadComment = commentOf(each.comments)
		into.Content = append(into.Content, key, each.node)
	}
}

func rank(order, path []string) int {
	key := strings.Join(path, ".")
	for ; key != ""; key = key[:max(strings.LastIndex(key, "."), 0)] {
		if i := slices.Index(order, key); i >= 0 {
			return i
		}
	}
	return len(order)
}

// child is the mapping at a key, made where it isn't there.
func child(n *yaml.Node, key string) *yaml.Node {
	for i := 0; i < len(n.Content); i += 2 {
		if n.Content[i].Value == key {
			return n.Content[i+1]
		}
	}
	made := &yaml.Node{Kind: yaml.MappingNode}
	n.Content = append(n.Content, word(key), made)
	return made
}

// orderOf are the keys of options, dotted, in the order of their reference.
func orderOf(v reflect.Value) []string {
	for v.Kind() == reflect.Pointer {
		v = v.Elem()
	}
	var keys []string
	for f, value := range v.Fields() {
		key, options, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		switch {
		case key == "-" || !f.IsExported():
			continue
		case options != "inline" && key != "":
			keys = append(keys, key)
		}
		if value.Kind() != reflect.Struct {
			continue
		}
		for _, inner := range orderOf(value) {
			if options != "inline" && key != "" {
				inner = key + "." + inner
			}
			keys = append(keys, inner)
		}
	}
	return keys
}

// The nodes of values.

// word is text, in quotes where it would be read as something else without.
func word(s string) *yaml.Node {
	n := &yaml.Node{}
	n.SetString(s)
	return n
}

func words(list []string) *yaml.Node {
	n := &yaml.Node{Kind: yaml.SequenceNode}
	if len(list) == 0 {
		n.Style = yaml.FlowStyle
	}
	for _, s := range list {
		n.Content = append(n.Content, word(s))
	}
	return n
}

func number(i int) *yaml.Node {
	return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!int", Value: strconv.Itoa(i)}
}

func truth(b bool) *yaml.Node {
	return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!bool", Value: strconv.FormatBool(b)}
}

// The widths of a comment's lines, and of a text in it.
const (
	commentWidth = 110
	maxShown     = 400
)

// commentOf makes a comment of paragraphs.
func commentOf(paragraphs []string) string {
	var lines []string
	for i, p := range paragraphs {
		if p == "" && i == len(paragraphs)-1 {
			break
		}
		lines = append(lines, wrapped(p)...)
	}
	return strings.Join(lines, "\n")
}

func wrapped(paragraph string) []string {
	var lines []string
	line := "#"
	for w := range strings.FieldsSeq(paragraph) {
		if len(line) > 1 && utf8.RuneCountInString(line)+1+utf8.RuneCountInString(w) > commentWidth {
			lines = append(lines, line)
			line = "#"
		}
		line += " " + w
	}
	return append(lines, line)
}

// shown is a text of the input as people can read it: in one line, without what isn't printable, and short.
func shown(s string) string {
	s = strings.Map(func(r rune) rune {
		switch {
		case unicode.IsSpace(r):
			return ' '
		case !unicode.IsPrint(r):
			return '?'
		}
		return r
	}, s)
	if r := []rune(s); len(r) > maxShown {
		return string(r[:maxShown]) + "..."
	}
	return s
}
