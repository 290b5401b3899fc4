// Package suite is the proof on a kind cluster: the chart as a user installs it, twice side by side, with either lock; a
// steady stream of events; one fault after the other; judged from what a receiver got against what was made.
//
//	go test ./e2e/suite                                  all of it
//	go test ./e2e/suite -run 'TestFaults/node-paused'    the faults whose name begins so
//
// BATON_E2E_KEEP=1 keeps the cluster, and takes one that was kept. BATON_E2E_TABLE names a file for the table. The images
// are in dist/ (scripts/e2e makes them).
package suite

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"testing"
	"time"

	"sigs.k8s.io/e2e-framework/pkg/env"
	"sigs.k8s.io/e2e-framework/pkg/envconf"
)

// environment is what the features run in; the stage is its state.
var (
	environment env.Environment
	theStage    *stage
)

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(main(m))
}

func main(m *testing.M) int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	// The first signal ends what runs and cleans up; a second one ends the process.
	context.AfterFunc(ctx, stop)
	var err error
	if environment, err = env.NewWithContext(ctx, envconf.New()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	s := &stage{ctx: ctx, keep: os.Getenv("BATON_E2E_KEEP") != ""}
	s.following, s.unfollow = context.WithCancel(ctx)
	theStage = s
	var failed error // the framework forgets what goes wrong at the end
	environment.
		Setup(s.phase("cluster", s.makeCluster), s.phase("images", s.loadImages), s.phase("namespaces", s.makeNamespaces),
			s.phase("peers", s.makePeers), s.phase("releases", s.makeReleases)).
		Finish(func(ctx context.Context, _ *envconf.Config) (context.Context, error) {
			failed = errors.Join(s.report(), s.close())
			return ctx, failed
		})
	code := environment.Run(m)
	if failed != nil {
		fmt.Fprintln(os.Stderr, failed)
		return 1
	}
	return code
}

// phase is a step of the setup, whose time is told.
func (s *stage) phase(name string, do func(context.Context) error) env.Func {
	return func(ctx context.Context, _ *envconf.Config) (context.Context, error) {
		defer s.timed(name)()
		if err := do(s.ctx); err != nil {
			return ctx, fmt.Errorf("%s: %w", name, err)
		}
		return ctx, nil
	}
}

// timed tells how long it takes until what it returns is called.
func (s *stage) timed(name string) func() {
	began := time.Now()
	return func() {
		d := time.Since(began)
		s.phases = append(s.phases, phase{name, d})
		fmt.Printf("e2e: %s: %.1f s\n", name, d.Seconds())
	}
}

type phase struct {
	name string
	took time.Duration
}
