package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/eventbaton/baton/agent/config"
	"github.com/eventbaton/baton/agent/election"
	"github.com/eventbaton/baton/agent/kube"
	"github.com/eventbaton/baton/agent/relay"
	"github.com/eventbaton/baton/agent/serve"
	"github.com/eventbaton/baton/agent/term"
)

// The modes an agent runs in.
const (
	modeIdle      = "idle"      // it was not told to gather
	modeCandidate = "candidate" // it follows, and leads when elected
	modeSolo      = "solo"      // it gathers without an election
)

// agent is the program at work.
type agent struct {
	mode      string
	cfg       *config.Config
	namespace string
	identity  election.Identity
	node      string
	client    *kube.Client
	metadata  *kube.MetadataReader // nil where nothing is enriched
	sinks     []*relay.Sink
	log       *slog.Logger

	term     *term.Runner
	elector  *election.Elector // nil but for a candidate
	counters *counters
	lost     lostTerm
}

func newAgent(cfg *config.Config, flags runFlags, w world, sinks []*relay.Sink, log *slog.Logger) (*agent, error) {
	a := &agent{
		cfg: cfg, sinks: sinks, log: log, mode: mode(cfg),
		identity: identity(w), node: variable(w, "NODE_NAME"), counters: newCounters(),
	}
	if a.mode == modeIdle {
		log.Info("nothing is gathered: set leader_candidate (or KUBERNETES_LEADER_CANDIDATE) to true " +
			"to have this agent take part in the election")
		return a, nil
	}
	var err error
	if a.client, a.namespace, err = connect(w, flags.kubeconfig, flags.namespace); err != nil {
		return nil, err
	}
	if a.metadata, err = metadataReader(cfg, flags.kubeconfig); err != nil {
		return nil, err
	}
	if pod := variable(w, "POD_NAMESPACE"); pod != "" && pod != a.namespace && a.identity.UID != "" {
		// The others look for the holder's pod in the lock's namespace. One that is never there would be taken for dead.
		log.Warn("the lock is not in the pod's namespace, so a dead leader is noticed only when its lease expires",
			"namespace", a.namespace, "pod_namespace", pod)
		a.identity.UID = ""
	}
	a.term = a.newTerm()
	if a.mode == modeCandidate {
		a.elector, err = a.newElector()
	}
	return a, err
}

// connect makes the client, and says in which namespace the lock and the cursors are. kubeconfig and namespace are the
// flags, empty where they are not set.
func connect(w world, kubeconfig, namespace string) (*kube.Client, string, error) {
	cfg, configured, err := kube.Config(kubeconfig)
	if err != nil {
		return nil, "", err
	}
	client, err := kube.New(cfg, "baton/"+version)
	return client, firstOf(namespace, variable(w, "POD_NAMESPACE"), configured, metav1.NamespaceDefault), err
}

func mode(cfg *config.Config) string {
	switch {
	case cfg.LeaderCandidate:
		return modeCandidate
	case cfg.CollectEvents:
		return modeSolo
	default:
		return modeIdle
	}
}

// identity names this process. Without the pod's UID, outside a cluster, nobody can prove it dead.
func identity(w world) election.Identity {
	return election.NewIdentity(firstOf(variable(w, "POD_NAME"), hostname()), variable(w, "POD_UID"),
		firstOf(variable(w, "CONTAINER_NAME"), "baton"))
}

func variable(w world, name string) string {
	value, _ := w.env(name)
	return value
}

func firstOf(values ...string) string {
	for _, v := range values {
		if v != "" {
			return v
		}
	}
	return ""
}

// run works until ctx ends.
func (a *agent) run(ctx context.Context) error {
	switch a.mode {
	case modeCandidate:
		return a.elector.Run(ctx)
	case modeSolo:
		return a.solo(ctx)
	default:
		<-ctx.Done()
		return nil
	}
}

func (a *agent) newTerm() *term.Runner {
	cfg := a.cfg
	return term.New(term.Options{
		Cursors: a.client.ConfigMaps(a.namespace), Namespace: a.namespace, Name: cfg.CursorsName(),
		Identity: a.identity.String(), ClusterID: a.clusterID, ClusterName: cfg.ClusterName, Tags: cfg.Tags,
		Events: a.client.EventReader(), Streams: cfg.Streams(), Wants: cfg.Wants, Sinks: a.sinks,
		StartNow: cfg.Start == config.StartNow, CheckpointInterval: cfg.CheckpointInterval, DrainTimeout: cfg.DrainTimeout,
		Enricher: a.newEnricher(), Announce: a.announce, Observer: a.counters, Log: a.log,
	})
}

