package main

import (
	"context"
	"flag"
	"fmt"

	"github.com/eventbaton/baton/agent/config"
)

// checkCommand prints every problem of a configuration, and its warnings.
func checkCommand(_ context.Context, w world, args []string) error {
	f := flag.NewFlagSet("check", flag.ContinueOnError)
	if err := parse(w, f, args, "FILE"); err != nil {
		return err
	}
	cfg, err := config.Load(f.Arg(0), w.env)
	if err != nil {
		return err
	}
	for _, warning := range cfg.Warnings {
		_, _ = fmt.Fprintf(w.stderr, "%s: warning: %s\n", f.Arg(0), warning)
	}
	_, err = fmt.Fprintf(w.stdout, "%s: ok, %d sinks\n", f.Arg(0), len(cfg.Sinks))
	return err
}
