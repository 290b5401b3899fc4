package main

import (
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/eventbaton/baton/e2e/fleet"
	"github.com/eventbaton/baton/e2e/history"
)

// show tells the story to a screen while it is played.
type show struct {
	stage  *stage
	screen screen
	start  time.Time
	quit   chan struct{}
	wg     sync.WaitGroup

	mu    sync.Mutex
	part  int
	told  []told
	marks map[string]string // what the story knows of an agent's state, by pod
}

func newShow(s *stage, to screen) *show {
	w := &show{stage: s, screen: to, start: time.Now(), quit: make(chan struct{}), marks: map[string]string{}}
	w.wg.Go(w.loop)
	return w
}

func (w *show) loop() {
	tick := time.NewTicker(frame)
	defer tick.Stop()
	for {
		w.screen.draw(w.scene())
		select {
		case <-tick.C:
		case <-w.quit:
			return
		}
	}
}

// end shows the last picture and gives the terminal back.
func (w *show) end(well bool) {
	close(w.quit)
	w.wg.Wait()
	s := w.scene()
	s.Over = well
	w.screen.draw(s)
	w.screen.end()
}

// act begins the i-th act.
func (w *show) act(i int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.part = i
	w.screen.act(time.Since(w.start), i)
}

// tell says what has just happened.
func (w *show) tell(format string, args ...any) {
	t := told{time.Since(w.start), fmt.Sprintf(format, args...)}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.told = append(w.told, t)
	w.screen.tell(t)
}

// mark says what an agent's state is, until it is marked with "".
func (w *show) mark(agent, state string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.marks[agent] = state
}

// scene is what there is to see now.
func (w *show) scene() scene {
	w.mu.Lock()
	s := scene{Elapsed: time.Since(w.start), Act: w.part, Told: slices.Clone(w.told)}
	marks := maps.Clone(w.marks)
	w.mu.Unlock()
	agents := w.stage.agents()
	if agents == nil {
		return s
	}
	t := w.stage.feed.now()
	s.Stored, s.Arrived, s.Repeated = w.stage.stored(), t.Events, t.Repeated
	s.Beats, s.Recent = t.Beats, t.Recent
	lock, cursors := agents.Lock.Now(), agents.Cursors.Now()
	for _, a := range agents.Agents() {
		actor := actor{Name: a.Name, State: marks[a.Name], Delivered: t.ByAgent[a.Name]}
		if actor.State == "" {
			actor.State, actor.Epoch = state(a, lock, cursors)
		}
		s.Agents = append(s.Agents, actor)
	}
	return s
}

// state is what a running agent is, and the leader's epoch. Who holds the lock leads once it has claimed the cursors.
func state(a *fleet.Agent, lock history.LockState, cursors history.CursorState) (string, int64) {
	switch {
	case !a.Running():
		return "not started", 0
	case pod(lock.Holder) != a.Name:
		return "follower", 0
	case lock.Holder != cursors.Owner:
		return "taking over", 0
	}
	return "leader", cursors.Epoch
}