func (a *agent) clusterID(ctx context.Context) (string, error) {
	if a.cfg.ClusterID != "" {
		return a.cfg.ClusterID, nil
	}
	return a.client.ClusterID(ctx)
}

func (a *agent) newElector() (*election.Elector, error) {
	lock, other := a.locks(a.cfg.Lock)
	return election.New(election.Options{
		Lock: lock, Other: other, OtherWins: a.cfg.Lock == config.LockConfigMap,
		Identity: a.identity, Lease: a.cfg.LeaderLeaseDuration, Pods: a.client.Pods(a.namespace),
		Lead:    a.lead,
		Observe: a.counters.election, Log: a.log,
	})
}

// locks are the lock of the configured kind, and the one of the other kind.
func (a *agent) locks(kind string) (lock, other election.Lock) {
	lease := election.NewLeaseLock(a.client.Leases(a.namespace), a.namespace, a.cfg.Name)
	configMap := election.NewConfigMapLock(a.client.ConfigMaps(a.namespace), a.namespace, a.cfg.Name)
	if kind == config.LockConfigMap {
		return configMap, lease
	}
	return lease, configMap
}

// solo gathers without an election, until another agent claims the cursors: two that gather would send everything
// twice.
func (a *agent) solo(ctx context.Context) error {
	if err := a.term.Solo(ctx); err != nil {
		return fmt.Errorf("gathering without an election (collect_events): %w", err)
	}
	return nil
}

// lead leads one term.
func (a *agent) lead(ctx context.Context, t *election.Term) error {
	defer a.counters.forget()
	defer a.lost.watch(ctx)()
	return a.term.Lead(ctx, t)
}

// Status implements serve.Agent.
func (a *agent) Status() serve.Status {
	s := serve.Status{Version: version, Identity: a.identity.String(), Mode: a.mode, Ready: true, Counters: a.counters.snapshot()}
	for _, sink := range a.sinks {
		s.Sinks = append(s.Sinks, sink.Status())
	}
	if a.elector != nil {
		e := a.elector.Status()
		s.Election = &serve.Election{
			Role: string(e.Role), Lock: e.Lock, Holder: e.Holder, HolderSince: e.HolderSince, LastRenewal: e.LastRenewal,
			LeaseSeconds: e.LeaseDuration.Seconds(), Transitions: e.Transitions, Epoch: e.Epoch,
		}
	}
	if a.term != nil {
		s.Term = a.term.Status()
	}
	if err := a.Ready(); err != nil {
		s.Ready, s.Problem = false, err.Error()
	}
	return s
}

// Ready implements serve.Agent: it can watch and hold the lock, claim and write the cursors, and read the events.
func (a *agent) Ready() error {
	var problems []string
	if a.elector != nil {
		problems = append(problems, a.elector.Status().Problem)
	}
	if a.term != nil {
		problems = append(problems, a.term.Status().Problem, a.counters.problem())
	}
	problems = slices.DeleteFunc(problems, func(p string) bool { return p == "" })
	if len(problems) > 0 {
		return errors.New(strings.Join(problems, "; "))
	}
	return nil
}

// Healthy implements serve.Agent. Whatever fails is tried again for as long as it takes; only a term that was lost and
// does not end keeps the agent from ever taking part again, and that a restart mends.
func (a *agent) Healthy() error {
	if d := a.lost.since(); d > longestEnd {
		return fmt.Errorf("a term that was lost %s ago has not ended", d.Round(time.Second))
	}
	return nil
}

// longestEnd is the time in which everything that a term started ends when it is lost: it stops at once, but for the
// last requests.
const longestEnd = time.Minute

// lostTerm knows since when a term is lost that has not ended.
type lostTerm struct{ at atomic.Pointer[time.Time] }

// watch notes when ctx ends, until the returned function is called.
func (l *lostTerm) watch(ctx context.Context) (ended func()) {
	stop := context.AfterFunc(ctx, func() {
		now := time.Now()
		l.at.Store(&now)
	})
	return func() {
		stop()
		l.at.Store(nil)
	}
}

func (l *lostTerm) since() time.Duration {
	at := l.at.Load()
	if at == nil {
		return 0
	}
	return time.Since(*at)
}
