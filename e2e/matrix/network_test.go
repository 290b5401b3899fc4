package matrix

import (
	"github.com/eventbaton/baton/e2e/fleet"
	"github.com/eventbaton/baton/e2e/proxy"
)

func networkCells() []cell {
	return []cell{
		{name: "API cut for the leader", fault: unreachable((*proxy.Proxy).Cut, leaderOnly)},
		{name: "API frozen for the leader", fault: unreachable((*proxy.Proxy).Freeze, leaderOnly)},
		{name: "API cut for all", fault: unreachable((*proxy.Proxy).Cut, everyone)},
		{name: "API frozen for all", fault: unreachable((*proxy.Proxy).Freeze, everyone)},
	}
}

func leaderOnly(r *run) []*fleet.Agent { return []*fleet.Agent{r.leader()} }
func everyone(r *run) []*fleet.Agent   { return r.fleet.Agents() }

// unreachable breaks the way of some agents to the API server for two leases.
func unreachable(breakIt func(*proxy.Proxy), whose func(*run) []*fleet.Agent) func(*run) {
	return func(r *run) {
		victims := whose(r)
		r.inject()
		for _, a := range victims {
			breakIt(a.Proxy)
		}
		r.pass(2 * lease)
		if len(victims) == 1 {
			r.successor(victims[0])
		}
		for _, a := range victims {
			a.Proxy.Heal()
		}
		if len(victims) > 1 {
			r.heal()
		}
		r.delivering()
		r.pass(lease / 2) // a former leader may not act on what it had in hand
	}
}
