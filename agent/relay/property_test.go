package relay_test

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/eventbaton/baton/agent/cursor"
	"github.com/eventbaton/baton/agent/record"
	"github.com/eventbaton/baton/agent/relay"
	"github.com/eventbaton/baton/agent/sink"
)

// TestNothingIsLost plays random logs with random faults of the sinks, and crashes at random moments, after which the
// next leader goes on from the last positions that were written. At every write no cursor may be past anything its
// sink has not acknowledged, and in the end everything must have arrived: every version where the log was never
// compacted, else the latest of everything retained. A sink may want less of what repeats: then another record has to
// stand for what it does not get. BATON_SEED replays one, BATON_PLAYS
// says how many there are.
func TestNothingIsLost(t *testing.T) {
	plays := uint64(100)
	if n, err := strconv.ParseUint(os.Getenv("BATON_PLAYS"), 10, 64); err == nil {
		plays = n
	}
	var seeds []uint64
	for seed := range plays {
		seeds = append(seeds, seed)
	}
	if s, err := strconv.ParseUint(os.Getenv("BATON_SEED"), 10, 64); err == nil {
		seeds = []uint64{s}
	}
	seen := map[string]int{}
	for _, seed := range seeds {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			inBubble(t, func(t *testing.T) { newPlay(seed, seen).run(t) })
		})
	}
	t.Logf("happened: %v", seen)
	for _, what := range []string{"held back", "suppressed", "crash", "crash in a list", "drained", "compacted", "failed", "arrived without an answer", "several readers"} {
		if seen[what] == 0 && len(seeds) >= 100 {
			t.Errorf("%q never happened: the test tests less than it says", what)
		}
	}
}

// play is one random run.
type play struct {
	*world
	random   *rand.Rand
	seen     map[string]int
	compacts bool
	versions []stored // every version that was ever stored
	saved    map[string]cursor.Position
	began    uint64      // versions above it must arrive where nothing is compacted
	calm     atomic.Bool // the sinks make no more trouble
	keys     map[string]bool
	repeats  map[string]relay.Repeats // by sink
}

// stored is one version of an event, with its record's id and group.
type stored struct {
	rv                   uint64
	namespace, id, group string
}

func (p *play) stored(e *corev1.Event) stored {
	r := p.options.Convert(e)
	return stored{rvOf(r), e.Namespace, r.ID, groupOf(r)}
}

func newPlay(seed uint64, seen map[string]int) *play {
	p := &play{world: newWorld(), random: rand.New(rand.NewPCG(seed, 1)), seen: seen, saved: map[string]cursor.Position{}, keys: map[string]bool{}}
	p.repeats = map[string]relay.Repeats{}
	p.options.Convert = func(e *corev1.Event) *record.Record {
		r := convertAll(e)
		r.Object.Namespace, r.Object.Name = e.Namespace, e.Name[:3] // twelve in a namespace
		return r
	}
	p.compacts = p.chance(0.5)
	p.BareGone, p.GoneInStream = p.chance(0.3), p.chance(0.5)
	p.pageLimit = 1 + p.random.Int64N(12)
	if p.chance(0.4) {
		p.options.Streams = []string{"ns0", "ns1"}
	}
	for i := range 1 + p.random.IntN(3) {
		r := &receiver{limits: sink.Limits{Records: 1 + p.random.IntN(20), Bytes: 500 + p.random.IntN(5000)}}
		if p.random.IntN(3) == 0 {
			r.limits.Gather = time.Duration(p.random.IntN(5000)) * time.Millisecond
		}
		r.takes = time.Duration(p.random.IntN(300)) * time.Millisecond
		o := relay.SinkOptions{Name: fmt.Sprint("s", i), QueueBytes: 500 + p.random.IntN(8000)}
		switch p.random.IntN(4) {
		case 0:
			o.Repeats = relay.RepeatsFirst
		case 1:
			o.Repeats, o.RepeatInterval = relay.RepeatsRate, time.Duration(1+p.random.IntN(60))*time.Second
			o.QueueBytes += p.random.IntN(2) * p.random.IntN(50_000)
		}
		p.repeats[o.Name] = o.Repeats
		p.add(o, r)
		r.answer = p.trouble(r)
	}
	return p
}

