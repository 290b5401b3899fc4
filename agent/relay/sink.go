package relay

import (
	"context"
	"encoding/json"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/eventbaton/baton/agent/record"
	"github.com/eventbaton/baton/agent/sink"
	"github.com/eventbaton/baton/agent/source"
)

const (
	defaultQueueBytes = 4 << 20
	// logAgain is the time between two lines about a sink whose error keeps changing.
	logAgain = 10 * time.Second
	// keptRefusals are shown in the status; all are in the log.
	keptRefusals = 5
)

// SinkOptions make a Sink.
type SinkOptions struct {
	Name string
	Sink sink.Sink
	// Filter says what the sink gets, nil for everything. With an error its answer counts all the same.
	Filter func(*record.Record) (bool, error)
	// Repeats says which records the sink gets of what goes on happening, RepeatInterval how often at most under
	// RepeatsRate; 0 is 5 minutes.
	Repeats        Repeats
	RepeatInterval time.Duration
	// QueueBytes bounds what waits in each stream: a queue below it still takes a whole page.
	QueueBytes int
	Log        *slog.Logger
	// ObserveLag is told of each record the time from reading to acknowledgement.
	ObserveLag func(sink string, seconds float64)
}

// Sink is a sink with its filter and what there is to tell of it. It lives as long as the process, and serves one Relay
// at a time.
type Sink struct {
	options    SinkOptions
	queueBytes int
	log        *slog.Logger

	mu          sync.Mutex
	lanes       map[*lane]struct{}
	status      Status
	failing     map[*lane]struct{} // the lanes whose last try failed
	logged      time.Time          // when an error was last logged
	loggedError string
	filterError string
}

// Status is what there is to tell of a sink. The counts are since the process started.
type Status struct {
	Name      string `json:"name"`
	Delivered int64  `json:"delivered"` // records
	Bytes     int64  `json:"bytes"`     // of the records delivered, by record.Size
	Batches   int64  `json:"batches"`
	Retries   int64  `json:"retries"` // tries that failed
	Refused   int64  `json:"refused"`
	Filtered  int64  `json:"filtered"`
	// Suppressed are the records that the sink does not get because of its Repeats: another one stands for them.
	Suppressed int64 `json:"suppressed"`

	QueuedRecords int `json:"queuedRecords"`
	QueuedBytes   int `json:"queuedBytes"` // with those of the records that are held
	// HeldRecords are held back until it is their turn under RepeatsRate. They don't count as waiting.
	HeldRecords int     `json:"heldRecords"`
	LagSeconds  float64 `json:"lagSeconds"` // how long the oldest record has been waiting

	LastDelivered time.Time `json:"lastDelivered,omitzero"`
	Error         string    `json:"error,omitempty"` // of the last try, where it failed
	ErrorSince    time.Time `json:"errorSince,omitzero"`
	// Refusals are the last records the receiver refused for good.
	Refusals []Refusal `json:"refusals,omitempty"`
	// Gaps counts how often events may have expired before the sink could get them, LastGap is the last such time.
	Gaps    int64 `json:"gaps"`
	LastGap *Gap  `json:"lastGap,omitempty"`
}

// Refusal is a record that was refused for good.
type Refusal struct {
	Time  time.Time `json:"time"`
	ID    string    `json:"id"`
	Error string    `json:"error"`
}

// Gap is a span of time from which events may be missing.
type Gap struct {
	Namespace string    `json:"namespace,omitempty"`
	From      time.Time `json:"from"`
	To        time.Time `json:"to"`
}

// NewSink makes a Sink.
func NewSink(o SinkOptions) *Sink {
	s := &Sink{
		options: o, queueBytes: o.QueueBytes, log: o.Log,
		lanes: map[*lane]struct{}{}, failing: map[*lane]struct{}{}, status: Status{Name: o.Name},
	}
	if s.queueBytes <= 0 {
		s.queueBytes = defaultQueueBytes
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	s.log = s.log.With("sink", o.Name)
	return s
}

// Name is the sink's name.
func (s *Sink) Name() string { return s.options.Name }

// Close closes the sink. No Relay runs with it any more.
func (s *Sink) Close() error { return s.options.Sink.Close() }

// Status tells of the sink.
func (s *Sink) Status() Status {
	s.mu.Lock()
	status := s.status
	status.Refusals = slices.Clone(status.Refusals)
	lanes := slices.Collect(maps.Keys(s.lanes))
	s.mu.Unlock() // a lane calls the sink with its lock held
	for _, l := range lanes {
		records, bytes, since := l.waits()
		status.QueuedRecords += records
		status.QueuedBytes += bytes
		status.HeldRecords += l.holds()
		if !since.IsZero() {
			status.LagSeconds = max(status.LagSeconds, time.Since(since).Seconds())
		}
	}
	return status
}

func (s *Sink) attach(l *lane) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lanes[l] = struct{}{}
}

