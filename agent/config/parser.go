package config

import (
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/eventbaton/baton/agent/filter"
	"github.com/eventbaton/baton/agent/sink"
)

// parser fills a Config from a file and the environment.
type parser struct {
	decoder
	config *Config
	types  map[string]func() sink.Options

	decoded    int              // how many problems the decoder has found
	keys       map[string]place // where each key of the top level was set
	sinkPlaces []place          // where each of config.Sinks stands
	namespace  string           // the Agent 5's namespace
}

// document reads the file; root is nil for an empty one.
func (p *parser) document(root *yaml.Node) {
	p.keys = map[string]place{}
	if root == nil {
		return
	}
	if !p.expect(root, yaml.MappingNode, place{line: max(root.Line, 1)}) {
		return
	}
	entries := p.entries(root, place{line: root.Line})
	if isAgent5(entries) {
		p.agent5(entries)
		return
	}
	p.top(entries, place{})
}

// top decodes the keys of the top level.
func (p *parser) top(entries []entry, at place) {
	known := fieldsOf(reflect.ValueOf(p.config).Elem())
	for _, e := range entries {
		where := at.key(quoteKey(e.key), e.line)
		f, ok := known.find(e.key)
		if !ok {
			p.problem(where, "is not a key here; %s", suggest(e.key, known.keys()))
			continue
		}
		p.set(f, e.value, where)
	}
}

// set decodes one key of the top level. A key can stand in two places in the Agent 5 layout, but only in one of them.
func (p *parser) set(f field, value *yaml.Node, at place) {
	if earlier, ok := p.keys[f.key]; ok {
		p.problem(at, "stands twice, first in line %d; remove one", earlier.line)
		return
	}
	if isNull(value) {
		return
	}
	p.keys[f.key] = at
	if f.key == "sinks" {
		p.sinks(value, at)
		return
	}
	p.field(value, f, at)
}

// sinks decodes the list of sinks.
func (p *parser) sinks(n *yaml.Node, at place) {
	if !p.expect(n, yaml.SequenceNode, at) {
		return
	}
	for i, item := range n.Content {
		where := at.item(i, item.Line)
		item = resolve(item)
		if p.spend(where) && p.expect(item, yaml.MappingNode, where) {
			p.sinkPlaces = append(p.sinkPlaces, where)
			p.sink(p.entries(item, where), where)
		}
	}
}

// sink decodes one sink: the keys that all have, and the others into the options of its type.
func (p *parser) sink(entries []entry, at place) {
	s := Sink{Repeats: RepeatsEvery}
	common := fieldsOf(reflect.ValueOf(&s).Elem())
	var others []entry
	for _, e := range entries {
		if f, ok := common.find(e.key); ok {
			p.field(e.value, f, at.key(e.key, e.line))
		} else {
			others = append(others, e)
		}
	}
	p.options(&s, others, at)
	p.filter(&s, at)
	p.repeats(&s, at)
	p.config.Sinks = append(p.config.Sinks, s)
}

// options decodes what belongs to the type of the sink, and has it checked.
func (p *parser) options(s *Sink, entries []entry, at place) {
	names := slices.Sorted(maps.Keys(p.types))
	empty, ok := p.types[s.Type]
	switch where := p.at(at, "type"); {
	case reported(p.problems, where.path):
		return
	case s.Type == "":
		p.problem(where, "is missing; write %s", or(names))
		return
	case !ok:
		p.problem(where, "is %s, which is no type of sink; %s", quote(where, s.Type), suggest(s.Type, names))
		return
	}
	s.Options = empty()
	p.fieldsOfType(entries, s, at)
	decoded := p.problems
	for _, problem := range s.Options.Check() {
		if where := p.at(at, problem.Key); !reported(decoded, where.path) {
			p.problem(where, "%s", problem.Text)
		}
	}
}

// fieldsOfType decodes the options; a key that the type doesn't know may be meant as one of those that all have.
func (p *parser) fieldsOfType(entries []entry, s *Sink, at place) {
	v := reflect.ValueOf(s.Options).Elem()
	known := fieldsOf(v)
	all := append(known.keys(), fieldsOf(reflect.ValueOf(s).Elem()).keys()...)
	for _, e := range entries {
		where := at.key(quoteKey(e.key), e.line)
		if f, ok := known.find(e.key); ok {
			p.field(e.value, f, where)
			continue
		}
		p.problem(where, "is not a key of a sink of type %s; %s", s.Type, suggest(e.key, all))
	}
}

// filter compiles the sink's expression, or the one that its type has where there is none.
func (p *parser) filter(s *Sink, at place) {
	if selective, ok := s.Options.(sink.Selective); ok && s.Filter == "" {
		s.Filter = selective.DefaultFilter()
	}
	if s.Filter == "" {
		return
	}
	match, err := filter.Compile(s.Filter)
	if err != nil {
		p.problem(p.at(at, "filter"), "at %v", err)
		return
	}
	s.Match = match
}

// The limits of repeat_interval. What is held back for longer than a leader's events are kept would be lost with it.
const (
	defaultRepeatInterval                = sink.Duration(5 * time.Minute)
	minRepeatInterval, maxRepeatInterval = time.Second, 30 * time.Minute
)

// repeats checks how far apart repeated records are.
func (p *parser) repeats(s *Sink, at place) {
	where := p.at(at, "repeat_interval")
	switch every := s.RepeatInterval; {
	case reported(p.problems, where.path):
	case every == nil && s.Repeats == RepeatsRate:
		interval := defaultRepeatInterval
		s.RepeatInterval = &interval
	case every == nil:
	case s.Repeats != RepeatsRate && !reported(p.problems, p.at(at, "repeats").path):
		p.problem(where, "is %v, which does nothing with repeats: %s; write repeats: rate, or remove it", every, s.Repeats)
	case time.Duration(*every) < minRepeatInterval || time.Duration(*every) > maxRepeatInterval:
		p.problem(where, "is %v; write 1s to 30m", every)
	}
}

// at is where a key below another place stands. One that stands nowhere is where the nearest one above it does.
func (p *parser) at(above place, key string) place {
	path := above.path + "." + key
	line := above.line
	for cut := path; len(cut) > len(above.path); cut = parent(cut) {
		if found, ok := p.places[cut]; ok {
			line = found.line
			break
		}
	}
	return place{path: path, line: line}
}

// parent is the path without its last key or index.
func parent(path string) string { return path[:max(strings.LastIndexAny(path, ".["), 0)] }
