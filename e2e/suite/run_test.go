package suite

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/eventbaton/baton/e2e/generator"
	"github.com/eventbaton/baton/e2e/history"
	"github.com/eventbaton/baton/e2e/receiver"
	"github.com/eventbaton/baton/e2e/verdict"
)

// fault is a row of the table. Both releases take it at once.
type fault struct {
	name string
	// lease is both releases', the usual one if zero.
	lease time.Duration
	// bound is what the blackout may be at most, the lease and 2 s if zero.
	bound time.Duration
	// who takes the fault, the two releases that are always there if nil. Their leaders may be anywhere.
	who func(*run) []*release
	// harm does harm, and returns when what it leads to has come about.
	harm func(*run)
	// heal undoes it. It is also called where the harm has failed half-way.
	heal func(*run) error
	// after is done when all is judged, or has failed.
	after func(*run) error
	// rolling says that the fault comes to the leader at a time of its own, so that a re-election counts from there.
	rolling bool
	// resends says that answers of the receiver may be lost, so that one leader may deliver a record twice.
	resends bool
}

// run is a fault that is taken. Its methods end the test's step where something doesn't come about.
type run struct {
	*testing.T
	*stage
	fault
	ctx context.Context

	taking  []*release
	node    string              // of both leaders
	leaders map[*release]leader // before the fault

	from     time.Time // when the fault began, or what is measured
	clip     bool      // nobody could read or receive before
	harmed   bool
	healed   bool
	snapshot []generator.Event // all that was made through the fault
	stored   []storedEvent
	stopped  []int             // processes
	rows     map[*release]bool // those that are judged
}

type storedEvent struct {
	name    string
	version receiver.Version
}

const (
	runTimeout    = 6 * time.Minute
	settleTimeout = time.Minute
	healTimeout   = 2 * time.Minute
)

// prepare brings both leaders to one worker of a healthy cluster.
func (r *run) prepare() {
	r.must(r.health(r.ctx))
	if r.who != nil {
		r.taking = r.who(r)
	} else {
		r.taking = r.releases
		r.must(together(r.taking, func(rel *release) error { return rel.with(r.ctx, r.lease) }))
		r.node = r.worker()
		r.must(together(r.taking, func(rel *release) error { return rel.bring(r.ctx, r.node) }))
	}
	r.know()
	r.must(r.delivered())
	r.saved()
	for _, rel := range r.taking {
		// What has been since the last fault was judged is none of this one.
		news, _ := r.news(rel)
		r.list("lost between the faults", news.Lost)
		r.list("wrong between the faults", news.Wrong)
	}
	r.seasoned()
}

// with has the release run with this lease.
func (rel *release) with(ctx context.Context, lease time.Duration) error {
	if rel.lease == lease {
		return nil
	}
	rel.lease = lease
	err := rel.upgraded(ctx)
	if err != nil {
		rel.lease = 0 // unknown
	}
	return err
}

// worker is the one on which most leaders are already.
func (r *run) worker() string {
	best, most := r.workers()[0], 0
	for _, w := range r.workers() {
		n := 0
		for _, rel := range r.taking {
			if l, err := rel.leader(r.ctx); err == nil && l.node == w {
				n++
			}
		}
		if n > most {
			best, most = w, n
		}
	}
	return best
}

// know remembers who leads.
func (r *run) know() {
	r.leaders = map[*release]leader{}
	for _, rel := range r.taking {
		l, err := rel.leader(r.ctx)
		r.must(err)
		r.leaders[rel] = l
	}
}

// saved waits until the cursors say that all that was made has arrived: a crash then repeats what came since.
func (r *run) saved() {
	newest := uint64(0)
	for _, e := range r.snapshot {
		newest = max(newest, e.Last().RV)
	}
	ctx, cancel := context.WithTimeout(r.ctx, settleTimeout)
	defer cancel()
	for _, rel := range r.taking {
		_, err := rel.cursors.Wait(ctx, func(c history.CursorState) bool { return c.RVs[sinkName] >= newest && !c.Listing[sinkName] })
		r.must(err)
	}
}

// seasoned waits until each leader has led for two whole seconds: an acquireTime and a finishedAt in the same second
// prove nothing, so that a lease would decide.
func (r *run) seasoned() {
	for _, l := range r.leaders {
		if d := time.Until(l.elected.Add(2100 * time.Millisecond)); d > 0 {
			r.pass(d)
		}
	}
}

