// Command bench measures what Baton costs and how fast it is, against a real API server, with the built binary as a
// process of its own. It prints each number with its target beside it, and fails where one is missed.
//
//	bench [-run REGEXP] [-write FILE] [-events N] [-window D] [-rounds N] [-logs DIR]
//
// BATON_BINARY names the binary, as `make build` makes it; without it one is built.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"regexp"
	"syscall"
	"time"

	"github.com/eventbaton/baton/e2e/fleet"
)

// bench is what the scenarios are told.
type bench struct {
	binary string
	events int           // the largest backlog
	window time.Duration // for which the followers are watched
	rounds int           // failovers of each kind
	debug  string        // a folder that keeps the agents' logs, "" for none
}

// scenario measures some of the numbers, with a control plane of its own.
type scenario struct {
	name, about string
	run         func(context.Context, *bench) ([]number, error)
}

func scenarios() []scenario {
	return []scenario{
		{"binary", "the file that the image is made of, and the image", binary},
		{"binary-shares", "what each type of sink adds to it; types that share a library each count the whole of it", shares},
		{"sinks", "a thousand records in batches as large as a sink takes, to a receiver that only acknowledges, both on one core" +
			" (GOMAXPROCS=1); a second is one of processor time, the receiver's with it, because the machine is shared", sinks},
		{"steady", "one leader, 500 new events a second for 20 s to a webhook on loopback", steady},
		{"enriched", "the same about 200 pods of 20 Deployments on 10 nodes, with labels, annotations, owners, node and zone" +
			" added, at the default budget of 20 lookups a second", enriched},
		{"failover", "three agents with a lease of 60 s, 100 events a second, the leader ended again and again", failover},
		{"backlog", "a new leader before what is retained, and a follower beside it, at growing numbers of events", backlog},
		{"followers", "one leader and ten followers, in a quiet cluster", followers},
	}
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	err := run(ctx, os.Args[1:])
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	var b bench
	f := flag.NewFlagSet("bench", flag.ExitOnError)
	only := f.String("run", "", "regexp of the scenarios to run, all if empty")
	write := f.String("write", "", "write the table into this file as well, as Markdown")
	f.IntVar(&b.events, "events", 100_000, "the largest backlog")
	f.DurationVar(&b.window, "window", 5*time.Minute, "how long the followers are watched")
	f.IntVar(&b.rounds, "rounds", 10, "how often the leader is ended, of each kind")
	f.StringVar(&b.debug, "logs", "", "keep the agents' logs in this folder")
	if err := f.Parse(args); err != nil {
		return err
	}
	chosen, err := choose(*only)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "baton-bench-")
	if err != nil {
		return fmt.Errorf("making a folder: %w", err)
	}
	defer os.RemoveAll(dir)
	if b.binary, err = fleet.Build(ctx, dir); err != nil {
		return err
	}
	results, err := b.measure(ctx, chosen)
	return errors.Join(err, report(ctx, results, *write))
}

func choose(only string) ([]scenario, error) {
	pattern, err := regexp.Compile(only)
	if err != nil {
		return nil, fmt.Errorf("-run: %w", err)
	}
	var chosen []scenario
	for _, s := range scenarios() {
		if pattern.MatchString(s.name) {
			chosen = append(chosen, s)
		}
	}
	if len(chosen) == 0 {
		return nil, fmt.Errorf("-run: no scenario matches %q", only)
	}
	return chosen, nil
}

// result is a scenario's numbers.
type result struct {
	scenario
	numbers []number
}

// measure runs the scenarios one after the other: they would disturb each other. One that fails does not keep the
// others from running.
func (b *bench) measure(ctx context.Context, chosen []scenario) ([]result, error) {
	var results []result
	var errs []error
	for _, s := range chosen {
		began := time.Now()
		say("%s: %s", s.name, s.about)
		numbers, err := s.run(ctx, b)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", s.name, err))
		}
		say("%s: took %.0f s", s.name, time.Since(began).Seconds())
		results = append(results, result{s, numbers})
		if ctx.Err() != nil {
			break
		}
	}
	return results, errors.Join(errs...)
}

// say tells of the progress.
func say(format string, args ...any) { fmt.Fprintf(os.Stderr, "bench: "+format+"\n", args...) }
