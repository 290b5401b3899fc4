package term

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/eventbaton/baton/agent/enrich"
	"github.com/eventbaton/baton/agent/record"
)

// hanging is an API server that takes requests and never answers.
type hanging struct{ requests, waiting atomic.Int64 }

func (h *hanging) Read(ctx context.Context, _ enrich.Object, _, _ bool) (*enrich.Metadata, error) {
	h.requests.Add(1)
	h.waiting.Add(1)
	defer h.waiting.Add(-1)
	<-ctx.Done()
	return nil, ctx.Err()
}

// aboutPods makes events of pods of those that the log has, which are about nothing.
type aboutPods struct{ *enrich.Enricher }

func (a aboutPods) Enrich(ctx context.Context, records []*record.Record) {
	for _, r := range records {
		r.Object = record.Object{APIVersion: "v1", Kind: "Pod", Namespace: r.Namespace, Name: r.Name}
	}
	a.Enricher.Enrich(ctx, records)
}

// What enriches is made for a term and ends with it, whatever it waits for; records, cursors and the end of the term don't
// wait for it.
func TestEnricherEndsWithItsTerm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		h, made := &hanging{}, 0
		b.runner.Enricher = func() Enricher {
			made++
			return aboutPods{enrich.New(enrich.Options{
				Reader: h, Labels: []string{"*"}, Kinds: enrich.Known(), Wait: 250 * time.Millisecond, RequestsPerSecond: 20,
			})}
		}
		b.create(2)
		b.lead()
		b.settle(250 * time.Millisecond)
		if b.inbox.got() != 2 || h.requests.Load() == 0 {
			t.Errorf("%d records and %d requests after one wait", b.inbox.got(), h.requests.Load())
		}
		b.settle(5 * time.Second)
		rv := b.create(1)
		synctest.Wait() // it waits for an answer
		began := time.Now()
		if err := b.finish(); err != nil {
			t.Errorf("Lead: %v", err)
		}
		if took := time.Since(began); took != 0 || h.waiting.Load() != 0 {
			t.Errorf("the term ended after %v, with %d requests at work", took, h.waiting.Load())
		}
		if at := b.cursors().Positions["in"].RV; at < rv-1 || at > rv {
			t.Errorf("cursor at %d of %d", at, rv)
		}
		b.lock = newLock()
		b.lead()
		b.settle(time.Second)
		b.want(3, rv)
		if made != 2 {
			t.Errorf("%d made for two terms", made)
		}
		b.lose()
		<-b.done
		if h.waiting.Load() != 0 {
			t.Error("requests are left of a term that was lost")
		}
	})
}
