package relay

import (
	"context"
	"sync"
	"time"
	"unsafe"

	"github.com/eventbaton/baton/agent/cursor"
	"github.com/eventbaton/baton/agent/record"
	"github.com/eventbaton/baton/agent/sink"
	"github.com/eventbaton/baton/agent/source"
)

// entryBytes is what an entry takes besides its record.
const entryBytes = int(unsafe.Sizeof(entry{}))

// entry is a record that waits for its acknowledgement.
type entry struct {
	record *record.Record
	size   int
	read   time.Time
	place  place
	hold   *hold // nil where every version is handed over at once
}

// place is where a lane is once everything up to it is acknowledged.
type place struct {
	rv      uint64
	serial  uint64 // counts a lane's places: lists can't be compared with what came before them
	listing *cursor.Listing
	time    time.Time // of the newest event up to it, be it for this sink or not
	gap     *source.Gap
	known   bool // false in the middle of a page: a page's place holds for the whole of it
	reset   bool // the log went back on the way to it
}

// lane is one sink in one stream.
//
// What no sink gets, what the filter leaves out, and deletions are no entries. They move the place of the entry before
// them, or the acknowledged position itself where nothing waits: so the cursor passes them in turn. So do records that
// are held back for a while, but see rate.
type lane struct {
	key, namespace string
	sink           *Sink
	touch          func() // says that position has changed

	// Guarded by the stream's mu.
	next   cursor.Position // of the last batch that was put
	serial uint64          // of next
	seen   time.Time       // under a rate: what next.Time becomes when no list is being read
	counts counts
	spare  []entry

	mu      sync.Mutex
	queue   []entry // from the first that is not acknowledged; what is in flight is at its front
	bytes   int     // of the queue, and of what is held
	acked   cursor.Position
	passed  uint64    // acked's serial
	newest  time.Time // what acked.Time becomes when no list is being read
	back    bool      // acked went back and nobody has asked yet
	arrived chan struct{}
	room    chan struct{} // closed when there is room again; nil where nobody waits
	rate    *rate         // nil where nothing is held
}

func newLane(key, namespace string, sink *Sink, from cursor.Position, touch func()) *lane {
	from.Since = time.Time{}
	if l := from.Listing; l != nil && l.Stream != namespace {
		from.Listing = nil
	}
	return &lane{
		key: key, namespace: namespace, sink: sink, touch: touch,
		next: from, seen: from.Time, acked: from, newest: from.Time, arrived: make(chan struct{}, 1), rate: newRate(sink),
	}
}

// put takes a delivery and says whether the lane is full then. It is called with the stream's mu held.
func (l *lane) put(d *delivery) (full bool) {
	entries := l.sift(d)
	l.mu.Lock()
	defer l.mu.Unlock()
	if d.Reset {
		l.releaseAll() // what lies before it can't be compared with what follows
	}
	for i := range entries {
		l.add(&entries[i])
	}
	clear(entries)
	return l.bytes >= l.sink.queueBytes
}

// sift makes entries of what lies after the lane's own position, those without a record for what only moves it.
func (l *lane) sift(d *delivery) []entry {
	if d.Reset {
		l.next = cursor.Position{}
		l.counts.forget()
	}
	entries, filtered, suppressed := l.spare[:0], 0, 0
	for i := range d.items {
		it := &d.items[i]
		if it.rv <= l.next.RV {
			continue
		}
		e := entry{read: d.read, place: place{time: it.time}}
		switch {
		case it.record == nil:
		case !l.sink.wants(it.record):
			filtered++
		case l.again(it):
			suppressed++
		default:
			e.record, e.size = l.counts.withDelta(it), it.size
			if l.rate != nil {
				e.hold = l.newHold(it)
			}
		}
		if l.rate != nil && it.time.After(l.seen) {
			l.seen = it.time
		}
		if d.Ordered {
			l.moveTo(it.rv, nil)
			e.place.rv, e.place.serial, e.place.known = it.rv, l.serial, true
		}
		entries = append(entries, e)
	}
	// A lane that joined a reader may be further than it.
	l.moveTo(max(d.Position.RV, l.next.RV), d.Position.Listing)
	entries = append(entries, entry{read: d.read, place: place{
		rv: l.next.RV, serial: l.serial, listing: l.next.Listing, gap: d.Gap, known: true, reset: d.Reset,
	}})
	l.spare = entries[:0]
	l.sink.leftOut(filtered, suppressed)
	return entries
}

// moveTo notes how far the lane has read.
func (l *lane) moveTo(rv uint64, listing *cursor.Listing) {
	l.next.RV, l.next.Listing = rv, listing
	l.serial++
	if l.rate != nil && listing == nil {
		l.next.Time = l.seen // what the position's time will be when all that is acknowledged
	}
}

// add appends an entry, or lets one without a record move the place before it.
func (l *lane) add(e *entry) {
	if e.hold != nil && l.holdBack(e) {
		e.record = nil
		defer l.releaseExcess()
	}
	switch {
	case e.record != nil:
		l.bytes += e.size
		l.enqueue(e)
	case len(l.queue) > 0:
		l.queue[len(l.queue)-1].place.move(e.place)
	default:
		l.settle(e.place)
		l.touch()
	}
}

