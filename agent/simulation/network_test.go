package simulation

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/eventbaton/baton/agent/election/memapi"
)

// wire is a process's client for one kind of object. memapi's own client would do but for pauses, requests that take
// effect long after they were given up, and the checks, which have to see each request at the moment it does.
type wire[T memapi.Object] struct {
	p     *process
	store *memapi.Store[T]
	news  *memapi.Client[T]
	kind  string
}

func client[T memapi.Object](p *process, store *memapi.Store[T], kind string) *wire[T] {
	return &wire[T]{p: p, store: store, news: store.Client(p.link), kind: kind}
}

func (c *wire[T]) Get(ctx context.Context, name string, _ metav1.GetOptions) (T, error) {
	got, err := send(ctx, c.p, "get", c.kind, name, func() (T, error) { return c.store.Get(name) })
	if err == nil {
		c.p.w.learned(c.p, c.kind, got)
	}
	return got, err
}

func (c *wire[T]) Create(ctx context.Context, o T, _ metav1.CreateOptions) (T, error) {
	return c.write(ctx, "create", o, func() (T, error) { return c.store.Create(o) })
}

func (c *wire[T]) Update(ctx context.Context, o T, _ metav1.UpdateOptions) (T, error) {
	if o.GetResourceVersion() == "" {
		c.p.w.violation("write without a version", "%s updates %s %s blindly", c.p.name, c.kind, o.GetName())
	}
	return c.write(ctx, "update", o, func() (T, error) { return c.store.Update(o) })
}

func (c *wire[T]) write(ctx context.Context, verb string, o T, effect func() (T, error)) (T, error) {
	start := clock{c.p}.Mono()
	got, err := send(ctx, c.p, verb, c.kind, o.GetName(), func() (T, error) {
		c.p.w.mu.Lock()
		defer c.p.w.mu.Unlock()
		if ctx.Err() != nil {
			c.p.w.counts["late effect"]++
		}
		before, missing := c.store.Get(o.GetName())
		got, err := effect()
		switch {
		case err != nil:
			c.p.w.refused(c.p, c.kind, o.GetName(), err)
		case missing != nil:
			c.p.w.wrote(c.p, c.kind, nil, got, start)
		default:
			c.p.w.wrote(c.p, c.kind, before, got, start)
		}
		return got, err
	})
	if err == nil {
		c.p.w.learned(c.p, c.kind, got)
	}
	return got, err
}

// fate is what becomes of one request.
type fate struct {
	there, back      time.Duration
	noSend, noAnswer bool
	failure          error // what the client sees at once of what is lost, nil where it hears nothing
}

func (p *process) fate(verb, kind string) (fate, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	call := verb + kind
	p.calls[call]++
	c := p.luck.of(call, p.calls[call])
	f := fate{
		there: c.between(time.Millisecond/2, p.weather.slow), back: c.between(time.Millisecond/2, p.weather.slow),
		noSend: c.yes(p.weather.noSend), noAnswer: c.yes(p.weather.noAnswer),
	}
	failures := []error{nil, io.ErrUnexpectedEOF, apierrors.NewInternalError(errors.New("etcdserver: request timed out"))}
	f.failure = failures[c.below(len(failures))]
	return f, p.parted
}

// send carries a request to the API and its answer back. effect happens at most once, at a moment of its own, and
// perhaps after send has returned.
func send[T any](ctx context.Context, p *process, verb, kind, name string, effect func() (T, error)) (T, error) {
	var none T
	what := verb + kind + name
	if !p.hold(what) {
		return none, errCrashed
	}
	f, parted := p.fate(verb, kind)
	p.w.sent(p, verb, kind, name)
	type answer struct {
		got T
		err error
	}
	arrived := make(chan answer, 1)
	lose := func() {
		p.w.count("lost " + map[bool]string{true: "answer", false: "request"}[!f.noSend && !parted])
		if f.failure != nil && !parted {
			time.AfterFunc(f.back, func() { p.whenRunning(func() { arrived <- answer{err: f.failure} }) })
		}
	}
	if parted || f.noSend {
		lose()
	} else {
		time.AfterFunc(f.there, func() {
			got, err := effect()
			if f.noAnswer {
				lose()
				return
			}
			time.AfterFunc(f.back, func() {
				p.mu.Lock()
				cut := p.parted
				p.mu.Unlock()
				if !cut {
					p.whenRunning(func() { arrived <- answer{got, err} })
				}
			})
		})
	}
	select {
	case a := <-arrived:
		return a.got, a.err
	case <-ctx.Done():
		if !p.hold(what) {
			return none, errCrashed
		}
		return none, fmt.Errorf("%s %s: %w", verb, kind, ctx.Err())
	case <-p.crashed:
		return none, errCrashed
	}
}

// Watch is memapi's, whose news reach the process only while it runs.
func (c *wire[T]) Watch(ctx context.Context, opts metav1.ListOptions) (watch.Interface, error) {
	name := strings.TrimPrefix(opts.FieldSelector, "metadata.name=")
	// The inner watch is opened where the request takes effect, and belongs to nobody if the answer is lost.
	life, end := context.WithCancel(context.Background())
	stop := context.AfterFunc(ctx, end)
	inner, err := send(ctx, c.p, "watch", c.kind, name, func() (watch.Interface, error) { return c.news.Watch(life, opts) })
	if err != nil {
		stop()
		end()
		return nil, err
	}
	f := &feed{name: c.kind + name, inner: inner, out: make(chan watch.Event), life: life, end: end}
	go func() {
		defer stop()
		f.pump(c.p, func(e watch.Event) {
			if o, ok := e.Object.(T); ok && e.Type != watch.Deleted {
				c.p.w.learned(c.p, c.kind, o)
			}
		})
	}()
	return f, nil
}

// feed is an open watch of a process.
type feed struct {
	name  string
	inner watch.Interface
	out   chan watch.Event
	life  context.Context
	end   context.CancelFunc
}

func (f *feed) ResultChan() <-chan watch.Event { return f.out }

func (f *feed) Stop() { f.end() }

// pump hands on what the inner watch tells, while the process runs.
func (f *feed) pump(p *process, told func(watch.Event)) {
	defer close(f.out)
	defer f.end()
	for e := range f.inner.ResultChan() {
		if !p.hold(f.name) {
			return
		}
		select {
		case f.out <- e:
			told(e)
		case <-f.life.Done():
			return
		}
	}
	// All watches of a connection end together, but are not noticed to at the same moment.
	if f.life.Err() == nil && p.hold(f.name) {
		time.Sleep(p.moment(f.name))
	}
}
