// Command engine finds a Docker engine that can run kind's nodes, and starts one where the machine's own cannot:
//
//	engine start   prints the DOCKER_HOST to use
//	engine stop    ends the engine that start has started
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"
)

func main() {
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	if err := run(ctx, os.Args[1:], os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "engine:", err)
		cancel()
		os.Exit(1) //nolint:gocritic // cancelled above
	}
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	if len(args) != 1 {
		return errors.New("want one word: start or stop")
	}
	e := engine{
		run: "/run/baton-engine", state: "/var/lib/baton-engine", log: stderr, patience: 40 * time.Second,
		network: bridge{"baton0", [4]byte{10, 198, 255, 1}},
	}
	switch args[0] {
	case "start":
		ctx, cancel := context.WithTimeout(ctx, 3*time.Minute)
		defer cancel()
		host, err := find(ctx, cli, &e, os.Getuid() == 0)
		if err == nil {
			fmt.Fprintln(stdout, host)
		}
		return err
	case "stop":
		if os.Getuid() != 0 {
			return nil // only root can have started one
		}
		return e.stop(ctx)
	default:
		return fmt.Errorf("unknown command %q: start or stop", args[0])
	}
}