// enqueue appends an entry whose bytes are counted.
func (l *lane) enqueue(e *entry) {
	l.queue = append(l.queue, *e)
	select {
	case l.arrived <- struct{}{}:
	default:
	}
}

// move makes p the place of what comes after it as well.
func (p *place) move(to place) {
	if to.time.After(p.time) {
		p.time = to.time
	}
	p.reset = p.reset || to.reset
	if p.gap == nil {
		p.gap = to.gap
	}
	if to.known {
		p.rv, p.serial, p.listing, p.known = to.rv, to.serial, to.listing, true
	}
}

// settle moves the acknowledged position. In a list its time stays what it was when the list began: what is
// acknowledged from then on is in the order of keys.
func (l *lane) settle(p place) {
	if p.time.After(l.newest) {
		l.newest = p.time
	}
	if p.gap != nil {
		l.sink.gap(l.namespace, l.acked.Time, p.gap)
	}
	if p.reset {
		l.back = true
	}
	if !p.known {
		return
	}
	l.acked.RV, l.acked.Listing, l.passed = p.rv, p.listing, p.serial
	if p.listing == nil {
		l.acked.Time = l.newest
	}
}

// take gives what waits, up to the limits, and at least one record. It stays in the queue until it is acknowledged. Where
// the sink wants more to gather first, or something is held, there is no batch but the time until there may be one.
func (l *lane) take(limits sink.Limits) (batch []*record.Record, wait time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	wait = l.releaseDue()
	n, full := l.batch(limits)
	if n > 0 && !full {
		if gather := limits.Gather - time.Since(l.queue[0].read); gather > 0 {
			if wait > 0 {
				gather = min(gather, wait)
			}
			return nil, gather
		}
	}
	for i := range l.queue[:n] {
		batch = append(batch, l.queue[i].record)
	}
	return batch, wait
}

// takeFirst gives as much of the first n records as a batch may have.
func (l *lane) takeFirst(n int, limits sink.Limits) (batch []*record.Record) {
	l.mu.Lock()
	defer l.mu.Unlock()
	most, _ := l.batch(limits)
	for i := range l.queue[:min(n, most)] {
		batch = append(batch, l.queue[i].record)
	}
	return batch
}

// batch is how many records make the next batch, and whether it has no use to wait for more: there are more than it may
// have, or the queue, which has to have room for what gathers, is half full. It is called with mu held.
func (l *lane) batch(limits sink.Limits) (n int, full bool) {
	size := 0
	for n = range l.queue {
		size += l.queue[n].size - entryBytes
		if n > 0 && (n >= limits.Records || size > limits.Bytes) {
			return n, true
		}
	}
	return len(l.queue), l.bytes >= l.sink.queueBytes/2
}

// acknowledge settles the first n entries, and says how long ago each was read.
func (l *lane) acknowledge(n int, observe func(time.Duration)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := range l.queue[:n] {
		e := &l.queue[i]
		observe(time.Since(e.read))
		l.bytes -= e.size
		l.settle(e.place)
		if e.hold != nil {
			l.rate.arrived(e.hold, time.Now())
		}
	}
	l.drop(n)
	if l.room != nil && l.bytes <= l.sink.queueBytes/2 {
		close(l.room)
		l.room = nil
	}
	l.touch()
}

// drop removes the first n entries, and gives the memory of a queue that was long back when it is empty.
func (l *lane) drop(n int) {
	clear(l.queue[:n])
	l.queue = l.queue[n:]
	if len(l.queue) == 0 {
		l.queue = nil
	}
}

// waitForRoom returns nil once half of the queue is free: a reader that was stopped costs two requests to start.
func (l *lane) waitForRoom(ctx context.Context) error {
	l.mu.Lock()
	if l.bytes <= l.sink.queueBytes/2 {
		l.mu.Unlock()
		return nil
	}
	if l.room == nil {
		l.room = make(chan struct{})
	}
	room := l.room
	l.mu.Unlock()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-room:
		return nil
	}
}

// position is how far the sink has acknowledged, and since when something waits. It is held back by what is held: see
// rate. That doesn't make it go back: when a floor came into being, it was ahead of all that was acknowledged, or there.
func (l *lane) position() cursor.Position {
	l.mu.Lock()
	defer l.mu.Unlock()
	p := l.acked
	if l.rate != nil {
		if h := l.rate.floor(); h != nil && h.serial < l.passed {
			p = h.floor
		}
	}
	if len(l.queue) > 0 {
		p.Since = l.queue[0].read
	}
	return p
}

// listing says that what is acknowledged is in the middle of a list.
func (l *lane) listing() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.acked.Listing != nil
}

// takeReset gives the position once after it went back.
func (l *lane) takeReset() (cursor.Position, bool) {
	l.mu.Lock()
	back := l.back
	l.back = false
	l.mu.Unlock()
	return l.position(), back
}

// waits says how much is in the queue.
func (l *lane) waits() (records, bytes int, since time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.queue) > 0 {
		since = l.queue[0].read
	}
	return len(l.queue), l.bytes, since
}
