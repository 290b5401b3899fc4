package convert

import (
	"slices"
	"strings"
)

// The layout of the OpenTelemetry Collector: pipelines join receivers, processors and exporters by their ids, type or
// type/name.

func convertOTel(c *conversion, root *object) {
	o := &collector{
		conversion: c, receivers: root.object("receivers"), exporters: root.object("exporters"),
		processors: root.object("processors"), extensions: root.object("extensions"),
		service: root.object("service"), connectors: root.object("connectors"),
		reached: map[string]condition{},
	}
	pipelines := o.service.object("pipelines")
	for _, p := range pipelines.fields {
		o.pipeline(p.name, c.object(p.value))
	}
	if len(c.problems) > 0 {
		return
	}
	if len(o.sources) == 0 {
		c.problem(pipelines.place, "has no pipeline with a receiver for events (k8s_events, or k8sobjects with the object events); "+
			"name the file of the Collector that gathers them")
		return
	}
	c.top.set(place{line: root.line}, "leader_candidate", truth(true))
	o.namespaces()
	for _, id := range o.order {
		o.exporter(id)
	}
	o.others(root)
	c.intro = otelIntro
}

const otelIntro = "Records have a form of their own (docs/record.md); by OTLP each is a log record with attributes, as docs/config.md " +
	"says. What a pipeline does besides gathering events is not here: the Collector goes on with it."

// collector is a Collector's configuration.
type collector struct {
	*conversion
	receivers, processors, exporters, extensions, connectors, service *object

	sources []*source
	order   []string // the exporters of events, in the order in which they were found
	reached map[string]condition
}

// source is what one receiver gathers, for one pipeline.
type source struct {
	namespaces []string  // nil for all
	selected   condition // besides the namespaces
}

func (s *source) condition() condition {
	if s.namespaces == nil {
		return s.selected
	}
	return all(oneOf("event.namespace", s.namespaces), s.selected)
}

func typeOf(id string) string {
	kind, _, _ := strings.Cut(id, "/")
	return strings.TrimSpace(kind)
}

// pipeline follows one pipeline from its receivers of events to its exporters.
func (o *collector) pipeline(name string, p *object) {
	gathered := no
	var others []text
	for _, id := range p.texts("receivers") {
		if kind := typeOf(id.value); kind != "k8s_events" && kind != "k8sobjects" {
			others = append(others, id)
			continue
		}
		for _, s := range o.source(id) {
			o.sources = append(o.sources, s)
			gathered = anyOf(gathered, s.condition())
		}
	}
	if gathered.op == never || typeOf(name) != "logs" {
		return
	}
	for _, id := range others {
		o.header = append(o.header, o.lack(id.place, "this gathers events and nothing else"))
	}
	for _, id := range p.texts("processors") {
		o.processor(id)
	}
	for _, id := range p.texts("exporters") {
		if before, ok := o.reached[id.value]; ok {
			o.reached[id.value] = anyOf(before, gathered)
			continue
		}
		o.order = append(o.order, id.value)
		o.reached[id.value] = gathered
		if !o.exporters.has(id.value) {
			o.missingExporter(id)
		}
	}
	o.header = append(o.header, o.leftovers(p)...)
}

func (o *collector) missingExporter(id text) {
	if o.connectors.has(id.value) {
		o.header = append(o.header, o.lack(id.place, "a connector leads to other pipelines; write a sink for what is at their ends"))
		return
	}
	o.problem(id.place, "is no exporter of this file; write one of exporters, or remove it")
}

// source reads a receiver of events. One that a pipeline names and that isn't there has its defaults.
func (o *collector) source(id text) []*source {
	r := o.receivers.object(id.value)
	if kind := r.text("auth_type"); kind.set() && kind.value != "serviceAccount" {
		o.header = append(o.header, o.lack(kind.place, "an agent has the service account of its pod, or baton run --kubeconfig"))
	}
	if v := r.get("k8s_leader_elector"); !v.empty() {
		o.header = append(o.header, o.note(v.place, "the election is Baton's own, by leader_candidate"))
	}
	defer func() { o.header = append(o.header, o.leftovers(r)...) }()
	if typeOf(id.value) == "k8s_events" {
		return []*source{{o.names(r.texts("namespaces")), yes}}
	}
	var sources []*source
	for _, object := range r.objects("objects") {
		if name := object.text("name"); name.value != "events" {
			o.header = append(o.header, o.lack(name.place, "this gathers events, and no other objects"))
			continue
		}
		sources = append(sources, o.objects(object))
	}
	return sources
}

