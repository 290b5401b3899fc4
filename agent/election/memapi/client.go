package memapi

import (
	"context"
	"strconv"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
)

// Client is a Store over a Link, with the methods of client-go's typed clients.
type Client[T Object] struct {
	store *Store[T]
	link  *Link
}

// Client returns a client of the store over the link.
func (s *Store[T]) Client(l *Link) *Client[T] { return &Client[T]{store: s, link: l} }

func (c *Client[T]) call(verb, name string) Call {
	call := Call{Client: c.link.Name, Verb: verb, Kind: c.store.kind, Name: name}
	c.store.server.note(call)
	return call
}

func (c *Client[T]) Get(ctx context.Context, name string, _ metav1.GetOptions) (T, error) {
	return do(ctx, c.link, c.call("get", name), func() (T, error) { return c.store.Get(name) })
}

func (c *Client[T]) Create(ctx context.Context, object T, _ metav1.CreateOptions) (T, error) {
	return do(ctx, c.link, c.call("create", object.GetName()), func() (T, error) { return c.store.Create(object) })
}

func (c *Client[T]) Update(ctx context.Context, object T, _ metav1.UpdateOptions) (T, error) {
	return do(ctx, c.link, c.call("update", object.GetName()), func() (T, error) { return c.store.Update(object) })
}

// Watch tells the changes of the one object that the field selector metadata.name names, of all where there is none.
// Without a version the objects as they are come first. It ends with ctx, Stop, the options' timeout or CutWatches.
func (c *Client[T]) Watch(ctx context.Context, opts metav1.ListOptions) (watch.Interface, error) {
	name := strings.TrimPrefix(opts.FieldSelector, "metadata.name=")
	return do(ctx, c.link, c.call("watch", name), func() (watch.Interface, error) {
		w := &watcher[T]{
			store: c.store, link: c.link, name: name,
			news: make(chan struct{}, 1), out: make(chan watch.Event), stopped: make(chan struct{}),
		}
		if err := w.subscribe(opts.ResourceVersion); err != nil {
			return nil, err
		}
		go w.pump(ctx, timeout(opts), c.link.cutting())
		return w, nil
	})
}

func timeout(opts metav1.ListOptions) time.Duration {
	if opts.TimeoutSeconds == nil {
		return time.Hour
	}
	return time.Duration(*opts.TimeoutSeconds) * time.Second
}

// subscribe queues what is after the version and joins the watchers.
func (w *watcher[T]) subscribe(version string) error {
	s := w.store
	s.server.mu.Lock()
	defer s.server.mu.Unlock()
	from, err := strconv.ParseUint(version, 10, 64)
	switch {
	case version == "" || version == "0":
		for _, object := range s.objects {
			w.tell(change[T]{event: watch.Added, object: object})
		}
	case err != nil:
		return apierrors.NewBadRequest("the resourceVersion is not a number")
	case from < s.kept:
		return apierrors.NewResourceExpired("too old resource version")
	default:
		for _, c := range s.history {
			if c.version > from {
				w.tell(c)
			}
		}
	}
	s.watchers[w] = struct{}{}
	return nil
}
