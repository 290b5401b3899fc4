package enrich

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/eventbaton/baton/agent/record"
)

// flight is a request without an answer yet. There is one for an object, whoever wants it.
type flight struct {
	waiters []chan struct{}
	began   time.Time
}

// fetch sees to it that the object is asked for, and that the pass is told of the answer. It says false where that is not to
// be waited for: the budget is spent, the API server wants to be left alone, or is slow with this kind.
func (e *Enricher) fetch(k key, p *pass) bool {
	f := e.flights[k]
	if f == nil {
		if e.closed || !e.hasRoom(k.kind) || p.now.Before(e.paused) || !e.bucket.take(p.now) {
			return false
		}
		f = &flight{began: p.now}
		e.flights[k] = f
		fresh := p.now.Sub(p.event) < recent
		e.group.Go(func() { e.ask(k, f, fresh) })
	}
	if p.answered == nil || e.slow[k.kind] >= patience {
		return false
	}
	if !slices.Contains(f.waiters, p.answered) {
		f.waiters = append(f.waiters, p.answered)
	}
	return true
}

// hasRoom says whether one more request may be without an answer.
func (e *Enricher) hasRoom(kind *Kind) bool {
	ofKind := 0
	for k := range e.flights {
		if k.kind == kind {
			ofKind++
		}
	}
	return ofKind < maxOfKind && len(e.flights) < maxInFlight
}

// ask asks, and tells those who wait.
func (e *Enricher) ask(k key, f *flight, fresh bool) {
	ctx, cancel := context.WithTimeout(e.ctx, fetchTimeout)
	defer cancel()
	m, err := e.read(ctx, k, fresh)
	if e.ctx.Err() != nil {
		return // closed: nobody wants it any more
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.flights, k)
	now := time.Now()
	e.remember(e.learn(k, m, err, now), now)
	if answered(err) && now.Sub(f.began) <= e.Wait {
		e.promptly(k.kind)
	}
	for _, w := range f.waiters {
		select {
		case w <- struct{}{}:
		default: // it has yet to look at what came before
		}
	}
}

// remember puts an entry into the cache. What was known before is better than that nothing could be learned now.
func (e *Enricher) remember(x *entry, now time.Time) {
	if before := e.cache.get(x.key, now); before != nil && before.missing == "" && x.missing == record.Late {
		before.refresh = x.refresh
		return
	}
	e.cache.put(x)
}

// read asks for the object. The API server's cache may not have one that was made a moment ago, or still have another of
// the name: where the event is recent it is asked for again, as it is now.
func (e *Enricher) read(ctx context.Context, k key, fresh bool) (*Metadata, error) {
	m, err := e.readOnce(ctx, k, false)
	if errors.Is(err, ErrGone) && fresh && e.mayAskAgain() {
		return e.readOnce(ctx, k, true)
	}
	return m, err
}

func (e *Enricher) readOnce(ctx context.Context, k key, exact bool) (*Metadata, error) {
	m, err := e.Reader.Read(ctx, Object{
		Group: k.kind.Group, Version: k.kind.Version, Resource: k.kind.Resource, Namespace: k.namespace, Name: k.name,
	}, e.Node && k.kind.is("Pod"), exact)
	if err == nil && k.uid != "" && k.uid != m.UID && k.uid != m.Annotations[mirrorAnnotation] {
		return nil, ErrGone // another one has its name
	}
	return m, err
}

func (e *Enricher) mayAskAgain() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.bucket.take(time.Now())
}

// answered says whether the API server has given an answer that is of use.
func answered(err error) bool {
	return err == nil || errors.Is(err, ErrGone) || errors.Is(err, ErrRefused) || errors.Is(err, ErrUnsupported)
}

// learn makes an entry of an answer.
func (e *Enricher) learn(k key, m *Metadata, err error, now time.Time) *entry {
	ofAll := key{kind: k.kind, namespace: k.namespace}
	x := &entry{key: k}
	switch {
	case err == nil:
		e.Counters.add(Found)
		e.fill(x, m)
		x.keep(now, e.freshness(k, m))
	case errors.Is(err, ErrGone):
		e.Counters.add(Gone)
		x.missing = record.Gone
		x.keep(now, absence)
	case errors.Is(err, ErrRefused):
		e.Counters.add(Refused)
		e.warn(k, "the agent may not read objects of a kind, whose labels and owners its records lack; "+
			"grant it the right, or name the kinds that it may read in enrich.kinds", "right", "get "+rightOf(k))
		x.key, x.missing = ofAll, record.Refused
		x.keep(now, refusal)
	case errors.Is(err, ErrUnsupported):
		e.Counters.add(Unsupported)
		e.warn(k, "the API server has no objects of a kind that is to be looked up; see enrich.custom_kinds",
			"api_version", k.kind.apiVersion(), "resource", k.kind.Resource)
		x.key, x.missing = ofAll, record.Unsupported
		x.keep(now, refusal)
	default:
		e.Counters.add(Failed)
		e.Log.Debug("an event's object was not looked up", "error", err)
		if busy, ok := errors.AsType[*BusyError](err); ok {
			e.paused = now.Add(busy.After)
		}
		x.missing = record.Late
		x.keep(now, failure)
	}
	return x
}

// fill takes what is allowed, and nothing that keeps the whole answer in memory.
func (e *Enricher) fill(x *entry, m *Metadata) {
	room := newRoom()
	x.labels = room.take(m.Labels, e.Labels)
	x.annotations = room.take(m.Annotations, e.Annotations)
	x.large = room.full
	if m.Owner != nil && e.Owners {
		owner := *m.Owner
		x.owner = &owner
	}
	x.node = m.Node
	if e.Node && x.key.kind.is("Node") {
		x.zone = cut(m.Labels[zoneLabel])
	}
}

func (e *Enricher) freshness(k key, m *Metadata) time.Duration {
	if e.Node && k.kind.is("Pod") && m.Node == "" {
		return unplaced
	}
	return freshness
}

// warn says once a kind what somebody has to mend.
func (e *Enricher) warn(k key, text string, args ...any) {
	if !e.warned[k.kind] {
		e.warned[k.kind] = true
		e.Log.Warn(text, args...) //nolint:sloglint // the text is one of those above
	}
}

func rightOf(k key) string {
	right := k.kind.Resource
	if k.kind.Group != "" {
		right += "." + k.kind.Group
	}
	if k.namespace != "" {
		right += " in " + k.namespace
	}
	return right
}
