package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/eventbaton/baton/e2e/controlplane"
	"github.com/eventbaton/baton/e2e/receiver"
	"github.com/eventbaton/baton/e2e/verdict"
)

const (
	steadyRate   = 500 // events a second
	steadyEvents = 20 * steadyRate
)

func steady(ctx context.Context, b *bench) ([]number, error) {
	var numbers []number
	err := withPlane(ctx, controlplane.Options{}, func(plane *controlplane.ControlPlane) error {
		s, err := b.open(ctx, plane, "steady", 1)
		if err != nil {
			return err
		}
		numbers, err = s.steady(ctx, plane.Client())
		return errors.Join(err, s.close())
	})
	return numbers, err
}

func (s *stage) steady(ctx context.Context, client kubernetes.Interface) ([]number, error) {
	w, err := s.work(ctx, client, []corev1.ObjectReference{somePod})
	if err != nil {
		return nil, err
	}
	return append([]number{
		atMost("processor time of the leader an event", w.anEvent(), 0.15, " ms"),
		shown("requests to the webhook", "%d", len(s.Requests())),
	}, w.numbers()...), nil
}

// work is what the steady load took.
type work struct {
	events, lost int
	cpu          time.Duration // of the leader
	lags         []time.Duration
	memory       memory
}

// anEvent is the leader's processor time for one, in milliseconds.
func (w work) anEvent() float64 { return milliseconds(w.cpu) / float64(w.events) }

func (w work) numbers() []number {
	return []number{
		atMost("lost of "+strconv.Itoa(w.events), float64(w.lost), 0, ""),
		shown("lag from the begin of the creation to the arrival, p50", "%.1f ms", milliseconds(verdict.Quantile(w.lags, 0.5))),
		below("the same, p99", milliseconds(verdict.Quantile(w.lags, 0.99)), 250, " ms"),
		shown("memory of the leader at its most", "%.1f MB", w.memory.peak),
	}
}

// work measures the steady load, whose events are about these objects in turn.
func (s *stage) work(ctx context.Context, client kubernetes.Interface, about []corev1.ObjectReference) (w work, err error) {
	leader, err := s.lead(ctx)
	if err != nil {
		return w, err
	}
	// Connections, caches and the heap get to where they are in a leader that has been at work.
	if _, err := s.flow(ctx, client, s.name+"-warm", 5*steadyRate, about); err != nil {
		return w, err
	}
	before, err := cpu(leader.Pid())
	if err != nil {
		return w, err
	}
	events, err := s.flow(ctx, client, s.name, steadyEvents, about)
	if err != nil {
		return w, err
	}
	after, err := cpu(leader.Pid())
	if err != nil {
		return w, err
	}
	w.events, w.cpu = len(events), after-before
	w.lags, w.lost = s.lags(events)
	w.memory, err = rss(leader.Pid())
	return w, err
}

// created is an event that was made.
type created struct {
	version receiver.Version
	began   time.Time // the request for it
}

// flow makes n events at the steady rate, and waits until they have arrived, or would have.
func (s *stage) flow(
	ctx context.Context, client kubernetes.Interface, name string, n int, about []corev1.ObjectReference,
) ([]created, error) {
	events := make([]created, n)
	errs := make([]error, n)
	var wg sync.WaitGroup
	began := time.Now()
	for i := range n {
		// By the clock, whatever the requests before take: a slow answer must not make the load lighter.
		if err := pause(ctx, time.Until(began.Add(time.Duration(i)*time.Second/steadyRate))); err != nil {
			return nil, err
		}
		wg.Go(func() { events[i], errs[i] = create(ctx, client, fmt.Sprintf("%s-%05d", name, i), about[i%len(about)]) })
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	all := func() bool { _, lost := s.lags(events); return lost == 0 }
	waiting, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	if err := until(waiting, "all events have arrived", all); err != nil && ctx.Err() != nil {
		return nil, err
	}
	return events, nil
}

// somePod is one that isn't there.
var somePod = corev1.ObjectReference{APIVersion: "v1", Kind: "Pod", Namespace: eventsNamespace, Name: "checkout-7d9c6b5f4-x2x8v"}

func create(ctx context.Context, client kubernetes.Interface, name string, about corev1.ObjectReference) (created, error) {
	now := metav1.Now()
	e := &corev1.Event{
		ObjectMeta:     metav1.ObjectMeta{Namespace: eventsNamespace, Name: name},
		InvolvedObject: about,
		Type:           corev1.EventTypeWarning, Reason: "BackOff", Message: message,
		Source: corev1.EventSource{Component: "kubelet", Host: "node-1"}, FirstTimestamp: now, LastTimestamp: now, Count: 1,
	}
	c := created{began: time.Now()}
	stored, err := client.CoreV1().Events(eventsNamespace).Create(ctx, e, metav1.CreateOptions{})
	if err != nil {
		return c, fmt.Errorf("creating the event %s: %w", name, err)
	}
	c.version.UID, err = receiver.ParseUID(string(stored.UID))
	rv, err2 := strconv.ParseUint(stored.ResourceVersion, 10, 64)
	c.version.RV = rv
	return c, errors.Join(err, err2)
}

// lags are the times from creation to first arrival, ascending, and lost how many have not arrived.
func (s *stage) lags(events []created) (lags []time.Duration, lost int) {
	first := s.firsts()
	for _, e := range events {
		at, ok := first[e.version]
		if !ok {
			lost++
			continue
		}
		lags = append(lags, s.Start().Add(at).Sub(e.began))
	}
	slices.Sort(lags)
	return lags, lost
}

// firsts are the first arrivals, as times since the receiver's start.
func (s *stage) firsts() map[receiver.Version]time.Duration {
	first := map[receiver.Version]time.Duration{}
	for _, a := range s.Arrivals() {
		if _, ok := first[a.Version]; !ok {
			first[a.Version] = a.At
		}
	}
	return first
}
