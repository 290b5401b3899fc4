package enrich

import (
	"container/list"
	"math/rand/v2"
	"time"

	"github.com/eventbaton/baton/agent/record"
)

const (
	// cacheBytes is about how much the cache holds in memory at most.
	cacheBytes = 8 << 20
	// freshness is how long an answer is used before it is asked for again, more or less a fifth. While the new one is not
	// there, the old one is used for as long again.
	freshness = 5 * time.Minute
	// unplaced is the freshness of a pod that has no node yet.
	unplaced = 5 * time.Second
	// absence is how long an object is taken for gone.
	absence = time.Minute
	// refusal is how long nobody asks again where a right is missing.
	refusal = 5 * time.Minute
	// failure is how long nobody asks again for an object whose request has failed.
	failure = 5 * time.Second
)

// key is one object, or all of a kind in a namespace where the name is empty. An empty uid is that of whoever has the name.
type key struct {
	kind                 *Kind
	namespace, name, uid string
}

// entry is what is known of an object, or why nothing is.
type entry struct {
	key         key
	missing     string // one of the reasons of record.Enrichment, empty where the object was found
	labels      map[string]string
	annotations map[string]string
	large       bool
	owner       *record.Owner
	node, zone  string

	refresh, expires time.Time
	bytes            int
}

// keep sets how long the entry is used.
func (x *entry) keep(now time.Time, d time.Duration) {
	d += time.Duration((rand.Float64() - 0.5) * 0.4 * float64(d))
	x.refresh, x.expires = now.Add(d), now.Add(d)
	if x.missing == "" {
		x.expires = now.Add(2 * d)
	}
}

const (
	entryBytes = 512 // itself, its key, its place in the list and in the map
	pairBytes  = 48
)

func (x *entry) size() int {
	n := entryBytes + len(x.key.namespace) + len(x.key.name) + len(x.key.uid) + len(x.node) + len(x.zone)
	for _, m := range []map[string]string{x.labels, x.annotations} {
		for name, value := range m {
			n += pairBytes + len(name) + len(value)
		}
	}
	if o := x.owner; o != nil {
		n += entryBytes/4 + len(o.APIVersion) + len(o.Kind) + len(o.Name) + len(o.UID)
	}
	return n
}

// cache keeps the entries that were used last.
type cache struct {
	entries map[key]*list.Element
	order   *list.List // of *entry, the one used last first
	bytes   int
}

func newCache() *cache { return &cache{entries: map[key]*list.Element{}, order: list.New()} }

// get is nil where there is none, or an expired one.
func (c *cache) get(k key, now time.Time) *entry {
	element := c.entries[k]
	if element == nil {
		return nil
	}
	x := element.Value.(*entry)
	if now.After(x.expires) {
		c.remove(element)
		return nil
	}
	c.order.MoveToFront(element)
	return x
}

func (c *cache) put(x *entry) {
	if old := c.entries[x.key]; old != nil {
		c.remove(old)
	}
	x.bytes = x.size()
	c.bytes += x.bytes
	c.entries[x.key] = c.order.PushFront(x)
	for c.bytes > cacheBytes {
		c.remove(c.order.Back())
	}
}

func (c *cache) remove(element *list.Element) {
	x := c.order.Remove(element).(*entry)
	delete(c.entries, x.key)
	c.bytes -= x.bytes
}
