package enrich

import (
	"cmp"
	"time"

	"github.com/eventbaton/baton/agent/record"
)

// pass is one pass over records, under the Enricher's lock.
type pass struct {
	enricher *Enricher
	now      time.Time
	answered chan struct{} // gets a value when something that is awaited is there
	first    bool          // over these records
	last     bool          // what is not there is late, and nothing is asked for any more
	awaits   bool          // the record needs an answer that may still come
	event    time.Time     // of the record
}

// enrichment is what is known of a record's object; nil where nothing is wanted of it.
func (p *pass) enrichment(r *record.Record) *record.Enrichment {
	e, o := p.enricher, &r.Object
	p.event = r.Time
	kind := e.kinds.find(o.APIVersion, o.Kind)
	if kind == nil {
		if e.Only || !e.wantsMetadata() {
			return nil
		}
		return &record.Enrichment{Incomplete: record.Unsupported}
	}
	isPod, isNode := kind.is("Pod"), kind.is("Node")
	if !e.wantsMetadata() && !isPod && !isNode {
		return nil
	}
	to := &record.Enrichment{}
	if e.Node {
		to.Node = nodeOf(r, isPod, isNode)
	}
	if e.wantsMetadata() || isPod && to.Node == "" {
		p.object(to, kind, o)
	}
	if e.Node && to.Node != "" {
		p.zone(to)
	}
	return to
}

// wantsMetadata says whether more is wanted than the node.
func (e *Enricher) wantsMetadata() bool { return len(e.Labels)+len(e.Annotations) > 0 || e.Owners }

func (k *Kind) is(core string) bool { return k.Group == "" && k.Kind == core }

// nodeOf is the node as the event itself tells it: an event of a pod that its kubelet reports comes from its node.
func nodeOf(r *record.Record, isPod, isNode bool) string {
	switch {
	case isNode:
		return r.Object.Name
	case isPod && r.Source.Component == "kubelet":
		return cmp.Or(r.Source.Host, r.Source.Instance)
	default:
		return ""
	}
}

// object adds what is known of the object itself, and of its owners.
func (p *pass) object(to *record.Enrichment, kind *Kind, o *record.Object) {
	x := p.get(to, keyOf(kind, o.Namespace, o.Name, o.UID))
	if x == nil {
		return
	}
	to.Labels, to.Annotations = x.labels, x.annotations
	if x.node != "" {
		to.Node = x.node
	}
	if p.enricher.Owners {
		p.owners(to, o.Namespace, x.owner)
	}
	if x.large && to.Incomplete == "" {
		to.Incomplete = record.Large
	}
}

// owners follows the owners up to one that has none, or that is of a kind that is not looked up.
func (p *pass) owners(to *record.Enrichment, namespace string, owner *record.Owner) {
	if owner != nil {
		to.Owners = make([]record.Owner, 0, 2) // a pod of a Deployment
	}
	for owner != nil && len(to.Owners) < maxOwners {
		to.Owners = append(to.Owners, *owner)
		kind := p.enricher.kinds.find(owner.APIVersion, owner.Kind)
		if kind == nil || kind.top {
			return
		}
		x := p.get(to, keyOf(kind, namespace, owner.Name, owner.UID))
		if x == nil {
			return
		}
		owner = x.owner
	}
}

func (p *pass) zone(to *record.Enrichment) {
	if x := p.get(to, keyOf(p.enricher.node, "", to.Node, "")); x != nil {
		to.Zone = x.zone
	}
}

// keyOf drops what doesn't tell objects apart: the namespace of one that is in none, and the name of a node that kubelets
// give as its UID.
func keyOf(kind *Kind, namespace, name, uid string) key {
	if kind.Cluster {
		namespace = ""
	}
	if kind.is("Node") && uid == name {
		uid = ""
	}
	return key{kind, namespace, name, uid}
}

// get is an object that was found, nil where there is none, which to then says the reason of, or where it is awaited.
func (p *pass) get(to *record.Enrichment, k key) *entry {
	e := p.enricher
	x := p.known(k)
	if x == nil {
		if !p.last && e.fetch(k, p) {
			p.awaits = true
		}
		p.lacks(to, record.Late)
		return nil
	}
	if p.first {
		e.Counters.add(Cached)
	}
	if x.missing != "" {
		p.lacks(to, x.missing)
		return nil
	}
	if p.now.After(x.refresh) && !p.last {
		e.fetch(k, &pass{enricher: e, now: p.now, event: p.event}) // nobody waits for it
	}
	return x
}

// known looks whether there is a reason not to ask for anything of the kind, too.
func (p *pass) known(k key) *entry {
	if k.name == "" || !k.kind.Cluster && k.namespace == "" {
		return &entry{missing: record.Unsupported}
	}
	if x := p.enricher.cache.get(k, p.now); x != nil {
		return x
	}
	return p.enricher.cache.get(key{kind: k.kind, namespace: k.namespace}, p.now)
}

// lacks keeps the first reason.
func (p *pass) lacks(to *record.Enrichment, why string) {
	if to.Incomplete == "" {
		to.Incomplete = why
	}
}
