package relay_test

import (
	"context"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	corev1 "k8s.io/api/core/v1"

	"github.com/eventbaton/baton/agent/cursor"
	"github.com/eventbaton/baton/agent/record"
	"github.com/eventbaton/baton/agent/relay"
)

// labelled puts a label of some bytes on every record, and remembers the batches.
type labelled struct {
	value   string
	mu      sync.Mutex
	batches []int
}

func (l *labelled) enrich(_ context.Context, records []*record.Record) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.batches = append(l.batches, len(records))
	for _, r := range records {
		r.Enrichment = &record.Enrichment{Labels: map[string]string{"team": l.value, "event": r.Name}}
	}
}

// Records are enriched once, whatever sinks there are, before a filter is asked, and not at all where no sink gets them.
func TestEnrichesBeforeFilters(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		w := newWorld("all")
		w.add(relay.SinkOptions{Name: "some", Filter: func(r *record.Record) (bool, error) {
			return r.Enrichment.Labels["event"] == "two", nil
		}}, &receiver{})
		l := &labelled{value: "shop"}
		w.options.Enrich = l.enrich
		w.options.Convert = func(e *corev1.Event) *record.Record {
			if e.Name == "never" {
				return nil
			}
			return convertAll(e)
		}
		w.fill("x", "one", "two", "never")
		w.start(t)
		synctest.Wait()
		w.fill("x", "three")
		synctest.Wait()
		w.fill("x", "never")
		synctest.Wait()
		same(t, "all", w.receivers["all"].names(), []string{"one@101", "two@102", "three@104"})
		same(t, "some", w.receivers["some"].names(), []string{"two@102"})
		same(t, "batches", l.batches, []int{2, 1})
		for _, r := range w.receivers["all"].got {
			if r.Enrichment.Labels["team"] != "shop" {
				t.Errorf("%s has %+v", r.Name, r.Enrichment)
			}
		}
		w.finish(t)
	})
}

// A queue is bounded with what the records were enriched with.
func TestEnrichmentCountsInTheQueue(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		queued := func(value string) int {
			w := newWorld()
			w.add(relay.SinkOptions{Name: "a"}, &receiver{stopped: make(chan struct{})})
			w.options.Enrich = (&labelled{value: value}).enrich
			w.from(cursor.Position{RV: 100})
			w.start(t)
			synctest.Wait()
			w.fill("x", "one", "two", "three")
			synctest.Wait()
			bytes := w.sinks["a"].Status().QueuedBytes
			w.kill(t)
			return bytes
		}
		few, many := queued("x"), queued(strings.Repeat("x", 1001))
		if many-few < 2000 || many-few > 3000 {
			t.Errorf("%d bytes, %d with labels of 1000 bytes more", few, many)
		}
	})
}
