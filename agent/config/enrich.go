package config

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/eventbaton/baton/agent/enrich"
)

// Enrich says what of the events' objects is added to the records.
type Enrich struct {
	Labels            []string      `yaml:"labels" default:"none" doc:"Names of the object's labels that are added. * stands for any characters: app.kubernetes.io/*, or * for all."`
	Annotations       []string      `yaml:"annotations" default:"none" doc:"Names of its annotations, in the same way."`
	Owners            bool          `yaml:"owners" doc:"Adds who controls the object: of a pod its ReplicaSet and its Deployment."`
	Node              bool          `yaml:"node" doc:"Adds the node that the object is or that the pod is on, and its zone."`
	Kinds             []string      `yaml:"kinds" default:"all that are known" doc:"The kinds of which objects and owners are looked up; the others' records have no enrichment. See Enrichment for those that are known."`
	CustomKinds       []CustomKind  `yaml:"custom_kinds" default:"none" doc:"Kinds that are looked up besides."`
	Wait              time.Duration `yaml:"wait" doc:"How long what is read at once waits for the answers, in total, 0 to 5 seconds. After that the records go on without."`
	RequestsPerSecond int           `yaml:"requests_per_second" doc:"How many requests are made at most, 1 to 1000. Answers are kept for five minutes."`
}

// CustomKind is a kind that Baton doesn't know by itself.
type CustomKind struct {
	APIVersion    string `yaml:"api_version" default:"required" doc:"Its API group and version, such as argoproj.io/v1alpha1."`
	Kind          string `yaml:"kind" default:"required" doc:"The kind, such as Rollout."`
	Resource      string `yaml:"resource" default:"required" doc:"Its name in paths and rights, such as rollouts."`
	ClusterScoped bool   `yaml:"cluster_scoped" doc:"Its objects are in no namespace."`
}

// Enabled says whether anything is added.
func (e *Enrich) Enabled() bool {
	return len(e.Labels)+len(e.Annotations) > 0 || e.Owners || e.Node
}

// Lookups are the kinds that are looked up.
func (e *Enrich) Lookups() []enrich.Kind {
	all := enrich.Known()
	if len(e.Kinds) > 0 {
		all = slices.DeleteFunc(all, func(k enrich.Kind) bool { return !slices.Contains(e.Kinds, k.Kind) })
	}
	for _, c := range e.CustomKinds {
		gv, _ := schema.ParseGroupVersion(c.APIVersion) // checked
		all = append(all, enrich.Kind{Group: gv.Group, Version: gv.Version, Kind: c.Kind, Resource: c.Resource, Cluster: c.ClusterScoped})
	}
	return all
}

// The limits of what enriching may cost.
const (
	maxWait     = 5 * time.Second
	maxRequests = 1000
	maxPattern  = 317 // a prefix of 253, a slash and a name of 63
)

func (p *parser) checkEnrich() {
	e := &p.config.Enrich
	p.within("enrich.wait", e.Wait, 0, maxWait)
	if n := e.RequestsPerSecond; n < 1 || n > maxRequests {
		p.fault(p.below("enrich", "requests_per_second"), "is %d; write 1 to %d", n, maxRequests)
	}
	p.checkPatterns("labels", e.Labels)
	p.checkPatterns("annotations", e.Annotations)
	p.checkKinds(e)
	if !e.Enabled() && len(e.Kinds)+len(e.CustomKinds) > 0 {
		p.warn("enrich names kinds, but neither labels nor annotations, owners or node: it adds nothing")
	}
}

// below is where a key of a section stands.
func (p *parser) below(section, key string) place { return p.at(p.where(section), key) }

// patternText is what a name of a label may be made of, and the star.
var patternText = regexp.MustCompile(`^[A-Za-z0-9*]([-A-Za-z0-9_./*]*[A-Za-z0-9*])?$`)

func (p *parser) checkPatterns(key string, patterns []string) {
	for i, pattern := range patterns {
		where := p.below("enrich", fmt.Sprintf("%s[%d]", key, i))
		switch {
		case len(pattern) > maxPattern || !patternText.MatchString(pattern) || strings.Count(pattern, "/") > 1:
			p.fault(where, "is %s, which no name can be like; write a name or a pattern such as app.kubernetes.io/*", quote(where, pattern))
		case slices.Contains(patterns[:i], pattern):
			p.fault(where, "is %s, which is in the list already; remove one", quote(where, pattern))
		}
	}
}

func (p *parser) checkKinds(e *Enrich) {
	var known []string
	for _, k := range enrich.Known() {
		known = append(known, k.Kind)
	}
	for i, kind := range e.Kinds {
		where := p.below("enrich", fmt.Sprintf("kinds[%d]", i))
		switch {
		case !slices.Contains(known, kind):
			p.fault(where, "is %s, which is none of those that are known; %s; others go into custom_kinds",
				quote(where, kind), suggest(kind, known))
		case slices.Contains(e.Kinds[:i], kind):
			p.fault(where, "is %s, which is in the list already; remove one", quote(where, kind))
		}
	}
	for i, c := range e.CustomKinds {
		p.checkCustomKind(c, p.below("enrich", fmt.Sprintf("custom_kinds[%d]", i)))
		for _, other := range append(enrich.Known(), (&Enrich{CustomKinds: e.CustomKinds[:i]}).Lookups()[len(known):]...) {
			if gv, _ := schema.ParseGroupVersion(c.APIVersion); gv.Group == other.Group && c.Kind == other.Kind {
				p.fault(p.below("enrich", fmt.Sprintf("custom_kinds[%d]", i)), "is %s, which is known already; remove it", c.Kind)
				break
			}
		}
	}
}

func (p *parser) checkCustomKind(c CustomKind, at place) {
	gv, err := schema.ParseGroupVersion(c.APIVersion)
	if err != nil || gv.Version == "" || strings.Count(c.APIVersion, "/") > 1 ||
		gv.Group != "" && len(validation.IsDNS1123Subdomain(gv.Group)) > 0 || len(validation.IsDNS1035Label(gv.Version)) > 0 {
		where := p.at(at, "api_version")
		p.fault(where, "is %s; write a group and a version, such as argoproj.io/v1alpha1", quote(where, c.APIVersion))
	}
	if c.Kind == "" || !unicode.IsUpper(rune(c.Kind[0])) || len(validation.IsDNS1035Label(strings.ToLower(c.Kind))) > 0 {
		where := p.at(at, "kind")
		p.fault(where, "is %s; write the kind as events have it, such as Rollout", quote(where, c.Kind))
	}
	switch where := p.at(at, "resource"); {
	case gv.Group == "" && (c.Resource == "secrets" || c.Resource == "configmaps"):
		p.fault(where, "is %s: the right to their labels is one to all that is in them; remove it", quote(where, c.Resource))
	case len(validation.IsDNS1035Label(c.Resource)) > 0:
		p.fault(where, "is %s; write the name that kubectl api-resources gives, such as rollouts", quote(where, c.Resource))
	}
}
