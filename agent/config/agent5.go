package config

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// The layout of Datadog Agent 5: a mapping init_config and a list instances with one instance, whose keys for events
// have the names that ours have. Our own keys may stand in the instance or beside init_config.

func isAgent5(entries []entry) bool {
	return slices.ContainsFunc(entries, func(e entry) bool { return e.key == "init_config" || e.key == "instances" })
}

// agent5 reads a file in that layout.
func (p *parser) agent5(entries []entry) {
	p.config.Agent5 = true
	var own []entry
	var ignored []string
	for _, e := range entries {
		where := place{path: e.key, line: e.line}
		switch e.key {
		case "init_config":
			ignored = append(ignored, p.initConfig(e.value, where)...)
		case "instances":
			ignored = append(ignored, p.instances(e.value, where)...)
		default:
			own = append(own, e)
		}
	}
	p.top(own, place{})
	if _, ok := p.keys["namespaces"]; !ok {
		p.config.Namespaces = []string{"default"}
	}
	if p.namespace != "" && !slices.Contains(p.config.Namespaces, p.namespace) {
		p.config.Namespaces = append(p.config.Namespaces, p.namespace)
	}
	if len(ignored) > 0 {
		p.warn("these keys of the Agent 5 are not about events and do nothing here: %s", strings.Join(ignored, ", "))
	}
}

// initConfig gives the keys of init_config, none of which is about events.
func (p *parser) initConfig(n *yaml.Node, at place) []string {
	if isNull(n) || !p.expect(n, yaml.MappingNode, at) {
		return nil
	}
	var keys []string
	for _, e := range p.entries(n, at) {
		keys = append(keys, at.key(quoteKey(e.key), e.line).path)
	}
	return keys
}

// instances reads the one instance, and gives those of its keys that are not about events.
func (p *parser) instances(n *yaml.Node, at place) []string {
	if isNull(n) || !p.expect(n, yaml.SequenceNode, at) {
		return nil
	}
	var ignored []string
	for i, item := range n.Content {
		where := at.item(i, item.Line)
		item = resolve(item)
		switch {
		case i > 0:
			p.problem(where, "is a second instance; gather from one cluster with one instance")
		case isNull(item):
		case p.expect(item, yaml.MappingNode, where):
			ignored = p.instance(p.entries(item, where), where)
		}
	}
	return ignored
}

// instance decodes our keys. A key that is nearly one of ours is a mistake; any other is of the Agent's own, whose
// versions had too many to know them all.
func (p *parser) instance(entries []entry, at place) []string {
	known := fieldsOf(reflect.ValueOf(p.config).Elem())
	var ignored []string
	for _, e := range entries {
		where := at.key(quoteKey(e.key), e.line)
		f, ok := known.find(e.key)
		switch near := nearest(e.key, known.keys()); {
		case ok:
			p.set(f, e.value, where)
		case e.key == "namespace":
			p.outdated(e.value, where)
		case near != "":
			p.problem(where, "is not a key here; did you mean %s?", near)
		default:
			ignored = append(ignored, quoteKey(e.key))
		}
	}
	return ignored
}

// outdated reads namespace, the forerunner of namespaces. The Agent 5 added it to them, but for the default.
func (p *parser) outdated(n *yaml.Node, at place) {
	p.value(n, reflect.ValueOf(&p.namespace).Elem(), at)
	if p.namespace != "" && p.namespace != "default" {
		p.keys["namespace"] = at
		p.warn("line %d: %s is outdated; write namespaces, a list", at.line, at.path)
	}
}

func (p *parser) warn(format string, args ...any) {
	p.config.Warnings = append(p.config.Warnings, fmt.Sprintf(format, args...))
}
