package generator

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

// api is by which of the two APIs an event was made, and is updated.
type api int

const (
	classic api = iota // core/v1, with a count
	series             // events.k8s.io/v1, with a series
)

const (
	requestTimeout = 5 * time.Second
	retryPause     = 50 * time.Millisecond
	// updatable is how many of its newest events a worker may still update.
	updatable = 20
)

// worker makes and updates events of its own, one request at a time.
type worker struct {
	options Options
	client  kubernetes.Interface
	log     *Log
	prefix  string
	made    int
	recent  []*live
}

// live is an event that may still be updated.
type live struct {
	api    api
	event  *Event
	core   *corev1.Event
	series *eventsv1.Event
}

func newWorker(o Options, log *Log, prefix string) *worker {
	return &worker{options: o, client: o.Client, log: log, prefix: prefix}
}

// next makes one version. Only the end of ctx is an error.
func (w *worker) next(ctx context.Context) error {
	if len(w.recent) > 0 && rand.Float64() < w.options.Updates {
		i := rand.IntN(len(w.recent))
		return w.update(ctx, i)
	}
	return w.create(ctx, api(rand.IntN(2)))
}

func (w *worker) create(ctx context.Context, a api) error {
	w.made++
	name := fmt.Sprintf("%s-%06d", w.prefix, w.made)
	l := &live{api: a}
	err := w.insist(ctx, func(ctx context.Context) error { return w.post(ctx, l, name) })
	if err != nil {
		return fmt.Errorf("creating the event %s: %w", name, err)
	}
	v, uid, err := l.stored()
	if err != nil {
		return err
	}
	l.event = &Event{Name: name, UID: uid, Versions: []Version{v}}
	w.log.add(l.event)
	if w.options.Updates > 0 {
		w.recent = append(w.recent, l)
		w.recent = w.recent[max(0, len(w.recent)-updatable):]
	}
	return nil
}

// post makes the event, or finds that an earlier try has made it.
func (w *worker) post(ctx context.Context, l *live, name string) error {
	var err error
	if l.api == classic {
		c := w.client.CoreV1().Events(w.options.Namespace)
		l.core, err = c.Create(ctx, w.coreEvent(name), metav1.CreateOptions{})
		if apierrors.IsAlreadyExists(err) {
			l.core, err = c.Get(ctx, name, metav1.GetOptions{})
		}
		return err
	}
	c := w.client.EventsV1().Events(w.options.Namespace)
	l.series, err = c.Create(ctx, w.seriesEvent(name), metav1.CreateOptions{})
	if apierrors.IsAlreadyExists(err) {
		l.series, err = c.Get(ctx, name, metav1.GetOptions{})
	}
	return err
}

func (w *worker) update(ctx context.Context, i int) error {
	l := w.recent[i]
	err := w.insist(ctx, func(ctx context.Context) error { return w.put(ctx, l) })
	if apierrors.IsNotFound(err) { // its time has passed
		w.recent = append(w.recent[:i], w.recent[i+1:]...)
		return nil
	}
	if err != nil {
		return fmt.Errorf("updating the event %s: %w", l.event.Name, err)
	}
	v, _, err := l.stored()
	if err != nil {
		return err
	}
	w.log.update(l.event, v)
	return nil
}

// put counts the event up by one, or finds that an earlier try has done it.
func (w *worker) put(ctx context.Context, l *live) error {
	want := l.event.Last().Count + 1
	if l.api == classic {
		c := w.client.CoreV1().Events(w.options.Namespace)
		next := l.core.DeepCopy()
		next.Count, next.LastTimestamp = int32(want), metav1.Now()
		stored, err := c.Update(ctx, next, metav1.UpdateOptions{})
		if apierrors.IsConflict(err) {
			stored, err = c.Get(ctx, next.Name, metav1.GetOptions{})
		}
		if err == nil {
			l.core = stored
		}
		return err
	}
	c := w.client.EventsV1().Events(w.options.Namespace)
	next := l.series.DeepCopy()
	next.Series = &eventsv1.EventSeries{Count: int32(want), LastObservedTime: metav1.NowMicro()}
	stored, err := c.Update(ctx, next, metav1.UpdateOptions{})
	if apierrors.IsConflict(err) {
		stored, err = c.Get(ctx, next.Name, metav1.GetOptions{})
	}
	if err == nil {
		l.series = stored
	}
	return err
}

// insist repeats a request until it has an answer that is final. An API server that has just started may refuse whom it
// will know in a moment.
func (w *worker) insist(ctx context.Context, request func(context.Context) error) error {
	for {
		err := try(ctx, request)
		if err == nil || apierrors.IsNotFound(err) || apierrors.IsInvalid(err) {
			return err
		}
		select {
		case <-ctx.Done():
			return errors.Join(err, ctx.Err())
		case <-time.After(retryPause):
		}
	}
}

func try(ctx context.Context, request func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	return request(ctx)
}

// stored is the version that the API server answered with.
func (l *live) stored() (Version, string, error) {
	v := Version{At: time.Now(), Count: 1}
	var meta metav1.ObjectMeta
	if l.api == classic {
		meta = l.core.ObjectMeta
		v.Count = int64(l.core.Count)
	} else {
		meta = l.series.ObjectMeta
		if l.series.Series != nil {
			v.Count = int64(l.series.Series.Count)
		}
	}
	var err error
	if v.RV, err = strconv.ParseUint(meta.ResourceVersion, 10, 64); err != nil {
		return v, "", fmt.Errorf("the event %s has no usable resourceVersion: %w", meta.Name, err)
	}
	return v, string(meta.UID), nil
}

func (w *worker) message() string {
	if w.options.Message != "" {
		return w.options.Message
	}
	return "event " + strconv.Itoa(w.made) + " of " + w.prefix
}

func (w *worker) object() corev1.ObjectReference {
	name := w.prefix
	if n := w.options.Objects; n > 1 {
		name = fmt.Sprintf("%s-%d", w.prefix, w.made%n)
	}
	return corev1.ObjectReference{APIVersion: "v1", Kind: "Pod", Namespace: w.options.Namespace, Name: name}
}

func (w *worker) coreEvent(name string) *corev1.Event {
	now := metav1.Now()
	return &corev1.Event{
		ObjectMeta:     metav1.ObjectMeta{Namespace: w.options.Namespace, Name: name},
		InvolvedObject: w.object(), Type: corev1.EventTypeNormal, Reason: "Generated", Message: w.message(),
		Source: corev1.EventSource{Component: "generator"}, FirstTimestamp: now, LastTimestamp: now, Count: 1,
	}
}

func (w *worker) seriesEvent(name string) *eventsv1.Event {
	return &eventsv1.Event{
		ObjectMeta: metav1.ObjectMeta{Namespace: w.options.Namespace, Name: name},
		EventTime:  metav1.NowMicro(), Regarding: w.object(), Type: corev1.EventTypeWarning,
		Reason: "Generated", Action: "Generate", Note: w.message(),
		ReportingController: "baton.test/generator", ReportingInstance: "generator-0",
	}
}
