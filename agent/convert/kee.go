package convert

import (
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/eventbaton/baton/agent/config"
)

// The layout of the kubernetes-event-exporter of resmoio, and of opsgenie before: pkg/exporter/config.go.

// maxRules bounds how many rules a tree of routes has. Each of those above has a part in each of those below.
const maxRules = 500

func convertKEE(c *conversion, root *object) {
	if !root.has("route") && !root.has("receivers") {
		c.problem(root.place, "has neither route nor receivers; is it the configuration of a kubernetes-event-exporter?")
		return
	}
	routes := &keeRoutes{
		conversion: c, reached: map[string]path{}, wanted: map[string][]string{}, blind: root.isTrue("omitLookup"),
	}
	routes.walk(root.object("route"), path{condition: yes})
	routes.enrich(root.place)
	c.keeTop(root)
	c.keeReceivers(root.objects("receivers"), routes)
	c.intro = keeIntro
	c.header = append(c.header, c.leftovers(root)...)
}

const keeIntro = "Records have a form of their own (docs/record.md), so what reads them may have to be changed. Most versions of the " +
	"exporter sent an event when it was new, and not again when it happened again: a sink whose key repeats is first does that."

// keeTop are the keys beside route and receivers.
func (c *conversion) keeTop(root *object) {
	at := place{line: root.line}
	c.top.set(at, "leader_candidate", truth(true))
	if namespace := root.text("namespace"); namespace.set() {
		value, comments := c.plain(namespace)
		c.top.set(namespace.place, "namespaces", words([]string{value}), comments...)
	}
	if name := root.text("clusterName"); name.set() {
		value, comments := c.plain(name)
		c.top.set(name.place, "cluster_name", word(value), comments...)
	}
	c.keeLog(root)
	election := root.object("leaderElection")
	if enabled := election.get("enabled"); !enabled.empty() && !election.isTrue("enabled") {
		c.header = append(c.header, c.note(enabled.place,
			"with leader_candidate all agents take part in an election, however many there are"))
	}
	if id := election.get("leaderElectionID"); !id.empty() {
		c.header = append(c.header, c.note(id.place,
			"the lock is named by the key name, and is another one, so that the exporter can go on meanwhile"))
	}
	c.header = append(c.header, c.leftovers(election)...)
	for _, old := range keeWithoutEqual {
		if v := root.get(old.key); !v.empty() {
			c.header = append(c.header, c.lack(v.place, "%s", old.why))
		}
	}
}

var keeWithoutEqual = []struct{ key, why string }{
	{"maxEventAgeSeconds", "no event is discarded for its age; with start: now the first leader leaves out what happened before it"},
	{"throttlePeriod", "no event is discarded for its age; with start: now the first leader leaves out what happened before it"},
	{"kubeQPS", "one watch reads all events, and needs no limit"},
	{"kubeBurst", "one watch reads all events, and needs no limit"},
	{"metricsNamePrefix", "the metrics have names of their own, see docs/operations.md"},
	{"cacheSize", "what enrich looks up takes a memory that is bounded by itself"},
	{"kubeconfig", "it is the flag --kubeconfig of baton run"},
}

var keeLevels = map[string]string{
	"trace": "debug", "debug": "debug", "info": "info", "warn": "warn", "error": "error", "fatal": "error", "panic": "error",
}

func (c *conversion) keeLog(root *object) {
	if level := root.text("logLevel"); level.set() {
		known, ok := keeLevels[strings.ToLower(level.value)]
		if ok {
			c.top.set(level.place, "log_level", word(known))
		} else {
			c.header = append(c.header, c.lack(level.place, "%q is no level; there are debug, info, warn and error", level.value))
		}
	}
	switch format := root.text("logFormat"); format.value {
	case "":
	case "json":
		c.top.set(format.place, "log_format", word(config.FormatJSON))
	default:
		c.top.set(format.place, "log_format", word(config.FormatText))
	}
}

// keeRoutes are the conditions under which each receiver is reached.
//
// In a route, an event that one of the drop rules matches goes no further. Each match rule with a receiver that matches
// sends to it, whatever the other match rules say. Where all of them match, the routes below get the event.
type keeRoutes struct {
	*conversion
	reached map[string]path
	wanted  map[string][]string // the names of labels and annotations
	named   []text              // receivers, where they are named
	rules   int
	blind   bool // the exporter didn't look objects up
}

// path is the condition of one or several ways through the routes, and what there is to say about them.
type path struct {
	condition
	comments []string
}

