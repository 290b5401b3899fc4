package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode"

	"github.com/eventbaton/baton/agent/config"
	"github.com/eventbaton/baton/agent/filter"
	"github.com/eventbaton/baton/agent/record"
	"github.com/eventbaton/baton/agent/sink"
)

// explainEvents says of each event on stdin which sinks would get it, and why not.
func explainEvents(w world, cfg *config.Config) error {
	events, err := readEvents(w.stdin)
	if err != nil {
		return err
	}
	x := explanation{cfg: cfg, out: w.stdout, sent: make([]int, len(cfg.Sinks))}
	x.caution(w.stderr)
	for _, e := range events {
		x.event(record.From(e, record.Origin{Cluster: cfg.ClusterID, ClusterName: cfg.ClusterName, Tags: cfg.Tags}))
	}
	x.sum(len(events))
	return x.err
}

// explanation prints what becomes of events.
type explanation struct {
	cfg  *config.Config
	out  io.Writer
	err  error
	sent []int // a sink
}

func (x *explanation) line(depth int, format string, args ...any) {
	if x.err == nil {
		_, x.err = fmt.Fprintf(x.out, strings.Repeat("  ", depth)+format+"\n", args...)
	}
}

// caution says which fields the filters look at that only a running agent knows.
func (x *explanation) caution(out io.Writer) {
	for _, s := range x.cfg.Sinks {
		if s.Match == nil {
			continue
		}
		for _, field := range s.Match.Fields() {
			if x.unknown(field) {
				_, _ = fmt.Fprintf(out, "warning: the filter of the sink %s looks at %s, "+
					"which only a running agent knows; here it is empty\n", s.Name, field)
			}
		}
	}
}

func (x *explanation) unknown(field string) bool {
	return field == "event.enrichment" || strings.HasPrefix(field, "event.enrichment.") ||
		x.cfg.ClusterID == "" && (field == "event.cluster" || field == "event.id")
}

func (x *explanation) event(r *record.Record) {
	x.line(0, "%s/%s: %s %s of %s", plainText(r.Namespace), plainText(r.Name), plainText(r.Type), plainText(r.Reason), objectText(r.Object))
	if !x.cfg.Wants(r.Namespace) {
		x.line(1, "not gathered: %s", x.unwanted(r.Namespace))
		return
	}
	for i := range x.cfg.Sinks {
		if x.sink(&x.cfg.Sinks[i], r) {
			x.sent[i]++
		}
	}
}

func objectText(o record.Object) string {
	name := plainText(o.Name)
	if o.Namespace != "" {
		name = plainText(o.Namespace) + "/" + name
	}
	return plainText(o.Kind) + " " + name
}

// plainText keeps a reporter's text on its line, and from the terminal what it would obey.
func plainText(s string) string {
	words := strings.FieldsFunc(s, func(r rune) bool { return unicode.IsSpace(r) || !unicode.IsPrint(r) })
	if len(words) == 0 {
		return "?"
	}
	return strings.Join(words, " ")
}

// unwanted says why the events of a namespace are not gathered.
func (x *explanation) unwanted(namespace string) string {
	var lacks []string
	if listed := x.cfg.Namespaces; len(listed) > 0 {
		lacks = append(lacks, "is not one of namespaces, "+strings.Join(listed, ", "))
	}
	if pattern := x.cfg.NamespaceNameRegexp; pattern != "" {
		lacks = append(lacks, fmt.Sprintf("does not match namespace_name_regexp, %s", pattern))
	}
	return fmt.Sprintf("the namespace %s %s", plainText(namespace), strings.Join(lacks, ", and "))
}

// sink says what becomes of the record there, and whether it would be sent.
func (x *explanation) sink(s *config.Sink, r *record.Record) bool {
	if s.Match == nil {
		x.line(1, "%s: sent%s", s.Name, repeats(s))
		return true
	}
	e := s.Match.Explain(r)
	switch {
	case e.Err != nil:
		x.line(1, "%s: sent%s; %s failed: %v", s.Name, repeats(s), whose(s), e.Err)
	case e.Match:
		x.line(1, "%s: sent%s", s.Name, repeats(s))
	default:
		x.line(1, "%s: not sent, because %s is false", s.Name, whose(s))
	}
	if e.Err != nil || !e.Match {
		x.parts(e.Parts)
	}
	return e.Match
}

// whose says where the filter comes from.
func whose(s *config.Sink) string {
	if selective, ok := s.Options.(sink.Selective); ok && selective.DefaultFilter() == s.Filter {
		return fmt.Sprintf("the filter that the type %s has by default", s.Type)
	}
	return "its filter"
}

// repeats is the note of a sink that doesn't get every version: what came before an event, nobody knows here.
func repeats(s *config.Sink) string {
	switch s.Repeats {
	case config.RepeatsFirst:
		return ", unless a version of it was before (repeats: first)"
	case config.RepeatsRate:
		return fmt.Sprintf(", or held for up to %s, and then a later one of its object and reason may stand for it (repeats: rate)",
			s.RepeatInterval)
	}
	return ""
}

func (x *explanation) parts(parts []filter.Part) {
	for _, p := range parts {
		var values []string
		for _, f := range p.Fields {
			values = append(values, f.Path+" is "+f.Value)
		}
		text := fmt.Sprintf("%s is %s", p.Text, p.Gives)
		if p.Gives != "true" && p.Gives != "false" {
			text = fmt.Sprintf("%s fails: %s", p.Text, p.Gives)
		}
		if len(values) > 0 {
			text += "; " + strings.Join(values, ", ")
		}
		x.line(2, "%s", text)
	}
}

// sum is the last line.
func (x *explanation) sum(events int) {
	each := make([]string, len(x.cfg.Sinks))
	for i, s := range x.cfg.Sinks {
		each[i] = fmt.Sprintf("%s %d", s.Name, x.sent[i])
	}
	slices.Sort(each)
	x.line(0, "of %d events the sinks would get: %s", events, strings.Join(each, ", "))
}
