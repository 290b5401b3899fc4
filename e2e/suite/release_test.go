package suite

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/eventbaton/baton/agent/serve"
	"github.com/eventbaton/baton/e2e/helm"
	"github.com/eventbaton/baton/e2e/history"
	"github.com/eventbaton/baton/e2e/inject"
	"github.com/eventbaton/baton/e2e/receiver"
	"github.com/eventbaton/baton/e2e/verdict"
)

// release is one installation of Baton, and what is seen of it.
type release struct {
	stage     *stage
	instance  string // of the release
	name      string // of its objects
	namespace string
	path      string // of what it sends
	title     string // the kind of lock that the table names
	lock      string // the kind that it is configured with now
	lease     time.Duration
	sinks     []map[string]any
	more      map[string]any // further values
	helm      helm.Client    // nil for one that was installed by kubectl

	locks   map[string]*history.History[history.LockState] // by kind
	cursors *history.History[history.CursorState]
	got     *receiver.Replica
	since   time.Time // when its first leader had begun
	judged  verdict.Result
}

const (
	usualLease = 15 * time.Second
	longLease  = time.Minute
	sinkName   = "receiver"
)

// newRelease makes a release that is not installed yet.
func (s *stage) newRelease(namespace, name, path, lock string, client helm.Client) *release {
	r := &release{
		stage: s, instance: name, name: name, namespace: namespace, path: path, title: lock, lock: lock, lease: longLease, helm: client,
		sinks: []map[string]any{{"name": "log", "type": "stdout"}, s.webhook(sinkName, path)},
		locks: map[string]*history.History[history.LockState]{
			inject.Lease: history.New[history.LockState](), inject.ConfigMap: history.New[history.LockState](),
		},
		cursors: history.New[history.CursorState](), got: s.peers.from(path),
	}
	ctx := s.following
	s.wg.Go(func() { history.Lease(ctx, s.client, namespace, name, r.locks[inject.Lease]) })
	s.wg.Go(func() { history.ConfigMap(ctx, s.client, namespace, name, r.locks[inject.ConfigMap]) })
	s.wg.Go(func() { history.Cursors(ctx, s.client, namespace, name, r.cursors) })
	return r
}

func (s *stage) webhook(name, path string) map[string]any {
	return map[string]any{"name": name, "type": "webhook", "url": s.peers.address + "/" + path}
}

// makeReleases installs the two releases that take each fault, one with each version of Helm.
func (s *stage) makeReleases(ctx context.Context) error {
	s.releases = []*release{
		s.newRelease(namespace, "baton-lease", inject.Lease, inject.Lease, helm.V3(s.cluster.Kubeconfig())),
		s.newRelease(namespace, "baton-configmap", inject.ConfigMap, inject.ConfigMap, helm.V4(s.cluster.Kubeconfig())),
	}
	return together(s.releases, func(r *release) error {
		installation, err := r.installation()
		if err != nil {
			return err
		}
		if err := r.helm.Install(ctx, installation); err != nil {
			return err
		}
		if err := r.awaitLeader(ctx); err != nil {
			return err
		}
		r.since = time.Now()
		return nil
	})
}