func (p *play) chance(of float64) bool { return p.random.Float64() < of }

// trouble fails some calls, and of those some after the batch has arrived. It has a source of randomness of its own,
// because sinks are called at once.
func (p *play) trouble(r *receiver) func(int, []*record.Record) error {
	random := rand.New(rand.NewPCG(p.random.Uint64(), 2))
	rate := random.Float64() * 0.6
	return func(_ int, batch []*record.Record) error {
		if p.calm.Load() || random.Float64() >= rate {
			return nil
		}
		switch random.IntN(4) {
		case 0:
			r.repeats++
			r.got = append(r.got, batch...) // it arrived, but the answer is lost
			return errors.New("no answer")
		case 1:
			return &sink.RetryAfter{Err: errors.New("429"), After: time.Duration(random.IntN(20)) * time.Second}
		default:
			return errors.New("500")
		}
	}
}

func (p *play) run(t *testing.T) {
	for range p.random.IntN(150) {
		p.change()
	}
	p.began = p.RV()
	if p.chance(0.5) && !p.compacts { // else the lanes start before everything
		p.from(cursor.Position{RV: p.began})
		p.saved = maps.Clone(p.options.Positions)
	} else {
		p.compacts = true // what changes during the first list need not arrive in each version
	}
	p.start(t)
	for range 150 {
		p.step(t)
	}
	p.settle(t)
}

// step lets something happen.
func (p *play) step(t *testing.T) {
	switch n := p.random.IntN(100); {
	case n < 60:
		for range 1 + p.random.IntN(8) {
			p.change()
		}
	case n < 64 && p.compacts:
		p.Compact()
		p.seen["compacted"]++
	case n < 80:
		p.save(t)
	case n < 84:
		p.crash(t)
	case n < 86:
		p.handOver(t)
	}
	after(time.Duration(p.random.IntN(2000)) * time.Millisecond)
	if _, _, open := p.Requests(); open > len(p.options.Streams) {
		p.seen["several readers"]++
	}
}

// change changes the log.
func (p *play) change() {
	namespace, name := fmt.Sprint("ns", p.random.IntN(2)), fmt.Sprintf("e%03d", p.random.IntN(120))
	key := namespace + "/" + name
	switch {
	case !p.keys[key]:
		p.Create(namespace, name, strings.Repeat("x", p.random.IntN(300)))
		p.keys[key] = true
	case p.chance(0.3):
		p.Delete(namespace, name)
		delete(p.keys, key)
		return
	default:
		p.Update(namespace, name, int32(1+p.random.IntN(3)))
	}
	for _, e := range p.Retained() {
		if e.Namespace == namespace && e.Name == name {
			p.versions = append(p.versions, p.stored(e))
		}
	}
}

// has says whether the sink has a version, or what stands for it where it wants less. It is called with r.mu held.
func (p *play) has(name string, r *receiver, v stored) bool {
	switch p.repeats[name] {
	case relay.RepeatsFirst:
		return r.uids[uidOf(v.id)]
	case relay.RepeatsRate:
		return r.newest[v.group] >= v.rv
	default:
		return r.acked[v.id]
	}
}

// save writes the positions, as a leader does, and checks them.
func (p *play) save(t *testing.T) {
	t.Helper()
	for key, position := range p.relay.Positions() {
		if old := p.saved[key]; position.RV < old.RV {
			t.Fatalf("cursor %s went back from %+v to %+v", key, old, position)
		}
		p.saved[key] = position
		name, _, _ := strings.Cut(key, ".")
		p.seen["held back"] += p.sinks[name].Status().HeldRecords
		p.checkCursor(t, key, position)
	}
}

// checkCursor finds what a cursor passed and its sink has not acknowledged.
func (p *play) checkCursor(t *testing.T, key string, at cursor.Position) {
	t.Helper()
	name, stream, _ := strings.Cut(key, ".")
	r := p.receivers[name]
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, v := range p.required() {
		if stream != "" && v.namespace != stream || v.rv > at.RV {
			continue
		}
		if !p.has(name, r, v) {
			t.Fatalf("cursor %s is at %d, past %s, which is not acknowledged", key, at.RV, v.id)
		}
	}
	if at.Listing != nil {
		p.checkListing(t, key, r, at)
	}
}

