package fleet

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
)

// History is all that was seen of an object, as a watch tells it: what it was between two watches is not seen.
type History[T any] struct {
	mu     sync.Mutex
	states []T
	more   chan struct{}
}

func newHistory[T any]() *History[T] { return &History[T]{more: make(chan struct{})} }

func (h *History[T]) add(state T) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.states = append(h.states, state)
	close(h.more)
	h.more = make(chan struct{})
}

// All is everything seen so far, oldest first.
func (h *History[T]) All() []T {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.states)
}

func (h *History[T]) last() (T, chan struct{}) {
	h.mu.Lock()
	defer h.mu.Unlock()
	var none T
	if len(h.states) == 0 {
		return none, h.more
	}
	return h.states[len(h.states)-1], h.more
}

// Now is the newest state, the zero one where nothing was seen.
func (h *History[T]) Now() T {
	s, _ := h.last()
	return s
}

// Wait waits until the newest state is as wanted, and returns it.
func (h *History[T]) Wait(ctx context.Context, is func(T) bool) (T, error) {
	for {
		s, more := h.last()
		if is(s) {
			return s, nil
		}
		select {
		case <-ctx.Done():
			return s, fmt.Errorf("%w; it is still %+v", ctx.Err(), s)
		case <-more:
		}
	}
}

// LockState is one state of the lock.
type LockState struct {
	At      time.Time // when the test saw it
	Version string    // the object's resourceVersion, "" where it was deleted
	Holder  string
	resourcelock.LeaderElectionRecord
}

// CursorState is one state of the cursors.
type CursorState struct {
	At      time.Time // when the test saw it
	Version string    // the object's resourceVersion
	Deleted bool
	Owner   string
	Epoch   int64             // 0 where it is not readable
	RVs     map[string]uint64 // by sink and stream, where readable
	Listing map[string]bool   // those in the middle of a list
}

func podOf(identity string) string {
	pod, _, _ := strings.Cut(identity, "_")
	return pod
}

// follow watches both kinds of lock and the cursors until ctx ends.
func (f *Fleet) follow(ctx context.Context) {
	ns, name := f.options.Namespace, f.options.Config.Name
	leases, maps := f.client.CoordinationV1().Leases(ns).Watch, f.client.CoreV1().ConfigMaps(ns).Watch
	own, other := watcher(leases), watcher(maps)
	if f.options.Config.Lock != "lease" {
		own, other = other, own
	}
	f.wg.Go(func() { stream(ctx, name, own, func(e watch.Event) { f.Lock.add(lockState(e)) }) })
	f.wg.Go(func() { stream(ctx, name, other, func(e watch.Event) { f.Other.add(lockState(e)) }) })
	f.wg.Go(func() {
		stream(ctx, name+"-cursors", maps, func(e watch.Event) { f.Cursors.add(cursorState(e)) })
	})
}

type watcher func(context.Context, metav1.ListOptions) (watch.Interface, error)

// stream hands over the object as it is, and every change from then on; a broken watch begins again.
func stream(ctx context.Context, name string, open watcher, take func(watch.Event)) {
	for ctx.Err() == nil {
		w, err := open(ctx, metav1.ListOptions{FieldSelector: fields.OneTermEqualSelector("metadata.name", name).String()})
		if err == nil {
			drain(w, take)
		}
		_ = pause(ctx, 20*time.Millisecond)
	}
}

func drain(w watch.Interface, take func(watch.Event)) {
	defer w.Stop()
	for e := range w.ResultChan() {
		if e.Type == watch.Error {
			return
		}
		take(e)
	}
}

func lockState(e watch.Event) LockState {
	s := LockState{At: time.Now()}
	if e.Type == watch.Deleted {
		return s
	}
	switch o := e.Object.(type) {
	case *coordinationv1.Lease:
		s.Version = o.ResourceVersion
		s.LeaderElectionRecord = *resourcelock.LeaseSpecToLeaderElectionRecord(&o.Spec)
	case *corev1.ConfigMap:
		s.Version = o.ResourceVersion
		// What is no record has no holder.
		_ = json.Unmarshal([]byte(o.Annotations[resourcelock.LeaderElectionRecordAnnotationKey]), &s.LeaderElectionRecord)
	}
	s.Holder = s.HolderIdentity
	return s
}

func cursorState(e watch.Event) CursorState {
	o, ok := e.Object.(*corev1.ConfigMap)
	if !ok {
		return CursorState{At: time.Now()}
	}
	s := CursorState{
		At: time.Now(), Version: o.ResourceVersion, Deleted: e.Type == watch.Deleted, Owner: o.Data["owner"],
		RVs: map[string]uint64{}, Listing: map[string]bool{},
	}
	s.Epoch, _ = strconv.ParseInt(o.Data["epoch"], 10, 64)
	for key, text := range o.Data {
		stream, ok := strings.CutPrefix(key, "cursor.")
		var p struct {
			RV      uint64 `json:"rv,string"`
			Listing *struct{}
		}
		if ok && json.Unmarshal([]byte(text), &p) == nil {
			s.RVs[stream], s.Listing[stream] = p.RV, p.Listing != nil
		}
	}
	return s
}
