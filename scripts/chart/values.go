package main

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"

	"go.yaml.in/yaml/v3"
)

// value is one value of values.yaml that a comment describes.
type value struct {
	path    []string
	doc     string
	byDeflt string // the default, as JSON
}

func (v value) key() string { return strings.Join(v.path, ".") }

// readValues are the values of values.yaml in their order. One without a comment has to be a mapping of such with.
func readValues(path string) ([]value, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("reading the chart's values: %w", err)
	}
	var document yaml.Node
	if err := yaml.Unmarshal(data, &document); err != nil {
		return nil, fmt.Errorf("parsing %s: %w", path, err)
	}
	values, err := described(document.Content[0], nil)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return values, nil
}

func described(mapping *yaml.Node, above []string) ([]value, error) {
	var all []value
	for i := 0; i+1 < len(mapping.Content); i += 2 {
		key, node := mapping.Content[i], mapping.Content[i+1]
		path := append(append([]string{}, above...), key.Value)
		doc := comment(key.HeadComment)
		if doc == "" && node.Kind == yaml.MappingNode && len(node.Content) > 0 {
			below, err := described(node, path)
			if err != nil {
				return nil, err
			}
			all = append(all, below...)
			continue
		}
		if doc == "" {
			return nil, fmt.Errorf("line %d: %s has no comment above it", key.Line, strings.Join(path, "."))
		}
		var plain any
		if err := node.Decode(&plain); err != nil {
			return nil, fmt.Errorf("line %d: %s: %w", node.Line, strings.Join(path, "."), err)
		}
		text, err := json.Marshal(plain)
		if err != nil {
			return nil, fmt.Errorf("line %d: %s: %w", node.Line, strings.Join(path, "."), err)
		}
		all = append(all, value{path, doc, string(text)})
	}
	return all, nil
}

// comment is the last paragraph of a comment, in one line: what stands before it is about the file.
func comment(head string) string {
	if i := strings.LastIndex(head, "\n\n"); i >= 0 {
		head = head[i+2:]
	}
	var lines []string
	for line := range strings.Lines(head) {
		lines = append(lines, strings.TrimSpace(strings.TrimPrefix(strings.TrimSpace(line), "#")))
	}
	return strings.TrimSpace(strings.Join(lines, " "))
}

func valuesTable(values []value) string {
	b := &strings.Builder{}
	b.WriteString("| value | default | what it does |\n| --- | --- | --- |\n")
	for _, v := range values {
		fmt.Fprintf(b, "| `%s` | `%s` | %s |\n", v.key(), v.byDeflt, cell(v.doc))
	}
	return b.String()
}

// cell is a text that can stand in a cell of a table of Markdown.
func cell(text string) string { return strings.NewReplacer("|", "\\|", "<", "&lt;").Replace(text) }
