package election

import (
	"context"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
)

// Pods is the API for the Pods of the namespace in which the candidates run.
type Pods interface {
	Get(ctx context.Context, name string, opts metav1.GetOptions) (*corev1.Pod, error)
	Watch(ctx context.Context, opts metav1.ListOptions) (watch.Interface, error)
}

// ended tells whether the container's status proves that the process which took the lock at acquired has ended: it
// finished later, or what is there now started later. Both times are of the same node's clock. They are compared in
// whole seconds, because that is all a status has, and a tie proves nothing. restartCount proves nothing either: a
// restarted process may take the lock before its own restart is reported.
func ended(pod *corev1.Pod, container string, acquired time.Time) bool {
	if container == "" || acquired.IsZero() {
		return false
	}
	for _, status := range slices.Concat(pod.Status.ContainerStatuses, pod.Status.InitContainerStatuses) {
		if status.Name == container && (stateAfter(status.State, acquired) || stateAfter(status.LastTerminationState, acquired)) {
			return true
		}
	}
	return false
}

func stateAfter(state corev1.ContainerState, acquired time.Time) bool {
	if r := state.Running; r != nil && later(r.StartedAt, acquired) {
		return true
	}
	t := state.Terminated
	return t != nil && (later(t.FinishedAt, acquired) || later(t.StartedAt, acquired))
}

func later(t metav1.Time, than time.Time) bool { return !t.IsZero() && t.Unix() > than.Unix() }

// vigil watches the Pod of one holder of a lock. Its finding is kept by the seat that it belongs to.
type vigil struct {
	seat   *seat
	holder string
	id     Identity
	stop   context.CancelFunc

	// guarded by seat.mu
	pod  *corev1.Pod // as last seen
	gone bool        // there is no Pod of this UID any more
}

// run returns when there is nothing more to learn: the Pod is gone, or Pods may not be read.
func (v *vigil) run(ctx context.Context) {
	e := v.seat.elector
	retry := e.backoff()
	// At a takeover every follower starts one of these; they don't do it at once.
	e.pause(ctx, time.Duration(e.rand()*float64(time.Second)))
	for ctx.Err() == nil {
		began := e.clock.Mono()
		err := v.watch(ctx)
		if err == nil || ctx.Err() != nil {
			return
		}
		if apierrors.IsForbidden(err) {
			e.podsForbidden(err)
			return
		}
		if tooOld(err) || e.clock.Mono()-began > longWatch {
			retry.reset()
		}
		e.pause(ctx, retry.next())
	}
}

// watch returns nil once the Pod is gone.
func (v *vigil) watch(ctx context.Context) error {
	pod, err := v.get(ctx)
	if err != nil {
		return err
	}
	if v.report(pod) {
		return nil
	}
	e := v.seat.elector
	// A watch on an absent Pod would say nothing for ever, hence the GET before.
	w, err := e.o.Pods.Watch(ctx, watchOptions(v.id.Pod, pod.ResourceVersion, e.watchTimeout()))
	if err != nil {
		return err
	}
	defer w.Stop()
	for {
		event, err := nextEvent(ctx, w)
		if err != nil {
			return err
		}
		if pod, ok := event.Object.(*corev1.Pod); ok && v.told(event.Type, pod) {
			return nil
		}
	}
}

// get is a quorum read; nil is a Pod that does not exist.
func (v *vigil) get(ctx context.Context) (*corev1.Pod, error) {
	e := v.seat.elector
	ctx, cancel := context.WithTimeout(ctx, e.timeout)
	defer cancel()
	pod, err := e.o.Pods.Get(ctx, v.id.Pod, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	return pod, err
}

// told takes an event of the watch and tells whether the Pod is gone.
func (v *vigil) told(kind watch.EventType, pod *corev1.Pod) bool {
	if pod.Name != v.id.Pod {
		return false
	}
	if kind != watch.Deleted {
		return v.report(pod)
	}
	// The deletion of another Pod of that name proves nothing that its creation had not.
	return string(pod.UID) == v.id.UID && v.report(nil)
}

// report hands what was seen to the seat and tells whether the Pod is gone.
func (v *vigil) report(pod *corev1.Pod) bool {
	s := v.seat
	s.mu.Lock()
	v.pod, v.gone = pod, pod == nil || string(pod.UID) != v.id.UID
	gone := v.gone
	s.mu.Unlock()
	s.elector.ring()
	return gone
}

// proves tells whether the vigil's finding proves that the holder, who took the lock at acquired, is dead.
func (v *vigil) proves(acquired time.Time) bool {
	return v.gone || v.pod != nil && ended(v.pod, v.id.Container, acquired)
}