// checkListing does so for the keys that a half-read list has passed.
func (p *play) checkListing(t *testing.T, key string, r *receiver, at cursor.Position) {
	t.Helper()
	_, passed, _ := strings.Cut(at.Listing.Continue, "|")
	name, _, _ := strings.Cut(key, ".")
	for _, e := range p.Retained() {
		path := e.Namespace + "/" + e.Name
		if at.Listing.Stream != "" {
			if e.Namespace != at.Listing.Stream {
				continue
			}
			path = e.Name
		}
		if v := p.stored(e); path <= passed && v.rv <= at.Listing.RV && !p.has(name, r, v) {
			t.Fatalf("cursor %s is at %+v, past %s, which is not acknowledged", key, at.Listing, path)
		}
	}
}

// required are the versions that have to arrive.
func (p *play) required() []stored {
	if !p.compacts {
		return slices.DeleteFunc(slices.Clone(p.versions), func(v stored) bool { return v.rv <= p.began })
	}
	var retained []stored
	for _, e := range p.Retained() {
		retained = append(retained, p.stored(e))
	}
	return retained
}

// crash ends the leader without a last write; the next one goes on from what was written.
func (p *play) crash(t *testing.T) {
	p.seen["crash"]++
	for _, position := range p.saved {
		if position.Listing != nil {
			p.seen["crash in a list"]++
		}
	}
	p.kill(t)
	p.next(t)
}

// handOver ends the leader in order.
func (p *play) handOver(t *testing.T) {
	p.seen["drained"]++
	p.finish(t)
	p.save(t)
	p.next(t)
}

// next begins a new epoch.
func (p *play) next(t *testing.T) {
	p.checkDeltas(t)
	after(time.Duration(p.random.IntN(60)) * time.Second)
	p.options.Positions = maps.Clone(p.saved)
	p.start(t)
}

// settle lets everything arrive, and looks whether it has.
func (p *play) settle(t *testing.T) {
	p.calm.Store(true)
	after(30 * time.Minute)
	p.save(t)
	for key, at := range p.saved {
		if at.Listing != nil || !at.Since.IsZero() {
			t.Errorf("cursor %s came to rest at %+v", key, at)
		}
	}
	for name, r := range p.receivers {
		for _, v := range p.required() {
			if !p.has(name, r, v) {
				t.Errorf("%s was never delivered to %s", v.id, name)
			}
		}
		status := p.sinks[name].Status()
		p.seen["gap"] += int(status.Gaps)
		p.seen["failed"] += int(status.Retries)
		p.seen["suppressed"] += int(status.Suppressed)
		if status.HeldRecords > 0 {
			t.Errorf("%s: %d records are still held", name, status.HeldRecords)
		}
		p.seen["arrived without an answer"] += r.repeats
	}
	p.checkDeltas(t)
	p.finish(t)
}

// checkDeltas sums up the deltas of the epoch that ends, for each sink and event, and forgets what arrived in it.
func (p *play) checkDeltas(t *testing.T) {
	t.Helper()
	for name, r := range p.receivers {
		if p.repeats[name] == relay.RepeatsRate {
			continue // TestRateLosesNoCount does that
		}
		r.mu.Lock()
		ids, sum, most := map[string]bool{}, map[string]int64{}, map[string]int64{}
		for _, one := range r.got {
			uid := one.ID[:strings.LastIndex(one.ID, "/")]
			if ids[one.ID] {
				continue
			}
			ids[one.ID] = true
			switch _, known := sum[uid]; {
			case known && p.repeats[name] == relay.RepeatsFirst:
				t.Errorf("%s: %s is not the first of its event", name, one.ID)
			case !known && one.CountDelta == nil:
				sum[uid] = one.Count
			case one.CountDelta == nil:
				t.Errorf("%s: %s has no delta", name, one.ID)
			case !known && *one.CountDelta != one.Count:
				t.Errorf("%s: the first version %s has a delta of %d of %d", name, one.ID, *one.CountDelta, one.Count)
			default:
				sum[uid] += *one.CountDelta
			}
			most[uid] = max(most[uid], one.Count)
		}
		if !maps.Equal(sum, most) {
			t.Errorf("%s: deltas add up to %v, counts are %v", name, sum, most)
		}
		r.got = nil
		r.mu.Unlock()
	}
}
