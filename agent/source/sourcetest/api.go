package sourcetest

import (
	"context"
	"fmt"
	"sort"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/eventbaton/baton/agent/source"
)

var _ source.Events = (*Log)(nil)

// List implements source.Events.
func (l *Log) List(ctx context.Context, namespace string, o metav1.ListOptions, maxBytes int64) (*corev1.EventList, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if l.OnList != nil {
		if err := l.OnList(namespace, o); err != nil {
			return nil, err
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if o.Limit != 1 {
		l.lists++
	}
	l.limits = append(l.limits, o.Limit)
	rv, after, err := l.place(o.Continue)
	if err != nil {
		return nil, err
	}
	return l.page(namespace, rv, after, int(o.Limit), maxBytes)
}

// place reads a token, which is "<rv or latest>|<last key, below the listed prefix>".
func (l *Log) place(token string) (rv uint64, after string, err error) {
	if token == "" {
		return l.rev, "", nil
	}
	at, after, ok := strings.Cut(token, "|")
	if !ok {
		return 0, "", apierrors.NewBadRequest("continue key is not valid")
	}
	if at == "latest" {
		return l.rev, after, nil
	}
	rv, err = strconv.ParseUint(at, 10, 64)
	switch {
	case err != nil:
		return 0, "", apierrors.NewBadRequest("continue key is not valid: " + err.Error())
	case rv > l.rev:
		return 0, "", tooLarge(rv, l.rev)
	case rv < l.compacted:
		gone := apierrors.NewResourceExpired("The provided continue parameter is too old")
		if !l.BareGone {
			gone.ErrStatus.Continue = "latest|" + after
		}
		return 0, "", gone
	}
	return rv, after, nil
}

func tooLarge(rv, now uint64) error {
	err := apierrors.NewTimeoutError(fmt.Sprintf("Too large resource version: %d, current: %d", rv, now), 1)
	err.ErrStatus.Details.Causes = []metav1.StatusCause{{Type: metav1.CauseTypeResourceVersionTooLarge}}
	return err
}

func prefixOf(namespace string) string {
	if namespace == "" {
		return ""
	}
	return namespace + "/"
}

// page gives what lies after a key that is relative to the prefix: a token of another stream is taken for one of this.
func (l *Log) page(namespace string, rv uint64, after string, limit int, maxBytes int64) (*corev1.EventList, error) {
	prefix := prefixOf(namespace)
	events := l.snapshot(prefix, rv)
	key := func(i int) string { return strings.TrimPrefix(events[i].Namespace+"/"+events[i].Name, prefix) }
	from := 0
	if after != "" {
		from = sort.Search(len(events), func(i int) bool { return key(i) > after })
	}
	list := &corev1.EventList{ListMeta: metav1.ListMeta{ResourceVersion: fmt.Sprint(rv)}}
	size := int64(0)
	for i := from; i < len(events); i++ {
		if limit > 0 && len(list.Items) == limit {
			list.Continue = fmt.Sprintf("%d|%s", rv, key(i-1))
			break
		}
		size += int64(events[i].Size())
		list.Items = append(list.Items, *events[i].DeepCopy())
	}
	if size > maxBytes {
		return nil, source.ErrPageTooLarge
	}
	return list, nil
}

// Watch implements source.Events.
func (l *Log) Watch(ctx context.Context, namespace string, o metav1.ListOptions) (watch.Interface, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if l.OnWatch != nil {
		if err := l.OnWatch(namespace, o); err != nil {
			return nil, err
		}
	}
	rv, err := strconv.ParseUint(o.ResourceVersion, 10, 64)
	if err != nil {
		return nil, apierrors.NewBadRequest(err.Error())
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if rv < l.compacted && !l.GoneInStream {
		return nil, apierrors.NewResourceExpired("too old resource version")
	}
	l.watches++
	l.open++
	ctx, cancel := context.WithCancel(ctx)
	w := &watcher{log: l, prefix: prefixOf(namespace), rv: rv, life: l.life, out: make(chan watch.Event), cancel: cancel}
	timeout := time.Hour
	if o.TimeoutSeconds != nil {
		timeout = time.Duration(*o.TimeoutSeconds) * time.Second
	}
	go w.run(ctx, timeout)
	return w, nil
}

type watcher struct {
	log    *Log
	prefix string
	rv     uint64 // delivered up to
	life   int
	begun  bool // the position was in the log when the watch opened
	out    chan watch.Event
	cancel context.CancelFunc
}

func (w *watcher) Stop()                          { w.cancel() }
func (w *watcher) ResultChan() <-chan watch.Event { return w.out }

func (w *watcher) run(ctx context.Context, timeout time.Duration) {
	defer close(w.out)
	defer func() {
		w.log.mu.Lock()
		w.log.open--
		w.log.mu.Unlock()
	}()
	timer := time.NewTimer(timeout)
	defer timer.Stop()
	for {
		events, end, more := w.pending()
		for _, e := range events {
			select {
			case w.out <- e:
			case <-ctx.Done():
				return
			}
		}
		if end {
			return
		}
		select {
		case <-more:
		case <-timer.C:
			return
		case <-ctx.Done():
			return
		}
	}
}

// pending gives what the watch has to say now, whether it ends with that, and a channel for when there may be more.
func (w *watcher) pending() (events []watch.Event, end bool, more <-chan struct{}) {
	w.log.mu.Lock()
	defer w.log.mu.Unlock()
	if w.life != w.log.life {
		return nil, false, nil
	}
	oldest := w.log.lost
	if !w.begun {
		oldest, w.begun = w.log.compacted, true
	}
	if w.rv < oldest {
		status := apierrors.NewResourceExpired("the watch is too old").Status()
		return []watch.Event{{Type: watch.Error, Object: &status}}, true, nil
	}
	changes := w.log.changes
	for _, c := range changes[sort.Search(len(changes), func(i int) bool { return changes[i].rv > w.rv }):] {
		if strings.HasPrefix(c.key, w.prefix) {
			events = append(events, watch.Event{Type: c.kind, Object: c.event.DeepCopy()})
		}
	}
	w.rv = max(w.rv, w.log.rev)
	return events, false, w.log.changed
}
