package config

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"

	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/eventbaton/baton/agent/cursor"
	"github.com/eventbaton/baton/agent/sink"
)

// check finds fault with values, fills in what is missing, and says what may not have been meant. A value that could
// not be decoded has kept its default, which is in order.
func (p *parser) check() {
	p.decoded = len(p.problems)
	p.checkName()
	p.checkTimes()
	p.checkNamespaces()
	p.checkRegexp()
	p.checkCluster()
	p.checkEnrich()
	p.checkSinks()
	p.checkSize()
	p.checkMode()
}

// fault notes a problem with a value, unless the decoder has found fault with it already.
func (p *parser) fault(at place, format string, args ...any) {
	if !reported(p.problems[:p.decoded], at.path) {
		p.problem(at, format, args...)
	}
}

// reported says whether one of the problems is with the key.
func reported(problems Problems, path string) bool {
	return slices.ContainsFunc(problems, func(problem Problem) bool { return problem.Key == path })
}

// where tells where a key of the top level stands; the whole file, where it is a default.
func (p *parser) where(key string) place {
	if at, ok := p.keys[key]; ok {
		return at
	}
	return place{path: key, line: 1}
}

func (p *parser) checkName() {
	name := p.config.Name
	if len(validation.IsDNS1123Subdomain(name)) > 0 || len(validation.IsDNS1123Subdomain(p.config.CursorsName())) > 0 {
		p.fault(p.where("name"), "is %s; write the name of an object: "+
			"lower-case letters, digits, - and ., at most %d in all, a letter or digit at both ends",
			quote(place{}, name), validation.DNS1123SubdomainMaxLength-len(p.config.CursorsName())+len(name))
	}
}

// The limits of times. Followers don't go by a lease of more than an hour that they find in the lock's record.
const (
	minLease, maxLease = 5 * time.Second, time.Hour
	riskyLease         = 30 * time.Second
	tenth              = 100 * time.Millisecond
	maxTime            = 300 * time.Second
)

func (p *parser) checkTimes() {
	lease := p.config.LeaderLeaseDuration
	p.within("leader_lease_duration", lease, minLease, maxLease)
	p.within("checkpoint_interval", p.config.CheckpointInterval, tenth, maxTime)
	p.within("drain_timeout", p.config.DrainTimeout, 0, maxTime)
	if lease%time.Second != 0 {
		p.fault(p.where("leader_lease_duration"), "is %v; write whole seconds, the lock can't hold less", lease)
	}
	if lease <= riskyLease && p.config.LeaderCandidate {
		p.warn("leader_lease_duration is %v: a leader that vanishes without a trace is replaced sooner, "+
			"but one that can't reach the API server for %v loses its lead, and the lock is written every %v; "+
			"above 30 s is advised in production", lease, (lease * 2 / 3).Round(tenth), (lease / 3).Round(tenth))
	}
}

func (p *parser) within(key string, value, least, most time.Duration) {
	if value < least || value > most {
		at := p.where(key)
		if section, below, nested := strings.Cut(key, "."); nested {
			at = p.below(section, below)
		}
		p.fault(at, "is %v; write %v to %v seconds", value, least.Seconds(), most.Seconds())
	}
}

func (p *parser) checkNamespaces() {
	first := map[string]int{}
	at := p.where("namespaces")
	for i, namespace := range p.config.Namespaces {
		where := place{path: fmt.Sprintf("%s[%d]", at.path, i), line: at.line}
		if found, ok := p.places[where.path]; ok {
			where = found
		}
		switch {
		case len(validation.IsDNS1123Label(namespace)) > 0:
			p.fault(where, "is %s, which can't be the name of a namespace; for a pattern write namespace_name_regexp",
				quote(where, namespace))
		case first[namespace] > 0:
			p.fault(where, "is %s, which is in the list already, in line %d; remove one", quote(where, namespace), first[namespace])
		default:
			first[namespace] = where.line
		}
	}
	if p.config.Agent5 && len(p.config.Namespaces) == 0 && p.config.NamespaceNameRegexp == "" {
		p.fault(at, "is an empty list, which meant no events at all in the Agent 5; "+
			"name namespaces, or write namespace_name_regexp: \".*\" for all")
	}
}

