package term

import (
	"context"
	"fmt"
	"strconv"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/eventbaton/baton/agent/cursor"
)

// start gives each sink its position in each stream, and writes those that are chosen here before anything is read:
// a leader that dies at once must not leave the choice to be made again, later.
func (r *Runner) start(ctx context.Context, register *cursor.Register) (map[string]cursor.Position, error) {
	known := register.Positions()
	positions := make(map[string]cursor.Position, len(r.Sinks)*len(r.Streams))
	for _, stream := range r.Streams {
		for _, sink := range r.Sinks {
			key := cursor.Key(sink.Name(), stream)
			position, ok := inherit(known, sink.Name(), stream)
			if !ok && r.startsNow(register, known, sink.Name()) {
				var err error
				if position, err = r.now(ctx, stream); err != nil {
					return nil, err
				}
			}
			positions[key] = position
		}
	}
	if err := register.Save(ctx, positions); err != nil {
		return nil, fmt.Errorf("writing where the sinks start: %w", err)
	}
	return positions, nil
}

// inherit finds the position of a sink in a stream. Streams overlap where one of them is the whole cluster: a
// namespace goes on from the further of its own cursor and the cluster's, which has delivered the namespace too; the
// cluster goes on from its own, else from the least of its namespaces'.
func inherit(known map[string]cursor.Position, sink, stream string) (cursor.Position, bool) {
	own, found := known[cursor.Key(sink, stream)]
	if stream != "" {
		if all, ok := known[cursor.Key(sink, "")]; ok && (!found || all.RV > own.RV) {
			return cursor.Position{RV: all.RV, Time: all.Time}, true
		}
		return own, found
	}
	if found {
		return own, true
	}
	for key, p := range known {
		if of, _ := cursor.SplitKey(key); of == sink && (!found || p.RV < own.RV) {
			own, found = cursor.Position{RV: p.RV, Time: p.Time}, true
		}
	}
	return own, found
}

// startsNow says whether a sink without a cursor is to begin with what happens from now on. Only a sink that can't
// have had a cursor does: on the very first start, or where the others' cursors are there and whole. A cursor that
// was lost begins with the oldest event that is retained.
func (r *Runner) startsNow(register *cursor.Register, known map[string]cursor.Position, sink string) bool {
	if !r.StartNow {
		return false
	}
	if register.First() {
		return true
	}
	for key := range known {
		if of, _ := cursor.SplitKey(key); of == sink {
			return false
		}
	}
	return len(known) > 0 && len(register.Problems()) == 0
}

// now is the position before the next event of a stream.
func (r *Runner) now(ctx context.Context, stream string) (cursor.Position, error) {
	list, err := r.Events.List(ctx, stream, metav1.ListOptions{Limit: 1}, maxEvent)
	if err != nil {
		return cursor.Position{}, fmt.Errorf("asking how far the events are, to start from now on: %w", err)
	}
	rv, err := strconv.ParseUint(list.ResourceVersion, 10, 64)
	if err != nil {
		return cursor.Position{}, fmt.Errorf("the API server's resourceVersion of events %q is not a number", list.ResourceVersion)
	}
	return cursor.Position{RV: rv}, nil
}

// maxEvent bounds the answer to a request for one event, in bytes: etcd takes no larger objects than 1.5 MiB.
const maxEvent = 4 << 20
