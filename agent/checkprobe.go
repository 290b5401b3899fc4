package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/eventbaton/baton/agent/config"
	"github.com/eventbaton/baton/agent/sink"
)

// probeGrace is how long a probe may take to say in its own words that its time is up.
const probeGrace = time.Second

// probeSinks asks all receivers at once, and prints a line a sink in the configuration's order.
func probeSinks(ctx context.Context, w world, cfg *config.Config, timeout time.Duration) error {
	log := slog.New(slog.NewTextHandler(w.stderr, nil))
	answers := make([]error, len(cfg.Sinks))
	var group sync.WaitGroup
	for i, s := range cfg.Sinks {
		group.Go(func() {
			env := sink.Environment{Stdout: w.stdout, Log: log.With("sink", s.Name), Version: version}
			answers[i] = probeSink(ctx, s.Options, env, timeout)
		})
	}
	group.Wait()
	failed := 0
	for i, s := range cfg.Sinks {
		said, ok := verdict(s.Options, answers[i])
		if !ok {
			failed++
		}
		if _, err := fmt.Fprintf(w.stdout, "sink %s (%s): %s\n", s.Name, s.Type, said); err != nil {
			return err
		}
	}
	if failed > 0 {
		return fmt.Errorf("of %d sinks, %d would not get their records", len(cfg.Sinks), failed)
	}
	return nil
}

var errNothingToProbe = errors.New("ok, it has nothing to probe")

// probeSink opens the sink as the agent does, and asks it.
func probeSink(ctx context.Context, options sink.Options, env sink.Environment, timeout time.Duration) error {
	opened, err := options.Open(env)
	if err != nil {
		return err
	}
	prober, ok := opened.(sink.Prober)
	if !ok {
		return errors.Join(opened.Close(), errNothingToProbe)
	}
	cause := fmt.Errorf("no answer within %s; check host and port, and whether a NetworkPolicy or a firewall lets this through", timeout)
	ctx, cancel := context.WithTimeoutCause(ctx, timeout, cause)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- prober.Probe(ctx) }()
	select {
	case err = <-done:
	case <-ctx.Done():
		select {
		case err = <-done:
		case <-time.After(probeGrace): // such as an open of a file whose disk is gone: it ends with the process
			return context.Cause(ctx)
		}
	}
	if closing := opened.Close(); err == nil {
		err = closing
	}
	return err
}

// verdict puts a probe's answer into words, and says whether it is a good one.
func verdict(options sink.Options, err error) (string, bool) {
	if errors.Is(err, errNothingToProbe) {
		return err.Error(), true
	}
	if err != nil {
		if remedy := sink.Remedy(err); remedy != "" {
			return fmt.Sprintf("failed: %v; %s", err, remedy), false
		}
		return fmt.Sprintf("failed: %v", err), false
	}
	if open, ok := options.(sink.LeavesOpen); ok && open.LeavesOpen() != "" {
		return "ok; " + open.LeavesOpen(), true
	}
	return "ok", true
}
