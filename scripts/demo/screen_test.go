package main

import (
	"bytes"
	"strings"
	"testing"
	"time"
)

func TestPipe(t *testing.T) {
	var b bytes.Buffer
	p := &pipe{out: &b}
	p.act(1500*time.Millisecond, 1)
	p.tell(told{11300 * time.Millisecond, "baton-2 leads"})
	p.draw(afterKill())
	p.end()
	lines := strings.Split(b.String(), "\n")
	if lines[0] != "  1.50 s  2/5  All is calm" || lines[len(lines)-2] != " 11.30 s       baton-2 leads" {
		t.Errorf("%q", lines)
	}
	if strings.Contains(b.String(), "\x1b") {
		t.Error("a log has no escape sequences")
	}
}

func TestTerminal(t *testing.T) {
	var b bytes.Buffer
	width, height := 80, 24
	s := newTerminal(&b, func() (int, int) { return width, height }, true)
	next := func() string {
		b.Reset()
		s.draw(afterKill())
		return b.String()
	}
	first := next()
	if strings.Contains(first, "A\r") || !strings.HasPrefix(first, beginFrame) || !strings.HasSuffix(first, endFrame) {
		t.Errorf("%q", first)
	}
	if n := strings.Count(first, "\n"); n != s.drawn || n >= height {
		t.Errorf("%d lines, %d drawn", n, s.drawn)
	}
	if again := next(); !strings.Contains(again, "\x1b[23A") || strings.Contains(again, "\x1b[H") {
		t.Errorf("the second picture is not drawn over the first: %q", again[:40])
	}
	width = 100
	if wider := next(); !strings.Contains(wider, "\x1b[H") {
		t.Error("a picture in a new size is drawn into the old one")
	}
	width, height = 70, 10
	if n := strings.Count(next(), "\n"); n >= height {
		t.Errorf("%d lines in a terminal of %d", n, height)
	}
	b.Reset()
	if s.end(); b.String() != showCursor {
		t.Errorf("%q", b.String())
	}
}

func TestTerminalWithoutColour(t *testing.T) {
	var b bytes.Buffer
	s := newTerminal(&b, func() (int, int) { return 0, 0 }, false)
	s.draw(afterKill())
	for _, l := range []look{bold, dim, good, bad, agentLooks[0]} {
		if strings.Contains(b.String(), "\x1b["+string(l)+"m") {
			t.Errorf("the look %q though none is wanted", l)
		}
	}
	if !strings.Contains(b.String(), "baton-2") {
		t.Error("a terminal of unknown size shows nothing")
	}
}
