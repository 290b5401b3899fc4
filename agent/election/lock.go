package election

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/watch"
)

// Lock is one lock object. Every write is based on the version that was read.
type Lock interface {
	// Get is a quorum read. An object that does not exist is an Observation, no error.
	Get(ctx context.Context) (Observation, error)
	// Write creates the object where base says that there is none, else it updates base's version of it and keeps
	// everything but the record. The epoch is never lowered. Who lost a race gets an error for which
	// apierrors.IsConflict, IsAlreadyExists or IsNotFound is true.
	Write(ctx context.Context, base Observation, r Record) (Observation, error)
	// Watch tells the changes after from, for timeout at most. Where from does not exist, the first is the object as
	// it is, if there is one by then.
	Watch(ctx context.Context, from Observation, timeout time.Duration) (Watch, error)
	// String is the kind and the name, as "lease namespace/name".
	String() string
}

// Watch is an open watch of a lock.
type Watch interface {
	// Next blocks until there is a change. Its error is io.EOF where the watch has ended in order.
	Next(ctx context.Context) (Observation, error)
	Stop()
}

// Observation is a lock object as it was read at one time.
type Observation struct {
	Exists bool
	// Version is the resourceVersion, that of the deletion where a watch told of it, "" where a Get found nothing.
	Version string
	Record  Record
	// Readable is false where the object exists and its record makes no sense: then someone unknown may hold it.
	Readable bool

	text   string // the unreadable record
	object metav1.Object
}

// heldBy tells whether the observation names this holder.
func (o Observation) heldBy(holder string) bool {
	return o.Exists && o.Readable && o.Record.Holder == holder
}

// holder is "" where there is none or none that can be read.
func (o Observation) holder() string {
	if !o.Exists || !o.Readable {
		return ""
	}
	return o.Record.Holder
}

// same tells whether the lock says the same. A new version of the object alone, as when somebody labels it, is no
// sign of life of its holder.
func (o Observation) same(p Observation) bool {
	return o.Exists == p.Exists && o.Readable == p.Readable && o.text == p.text && o.Record.same(p.Record)
}

// objects is the API of one kind in one namespace, as far as a lock needs it.
type objects[T any] interface {
	Get(ctx context.Context, name string, opts metav1.GetOptions) (T, error)
	Create(ctx context.Context, object T, opts metav1.CreateOptions) (T, error)
	Update(ctx context.Context, object T, opts metav1.UpdateOptions) (T, error)
	Watch(ctx context.Context, opts metav1.ListOptions) (watch.Interface, error)
}

// codec is where a kind keeps its record.
type codec[T metav1.Object] struct {
	kind string
	// read returns an error where the record makes no sense, and then the text of it.
	read func(T) (Record, string, error)
	// write returns a copy with the record in it. It need not set the epoch.
	write func(T, Record) T
	empty func() T
}

// objectLock is a lock in an object of any kind.
type objectLock[T metav1.Object] struct {
	codec[T]
	api             objects[T]
	namespace, name string
}

func (l *objectLock[T]) String() string { return l.kind + " " + l.namespace + "/" + l.name }

func (l *objectLock[T]) Get(ctx context.Context) (Observation, error) {
	object, err := l.api.Get(ctx, l.name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return Observation{}, nil
	}
	if err != nil {
		return Observation{}, err
	}
	return l.observe(object), nil
}

func (l *objectLock[T]) Write(ctx context.Context, base Observation, r Record) (Observation, error) {
	r.Epoch = max(r.Epoch, base.Record.Epoch)
	if !base.Exists {
		return l.create(ctx, r)
	}
	old, ok := base.object.(T)
	if !ok || old.GetResourceVersion() == "" {
		// Without a version the update would overwrite whatever is there.
		return Observation{}, errors.New("the write is not based on a version of the object")
	}
	object, err := l.api.Update(ctx, l.with(old, r), metav1.UpdateOptions{})
	if err != nil {
		return Observation{}, err
	}
	return l.observe(object), nil
}

