package enrich

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/eventbaton/baton/agent/record"
)

// A batch waits for Wait in total, however many records and owners it lacks; what comes later is there for the next.
func TestLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := shop()
		w.takes = 100 * time.Millisecond
		o := everything(w)
		e := New(o)
		defer e.Close()
		r := pod("web-1", "p1")
		if took := enriched(e, r); took != o.Wait {
			t.Errorf("it took %v", took)
		}
		if r.Enrichment.Incomplete != record.Late || r.Enrichment.Labels["team"] != "shop" || len(r.Enrichment.Owners) != 2 {
			t.Errorf("what was there in time is %+v", r.Enrichment)
		}
		time.Sleep(time.Second)
		enriched(e, r)
		if r.Enrichment.Incomplete != "" || len(r.Enrichment.Owners) != 3 {
			t.Errorf("the next has %+v", r.Enrichment)
		}
		check(t, "late", o.Counters.Snapshot()["late"], uint64(1))
	})
}

// An API server that hangs holds up three batches, each for Wait, and then none at all; the cache is filled behind their
// backs when it comes back, and with the first answer in time batches wait again.
func TestHangingServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := shop()
		w.hangs = true
		o := everything(w)
		e := New(o)
		defer e.Close()
		var total time.Duration
		for i := range 100 {
			var batch []*record.Record
			for j := range 50 {
				batch = append(batch, pod(fmt.Sprintf("pod-%d-%d", i, j), ""))
			}
			took := enriched(e, batch...)
			if want := o.Wait; i < patience && took != want || i >= patience && took != 0 {
				t.Fatalf("batch %d took %v", i, took)
			}
			total += took
			for _, r := range batch {
				check(t, "enrichment", r.Enrichment, &record.Enrichment{Incomplete: record.Late})
			}
			time.Sleep(100 * time.Millisecond)
		}
		check(t, "in total", total, patience*o.Wait)
		w.set(func(w *world) {
			if w.most != maxOfKind {
				t.Errorf("%d requests at once", w.most)
			}
			w.hangs, w.takes = false, 10*time.Millisecond
		})
		time.Sleep(2 * fetchTimeout)
		r := pod("web-1", "p1")
		if took := enriched(e, r); took != 0 || r.Enrichment.Incomplete != record.Late {
			t.Errorf("before any answer: %v, %+v", took, r.Enrichment)
		}
		time.Sleep(time.Second)
		if took := enriched(e, r); took != 20*time.Millisecond || r.Enrichment.Incomplete != "" {
			t.Errorf("after a prompt answer: %v, %+v", took, r.Enrichment)
		}
	})
}

// Where objects of one kind alone hang, the others' records are as they were, and are not held up by them.
func TestHangingKind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := shop()
		w.takes, w.hangsOf = 10*time.Millisecond, "widgets"
		o := everything(w)
		o.Owners, o.Node, o.RequestsPerSecond = false, false, 100
		o.Kinds = append(o.Kinds, Kind{Group: "example.test", Version: "v1", Kind: "Widget", Resource: "widgets"})
		e := New(o)
		defer e.Close()
		var waited time.Duration
		for i := range 100 {
			w.set(func(w *world) { w.objects[fmt.Sprint("pods shop/pod-", i)] = &Metadata{UID: "u"} })
			p, widget := pod(fmt.Sprint("pod-", i), "u"), pod(fmt.Sprint("widget-", i), "u")
			widget.Object.APIVersion, widget.Object.Kind = "example.test/v1", "Widget"
			took := enriched(e, p, widget)
			waited += took - w.takes
			check(t, "the pod", p.Enrichment, &record.Enrichment{})
			check(t, "the widget", widget.Enrichment, &record.Enrichment{Incomplete: record.Late})
			if i >= patience && took != w.takes {
				t.Errorf("batch %d took %v", i, took)
			}
			time.Sleep(50 * time.Millisecond)
		}
		check(t, "time that the widgets took", waited, patience*(o.Wait-w.takes))
	})
}

