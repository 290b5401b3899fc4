// Package enrich adds to records what the API server says of the objects that they are about: labels, annotations, owners,
// node and zone.
//
// It is never in the way. It reads metadata alone, which the API server has in its cache, within a budget of its own; a
// record whose answer is not there in time goes on without, and says so. When the API server is slow for several batches in
// a row nothing waits for it any more, until it is fast again.
package enrich

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/eventbaton/baton/agent/record"
)

// Object is one object to ask for.
type Object struct {
	Group, Version, Resource string
	Namespace, Name          string // no namespace for one of the cluster
}

func (o Object) String() string {
	resource := o.Resource
	if o.Group != "" {
		resource += "." + o.Group
	}
	if o.Namespace == "" {
		return resource + " " + o.Name
	}
	return resource + " " + o.Namespace + "/" + o.Name
}

// Metadata is what is used of an object's.
type Metadata struct {
	UID                 string
	Labels, Annotations map[string]string
	Owner               *record.Owner // the one that controls it
	Node                string        // of a pod, where it was asked for and is on one
}

// Reader asks the API server for one object. node asks for the node of a pod as well; exact asks for the object as it is
// now, where the API server's cache, which may be a moment behind, would otherwise do. The error is, or wraps, one of those
// below where it says something of the object.
type Reader interface {
	Read(ctx context.Context, o Object, node, exact bool) (*Metadata, error)
}

// What an API server may answer instead of an object.
var (
	ErrGone        = errors.New("there is no such object")
	ErrRefused     = errors.New("the right is missing")
	ErrUnsupported = errors.New("the API server doesn't know such objects")
)

// BusyError is an API server's that wants to be left alone.
type BusyError struct {
	Code  int
	After time.Duration
}

func (b *BusyError) Error() string {
	return fmt.Sprintf("the API server answers %d, and wants to be left alone for %v", b.Code, b.After)
}

// Options say what to add, and at what cost.
type Options struct {
	Reader              Reader
	Labels, Annotations []string // patterns of the names: * stands for anything
	Owners, Node        bool

	Kinds []Kind // those that are looked up
	// Only says that objects of all other kinds are left out on purpose. Else they are marked as unsupported.
	Only bool

	Wait              time.Duration // for the answers to what a batch lacks, in total
	RequestsPerSecond int

	Counters *Counters // nil: nothing is counted
	Log      *slog.Logger
}

const (
	// patience is how many batches in a row may wait in vain, before none waits any more; and how many may for objects of
	// one kind, whose conversion may be broken while all else is well.
	patience = 3
	// maxInFlight bounds the requests that have no answer yet, maxOfKind those for objects of one kind.
	maxInFlight = 64
	maxOfKind   = maxInFlight / 2
	// fetchTimeout bounds one lookup.
	fetchTimeout = 10 * time.Second
	// maxOwners bounds a chain of owners, which may well go round in a circle.
	maxOwners = 8
	// recent is the age of an event below which an object that the API server's cache doesn't have may not be there yet.
	recent = time.Minute
)

const (
	zoneLabel = "topology.kubernetes.io/zone"
	// mirrorAnnotation is the UID by which the kubelet, in its events, calls a pod that it has from a file.
	mirrorAnnotation = "kubernetes.io/config.mirror"
)

// Enricher enriches records, from several goroutines.
type Enricher struct {
	Options
	kinds  kinds
	node   *Kind // nil where nodes are not looked up
	ctx    context.Context
	cancel context.CancelFunc
	group  sync.WaitGroup // of the requests

	mu      sync.Mutex
	closed  bool
	cache   *cache
	flights map[key]*flight
	bucket  bucket
	paused  time.Time     // nothing is asked for until then
	vain    int           // batches in a row that waited in vain
	slow    map[*Kind]int // the same for objects of a kind
	warned  map[*Kind]bool
}

// New makes an Enricher. Close ends what it has started.
func New(o Options) *Enricher {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	e := &Enricher{
		Options: o, kinds: newKinds(o.Kinds), cache: newCache(), flights: map[key]*flight{},
		bucket: newBucket(o.RequestsPerSecond, time.Now()), warned: map[*Kind]bool{}, slow: map[*Kind]int{},
	}
	if o.Node {
		if e.node = e.kinds.find("v1", "Node"); e.node == nil {
			e.node = newKinds(Known()).find("v1", "Node")
		}
	}
	e.ctx, e.cancel = context.WithCancel(context.Background())
	return e
}

// Close gives up the requests without an answer, and waits for their end. What is enriched afterwards gets what the cache
// has.
func (e *Enricher) Close() {
	e.mu.Lock()
	e.closed = true
	e.cancel()
	e.mu.Unlock()
	e.group.Wait()
}

// Enrich gives each record its Enrichment, and returns when all have theirs, after Wait at the latest.
func (e *Enricher) Enrich(ctx context.Context, records []*record.Record) {
	answered := make(chan struct{}, 1)
	pending := e.settle(records, &pass{enricher: e, answered: answered, first: true})
	if len(pending) == 0 {
		return
	}
	if e.mayWait() {
		timer := time.NewTimer(e.Wait)
		defer timer.Stop()
		for waiting := true; waiting && len(pending) > 0; {
			select {
			case <-answered:
				pending = e.settle(pending, &pass{enricher: e, answered: answered})
			case <-timer.C:
				waiting = false
				e.waitedInVain(answered)
			case <-ctx.Done():
				waiting = false
			}
		}
	}
	e.settle(pending, &pass{enricher: e, last: true})
}

// settle enriches the records as far as the cache goes, and returns those for which an answer is awaited.
func (e *Enricher) settle(records []*record.Record, p *pass) []*record.Record {
	e.mu.Lock()
	defer e.mu.Unlock()
	p.now = time.Now()
	var pending []*record.Record
	for _, r := range records {
		p.awaits = false
		r.Enrichment = p.enrichment(r)
		if p.awaits {
			pending = append(pending, r)
		} else if r.Enrichment != nil && r.Enrichment.Incomplete == record.Late {
			e.Counters.add(Late)
		}
	}
	return pending
}

func (e *Enricher) mayWait() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.Wait > 0 && e.vain < patience
}

// waitedInVain notes what the batch that was to be told by the channel has waited for.
func (e *Enricher) waitedInVain(told chan struct{}) {
	e.mu.Lock()
	defer e.mu.Unlock()
	awaited := map[*Kind]bool{}
	for k, f := range e.flights {
		awaited[k.kind] = awaited[k.kind] || slices.Contains(f.waiters, told)
	}
	for kind, in := range awaited {
		if in {
			e.slow[kind]++
		}
	}
	e.vain++
	if e.vain == patience {
		e.Log.Warn("the API server is slow to tell of the events' objects: records go on without waiting for it",
			"wait", e.Wait.String())
	}
}

// promptly notes an answer that a batch would have waited for.
func (e *Enricher) promptly(kind *Kind) {
	delete(e.slow, kind)
	if e.vain >= patience {
		e.Log.Info("the API server tells of the events' objects in time again")
	}
	e.vain = 0
}
