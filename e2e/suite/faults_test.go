package suite

import (
	"cmp"
	"context"
	"testing"
	"time"

	"sigs.k8s.io/e2e-framework/pkg/envconf"
	"sigs.k8s.io/e2e-framework/pkg/features"
	"sigs.k8s.io/e2e-framework/pkg/types"

	"github.com/eventbaton/baton/e2e/inject"
)

const (
	// deathBound is for a leader whose end is told, or that ends in order: whatever the lease.
	deathBound = 3 * time.Second
	// retryBound is for a receiver that comes back: the longest pause between two tries is 12.5 s, and then there is the try.
	retryBound = 15 * time.Second
	// startBound is for a fleet that is deleted whole and made again.
	startBound = 10 * time.Second

	apiOutage      = time.Minute
	receiverOutage = 2 * time.Minute
)

// faults are all rows. Those with the long lease are first: a change of the lease is a rollout.
func faults() []fault {
	return []fault{
		{name: "leader pod deleted", lease: longLease, bound: deathBound, harm: deletePods(nil)},
		{name: "leader pod deleted by force", lease: longLease, bound: deathBound, harm: deletePods(new(int64(0)))},
		{name: "leader process SIGKILLed", lease: longLease, bound: deathBound, harm: killProcesses},
		{name: "lease edited 60, 15, 60, a sink added", lease: longLease, bound: deathBound, rolling: true, harm: editLease, heal: removeSink},
		{name: "DaemonSet rolled", bound: deathBound, rolling: true, harm: rollOut},
		{name: "chart changed to the other lock and back", bound: deathBound, rolling: true, harm: changeLock, heal: restoreLock},
		{name: "leader process SIGSTOPped, continued", harm: stopProcesses, heal: continueProcesses},
		{name: "leader's node paused", harm: pauseNode, heal: unpauseNode},
		{name: "leader's node stopped", harm: stopNode, heal: startNode},
		{name: "leader's node cut off", harm: cutNode, heal: mendNode, resends: true},
		{name: "leader's node drained, stopped", harm: drainNode, heal: uncordonNode},
		{name: "leader's renewals refused by a policy", harm: refuseRenewals, heal: allowRenewals},
		{name: "API server down for a minute", harm: stopAPIServer, heal: startAPIServer},
		{name: "receiver down for two minutes", bound: retryBound, harm: closeReceiver, heal: openReceiver, resends: true},
		{name: "crash-looping agents", bound: deathBound, harm: breakConfig, heal: rollBack},
		{name: "two of three nodes gone", harm: killWorkers, heal: startWorkers},
		{name: "kubectl replace --force", lease: longLease, bound: startBound, who: applyManifest(inject.Lease), harm: replaceManifest},
		{name: "kubectl replace --force", lease: longLease, bound: startBound, who: applyManifest(inject.ConfigMap), harm: replaceManifest, after: removeManifest},
	}
}

func TestFaults(t *testing.T) {
	var all []types.Feature
	for _, f := range faults() {
		all = append(all, theStage.feature(f))
	}
	environment.Test(t, all...)
}

func (s *stage) feature(f fault) types.Feature {
	f.lease = cmp.Or(f.lease, usualLease)
	r := &run{stage: s, fault: f, rows: map[*release]bool{}}
	step := func(name string, do func()) features.Func {
		return func(ctx context.Context, t *testing.T, _ *envconf.Config) context.Context {
			r.T = t
			var cancel context.CancelFunc
			r.ctx, cancel = context.WithTimeout(s.ctx, runTimeout)
			defer cancel()
			defer s.timed(f.name + ": " + name)()
			do()
			return ctx
		}
	}
	b := features.New(slug(f.name)).
		WithSetup("leaders on one worker", func(ctx context.Context, t *testing.T, c *envconf.Config) context.Context {
			t.Cleanup(func() { r.T = t; r.finish() })
			return step("prepared", r.prepare)(ctx, t, c)
		}).
		Assess("taken", step("taken", r.execute)).
		Assess("judged", step("judged", r.conclude))
	return b.Feature()
}

// conclude waits until all is well again, and judges.
func (r *run) conclude() {
	r.settle()
	for _, rel := range r.taking {
		r.Run(rel.title, func(t *testing.T) {
			defer func(outer *testing.T) { r.T = outer }(r.T)
			r.T = t
			r.judge(rel)
		})
	}
}

// finish is the end of a fault, however it went: what is wrong is shown, what was harmed is healed, and what was not judged
// has failed. After Ctrl-C there is nothing to do where the cluster goes anyway.
func (r *run) finish() {
	interrupted := r.stage.ctx.Err() != nil
	if interrupted && !r.keep {
		return
	}
	var cancel context.CancelFunc
	r.ctx, cancel = context.WithTimeout(context.WithoutCancel(r.stage.ctx), healTimeout)
	defer cancel()
	if r.Failed() && !interrupted {
		r.dump()
		r.giveUp()
	}
	if r.heal != nil && r.harmed && !r.healed {
		if err := r.heal(r); err != nil {
			r.Error(err)
		}
	}
	if r.after != nil {
		if err := r.after(r); err != nil {
			r.Error(err)
		}
	}
}
