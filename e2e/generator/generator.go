// Package generator makes numbered events at a steady rate and remembers exactly what the API server stored.
package generator

import (
	"context"
	"fmt"
	"sync"
	"time"

	"k8s.io/client-go/kubernetes"
)

// Options say what to make.
type Options struct {
	// Client should not be limited in its rate. Everything is repeated until it has worked, so an API server that is
	// away delays the events and loses none.
	Client    kubernetes.Interface
	Namespace string
	// Prefix begins the events' names; two generators in one namespace need different ones.
	Prefix string
	// Rate is how many versions a second are made: new events and updates together.
	Rate float64
	// Updates is the share of them that update an event made before: half by its count, half by its series.
	Updates float64
	// Workers make them, one if zero: needed where one request after the other is too slow for the rate.
	Workers int
	// Message is each event's message, a short one if empty.
	Message string
	// Objects are how many objects a worker's events are about in turn, one if zero.
	Objects int
}

// Generator is a steady stream of events.
type Generator struct {
	options Options
	log     *Log
	began   time.Time
	quit    chan struct{}
	cancel  context.CancelFunc
	wg      sync.WaitGroup
}

// Start starts a generator. ctx ends it at once, leaving open what became of the last requests; Stop ends it in order.
func Start(ctx context.Context, o Options) *Generator {
	ctx, cancel := context.WithCancel(ctx)
	g := &Generator{options: o, log: &Log{}, began: time.Now(), quit: make(chan struct{}), cancel: cancel}
	ticker := time.NewTicker(time.Duration(float64(time.Second) / o.Rate))
	var workers sync.WaitGroup
	for i := range max(o.Workers, 1) {
		w := newWorker(o, g.log, fmt.Sprintf("%s-%d", o.Prefix, i))
		workers.Go(func() { g.work(ctx, ticker.C, w) })
	}
	g.wg.Go(func() {
		workers.Wait()
		ticker.Stop()
	})
	return g
}

// Log is what was made so far.
func (g *Generator) Log() *Log { return g.log }

// Stop returns once each request that was begun has an answer.
func (g *Generator) Stop() {
	close(g.quit)
	g.wg.Wait()
	g.cancel()
}

func (g *Generator) work(ctx context.Context, tick <-chan time.Time, w *worker) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-g.quit:
			return
		case <-tick:
		}
		if w.next(ctx) != nil {
			return
		}
	}
}

// Load makes n events as fast as it can, all before it returns.
func Load(ctx context.Context, o Options, n int) (*Log, error) {
	log := &Log{}
	numbers := make(chan int)
	var wg sync.WaitGroup
	var once sync.Once
	var failed error
	for i := range max(o.Workers, 16) {
		w := newWorker(o, log, fmt.Sprintf("%s-%02d", o.Prefix, i))
		wg.Go(func() {
			for range numbers {
				if err := w.create(ctx, classic); err != nil {
					once.Do(func() { failed = err })
				}
			}
		})
	}
	for i := range n {
		numbers <- i
	}
	close(numbers)
	wg.Wait()
	if failed != nil {
		return nil, fmt.Errorf("loading %d events: %w", n, failed)
	}
	return log, nil
}
