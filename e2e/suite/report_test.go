package suite

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/eventbaton/baton/e2e/inject"
	"github.com/eventbaton/baton/e2e/verdict"
)

// report prints the seconds of each phase and the table, and writes the document where every fault was taken.
func (s *stage) report() error {
	if len(s.phases) > 0 {
		fmt.Println("\ne2e: the seconds of each phase")
		for _, p := range s.phases {
			fmt.Printf("  %7.1f  %s\n", p.took.Seconds(), p.name)
		}
	}
	if len(s.rows) == 0 {
		return nil
	}
	fmt.Printf("\n%s\n", verdict.FaultTable(s.rows))
	file := os.Getenv("BATON_E2E_TABLE")
	if file == "" {
		return nil
	}
	if len(s.rows) != s.expected() || slices.ContainsFunc(s.rows, func(f verdict.Fault) bool { return !f.Passed }) {
		return fmt.Errorf("%s is not written: that takes a run of all faults in which each has passed", file)
	}
	text, err := s.document()
	if err != nil {
		return err
	}
	return os.WriteFile(file, []byte(text), 0o644)
}

// expected is how many rows a whole run has.
func (s *stage) expected() int {
	n := 0
	for _, f := range faults() {
		if f.who == nil {
			n++
		}
		n++
	}
	return n
}

// document is the table with what has to be known to read it.
func (s *stage) document() (string, error) {
	version, err := s.client.Discovery().ServerVersion()
	if err != nil {
		return "", fmt.Errorf("asking for the version: %w", err)
	}
	return verdict.FaultDocument(verdict.Machine{
		Processors: runtime.NumCPU(), Nodes: len(s.nodes), Kubernetes: version.GitVersion, Rate: rate,
	}, s.rows), nil
}

// giveUp notes a fault as failed that was not judged.
func (r *run) giveUp() {
	locks := []string{inject.Lease, inject.ConfigMap}
	if r.who != nil {
		locks = nil
	}
	for _, rel := range r.taking {
		locks = slices.DeleteFunc(locks, func(l string) bool { return l == rel.title })
		if !r.rows[rel] {
			locks = append(locks, rel.title)
		}
	}
	for _, lock := range locks {
		r.stage.rows = append(r.stage.rows, verdict.Fault{Name: r.name, Lock: lock, Lease: r.lease, Bound: r.limit()})
	}
}

const (
	dumpedLines = 6
	dumpTimeout = 30 * time.Second
)

// dump shows what there is when a fault has gone wrong: the first time all of it, then no more.
func (r *run) dump() {
	if r.dumped {
		return
	}
	r.stage.dumped = true
	ctx, cancel := context.WithTimeout(r.stage.ctx, dumpTimeout)
	defer cancel()
	var b strings.Builder
	fmt.Fprintf(&b, "what there is when %q has failed:\n", r.name)
	nodes, err := r.client.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	if err != nil {
		fmt.Fprintln(&b, "  ", err)
	} else {
		for _, n := range nodes.Items {
			fmt.Fprintf(&b, "  node %s: %v\n", n.Name, r.nodeHealth(ctx, &n))
		}
	}
	releases := r.taking
	if len(releases) == 0 {
		releases = r.releases
	}
	for _, rel := range releases {
		if err := rel.dump(ctx, &b); err != nil {
			fmt.Fprintln(&b, "  ", err)
		}
	}
	r.Log(b.String())
}

func (r *release) dump(ctx context.Context, b *strings.Builder) error {
	for kind, h := range r.locks {
		if l := h.Now(); l.Version != "" {
			fmt.Fprintf(b, "%s: %s held by %q, %d s, acquired %v, renewed %v\n", r.name, kind, l.Holder, l.LeaseDurationSeconds,
				l.AcquireTime.Time.Format(time.TimeOnly), l.RenewTime.Time.Format(time.TimeOnly))
		}
	}
	c := r.cursors.Now()
	fmt.Fprintf(b, "%s: cursors of %q, epoch %d, %v, written %v\n", r.name, c.Owner, c.Epoch, c.RVs, c.At.Format(time.TimeOnly))
	pods, err := r.pods(ctx)
	if err != nil {
		return err
	}
	var errs []error
	for _, p := range pods {
		status, err := r.status(ctx, &p)
		fmt.Fprintf(b, "  %s on %s: %s, leads %v, ready %v %s", p.Name, p.Spec.NodeName, p.Status.Phase, status.Term.Leading, status.Ready, status.Problem)
		for _, c := range p.Status.ContainerStatuses {
			fmt.Fprintf(b, ", %d restarts", c.RestartCount)
		}
		if err != nil {
			fmt.Fprintf(b, ": %v", err)
		}
		fmt.Fprintln(b)
		lines, err := r.log(ctx, p.Name, 2000)
		errs = append(errs, err)
		logged := said(lines)
		for _, line := range logged[max(0, len(logged)-dumpedLines):] {
			fmt.Fprintf(b, "    %.400s\n", line)
		}
	}
	return errors.Join(errs...)
}

// said are the lines that the agent has logged: among them are the records of its stdout sink, which have an id.
func said(log string) []string {
	return slices.DeleteFunc(strings.Split(strings.TrimSpace(log), "\n"), func(line string) bool { return strings.HasPrefix(line, `{"id":`) })
}
