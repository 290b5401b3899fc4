package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"time"

	"github.com/eventbaton/baton/agent/config"
)

// checkFlags are the flags of `baton check`.
type checkFlags struct {
	explain, probe bool
	timeout        time.Duration
}

func (c *checkFlags) set() *flag.FlagSet {
	f := flag.NewFlagSet("check", flag.ContinueOnError)
	f.BoolVar(&c.explain, "explain", false,
		"read events from stdin, as kubectl get event -o json or yaml prints them, and say which sinks would get each, and why not")
	f.BoolVar(&c.probe, "probe", false, "ask every sink's receiver whether it would take records; none is sent")
	f.DurationVar(&c.timeout, "timeout", 10*time.Second, "how long a receiver may take to answer --probe; all are asked at once")
	return f
}

// checkCommand prints every problem of a configuration, and its warnings. On demand it goes on to what the configuration
// means for events, and to the receivers that it names.
func checkCommand(ctx context.Context, w world, args []string) error {
	var flags checkFlags
	set := flags.set()
	if err := parse(w, set, args, "FILE"); err != nil {
		return err
	}
	if flags.timeout <= 0 {
		return usageError{errors.New("--timeout must be above 0")}
	}
	file := set.Arg(0)
	cfg, err := config.Load(file, w.env)
	if err != nil {
		return err
	}
	for _, warning := range cfg.Warnings {
		_, _ = fmt.Fprintf(w.stderr, "%s: warning: %s\n", file, warning)
	}
	if _, err = fmt.Fprintf(w.stdout, "%s: ok, %d sinks\n", file, len(cfg.Sinks)); err != nil {
		return err
	}
	if flags.explain {
		if err := explainEvents(w, cfg); err != nil {
			return err
		}
	}
	if flags.probe {
		return probeSinks(ctx, w, cfg, flags.timeout)
	}
	return nil
}
