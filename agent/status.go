package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"maps"
	"slices"
	"text/tabwriter"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/eventbaton/baton/agent/config"
	"github.com/eventbaton/baton/agent/cursor"
	"github.com/eventbaton/baton/agent/election"
	"github.com/eventbaton/baton/agent/kube"
)

// statusTimeout is for all that `baton status` reads.
const statusTimeout = 15 * time.Second

// fleet is what the lock and the cursors say of a fleet of agents.
type fleet struct {
	Locks   []lockStatus     `json:"locks"`
	Cursors string           `json:"cursors"` // namespace/name of the ConfigMap
	Cluster string           `json:"cluster,omitempty"`
	Owner   string           `json:"owner,omitempty"` // who claimed the cursors last
	Epoch   int64            `json:"epoch"`
	Sinks   []positionStatus `json:"sinks"`
	// Problems are the parts of the objects that can't be read.
	Problems []string `json:"problems,omitempty"`
}

type lockStatus struct {
	Lock         string    `json:"lock"`
	Holder       string    `json:"holder,omitempty"`
	Since        time.Time `json:"since,omitzero"`
	Renewed      time.Time `json:"renewed,omitzero"`
	LeaseSeconds float64   `json:"leaseSeconds,omitempty"`
	Transitions  int       `json:"transitions"`
}

type positionStatus struct {
	Sink      string `json:"sink"`
	Namespace string `json:"namespace,omitempty"`
	RV        uint64 `json:"rv,string"`
	Listing   bool   `json:"listing"` // in the middle of a list of what is retained
	// LastEvent is the time of the newest event that the sink has acknowledged.
	LastEvent time.Time `json:"lastEvent,omitzero"`
	// LagSeconds is how long the oldest record has been waiting for the sink, 0 where none waited when the cursors
	// were last written.
	LagSeconds float64 `json:"lagSeconds"`
}

type statusFlags struct {
	config, kubeconfig, namespace, name, output string
}

func (s *statusFlags) set() *flag.FlagSet {
	f := flag.NewFlagSet("status", flag.ContinueOnError)
	f.StringVar(&s.config, "config", "", "the kubernetes.yaml that names the lock")
	f.StringVar(&s.kubeconfig, "kubeconfig", "", "the kubeconfig that names the API server (default: the pod's own, else KUBECONFIG)")
	f.StringVar(&s.namespace, "namespace", "", "the namespace of the lock and the cursors (default: POD_NAMESPACE, else the kubeconfig's)")
	f.StringVar(&s.name, "name", "", "the name of the lock (default: the one in --config, else baton)")
	f.StringVar(&s.output, "o", "text", "how to print it: text or json")
	return f
}

// statusCommand prints who leads and how far each sink is, from the lock and the cursors alone: also when no agent
// runs.
func statusCommand(ctx context.Context, w world, args []string) error {
	var flags statusFlags
	if err := parse(w, flags.set(), args); err != nil {
		return err
	}
	if flags.output != "text" && flags.output != "json" {
		return usageError{fmt.Errorf("-o %q: it is text or json", flags.output)}
	}
	name, err := flags.lockName(w)
	if err != nil {
		return err
	}
	client, namespace, err := connect(w, flags.kubeconfig, flags.namespace)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, statusTimeout)
	defer cancel()
	f, err := readFleet(ctx, client, namespace, name)
	if err != nil {
		return err
	}
	if flags.output == "json" {
		enc := json.NewEncoder(w.stdout)
		enc.SetIndent("", "  ")
		return enc.Encode(f)
	}
	return f.print(w.stdout, time.Now())
}

func (s *statusFlags) lockName(w world) (string, error) {
	if s.name != "" {
		return s.name, nil
	}
	if s.config == "" {
		return config.Default().Name, nil
	}
	cfg, err := config.Load(s.config, w.env)
	if err != nil {
		return "", err
	}
	return cfg.Name, nil
}

