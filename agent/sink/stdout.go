package sink

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/eventbaton/baton/agent/record"
)

// stdoutCloseWait is how long Close waits for a write that is under way.
const stdoutCloseWait = time.Second

// StdoutOptions are those of the type stdout. It has none of its own.
type StdoutOptions struct{}

func (*StdoutOptions) Check() []Problem { return nil }

// Open makes the process survive a stdout that nobody reads any more: Go ends a process that writes to a broken pipe
// there, unless SIGPIPE is ignored, and with it the other sinks.
func (*StdoutOptions) Open(env Environment) (Sink, error) {
	env = env.withDefaults()
	if _, ok := env.Stdout.(*os.File); ok {
		signal.Ignore(syscall.SIGPIPE)
	}
	return newStdout(env.Stdout), nil
}

func newStdout(w io.Writer) *lineSink { return newLineSink("stdout", w) }

// lineSink writes each batch with one Write, one JSON line a record. A goroutine of its own does the writing, because a
// write to a pipe that is not read takes for ever and can't be called off. Where Send gives up on one, the goroutine
// still finishes it before it takes the next, so lines never interleave. The batch is then written again: its lines
// appear twice, with the same ids.
type lineSink struct {
	name   string // of what is written to, for the errors
	w      io.Writer
	writes chan lineWrite
	ended  chan struct{}
}

type lineWrite struct {
	lines []byte
	done  chan error // has room for one, so that the writer never waits for a Send that gave up
}

func newLineSink(name string, w io.Writer) *lineSink {
	s := &lineSink{name: name, w: w, writes: make(chan lineWrite), ended: make(chan struct{})}
	go func() {
		defer close(s.ended)
		lw := lineWriter{name: name, w: w}
		for write := range s.writes {
			write.done <- lw.write(write.lines)
		}
	}()
	return s
}

func (s *lineSink) Limits() Limits { return Limits{Records: 500, Bytes: 1 << 20} }

func (s *lineSink) Send(ctx context.Context, batch []*record.Record) error {
	write := lineWrite{lines: appendLines(make([]byte, 0, sizeOf(batch)), batch), done: make(chan error, 1)}
	select {
	case s.writes <- write:
	case <-ctx.Done():
		return fmt.Errorf("%s is blocked by an earlier write: %w", s.name, context.Cause(ctx))
	}
	select {
	case err := <-write.done:
		return err
	case <-ctx.Done():
		return fmt.Errorf("%s is blocked: %w", s.name, context.Cause(ctx))
	}
}

// Probe writes nothing, which fails all the same where what is written to is closed or only for reading.
func (s *lineSink) Probe(context.Context) error {
	if _, err := s.w.Write(nil); err != nil {
		return fmt.Errorf("writing to %s: %w", s.name, err)
	}
	return nil
}

// Close waits a moment for a write that a Send gave up on. One that is still blocked then is left to end with the
// process.
func (s *lineSink) Close() error {
	close(s.writes)
	wait := time.NewTimer(stdoutCloseWait)
	defer wait.Stop()
	select {
	case <-s.ended:
		return nil
	case <-wait.C:
		return fmt.Errorf("%s is blocked: its last lines may be missing", s.name)
	}
}

// sizeOf is about the length of the batch's JSON.
func sizeOf(batch []*record.Record) int {
	n := 0
	for _, r := range batch {
		n += r.Size()
	}
	return n
}

func appendLines(dst []byte, batch []*record.Record) []byte {
	for _, r := range batch {
		dst = append(r.AppendJSON(dst), '\n')
	}
	return dst
}

// lineWriter writes whole lines. Where a write fails in the midst of a line (a full disk), it keeps the rest of that
// line and puts it before what comes next.
type lineWriter struct {
	name string
	w    io.Writer
	rest []byte
}

func (l *lineWriter) write(lines []byte) error {
	torn := len(l.rest) > 0
	if torn {
		lines = append(l.rest, lines...)
	}
	n, err := writeFull(l.w, lines)
	if n > 0 {
		torn = lines[n-1] != '\n'
	}
	l.rest = nil
	if torn {
		l.rest = bytes.Clone(lines[n : n+bytes.IndexByte(lines[n:], '\n')+1])
	}
	if err != nil {
		return fmt.Errorf("writing to %s: %w", l.name, err)
	}
	return nil
}

// writeFull goes on after a short write for as long as there is progress, whether or not the writer said why.
func writeFull(w io.Writer, p []byte) (int, error) {
	done := 0
	for done < len(p) {
		n, err := w.Write(p[done:])
		n = min(max(n, 0), len(p)-done)
		done += n
		if err == nil && n == 0 {
			err = io.ErrShortWrite
		}
		if err != nil && done < len(p) {
			return done, err
		}
	}
	return done, nil
}
