package sink

import (
	"context"
	"errors"
	"hash/maphash"
	"sync"
	"sync/atomic"

	"github.com/eventbaton/baton/agent/record"
)

const (
	// singlyBatch is how many records one Send takes. Each is a request, so more gain nothing.
	singlyBatch = 100
	// singlyRemembered bounds what is kept of batches that were taken in part.
	singlyRemembered = 100_000
)

// singly sends records a request each, for receivers that take no more. Several are on their way at once, those of one object
// one after the other: what happens to it arrives in order.
type singly struct {
	connections int

	// accepted are the ids that the receiver has taken of batches that it hasn't taken whole, so that another try of such
	// a batch repeats none of them. It is no cursor: what is forgotten is sent again.
	mu       sync.Mutex
	accepted map[string]struct{}
}

func newSingly(connections int) *singly {
	return &singly{connections: connections, accepted: map[string]struct{}{}}
}

// send posts what is missing of the batch. After an error that a further record would meet as well it begins no more.
func (s *singly) send(ctx context.Context, batch []*record.Record, post func(context.Context, *record.Record) error) error {
	var (
		failed  atomic.Bool
		workers sync.WaitGroup
		lines   = byObject(s.missing(batch), s.connections)
		errs    = make([]error, len(lines))
	)
	for i, line := range lines {
		workers.Go(func() {
			errs[i] = s.sendLine(ctx, line, &failed, post)
		})
	}
	workers.Wait()
	if err := worst(errs); err != nil {
		return err
	}
	s.forget(batch)
	return nil
}

// sendLine posts records one after the other, as long as nothing has failed that would fail again.
func (s *singly) sendLine(ctx context.Context, line []*record.Record, failed *atomic.Bool,
	post func(context.Context, *record.Record) error,
) error {
	var errs []error
	for _, r := range line {
		if failed.Load() {
			break
		}
		err := post(ctx, r)
		if err == nil {
			s.remember(r)
			continue
		}
		if _, refused := errors.AsType[*Refused](err); !refused {
			failed.Store(true)
		}
		errs = append(errs, err)
	}
	return worst(errs)
}

var lineSeed = maphash.MakeSeed()

// byObject divides records into at most n lines, all of an object into one.
func byObject(records []*record.Record, n int) [][]*record.Record {
	lines := make([][]*record.Record, n)
	for _, r := range records {
		key := r.Object.UID
		if key == "" {
			key = r.Object.Kind + "/" + r.Object.Namespace + "/" + r.Object.Name
		}
		i := maphash.String(lineSeed, key) % uint64(n)
		lines[i] = append(lines[i], r)
	}
	return lines
}

// worst gives the error that says what to do with the whole: as long as one is worth another try, that; of several, one
// that asks for time.
func worst(errs []error) error {
	var refused, again error
	for _, err := range errs {
		if err == nil {
			continue
		}
		if _, ok := errors.AsType[*RetryAfter](err); ok {
			return err
		}
		if _, ok := errors.AsType[*Refused](err); ok {
			refused = err
		} else if again == nil {
			again = err
		}
	}
	if again != nil {
		return again
	}
	return refused
}

func (s *singly) missing(batch []*record.Record) []*record.Record {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.accepted) == 0 {
		return batch
	}
	var missing []*record.Record
	for _, r := range batch {
		if _, ok := s.accepted[r.ID]; !ok {
			missing = append(missing, r)
		}
	}
	return missing
}

func (s *singly) remember(r *record.Record) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.accepted) >= singlyRemembered {
		clear(s.accepted)
	}
	s.accepted[r.ID] = struct{}{}
}

func (s *singly) forget(batch []*record.Record) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range batch {
		delete(s.accepted, r.ID)
	}
}
