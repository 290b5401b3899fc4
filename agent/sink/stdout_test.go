package sink

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/eventbaton/baton/agent/record"
)

func openStdout(t *testing.T, w io.Writer) Sink {
	t.Helper()
	s, err := Types["stdout"]().Open(Environment{Stdout: w})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func closed(t testing.TB, s Sink) {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

// idsOf reads what was written, and fails where any line is not a whole record.
func idsOf(t *testing.T, lines []byte) []string {
	t.Helper()
	var ids []string
	for line := range bytes.Lines(lines) {
		var r record.Record
		if err := json.Unmarshal(line, &r); err != nil || r.ID == "" {
			t.Fatalf("torn line %q: %v", line, err)
		}
		ids = append(ids, r.ID)
	}
	return ids
}

func ids(batches ...[]*record.Record) []string {
	var all []string
	for _, batch := range batches {
		for _, r := range batch {
			all = append(all, r.ID)
		}
	}
	return all
}

func same(t *testing.T, what string, got, want []string) {
	t.Helper()
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("%s: got %q\nwant %q", what, got, want)
	}
}

// writerFunc is a stdout that does as the test says.
type writerFunc func(p []byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

func TestStdoutWritesABatchAtOnce(t *testing.T) {
	var out bytes.Buffer
	writes := 0
	s := openStdout(t, writerFunc(func(p []byte) (int, error) { writes++; return out.Write(p) }))
	batch := records(50)
	if err := s.Send(t.Context(), batch); err != nil {
		t.Fatal(err)
	}
	closed(t, s)
	if writes != 1 {
		t.Errorf("%d writes for one batch, want 1", writes)
	}
	same(t, "lines", idsOf(t, out.Bytes()), ids(batch))
}

func TestStdoutConcurrentSendsDontInterleave(t *testing.T) {
	var out bytes.Buffer
	// A writer that takes little at a time gives interleaving every chance.
	s := openStdout(t, writerFunc(func(p []byte) (int, error) { return out.Write(p[:min(len(p), 100)]) }))
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if err := s.Send(t.Context(), records(20)); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	closed(t, s)
	if got := len(idsOf(t, out.Bytes())); got != 8*20 {
		t.Errorf("%d lines, want %d", got, 8*20)
	}
}

// However a write fails, and however much of it arrived, the batch is to be tried again and no line is torn.
func TestStdoutFailedWrites(t *testing.T) {
	batch := records(3)
	line := len(batch[0].AppendJSON(nil)) + 1
	for _, c := range []struct {
		name string
		took int // bytes that the failing write takes
		err  error
		want error
	}{
		{"disk full at once", 0, syscall.ENOSPC, syscall.ENOSPC},
		{"disk full in a line", line / 2, syscall.ENOSPC, syscall.ENOSPC},
		{"disk full after a line", line, syscall.ENOSPC, syscall.ENOSPC},
		{"disk full before a line's end", line - 1, syscall.ENOSPC, syscall.ENOSPC},
		{"nobody reads", line + 7, syscall.EPIPE, syscall.EPIPE},
		{"takes nothing and says nothing", 0, nil, io.ErrShortWrite},
		{"claims less than nothing", -5, nil, io.ErrShortWrite},
	} {
		t.Run(c.name, func(t *testing.T) {
			var out bytes.Buffer
			failing := true
			s := openStdout(t, writerFunc(func(p []byte) (int, error) {
				if !failing {
					return out.Write(p)
				}
				out.Write(p[:max(c.took, 0)])
				return c.took, c.err
			}))
			err := s.Send(t.Context(), batch)
			if !errors.Is(err, c.want) {
				t.Errorf("error %v, want %v", err, c.want)
			}
			if _, refused := errors.AsType[*Refused](err); refused {
				t.Error("refused: the records would be given up")
			}
			failing = false
			if err := s.Send(t.Context(), batch); err != nil {
				t.Error(err)
			}
			closed(t, s)
			got := idsOf(t, out.Bytes())
			same(t, "the batch that was tried again", got[len(got)-3:], ids(batch))
		})
	}
}

// The rest of a torn line may itself fail to be written, several times over.
func TestStdoutTornLineSurvivesSeveralFailures(t *testing.T) {
	var out bytes.Buffer
	room := 10
	s := openStdout(t, writerFunc(func(p []byte) (int, error) {
		n := min(room, len(p))
		room -= n
		out.Write(p[:n])
		if n < len(p) {
			return n, syscall.ENOSPC
		}
		return n, nil
	}))
	batch := records(2)
	for _, more := range []int{0, 0, 10, 300, 700} {
		if err := s.Send(t.Context(), batch); !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("error %v, want ENOSPC", err)
		}
		room = more
	}
	room = 1 << 20
	if err := s.Send(t.Context(), batch); err != nil {
		t.Error(err)
	}
	closed(t, s)
	got := idsOf(t, out.Bytes())
	same(t, "the last batch", got[len(got)-2:], ids(batch))
}

func TestStdoutBlocked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		open := make(chan struct{})
		s := openStdout(t, writerFunc(func(p []byte) (int, error) { <-open; return out.Write(p) }))
		first, second := records(2), records(5)[2:]
		for _, batch := range [][]*record.Record{first, second} {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			if err := s.Send(ctx, batch); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("error %v, want the context's", err)
			}
			cancel()
		}
		close(open)
		if err := s.Send(t.Context(), second); err != nil {
			t.Error(err)
		}
		closed(t, s)
		same(t, "lines: the abandoned batch finished, then the next", idsOf(t, out.Bytes()), ids(first, second))
	})
}

func TestStdoutCloseDoesNotWaitForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		open := make(chan struct{})
		s := openStdout(t, writerFunc(func(p []byte) (int, error) { <-open; return len(p), nil }))
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := s.Send(ctx, records(1)); err == nil {
			t.Error("no error from a blocked stdout")
		}
		if err := s.Close(); err == nil {
			t.Error("no error from closing a blocked stdout")
		}
		close(open)
	})
}

// Without the sink's care the second write to a pipe that nobody reads would end the process by SIGPIPE.
func TestStdoutBrokenPipeLeavesTheProcessAlive(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	r.Close()
	var stderr bytes.Buffer
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), "BATON_TEST_BROKEN_STDOUT=1")
	cmd.Stdout, cmd.Stderr = w, &stderr
	err = cmd.Run()
	w.Close()
	if err != nil || !strings.Contains(stderr.String(), "alive: writing to stdout: write /dev/stdout: broken pipe") {
		t.Errorf("%v, stderr %q", err, stderr.String())
	}
}

func writeToBrokenStdout() {
	s, err := (&StdoutOptions{}).Open(Environment{})
	if err == nil {
		err = s.Send(context.Background(), records(1))
	}
	os.Stderr.WriteString("alive: " + err.Error())
	os.Exit(0)
}
