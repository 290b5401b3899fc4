// Command demo shows Baton at work on a real API server: three agents, a steady stream of events, a leader that is
// killed and one that is stopped; then it counts what was lost, what was repeated, and for how long nothing arrived.
//
//	make demo
//
// In a terminal it is one screen that is drawn anew; elsewhere, or with -plain, a line for each change. It needs no
// rights and leaves nothing behind. The exit code is 1 where anything was lost or went wrong, 130 after Ctrl-C.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"k8s.io/klog/v2"
)

const interrupted = 130

func main() {
	plain := flag.Bool("plain", false, "a line for each change, also in a terminal")
	flag.Parse()
	quiet()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	// Who asks a second time is not kept waiting: the sweepers see to what is left then.
	context.AfterFunc(ctx, stop)
	ctx, orphaned := context.WithCancel(ctx)
	go leaveWithParent(ctx, orphaned)
	code := exitCode(ctx, run(ctx, os.Stdout, *plain), os.Stderr)
	stop()
	os.Exit(code)
}

// quiet keeps what client-go would log off the screen: a request that fails is repeated, or is an error here.
func quiet() {
	klog.LogToStderr(false)
	klog.SetOutput(io.Discard)
}

// leaveWithParent ends the demo when its parent has ended: `go run` hands only Ctrl-C on, and a killed one would leave
// the demo running for nobody.
func leaveWithParent(ctx context.Context, end context.CancelFunc) {
	parent := os.Getppid()
	tick := time.NewTicker(500 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if os.Getppid() != parent {
				end()
			}
		}
	}
}

func exitCode(ctx context.Context, err error, stderr io.Writer) int {
	switch {
	case ctx.Err() != nil:
		fmt.Fprintln(stderr, "\ndemo: interrupted; everything it had started is stopped and removed")
		return interrupted
	case errors.Is(err, errVerdict): // the table has said why
		return 1
	case err != nil:
		fmt.Fprintln(stderr, "\ndemo:", explain(err))
		return 1
	}
	return 0
}

// run raises the curtain, plays, and clears the stage whatever happens.
func run(ctx context.Context, out *os.File, plain bool) (err error) {
	s := &stage{}
	defer func() { err = errors.Join(err, s.clear()) }()
	if err := s.prepare(ctx); err != nil {
		return err
	}
	show := newShow(s, open(out, plain))
	outcome, err := play(ctx, s, show)
	show.end(err == nil)
	if err != nil {
		return s.withLogs(ctx, err)
	}
	fmt.Fprint(out, outcome.text(show.screen.paint()))
	return outcome.err()
}
