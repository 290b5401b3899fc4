package main

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/eventbaton/baton/agent/record"
)

var update = flag.Bool("update", false, "write the golden files anew")

func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s differs (-update writes it anew); got:\n%s", file, got)
	}
}

func picture(lines []line, width int) string {
	var b strings.Builder
	for _, l := range lines {
		b.WriteString(strings.TrimRight(l.text(width, false), " ") + "\n")
	}
	return b.String()
}

func arrival(agent, typ, object, reason, message string, count int64) delivery {
	return delivery{Agent: agent, Record: record.Record{
		Type: typ, Reason: reason, Message: message, Count: count, Object: record.Object{Kind: "Pod", Name: object},
	}}
}

func afterKill() scene {
	s := scene{
		Elapsed: 13400 * time.Millisecond, Act: 2, Stored: 412, Arrived: 409, Repeated: 7,
		Agents: []actor{{"baton-0", "follower", 0, 0}, {"baton-1", "killed", 0, 371}, {"baton-2", "leader", 2, 45}},
		Told: []told{
			{4100 * time.Millisecond, "etcd and kube-apiserver are up"},
			{5200 * time.Millisecond, "baton-1 leads, epoch 1"},
			{11 * time.Second, "baton-1, who leads, gets SIGKILL"},
			{11300 * time.Millisecond, "the kubelet reports the end of baton-1"},
			{11600 * time.Millisecond, "baton-2 leads, epoch 2"},
		},
		Recent: []delivery{
			arrival("baton-1", "Normal", "web-9e37", "Pulled", `Container image "web:1.4" already present on machine`, 1),
			arrival("baton-2", "Warning", "payment-with-a-long-name", "BackOff", "Back-off restarting\nfailed \x1b[31mcontainer", 3),
		},
	}
	for range 30 {
		s.Beats = append(s.Beats, beat{12, "baton-1"})
	}
	s.Beats = append(s.Beats, beat{}, beat{}, beat{40, "baton-2"}, beat{13, "baton-2"}, beat{2, "baton-2"})
	return s
}

func TestView(t *testing.T) {
	over := afterKill()
	over.Act, over.Over = len(acts)-1, true
	for name, c := range map[string]struct {
		scene         scene
		width, height int
	}{
		"empty.txt":  {scene{}, 80, 24},
		"small.txt":  {afterKill(), 80, 24},
		"large.txt":  {afterKill(), 200, 60},
		"over.txt":   {over, 80, 24},
		"narrow.txt": {afterKill(), minWidth, minHeight},
	} {
		t.Run(name, func(t *testing.T) { golden(t, name, picture(view(c.scene, c.width, c.height), c.width)) })
	}
}

func TestViewFits(t *testing.T) {
	for act := range acts {
		for height := minHeight; height < 50; height++ {
			s := afterKill()
			s.Act = act
			busy, calm := view(s, minWidth, height), view(scene{Act: act}, minWidth, height)
			if len(busy) >= height || len(busy) != len(calm) {
				t.Errorf("act %d, height %d: %d lines and %d", act, height, len(busy), len(calm))
			}
		}
		if n := len(wrap(acts[act].Why, 80-2*margin-5)); n > 3 {
			t.Errorf("act %d explains itself in %d lines of a usual terminal", act, n)
		}
	}
}

func TestAgentLooks(t *testing.T) {
	if size > len(agentLooks) {
		t.Error("more agents than looks")
	}
}

func TestLine(t *testing.T) {
	l := line{{"  ", plain}, {"ärgerlich", bad}, {"!", plain}}
	for _, c := range []struct {
		width int
		paint paint
		want  string
	}{
		{0, false, "  ärgerlich!"},
		{4, false, "  är"},
		{0, true, "  \x1b[1;31märgerlich\x1b[0m!"},
		{2, true, "  "},
	} {
		if got := l.text(c.width, c.paint); got != c.want {
			t.Errorf("%d, %v: %q", c.width, c.paint, got)
		}
	}
}

func TestWrap(t *testing.T) {
	for _, l := range wrap("one two three fourfourfour five", 9) {
		if utf8.RuneCountInString(l) > 9 && l != "fourfourfour" {
			t.Errorf("%q", l)
		}
	}
	if got := strings.Join(wrap("one two three fourfourfour five", 9), "|"); got != "one two|three|fourfourfour|five" {
		t.Error(got)
	}
}

func TestBar(t *testing.T) {
	if bar(0) != ' ' || bar(1) != '▁' || bar(1000) != '█' {
		t.Errorf("%c %c %c", bar(0), bar(1), bar(1000))
	}
}
