package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/eventbaton/baton/e2e/controlplane"
	"github.com/eventbaton/baton/e2e/generator"
	"github.com/eventbaton/baton/e2e/history"
	"github.com/eventbaton/baton/e2e/receiver"
	"github.com/eventbaton/baton/e2e/verdict"
)

const (
	// afterBacklog is how long the leader is left alone before its memory is read again: what it still has then is
	// what it keeps.
	afterBacklog = 5 * time.Second
	// deliveries of the largest backlog, each with bare lists before and after it.
	deliveries = 3
)

// pageLimits are those of the bare loops: the one that is everybody's default, and one that needs fewer requests.
var pageLimits = []int64{500, 1000}

// backlogs are the numbers of events at which memory is measured, up to the largest.
func backlogs(largest int) []int {
	steps := slices.DeleteFunc([]int{0, 10_000, 30_000, 60_000}, func(n int) bool { return n >= largest })
	return append(steps, largest)
}

func backlog(ctx context.Context, b *bench) ([]number, error) {
	var numbers []number
	err := withPlane(ctx, controlplane.Options{}, func(plane *controlplane.ControlPlane) error {
		l := &load{bench: b, plane: plane}
		for _, n := range backlogs(b.events) {
			if err := l.grow(ctx, n); err != nil {
				return err
			}
			d, err := l.deliver(ctx, "retained-"+strconv.Itoa(n))
			if err != nil {
				return err
			}
			numbers = append(numbers, d.memory(n)...)
		}
		rates, err := l.race(ctx)
		numbers = append(numbers, rates...)
		return err
	})
	return numbers, err
}

// load is the events that an API server retains.
type load struct {
	bench  *bench
	plane  *controlplane.ControlPlane
	events []receiver.Version
}

// grow makes events until there are n.
func (l *load) grow(ctx context.Context, n int) error {
	lack := n - len(l.events)
	if lack == 0 {
		return nil
	}
	say("backlog: making %d events", lack)
	log, err := generator.Load(ctx, generator.Options{
		Client: l.plane.Client(), Namespace: eventsNamespace, Prefix: fmt.Sprintf("retained-%06d", n), Message: message,
	}, lack)
	if err != nil {
		return err
	}
	versions, err := versionsOf(log)
	l.events = append(l.events, versions...)
	return err
}

// delivery is what was measured of a leader that began with nothing delivered.
type delivery struct {
	took                       time.Duration // from the claim of the cursors to the last arrival
	leader, settled, follower  memory
	requests, repeated, events int
}

func (d delivery) rate() float64 { return float64(d.events) / d.took.Seconds() }

func (l *load) deliver(ctx context.Context, name string) (delivery, error) {
	s, err := l.bench.open(ctx, l.plane, name, 2)
	if err != nil {
		return delivery{}, err
	}
	d, err := s.deliver(ctx, l.events)
	return d, errors.Join(err, s.close())
}

func (s *stage) deliver(ctx context.Context, events []receiver.Version) (delivery, error) {
	leader, err := s.lead(ctx)
	if err != nil {
		return delivery{}, err
	}
	follower := s.fleet.Agents()[1]
	all := func() bool { return s.Len() >= len(events) && s.hasAll(events) }
	if err := until(ctx, fmt.Sprintf("%d events have arrived", len(events)), all); err != nil {
		return delivery{}, err
	}
	if _, err := s.fleet.Cursors.Wait(ctx, func(c history.CursorState) bool { return c.Epoch > 0 }); err != nil {
		return delivery{}, err
	}
	claim := s.fleet.Cursors.All()[0] // makes the object
	d := delivery{events: len(events), requests: len(s.Requests())}
	first := s.firsts()
	for _, v := range events {
		d.took = max(d.took, s.Start().Add(first[v]).Sub(claim.At))
	}
	d.repeated = len(s.Arrivals()) - s.Len()
	if d.leader, err = rss(leader.Pid()); err != nil {
		return d, err
	}
	if err := pause(ctx, afterBacklog); err != nil {
		return d, err
	}
	d.settled, err = rss(leader.Pid())
	m, err2 := rss(follower.Pid())
	d.follower = m
	return d, errors.Join(err, err2)
}

// memory are the points of the two curves at n retained events.
func (d delivery) memory(n int) []number {
	leader := shown(fmt.Sprintf("memory of the leader at its most, %d retained", n), "%.1f MB", d.settled.peak)
	switch {
	case n == 30_000:
		leader = below(leader.what, d.settled.peak, 60, " MB")
	case n >= 100_000:
		leader = below(leader.what, d.settled.peak, 70, " MB")
	}
	return []number{
		leader,
		shown("the same, as the backlog ends and 5 s later", "%.1f MB, %.1f MB", d.leader.now, d.settled.now),
		below(fmt.Sprintf("memory of a follower at its most, %d retained", n), d.follower.peak, 35, " MB"),
	}
}

// race delivers the largest backlog between bare lists of it.
func (l *load) race(ctx context.Context) ([]number, error) {
	bare := map[int64][]float64{}
	var delivered []float64
	var last delivery
	for i := range deliveries {
		if err := l.bare(ctx, bare); err != nil {
			return nil, err
		}
		d, err := l.deliver(ctx, "race-"+strconv.Itoa(i))
		if err != nil {
			return nil, err
		}
		say("backlog: %.0f events/s delivered in %d requests, %d repeated", d.rate(), d.requests, d.repeated)
		delivered, last = append(delivered, d.rate()), d
	}
	if err := l.bare(ctx, bare); err != nil {
		return nil, err
	}
	numbers := []number{
		shown(fmt.Sprintf("%d retained events delivered", last.events), "%.0f events/s", median(delivered)),
		shown("in requests, with repeated", "%d, %d", last.requests, last.repeated),
	}
	for _, limit := range pageLimits {
		rate := median(bare[limit])
		numbers = append(numbers,
			shown(fmt.Sprintf("bare client-go loop over the same list, limit %d", limit), "%.0f events/s", rate),
			atLeast("delivered : listed", median(delivered)/rate, 0.5, ""))
	}
	return numbers, nil
}

// bare pages through the list as fast as client-go alone can, once with each limit.
func (l *load) bare(ctx context.Context, rates map[int64][]float64) error {
	for _, limit := range pageLimits {
		began := time.Now()
		n, err := l.page(ctx, limit)
		if err != nil {
			return err
		}
		rate := float64(n) / time.Since(began).Seconds()
		say("backlog: bare list, limit %d: %.0f events/s", limit, rate)
		rates[limit] = append(rates[limit], rate)
	}
	return nil
}

// page reads the list to its end in protobuf, uncompressed: on loopback gzip would only make it slower.
func (l *load) page(ctx context.Context, limit int64) (int, error) {
	config := l.plane.Admin()
	config.DisableCompression = true
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return 0, fmt.Errorf("making the bare client: %w", err)
	}
	n, options := 0, metav1.ListOptions{Limit: limit}
	for {
		list, err := client.CoreV1().Events("").List(ctx, options)
		if err != nil {
			return n, fmt.Errorf("listing bare: %w", err)
		}
		n += len(list.Items)
		if options.Continue = list.Continue; options.Continue == "" {
			return n, nil
		}
	}
}

func median(values []float64) float64 {
	return verdict.Quantile(slices.Sorted(slices.Values(values)), 0.5)
}
