// Command peer is what the agents on a kind cluster have around them, in one image: the receiver that they deliver to, and
// the generator of the events that they gather.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// The exit codes.
const (
	exitOK = iota
	exitFailed
	exitUsage
)

// command is one of the peers. It serves over HTTP until its context ends.
type command struct {
	name, summary string
	// set defines the command's own flags, and returns what runs with them.
	set func(*flag.FlagSet) func(ctx context.Context, mux *http.ServeMux) error
}

func commands() []command {
	return []command{
		{"receiver", "takes records, and remembers them", receiverCommand},
		{"generator", "makes numbered events at a steady rate", generatorCommand},
	}
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	code := dispatch(ctx, os.Stdout, os.Stderr, os.Args[1:])
	stop()
	os.Exit(code)
}

func dispatch(ctx context.Context, stdout, stderr io.Writer, args []string) int {
	if len(args) > 0 {
		for _, c := range commands() {
			if c.name == args[0] {
				return c.main(ctx, stdout, stderr, args[1:])
			}
		}
	}
	_, _ = fmt.Fprintln(stderr, "usage: peer COMMAND [flags]")
	for _, c := range commands() {
		_, _ = fmt.Fprintf(stderr, "  peer %-10s %s\n", c.name, c.summary)
	}
	return exitUsage
}

func (c command) main(ctx context.Context, stdout, stderr io.Writer, args []string) int {
	f := flag.NewFlagSet("peer "+c.name, flag.ContinueOnError)
	f.SetOutput(stderr)
	listen := f.String("listen", ":8080", "the address of the HTTP server")
	run := c.set(f)
	switch err := f.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		return exitOK
	case err != nil:
		return exitUsage
	case f.NArg() > 0:
		_, _ = fmt.Fprintf(stderr, "peer %s: it takes flags alone, and has %q\n", c.name, f.Args())
		return exitUsage
	}
	if err := serve(ctx, *listen, stdout, run); err != nil {
		_, _ = fmt.Fprintf(stderr, "peer %s: %v\n", c.name, err)
		return exitFailed
	}
	return exitOK
}

// closing is how long requests may take once the server is told to end.
const closing = 5 * time.Second

// serve answers over HTTP while run runs, which ends with ctx.
func serve(ctx context.Context, address string, stdout io.Writer, run func(context.Context, *http.ServeMux) error) error {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok\n") })
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	if err != nil {
		return fmt.Errorf("--listen %s: %w", address, err)
	}
	_, _ = fmt.Fprintf(stdout, "listening on %s\n", listener.Addr())
	server := &http.Server{Handler: mux, ReadHeaderTimeout: closing}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	served := make(chan struct{})
	go func() {
		defer close(served)
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			cancel(fmt.Errorf("serving on %s: %w", address, err))
		}
	}()
	failed := run(ctx, mux)
	ending, done := context.WithTimeout(context.WithoutCancel(ctx), closing)
	defer done()
	if server.Shutdown(ending) != nil {
		_ = server.Close() // of the requests that hang
	}
	<-served
	if cause := context.Cause(ctx); failed == nil && cause != nil && !errors.Is(cause, context.Canceled) {
		return cause
	}
	return failed
}
