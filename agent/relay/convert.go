package relay

import (
	"context"
	"time"

	"github.com/eventbaton/baton/agent/record"
	"github.com/eventbaton/baton/agent/source"
)

// delivery is a batch whose events are converted, once for all lanes.
type delivery struct {
	source.Batch
	items []item
	read  time.Time
}

// item is one event of a delivery.
type item struct {
	record  *record.Record // nil where no sink gets it
	size    int
	rv      uint64
	time    time.Time
	uid     string
	created bool
}

func (r *Relay) convert(ctx context.Context, b source.Batch) *delivery {
	d := &delivery{Batch: b, items: make([]item, len(b.Items)), read: time.Now()}
	for i := range b.Items {
		from, to := &b.Items[i], &d.items[i]
		*to = item{rv: from.RV, time: from.Time, uid: string(from.Event.UID), created: from.Created}
		to.record = r.Convert(from.Event)
		if to.time.After(d.read) {
			to.time = d.read // a reporter's clock that is ahead
		}
	}
	d.Batch.Items = nil
	r.enrich(ctx, d.items)
	for i := range d.items {
		if to := &d.items[i]; to.record != nil {
			to.size = to.record.Size() + entryBytes
		}
	}
	return d
}

// enrich has the records that some sink may get enriched, all at once.
func (r *Relay) enrich(ctx context.Context, items []item) {
	if r.Enrich == nil {
		return
	}
	records := make([]*record.Record, 0, len(items))
	for i := range items {
		if items[i].record != nil {
			records = append(records, items[i].record)
		}
	}
	if len(records) > 0 {
		r.Enrich(ctx, records)
	}
}
