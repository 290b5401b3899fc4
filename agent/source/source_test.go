package source_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/eventbaton/baton/agent/cursor"
	"github.com/eventbaton/baton/agent/source"
	"github.com/eventbaton/baton/agent/source/sourcetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// taker keeps what a reader hands over.
type taker struct {
	mu      sync.Mutex
	batches []source.Batch
	answer  func(n int, b source.Batch) error // to the n-th batch, from 1
	room    chan struct{}                     // closed when there is room
}

func (t *taker) Take(_ context.Context, b source.Batch) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.batches = append(t.batches, b)
	if t.answer == nil {
		return nil
	}
	return t.answer(len(t.batches), b)
}

func (t *taker) Wait(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.room:
		return nil
	}
}

// got are the names and resourceVersions of the events handed over.
func (t *taker) got() []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	var got []string
	for _, b := range t.batches {
		for _, it := range b.Items {
			got = append(got, fmt.Sprintf("%s@%d", it.Event.Name, it.RV))
		}
	}
	return got
}

func (t *taker) last() source.Batch {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.batches) == 0 {
		return source.Batch{}
	}
	return t.batches[len(t.batches)-1]
}

func (t *taker) all() []source.Batch {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Clone(t.batches)
}

// observer keeps what it is told.
type observer struct {
	mu        sync.Mutex
	connected []error
	gaps      []time.Time
	back      []string
}

func (o *observer) Connected(_ string, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.connected = append(o.connected, err)
}

// reported is what was last said of the connection.
func (o *observer) reported() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.connected) == 0 {
		return errors.New("nothing was reported")
	}
	return o.connected[len(o.connected)-1]
}

func (o *observer) Gap(_ string, _ cursor.Position, oldest time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.gaps = append(o.gaps, oldest)
}

func (o *observer) WentBack(_ string, position, now uint64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.back = append(o.back, fmt.Sprintf("%d>%d", position, now))
}

// reading is a Read under way in a bubble of synctest.
type reading struct {
	taker
	observer
	stop func() error
}

func read(t *testing.T, log *sourcetest.Log, o source.Options, from cursor.Position) *reading {
	t.Helper()
	r := &reading{}
	return r.start(t, log, o, from)
}

func (r *reading) start(t *testing.T, log *sourcetest.Log, o source.Options, from cursor.Position) *reading {
	t.Helper()
	o.Events, o.Observer = log, &r.observer
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- source.New(o).Read(ctx, from, &r.taker) }()
	r.stop = func() error { cancel(); return <-done }
	t.Cleanup(cancel)
	return r
}

func (r *reading) ended(t *testing.T) {
	t.Helper()
	if err := r.stop(); !errors.Is(err, context.Canceled) {
		t.Errorf("Read ended with %v, want context.Canceled", err)
	}
}

func equal[T comparable](t *testing.T, what string, got, want []T) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s:\n got %v\nwant %v", what, got, want)
	}
}

func fill(log *sourcetest.Log, namespace string, names ...string) {
	for _, name := range names {
		log.Create(namespace, name, "hello")
	}
}

func TestListThenWatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := sourcetest.New(100)
		fill(log, "b", "one")     // 101
		fill(log, "a", "two")     // 102
		log.Update("b", "one", 2) // 103
		r := read(t, log, source.Options{}, cursor.Position{})
		synctest.Wait()
		equal(t, "listed", r.got(), []string{"two@102", "one@103"})
		if got := r.last(); got.Position.RV != 103 || got.Position.Listing != nil || got.Gap != nil || got.Ordered {
			t.Errorf("after the list: %+v", got)
		}
		fill(log, "c", "three") // 104
		log.Update("a", "two", 1)
		synctest.Wait()
		equal(t, "watched", r.got()[2:], []string{"three@104", "two@105"})
		for _, b := range r.all()[1:] {
			if !b.Ordered {
				t.Errorf("a watch's batch is not ordered: %+v", b)
			}
		}
		if first := r.all()[1].Items[0]; !first.Created {
			t.Error("a new event is not said to be created")
		}
		if b := r.last(); b.Items[len(b.Items)-1].Created || b.Position.RV != 105 {
			t.Errorf("an update is said to be created, or is at the wrong place: %+v", b)
		}
		r.ended(t)
	})
}

func TestEmptyLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := sourcetest.New(100)
		r := read(t, log, source.Options{}, cursor.Position{})
		synctest.Wait()
		if got := r.last(); len(r.all()) != 1 || got.Position.RV != 100 {
			t.Errorf("an empty list: %+v", got)
		}
		r.ended(t)
	})
}

// A deletion is progress and nothing else, also where several share a version.
func TestDeletions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := sourcetest.New(100)
		fill(log, "a", "one", "two", "three")
		r := read(t, log, source.Options{}, cursor.Position{RV: 103})
		synctest.Wait()
		log.Delete("a", "one", "two")
		synctest.Wait()
		if got := r.last(); len(r.got()) != 0 || got.Position.RV != 104 {
			t.Errorf("after the deletions: %v, %+v", r.got(), got)
		}
		r.ended(t)
	})
}

func TestWatchIsTriedBeforeAList(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := sourcetest.New(100)
		fill(log, "a", "one")
		log.Update("a", "one", 1)
		log.Update("a", "one", 1)
		r := read(t, log, source.Options{}, cursor.Position{RV: 100})
		synctest.Wait()
		equal(t, "every version", r.got(), []string{"one@101", "one@102", "one@103"})
		if lists, _, _ := log.Requests(); lists != 0 {
			t.Errorf("%d lists, want none", lists)
		}
		r.ended(t)
	})
}

// A position that is too old is followed by what is retained and newer, be it told by a status or in the stream.
func TestGap(t *testing.T) {
	for _, inStream := range []bool{false, true} {
		t.Run(fmt.Sprintf("in the stream: %v", inStream), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				log := sourcetest.New(100)
				log.GoneInStream = inStream
				fill(log, "a", "old")
				began := time.Now()
				after(time.Minute)
				fill(log, "a", "new1", "new2")
				log.Update("a", "new2", 1)
				log.Compact()
				r := read(t, log, source.Options{}, cursor.Position{RV: 101})
				synctest.Wait()
				equal(t, "refilled", r.got(), []string{"new1@102", "new2@104"})
				gap := r.last().Gap
				if gap == nil || !gap.Oldest.Equal(began) || !gap.Current.IsZero() {
					t.Errorf("gap %+v, want the oldest at %v", gap, began)
				}
				if len(r.gaps) != 1 || !r.gaps[0].Equal(began) {
					t.Errorf("observed gaps %v", r.gaps)
				}
				log.Update("a", "old", 1)
				synctest.Wait()
				equal(t, "then watched", r.got()[2:], []string{"old@105"})
				r.ended(t)
			})
		})
	}
}

// A reader that was at the end of the log says so: what it did not see while it was is nothing.
func TestGapOfAQuietLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := sourcetest.New(100)
		fill(log, "a", "one")
		var refused atomic.Bool
		log.OnWatch = func(string, metav1.ListOptions) error {
			if refused.Load() {
				return errors.New("not now")
			}
			return nil
		}
		r := read(t, log, source.Options{}, cursor.Position{RV: 101})
		after(10 * time.Hour) // by then the watch has timed out several times
		refused.Store(true)
		log.Touch(1000)
		log.Compact()
		after(time.Hour)
		refused.Store(false)
		fill(log, "a", "two")
		after(time.Minute)
		equal(t, "events", r.got(), []string{"two@1102"})
		gap := r.last().Gap
		if gap == nil || time.Since(gap.Current) < 20*time.Minute || time.Since(gap.Current) > 2*time.Hour {
			t.Errorf("gap %+v at %v", gap, time.Now())
		}
		r.ended(t)
	})
}

// after lets time pass, and what it brings come to rest.
func after(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func names(n int) []string {
	var names []string
	for i := range n {
		names = append(names, fmt.Sprintf("e%05d", i))
	}
	return names
}

// The position of every page of a list leads on to exactly the rest of it.
func TestEveryPageCanBeGoneOnFrom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := sourcetest.New(100)
		created := names(230)
		slices.Reverse(created) // the order of keys is not that of versions
		fill(log, "a", created...)
		whole := read(t, log, source.Options{PageLimit: 20}, cursor.Position{})
		synctest.Wait()
		whole.ended(t)
		if n := len(whole.got()); n != 230 {
			t.Fatalf("%d events, want 230", n)
		}
		seen := 0
		for i, b := range whole.all() {
			seen += len(b.Items)
			if l := b.Position.Listing; l != nil && (b.Position.RV != 0 || l.RV != 330) {
				t.Errorf("page %d: %+v", i, b.Position)
			}
			rest := read(t, log, source.Options{PageLimit: 20}, b.Position)
			synctest.Wait()
			equal(t, fmt.Sprint("after page ", i), rest.got(), whole.got()[seen:])
			rest.ended(t)
		}
	})
}