// objects reads one item of k8sobjects that is about events.
func (o *collector) objects(object *object) *source {
	s := &source{o.names(object.texts("namespaces")), yes}
	for _, key := range []string{"group", "mode", "resource_version", "interval", "exclude_watch_type"} {
		object.get(key) // events are watched, and none is delivered because it was deleted
	}
	if v := object.get("label_selector"); !v.empty() {
		o.header = append(o.header, o.lack(v.place, "a filter doesn't see an event's labels; more is delivered than before"))
	}
	if selector := object.text("field_selector"); selector.set() {
		s.selected = o.selector(selector)
	}
	o.header = append(o.header, o.leftovers(object)...)
	return s
}

func (o *collector) names(list []text) []string {
	var names []string
	for _, t := range list {
		value, comments := o.plain(t)
		o.header = append(o.header, comments...)
		if value != "" {
			names = append(names, value)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// selectable are the fields by which the API server selects events, and those of the filter.
var selectable = map[string]string{
	"type": "event.type", "reason": "event.reason", "metadata.namespace": "event.namespace", "metadata.name": "event.name",
	"involvedObject.kind": "event.object.kind", "involvedObject.namespace": "event.object.namespace",
	"involvedObject.name": "event.object.name", "involvedObject.uid": "event.object.uid",
	"involvedObject.apiVersion": "event.object.apiVersion", "involvedObject.fieldPath": "event.object.fieldPath",
	"source": "event.source.component", "reportingComponent": "event.source.component",
}

// selector is a field selector as a condition; what can't be told of it is left open.
func (o *collector) selector(t text) condition {
	var parts []condition
	for term := range strings.SplitSeq(t.value, ",") {
		name, value, found := strings.Cut(term, "=")
		negated := strings.HasSuffix(name, "!")
		field := selectable[strings.TrimSpace(strings.TrimSuffix(name, "!"))]
		if field == "" || !found || len(t.variables) > 0 || strings.Contains(value, `\`) {
			o.header = append(o.header, o.lack(t.place, "a filter has no such field; more is delivered than before"))
			continue
		}
		c := equal(field, strings.TrimSpace(strings.TrimPrefix(value, "=")))
		if negated {
			c = not(c)
		}
		parts = append(parts, c)
	}
	return all(parts...)
}

// namespaces sets those that are read. Where all sources have the same, no filter has to ask for them.
func (o *collector) namespaces() {
	var union []string
	same := true
	for _, s := range o.sources {
		if s.namespaces == nil {
			return
		}
		same = same && slices.Equal(s.namespaces, o.sources[0].namespaces)
		union = append(union, s.namespaces...)
	}
	slices.Sort(union)
	union = slices.Compact(union)
	o.top.set(o.receivers.place, "namespaces", words(union))
	if !same {
		return
	}
	asked := oneOf("event.namespace", union)
	for id, c := range o.reached {
		o.reached[id] = without(c, asked)
	}
}

// without is the condition where asked is known to be true.
func without(c, asked condition) condition {
	if c.text == asked.text {
		return yes
	}
	parts := make([]condition, len(c.parts))
	for i, p := range c.parts {
		parts[i] = without(p, asked)
	}
	switch c.op {
	case both:
		return all(parts...)
	case either:
		return anyOf(parts...)
	default:
		return c
	}
}

// instead says what there is for a type of processors.
var instead = map[string]string{
	"batch":             "every sink makes batches of its own",
	"memory_limiter":    "memory is bounded in any case",
	"filter":            "write the sink's filter, in CEL",
	"k8sattributes":     "write enrich, which adds what is known of the event's object",
	"k8s_attributes":    "write enrich, which adds what is known of the event's object",
	"resource":          "write tags or cluster_name, or a sink's resource_attributes",
	"resourcedetection": "write tags or cluster_name, or a sink's resource_attributes",
	"attributes":        "write tags or cluster_name",
	"transform":         "a record has one form, see docs/record.md",
}

func (o *collector) processor(id text) {
	why, ok := instead[typeOf(id.value)]
	if !ok {
		why = "records are delivered as they are"
	}
	o.header = append(o.header, o.lack(id.place, "processor %s: %s", shown(id.value), why))
}

// others names what isn't about events.
func (o *collector) others(root *object) {
	o.service.get("extensions")
	if v := o.service.get("telemetry"); !v.empty() {
		o.header = append(o.header, o.lack(v.place, "logs and metrics of the agent are told of in docs/operations.md"))
	}
	o.header = append(o.header, o.leftovers(o.service)...)
	o.header = append(o.header, o.leftovers(root)...)
}