// readFleet reads both kinds of lock, because either may be the one in use, and the cursors.
func readFleet(ctx context.Context, c *kube.Client, namespace, name string) (*fleet, error) {
	f := &fleet{Cursors: namespace + "/" + cursor.ObjectName(name), Sinks: []positionStatus{}, Locks: []lockStatus{}}
	for _, lock := range []election.Lock{
		election.NewLeaseLock(c.Leases(namespace), namespace, name),
		election.NewConfigMapLock(c.ConfigMaps(namespace), namespace, name),
	} {
		o, err := lock.Get(ctx)
		if err != nil {
			return nil, fmt.Errorf("reading the %s: %w", lock, err)
		}
		f.addLock(lock.String(), o)
	}
	object, err := c.ConfigMaps(namespace).Get(ctx, cursor.ObjectName(name), metav1.GetOptions{})
	if err != nil && !apierrors.IsNotFound(err) {
		return nil, fmt.Errorf("reading the cursors %s: %w", f.Cursors, err)
	}
	if apierrors.IsNotFound(err) {
		if len(f.Locks) == 0 {
			return nil, fmt.Errorf("no agent has led yet: in the namespace %s there is neither a lock %s (Lease or ConfigMap) "+
				"nor the cursors %s; name others with --namespace and --name",
				namespace, name, cursor.ObjectName(name))
		}
		f.Problems = append(f.Problems, "the cursors "+f.Cursors+" do not exist: nothing was claimed yet, or they were deleted")
		return f, nil
	}
	if err := f.addCursors(object); err != nil {
		return nil, err
	}
	return f, nil
}

func (f *fleet) addLock(lock string, o election.Observation) {
	if !o.Exists {
		return
	}
	if !o.Readable {
		f.Problems = append(f.Problems, "the "+lock+" holds a record that makes no sense")
		return
	}
	f.Locks = append(f.Locks, lockStatus{
		Lock: lock, Holder: o.Record.Holder, Since: o.Record.Acquired, Renewed: o.Record.Renewed,
		LeaseSeconds: o.Record.Duration.Seconds(), Transitions: o.Record.Transitions,
	})
}

func (f *fleet) addCursors(object *corev1.ConfigMap) error {
	state, err := cursor.Read(object)
	if err != nil {
		return err
	}
	f.Cluster, f.Owner, f.Epoch = state.Cluster, state.Owner, state.Epoch
	f.Problems = append(f.Problems, state.Problems...)
	for _, key := range slices.Sorted(maps.Keys(state.Positions)) {
		p := state.Positions[key]
		s := positionStatus{RV: p.RV, Listing: p.Listing != nil, LastEvent: p.Time}
		s.Sink, s.Namespace = cursor.SplitKey(key)
		if !p.Since.IsZero() {
			s.LagSeconds = max(0, time.Since(p.Since).Seconds())
		}
		f.Sinks = append(f.Sinks, s)
	}
	return nil
}

// print writes the fleet as people read it.
func (f *fleet) print(out io.Writer, now time.Time) error {
	t := tabwriter.NewWriter(out, 0, 0, 3, ' ', 0)
	p := func(format string, args ...any) { _, _ = fmt.Fprintf(t, format+"\n", args...) } // Flush tells of errors
	for _, l := range f.Locks {
		p("lock\t%s", l.Lock)
		if l.Holder == "" {
			p("leader\tnone, the lock is free")
			continue
		}
		p("leader\t%s", l.Holder)
		p("since\t%s (%s ago, %d changes of leader)", stamp(l.Since), age(now, l.Since), l.Transitions)
		p("renewed\t%s ago, lease %.0fs%s", age(now, l.Renewed), l.LeaseSeconds, overdue(now, l))
	}
	p("cursors\t%s, epoch %d, claimed by %s", f.Cursors, f.Epoch, firstOf(f.Owner, "nobody"))
	p("cluster\t%s", firstOf(f.Cluster, "unknown"))
	for _, problem := range f.Problems {
		p("problem\t%s", problem)
	}
	if len(f.Sinks) > 0 {
		p("\nSINK\tSTREAM\tCURSOR\tLAST EVENT\tLAG")
	}
	for _, s := range f.Sinks {
		p("%s\t%s\t%s\t%s\t%s", s.Sink, firstOf(s.Namespace, "all namespaces"), s.place(), age(now, s.LastEvent),
			(time.Duration(s.LagSeconds) * time.Second).String())
	}
	return t.Flush()
}

func (s positionStatus) place() string {
	switch {
	case s.Listing:
		return fmt.Sprintf("%d, reading a list", s.RV)
	case s.RV == 0:
		return "the oldest retained"
	default:
		return fmt.Sprint(s.RV)
	}
}

// overdue compares two machines' clocks, which is good enough for a hint.
func overdue(now time.Time, l lockStatus) string {
	if now.Sub(l.Renewed).Seconds() > l.LeaseSeconds {
		return " (overdue: it no longer leads, unless the clocks differ)"
	}
	return ""
}

func stamp(t time.Time) string {
	if t.IsZero() {
		return "unknown"
	}
	return t.UTC().Format(time.RFC3339)
}

func age(now, t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return max(0, now.Sub(t)).Round(time.Second).String()
}
