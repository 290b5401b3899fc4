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
}

// place is where a lane is once everything up to it is acknowledged.
type place struct {
	rv      uint64
	listing *cursor.Listing
	time    time.Time // of the newest event up to it, be it for this sink or not
	gap     *source.Gap
	known   bool // false in the middle of a page: a page's place holds for the whole of it
	reset   bool // the log went back on the way to it
}

// lane is one sink in one stream.
//
// What no sink gets, what the filter leaves out, and deletions are no entries. They move the place of the entry before
// them, or the acknowledged position itself where nothing waits: so the cursor passes them in turn.
type lane struct {
	key, namespace string
	sink           *Sink
	touch          func() // says that position has changed

	// Guarded by the stream's mu.
	next   cursor.Position // of the last batch that was put
	counts counts
	spare  []entry

	mu      sync.Mutex
	queue   []entry // from the first that is not acknowledged; what is in flight is at its front
	bytes   int
	acked   cursor.Position
	newest  time.Time // what acked.Time becomes when no list is being read
	back    bool      // acked went back and nobody has asked yet
	arrived chan struct{}
	room    chan struct{} // closed when there is room again; nil where nobody waits
}

func newLane(key, namespace string, sink *Sink, from cursor.Position, touch func()) *lane {
	from.Since = time.Time{}
	if l := from.Listing; l != nil && l.Stream != namespace {
		from.Listing = nil
	}
	return &lane{
		key: key, namespace: namespace, sink: sink, touch: touch,
		next: from, acked: from, newest: from.Time, arrived: make(chan struct{}, 1),
	}
}

// put takes a delivery and says whether the lane is full then. It is called with the stream's mu held.
func (l *lane) put(d *delivery) (full bool) {
	entries := l.sift(d)
	l.mu.Lock()
	defer l.mu.Unlock()
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
	entries, filtered := l.spare[:0], 0
	for i := range d.items {
		it := &d.items[i]
		if it.rv <= l.next.RV {
			continue
		}
		e := entry{read: d.read, place: place{time: it.time}}
		if it.record != nil && l.sink.wants(it.record) {
			e.record, e.size = l.counts.withDelta(it), it.size
		} else if it.record != nil {
			filtered++
		}
		if d.Ordered {
			l.next.RV = it.rv
			e.place.rv, e.place.known = it.rv, true
		}
		entries = append(entries, e)
	}
	// A lane that joined a reader may be further than it.
	l.next = cursor.Position{RV: max(d.Position.RV, l.next.RV), Listing: d.Position.Listing}
	entries = append(entries, entry{read: d.read, place: place{
		rv: l.next.RV, listing: l.next.Listing, gap: d.Gap, known: true, reset: d.Reset,
	}})
	l.spare = entries[:0]
	l.sink.filtered(filtered)
	return entries
}

// add appends an entry, or lets one without a record move the place before it.
func (l *lane) add(e *entry) {
	switch {
	case e.record != nil:
		l.queue = append(l.queue, *e)
		l.bytes += e.size
		select {
		case l.arrived <- struct{}{}:
		default:
		}
	case len(l.queue) > 0:
		l.queue[len(l.queue)-1].place.move(e.place)
	default:
		l.settle(e.place)
		l.touch()
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
		p.rv, p.listing, p.known = to.rv, to.listing, true
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
	l.acked.RV, l.acked.Listing = p.rv, p.listing
	if p.listing == nil {
		l.acked.Time = l.newest
	}
}

// take gives what waits, up to the limits, and at least one record. It stays in the queue until it is acknowledged.
func (l *lane) take(limits sink.Limits) []*record.Record {
	l.mu.Lock()
	defer l.mu.Unlock()
	var batch []*record.Record
	size := 0
	for i := range l.queue {
		e := &l.queue[i]
		size += e.size - entryBytes
		if i > 0 && (i >= limits.Records || size > limits.Bytes) {
			break
		}
		batch = append(batch, e.record)
	}
	return batch
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

// position is how far the sink has acknowledged, and since when something waits.
func (l *lane) position() cursor.Position {
	l.mu.Lock()
	defer l.mu.Unlock()
	p := l.acked
	if len(l.queue) > 0 {
		p.Since = l.queue[0].read
	}
	return p
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
