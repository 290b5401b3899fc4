package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// document is the one YAML document in data, nil where there is nothing in it.
func document(data []byte) (*yaml.Node, *Problem) {
	if problem := unreadable(data); problem != nil {
		return nil, problem
	}
	data = bytes.TrimPrefix(data, utf8BOM)
	d := yaml.NewDecoder(bytes.NewReader(data))
	root, err := next(d)
	if err != nil {
		return nil, syntax(err, data)
	}
	for {
		more, err := next(d)
		switch {
		case err != nil:
			return nil, syntax(err, data)
		case more == nil:
			return content(root), nil
		case content(more) == nil:
		case content(root) == nil:
			root = more
		default:
			return nil, &Problem{Line: max(more.Line, 1), Text: "a second YAML document; write one, without a line --- in between"}
		}
	}
}

// next is the next document, nil at the end. The parser is foreign code that has panicked on broken input before.
func next(d *yaml.Decoder) (node *yaml.Node, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("yaml: can't be parsed: %v", r)
		}
	}()
	node = &yaml.Node{}
	if err := d.Decode(node); errors.Is(err, io.EOF) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	return node, nil
}

// content is what a document holds, nil for nothing or null.
func content(document *yaml.Node) *yaml.Node {
	if document == nil || len(document.Content) == 0 || isNull(document.Content[0]) {
		return nil
	}
	return document.Content[0]
}

func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null" }

var (
	utf8BOM  = []byte("\xef\xbb\xbf")
	utf16LE  = []byte("\xff\xfe")
	utf16BE  = []byte("\xfe\xff")
	yamlLine = regexp.MustCompile(`^yaml: (?:line (\d+): )?(.*)$`)
	anchor   = regexp.MustCompile(`^unknown anchor '(.*)' referenced$`)
)

// unreadable is what makes the data no text at all.
func unreadable(data []byte) *Problem {
	if len(data) > maxFile {
		return &Problem{Line: 1, Text: fmt.Sprintf("is longer than %d bytes, which is more than a ConfigMap can hold", maxFile)}
	}
	if bytes.HasPrefix(data, utf16LE) || bytes.HasPrefix(data, utf16BE) {
		return &Problem{Line: 1, Text: "is UTF-16; save it as UTF-8"}
	}
	for i, line := range bytes.Split(data, []byte("\n")) {
		if !utf8.Valid(line) {
			return &Problem{Line: i + 1, Text: "is not UTF-8; save it as UTF-8"}
		}
		if c := bytes.IndexFunc(line, isControl); c >= 0 {
			r, _ := utf8.DecodeRune(line[c:])
			return &Problem{Line: i + 1, Text: fmt.Sprintf("has the control character %U; remove it", r)}
		}
	}
	return nil
}

func isControl(r rune) bool { return r < ' ' && r != '\t' && r != '\r' || r == 0x7f }

// syntax makes a problem of what the parser says. It gives no line for the first one, and its words for a tab are
// a riddle.
func syntax(err error, data []byte) *Problem {
	m := yamlLine.FindStringSubmatch(err.Error())
	if m == nil {
		return &Problem{Line: 1, Text: err.Error()}
	}
	lines := strings.Split(string(data), "\n")
	if name := anchor.FindStringSubmatch(m[2]); name != nil {
		return &Problem{Line: lineWith(lines, "*"+name[1]), Text: m[2] + "; define it above with &" + name[1]}
	}
	for i, line := range lines {
		if indent := line[:len(line)-len(strings.TrimLeft(line, " \t"))]; strings.Contains(indent, "\t") && len(indent) < len(line) {
			return &Problem{Line: i + 1, Text: "is indented with a tab; indent with spaces"}
		}
	}
	n, _ := strconv.Atoi(m[1])
	return &Problem{Line: min(max(n, 1), len(lines)), Text: "is not valid YAML here or just after: " + m[2]}
}

// lineWith is the number of the first line with the text, 1 where none has it.
func lineWith(lines []string, text string) int {
	for i, line := range lines {
		if strings.Contains(line, text) {
			return i + 1
		}
	}
	return 1
}
