package memapi

import (
	"context"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/watch"
)

// watcher is an open watch. Its queue has no bound: a slow reader must not hold up the others.
type watcher[T Object] struct {
	store *Store[T]
	link  *Link
	name  string // "" for all

	queue   []change[T] // guarded by the server's mu
	news    chan struct{}
	out     chan watch.Event
	once    sync.Once
	stopped chan struct{}
}

func (w *watcher[T]) Stop() { w.once.Do(func() { close(w.stopped) }) }

func (w *watcher[T]) ResultChan() <-chan watch.Event { return w.out }

// tell is called with the server's mu held.
func (w *watcher[T]) tell(c change[T]) {
	if w.name != "" && c.object.GetName() != w.name {
		return
	}
	w.queue = append(w.queue, c)
	select {
	case w.news <- struct{}{}:
	default:
	}
}

func (w *watcher[T]) take() (change[T], bool) {
	w.store.server.mu.Lock()
	defer w.store.server.mu.Unlock()
	if len(w.queue) == 0 {
		return change[T]{}, false
	}
	c := w.queue[0]
	w.queue = w.queue[1:]
	return c, true
}

func (w *watcher[T]) leave() {
	w.store.server.mu.Lock()
	defer w.store.server.mu.Unlock()
	delete(w.store.watchers, w)
}

// pump hands the queue to the reader until the watch ends.
func (w *watcher[T]) pump(ctx context.Context, limit time.Duration, cut <-chan struct{}) {
	defer close(w.out)
	defer w.leave()
	ctx, cancel := context.WithTimeout(ctx, limit)
	end := make(chan struct{})
	var over sync.WaitGroup
	defer over.Wait()
	defer cancel()
	over.Go(func() {
		defer close(end)
		select {
		case <-ctx.Done():
		case <-w.stopped:
		case <-cut:
		}
	})
	for w.await(end, w.news) {
		for c, ok := w.take(); ok; c, ok = w.take() {
			if !w.travel(end) || !w.hand(end, c) {
				return
			}
		}
	}
}

func (w *watcher[T]) await(end, what <-chan struct{}) bool {
	select {
	case <-end:
		return false
	case <-what:
		return true
	}
}

// travel takes as long as the news need, or the partition lasts.
func (w *watcher[T]) travel(end <-chan struct{}) bool {
	if d := w.link.delay(); d > 0 {
		t := time.NewTimer(d)
		defer t.Stop()
		select {
		case <-end:
			return false
		case <-t.C:
		}
	}
	for parted := w.link.partition(); parted != nil; parted = w.link.partition() {
		if !w.await(end, parted) {
			return false
		}
	}
	return true
}

func (w *watcher[T]) hand(end <-chan struct{}, c change[T]) bool {
	select {
	case <-end:
		return false
	case w.out <- watch.Event{Type: c.event, Object: clone(c.object)}:
		return true
	}
}
