package sink

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/eventbaton/baton/agent/record"
)

// objects are n records, of which every tenth is about the same object.
func objects(n int) []*record.Record {
	all := records(n)
	for i, r := range all {
		r.Object.UID = fmt.Sprint("uid-", i%10)
		if i%10 == 9 {
			r.Object.UID, r.Object.Name = "", "web"
		}
	}
	return all
}

// log is what a receiver took.
type takenLog struct {
	mu    sync.Mutex
	taken []*record.Record
}

func (l *takenLog) take(r *record.Record) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.taken = append(l.taken, r)
}

// inOrder fails where records of one object didn't arrive in the order of the batch.
func (l *takenLog) inOrder(t *testing.T, batch []*record.Record) {
	t.Helper()
	last := map[string]int{}
	for _, r := range l.taken {
		i := slices.Index(batch, r)
		if before, ok := last[r.Object.UID]; ok && i <= before {
			t.Errorf("of %q record %d came after %d", r.Object.UID, i, before)
		}
		last[r.Object.UID] = i
	}
}

// A receiver that takes its time gets as many at once as there may be, and those of one object in order.
func TestSinglyAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log takenLog
		batch := objects(100)
		began := time.Now()
		must(t, newSingly(8).send(t.Context(), batch, func(_ context.Context, r *record.Record) error {
			time.Sleep(time.Second)
			log.take(r)
			return nil
		}))
		if d := time.Since(began); d >= 100*time.Second || d < 10*time.Second || len(log.taken) != 100 {
			t.Errorf("%d arrived in %v", len(log.taken), d)
		}
		log.inOrder(t, batch)
	})
}

// What fails is tried again without what was taken, in order still; what is refused holds up nothing.
func TestSinglyAgain(t *testing.T) {
	var log takenLog
	batch := objects(100)
	calls, down := 0, true
	var mu sync.Mutex
	post := func(_ context.Context, r *record.Record) error {
		mu.Lock()
		defer mu.Unlock()
		calls++
		switch {
		case r == batch[20]:
			return &Refused{Err: errors.New("never")}
		case down && calls > 50:
			return &RetryAfter{Err: errors.New("later"), After: time.Minute}
		}
		log.take(r)
		return nil
	}
	s := newSingly(4)
	if _, later := errors.AsType[*RetryAfter](s.send(t.Context(), batch, post)); !later {
		t.Error("of several answers the one that asks for time counts")
	}
	if calls > 54 || len(s.accepted) != len(log.taken) {
		t.Errorf("%d calls, %d taken, %d remembered", calls, len(log.taken), len(s.accepted))
	}
	down = false
	if _, refused := errors.AsType[*Refused](s.send(t.Context(), batch, post)); !refused || len(log.taken) != 99 {
		t.Errorf("%d taken", len(log.taken))
	}
	log.inOrder(t, batch)
	must(t, s.send(t.Context(), append(batch[:20:20], batch[21:]...), post))
	if len(s.accepted) != 0 || len(log.taken) != 99 {
		t.Errorf("%d ids are still remembered, %d taken", len(s.accepted), len(log.taken))
	}
}

func TestSinglyForgets(t *testing.T) {
	s := newSingly(1)
	for i := range singlyRemembered {
		s.accepted[fmt.Sprint(i)] = struct{}{}
	}
	if s.remember(records(1)[0]); len(s.accepted) != 1 {
		t.Errorf("%d ids are remembered", len(s.accepted))
	}
}