// What changed while a list was read comes by the watch from the list's first version, not its last.
func TestChangesDuringAList(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := sourcetest.New(100)
		fill(log, "a", names(100)...)
		r := &reading{}
		r.answer = func(n int, _ source.Batch) error {
			if n == 3 {
				log.Update("a", "e00000", 1)
				fill(log, "a", "e00000a")
			}
			return nil
		}
		r.start(t, log, source.Options{PageLimit: 10}, cursor.Position{})
		synctest.Wait()
		equal(t, "changed", r.got()[100:], []string{"e00000@201", "e00000a@202"})
		r.ended(t)
	})
}

// An expired token is answered with a fresh one, which is used; the list's version stays that of its first page, and
// where that is too old by then, one more list brings what is newer.
func TestExpiredToken(t *testing.T) {
	for _, bare := range []bool{false, true} {
		t.Run(fmt.Sprintf("without a fresh one: %v", bare), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				log := sourcetest.New(100)
				log.BareGone = bare
				fill(log, "a", names(100)...)
				r := &reading{}
				r.answer = func(n int, b source.Batch) error {
					if n == 3 {
						log.Update("a", "e00000", 1) // 201, in a page that was read
						log.Update("a", "e00099", 1) // 202, in one that was not
						log.Compact()
					}
					return nil
				}
				r.start(t, log, source.Options{PageLimit: 10}, cursor.Position{})
				after(time.Minute)
				got := r.got()
				for _, want := range []string{"e00000@201", "e00099@202", "e00050@151"} {
					if !slices.Contains(got, want) {
						t.Errorf("%s is missing in %v", want, got)
					}
				}
				// A prefetched page may have been read before the token expired.
				if most := 100 + 2 + 40*btoi(bare); len(got) > most {
					t.Errorf("%d events, want at most %d", len(got), most)
				}
				if p := r.last().Position; p.RV != 202 || p.Listing != nil {
					t.Errorf("ended at %+v", p)
				}
				r.ended(t)
			})
		})
	}
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

// A token of another stream would be accepted, and skip.
func TestForeignToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := sourcetest.New(100)
		fill(log, "a", "one", "two")
		from := cursor.Position{Listing: &cursor.Listing{Stream: "", RV: 102, Continue: "102|zzz"}}
		r := read(t, log, source.Options{Namespace: "a"}, from)
		synctest.Wait()
		equal(t, "events", r.got(), []string{"one@101", "two@102"})
		r.ended(t)
	})
}

// A token that is nonsense is a lost place in the list, no reason to stop.
func TestNonsenseToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := sourcetest.New(100)
		fill(log, "a", "one", "two")
		from := cursor.Position{RV: 101, Listing: &cursor.Listing{RV: 102, Continue: "?"}}
		r := read(t, log, source.Options{}, from)
		after(time.Second)
		equal(t, "events", r.got(), []string{"two@102"})
		r.ended(t)
	})
}

func TestLogWentBack(t *testing.T) {
	tests := []struct {
		name string
		from cursor.Position
		back string
		open bool // it goes back while the watch is open
	}{
		{"before the watch", cursor.Position{RV: 900}, "900>52", false},
		{"in a list", cursor.Position{RV: 10, Listing: &cursor.Listing{RV: 900, Continue: "900|a/one"}}, "900>52", false},
		{"under an open watch", cursor.Position{RV: 900}, "900>52", true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				log := sourcetest.New(900)
				wipe := func() { log.GoBack(50); fill(log, "a", "one", "two") }
				if !tt.open {
					wipe()
				}
				r := read(t, log, source.Options{}, tt.from)
				synctest.Wait()
				if tt.open {
					wipe()
					after(31 * time.Second)
				}
				after(time.Second)
				equal(t, "reported", r.back, []string{tt.back})
				equal(t, "events", r.got(), []string{"one@51", "two@52"})
				if first := r.all()[0]; !first.Reset || !first.Position.Fresh() {
					t.Errorf("the first batch is %+v, want a reset", first)
				}
				fill(log, "a", "three")
				synctest.Wait()
				equal(t, "then", r.got()[2:], []string{"three@53"})
				if _, _, open := log.Requests(); open != 1 {
					t.Errorf("%d watches are open, want 1", open)
				}
				r.ended(t)
			})
		})
	}
}