// detach forgets a lane, and an error of it: whether the sink works now is for the next leader to see.
func (s *Sink) detach(l *lane) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.lanes, l)
	delete(s.failing, l)
	if len(s.failing) == 0 {
		s.status.Error, s.status.ErrorSince, s.loggedError = "", time.Time{}, ""
	}
}

// limits are the sink's, made sane.
func (s *Sink) limits() sink.Limits {
	limits := s.options.Sink.Limits()
	limits.Records = max(1, limits.Records)
	if limits.Bytes <= 0 {
		limits.Bytes = s.queueBytes
	}
	return limits
}

// wants asks the filter.
func (s *Sink) wants(r *record.Record) bool {
	if s.options.Filter == nil {
		return true
	}
	wanted, err := s.options.Filter(r)
	if err != nil {
		s.filterFailed(r, err)
	}
	return wanted
}

func (s *Sink) filterFailed(r *record.Record, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.filterError != err.Error() {
		s.filterError = err.Error()
		s.log.Warn("the filter failed", "error", err, "id", r.ID)
	}
}

// leftOut counts what the filter left out, and what another record stands for.
func (s *Sink) leftOut(filtered, suppressed int) {
	if filtered == 0 && suppressed == 0 {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.status.Filtered += int64(filtered)
	s.status.Suppressed += int64(suppressed)
}

// send tries once, and acknowledges what arrived.
func (s *Sink) send(ctx context.Context, l *lane, batch []*record.Record) error {
	if err := s.options.Sink.Send(ctx, batch); err != nil {
		return err
	}
	size := 0
	for _, r := range batch {
		size += r.Size()
	}
	s.mu.Lock()
	s.status.Delivered += int64(len(batch))
	s.status.Bytes += int64(size)
	s.status.Batches++
	s.status.LastDelivered = time.Now()
	s.works(l)
	s.mu.Unlock()
	l.acknowledge(len(batch), s.observe)
	return nil
}

func (s *Sink) observe(lag time.Duration) {
	if s.options.ObserveLag != nil {
		s.options.ObserveLag(s.options.Name, lag.Seconds())
	}
}

// works notes that the sink answers a lane again. It is called with mu held.
func (s *Sink) works(l *lane) {
	if _, failed := s.failing[l]; !failed {
		return
	}
	delete(s.failing, l)
	if len(s.failing) == 0 {
		s.log.Info("the sink takes records again", "outage", time.Since(s.status.ErrorSince).Round(time.Millisecond))
		s.status.Error, s.status.ErrorSince, s.loggedError = "", time.Time{}, ""
	}
}

// failed notes a try that failed. It logs an error when it is another one than before, not each time.
func (s *Sink) failed(l *lane, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.status.ErrorSince.IsZero() {
		s.status.ErrorSince = time.Now()
		s.logged = time.Time{}
	}
	if _, failed := s.failing[l]; !failed {
		l.touch() // so that the cursor says since when something waits
	}
	s.failing[l] = struct{}{}
	s.status.Retries++
	s.status.Error = err.Error()
	if s.loggedError != err.Error() && time.Since(s.logged) >= logAgain {
		s.loggedError, s.logged = err.Error(), time.Now()
		s.log.Warn("the sink does not take records; trying again until it does", "error", err)
	}
}

// refuse gives a record up that the receiver will never take. It is logged whole: the log is all that keeps it.
func (s *Sink) refuse(l *lane, r *record.Record, refused *sink.Refused) {
	s.log.Error("the sink refused a record for good; it is not tried again",
		"error", refused.Err, "id", r.ID, "record", json.RawMessage(r.AppendJSON(nil)))
	s.mu.Lock()
	s.status.Refused++
	s.status.Refusals = append(s.status.Refusals, Refusal{Time: time.Now().UTC(), ID: r.ID, Error: refused.Error()})
	if n := len(s.status.Refusals) - keptRefusals; n > 0 {
		s.status.Refusals = slices.Delete(s.status.Refusals, 0, n)
	}
	s.works(l)
	s.mu.Unlock()
	l.acknowledge(1, s.observe)
}

// gap notes that a piece of the log could be read only as far as it was retained. acked is the time of the newest
// event the sink has from before it.
func (s *Sink) gap(namespace string, acked time.Time, g *source.Gap) {
	from, to := acked, g.Oldest
	if g.Current.After(from) {
		from = g.Current
	}
	if to.IsZero() {
		to = time.Now()
	}
	if from.IsZero() || !to.After(from) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.status.Gaps++
	s.status.LastGap = &Gap{Namespace: namespace, From: from.UTC(), To: to.UTC()}
	s.log.Warn("events between these times may have expired before the sink could get them",
		"namespace", namespace, "from", from.UTC(), "to", to.UTC(), "span", to.Sub(from).Round(time.Second))
}
