package config

import (
	"cmp"
	"encoding"
	"fmt"
	"log/slog"
	"net/url"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// String is the configuration that is in force, as YAML, with secrets blotted out.
func (c Config) String() string { return c.yaml(redact) }

// GoString keeps %#v from printing what String doesn't.
func (c Config) GoString() string { return c.String() }

// LogValue is String.
func (c Config) LogValue() slog.Value { return slog.StringValue(c.String()) }

// String is the sink, as YAML, with secrets blotted out.
func (s Sink) String() string { return marshal(s.node(redact)) }

// GoString keeps %#v from printing what String doesn't.
func (s Sink) GoString() string { return s.String() }

// LogValue is String.
func (s Sink) LogValue() slog.Value { return slog.StringValue(s.String()) }

// yaml writes the configuration so that Parse would read it again; show gives the text that stands for a value.
func (c Config) yaml(show func(key, value string) string) string {
	n := structNode(reflect.ValueOf(&c).Elem(), show)
	sinks := &yaml.Node{Kind: yaml.SequenceNode}
	for _, s := range c.Sinks {
		sinks.Content = append(sinks.Content, s.node(show))
	}
	n.Content = append(n.Content, word("sinks"), sinks)
	return marshal(n)
}

func (s Sink) node(show func(key, value string) string) *yaml.Node {
	n := structNode(reflect.ValueOf(&s).Elem(), show)
	if s.Options != nil {
		n.Content = append(n.Content, structNode(reflect.ValueOf(s.Options).Elem(), show).Content...)
	}
	return n
}

func marshal(n *yaml.Node) string {
	out, err := yaml.Marshal(n)
	if err != nil {
		return fmt.Sprintf("(can't be shown: %v)\n", err)
	}
	return string(out)
}

func structNode(v reflect.Value, show func(key, value string) string) *yaml.Node {
	n := &yaml.Node{Kind: yaml.MappingNode}
	for _, f := range fieldsOf(v) {
		if value := valueNode(f.key, f.value, show); value != nil && f.key != "sinks" {
			n.Content = append(n.Content, word(f.key), value)
		}
	}
	return n
}

// valueNode is a value, nil where there is nothing to write.
func valueNode(key string, v reflect.Value, show func(key, value string) string) *yaml.Node {
	if value, ok := reflect.TypeAssert[time.Duration](v); ok {
		return &yaml.Node{Kind: yaml.ScalarNode, Value: strconv.FormatFloat(value.Seconds(), 'f', -1, 64)}
	}
	if v.Kind() == reflect.Pointer && v.IsNil() {
		return nil
	}
	if out, ok := textOf(v); ok {
		return word(show(key, out))
	}
	switch v.Kind() {
	case reflect.Pointer:
		return valueNode(key, v.Elem(), show)
	case reflect.Struct:
		return structNode(v, show)
	case reflect.Slice:
		n := &yaml.Node{Kind: yaml.SequenceNode}
		for _, item := range v.Seq2() {
			n.Content = append(n.Content, valueNode(key, item, show))
		}
		return n
	case reflect.Map:
		return mapNode(key, v, show)
	case reflect.String:
		return word(show(key, v.String()))
	default:
		return &yaml.Node{Kind: yaml.ScalarNode, Value: fmt.Sprint(v.Interface())}
	}
}

// textOf is the text of a type that is decoded from text.
func textOf(v reflect.Value) (string, bool) {
	value := v.Interface()
	if _, ok := value.(encoding.TextMarshaler); !ok && v.CanAddr() {
		value = v.Addr().Interface()
	}
	if m, ok := value.(encoding.TextMarshaler); ok {
		out, err := m.MarshalText()
		return string(out), err == nil
	}
	s, ok := value.(fmt.Stringer)
	if _, decoded := value.(encoding.TextUnmarshaler); ok && decoded {
		return s.String(), true
	}
	return "", false
}

func mapNode(path string, v reflect.Value, show func(key, value string) string) *yaml.Node {
	n := &yaml.Node{Kind: yaml.MappingNode}
	keys := slices.SortedFunc(slices.Values(v.MapKeys()), func(a, b reflect.Value) int { return cmp.Compare(a.String(), b.String()) })
	for _, key := range keys {
		n.Content = append(n.Content, word(key.String()), valueNode(path+"."+key.String(), v.MapIndex(key), show))
	}
	return n
}

// word is text in quotes where it would be read as something else without.
func word(s string) *yaml.Node {
	n := &yaml.Node{}
	n.SetString(s)
	return n
}

const blot = "xxxxx"

// secretKey are the keys whose values are secrets, fileKey those that only name a file of one.
var (
	secretKey = regexp.MustCompile(`(?i)(pass(word|wd|phrase)?|secret|token|credentials?|authorization|cookie|` +
		`(api|app|access|private|license)[-_]?key)["\]\[0-9]*$`)
	fileKey = regexp.MustCompile(`(_file$|_files\b)`)
)

// redact blots out what may be a secret: values of certain keys, and the userinfo and the query of a URL.
func redact(key, value string) string {
	switch {
	case value == "" || fileKey.MatchString(key):
		return value
	case secretKey.MatchString(key):
		return blot
	case strings.Contains(value, "://") && !strings.HasSuffix(key, "filter"):
		return redactURL(value)
	default:
		return value
	}
}

func redactURL(value string) string {
	u, err := url.Parse(value)
	if err != nil || u.Opaque != "" {
		return blot
	}
	if u.User != nil {
		u.User = url.User(blot)
	}
	if u.RawQuery != "" {
		query := u.Query()
		for name := range query {
			query.Set(name, blot)
		}
		u.RawQuery = query.Encode()
	}
	return u.String()
}
