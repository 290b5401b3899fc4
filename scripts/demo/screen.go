package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/term"
)

// screen shows what happens.
type screen interface {
	// act announces the i-th act.
	act(at time.Duration, i int)
	// tell shows something that has just happened.
	tell(told)
	// draw shows the moment. It is called ten times a second.
	draw(scene)
	// end gives the terminal back.
	end()
	paint() paint
}

// open is the terminal that out is, if it is one that can be drawn on and is large enough.
func open(out *os.File, plain bool) screen {
	fd := int(out.Fd())
	measure := func() (int, int) {
		width, height, err := term.GetSize(fd)
		if err != nil {
			return 0, 0
		}
		return width, height
	}
	width, height := measure()
	if plain || !term.IsTerminal(fd) || os.Getenv("TERM") == "dumb" || width < minWidth || height < minHeight {
		return &pipe{out: out}
	}
	return newTerminal(out, measure, os.Getenv("NO_COLOR") == "")
}

// pipe is a line for each thing that happens, for logs.
type pipe struct{ out io.Writer }

func (p *pipe) tell(t told) {
	fmt.Fprintf(p.out, "%6.2f s       %s\n", t.At.Seconds(), t.Text)
}

func (p *pipe) act(at time.Duration, i int) {
	fmt.Fprintf(p.out, "%6.2f s  %d/%d  %s\n", at.Seconds(), i+1, len(acts), acts[i].Title)
	for _, l := range wrap(acts[i].Why, 90) {
		fmt.Fprintf(p.out, "               %s\n", l)
	}
}

func (p *pipe) draw(scene)   {}
func (p *pipe) end()         {}
func (p *pipe) paint() paint { return false }

const (
	hideCursor = "\x1b[?25l"
	showCursor = "\x1b[?25h"
	// Between these a terminal that knows them shows nothing half drawn; others ignore them.
	beginFrame = "\x1b[?2026h"
	endFrame   = "\x1b[?2026l"
	eraseRight = "\x1b[K"
	eraseBelow = "\x1b[J"
)

// terminal draws each picture over the one before, in one write, and line by line, so that nothing flickers.
type terminal struct {
	out           io.Writer
	measure       func() (width, height int)
	shade         paint
	drawn         int // lines of the last picture
	width, height int // of the last picture's terminal
}

func newTerminal(out io.Writer, measure func() (int, int), shade bool) *terminal {
	return &terminal{out: out, measure: measure, shade: paint(shade)}
}

// What is told and announced, the next picture has.
func (t *terminal) tell(told)              {}
func (t *terminal) act(time.Duration, int) {}

func (t *terminal) paint() paint { return t.shade }

func (t *terminal) draw(s scene) {
	width, height := t.measure()
	if width == 0 {
		width, height = 80, 24
	}
	lines := view(s, width, height)
	if !s.Over {
		lines = lines[:min(len(lines), height-1)]
	}
	var b bytes.Buffer
	b.WriteString(beginFrame + hideCursor)
	if t.drawn > 0 && (t.width != width || t.height != height) {
		// The terminal may have broken the old lines anew: nobody knows where they are.
		b.WriteString("\x1b[H" + eraseBelow)
		t.drawn = 0
	}
	if t.drawn > 0 {
		fmt.Fprintf(&b, "\x1b[%dA", t.drawn)
	}
	for _, l := range lines {
		b.WriteString("\r" + strings.TrimRight(l.text(width-1, t.shade), " ") + eraseRight + "\n")
	}
	b.WriteString(eraseBelow + endFrame)
	t.drawn, t.width, t.height = len(lines), width, height
	_, _ = t.out.Write(b.Bytes()) // a terminal that has gone sends SIGHUP
}

func (t *terminal) end() { _, _ = io.WriteString(t.out, showCursor) }

// frame is the time between two pictures.
const frame = 100 * time.Millisecond
