package relay_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
	corev1 "k8s.io/api/core/v1"

	"github.com/eventbaton/baton/agent/cursor"
	"github.com/eventbaton/baton/agent/record"
	"github.com/eventbaton/baton/agent/relay"
	"github.com/eventbaton/baton/agent/sink"
	"github.com/eventbaton/baton/agent/source"
	"github.com/eventbaton/baton/agent/source/sourcetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// receiver is what a sink sends to. What it holds in got is what it has acknowledged or at least seen.
type receiver struct {
	mu      sync.Mutex
	got     []*record.Record
	acked   map[string]bool   // by id
	uids    map[string]bool   // of the events of these, with the cluster
	newest  map[string]uint64 // of these, the latest version of a group
	sizes   []int             // of the batches
	calls   int
	repeats int // calls that failed after the batch arrived
	busy    int
	limits  sink.Limits
	takes   time.Duration                                // for each batch
	answer  func(call int, batch []*record.Record) error // before it takes a batch
	stopped chan struct{}                                // while it is set and open, Send hangs
}

func (r *receiver) Limits() sink.Limits {
	if r.limits.Records == 0 {
		return sink.Limits{Records: 100, Bytes: 1 << 20}
	}
	return r.limits
}

func (r *receiver) Close() error { return nil }

func (r *receiver) Send(ctx context.Context, batch []*record.Record) error {
	hang, err := r.begin(batch)
	defer r.end()
	if err != nil {
		return err
	}
	if hang != nil {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-hang:
		}
	}
	if r.takes > 0 {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(r.takes):
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.got = append(r.got, batch...)
	r.sizes = append(r.sizes, len(batch))
	if r.acked == nil {
		r.acked, r.uids, r.newest = map[string]bool{}, map[string]bool{}, map[string]uint64{}
	}
	for _, one := range batch {
		r.acked[one.ID], r.uids[uidOf(one.ID)] = true, true
		r.newest[groupOf(one)] = max(r.newest[groupOf(one)], rvOf(one))
	}
	return nil
}

func (r *receiver) begin(batch []*record.Record) (chan struct{}, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.calls++
	r.busy++
	if r.answer != nil {
		return r.stopped, r.answer(r.calls, batch)
	}
	return r.stopped, nil
}

func (r *receiver) end() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.busy--
}

// set changes the receiver while it is at work.
func (r *receiver) set(change func(*receiver)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	change(r)
}

// names are the events it got, as "name@rv".
func (r *receiver) names() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var names []string
	for _, one := range r.got {
		names = append(names, one.Name+"@"+version(one))
	}
	return names
}

func (r *receiver) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.got)
}

// batches are the numbers of records in each batch it took.
func (r *receiver) batches() []int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.sizes)
}

func rvOf(r *record.Record) uint64 {
	rv, _ := strconv.ParseUint(version(r), 10, 64)
	return rv
}

// uidOf is an id without the version.
func uidOf(id string) string { return id[:strings.LastIndexByte(id, '/')] }

// groupOf is the object and the reason of a record.
func groupOf(r *record.Record) string {
	return r.Object.Namespace + "/" + r.Object.Name + "/" + r.Reason
}

func version(r *record.Record) string { return r.ID[strings.LastIndexByte(r.ID, '/')+1:] }

// world is a log, receivers, and a relay between them.
type world struct {
	*sourcetest.Log
	options   relay.Options
	sinks     map[string]*relay.Sink
	receivers map[string]*receiver
	relay     *relay.Relay
	drain     chan struct{}
	cancel    context.CancelFunc
	done      chan error
	pageLimit int64
	ended     bool
}

func newWorld(names ...string) *world {
	w := &world{
		Log: sourcetest.New(100), sinks: map[string]*relay.Sink{}, receivers: map[string]*receiver{},
		options: relay.Options{Streams: []string{""}, Positions: map[string]cursor.Position{}},
	}
	for _, name := range names {
		w.add(relay.SinkOptions{Name: name}, &receiver{})
	}
	return w
}

func (w *world) add(o relay.SinkOptions, r *receiver) {
	o.Sink = r
	w.receivers[o.Name] = r
	w.sinks[o.Name] = relay.NewSink(o)
}

// from sets where all lanes start.
func (w *world) from(p cursor.Position) {
	for name := range w.receivers {
		for _, stream := range w.options.Streams {
			w.options.Positions[cursor.Key(name, stream)] = p
		}
	}
}

func (w *world) start(t testing.TB) {
	t.Helper()
	o := w.options
	o.Sinks = nil
	for _, name := range slices.Sorted(maps.Keys(w.sinks)) {
		o.Sinks = append(o.Sinks, w.sinks[name])
	}
	o.Positions = maps.Clone(w.options.Positions)
	o.Open = func(namespace string) relay.Reader {
		return source.New(source.Options{Events: w.Log, Namespace: namespace, PageLimit: w.pageLimit})
	}
	if o.Convert == nil {
		o.Convert = convertAll
	}
	w.relay = relay.New(o)
	w.drain, w.done, w.ended = make(chan struct{}), make(chan error, 1), false
	ctx, cancel := context.WithCancel(t.Context())
	w.cancel = cancel
	go func() { w.done <- w.relay.Run(ctx, w.drain) }()
	t.Cleanup(cancel)
}

func convertAll(e *corev1.Event) *record.Record { return record.From(e, record.Origin{Cluster: "c"}) }

func keys[V any](m map[string]V) iter.Seq[string] { return maps.Keys(m) }

// kill ends the relay at once.
func (w *world) kill(t testing.TB) {
	t.Helper()
	w.cancel()
	if err := <-w.done; !errors.Is(err, context.Canceled) {
		t.Errorf("Run ended with %v, want context.Canceled", err)
	}
}

// finish ends the relay in order.
func (w *world) finish(t testing.TB) {
	t.Helper()
	close(w.drain)
	if err := <-w.done; err != nil {
		t.Errorf("Run ended with %v", err)
	}
	w.cancel()
}

func (w *world) fill(namespace string, names ...string) {
	for _, name := range names {
		w.Create(namespace, name, "hello")
	}
}

func many(prefix string, n int) []string {
	var names []string
	for i := range n {
		names = append(names, fmt.Sprintf("%s%05d", prefix, i))
	}
	return names
}

// after lets time pass, and what it brings come to rest.
func after(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func same[T comparable](t testing.TB, what string, got, want []T) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s:\n got %v\nwant %v", what, got, want)
	}
}

// inBubble runs a test in synctest's time.
func inBubble(t *testing.T, f func(t *testing.T)) { t.Helper(); synctest.Test(t, f) }
