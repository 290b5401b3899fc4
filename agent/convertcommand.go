package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/eventbaton/baton/agent/convert"
)

// maxConvert bounds what is read. A ConfigMap can't be larger.
const maxConvert = 1 << 20

type convertFlags struct{ strict bool }

func (c *convertFlags) set() *flag.FlagSet {
	f := flag.NewFlagSet("convert", flag.ContinueOnError)
	f.BoolVar(&c.strict, "strict", false, "exit with 1 where something has no equal")
	return f
}

// convertCommand prints the kubernetes.yaml of another program's configuration, and on stderr what has no equal.
func convertCommand(_ context.Context, w world, args []string) error {
	var flags convertFlags
	f := flags.set()
	if err := parse(w, f, args, "LAYOUT", "FILE"); err != nil {
		return err
	}
	layout, file := f.Arg(0), f.Arg(1)
	if !convert.Known(layout) {
		return usageError{fmt.Errorf("%q is no layout; write kee, for the kubernetes-event-exporter, otel, for an "+
			"OpenTelemetry Collector, or agent5, for the Datadog Agent 5", layout)}
	}
	file, data, err := readInput(w, file)
	if err != nil {
		return err
	}
	result, err := convert.Convert(layout, file, data)
	if err != nil {
		return errors.New(err.Error()) // not Problems: those are of a kubernetes.yaml, and exit with 2
	}
	for _, finding := range result.Findings {
		_, _ = fmt.Fprintln(w.stderr, finding)
	}
	if _, err := w.stdout.Write(result.YAML); err != nil {
		return err
	}
	if flags.strict && result.Lacks() {
		return fmt.Errorf("%s: not everything in it has an equal, see above; without --strict that is no error", file)
	}
	return nil
}

// readInput reads the file, or stdin for -, and gives the name to call it by.
func readInput(w world, file string) (name string, data []byte, err error) {
	in, name := w.stdin, "stdin"
	if file != "-" {
		f, err := os.Open(file) //nolint:gosec // which file it is, is for the one who starts the program to say
		if e, ok := errors.AsType[*fs.PathError](err); ok {
			return file, nil, fmt.Errorf("%s can't be opened: %w; name the configuration's file, or - for stdin", file, e.Err)
		}
		defer func() { _ = f.Close() }()
		in, name = f, file
	}
	data, err = io.ReadAll(io.LimitReader(in, maxConvert+1))
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		err = e.Err
	}
	if err != nil {
		return name, nil, fmt.Errorf("%s can't be read: %w; name the configuration's file, or - for stdin", name, err)
	}
	return name, data, nil
}