// An answer that comes, but too late, is no reason to wait again.
func TestSlowServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := shop()
		w.takes = time.Second
		o := everything(w)
		o.Owners, o.Node = false, false
		e := New(o)
		defer e.Close()
		for i := range 20 {
			w.set(func(w *world) { w.objects[fmt.Sprint("pods shop/slow-", i)] = &Metadata{UID: "u"} })
			r := pod(fmt.Sprint("slow-", i), "u")
			if took := enriched(e, r); i >= patience && took != 0 {
				t.Errorf("batch %d took %v", i, took)
			}
			time.Sleep(2 * w.takes)
			enriched(e, r)
			check(t, "what came behind its back", r.Enrichment, &record.Enrichment{})
		}
	})
}

func TestReaderThatEndsDoesNotWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := shop()
		w.hangs = true
		e := New(everything(w))
		defer e.Close()
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		began := time.Now()
		r := pod("web-1", "p1")
		e.Enrich(ctx, []*record.Record{r})
		check(t, "time", time.Since(began), 100*time.Millisecond)
		check(t, "enrichment", r.Enrichment, &record.Enrichment{Incomplete: record.Late})
	})
}

// Without a token a record goes on at once, and the tokens are never more than one second's.
func TestBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{}
		o := everything(w)
		o.Node = false
		e := New(o)
		defer e.Close()
		batch := func(name string) (late int) {
			var records []*record.Record
			for i := range 100 {
				r := pod(fmt.Sprint(name, i), "")
				r.Time = r.Time.Add(-time.Hour)
				records = append(records, r)
			}
			if took := enriched(e, records...); took != 0 {
				t.Errorf("answers of no time took %v", took)
			}
			for _, r := range records {
				if r.Enrichment.Incomplete == record.Late {
					late++
				}
			}
			return late
		}
		check(t, "late at first", batch("a"), 80)
		check(t, "late at once again", batch("b"), 100)
		time.Sleep(500 * time.Millisecond)
		check(t, "late after half a second", batch("c"), 90)
		time.Sleep(time.Hour)
		check(t, "late after an hour", batch("d"), 80)
		check(t, "requests", len(w.requests()), 50)
	})
}

// An API server that has enough is left alone.
func TestBusyServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := shop()
		w.fails = fmt.Errorf("asking: %w", &BusyError{Code: 429, After: 7 * time.Second})
		o := everything(w)
		e := New(o)
		defer e.Close()
		for i := range 60 { // six seconds of it
			enriched(e, pod(fmt.Sprint("pod-", i), ""))
			time.Sleep(100 * time.Millisecond)
		}
		check(t, "requests", len(w.requests()), 1)
		time.Sleep(2 * time.Second)
		enriched(e, pod("pod-x", ""))
		check(t, "requests", len(w.requests()), 2)
	})
}

// What fails is not asked for again at once, and holds nothing up.
func TestBrokenServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := shop()
		w.fails = errors.New("connection refused")
		e := New(everything(w))
		defer e.Close()
		for range 10 {
			r := pod("web-1", "p1")
			if took := enriched(e, r); took != 0 || r.Enrichment.Incomplete != record.Late {
				t.Errorf("%v, %+v", took, r.Enrichment)
			}
		}
		check(t, "requests", len(w.requests()), 1)
	})
}

// Several readers that want one object share one request.
func TestOneRequestForAnObject(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := shop()
		w.takes = 20 * time.Millisecond
		o := everything(w)
		o.Node, o.Owners = false, false
		e := New(o)
		defer e.Close()
		var group sync.WaitGroup
		for range 20 {
			group.Go(func() {
				r := pod("web-1", "p1")
				enriched(e, r)
				check(t, "label", r.Enrichment.Labels["team"], "shop")
			})
		}
		group.Wait()
		check(t, "requests", len(w.requests()), 1)
	})
}

func TestClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := shop()
		w.hangs = true
		e := New(everything(w))
		r := pod("web-1", "p1")
		enriched(e, r)
		began := time.Now()
		e.Close()
		check(t, "time to close", time.Since(began), time.Duration(0))
		if took := enriched(e, pod("web-2", "p2")); took != 0 {
			t.Errorf("after the end it waits for %v", took)
		}
		check(t, "requests", len(w.requests()), 1)
	})
}
