package inject

import (
	"bytes"
	"errors"
	"fmt"
	"regexp"

	"sigs.k8s.io/yaml"
)

// Edit is what a user changes in the manifest before it is applied.
type Edit struct {
	// Lock is the kind of lock.
	Lock string
	// Sinks are added to those there are.
	Sinks []map[string]any
	// Env are the agent's variables that are set, by name.
	Env map[string]string
}

// separator is the line between two documents of YAML.
var separator = regexp.MustCompile(`(?m)^---\s*$`)

// Manifest is the manifest with an Edit done to its ConfigMap and its DaemonSet.
func Manifest(text []byte, e Edit) ([]byte, error) {
	var out bytes.Buffer
	edited := map[string]bool{}
	for i, part := range separator.Split(string(text), -1) {
		var object map[string]any
		if err := yaml.Unmarshal([]byte(part), &object); err != nil {
			return nil, fmt.Errorf("document %d of the manifest: %w", i, err)
		}
		if object == nil {
			continue
		}
		kind, _ := object["kind"].(string)
		var err error
		switch kind {
		case "ConfigMap":
			err = e.config(object)
		case "DaemonSet":
			err = e.environment(object)
		}
		if err != nil {
			return nil, fmt.Errorf("the %s of the manifest: %w", kind, err)
		}
		edited[kind] = true
		again, err := yaml.Marshal(object)
		if err != nil {
			return nil, fmt.Errorf("the %s of the manifest: %w", kind, err)
		}
		fmt.Fprintf(&out, "---\n%s", again)
	}
	if !edited["ConfigMap"] || !edited["DaemonSet"] {
		return nil, errors.New("the manifest has no ConfigMap, or no DaemonSet")
	}
	return out.Bytes(), nil
}

const configFile = "kubernetes.yaml"

func (e Edit) config(object map[string]any) error {
	data, _ := object["data"].(map[string]any)
	text, _ := data[configFile].(string)
	var config map[string]any
	if err := yaml.Unmarshal([]byte(text), &config); err != nil {
		return fmt.Errorf("its %s is no mapping: %w", configFile, err)
	}
	if config == nil {
		return fmt.Errorf("its %s is empty or missing", configFile)
	}
	if e.Lock != "" {
		config["lock"] = e.Lock
	}
	sinks, _ := config["sinks"].([]any)
	for _, s := range e.Sinks {
		sinks = append(sinks, s)
	}
	config["sinks"] = sinks
	again, err := yaml.Marshal(config)
	if err != nil {
		return err
	}
	data[configFile] = string(again)
	return nil
}

func (e Edit) environment(object map[string]any) error {
	containers, _ := dig(object, "spec", "template", "spec")["containers"].([]any)
	if len(containers) != 1 {
		return fmt.Errorf("%d containers where one was expected", len(containers))
	}
	agent, _ := containers[0].(map[string]any)
	var kept []any
	list, _ := agent["env"].([]any)
	for _, v := range list {
		variable, _ := v.(map[string]any)
		name, _ := variable["name"].(string)
		if _, set := e.Env[name]; !set {
			kept = append(kept, v)
		}
	}
	for name, value := range e.Env {
		kept = append(kept, map[string]any{"name": name, "value": value})
	}
	agent["env"] = kept
	return nil
}

// dig is the map below these keys, an empty one where there is none.
func dig(m map[string]any, keys ...string) map[string]any {
	for _, k := range keys {
		m, _ = m[k].(map[string]any)
	}
	return m
}
