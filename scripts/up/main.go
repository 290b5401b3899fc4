// Command up makes a kind cluster of three nodes, installs the chart on it, has things happen there, and shows the events
// that the leader delivers. It can be repeated: a cluster that is there is taken, and the release upgraded.
//
//	make up
//	make down      (up -down) removes all of it, also what a `make up` that was cut off has left
//
// The exit code is 1 where something went wrong, 130 after Ctrl-C.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"k8s.io/klog/v2"

	"github.com/eventbaton/baton/e2e/cluster"
	"github.com/eventbaton/baton/e2e/cluster/step"
)

const (
	interrupted = 130
	workers     = 2
)

func main() {
	down := flag.Bool("down", false, "remove the cluster and all that belongs to it")
	name := flag.String("name", "baton", "the cluster's name")
	flag.Parse()
	if flag.NArg() > 0 {
		fmt.Fprintf(os.Stderr, "up: it takes flags alone, and has %q\n", flag.Args())
		os.Exit(2)
	}
	// What client-go would log is repeated, or is an error here.
	klog.LogToStderr(false)
	klog.SetOutput(io.Discard)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	// Who asks a second time is not kept waiting.
	context.AfterFunc(ctx, stop)
	log := step.To(os.Stdout)
	o := cluster.Options{Name: *name, Workers: workers, Log: log, Reuse: true}
	do := up
	if *down {
		do = remove
	}
	code := exitCode(ctx, do(ctx, o, log, os.Stdout), os.Stderr)
	stop()
	os.Exit(code)
}

func exitCode(ctx context.Context, err error, stderr io.Writer) int {
	switch {
	case err == nil:
		return 0
	case ctx.Err() != nil:
		fmt.Fprintln(stderr, "\nup: interrupted; `make up` goes on from here, `make down` removes what there is")
		return interrupted
	}
	fmt.Fprintf(stderr, "\nup: %v\n", err)
	return 1
}

// remove removes the cluster. What makes the next one fast stays.
func remove(ctx context.Context, o cluster.Options, _ *step.Log, out io.Writer) error {
	c, err := cluster.Find(ctx, o)
	if err != nil {
		return err
	}
	if err := c.Delete(ctx); err != nil {
		return err
	}
	fmt.Fprintln(out, "\nNothing of it runs any more. Kept for the next time: the node image, and what was built for it.")
	return nil
}
