package memapi

import (
	"context"
	"errors"
	"sync"
	"time"
)

// Call names a request.
type Call struct {
	Client string
	Verb   string // get, create, update, watch
	Kind   string // leases, configmaps, pods
	Name   string
}

// Write tells whether the request changes anything.
func (c Call) Write() bool { return c.Verb == "create" || c.Verb == "update" }

// Fault is what befalls a request. The zero Fault is none.
type Fault struct {
	// Before and After are how long it takes to reach the server and to come back.
	Before, After time.Duration
	// Refuse is the answer of a server that does not do it.
	Refuse error
	// Lose is what the client sees although the server did it.
	Lose error
	// Orphan makes a request that the client has given up on reach the server nevertheless, when Before has passed.
	Orphan bool
}

// ErrCut is what a request ends with whose connection is lost.
var ErrCut = errors.New("connection lost")

// Link is the connection of one process, shared by its clients. The zero Link but for its Name has no faults.
type Link struct {
	Name string

	mu     sync.Mutex
	faults func(Call) Fault
	lag    func() time.Duration
	parted chan struct{} // closed when the partition ends, nil where there is none
	cut    chan struct{} // closed by CutWatches
}

// NewLink returns a link without faults.
func NewLink(name string) *Link { return &Link{Name: name} }

// Faults sets what befalls the requests from now on, nil for nothing.
func (l *Link) Faults(f func(Call) Fault) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.faults = f
}

// Lag sets how long the news of an open watch travel, nil for no time.
func (l *Link) Lag(f func() time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lag = f
}

// Part begins or ends a partition. In one, requests hang until their context or it ends, and then fail; watches say
// nothing, and tell everything when it has ended.
func (l *Link) Part(parted bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case parted && l.parted == nil:
		l.parted = make(chan struct{})
	case !parted && l.parted != nil:
		close(l.parted)
		l.parted = nil
	}
}

// CutWatches ends all open watches of the link.
func (l *Link) CutWatches() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.cut != nil {
		close(l.cut)
		l.cut = nil
	}
}

func (l *Link) fault(c Call) Fault {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.faults == nil {
		return Fault{}
	}
	return l.faults(c)
}

func (l *Link) delay() time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.lag == nil {
		return 0
	}
	return l.lag()
}

func (l *Link) partition() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.parted
}

func (l *Link) cutting() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.cut == nil {
		l.cut = make(chan struct{})
	}
	return l.cut
}

// do sends a request over the link. serve runs at most once, perhaps after do has returned.
func do[T any](ctx context.Context, l *Link, c Call, serve func() (T, error)) (T, error) {
	var none T
	fault := l.fault(c)
	if parted := l.partition(); parted != nil {
		select {
		case <-parted:
			return none, ErrCut
		case <-ctx.Done():
			return none, ctx.Err()
		}
	}
	sent := time.Now()
	if err := wait(ctx, fault.Before); err != nil {
		if fault.Orphan && fault.Refuse == nil {
			time.AfterFunc(fault.Before-time.Since(sent), func() { _, _ = serve() })
		}
		return none, err
	}
	if fault.Refuse != nil {
		return none, fault.Refuse
	}
	answer, err := serve()
	if late := wait(ctx, fault.After); late != nil {
		return none, late
	}
	if fault.Lose != nil {
		return none, fault.Lose
	}
	if l.partition() != nil {
		return none, ErrCut
	}
	return answer, err
}

func wait(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
