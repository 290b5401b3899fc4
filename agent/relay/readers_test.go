package relay_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/eventbaton/baton/agent/cursor"
	"github.com/eventbaton/baton/agent/relay"
	"github.com/eventbaton/baton/agent/source"
)

// script is a Reader that reads what the test says.
type script struct {
	from cursor.Position
	c    source.Consumer
	ctx  context.Context //nolint:containedctx // that of Read
}

func (s *script) Read(ctx context.Context, from cursor.Position, c source.Consumer) error {
	s.ctx, s.from, s.c = ctx, from, c
	<-ctx.Done()
	return ctx.Err()
}

// scripted is a world whose readers are scripts, in the order they were opened.
type scripted struct {
	*world
	relay *relay.Relay
	mu    sync.Mutex
	open  []*script
}

func startScripted(t *testing.T, positions map[string]cursor.Position) *scripted {
	t.Helper()
	return newScripted(t, func(w *world) relay.Options {
		for name := range positions {
			w.add(relay.SinkOptions{Name: name}, &receiver{})
		}
		return relay.Options{Positions: positions, Convert: convertAll}
	})
}

// newScripted starts a world of scripts with the sinks and the options that prepare makes.
func newScripted(t *testing.T, prepare func(*world) relay.Options) *scripted {
	t.Helper()
	w := &scripted{world: newWorld()}
	o := prepare(w.world)
	o.Streams = []string{""}
	for _, name := range slices.Sorted(keys(w.sinks)) {
		o.Sinks = append(o.Sinks, w.sinks[name])
	}
	o.Open = func(string) relay.Reader {
		s := &script{}
		w.mu.Lock()
		defer w.mu.Unlock()
		w.open = append(w.open, s)
		return s
	}
	w.relay = relay.New(o)
	w.drain, w.done = make(chan struct{}), make(chan error, 1)
	ctx, cancel := context.WithCancel(t.Context())
	w.cancel = cancel
	go func() { w.done <- w.relay.Run(ctx, w.drain) }()
	synctest.Wait()
	slices.SortFunc(w.open, func(a, b *script) int { return int(b.from.RV) - int(a.from.RV) })
	return w
}

// watched is a batch as a watch gives it, of one event a version.
func watched(rvs ...uint64) source.Batch {
	b := source.Batch{Ordered: true}
	for _, rv := range rvs {
		b.Items = append(b.Items, itemOf(fmt.Sprint("e", rv), rv, 1))
		b.Position.RV = rv
	}
	return b
}

func itemOf(name string, rv uint64, count int32) source.Item {
	return source.Item{RV: rv, Time: time.Now(), Event: &corev1.Event{
		ObjectMeta: metav1.ObjectMeta{Name: name, UID: types.UID(name), ResourceVersion: fmt.Sprint(rv)}, Count: count,
	}}
}

func (w *scripted) take(t *testing.T, s *script, b source.Batch) error {
	t.Helper()
	err := s.c.Take(s.ctx, b)
	synctest.Wait()
	return err
}

func mustTake(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Errorf("Take: %v", err)
	}
}

// Who is behind joins who is ahead when it has read as far, never the other way round; nothing comes twice, and the
// position of who joined never goes back to that of the reader it joined.
func TestJoin(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		w := startScripted(t, map[string]cursor.Position{"ahead": {RV: 500}, "behind": {RV: 100}})
		ahead, behind := w.open[0], w.open[1]
		mustTake(t, w.take(t, ahead, watched(501, 505)))
		mustTake(t, w.take(t, behind, watched(501)))
		mustTake(t, w.take(t, ahead, watched(506)))
		if err := w.take(t, behind, watched(505, 506, 510)); err == nil || errors.Is(err, source.ErrFull) {
			t.Errorf("who has caught up got %v, want an error that ends it", err)
		}
		// The front has a gap now, and lists from where it was.
		page := source.Batch{
			Items:    []source.Item{itemOf("e510", 510, 1), itemOf("e512", 512, 1)},
			Position: cursor.Position{RV: 506, Listing: &cursor.Listing{RV: 520, Continue: "next"}},
		}
		mustTake(t, w.take(t, ahead, page))
		if p := w.relay.Positions(); p["behind"].RV != 510 || p["ahead"].RV != 506 || p["behind"].Listing == nil {
			t.Errorf("positions in the list: %+v", p)
		}
		page = source.Batch{Items: []source.Item{itemOf("e515", 515, 1)}, Position: cursor.Position{RV: 520}}
		mustTake(t, w.take(t, ahead, page))
		mustTake(t, w.take(t, ahead, watched(521)))
		same(t, "ahead", w.receivers["ahead"].names(), []string{"e501@501", "e505@505", "e506@506", "e510@510", "e512@512", "e515@515", "e521@521"})
		same(t, "behind", w.receivers["behind"].names(), []string{"e501@501", "e505@505", "e506@506", "e510@510", "e512@512", "e515@515", "e521@521"})
		if p := w.relay.Positions(); p["behind"].RV != 521 || p["ahead"].RV != 521 {
			t.Errorf("positions in the end: %+v", p)
		}
		w.finish(t)
	})
}