// execute does the harm, heals it, and waits until everything is as before.
func (r *run) execute() {
	r.inject()
	r.harmed = true
	r.harm(r)
	r.healed = true
	if r.heal != nil {
		r.must(r.heal(r))
	}
}

// settle waits until the cluster is healthy, and until all that was made and stored by then has arrived.
func (r *run) settle() {
	r.must(r.health(r.ctx))
	for _, rel := range r.taking {
		r.must(rel.awaitLeader(r.ctx))
	}
	r.must(r.take())
	if err := r.arrived(); err != nil {
		r.Error(err)
	}
}

// arrived waits until what was taken note of has arrived everywhere.
func (r *run) arrived() error {
	return r.eventually(r.ctx, settleTimeout, "everything has arrived", func(ctx context.Context) error {
		if err := r.peers.fetch(ctx); err != nil {
			return err
		}
		for _, rel := range r.taking {
			if missing := r.missing(rel); len(missing) > 0 {
				return fmt.Errorf("%s lacks %d, the first is %s", rel.name, len(missing), missing[0])
			}
		}
		return nil
	})
}

// take notes what was made and what is stored by now.
func (r *run) take() error {
	return r.eventually(r.ctx, time.Minute, "the events are listed", func(ctx context.Context) error {
		if err := r.peers.fetch(ctx); err != nil {
			return err
		}
		r.snapshot = r.peers.made.Events()
		var err error
		r.stored, err = r.events(ctx)
		return err
	})
}

// events are the latest versions of all events that the cluster still has.
func (s *stage) events(ctx context.Context) ([]storedEvent, error) {
	var all []storedEvent
	options := metav1.ListOptions{Limit: 1000}
	for {
		page, err := s.client.CoreV1().Events("").List(ctx, options)
		if err != nil {
			return nil, fmt.Errorf("listing the events: %w", err)
		}
		for _, e := range page.Items {
			v, err := receiver.ParseID("c/" + string(e.UID) + "/" + e.ResourceVersion)
			if err != nil {
				return nil, err
			}
			all = append(all, storedEvent{e.Namespace + "/" + e.Name, v})
		}
		if options.Continue = page.Continue; options.Continue == "" {
			return all, nil
		}
	}
}

// missing is what has not arrived of all that was made and stored, one line each.
func (r *run) missing(rel *release) []string {
	var missing []string
	for _, e := range r.stored {
		if !rel.got.Has(e.version) {
			missing = append(missing, fmt.Sprintf("the stored event %s at version %d", e.name, e.version.RV))
		}
	}
	for _, e := range r.snapshot {
		uid, err := receiver.ParseUID(e.UID)
		if err != nil {
			missing = append(missing, err.Error())
		}
		if v := e.Last(); !rel.got.Has(receiver.Version{UID: uid, RV: v.RV}) {
			missing = append(missing, fmt.Sprintf("the made event %s at version %d", e.Name, v.RV))
		}
	}
	return missing
}

// delivered waits until what is made and stored by now has arrived everywhere.
func (r *run) delivered() error {
	if err := r.take(); err != nil {
		return err
	}
	return r.arrived()
}

// health waits until the nodes are ready and their kubelets are alive.
func (s *stage) health(ctx context.Context) error {
	return s.eventually(ctx, healTimeout, "all nodes are ready", func(ctx context.Context) error {
		nodes, err := s.client.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
		if err != nil {
			return err
		}
		for _, n := range nodes.Items {
			if err := s.nodeHealth(ctx, &n); err != nil {
				return fmt.Errorf("the node %s: %w", n.Name, err)
			}
		}
		return nil
	})
}

func (s *stage) nodeHealth(ctx context.Context, n *corev1.Node) error {
	if n.Spec.Unschedulable {
		return errors.New("is cordoned")
	}
	if !slices.ContainsFunc(n.Status.Conditions, func(c corev1.NodeCondition) bool {
		return c.Type == corev1.NodeReady && c.Status == corev1.ConditionTrue
	}) {
		return errors.New("is not ready")
	}
	lease, err := s.client.CoordinationV1().Leases(corev1.NamespaceNodeLease).Get(ctx, n.Name, metav1.GetOptions{})
	if err != nil {
		return err
	}
	// A kubelet renews it every 10 s. The node's condition is 40 s late.
	if age := time.Since(lease.Spec.RenewTime.Time); age > 12*time.Second {
		return fmt.Errorf("was last heard of %v ago", age.Round(time.Second))
	}
	return nil
}

