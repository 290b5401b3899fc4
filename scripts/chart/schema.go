package main

import (
	"bytes"
	_ "embed"
	"encoding"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/eventbaton/baton/agent/config"
	"github.com/eventbaton/baton/agent/sink"
)

// base is the schema but for the sinks, what enriches, and the descriptions.
//
//go:embed schema.json
var base []byte

// object is one schema or a part of it. Its keys come out sorted.
type object = map[string]any

// makeSchema is values.schema.json.
func makeSchema(values []value) ([]byte, error) {
	var schema object
	if err := json.Unmarshal(base, &schema); err != nil {
		return nil, fmt.Errorf("parsing schema.json: %w", err)
	}
	sinks, err := sinksSchema(sink.Types)
	if err != nil {
		return nil, err
	}
	schema["properties"].(object)["sinks"] = sinks
	enrich, err := schemaOf(reflect.TypeFor[config.Enrich]())
	if err != nil {
		return nil, fmt.Errorf("enrich: %w", err)
	}
	schema["properties"].(object)["enrich"] = enrich
	if err := describe(schema, values); err != nil {
		return nil, err
	}
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(schema); err != nil {
		return nil, fmt.Errorf("writing the schema: %w", err)
	}
	return out.Bytes(), nil
}

// describe puts the comments of the values into the schema, and complains of a value that it doesn't know.
func describe(schema object, values []value) error {
	var unknown []error
	for _, v := range values {
		at, found := schema, true
		for _, key := range v.path {
			properties, _ := at["properties"].(object)
			if at, found = properties[key].(object); !found {
				unknown = append(unknown, fmt.Errorf("schema.json has no %s, which is in values.yaml", v.key()))
				break
			}
		}
		if !found {
			continue
		}
		if ref, is := at["$ref"]; is { // beside which draft 7 ignores everything else
			delete(at, "$ref")
			at["allOf"] = []any{object{"$ref": ref}}
		}
		at["description"] = v.doc
	}
	return errors.Join(unknown...)
}

// sinksSchema is the list of sinks: the keys of all, and for each type its own. Types are told apart by conditions,
// whose complaints name the key that is wrong; those of a choice (oneOf) would be about every type.
func sinksSchema(types map[string]func() sink.Options) (object, error) {
	common, err := properties(reflect.TypeFor[config.Sink]())
	if err != nil {
		return nil, fmt.Errorf("the keys of every sink: %w", err)
	}
	names := slices.Sorted(maps.Keys(types))
	common["type"].(object)["enum"] = names
	common["name"] = object{"$ref": "#/definitions/label", "description": common["name"].(object)["description"]}
	var conditions []any
	for _, name := range names {
		own, err := properties(reflect.TypeOf(types[name]()).Elem())
		if err != nil {
			return nil, fmt.Errorf("the keys of the type %s: %w", name, err)
		}
		for key := range common {
			own[key] = true
		}
		conditions = append(conditions, object{
			"if":   object{"properties": object{"type": object{"const": name}}, "required": []string{"type"}},
			"then": object{"properties": own, "additionalProperties": false},
		})
	}
	item := object{"type": "object", "required": []string{"name", "type"}, "properties": common, "allOf": conditions}
	return object{"type": "array", "items": item}, nil
}

// properties are the keys of a struct, by its tags.
func properties(t reflect.Type) (object, error) {
	all := object{}
	for field := range t.Fields() {
		key, options, _ := strings.Cut(field.Tag.Get("yaml"), ",")
		switch {
		case key == "-":
			continue
		case options == "inline" || field.Anonymous && key == "":
			embedded, err := properties(field.Type)
			if err != nil {
				return nil, err
			}
			maps.Copy(all, embedded)
			continue
		case key == "":
			continue
		}
		schema, err := schemaOf(field.Type)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", key, err)
		}
		if words := strings.Fields(field.Tag.Get("values")); len(words) > 0 {
			schema["enum"] = words
		}
		if doc := field.Tag.Get("doc"); doc != "" {
			schema["description"] = doc
		}
		all[key] = schema
	}
	return all, nil
}

// schemaOf is what the agent's decoder takes for a type.
func schemaOf(t reflect.Type) (object, error) {
	switch {
	case t == reflect.TypeFor[time.Duration]():
		return object{"type": []string{"string", "number"}}, nil
	case t == reflect.TypeFor[sink.Duration]():
		return object{"type": []string{"string", "integer"}}, nil
	case reflect.PointerTo(t).Implements(reflect.TypeFor[encoding.TextUnmarshaler]()):
		return object{"type": []string{"string", "number", "boolean"}}, nil
	}
	switch t.Kind() { //nolint:exhaustive // the rest is what no option is
	case reflect.String:
		return object{"type": "string"}, nil
	case reflect.Bool:
		return object{"type": "boolean"}, nil
	case reflect.Int, reflect.Int32, reflect.Int64, reflect.Uint, reflect.Uint32, reflect.Uint64:
		return object{"type": "integer"}, nil
	case reflect.Float32, reflect.Float64:
		return object{"type": "number"}, nil
	case reflect.Pointer:
		return schemaOf(t.Elem())
	case reflect.Slice:
		items, err := schemaOf(t.Elem())
		return object{"type": "array", "items": items}, err
	case reflect.Map:
		values, err := schemaOf(t.Elem())
		return object{"type": "object", "additionalProperties": values}, err
	case reflect.Struct:
		keys, err := properties(t)
		return object{"type": "object", "properties": keys, "additionalProperties": false}, err
	default:
		return nil, fmt.Errorf("a %s is not among what a schema is made of: add it to schemaOf", t)
	}
}
