package main

import (
	"context"
	"flag"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/eventbaton/baton/agent/config"
	"github.com/eventbaton/baton/agent/cursor"
	"github.com/eventbaton/baton/agent/kube"
)

type probeFlags struct {
	config, kubeconfig, namespace, name, eventNamespace string
	timeout                                             time.Duration
}

func (p *probeFlags) set() *flag.FlagSet {
	f := flag.NewFlagSet("probe", flag.ContinueOnError)
	f.StringVar(&p.config, "config", "", "the agents' kubernetes.yaml: with it cursors of sinks that were removed are not waited for")
	f.StringVar(&p.kubeconfig, "kubeconfig", "", "the kubeconfig that names the API server (default: the pod's own, else KUBECONFIG)")
	f.StringVar(&p.namespace, "namespace", "", "the namespace of the lock and the cursors (default: POD_NAMESPACE, else the kubeconfig's)")
	f.StringVar(&p.name, "name", "", "the name of the lock (default: the one in --config, else baton)")
	f.StringVar(&p.eventNamespace, "event-namespace", "", "where the event is made: one that is gathered from (default: that of the lock)")
	f.DurationVar(&p.timeout, "timeout", time.Minute, "how long all of it may take")
	return f
}

// probeCommand makes an event, and waits until every sink has acknowledged it.
func probeCommand(ctx context.Context, w world, args []string) error {
	var flags probeFlags
	if err := parse(w, flags.set(), args); err != nil {
		return err
	}
	p, err := newProbe(w, flags)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, flags.timeout)
	defer cancel()
	event, err := p.send(ctx, w)
	if err != nil {
		return err
	}
	began := time.Now()
	if err := await(ctx, p.missing); err != nil {
		return fmt.Errorf("the event %s/%s did not get through: %w; %s", event.Namespace, event.Name, err, p.leaders(ctx))
	}
	_, err = fmt.Fprintf(w.stdout, "the event %s/%s was acknowledged by %s after %s; %s\n", event.Namespace, event.Name,
		strings.Join(p.acknowledged, ", "), time.Since(began).Round(time.Millisecond), p.leaders(ctx))
	return err
}

// probe is one event on its way.
type probe struct {
	client          *kube.Client
	namespace, name string
	stream          string   // the event's namespace
	sinks           []string // those that have to acknowledge it; empty: all that have a cursor
	rv              uint64   // of the event
	acknowledged    []string
}

func newProbe(w world, flags probeFlags) (*probe, error) {
	p := &probe{name: firstOf(flags.name, config.Default().Name)}
	if flags.config != "" {
		cfg, err := config.Load(flags.config, w.env)
		if err != nil {
			return nil, err
		}
		p.name = firstOf(flags.name, cfg.Name)
		for _, s := range cfg.Sinks {
			p.sinks = append(p.sinks, s.Name)
		}
	}
	var err error
	p.client, p.namespace, err = connect(w, flags.kubeconfig, flags.namespace)
	p.stream = firstOf(flags.eventNamespace, p.namespace)
	return p, err
}

// send makes the event. What it happened to is the pod that this runs in, or the lock where it runs in none.
func (p *probe) send(ctx context.Context, w world) (*corev1.Event, error) {
	object := corev1.ObjectReference{APIVersion: "coordination.k8s.io/v1", Kind: "Lease", Namespace: p.stream, Name: p.name}
	if pod := variable(w, "POD_NAME"); pod != "" && variable(w, "POD_NAMESPACE") == p.stream {
		uid := types.UID(variable(w, "POD_UID"))
		object = corev1.ObjectReference{APIVersion: "v1", Kind: "Pod", Namespace: p.stream, Name: pod, UID: uid}
	}
	var made *corev1.Event
	err := await(ctx, func(ctx context.Context) (string, error) {
		now := time.Now() // a name of its own each time: whether a try without an answer made one can't be told
		var err error
		made, err = p.client.Events(p.stream).Create(ctx, &corev1.Event{
			ObjectMeta:     metav1.ObjectMeta{Namespace: p.stream, Name: fmt.Sprintf("%s-probe.%x", p.name, now.UnixNano())},
			InvolvedObject: object,
			Type:           corev1.EventTypeNormal,
			Reason:         "Probe",
			Message:        "made by baton probe, to see that every sink of " + p.namespace + "/" + p.name + " gets it",
			Source:         corev1.EventSource{Component: "baton", Host: variable(w, "NODE_NAME")},
			FirstTimestamp: metav1.NewTime(now), LastTimestamp: metav1.NewTime(now), Count: 1,
			ReportingController: "baton", ReportingInstance: variable(w, "POD_NAME"),
		}, metav1.CreateOptions{})
		return "", err
	})
	if err != nil {
		return nil, denied(fmt.Errorf("making an event in %s: %w", p.stream, err), p.stream, "create", "events")
	}
	if p.rv, err = strconv.ParseUint(made.ResourceVersion, 10, 64); err != nil {
		return nil, fmt.Errorf("the event's resourceVersion %q can't be compared: %w", made.ResourceVersion, err)
	}
	return made, nil
}

