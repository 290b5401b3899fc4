package main

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// scene is all there is to see at one moment.
type scene struct {
	Elapsed         time.Duration
	Act             int
	Agents          []actor
	Stored, Arrived int
	Repeated        int
	Beats           []beat
	Recent          []delivery // newest last
	Told            []told
	Over            bool // the last picture, which stays
}

// actor is an agent as it is shown.
type actor struct {
	Name, State string
	Epoch       int64 // of the leader
	Delivered   int
}

// told is something that has happened.
type told struct {
	At   time.Duration
	Text string
}

const (
	margin    = 2
	minWidth  = 72
	maxWidth  = 110
	minHeight = 20
	// fixed is how many lines a picture has besides what has happened and what has arrived.
	fixed     = 18
	mostTold  = 7
	mostEvent = 6
)

// view is a picture of a scene in lines of at most width columns, in less than height lines. Its height does not
// depend on what happens, so that nothing on it jumps.
func view(s scene, width, height int) []line {
	width = min(width, maxWidth)
	lines := []line{{}, header(s, width), {}}
	if s.Over {
		return slices.Concat(lines, agents(s), []line{{}}, pulse(s, width), []line{{}}, soFar(s, len(s.Told)))
	}
	room := height - fixed
	events := min(max(room/2, 1), mostEvent)
	past := min(max(room-events, 1), mostTold)
	return slices.Concat(lines, banner(s, width), []line{{}}, agents(s), []line{{}}, pulse(s, width), []line{{}},
		soFar(s, past), []line{{}}, arrivals(s, events, width))
}

func header(s scene, width int) line {
	clock := fmt.Sprintf("%d:%02d", int(s.Elapsed.Minutes()), int(s.Elapsed.Seconds())%60)
	title, rest := "Baton", fmt.Sprintf("  three agents, one API server, %d events a second", rate)
	space := max(1, width-2*margin-len(title)-len(rest)-len(clock))
	return line{{"  ", plain}, {title, bold}, {rest, dim}, {strings.Repeat(" ", space), plain}, {clock, dim}}
}

// banner is the act, and why it matters: always in three lines of explanation, so that nothing below it jumps.
func banner(s scene, width int) []line {
	a := acts[s.Act]
	lines := []line{{{fmt.Sprintf("  %d/%d  ", s.Act+1, len(acts)), dim}, {a.Title, bold}}}
	why := wrap(a.Why, width-2*margin-5)
	for i := range 3 {
		text := ""
		if i < len(why) {
			text = "       " + why[i]
		}
		lines = append(lines, line{{text, plain}})
	}
	return lines
}

func agents(s scene) []line {
	lines := []line{{{"  agent      state       epoch   delivered", dim}}}
	for i := range size {
		a := actor{Name: fmt.Sprintf("baton-%d", i), State: "not started"}
		if i < len(s.Agents) {
			a = s.Agents[i]
		}
		epoch := "-"
		if a.Epoch > 0 {
			epoch = fmt.Sprint(a.Epoch)
		}
		lines = append(lines, line{
			{"  " + fit(a.Name, 11), agentLooks[i]}, {fit(a.State, 12), stateLook(a.State)},
			{fmt.Sprintf("%5s %11d", epoch, a.Delivered), plain},
		})
	}
	return lines
}

func stateLook(state string) look {
	switch state {
	case "leader":
		return "1;32"
	case "killed", "stopping":
		return bad
	case "follower":
		return plain
	}
	return dim
}

// bars are an eighth of a line high to all of it.
var bars = []rune("▁▂▃▄▅▆▇█")

// pulse is what arrives over time, in the look of who delivers it: a blackout is a hole in it.
func pulse(s scene, width int) []line {
	l := line{{"  arrivals   ", dim}}
	room := width - 2*margin - 11
	for _, b := range s.Beats[max(0, len(s.Beats)-room):] {
		l = append(l, span{string(bar(b.N)), agentLook(s.Agents, b.Agent)})
	}
	counts := fmt.Sprintf("             %d stored, %d arrived, %d repeated", s.Stored, s.Arrived, s.Repeated)
	return []line{l, {{fit(counts, 52), plain}, {"  (a bar is a quarter second)", dim}}}
}

// bar is half a line high at the usual rate.
func bar(n int) rune {
	if n == 0 {
		return ' '
	}
	usual := rate * beatLength.Seconds()
	return bars[min(len(bars)-1, int(float64(n)/usual*4))]
}

func agentLook(agents []actor, name string) look {
	for i, a := range agents {
		if a.Name == name && i < len(agentLooks) {
			return agentLooks[i]
		}
	}
	return plain
}

// soFar is what has happened, the last n of it.
func soFar(s scene, n int) []line {
	var lines []line
	title := "so far"
	recent := s.Told[max(0, len(s.Told)-n):]
	for i := range n {
		text := line{{"  " + fit(title, 11), dim}}
		title = ""
		if i < len(recent) {
			text = append(text, span{fmt.Sprintf("%5.1f  ", recent[i].At.Seconds()), dim}, span{recent[i].Text, plain})
		}
		lines = append(lines, text)
	}
	return lines
}

// arrivals are the last n events.
func arrivals(s scene, n, width int) []line {
	var lines []line
	title := "arriving"
	recent := s.Recent[max(0, len(s.Recent)-n):]
	for i := range n {
		l := line{{"  " + fit(title, 11), dim}}
		title = ""
		if i < len(recent) {
			l = append(l, event(recent[i], s.Agents, width)...)
		}
		lines = append(lines, l)
	}
	return lines
}

func event(d delivery, agents []actor, width int) line {
	object := clean(d.Object.Kind + "/" + d.Object.Name)
	message := clean(d.Message)
	if d.Count > 1 {
		message = fmt.Sprintf("(x%d) %s", d.Count, message)
	}
	kind := plain
	if d.Type == "Warning" {
		kind = warm
	}
	room := max(0, width-margin-11-margin-1-18-18-2)
	return line{
		{"▍", agentLook(agents, d.Agent)}, {fit(object, 18) + " ", dim}, {fit(clean(d.Reason), 17) + " ", kind},
		{cut(message, room), plain},
	}
}
