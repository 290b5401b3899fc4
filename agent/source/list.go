package source

import (
	"context"
	"errors"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/eventbaton/baton/agent/cursor"
)

// page is one page of a list.
type page struct {
	events []corev1.Event
	rv     uint64 // of the page; of the whole list where it is the first
	next   string // "" for the last one
	bytes  int64
}

// list reads a list to its end, from the position's place in it where there is one. While the consumer works on a page
// the next one is fetched, one and no more. After an error the position says where to go on.
func (r *reader) list(ctx context.Context) error {
	if err := r.enterList(ctx); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	got := r.fetch(ctx, r.token())
	defer func() { cancel(); <-got }()
	for {
		f := <-got
		got = closed
		if f.err != nil {
			return r.turnPage(f.err)
		}
		if err := r.begin(f.page); err != nil {
			return err
		}
		r.connected()
		if f.page.next != "" {
			got = r.fetch(ctx, f.page.next)
		}
		if err := r.deliver(ctx, f.page); err != nil {
			return err
		}
		if f.page.next == "" {
			return nil
		}
	}
}

// closed is where nothing is being fetched.
var closed = func() chan fetched { c := make(chan fetched); close(c); return c }()

func (r *reader) token() string {
	if r.position.Listing == nil {
		return ""
	}
	return r.position.Listing.Continue
}

// enterList checks the log before a place in a list of it is used, and forgets what is known of an earlier list
// where a new one begins.
func (r *reader) enterList(ctx context.Context) error {
	if l := r.position.Listing; l != nil {
		return r.check(ctx, max(l.RV, r.position.RV))
	}
	r.oldest = time.Time{}
	return nil
}

// begin takes the place in the list from a first page.
func (r *reader) begin(p page) error {
	if r.position.Listing != nil {
		return nil
	}
	if p.rv < r.position.RV {
		return &wentBack{position: r.position.RV, now: p.rv}
	}
	r.position.Listing = &cursor.Listing{Stream: r.Namespace, RV: p.rv}
	return nil
}

// deliver hands a page over, and waits where the consumer then is full.
func (r *reader) deliver(ctx context.Context, p page) error {
	items, err := r.itemsOf(p)
	if err != nil {
		return err
	}
	b := Batch{Items: items}
	base, first := r.position.RV, r.position.Listing.RV
	if p.next != "" {
		r.move(cursor.Position{RV: base, Listing: &cursor.Listing{Stream: r.Namespace, RV: first, Continue: p.next}})
	} else {
		r.move(cursor.Position{RV: first})
		r.gap = false
		if base > 0 {
			b.Gap = &Gap{Oldest: r.oldest, Current: r.current}
			r.Observer.Gap(r.Namespace, cursor.Position{RV: base}, r.oldest)
		}
	}
	if err := r.take(ctx, b); !errors.Is(err, ErrFull) {
		return err
	}
	if err := r.consumer.Wait(ctx); err != nil {
		return ending{err}
	}
	return nil
}

// itemsOf gives what lies after the position. What a list can't tell is whether it is an event's first version.
func (r *reader) itemsOf(p page) ([]Item, error) {
	items := make([]Item, 0, len(p.events))
	for i := range p.events {
		e := &p.events[i]
		t := lastSeen(e)
		if !t.IsZero() && (r.oldest.IsZero() || t.Before(r.oldest)) {
			r.oldest = t
		}
		rv, err := parseRV(e.ResourceVersion)
		if err != nil {
			return nil, err
		}
		if rv > r.position.RV {
			items = append(items, Item{Event: e, RV: rv, Time: t})
		}
	}
	return items, nil
}

// turnPage gives a failed page's error its meaning for the list.
func (r *reader) turnPage(err error) error {
	if token := freshToken(err); token != "" && r.position.Listing != nil {
		r.Log.Info("the list of events took longer than the log reaches back; going on from the same key")
		l := *r.position.Listing
		l.Continue = token
		r.position.Listing = &l
		return errSoon
	}
	if r.position.Listing != nil && (isGone(err) || apierrors.IsBadRequest(err)) {
		return errors.Join(errRelist, err)
	}
	return err
}

type fetched struct {
	page page
	err  error
}

// fetch gets a page in the background. Its channel gives the page and is closed then.
func (r *reader) fetch(ctx context.Context, token string) chan fetched {
	c := make(chan fetched, 1)
	go func() {
		defer close(c)
		p, err := r.page(ctx, token)
		c <- fetched{p, err}
	}()
	return c
}

// page gets one page, a smaller one where it is too large. Only one call of it is under way at a time.
func (r *reader) page(ctx context.Context, token string) (page, error) {
	for {
		p, err := r.tryPage(ctx, token)
		if errors.Is(err, ErrPageTooLarge) && r.limit > 1 {
			r.limit /= 2
			continue
		}
		if err == nil {
			r.adapt(p)
		}
		return p, err
	}
}

func (r *reader) tryPage(ctx context.Context, token string) (page, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	most := r.PageBytes
	if r.limit == 1 {
		most = loneEventBytes
	}
	list, err := r.Events.List(ctx, r.Namespace, metav1.ListOptions{Limit: r.limit, Continue: token}, most)
	if err != nil {
		return page{}, fmt.Errorf("listing events: %w", err)
	}
	rv, err := parseRV(list.ResourceVersion)
	if err != nil {
		return page{}, err
	}
	p := page{events: list.Items, rv: rv, next: list.Continue}
	for i := range list.Items {
		p.bytes += int64(list.Items[i].Size())
	}
	return p, nil
}

// adapt aims the next page at half of what a page may have, by the size of the events on this one, and grows slowly:
// the next events may be larger.
func (r *reader) adapt(p page) {
	fits := r.PageLimit
	if n := int64(len(p.events)); n > 0 && p.bytes > 0 {
		fits = r.PageBytes / 2 * n / p.bytes
	}
	r.limit = max(1, min(fits, r.limit*3, r.PageLimit))
}