// checkRegexp compiles the expression alone and then anchored: "a)|(b" is valid in one and not in the other.
func (p *parser) checkRegexp() {
	text := p.config.NamespaceNameRegexp
	if text == "" {
		return
	}
	if _, err := regexp.Compile(text); err != nil {
		p.fault(p.where("namespace_name_regexp"), "is %s: %s; write RE2 syntax, which has no lookaround and no backreferences",
			quote(place{}, text), strings.TrimPrefix(err.Error(), "error parsing regexp: "))
		return
	}
	p.config.matches = regexp.MustCompile(`^(?:` + text + `)`)
}

// maxIdentifier bounds cluster_id, cluster_name and a tag: they are part of every record.
const maxIdentifier = 253

func (p *parser) checkCluster() {
	if id := p.config.ClusterID; len(id) > maxIdentifier || strings.ContainsFunc(id, notInID) {
		p.fault(p.where("cluster_id"), "is %s; write at most %d characters without / and blanks", quote(place{}, id), maxIdentifier)
	}
	p.checkText(p.where("cluster_name"), p.config.ClusterName)
	at := p.where("tags")
	for i, tag := range p.config.Tags {
		where := p.places[fmt.Sprintf("%s[%d]", at.path, i)]
		if strings.TrimSpace(tag) == "" {
			p.fault(where, "is empty; write a tag or remove it")
		}
		p.checkText(where, tag)
	}
}

// notInID is what would make the id of a record, <cluster>/<event>/<version>, hard to take apart.
func notInID(r rune) bool { return r == '/' || unicode.IsSpace(r) || !unicode.IsPrint(r) }

func (p *parser) checkText(at place, text string) {
	if len(text) > maxIdentifier || strings.ContainsFunc(text, unicode.IsControl) {
		p.fault(at, "is %s; write at most %d characters, in one line", quote(at, text), maxIdentifier)
	}
}

// checkSinks checks the names, and gives a configuration without sinks the one that shows the events in the pod's log.
func (p *parser) checkSinks() {
	if len(p.config.Sinks) == 0 && len(p.problems) == 0 {
		p.config.Sinks = []Sink{{Name: "log", Type: "stdout", Repeats: RepeatsEvery, Options: p.types["stdout"]()}}
		return
	}
	p.checkSole()
	first := map[string]int{}
	for i, s := range p.config.Sinks {
		at := p.sinkPlaces[i]
		where := p.at(at, "name")
		switch {
		case s.Name == "":
			p.fault(where, "is missing; write a name for its cursor, such as archive")
		case len(validation.IsDNS1123Label(s.Name)) > 0:
			p.fault(where, "is %s; write lower-case letters, digits and -, at most %d, a letter or digit at both ends",
				quote(where, s.Name), validation.DNS1123LabelMaxLength)
		case first[s.Name] > 0:
			p.fault(where, "is %s, the name of the sink in line %d; write another, each sink has a cursor under its own",
				quote(where, s.Name), first[s.Name])
		default:
			first[s.Name] = where.line
		}
	}
}

// checkSole refuses a second sink of a type that is meant to be alone.
func (p *parser) checkSole() {
	first := map[string]int{}
	for i, s := range p.config.Sinks {
		sole, ok := s.Options.(sink.Sole)
		if !ok {
			continue
		}
		where := p.at(p.sinkPlaces[i], "type")
		if line, twice := first[s.Type]; twice {
			p.fault(where, "is %s, the type of the sink in line %d; write one sink of this type: %s", s.Type, line, sole.Sole())
			continue
		}
		first[s.Type] = where.line
	}
}

// checkSize refuses what one ConfigMap could not hold once every cursor is in the midst of a list.
func (p *parser) checkSize() {
	if streams := len(p.config.Streams()); !cursor.Fits(len(p.config.Sinks), streams) {
		p.fault(p.where("namespaces"), "are %d for %d sinks, whose cursors don't fit into one ConfigMap (1 MiB); "+
			"write namespace_name_regexp, which takes one cursor a sink", streams, len(p.config.Sinks))
	}
}

// checkMode settles the two ways to gather: with both, the election decides, because two agents that gather without
// one would deliver everything twice.
func (p *parser) checkMode() {
	switch c := p.config; {
	case c.LeaderCandidate && c.CollectEvents:
		c.CollectEvents = false
		p.warn("leader_candidate and collect_events are both true: the election decides who gathers, collect_events does nothing")
	case !c.LeaderCandidate && !c.CollectEvents:
		p.warn("neither leader_candidate nor collect_events is true: no events are gathered")
	}
}