// missing says which sinks lack the event.
func (p *probe) missing(ctx context.Context) (string, error) {
	object, err := p.client.ConfigMaps(p.namespace).Get(ctx, cursor.ObjectName(p.name), metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		return fmt.Sprintf("nothing is gathered: there are no cursors %s/%s. Is leaderCandidate (leader_candidate) false?",
			p.namespace, cursor.ObjectName(p.name)), nil
	case err != nil:
		return "", denied(fmt.Errorf("reading the cursors %s/%s: %w", p.namespace, cursor.ObjectName(p.name), err),
			p.namespace, "get", "configmaps")
	}
	state, err := cursor.Read(object)
	if err != nil {
		return "", err
	}
	return p.compare(state), nil
}

// compare looks at the cursors of the event's stream: its namespace's own, or the whole cluster's.
func (p *probe) compare(state cursor.State) string {
	sinks := p.sinks
	if len(sinks) == 0 {
		sinks = sinksOf(state)
	}
	p.acknowledged = nil
	var lacking []string
	for _, sink := range sinks {
		own, has := state.Positions[cursor.Key(sink, p.stream)]
		all, hasAll := state.Positions[cursor.Key(sink, "")]
		switch {
		case has && own.RV >= p.rv, hasAll && all.RV >= p.rv:
			p.acknowledged = append(p.acknowledged, sink)
		case !has && !hasAll:
			lacking = append(lacking, fmt.Sprintf("%s (it has no cursor for the namespace %s: is it gathered from? "+
				"--event-namespace names another)", sink, p.stream))
		default:
			lacking = append(lacking, fmt.Sprintf("%s (%s)", sink, behind(max(own.RV, all.RV), own.Listing != nil || all.Listing != nil)))
		}
	}
	switch {
	case len(sinks) == 0:
		return fmt.Sprintf("the cursors %s/%s hold none of any sink yet", p.namespace, cursor.ObjectName(p.name))
	case len(lacking) == 0:
		return ""
	}
	return fmt.Sprintf("it has resourceVersion %d, and these sinks have not acknowledged it: %s", p.rv, strings.Join(lacking, ", "))
}

func behind(rv uint64, listing bool) string {
	if listing {
		return fmt.Sprintf("at %d, reading a list of what is retained", rv)
	}
	return fmt.Sprintf("at %d", rv)
}

func sinksOf(state cursor.State) []string {
	var sinks []string
	for key := range state.Positions {
		sink, _ := cursor.SplitKey(key)
		sinks = append(sinks, sink)
	}
	slices.Sort(sinks)
	return slices.Compact(sinks)
}

// leaders says who leads, which is where to look next. The probe's time may be up by then.
func (p *probe) leaders(ctx context.Context) string {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), statusTimeout)
	defer cancel()
	f, err := readFleet(ctx, p.client, p.namespace, p.name)
	if err != nil {
		return fmt.Sprintf("who leads can't be told: %v", err)
	}
	var said []string
	for _, l := range f.Locks {
		leader := "nobody"
		if l.Holder != "" {
			leader = fmt.Sprintf("%s (renewed %s ago%s)", l.Holder, age(time.Now(), l.Renewed), overdue(time.Now(), l))
		}
		said = append(said, fmt.Sprintf("%s is held by %s", l.Lock, leader))
	}
	if len(said) == 0 {
		said = append(said, "nobody leads: there is no lock")
	}
	return strings.Join(append(said, f.Problems...), "; ")
}
