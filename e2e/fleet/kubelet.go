package fleet

import (
	"context"
	"fmt"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// podPlayer is what the played kubelet knows of an agent's pod.
type podPlayer struct {
	mu       sync.Mutex
	id       types.UID
	restarts int32
	started  metav1.Time
	last     corev1.ContainerState
}

func (p *podPlayer) uid() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return string(p.id)
}

func (a *Agent) node() string { return fmt.Sprintf("node-%d", a.Number) }

// MakePod makes the agent's pod, with its container running since now.
func (a *Agent) MakePod(ctx context.Context) error {
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: a.fleet.options.Namespace, Name: a.Name, Labels: map[string]string{"app": "baton"}},
		Spec: corev1.PodSpec{
			NodeName:   a.node(), // nobody schedules here
			Containers: []corev1.Container{{Name: containerName, Image: "baton"}},
		},
	}
	made, err := a.fleet.client.CoreV1().Pods(pod.Namespace).Create(ctx, pod, metav1.CreateOptions{})
	if err != nil {
		return fmt.Errorf("making the pod %s: %w", a.Name, err)
	}
	a.pod.mu.Lock()
	a.pod.id, a.pod.restarts, a.pod.last = made.UID, 0, corev1.ContainerState{}
	a.pod.mu.Unlock()
	return a.ReportRunning(ctx, time.Now())
}

// DeletePod deletes the pod by force, as if its node had confirmed the end of its containers.
func (a *Agent) DeletePod(ctx context.Context) error {
	zero := int64(0)
	pods := a.fleet.client.CoreV1().Pods(a.fleet.options.Namespace)
	if err := pods.Delete(ctx, a.Name, metav1.DeleteOptions{GracePeriodSeconds: &zero}); err != nil {
		return fmt.Errorf("deleting the pod %s: %w", a.Name, err)
	}
	return nil
}

// ReportRunning reports that the container runs since started.
func (a *Agent) ReportRunning(ctx context.Context, started time.Time) error {
	a.pod.mu.Lock()
	a.pod.started = metav1.NewTime(started)
	s := a.pod.status(corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: a.pod.started}})
	a.pod.mu.Unlock()
	return a.report(ctx, s)
}

// ReportTerminated reports that the container has ended at finished.
func (a *Agent) ReportTerminated(ctx context.Context, finished time.Time) error {
	a.pod.mu.Lock()
	s := a.pod.status(corev1.ContainerState{Terminated: a.pod.terminated(finished)})
	a.pod.mu.Unlock()
	return a.report(ctx, s)
}

// ReportRestarted reports that the container has ended at finished and runs again since started.
func (a *Agent) ReportRestarted(ctx context.Context, finished, started time.Time) error {
	a.pod.mu.Lock()
	a.pod.last = corev1.ContainerState{Terminated: a.pod.terminated(finished)}
	a.pod.restarts++
	a.pod.mu.Unlock()
	return a.ReportRunning(ctx, started)
}

func (p *podPlayer) terminated(finished time.Time) *corev1.ContainerStateTerminated {
	return &corev1.ContainerStateTerminated{
		ExitCode: 137, Reason: "Error", StartedAt: p.started, FinishedAt: metav1.NewTime(finished),
	}
}

func (p *podPlayer) status(state corev1.ContainerState) corev1.PodStatus {
	return corev1.PodStatus{
		Phase: corev1.PodRunning,
		ContainerStatuses: []corev1.ContainerStatus{{
			Name: containerName, Image: "baton", State: state, LastTerminationState: p.last, RestartCount: p.restarts,
			Ready: state.Running != nil, Started: new(state.Running != nil),
		}},
	}
}

func (a *Agent) report(ctx context.Context, status corev1.PodStatus) error {
	pods := a.fleet.client.CoreV1().Pods(a.fleet.options.Namespace)
	pod, err := pods.Get(ctx, a.Name, metav1.GetOptions{})
	if err != nil {
		return fmt.Errorf("reading the pod %s: %w", a.Name, err)
	}
	pod.Status = status
	if _, err := pods.UpdateStatus(ctx, pod, metav1.UpdateOptions{}); err != nil {
		return fmt.Errorf("reporting on the pod %s: %w", a.Name, err)
	}
	return nil
}
