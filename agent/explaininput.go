package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"go.yaml.in/yaml/v3"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/eventbaton/baton/agent/config"
)

// maxInput bounds what is read of stdin: the events of a cluster of some thousand nodes.
const maxInput = 256 << 20

const inputName = "stdin"

// readEvents reads events of either API, alone or in lists, one after the other, in JSON or YAML. Its errors are of type
// config.Problems.
func readEvents(in io.Reader) ([]*corev1.Event, error) {
	data, err := io.ReadAll(io.LimitReader(in, maxInput+1))
	switch {
	case err != nil:
		return nil, unusable(0, "", "can't be read: %v", err)
	case len(data) > maxInput:
		return nil, unusable(0, "", "has more than %d bytes; write fewer events", maxInput)
	}
	var found []document
	if trimmed := bytes.TrimLeft(data, " \t\r\n"); len(trimmed) > 0 && (trimmed[0] == '{' || trimmed[0] == '[') {
		found, err = jsonDocuments(data)
	} else {
		found, err = yamlDocuments(data)
	}
	if err != nil {
		return nil, err
	}
	r := eventReader{data: data}
	for _, d := range found {
		if err := r.object(d, apiKind{}); err != nil {
			return nil, err
		}
	}
	if len(r.events) == 0 {
		return nil, unusable(0, "", "has no events; write them as kubectl get event -o json prints them")
	}
	return r.events, nil
}

func unusable(line int, key, format string, args ...any) error {
	return config.Problems{{File: inputName, Line: line, Key: key, Text: fmt.Sprintf(format, args...)}}
}

// document is one object as JSON.
type document struct {
	json  []byte
	start int    // where it begins in the input, -1 where that is not JSON
	line  int    // where it begins, where start doesn't tell
	key   string // such as items[3]
}

func jsonDocuments(data []byte) ([]document, error) {
	var all []document
	decoder := json.NewDecoder(bytes.NewReader(data))
	for {
		var raw json.RawMessage
		switch err := decoder.Decode(&raw); {
		case errors.Is(err, io.EOF):
			return all, nil
		case err != nil:
			at := int(decoder.InputOffset())
			if syntax, ok := errors.AsType[*json.SyntaxError](err); ok {
				at = int(syntax.Offset)
			} else if errors.Is(err, io.ErrUnexpectedEOF) {
				at = len(data)
			}
			return nil, unusable(lineOf(data, at), "", "is not JSON: %v", err)
		}
		all = append(all, document{json: raw, start: int(decoder.InputOffset()) - len(raw)})
	}
}

func yamlDocuments(data []byte) ([]document, error) {
	var all []document
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	for {
		var node yaml.Node
		var value any
		err := decoder.Decode(&node)
		if errors.Is(err, io.EOF) {
			return all, nil
		}
		if err == nil {
			err = node.Decode(&value)
		}
		if err != nil {
			return nil, unusable(0, "", "is neither JSON nor YAML: %s", strings.TrimPrefix(err.Error(), "yaml: "))
		}
		if value == nil {
			continue
		}
		line := node.Content[0].Line // the document's own is that of its mark
		raw, err := json.Marshal(value)
		if err != nil {
			return nil, unusable(line, "", "has something that JSON can't say: %v", err)
		}
		all = append(all, document{json: raw, start: -1, line: line})
	}
}

// lineOf is the line of an offset, both as people count.
func lineOf(data []byte, offset int) int {
	return 1 + bytes.Count(data[:min(max(offset, 0), len(data))], []byte("\n"))
}

type apiKind struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
}

// group is the API's name without its version.
func (k apiKind) group() string {
	group, _, ok := strings.Cut(k.APIVersion, "/")
	if !ok {
		return ""
	}
	return group
}

const eventsGroup = "events.k8s.io"

type eventReader struct {
	data   []byte
	events []*corev1.Event
}

// object reads an event, or a list. The items of a list that the API server gave don't say what they are: it is implied.
func (r *eventReader) object(d document, implied apiKind) error {
	var head struct {
		apiKind
		Items []json.RawMessage `json:"items"`
	}
	if err := r.decode(d, &head); err != nil {
		return err
	}
	kind := head.apiKind
	if kind == (apiKind{}) {
		kind = implied
	}
	group := kind.group()
	known := group == eventsGroup || group == "" && (kind.APIVersion == "v1" || kind.APIVersion == "")
	switch {
	case known && kind.Kind == "Event":
		return r.event(d, group == eventsGroup)
	case known && kind.Kind == "List":
		return r.items(d, head.Items, apiKind{})
	case known && kind.Kind == "EventList":
		return r.items(d, head.Items, apiKind{APIVersion: kind.APIVersion, Kind: "Event"})
	case kind.Kind == "":
		return r.problem(d, 0, "has no kind; write events as kubectl get event -o json prints them")
	}
	return r.problem(d, 0, "is a %.100q of %.100q; write events of v1 or %s/v1, as kubectl get event -o json prints them",
		kind.Kind, kind.APIVersion, eventsGroup)
}

func (r *eventReader) items(d document, items []json.RawMessage, implied apiKind) error {
	done := 0
	for i, item := range items {
		inner := document{json: item, start: -1, line: d.line, key: fmt.Sprintf("items[%d]", i)}
		if d.start >= 0 { // an item is as it stands in its list
			at := done + bytes.Index(d.json[done:], item)
			done = at + len(item)
			inner.start = d.start + at
		}
		if err := r.object(inner, implied); err != nil {
			return err
		}
	}
	return nil
}

// newEvent has what an Event of events.k8s.io/v1 calls otherwise. All the rest has the same names in both.
type newEvent struct {
	corev1.Event
	Regarding           corev1.ObjectReference `json:"regarding"`
	Note                string                 `json:"note"`
	ReportingController string                 `json:"reportingController"`
	Source              corev1.EventSource     `json:"deprecatedSource"`
	First               metav1.Time            `json:"deprecatedFirstTimestamp"`
	Last                metav1.Time            `json:"deprecatedLastTimestamp"`
	Count               int32                  `json:"deprecatedCount"`
}

func (r *eventReader) event(d document, isNew bool) error {
	var e newEvent
	if !isNew {
		if err := r.decode(d, &e.Event); err != nil {
			return err
		}
		r.events = append(r.events, &e.Event)
		return nil
	}
	if err := r.decode(d, &e); err != nil {
		return err
	}
	old := &e.Event
	old.InvolvedObject, old.Message, old.ReportingController = e.Regarding, e.Note, e.ReportingController
	old.Source, old.FirstTimestamp, old.LastTimestamp, old.Count = e.Source, e.First, e.Last, e.Count
	r.events = append(r.events, old)
	return nil
}

func (r *eventReader) decode(d document, to any) error {
	err := json.Unmarshal(d.json, to)
	if err == nil {
		return nil
	}
	if wrong, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		if wrong.Field == "" {
			return r.problem(d, 0, "is of the type %s, no object; write events as kubectl get event -o json prints them", wrong.Value)
		}
		return r.problem(d, int(wrong.Offset), "%s is a %s, which an event can't have there", wrong.Field, wrong.Value)
	}
	return r.problem(d, 0, "is no event: %v", err)
}

// problem is one with the object, or with what ends after so many bytes of it.
func (r *eventReader) problem(d document, offset int, format string, args ...any) error {
	line := d.line
	if d.start >= 0 {
		line = lineOf(r.data, d.start+offset)
	}
	return unusable(line, d.key, format, args...)
}
