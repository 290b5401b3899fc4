package config

import (
	"reflect"

	"go.yaml.in/yaml/v3"
)

// Variable is an environment variable that overrides a key of the file.
type Variable struct{ Name, Key string }

// Variables are all of them; their names are those of the Agent 5.
var Variables = []Variable{
	{"KUBERNETES_LEADER_CANDIDATE", "leader_candidate"},
	{"KUBERNETES_LEADER_LEASE_DURATION", "leader_lease_duration"},
	{"KUBERNETES_COLLECT_EVENTS", "collect_events"},
	{"KUBERNETES_NAMESPACE_NAME_REGEX", "namespace_name_regexp"},
}

// environment overrides the file. An empty variable is as good as none.
func (p *parser) environment(env func(string) (string, bool)) {
	if env == nil {
		return
	}
	known := fieldsOf(reflect.ValueOf(p.config).Elem())
	for _, variable := range Variables {
		text, ok := env(variable.Name)
		if !ok || text == "" {
			continue
		}
		f, _ := known.find(variable.Key)
		at := place{file: "environment", path: variable.Name}
		// As text: the type of the field decides what it is, a variable has no quotes to do so.
		p.scalar(&yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: text}, f.value, at)
		p.keys[variable.Key] = at
	}
}
