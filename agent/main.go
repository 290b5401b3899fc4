// Command baton gathers the events of a Kubernetes cluster and delivers every one of them.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"syscall"

	"github.com/eventbaton/baton/agent/config"
)

// version is set when a release is linked.
var version = "dev"

// The exit codes.
const (
	exitOK = iota
	exitFailed
	exitUsage // wrong flags, or a configuration with problems
)

// world is what a command has of its surroundings, so that tests can be one.
type world struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	env            func(string) (string, bool)
}

type command struct {
	name, usage, summary string
	run                  func(ctx context.Context, w world, args []string) error
	flags                func() *flag.FlagSet // for the documentation, nil where there are none
}

func commands() []command {
	return []command{
		{
			"run", "[--config FILE] [--kubeconfig FILE] [--namespace NS] [--listen ADDR]",
			"follow, and lead when elected", runCommand, new(runFlags).set,
		},
		{
			"check", "[--explain] [--probe] [--timeout D] FILE",
			"print every problem of a kubernetes.yaml; say what events would be sent, and ask the sinks' receivers", checkCommand,
			new(checkFlags).set,
		},
		{
			"convert", "[--strict] kee|otel|agent5 FILE",
			"make a kubernetes.yaml of the configuration of a kubernetes-event-exporter, an OpenTelemetry Collector or a Datadog Agent 5",
			convertCommand, new(convertFlags).set,
		},
		{
			"status", "[--config FILE] [--kubeconfig FILE] [--namespace NS] [--name NAME] [-o text|json]",
			"who leads, and how far each sink is", statusCommand, new(statusFlags).set,
		},
		{
			"probe", "[--config FILE] [--kubeconfig FILE] [--namespace NS] [--name NAME] [--event-namespace NS] [--timeout D]",
			"make an event, and wait until every sink has acknowledged it", probeCommand, new(probeFlags).set,
		},
		{
			"cleanup", "[--kubeconfig FILE] [--namespace NS] [--name NAME] [--selector LABELS] [--timeout D]",
			"wait until the agents are gone, and delete the lock and the cursors", cleanupCommand, new(cleanupFlags).set,
		},
		{"version", "", "print the version", versionCommand, nil},
	}
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	// The first signal begins an orderly end; with the handler gone, a second one ends the process at once.
	context.AfterFunc(ctx, stop)
	oneProcessor(os.LookupEnv)
	code := dispatch(ctx, world{stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr, env: os.LookupEnv}, os.Args[1:])
	stop()
	os.Exit(code)
}

// usageError is a mistake in the command line.
type usageError struct{ error }

func dispatch(ctx context.Context, w world, args []string) int {
	if len(args) == 0 {
		usage(w.stderr)
		return exitUsage
	}
	switch args[0] {
	case "help", "-h", "-help", "--help":
		usage(w.stdout)
		return exitOK
	}
	for _, c := range commands() {
		if c.name == args[0] {
			return report(w, c, c.run(ctx, w, args[1:]))
		}
	}
	_, _ = fmt.Fprintf(w.stderr, "baton: there is no command %q\n\n", args[0])
	usage(w.stderr)
	return exitUsage
}

// report prints err and turns it into an exit code.
func report(w world, c command, err error) int {
	var problems config.Problems
	var wrong usageError
	switch {
	case err == nil, errors.Is(err, flag.ErrHelp):
		return exitOK
	case errors.As(err, &problems):
		_, _ = fmt.Fprintln(w.stderr, problems)
		return exitUsage
	case errors.As(err, &wrong):
		_, _ = fmt.Fprintf(w.stderr, "baton %s: %v\nusage: baton %s %s\n", c.name, err, c.name, c.usage)
		return exitUsage
	default:
		_, _ = fmt.Fprintf(w.stderr, "baton %s: %v\n", c.name, err)
		return exitFailed
	}
}

func usage(out io.Writer) {
	_, _ = fmt.Fprintln(out, "baton gathers the events of a Kubernetes cluster and delivers every one of them.")
	_, _ = fmt.Fprintln(out)
	for _, c := range commands() {
		_, _ = fmt.Fprintf(out, "  baton %-8s %s\n", c.name, c.summary)
	}
	_, _ = fmt.Fprintln(out, "\nbaton COMMAND --help tells a command's flags.")
}

// parse reads a command's flags, and demands exactly the named arguments after them.
func parse(w world, f *flag.FlagSet, args []string, positional ...string) error {
	f.SetOutput(io.Discard) // of a mistake, report tells; only help is printed here
	err := f.Parse(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		_, _ = fmt.Fprintf(w.stdout, "usage of baton %s:\n", f.Name())
		f.SetOutput(w.stdout)
		f.PrintDefaults()
		return err
	case err != nil:
		return usageError{err}
	case f.NArg() != len(positional):
		return usageError{fmt.Errorf("after the flags it takes %d arguments %v, and has %q", len(positional), positional, f.Args())}
	}
	return nil
}

func versionCommand(_ context.Context, w world, args []string) error {
	if err := parse(w, flag.NewFlagSet("version", flag.ContinueOnError), args); err != nil {
		return err
	}
	_, err := fmt.Fprintf(w.stdout, "baton %s %s %s/%s\n", version, runtime.Version(), runtime.GOOS, runtime.GOARCH)
	return err
}
