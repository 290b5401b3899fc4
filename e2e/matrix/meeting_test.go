package matrix

import (
	"context"
	"errors"
	"sync"
	"testing"

	"github.com/eventbaton/baton/e2e/controlplane"
)

// planes gives a cell its control plane: the shared one, or one of its own, started by whoever needs it first.
type planes struct {
	options *controlplane.Options
	once    sync.Once
	own     *controlplane.ControlPlane
	err     error
}

func (p *planes) get(ctx context.Context) (*controlplane.ControlPlane, error) {
	if p.options == nil {
		return shared(ctx)
	}
	p.once.Do(func() { p.own, p.err = controlplane.Start(ctx, *p.options) })
	return p.own, p.err
}

func (p *planes) stop(t *testing.T) {
	if p.own == nil {
		return
	}
	if err := p.own.Stop(); err != nil {
		t.Error(err)
	}
}

// meeting lets both locks' runs of a cell do something once and together, such as killing the API server they share.
type meeting struct {
	mu      sync.Mutex
	members int
	arrived int
	open    chan struct{} // closed when all have arrived and it is done
	err     error
}

func newMeeting(members int) *meeting { return &meeting{members: members, open: make(chan struct{})} }

var errLeft = errors.New("the other lock's run has failed")

// do has the last one to arrive do it, and all of them go on when it is done.
func (m *meeting) do(ctx context.Context, what func() error) error {
	m.mu.Lock()
	m.arrived++
	open := m.open
	if m.arrived < m.members {
		m.mu.Unlock()
		select {
		case <-open:
			m.mu.Lock()
			defer m.mu.Unlock()
			return m.err
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	defer m.mu.Unlock()
	m.err = what()
	m.arrived, m.open = 0, make(chan struct{})
	close(open)
	return m.err
}

// leave is for one that comes no more. Who waits for it fails; what is done later is done without it.
func (m *meeting) leave() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.members--
	if m.arrived == 0 || m.arrived < m.members {
		return
	}
	m.err = errLeft
	close(m.open)
	m.arrived, m.open = 0, make(chan struct{})
}