// news is what can be said of a release since the last time it was asked for.
func (r *run) news(rel *release) (verdict.Result, []history.CursorState) {
	cursors := rel.cursors.All()
	result := verdict.Judge(verdict.Case{
		Made: r.snapshot, Receiver: rel.got, Cursors: cursors, Stream: sinkName, Since: rel.since, Resends: true,
	})
	result.Wrong = append(result.Wrong, verdict.Cursors(cursors, nil, false)...)
	news := result.Since(rel.judged)
	rel.judged = result
	for _, e := range r.stored {
		if !rel.got.Has(e.version) {
			news.Lost = append(news.Lost, fmt.Sprintf("the stored event %s at version %d", e.name, e.version.RV))
		}
	}
	return news, cursors
}

// judge judges what a release got, and adds its row.
func (r *run) judge(rel *release) {
	r.rows[rel] = true
	news, cursors := r.news(rel)
	if !r.resends {
		news.Wrong = append(news.Wrong, news.Resent...)
	}
	row := r.row(rel, news, cursors)
	r.list("lost", news.Lost)
	r.list("wrong", news.Wrong)
	if row.Blackout > row.Bound {
		r.Errorf("the blackout of %v is longer than the bound of %v", row.Blackout, row.Bound)
	}
	row.Passed = !r.Failed()
	r.Logf("\n%s", verdict.FaultTable([]verdict.Fault{row}))
	r.mu.Lock()
	defer r.mu.Unlock()
	r.stage.rows = append(r.stage.rows, row)
}

// made are the times at which something was, ascending.
func (r *run) made() []time.Time {
	var made []time.Time
	for _, e := range r.peers.made.Entries(0) {
		made = append(made, e.At)
	}
	slices.SortFunc(made, time.Time.Compare)
	return made
}

func (r *run) row(rel *release, news verdict.Result, cursors []history.CursorState) verdict.Fault {
	row := verdict.Fault{
		Name: r.name, Lock: rel.title, Lease: r.lease, Made: news.Made, Lost: len(news.Lost), Repeated: news.Repeated, Bound: r.limit(),
		Reelection: verdict.Reelection(cursors, r.from), Blackout: verdict.Blackout(news.First, r.made(), r.from, time.Now(), r.clip),
	}
	if r.rolling {
		row.Reelection = verdict.Handover(slices.Concat(rel.locks["lease"].All(), rel.locks["configmap"].All()), cursors, r.from)
	}
	return row
}

// limit is what the blackout may be at most. A node that is lost costs a lease.
func (r *run) limit() time.Duration { return cmp.Or(r.bound, r.lease+2*time.Second) }

// list complains of lines, the first few of them whole.
func (r *run) list(what string, lines []string) {
	const most = 10
	for i, line := range lines {
		if i == most {
			r.Errorf("%s: and %d more", what, len(lines)-i)
			return
		}
		r.Errorf("%s: %s", what, line)
	}
}

// inject says that the fault begins now: from here on the longest gap between first arrivals counts.
func (r *run) inject() { r.from = time.Now() }

// measure says that only now somebody can read and receive again.
func (r *run) measure() { r.from, r.clip = time.Now(), true }

// takeover waits until each release has another leader.
func (r *run) takeover() {
	r.Helper()
	r.must(together(r.taking, func(rel *release) error { return rel.successor(r.ctx, r.leaders[rel].epoch, 2*r.lease+30*time.Second) }))
}

// pass lets time pass: a fault has to last for a while.
func (r *run) pass(d time.Duration) {
	r.Helper()
	select {
	case <-time.After(d):
	case <-r.ctx.Done():
		r.Fatal(r.ctx.Err())
	}
}

func (r *run) must(err error) {
	if err != nil {
		r.Helper()
		r.Fatal(err)
	}
}

// slug is a name for -run.
func slug(name string) string {
	return strings.Trim(strings.Join(strings.FieldsFunc(strings.ToLower(name), func(c rune) bool {
		return (c < 'a' || c > 'z') && (c < '0' || c > '9')
	}), "-"), "-")
}