// A watch that ends empty is opened again, one that does so at once not in a busy loop.
func TestEmptyWatches(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := sourcetest.New(100)
		r := read(t, log, source.Options{}, cursor.Position{RV: 100})
		after(5 * time.Hour)
		if _, watches, open := log.Requests(); watches < 7 || watches > 16 || open != 1 {
			t.Errorf("%d watches in five hours, %d open", watches, open)
		}
		fill(log, "a", "one")
		synctest.Wait()
		equal(t, "events", r.got(), []string{"one@101"})
		r.ended(t)
	})
}

// A consumer that is full closes the watch, and gets all the rest when it has room.
func TestFullConsumer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := sourcetest.New(100)
		r := &reading{}
		r.room = make(chan struct{})
		r.answer = func(n int, _ source.Batch) error {
			if n == 1 {
				return source.ErrFull
			}
			return nil
		}
		r.start(t, log, source.Options{}, cursor.Position{RV: 100})
		synctest.Wait()
		fill(log, "a", "one")
		synctest.Wait()
		if _, _, open := log.Requests(); open != 0 {
			t.Errorf("%d watches are open while the consumer is full", open)
		}
		fill(log, "a", "two", "three")
		after(time.Minute)
		equal(t, "while full", r.got(), []string{"one@101"})
		close(r.room)
		synctest.Wait()
		equal(t, "in the end", r.got(), []string{"one@101", "two@102", "three@103"})
		r.ended(t)
	})
}

// While the consumer of a list waits, one page is fetched ahead and no more.
func TestFullConsumerOfAList(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := sourcetest.New(100)
		fill(log, "a", names(100)...)
		r := &reading{}
		r.room = make(chan struct{})
		r.answer = func(n int, _ source.Batch) error {
			if n == 2 {
				return source.ErrFull
			}
			return nil
		}
		r.start(t, log, source.Options{PageLimit: 10}, cursor.Position{})
		after(time.Minute)
		if n := len(r.got()); n != 20 {
			t.Errorf("%d events while full, want 20", n)
		}
		if lists, _, _ := log.Requests(); lists != 3 {
			t.Errorf("%d pages were asked for, want 3", lists)
		}
		close(r.room)
		synctest.Wait()
		if n := len(r.got()); n != 100 {
			t.Errorf("%d events, want 100", n)
		}
		r.ended(t)
	})
}

// Pages shrink to what fits, down to one event, and grow again.
func TestPagesAreBoundedInBytes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := sourcetest.New(100)
		huge := strings.Repeat("x", 1400<<10)
		for _, name := range names(60) {
			log.Create("a", name, huge)
		}
		for _, name := range names(2000) {
			log.Create("b", name, "small")
		}
		r := read(t, log, source.Options{}, cursor.Position{})
		after(time.Minute)
		if n := len(r.got()); n != 2060 {
			t.Fatalf("%d events, want 2060", n)
		}
		for _, b := range r.all() {
			size := 0
			for _, it := range b.Items {
				size += it.Event.Size()
			}
			if size > 2<<20 {
				t.Fatalf("a page has %d bytes", size)
			}
		}
		if limits := log.Limits(); slices.Max(limits) != 500 {
			t.Errorf("the limits never grew to 500: %v", limits)
		}
		r.ended(t)
	})
}

