package suite

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	apitypes "k8s.io/apimachinery/pkg/types"

	"github.com/eventbaton/baton/e2e/inject"
)

// deletePods deletes the leaders' pods, with the given grace period or their own.
func deletePods(grace *int64) func(*run) {
	return func(r *run) {
		r.inject()
		r.must(together(r.taking, func(rel *release) error { return r.deletePod(rel, grace) }))
		r.takeover()
	}
}

func (r *run) deletePod(rel *release, grace *int64) error {
	return r.client.CoreV1().Pods(rel.namespace).Delete(r.ctx, r.leaders[rel].pod, metav1.DeleteOptions{GracePeriodSeconds: grace})
}

// pids are those of the leaders' processes, in their node.
func (r *run) pids() []int {
	r.Helper()
	tasks, err := r.cluster.Exec(r.ctx, r.node, inject.Tasks()...)
	r.must(err)
	var pids []int
	for _, rel := range r.taking {
		pid, err := inject.Pid(string(tasks), r.leaders[rel].container)
		r.must(err)
		pids = append(pids, pid)
	}
	return pids
}

// signal sends a signal to processes of the leaders' node.
func (r *run) signal(signal string, pids []int) error {
	var errs []error
	for _, pid := range pids {
		_, err := r.cluster.Exec(r.ctx, r.node, inject.Signal(signal, pid)...)
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

func killProcesses(r *run) {
	pids := r.pids()
	r.inject()
	r.must(r.signal("KILL", pids))
	r.takeover()
}

func stopProcesses(r *run) {
	r.stopped = r.pids()
	r.inject()
	r.must(r.signal("STOP", r.stopped))
	r.takeover()
	r.pass(time.Until(r.from.Add(r.lease + time.Second)))
}

// continueProcesses wakes those that the kubelet has not killed meanwhile: a process that is stopped answers no probe.
func continueProcesses(r *run) error {
	for _, pid := range r.stopped {
		if _, err := r.cluster.Exec(r.ctx, r.node, "sh", "-c", fmt.Sprintf("[ ! -d /proc/%[1]d ] || kill -CONT %[1]d", pid)); err != nil {
			return err
		}
	}
	return nil
}

// docker runs the engine's CLI.
func (r *run) docker(args ...string) error {
	_, err := r.cluster.Docker(r.ctx, args...)
	return err
}

func pauseNode(r *run) {
	r.inject()
	r.must(r.docker("pause", r.node))
	r.takeover()
}

func unpauseNode(r *run) error { return r.docker("unpause", r.node) }

func stopNode(r *run) {
	r.inject()
	r.must(r.docker("stop", r.node))
	r.takeover()
}

func startNode(r *run) error { return r.docker("start", r.node) }

func cutNode(r *run) {
	r.inject()
	_, err := r.cluster.Exec(r.ctx, r.node, inject.Cut()...)
	r.must(err)
	r.takeover()
}

func mendNode(r *run) error {
	_, err := r.cluster.Exec(r.ctx, r.node, inject.Mend()...)
	return err
}

// drainNode drains the node, which leaves the pods of DaemonSets, and stops it.
func drainNode(r *run) {
	_, err := r.cluster.Kubectl(r.ctx, "drain", r.node, "--ignore-daemonsets", "--delete-emptydir-data", "--force", "--timeout=60s")
	r.must(err)
	stopNode(r)
}

func uncordonNode(r *run) error {
	_, err := r.cluster.Kubectl(r.ctx, "uncordon", r.node)
	return errors.Join(startNode(r), err)
}

// killWorkers ends the nodes as a power cut does: nobody is told.
func killWorkers(r *run) {
	r.inject()
	r.must(r.docker(append([]string{"kill"}, r.workers()...)...))
	r.takeover()
}

func startWorkers(r *run) error { return r.docker(append([]string{"start"}, r.workers()...)...) }

// refuseRenewals has the API server refuse what names the leaders as holders.
func refuseRenewals(r *run) {
	r.inject()
	r.must(together(r.taking, func(rel *release) error {
		policy, binding := inject.RefuseHolder("refuse-"+rel.name, rel.namespace, rel.lock, r.leaders[rel].identity)
		api := r.client.AdmissionregistrationV1()
		if _, err := api.ValidatingAdmissionPolicies().Create(r.ctx, policy, metav1.CreateOptions{}); err != nil {
			return err
		}
		_, err := api.ValidatingAdmissionPolicyBindings().Create(r.ctx, binding, metav1.CreateOptions{})
		return err
	}))
	r.takeover()
}

func allowRenewals(r *run) error {
	return together(r.taking, func(rel *release) error {
		api := r.client.AdmissionregistrationV1()
		name := "refuse-" + rel.name
		return errors.Join(api.ValidatingAdmissionPolicyBindings().Delete(r.ctx, name, metav1.DeleteOptions{}),
			api.ValidatingAdmissionPolicies().Delete(r.ctx, name, metav1.DeleteOptions{}))
	})
}

// answers tells whether the API server does.
func (r *run) answers(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	return r.client.RESTClient().Get().AbsPath("/readyz").Do(ctx).Error()
}

func stopAPIServer(r *run) {
	r.inject()
	_, err := r.cluster.Exec(r.ctx, r.controlPlane(), inject.StopAPIServer()...)
	r.must(err)
	r.must(r.eventually(r.ctx, 2*time.Minute, "the API server is down", func(ctx context.Context) error {
		if r.answers(ctx) == nil {
			return errors.New("it answers")
		}
		return nil
	}))
	r.pass(apiOutage)
}

func startAPIServer(r *run) error {
	if _, err := r.cluster.Exec(r.ctx, r.controlPlane(), inject.StartAPIServer()...); err != nil {
		return err
	}
	if err := r.eventually(r.ctx, 2*time.Minute, "the API server answers", r.answers); err != nil {
		return err
	}
	service, err := r.client.CoreV1().Services(metav1.NamespaceDefault).Get(r.ctx, "kubernetes", metav1.GetOptions{})
	if err != nil {
		return err
	}
	// An API server that ends takes itself from its Service, and each node's kube-proxy is late to hear of its return.
	err = r.eventually(r.ctx, 2*time.Minute, "a node leads to the API server", func(ctx context.Context) error {
		return r.anyNode(ctx, inject.Reach(service.Spec.ClusterIP)...)
	})
	r.measure()
	return err
}

// anyNode runs a command in all nodes at once, and is well where one of them is.
func (r *run) anyNode(ctx context.Context, command ...string) error {
	results := make(chan error, len(r.nodes))
	for _, n := range r.nodes {
		go func() {
			_, err := r.cluster.Exec(ctx, n.Name, command...)
			results <- err
		}()
	}
	var errs []error
	for range r.nodes {
		err := <-results
		if err == nil {
			return nil
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

func closeReceiver(r *run) {
	r.inject()
	r.must(r.peers.door(r.ctx, "close"))
	r.pass(receiverOutage)
}

func openReceiver(r *run) error {
	if err := r.peers.door(r.ctx, "open"); err != nil {
		return err
	}
	r.measure()
	return nil
}

// rollOut replaces all pods, as `kubectl rollout restart` does.
func rollOut(r *run) {
	patch := fmt.Appendf(nil, `{"spec":{"template":{"metadata":{"annotations":{"kubectl.kubernetes.io/restartedAt":%q}}}}}`, time.Now().Format(time.RFC3339))
	r.inject()
	r.must(together(r.taking, func(rel *release) error {
		_, err := r.client.AppsV1().DaemonSets(rel.namespace).Patch(r.ctx, rel.name, apitypes.StrategicMergePatchType, patch, metav1.PatchOptions{})
		if err != nil {
			return err
		}
		return rel.awaitLeader(r.ctx)
	}))
}

// changeLock changes each release to the other kind of lock, and back.
func changeLock(r *run) {
	r.inject()
	r.must(together(r.taking, func(rel *release) error {
		rel.lock = otherLock(rel.title)
		if err := rel.upgraded(r.ctx); err != nil {
			return err
		}
		rel.lock = rel.title
		return rel.upgraded(r.ctx)
	}))
}

func otherLock(lock string) string {
	if lock == inject.Lease {
		return inject.ConfigMap
	}
	return inject.Lease
}

// restoreLock is for a change that has failed half-way.
func restoreLock(r *run) error {
	return together(r.taking, func(rel *release) error {
		if rel.lock == rel.title {
			return nil
		}
		rel.lock = rel.title
		return rel.upgraded(r.ctx)
	})
}

// editLease edits the values as a user would: one upgrade each for the lease, for the lease again, and for a sink, which
// then gets what the cluster still has.
func editLease(r *run) {
	r.inject()
	r.must(together(r.taking, func(rel *release) error {
		for _, lease := range []time.Duration{usualLease, longLease} {
			rel.lease = lease
			if err := rel.upgraded(r.ctx); err != nil {
				return err
			}
			if seen := rel.locks[rel.lock].Now().LeaseDurationSeconds; seen != int(lease.Seconds()) {
				return fmt.Errorf("the lock says a lease of %d s, where %v is configured", seen, lease)
			}
		}
		second := rel.path + "-second"
		got := r.peers.from(second)
		rel.sinks = append(rel.sinks, r.webhook("second", second))
		if err := rel.upgraded(r.ctx); err != nil {
			return err
		}
		stored, err := r.events(r.ctx)
		if err != nil {
			return err
		}
		return r.eventually(r.ctx, settleTimeout, "the new sink has all that is stored", func(ctx context.Context) error {
			if err := r.peers.fetch(ctx); err != nil {
				return err
			}
			for _, e := range stored {
				if !got.Has(e.version) {
					return fmt.Errorf("%s is missing", e.name)
				}
			}
			return nil
		})
	}))
}

// removeSink leaves the release as it was; the upgrade itself is the next fault's, which has another lease.
func removeSink(r *run) error {
	for _, rel := range r.taking {
		rel.sinks, rel.lease = rel.sinks[:2], 0
	}
	return nil
}

// breakConfig upgrades to a configuration that no agent takes: a filter that names no field of a record, which the
// chart's schema can't know. The leader's pod is then deleted, so that two of three pods crash.
func breakConfig(r *run) {
	r.must(together(r.taking, func(rel *release) error {
		whole := rel.sinks
		bad := r.webhook(sinkName, rel.path)
		bad["filter"] = `event.nonsense == "x"`
		rel.sinks = []map[string]any{whole[0], bad}
		err := rel.upgrade(r.ctx)
		rel.sinks = whole
		if err != nil {
			return err
		}
		return r.eventually(r.ctx, time.Minute, "a pod tells the line that is wrong", func(ctx context.Context) error { return rel.complains(ctx) })
	}))
	r.know()
	r.inject()
	r.must(together(r.taking, func(rel *release) error { return r.deletePod(rel, nil) }))
	r.takeover()
}

// complains looks for a pod that has ended and says in its log where the configuration is wrong.
func (r *release) complains(ctx context.Context) error {
	pods, err := r.pods(ctx)
	if err != nil {
		return err
	}
	for _, p := range pods {
		if !crashed(&p) {
			continue
		}
		log, err := r.log(ctx, p.Name, 5)
		if err != nil {
			return err
		}
		if strings.Contains(log, "kubernetes.yaml:") && strings.Contains(log, "nonsense") {
			return nil
		}
		return fmt.Errorf("the log of %s names no line: %s", p.Name, log)
	}
	return errors.New("no pod has ended")
}

// crashed tells whether the agent has ended with the exit code for a bad configuration.
func crashed(p *corev1.Pod) bool {
	for _, c := range p.Status.ContainerStatuses {
		for _, s := range []corev1.ContainerState{c.State, c.LastTerminationState} {
			if s.Terminated != nil && s.Terminated.ExitCode == 2 {
				return true
			}
		}
	}
	return false
}

// log is the end of a pod's log.
func (r *release) log(ctx context.Context, pod string, lines int64) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	stream, err := r.stage.client.CoreV1().Pods(r.namespace).GetLogs(pod, &corev1.PodLogOptions{TailLines: &lines}).Stream(ctx)
	if err != nil {
		return "", err
	}
	defer stream.Close()
	text, err := io.ReadAll(io.LimitReader(stream, 64<<10))
	return string(text), err
}

// rollBack goes back to the last revision but one.
func rollBack(r *run) error {
	return together(r.taking, func(rel *release) error {
		if err := rel.helm.Rollback(r.ctx, rel.name, rel.namespace, 0); err != nil {
			return err
		}
		return rel.awaitLeader(r.ctx)
	})
}
