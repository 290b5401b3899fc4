package source

import (
	"context"
	"errors"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/eventbaton/baton/agent/cursor"
)

// Batch is what a reader read at once: a page of a list, or one change of a watch.
type Batch struct {
	// Items are the events to deliver, in the order they were read. A deletion and an event that is at or below
	// the position the reader started from have none: such a batch only moves the position.
	Items []Item
	// Position is where a consumer is once it has acknowledged all Items, and all batches before. It holds for
	// the batch as a whole: a list is not ordered by resourceVersion.
	Position cursor.Position
	// Ordered is true for what a watch delivered: Items are in the order of their RVs, so that a consumer that has
	// acknowledged one of them is at its RV. The items of a page are in the order of keys.
	Ordered bool
	// Reset is true where the log went back: Position lies before what came until now, and so does what follows.
	Reset bool
	// Gap is set with the last page of a list that stands for a piece of the log that is no longer there.
	Gap *Gap
}

// Gap tells of a piece of the log that could only be read as a list: what had expired by then is not in it.
type Gap struct {
	// Oldest is the time of the oldest event in the list, zero in an empty one.
	Oldest time.Time
	// Current is when this reader last knew that it had read everything, zero where it never did.
	Current time.Time
}

// Item is one version of an event.
type Item struct {
	Event *corev1.Event
	RV    uint64
	// Time is when this version was reported, as far as the event's own times tell.
	Time time.Time
	// Created is true where this is known to be the first version that was stored of this event. A list can't tell, a
	// watch can. Occurrences may have come before it all the same: client-go, whose event has expired when it would
	// update it, makes it anew under its name with a UID of its own, and counts on.
	Created bool
}

// Consumer takes what a reader reads.
type Consumer interface {
	// Take takes the batch, always. It returns ErrFull where it wants no more for now: the reader then closes its
	// watch, because one that is not read grows the API server's buffer, and calls Wait. Any other error ends Read,
	// which returns it.
	Take(ctx context.Context, b Batch) error
	// Wait returns nil once there is room again, or ctx's error.
	Wait(ctx context.Context) error
}

// ErrFull is what Take returns to pause its reader.
var ErrFull = errors.New("the queue is full")

// Events is the API for the events of one namespace, "" for all.
type Events interface {
	// List returns one page. A page whose encoding is longer than maxBytes is not read into memory: ErrPageTooLarge.
	List(ctx context.Context, namespace string, opts metav1.ListOptions, maxBytes int64) (*corev1.EventList, error)
	Watch(ctx context.Context, namespace string, opts metav1.ListOptions) (watch.Interface, error)
}

// ErrPageTooLarge says that a page is longer than was allowed: ask for fewer events.
var ErrPageTooLarge = errors.New("the page is too large")

// Observer is told what a reader finds out. Its methods are called from the reader's goroutine.
type Observer interface {
	// Connected says that events can be read: a watch is open, or pages of a list come. With an error it says that
	// they can't, and why. It may be said again and again.
	Connected(namespace string, err error)
	// Gap says that a position was too old to watch from, so that the events are listed. oldest is the time of the
	// oldest event in that list, zero in an empty one; it is called when the list has been read to its end. Of a list
	// that an earlier leader began only the rest is known.
	Gap(namespace string, from cursor.Position, oldest time.Time)
	// WentBack says that the log is at an older version than a position in it: etcd was restored or wiped, or this
	// is another cluster. Everything retained is delivered again.
	WentBack(namespace string, position, now uint64)
}
