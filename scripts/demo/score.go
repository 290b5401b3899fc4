package main

import (
	"slices"
	"time"

	"github.com/eventbaton/baton/e2e/generator"
	"github.com/eventbaton/baton/e2e/receiver"
	"github.com/eventbaton/baton/e2e/verdict"
)

// window is the time from one fault to the next one. The first one is the start, in which a blackout says nothing; the
// last one's name is empty: it is the end.
type window struct {
	fault string
	from  time.Time
}

// row is what happened in a window.
type row struct {
	Fault                  string
	Blackout               time.Duration // the longest time without anything new, 0 where it says nothing
	Stored, Lost, Repeated int
}

// score counts what was stored, lost and repeated in each window.
type score struct {
	windows []window
	rows    []row
}

func newScore(windows []window, first []time.Time) *score {
	s := &score{windows: windows}
	for i := range len(windows) - 1 {
		s.rows = append(s.rows, row{Fault: windows[i].fault})
		if i > 0 {
			s.rows[i].Blackout = blackout(first, windows[i].from, windows[i+1].from)
		}
	}
	return s
}

// blackout is the longest time without a first arrival. One in which the next window begins is the next one's.
func blackout(first []time.Time, from, to time.Time) time.Duration {
	end, _ := slices.BinarySearchFunc(first, to, time.Time.Compare)
	return verdict.Gap(first[:end], from, to, false)
}

// at is the row of a moment.
func (s *score) at(t time.Time) *row {
	for i := len(s.rows) - 1; i > 0; i-- {
		if !t.Before(s.windows[i].from) {
			return &s.rows[i]
		}
	}
	return &s.rows[0]
}

// stored counts each version to the window in which it was stored.
func (s *score) stored(events []generator.Event, r *receiver.Receiver) {
	for _, e := range events {
		for _, v := range e.Versions {
			row := s.at(v.At)
			row.Stored++
			uid, err := receiver.ParseUID(e.UID)
			if err != nil || !r.Has(receiver.Version{UID: uid, RV: v.RV}) {
				row.Lost++
			}
		}
	}
}

// repeated counts each repeat to the window in which it came.
func (s *score) repeated(r *receiver.Receiver) {
	known := map[receiver.Version]bool{}
	for _, a := range r.Arrivals() {
		if known[a.Version] {
			s.at(r.Start().Add(a.At)).Repeated++
		}
		known[a.Version] = true
	}
}

func (t *story) judge() outcome {
	s, made, r := t.stage, t.stage.made(), t.stage.feed.receiver
	cursors := s.fleet.Cursors.All()
	wrong := slices.Concat(t.wrong, verdict.Cursors(cursors, nil, false))
	result := verdict.Judge(verdict.Case{
		Made: made, Receiver: r, Cursors: cursors, Stream: "receiver",
	})
	score := newScore(t.windows, result.First)
	score.stored(made, r)
	score.repeated(r)
	return outcome{
		rows: score.rows, stored: result.Made, lost: result.Lost, repeated: result.Repeated,
		wrong: append(result.Wrong, wrong...),
	}
}

// silence is the time without an arrival that the newest epoch has ended, if it began after a moment.
func (f *feed) silence(since time.Time) (time.Duration, bool) {
	arrivals := f.receiver.Arrivals()
	for i := len(arrivals) - 1; i > 0; i-- {
		before, after := arrivals[i-1], arrivals[i]
		if f.receiver.Start().Add(after.At).Before(since) {
			return 0, false
		}
		if before.Epoch < after.Epoch {
			return after.At - before.At, true
		}
	}
	return 0, false
}