// A reader in a list, or one that waits, is joined by nobody, and who reads a list joins nobody before its end.
func TestJoinOnlyWatches(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		w := startScripted(t, map[string]cursor.Position{"a": {RV: 500}, "b": {}})
		a, b := w.open[0], w.open[1]
		list := &cursor.Listing{RV: 600, Continue: "next"}
		mustTake(t, w.take(t, b, source.Batch{Position: cursor.Position{Listing: list}}))
		mustTake(t, w.take(t, a, source.Batch{Position: cursor.Position{RV: 500, Listing: list}}))
		mustTake(t, w.take(t, b, source.Batch{Position: cursor.Position{RV: 600}}))
		mustTake(t, w.take(t, b, watched(601)))
		if err := w.take(t, a, source.Batch{Position: cursor.Position{RV: 601}}); err == nil {
			t.Error("at the end of its list a is as far as b, and may join it")
		}
		w.finish(t)
	})
}

// When one reader finds that the log went back, every lane starts over with it, once; what others read is void.
func TestResetEndsOtherReaders(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		w := startScripted(t, map[string]cursor.Position{"a": {RV: 500}, "b": {RV: 100}})
		a, b := w.open[0], w.open[1]
		mustTake(t, w.take(t, a, source.Batch{Reset: true}))
		if b.ctx.Err() == nil {
			t.Error("the other reader goes on")
		}
		if err := w.take(t, b, watched(101)); err == nil {
			t.Error("what the other reader read was taken")
		}
		mustTake(t, w.take(t, a, source.Batch{Items: []source.Item{itemOf("new", 7, 1)}, Position: cursor.Position{RV: 7}}))
		for name, r := range w.receivers {
			same(t, name, r.names(), []string{"new@7"})
		}
		if resets := w.relay.Resets(); len(resets) != 2 {
			t.Errorf("resets %v", resets)
		}
		w.finish(t)
	})
}

// A version that comes again, as it may after an expired token, or an older one adds nothing.
func TestDeltaOfRepeats(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		w := startScripted(t, map[string]cursor.Position{"a": {}})
		r := w.open[0]
		page := source.Batch{Items: []source.Item{itemOf("x", 105, 7)}, Position: cursor.Position{RV: 100}}
		mustTake(t, w.take(t, r, page))
		for i, rv := range []uint64{103, 105, 106} {
			b := source.Batch{Ordered: true, Items: []source.Item{itemOf("x", rv, int32(6+i))}, Position: cursor.Position{RV: rv}}
			mustTake(t, w.take(t, r, b))
		}
		var deltas []string
		for _, one := range w.receivers["a"].got {
			if one.CountDelta == nil {
				deltas = append(deltas, "-")
			} else {
				deltas = append(deltas, fmt.Sprint(*one.CountDelta))
			}
		}
		same(t, "deltas", deltas, []string{"-", "0", "0", "1"})
		w.finish(t)
	})
}

// What was handed over long ago is forgotten: its next delta is not known, and memory stays bounded.
func TestDeltasAreBounded(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		w := startScripted(t, map[string]cursor.Position{"a": {}})
		r := w.open[0]
		for i := range uint64(40) {
			var rvs []uint64
			for j := range uint64(1000) {
				rvs = append(rvs, 1+i*1000+j)
			}
			mustTake(t, w.take(t, r, watched(rvs...)))
		}
		for i, name := range []string{"e1", "e39999"} {
			rv := uint64(50000 + i)
			b := source.Batch{Ordered: true, Items: []source.Item{itemOf(name, rv, 3)}, Position: cursor.Position{RV: rv}}
			mustTake(t, w.take(t, r, b))
		}
		got := w.receivers["a"].got
		if old, young := got[len(got)-2], got[len(got)-1]; old.CountDelta != nil || young.CountDelta == nil || *young.CountDelta != 2 {
			t.Errorf("deltas %v, %v", old.CountDelta, young.CountDelta)
		}
		w.finish(t)
	})
}

// broken can't understand its API server.
type broken struct{ err error }

func (b broken) Read(context.Context, cursor.Position, source.Consumer) error { return b.err }

// A reader's own error ends Run: somebody has to hear of it.
func TestReaderThatGivesUp(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		w := newWorld("a")
		strange := errors.New("strange")
		r := relay.New(relay.Options{
			Sinks: []*relay.Sink{w.sinks["a"]}, Streams: []string{"x"}, Convert: convertAll,
			Open: func(string) relay.Reader { return broken{strange} },
		})
		if err := r.Run(t.Context(), nil); !errors.Is(err, strange) {
			t.Errorf("Run ended with %v", err)
		}
	})
}
