package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/eventbaton/baton/e2e/controlplane"
	"github.com/eventbaton/baton/e2e/fleet"
	"github.com/eventbaton/baton/e2e/generator"
	"github.com/eventbaton/baton/e2e/receiver"
)

const (
	// patience is for what takes seconds on an idle machine.
	patience = 2 * time.Minute
	// eventsNamespace is where the events are made; every API server has it.
	eventsNamespace = "default"
	// message is as long as what a kubelet says of a container that fails.
	message = "Back-off restarting failed container app in pod checkout-7d9c6b5f4-x2x8v_shop(0f8fad5b-d9cb-469f-a165-70867728950e)"
	// lease is the default of the product.
	lease = 60 * time.Second
)

// stage is a receiver, and a fleet that sends to it.
type stage struct {
	*receiver.Server
	fleet *fleet.Fleet
	bench *bench
	name  string
}

// open starts a fleet of its own in the namespace name, at whose cursors nobody has read yet.
func (b *bench) open(ctx context.Context, plane *controlplane.ControlPlane, name string, size int) (*stage, error) {
	return b.openWith(ctx, plane, name, size, nil)
}

// openWith does so with further keys of the configuration.
func (b *bench) openWith(
	ctx context.Context, plane *controlplane.ControlPlane, name string, size int, more map[string]string,
) (*stage, error) {
	r, err := receiver.Listen()
	if err != nil {
		return nil, err
	}
	f, err := fleet.New(ctx, fleet.Options{
		Plane: plane, Binary: b.binary, Namespace: name, Size: size, SinkURL: r.URL,
		Config: fleet.Config{Name: "baton", Lock: "lease", Lease: lease, More: more},
	})
	if err != nil {
		r.Close()
		return nil, err
	}
	return &stage{Server: r, fleet: f, bench: b, name: name}, nil
}

// lead starts the agents, one as the leader before all others.
func (s *stage) lead(ctx context.Context) (*fleet.Agent, error) {
	first := s.fleet.Agents()[0]
	if err := first.Start(); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	leader, err := s.fleet.Leader(ctx, nil)
	if err != nil {
		return nil, err
	}
	return leader, s.fleet.Start()
}

// close ends the agents in order, and says how they ended where that is not as it should be.
func (s *stage) close() error {
	err := s.fleet.Terminate(10 * time.Second)
	for _, a := range s.fleet.Agents() {
		err = errors.Join(err, s.keep(a))
	}
	s.fleet.Stop()
	s.Server.Close()
	return err
}

// keep copies an agent's log out of the fleet's folder.
func (s *stage) keep(a *fleet.Agent) error {
	if s.bench.debug == "" {
		return nil
	}
	log, err := os.ReadFile(a.Stderr())
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(s.bench.debug, s.name+"."+a.Name+".log"), log, 0o600)
}

// versionsOf are the latest versions of the events that were made.
func versionsOf(log *generator.Log) ([]receiver.Version, error) {
	var versions []receiver.Version
	for _, e := range log.Events() {
		uid, err := receiver.ParseUID(e.UID)
		if err != nil {
			return nil, err
		}
		versions = append(versions, receiver.Version{UID: uid, RV: e.Last().RV})
	}
	return versions, nil
}

// hasAll says whether all of them have arrived.
func (s *stage) hasAll(versions []receiver.Version) bool {
	return !slices.ContainsFunc(versions, func(v receiver.Version) bool { return !s.Has(v) })
}

// withPlane runs measure with a control plane of its own.
func withPlane(ctx context.Context, o controlplane.Options, measure func(*controlplane.ControlPlane) error) (err error) {
	plane, err := controlplane.Start(ctx, o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, plane.Stop()) }()
	return measure(plane)
}

// until waits until is says true.
func until(ctx context.Context, what string, is func() bool) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for !is() {
		if err := pause(ctx, 10*time.Millisecond); err != nil {
			return fmt.Errorf("waiting until %s: %w", what, err)
		}
	}
	return nil
}

func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
