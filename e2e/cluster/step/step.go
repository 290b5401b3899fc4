// Package step tells of a longer job as kind does: a line a step, with a mark and the seconds that it took.
package step

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/term"
)

// Log prints steps. As a Writer it takes the lines of the programs that a step runs, and indents them.
type Log struct {
	w io.Writer
	// terminal overwrites the line of a step that has begun with that of its end, as long as nothing came in between.
	terminal bool
	now      func() time.Time

	mu      sync.Mutex
	open    int    // how wide the unfinished line is that the cursor stands on, 0 for none
	partial []byte // a line that has not ended yet
}

// To prints to w, nowhere if nil. A Log is returned as it is.
func To(w io.Writer) *Log {
	switch w := w.(type) {
	case nil:
		return &Log{w: io.Discard, now: time.Now}
	case *Log:
		return w
	case *os.File:
		return &Log{w: w, terminal: term.IsTerminal(int(w.Fd())), now: time.Now}
	}
	return &Log{w: w, now: time.Now}
}

// Do runs one step. What it returns is added to the line of its end.
func (l *Log) Do(what string, do func() (string, error)) error {
	begin := l.now()
	l.begin(what)
	note, err := do()
	if note != "" {
		note = ": " + note
	}
	mark := "✓"
	if err != nil {
		mark = "✗"
	}
	l.end(fmt.Sprintf(" %s %s%s  %s", mark, what, note, seconds(l.now().Sub(begin))))
	return err
}

// seconds has one decimal where it matters.
func seconds(d time.Duration) string {
	if d < 10*time.Second {
		return fmt.Sprintf("%.1f s", d.Seconds())
	}
	return fmt.Sprintf("%.0f s", d.Seconds())
}

func (l *Log) begin(what string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.close()
	line := fmt.Sprintf(" • %s ...", what)
	fmt.Fprint(l.w, line)
	if l.terminal {
		l.open = len([]rune(line))
		return
	}
	fmt.Fprintln(l.w)
}

func (l *Log) end(line string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.flush()
	if l.open > 0 {
		pad := max(0, l.open-len([]rune(line)))
		fmt.Fprintf(l.w, "\r%s%s\n", line, strings.Repeat(" ", pad))
		l.open = 0
		return
	}
	fmt.Fprintln(l.w, line)
}

// close ends a line that a step has left unfinished.
func (l *Log) close() {
	if l.open > 0 {
		fmt.Fprintln(l.w)
		l.open = 0
	}
}

func (l *Log) flush() {
	if len(l.partial) > 0 {
		l.line(string(l.partial))
		l.partial = nil
	}
}

func (l *Log) line(text string) {
	text = strings.TrimRight(text, " \r")
	if text == "" {
		return
	}
	l.close()
	fmt.Fprintf(l.w, "   %s\n", strings.TrimLeft(text, " "))
}

// Write takes lines, whole or in pieces.
func (l *Log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.partial = append(l.partial, p...)
	for {
		line, rest, found := bytes.Cut(l.partial, []byte("\n"))
		if !found {
			return len(p), nil
		}
		l.line(string(line))
		l.partial = rest
	}
}