// together does it with all releases at once.
func together(releases []*release, do func(*release) error) error {
	errs := make([]error, len(releases))
	var wg sync.WaitGroup
	for i, r := range releases {
		wg.Go(func() {
			if err := do(r); err != nil {
				errs[i] = fmt.Errorf("%s: %w", r.name, err)
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// installation is what Helm is told: the values are in a file, as a user's are.
func (r *release) installation() (helm.Release, error) {
	values := map[string]any{
		"leaderCandidate": true, "leaderLeaseDuration": int(r.lease.Seconds()), "lock": r.lock, "sinks": r.sinks,
	}
	maps.Copy(values, r.more)
	text, err := yaml.Marshal(values)
	if err != nil {
		return helm.Release{}, fmt.Errorf("writing the values: %w", err)
	}
	file := filepath.Join(r.stage.files, r.name+".yaml")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		return helm.Release{}, fmt.Errorf("writing the values: %w", err)
	}
	return helm.Release{Name: r.instance, Namespace: r.namespace, Chart: filepath.Join(r.stage.root, "charts", "baton"), ValueFiles: []string{file}}, nil
}

// upgrade is `helm upgrade -f` with the values as they are now.
func (r *release) upgrade(ctx context.Context) error {
	i, err := r.installation()
	if err != nil {
		return err
	}
	return r.helm.Upgrade(ctx, i)
}

// upgraded upgrades, and returns when the pods are replaced and one leads.
func (r *release) upgraded(ctx context.Context) error {
	if err := r.upgrade(ctx); err != nil {
		return err
	}
	return r.awaitLeader(ctx)
}

// leader is a leader: the lock, the cursors and the process itself agree on it.
type leader struct {
	identity, pod, node string
	container           string // its containerID
	epoch               int64
	elected             time.Time
}

// rolloutTimeout is for three pods that are replaced one by one, with both releases and more going on.
const rolloutTimeout = 3 * time.Minute

// awaitLeader waits until all pods are as configured and ready, and one leads, and one alone.
func (r *release) awaitLeader(ctx context.Context) error {
	return r.stage.eventually(ctx, rolloutTimeout, "all pods are ready and one leads", func(ctx context.Context) error {
		leading, err := r.ready(ctx)
		if err != nil {
			return err
		}
		l, err := r.leader(ctx)
		if err == nil && (len(leading) != 1 || leading[0] != l.identity) {
			err = fmt.Errorf("%s leads, and of themselves say so %q", l.identity, leading)
		}
		return err
	})
}

// pods are the agent's pods, also those that are ending.
func (r *release) pods(ctx context.Context) ([]corev1.Pod, error) {
	selector := "app.kubernetes.io/component=agent,app.kubernetes.io/instance=" + r.instance
	list, err := r.stage.client.CoreV1().Pods(r.namespace).List(ctx, metav1.ListOptions{LabelSelector: selector})
	if err != nil {
		return nil, fmt.Errorf("listing the pods: %w", err)
	}
	return list.Items, nil
}

// ready tells what is not: every node has one pod, made as the DaemonSet is now, and the process in it says of itself
// that it is ready. What the DaemonSet says would not do: it can be late by minutes where a node is lost. It returns the
// identities of those that say that they lead.
func (r *release) ready(ctx context.Context) ([]string, error) {
	d, err := r.stage.client.AppsV1().DaemonSets(r.namespace).Get(ctx, r.name, metav1.GetOptions{})
	if err != nil {
		return nil, fmt.Errorf("reading the DaemonSet: %w", err)
	}
	n, s := int32(len(r.stage.nodes)), d.Status
	if s.ObservedGeneration != d.Generation || s.DesiredNumberScheduled != n || s.UpdatedNumberScheduled != n || s.NumberAvailable != n {
		return nil, fmt.Errorf("the DaemonSet is at generation %d of %d, with %d pods of %d up to date, %d available",
			s.ObservedGeneration, d.Generation, s.UpdatedNumberScheduled, n, s.NumberAvailable)
	}
	pods, err := r.pods(ctx)
	if err != nil {
		return nil, err
	}
	if len(pods) != int(n) {
		return nil, fmt.Errorf("%d pods on %d nodes", len(pods), n)
	}
	var leading []string
	for i := range pods {
		status, err := r.podReady(ctx, &pods[i])
		if err != nil {
			return nil, fmt.Errorf("the pod %s on %s: %w", pods[i].Name, pods[i].Spec.NodeName, err)
		}
		if status.Term.Leading {
			leading = append(leading, status.Identity)
		}
	}
	return leading, nil
}

func (r *release) podReady(ctx context.Context, p *corev1.Pod) (serve.Status, error) {
	if p.DeletionTimestamp != nil {
		return serve.Status{}, errors.New("is being deleted")
	}
	if !slices.ContainsFunc(p.Status.Conditions, func(c corev1.PodCondition) bool {
		return c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue
	}) {
		return serve.Status{}, errors.New("is not ready")
	}
	status, err := r.status(ctx, p)
	if err == nil && !status.Ready {
		err = errors.New(status.Problem)
	}
	return status, err
}

// status is a pod's own /status.
func (r *release) status(ctx context.Context, p *corev1.Pod) (serve.Status, error) {
	var status serve.Status
	if err := r.stage.proxied(ctx, r.namespace, p.Name, "status", nil, &status); err != nil {
		return status, err
	}
	if !strings.HasPrefix(status.Identity, p.Name+"_"+string(p.UID)+"_") {
		return status, fmt.Errorf("its address answers as %s", status.Identity)
	}
	return status, nil
}

// leader is who leads, or why nobody does for sure.
func (r *release) leader(ctx context.Context) (leader, error) {
	lock, cursors := r.locks[r.lock].Now(), r.cursors.Now()
	if lock.Holder == "" {
		return leader{}, errors.New("the lock has no holder")
	}
	if cursors.Owner != lock.Holder {
		return leader{}, fmt.Errorf("%s holds the lock, %s has claimed the cursors", lock.Holder, cursors.Owner)
	}
	name := history.PodOf(lock.Holder)
	p, err := r.stage.client.CoreV1().Pods(r.namespace).Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return leader{}, fmt.Errorf("reading the leader's pod: %w", err)
	}
	status, err := r.status(ctx, p)
	if err != nil {
		return leader{}, err
	}
	if status.Identity != lock.Holder || !status.Term.Leading || status.Term.Epoch != cursors.Epoch {
		return leader{}, fmt.Errorf("%s holds the lock with epoch %d; the process %s says that it leads: %v, with epoch %d",
			lock.Holder, cursors.Epoch, status.Identity, status.Term.Leading, status.Term.Epoch)
	}
	l := leader{identity: lock.Holder, pod: name, node: p.Spec.NodeName, epoch: cursors.Epoch, elected: lock.AcquireTime.Time}
	for _, c := range p.Status.ContainerStatuses {
		l.container = c.ContainerID
	}
	return l, nil
}

// bring has the release led by the pod on a node: whoever else leads is deleted until it is. It returns when all pods are
// ready again.
func (r *release) bring(ctx context.Context, node string) error {
	for {
		var l leader
		err := r.stage.eventually(ctx, time.Minute, "one leads", func(ctx context.Context) error {
			var err error
			l, err = r.leader(ctx)
			return err
		})
		if err != nil {
			return err
		}
		if l.node == node {
			return r.awaitLeader(ctx)
		}
		if err := r.stage.client.CoreV1().Pods(r.namespace).Delete(ctx, l.pod, metav1.DeleteOptions{}); err != nil {
			return fmt.Errorf("deleting the pod %s: %w", l.pod, err)
		}
		if err := r.successor(ctx, l.epoch, time.Minute); err != nil {
			return err
		}
	}
}

// successor waits for a later epoch than this one.
func (r *release) successor(ctx context.Context, epoch int64, within time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	if _, err := r.cursors.Wait(ctx, func(c history.CursorState) bool { return c.Epoch > epoch }); err != nil {
		return fmt.Errorf("waiting for a leader after epoch %d: %w", epoch, err)
	}
	return nil
}
