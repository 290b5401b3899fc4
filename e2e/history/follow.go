package history

import (
	"context"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes"
)

const (
	retryPause = 20 * time.Millisecond
	// longestWatch has a watch asked for again now and then: one whose connection is dead says nothing.
	longestWatch = 5 * time.Minute
)

func (h *History[T]) follow(ctx context.Context, name string, open watcher, state func(watch.Event) T) {
	stream(ctx, name, open, func(e watch.Event) { h.Add(state(e)) })
}

// Lease follows a Lease as a lock until ctx ends.
func Lease(ctx context.Context, c kubernetes.Interface, namespace, name string, h *History[LockState]) {
	h.follow(ctx, name, c.CoordinationV1().Leases(namespace).Watch, lockState)
}

// ConfigMap follows a ConfigMap as a lock until ctx ends.
func ConfigMap(ctx context.Context, c kubernetes.Interface, namespace, name string, h *History[LockState]) {
	h.follow(ctx, name, c.CoreV1().ConfigMaps(namespace).Watch, lockState)
}

// Cursors follows the cursors of the release called name until ctx ends.
func Cursors(ctx context.Context, c kubernetes.Interface, namespace, name string, h *History[CursorState]) {
	h.follow(ctx, name+"-cursors", c.CoreV1().ConfigMaps(namespace).Watch, cursorState)
}

type watcher func(context.Context, metav1.ListOptions) (watch.Interface, error)

// stream hands over the object as it is, and every change from then on. A watch that breaks is opened again where it had
// got to, so that no state goes unseen; where the API server has forgotten that place, with the object as it is.
func stream(ctx context.Context, name string, open watcher, take func(watch.Event)) {
	seconds := int64(longestWatch.Seconds())
	last := ""
	for ctx.Err() == nil {
		w, err := open(ctx, metav1.ListOptions{
			FieldSelector:   fields.OneTermEqualSelector("metadata.name", name).String(),
			ResourceVersion: last, TimeoutSeconds: &seconds,
		})
		switch {
		case err == nil:
			last = drain(w, last, take)
		case apierrors.IsResourceExpired(err) || apierrors.IsGone(err):
			last = ""
		}
		select {
		case <-ctx.Done():
		case <-time.After(retryPause):
		}
	}
}

// drain returns the version to go on from, "" where the API server has forgotten it.
func drain(w watch.Interface, last string, take func(watch.Event)) string {
	defer w.Stop()
	for e := range w.ResultChan() {
		if e.Type == watch.Error {
			return ""
		}
		if o, err := meta.Accessor(e.Object); err == nil {
			last = o.GetResourceVersion()
		}
		take(e)
	}
	return last
}
