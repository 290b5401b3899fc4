package fleet

import (
	"context"

	"github.com/eventbaton/baton/e2e/history"
)

// follow watches both kinds of lock and the cursors until ctx ends.
func (f *Fleet) follow(ctx context.Context) {
	ns, name := f.options.Namespace, f.options.Config.Name
	leases, maps := f.Lock, f.Other
	if f.options.Config.Lock != "lease" {
		leases, maps = maps, leases
	}
	f.wg.Go(func() { history.Lease(ctx, f.client, ns, name, leases) })
	f.wg.Go(func() { history.ConfigMap(ctx, f.client, ns, name, maps) })
	f.wg.Go(func() { history.Cursors(ctx, f.client, ns, name, f.Cursors) })
}