func (r *keeRoutes) walk(route *object, above path) {
	here := above
	for _, rule := range route.objects("drop") {
		dropped := r.rule(rule, false)
		here = here.and(path{not(dropped.condition), dropped.comments})
		if receiver := rule.text("receiver"); receiver.set() {
			r.header = append(r.header, r.note(receiver.place, "a drop rule sends nowhere"))
		}
	}
	below := here
	for _, rule := range route.objects("match") {
		matched := r.rule(rule, true)
		below = below.and(matched)
		if receiver := rule.text("receiver"); receiver.set() {
			r.reach(receiver, here.and(matched))
		}
	}
	routes := route.objects("routes")
	r.header = append(r.header, r.leftovers(route)...)
	for _, sub := range routes {
		if len(r.problems) == 0 {
			r.walk(sub, below)
		}
	}
}

// and is the path that goes on.
func (p path) and(on path) path {
	return path{all(p.condition, on.condition), slices.Concat(p.comments, on.comments)}
}

func (r *keeRoutes) reach(receiver text, p path) {
	r.named = append(r.named, receiver)
	before, ok := r.reached[receiver.value]
	if !ok {
		before.condition = no
	}
	comments := slices.Clone(before.comments)
	for _, comment := range p.comments {
		if !slices.Contains(comments, comment) {
			comments = append(comments, comment)
		}
	}
	r.reached[receiver.value] = path{anyOf(before.condition, p.condition), comments}
}

// keeFields are the fields of a rule that are patterns, in the order in which they read well.
var keeFields = []struct{ key, field string }{
	{"type", "event.type"},
	{"namespace", "event.namespace"},
	{"kind", "event.object.kind"},
	{"apiVersion", "event.object.apiVersion"},
	{"reason", "event.reason"},
	{"message", "event.message"},
	{"component", "event.source.component"},
	{"host", "event.source.host"},
}

// rule is the condition that a rule stands for. What of it can't be told is left open: true in a match rule, and a
// drop rule with such a part drops nothing, so that more is delivered and never less.
func (r *keeRoutes) rule(rule *object, open bool) path {
	if r.rules++; r.rules == maxRules+1 {
		r.problem(rule.place, "is one rule more than the %d that can be converted; write fewer", maxRules)
	}
	rule.get("name")     // what its metrics were called
	rule.get("receiver") // is for who walks the routes
	p := path{condition: yes}
	for _, f := range keeFields {
		p = p.and(r.pattern(f.field, rule.text(f.key), open))
	}
	if least := rule.number("minCount"); least > 1 { // a count is never below 1
		p.condition = all(p.condition, atLeast("event.count", least))
	}
	for _, key := range []string{"labels", "annotations"} {
		p = p.and(r.metadata(key, rule.object(key), open))
	}
	p.comments = append(p.comments, r.leftovers(rule)...)
	return p
}

// pattern is true where the field matches; where that can't be told, as open says.
func (r *keeRoutes) pattern(field string, pattern text, open bool) path {
	if !pattern.set() {
		return path{condition: yes}
	}
	if len(pattern.variables) > 0 {
		_, comments := r.plain(pattern)
		return path{map[bool]condition{true: yes, false: no}[open], comments}
	}
	c, err := matches(field, pattern.value)
	if err != nil {
		return path{no, []string{r.note(pattern.place,
			"is no regular expression, so this rule has never matched, and is carried over as one that doesn't; is .* meant?")}}
	}
	return path{condition: c}
}

// metadata is true where the object has each of the labels or annotations, and they match. Of an object that could not be
// looked up that can't be told.
func (r *keeRoutes) metadata(key string, wanted *object, open bool) path {
	pairs := wanted.pairs()
	switch {
	case len(pairs) == 0:
		return path{condition: yes}
	case r.blind:
		return path{no, []string{r.note(wanted.place,
			"with omitLookup the exporter knew of none, so this rule has never matched, and is carried over as one that doesn't")}}
	}
	field := "event.enrichment." + key
	p := path{condition: yes, comments: []string{r.note(wanted.place,
		"is looked up by enrich, for which the agents need rights; where that fails more is delivered, never less")}}
	for _, pair := range pairs {
		if len(validation.IsQualifiedName(pair.name)) > 0 {
			p = p.and(path{no, []string{r.note(pair.place, "is a name that none can have, so this rule has never matched")}})
			continue
		}
		r.wanted[key] = append(r.wanted[key], pair.name)
		name := quoted(pair.name)
		there := condition{op: atom, text: name + " in " + field, negated: "!(" + name + " in " + field + ")"}
		p = p.and(path{condition: there}).and(r.pattern(field+"["+name+"]", pair.text, open))
	}
	if open && p.op != never {
		p.condition = anyOf(not(equal("event.enrichment.incomplete", "")), p.condition)
	}
	return p
}

// enrich asks for what the rules need.
func (r *keeRoutes) enrich(at place) {
	for key, names := range r.wanted {
		slices.Sort(names)
		r.top.set(at, "enrich."+key, words(slices.Compact(names)))
	}
}
