// Package sink translates records into what a receiver speaks, and sends them. One file a sink.
//
// A sink knows nothing of queues, order, retries or cursors: the relay owns those. It sends once what it is handed,
// and says what became of it.
package sink

import (
	"context"
	"time"

	"github.com/eventbaton/baton/agent/record"
)

// Sink is one receiver of records.
type Sink interface {
	// Send hands the batch over, in order, and returns once the receiver has acknowledged all of it. An error of
	// type *Refused says that the receiver will never take the batch as it is, one of type *RetryAfter that it asks
	// for time; any other error is worth another try. Which part of a failed batch arrived is not known: it is sent
	// again as it was, and the records' ids tell. Calls may overlap. When ctx ends, Send returns promptly.
	Send(ctx context.Context, batch []*record.Record) error
	// Limits says how large a batch may be.
	Limits() Limits
	// Close releases what the sink holds. No Send is under way or follows.
	Close() error
}

// Prober is a sink that can be asked, without a record, whether its receiver would take one.
type Prober interface {
	// Probe sends no record. It returns nil where all that can be told without one is in order: the receiver is there,
	// its certificate is trusted, it lets the credentials in, and knows what is to be written to. A secret that is
	// missing is an error. It returns promptly when ctx ends.
	Probe(ctx context.Context) error
}

// Limits bound a batch. A record larger than Bytes is sent alone.
type Limits struct {
	Records int // at least 1
	Bytes   int // of record.Size
	// Gather is how long a batch that isn't full yet may wait for more, from the reading of its first record on. 0: what
	// is there is sent at once, and what comes meanwhile makes the next batch.
	Gather time.Duration
}

// Refused says that the receiver refuses the batch for good. Of a batch of several it need not be every record that
// is refused: each has to be tried alone before it is given up.
type Refused struct{ Err error }

func (e *Refused) Error() string { return "refused: " + e.Err.Error() }
func (e *Refused) Unwrap() error { return e.Err }

// RetryAfter says that the receiver asks not to be called again before After has passed.
type RetryAfter struct {
	Err   error
	After time.Duration
}

func (e *RetryAfter) Error() string { return e.Err.Error() }
func (e *RetryAfter) Unwrap() error { return e.Err }
