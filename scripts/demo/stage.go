package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/eventbaton/baton/e2e/child"
	"github.com/eventbaton/baton/e2e/controlplane"
	"github.com/eventbaton/baton/e2e/fleet"
	"github.com/eventbaton/baton/e2e/generator"
)

const (
	size    = 3
	rate    = 50 // versions of events a second
	updates = 0.2
	// waiting is how many events there are before the agents.
	waiting = 200
	// lease is long enough to show that a takeover does not wait for it.
	lease = 15 * time.Second
	shop  = "shop"  // the namespace in which things happen
	house = "baton" // the release's
)

// stage is all that the demo runs. It is built up bit by bit, and cleared from any state.
type stage struct {
	files  *child.Nursery
	assets string
	feed   *feed

	mu      sync.Mutex // the view looks on while the stage is being built
	plane   *controlplane.ControlPlane
	fleet   *fleet.Fleet
	events  *generator.Generator
	waiting *generator.Log

	quiet sync.Once // ends the events
	cut   context.CancelFunc
}

// prepare does what may print: the first time on a machine Kubernetes is built here.
func (s *stage) prepare(ctx context.Context) error {
	var err error
	if s.files, err = child.Open("baton-demo"); err != nil {
		return err
	}
	if s.assets, err = serverBinaries(ctx, s.files); err != nil {
		return err
	}
	s.feed, err = listen(shop)
	return err
}

// set builds the agent and starts the API server side by side, and then all that needs both. The agents are not
// started yet; some events wait for them.
func (s *stage) set(ctx context.Context, say func(string, ...any)) error {
	// The harness then looks for the binaries nowhere else.
	if err := os.Setenv("KUBEBUILDER_ASSETS", s.assets); err != nil {
		return fmt.Errorf("naming the folder of the binaries: %w", err)
	}
	var binary string
	err := together(ctx, func(ctx context.Context) (err error) {
		if binary, err = agent(ctx, s.files); err == nil {
			say("the agent is compiled")
		}
		return err
	}, func(ctx context.Context) error {
		err := s.startPlane(ctx)
		if err == nil {
			say("etcd and kube-apiserver are up")
		}
		return err
	})
	if err != nil {
		return err
	}
	return s.enter(ctx, binary)
}

// together does all of it at once. The first error ends the others, and is the one returned.
func together(ctx context.Context, all ...func(context.Context) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var wg sync.WaitGroup
	for _, do := range all {
		wg.Go(func() {
			if err := do(ctx); err != nil {
				cancel(err)
			}
		})
	}
	wg.Wait()
	return context.Cause(ctx)
}

func (s *stage) startPlane(ctx context.Context) error {
	plane, err := controlplane.Start(ctx, controlplane.Options{})
	s.mu.Lock()
	defer s.mu.Unlock()
	s.plane = plane
	return err
}

func (s *stage) enter(ctx context.Context, binary string) error {
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: shop}}
	if _, err := s.plane.Client().CoreV1().Namespaces().Create(ctx, ns, metav1.CreateOptions{}); err != nil {
		return fmt.Errorf("making the namespace %s: %w", shop, err)
	}
	log, err := generator.Load(ctx, s.makes("waiting"), waiting)
	if err != nil {
		return err
	}
	agents, err := fleet.New(ctx, fleet.Options{
		Plane: s.plane, Binary: binary, Namespace: house, Size: size, SinkURL: s.feed.url,
		Config: fleet.Config{Name: "baton", Lock: "lease", Lease: lease},
	})
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fleet, s.waiting = agents, log
	return nil
}

// makes are the options of a generator.
func (s *stage) makes(prefix string) generator.Options {
	return generator.Options{
		Client: cast{Interface: s.plane.Client()}, Namespace: shop, Prefix: prefix, Rate: rate, Updates: updates, Workers: 2,
	}
}

// startEvents starts the stream. An update replaces what was there, so it begins when somebody reads: each version has
// to arrive.
func (s *stage) startEvents(ctx context.Context) {
	s.mu.Lock()
	defer s.mu.Unlock()
	ctx, s.cut = context.WithCancel(ctx)
	s.events = generator.Start(ctx, s.makes("stream"))
}

// made is all that was made so far.
func (s *stage) made() []generator.Event {
	s.mu.Lock()
	defer s.mu.Unlock()
	var made []generator.Event
	if s.waiting != nil {
		made = s.waiting.Events()
	}
	if s.events != nil {
		made = append(made, s.events.Log().Events()...)
	}
	return made
}

// stored is how many versions were made so far.
func (s *stage) stored() int {
	n := 0
	for _, e := range s.made() {
		n += len(e.Versions)
	}
	return n
}

// agents are the fleet, nil as long as they aren't there.
func (s *stage) agents() *fleet.Fleet {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.fleet
}

// stopEvents ends the events in order: each one that was begun is known to be stored, or not.
func (s *stage) stopEvents() { s.quiet.Do(s.events.Stop) }

// clear stops and removes everything, the agents first.
func (s *stage) clear() error {
	var errs []error
	if s.events != nil {
		s.cut() // the API server may be what is broken
		s.stopEvents()
	}
	if s.fleet != nil {
		s.fleet.Stop()
	}
	if s.feed != nil {
		errs = append(errs, s.feed.close())
	}
	if s.plane != nil {
		errs = append(errs, s.plane.Stop())
	}
	if s.files != nil {
		errs = append(errs, s.files.Close())
	}
	return errors.Join(errs...)
}

// withLogs adds the end of each agent's log to an error: their files are about to go.
func (s *stage) withLogs(ctx context.Context, err error) error {
	if s.fleet == nil || ctx.Err() != nil {
		return err
	}
	var b strings.Builder
	for _, a := range s.fleet.Agents() {
		if log, readErr := os.ReadFile(a.Stderr()); readErr == nil {
			fmt.Fprintf(&b, "\n\nthe log of %s ends:\n%s", a.Name, tail(string(log), 5))
		}
	}
	return fmt.Errorf("%w%s", err, b.String())
}

// tail is the last n lines.
func tail(text string, n int) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}
