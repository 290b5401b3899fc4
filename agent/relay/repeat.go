package relay

import (
	"container/list"
	"encoding/binary"
	"hash/maphash"
	"time"

	"github.com/eventbaton/baton/agent/cursor"
	"github.com/eventbaton/baton/agent/record"
)

// Repeats says which records a sink gets of what goes on happening. The zero value is RepeatsEvery.
type Repeats string

const (
	RepeatsEvery Repeats = "every" // every version of an event
	// RepeatsFirst is the first version of each event. The memory for that is a term's and bounded: an event that goes on
	// may come once more under the next leader, and after thousands of others.
	RepeatsFirst Repeats = "first"
	// RepeatsRate is one record of an object and a reason in an interval: the first at once, and of what comes before
	// the interval is over the latest, when it is over, with all that the others counted.
	RepeatsRate Repeats = "rate"
)

const (
	defaultRepeatInterval = 5 * time.Minute
	// mostGroups is how many objects and reasons a lane knows an interval of: about three megabytes.
	mostGroups = generation
	// heldShare is the part of a queue that may be held: the rest has to have room for what waits for the sink.
	heldShare = 4
)

// rate is what a lane holds back, guarded by the lane's mu.
//
// The cursor passes a record that is held like one that is filtered out, but the lane's position doesn't follow: it
// stays at the place before the first record that was held, the floor, until the one that stands for them has arrived.
// Who leads next reads them again, so that what they count is never lost with a leader's memory.
type rate struct {
	interval time.Duration
	most     int // bytes

	groups  map[groupKey]*group
	resting list.List // of *group: those of which none waits in the queue, in the order in which their turns come
	held    list.List // of *hold: those that aren't in the queue, the oldest first
	floors  list.List // of *hold: those that haven't arrived, the oldest first
	bytes   int       // of held
}

type groupKey [16]byte

// group is an object and a reason.
type group struct {
	key    groupKey
	queued int       // how many of its records are in the queue
	turn   time.Time // while none is: when the next one may be
	held   *hold
	rests  *list.Element
}

// hold is a record on its way under a rate, held back or not.
type hold struct {
	key    groupKey
	rv     uint64
	group  *group
	record *record.Record // while it is held
	size   int
	delta  *int64 // of all records that this one stands for; nil where one isn't known

	floor  cursor.Position
	serial uint64 // of the floor

	inHeld, inFloors *list.Element
}

func newRate(s *Sink) *rate {
	if s.options.Repeats != RepeatsRate {
		return nil
	}
	r := &rate{interval: s.options.RepeatInterval, most: s.queueBytes / heldShare, groups: map[groupKey]*group{}}
	if r.interval <= 0 {
		r.interval = defaultRepeatInterval
	}
	return r
}

// admit decides about a record: now is its group's turn, or it is held. superseded says that one of the group's records
// was dropped for another one that stands for it as well.
func (r *rate) admit(e *entry, now time.Time) (held, superseded bool) {
	h := e.hold
	g := r.groups[h.key]
	if g == nil {
		g = &group{key: h.key}
		r.groups[h.key] = g
	}
	h.group = g
	switch {
	case g.held != nil:
		r.merge(g.held, h, e)
		return true, true
	case g.queued > 0 || now.Before(g.turn):
		r.hold(h, e)
		return true, false
	}
	r.queue(g)
	return false, false
}

// hold begins to hold a group's record.
func (r *rate) hold(h *hold, e *entry) {
	h.record, h.size, h.delta = e.record, e.size, e.record.CountDelta
	h.group.held = h
	h.inHeld, h.inFloors = r.held.PushBack(h), r.floors.PushBack(h)
	r.bytes += h.size
}

// merge lets one record stand for both: the later version, with what the two count. Pages aren't in the order of
// versions.
func (r *rate) merge(into, h *hold, e *entry) {
	into.delta = sum(into.delta, e.record.CountDelta)
	if h.rv < into.rv {
		return
	}
	r.bytes += e.size - into.size
	into.record, into.size, into.rv = e.record, e.size, h.rv
}

func sum(a, b *int64) *int64 {
	if a == nil || b == nil {
		return nil
	}
	both := *a + *b
	return &both
}

// queue notes that a record of the group goes into the queue.
func (r *rate) queue(g *group) {
	if g.queued++; g.rests != nil {
		r.resting.Remove(g.rests)
		g.rests = nil
	}
}

// release ends a hold, and gives the entry for the queue. Its floor stays until it has arrived. It has no place of its
// own: the cursor has passed that.
func (r *rate) release(h *hold, now time.Time) *entry {
	e := &entry{record: h.record, size: h.size, read: now, hold: h}
	if h.record.CountDelta != h.delta {
		handed := *h.record
		handed.CountDelta = h.delta
		e.record = &handed
	}
	r.bytes -= h.size
	r.held.Remove(h.inHeld)
	h.group.held, h.record, h.inHeld = nil, nil, nil
	r.queue(h.group)
	return e
}