func (l *objectLock[T]) create(ctx context.Context, r Record) (Observation, error) {
	object := l.empty()
	object.SetNamespace(l.namespace)
	object.SetName(l.name)
	created, err := l.api.Create(ctx, l.with(object, r), metav1.CreateOptions{})
	if err != nil {
		return Observation{}, err
	}
	return l.observe(created), nil
}

// with returns a copy of the object that carries the record.
func (l *objectLock[T]) with(old T, r Record) T {
	object := l.write(old, r)
	if r.Epoch > 0 {
		annotate(object, EpochAnnotation, strconv.FormatInt(r.Epoch, 10))
	}
	return object
}

func (l *objectLock[T]) observe(object T) Observation {
	o := Observation{Exists: true, Readable: true, Version: object.GetResourceVersion(), object: object}
	var err error
	if o.Record, o.text, err = l.read(object); err != nil {
		o.Readable = false
	}
	o.Record.Epoch = parseEpoch(object.GetAnnotations()[EpochAnnotation])
	return o
}

func (l *objectLock[T]) Watch(ctx context.Context, from Observation, timeout time.Duration) (Watch, error) {
	opts := watchOptions(l.name, "", timeout)
	if from.Exists {
		opts.ResourceVersion = from.Version
	}
	w, err := l.api.Watch(ctx, opts)
	if err != nil {
		return nil, err
	}
	return &objectWatch[T]{lock: l, watch: w}, nil
}

func watchOptions(name, version string, timeout time.Duration) metav1.ListOptions {
	whole := int64(min(timeout.Seconds(), math.MaxInt32))
	return metav1.ListOptions{
		FieldSelector:   fields.OneTermEqualSelector(metav1.ObjectNameField, name).String(),
		ResourceVersion: version,
		TimeoutSeconds:  &whole,
	}
}

type objectWatch[T metav1.Object] struct {
	lock  *objectLock[T]
	watch watch.Interface
}

func (w *objectWatch[T]) Stop() { w.watch.Stop() }

func (w *objectWatch[T]) Next(ctx context.Context) (Observation, error) {
	for {
		event, err := nextEvent(ctx, w.watch)
		if err != nil {
			return Observation{}, err
		}
		object, ok := event.Object.(T)
		if !ok || object.GetName() != w.lock.name {
			continue
		}
		o := w.lock.observe(object)
		if event.Type == watch.Deleted {
			return Observation{Version: o.Version}, nil
		}
		return o, nil
	}
}

// nextEvent returns the next addition, change or deletion. A watch that ended is io.EOF, one that failed its error.
func nextEvent(ctx context.Context, w watch.Interface) (watch.Event, error) {
	for {
		select {
		case <-ctx.Done():
			return watch.Event{}, ctx.Err()
		case event, open := <-w.ResultChan():
			switch {
			case !open:
				return watch.Event{}, io.EOF
			case event.Type == watch.Error:
				return watch.Event{}, fmt.Errorf("the watch failed: %w", apierrors.FromObject(event.Object))
			case event.Type != watch.Bookmark:
				return event, nil
			}
		}
	}
}

// tooOld tells whether a watch failed because the version to start from is not kept any more.
func tooOld(err error) bool { return apierrors.IsResourceExpired(err) || apierrors.IsGone(err) }

func annotate(object metav1.Object, key, value string) {
	annotations := object.GetAnnotations()
	if annotations == nil {
		annotations = map[string]string{}
	}
	annotations[key] = value
	object.SetAnnotations(annotations)
}

// highestEpoch is more than there can be terms, and leaves room to count on.
const highestEpoch = 1 << 53

// parseEpoch takes what can't be read, or can't be true, for none: the lock's epoch is a help, the cursors have their
// own.
func parseEpoch(text string) int64 {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 0 || n > highestEpoch {
		return 0
	}
	return n
}