// Everything that fails is reported, and tried again until it works.
func TestErrors(t *testing.T) {
	forbidden := apierrors.NewForbidden(schema.GroupResource{Resource: "events"}, "", errors.New("no"))
	for name, failure := range map[string]error{
		"forbidden":   forbidden,
		"unreachable": errors.New("connection refused"),
		"busy":        apierrors.NewTooManyRequests("busy", 3),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				log := sourcetest.New(100)
				fill(log, "a", "one")
				until, asked := time.Now().Add(time.Minute), atomic.Int32{}
				fails := func(string, metav1.ListOptions) error {
					asked.Add(1)
					if time.Now().Before(until) {
						return failure
					}
					return nil
				}
				log.OnList, log.OnWatch = fails, fails
				r := read(t, log, source.Options{}, cursor.Position{})
				after(30 * time.Second)
				if reported := r.reported(); !errors.Is(reported, failure) {
					t.Errorf("reported %v", reported)
				}
				if n := asked.Load(); n < 5 || n > 30 {
					t.Errorf("asked %d times in 30 s", n)
				}
				after(40 * time.Second)
				equal(t, "events", r.got(), []string{"one@101"})
				if reported := r.reported(); reported != nil {
					t.Errorf("still reported: %v", reported)
				}
				r.ended(t)
			})
		})
	}
}

// A failing check under an open watch ends the watch only when it fails again.
func TestChecksThatFail(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := sourcetest.New(100)
		var failing atomic.Int32
		log.OnList = func(string, metav1.ListOptions) error {
			if failing.Add(-1) >= 0 {
				return errors.New("no answer")
			}
			return nil
		}
		r := read(t, log, source.Options{}, cursor.Position{RV: 100})
		after(time.Second)
		failing.Store(1)
		after(2 * time.Minute)
		if _, watches, _ := log.Requests(); watches != 1 {
			t.Errorf("%d watches after one failure", watches)
		}
		failing.Store(2)
		after(2 * time.Minute)
		if _, watches, open := log.Requests(); watches != 2 || open != 1 {
			t.Errorf("%d watches, %d open after two failures", watches, open)
		}
		r.ended(t)
	})
}

// A consumer's error ends Read, as it is.
func TestConsumerEndsRead(t *testing.T) {
	for _, from := range []cursor.Position{{}, {RV: 100}, {RV: 900}} {
		synctest.Test(t, func(t *testing.T) {
			log := sourcetest.New(100)
			fill(log, "a", "one")
			enough := errors.New("enough")
			c := &taker{answer: func(int, source.Batch) error { return enough }}
			if err := source.New(source.Options{Events: log}).Read(t.Context(), from, c); err != enough { //nolint:errorlint // as it is
				t.Errorf("from %v: %v", from, err)
			}
		})
	}
}

// opaque is an API server whose resourceVersions are not numbers.
type opaque struct{ *sourcetest.Log }

func (o opaque) List(ctx context.Context, namespace string, opts metav1.ListOptions, most int64) (*corev1.EventList, error) {
	list, err := o.Log.List(ctx, namespace, opts, most)
	if err == nil {
		list.ResourceVersion = "v" + list.ResourceVersion
	}
	return list, err
}

// Where versions can't be compared nothing works: Read ends and says so.
func TestOpaqueResourceVersions(t *testing.T) {
	for _, from := range []cursor.Position{{}, {RV: 100}} {
		err := source.New(source.Options{Events: opaque{sourcetest.New(100)}}).Read(t.Context(), from, &taker{})
		if err == nil || !strings.Contains(err.Error(), `"v100"`) {
			t.Errorf("from %+v: %v", from, err)
		}
	}
}

// A watch whose answer does not begin is given up and tried again.
func TestHangingRequests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := sourcetest.New(100)
		fill(log, "a", "one")
		hangs := &hanging{Log: log}
		hangs.hangs.Store(true)
		c := &taker{}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- source.New(source.Options{Events: hangs}).Read(ctx, cursor.Position{RV: 100}, c) }()
		after(10 * time.Second)
		hangs.hangs.Store(false)
		after(time.Minute)
		equal(t, "events", c.got(), []string{"one@101"})
		cancel()
		<-done
	})
}

// hanging answers no watch while it hangs.
type hanging struct {
	*sourcetest.Log
	hangs atomic.Bool
}

func (h *hanging) Watch(ctx context.Context, namespace string, o metav1.ListOptions) (watch.Interface, error) {
	if h.hangs.Load() {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return h.Log.Watch(ctx, namespace, o)
}