// arrived notes that the sink has acknowledged, or refused, a record. The next one's turn is an interval later.
func (r *rate) arrived(h *hold, now time.Time) {
	if h.inFloors != nil {
		r.floors.Remove(h.inFloors)
		h.inFloors = nil
	}
	g := h.group
	if g.queued--; g.queued == 0 {
		g.turn = now.Add(r.interval)
		g.rests = r.resting.PushBack(g)
	}
}

// next gives a hold to release whose time has come, nil for none, and the time until one may come. What is not held of
// the groups whose turn has come is forgotten.
func (r *rate) next(now time.Time) (*hold, time.Duration) {
	for {
		g := front[group](&r.resting)
		if g == nil {
			return nil, 0
		}
		if wait := g.turn.Sub(now); wait > 0 && r.resting.Len() <= mostGroups {
			return nil, wait
		}
		if g.held != nil {
			return g.held, 0
		}
		r.resting.Remove(g.rests)
		delete(r.groups, g.key)
	}
}

// excess gives a hold to release where more is held than may be, the oldest.
func (r *rate) excess() *hold {
	if r.bytes <= r.most {
		return nil
	}
	return front[hold](&r.held)
}

// floor gives the oldest hold that hasn't arrived, nil for none.
func (r *rate) floor() *hold { return front[hold](&r.floors) }

func front[T any](l *list.List) *T {
	first := l.Front()
	if first == nil {
		return nil
	}
	value, _ := first.Value.(*T)
	return value
}

// newHold makes what the record needs to be held.
func (l *lane) newHold(it *item) *hold {
	return &hold{key: groupOf(it.record), rv: it.rv, floor: l.next, serial: l.serial}
}

// groupOf is the key of the record's object and reason. The object is the one with that UID, whatever part of it the
// event is about; where the reporter doesn't say the UID, all its names together.
func groupOf(r *record.Record) (key groupKey) {
	o := &r.Object
	names := [...]string{o.UID, r.Reason, o.APIVersion, o.Kind, o.Namespace, o.Name}
	tell := names[:]
	if o.UID != "" {
		tell = names[:2]
	}
	for i, seed := range seeds {
		var hash maphash.Hash
		hash.SetSeed(seed)
		for _, name := range tell {
			_, _ = hash.WriteString(name)
			_ = hash.WriteByte(0)
		}
		binary.LittleEndian.PutUint64(key[8*i:], hash.Sum64())
	}
	return key
}

// again says whether a version is one that the sink doesn't get because of one that it was handed before.
func (l *lane) again(it *item) bool {
	switch l.sink.options.Repeats {
	case RepeatsFirst:
		return l.counts.knows(it)
	case RepeatsRate:
		// It comes again, as it may in a list: it was counted, and handed over or held.
		last, known := l.counts.last(keyOf(it.uid))
		return known && it.rv <= last.rv
	default:
		return false
	}
}

// holdBack says that an entry's record isn't to be sent now. It is called with mu held.
func (l *lane) holdBack(e *entry) bool {
	before := l.rate.bytes
	held, superseded := l.rate.admit(e, time.Now())
	l.bytes += l.rate.bytes - before
	if superseded {
		l.sink.leftOut(0, 1)
	}
	return held
}

// releaseExcess puts into the queue what is more than may be held: sent sooner rather than lost. It is called with mu
// held.
func (l *lane) releaseExcess() {
	for h := l.rate.excess(); h != nil; h = l.rate.excess() {
		l.enqueue(l.rate.release(h, time.Now()))
	}
}

// releaseDue puts into the queue what was held for long enough, and says when it is to be asked again, 0 for not before
// something has arrived. It is called with mu held.
func (l *lane) releaseDue() (wait time.Duration) {
	if l.rate == nil {
		return 0
	}
	now := time.Now()
	for {
		h, wait := l.rate.next(now)
		if h == nil {
			return wait
		}
		l.enqueue(l.rate.release(h, now))
	}
}

// releaseAll puts all that is held into the queue. It is called with mu held.
func (l *lane) releaseAll() {
	if l.rate == nil {
		return
	}
	now := time.Now()
	for h := front[hold](&l.rate.held); h != nil; h = front[hold](&l.rate.held) {
		l.enqueue(l.rate.release(h, now))
	}
}

// releaseFirst puts what keeps the position behind what is acknowledged at the front of the queue, of which nothing is
// in flight, and says how much that is.
func (l *lane) releaseFirst() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.rate == nil {
		return 0
	}
	var first []entry
	now := time.Now()
	for h := front[hold](&l.rate.held); h != nil && h.serial < l.passed; h = front[hold](&l.rate.held) {
		first = append(first, *l.rate.release(h, now))
	}
	l.queue = append(first, l.queue...)
	return len(first)
}

// holds says how much is held.
func (l *lane) holds() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.rate == nil {
		return 0
	}
	return l.rate.held.Len()
}
