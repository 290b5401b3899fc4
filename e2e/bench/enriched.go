package main

import (
	"context"
	"errors"
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/eventbaton/baton/e2e/controlplane"
	"github.com/eventbaton/baton/e2e/verdict"
)

const (
	workloads = 20 // Deployments of one ReplicaSet each
	replicas  = 10
	nodes     = 10
	// everything that can be added, at the default budget.
	everything = `{labels: ["*"], annotations: ["*"], owners: true, node: true}`
)

var app = []corev1.Container{{Name: "app", Image: "app"}}

// enriched measures the steady load once without enrichment and once with all of it.
func enriched(ctx context.Context, b *bench) ([]number, error) {
	var numbers []number
	err := withPlane(ctx, controlplane.Options{}, func(plane *controlplane.ControlPlane) error {
		pods, err := populate(ctx, plane.Client())
		if err != nil {
			return err
		}
		bare, _, err := b.enriched(ctx, plane, "bare", pods, nil)
		if err != nil {
			return err
		}
		full, lookups, err := b.enriched(ctx, plane, "enriched", pods, map[string]string{"enrich": everything})
		numbers = append([]number{
			shown("processor time of the leader an event, without enrichment", "%.3f ms", bare.anEvent()),
			shown("the same, with all of it", "%.3f ms, %.2f times that", full.anEvent(), full.anEvent()/bare.anEvent()),
			shown("lag without enrichment, p50 and p99", "%.1f ms, %.1f ms",
				milliseconds(verdict.Quantile(bare.lags, 0.5)), milliseconds(verdict.Quantile(bare.lags, 0.99))),
			shown("lookups, also for the events of the run before, which it lists", "%s", lookups.less(nil)), // without zeros
		}, full.numbers()...)
		return err
	})
	return numbers, err
}

// enriched is the steady load about these pods, and the leader's lookups by outcome.
func (b *bench) enriched(
	ctx context.Context, plane *controlplane.ControlPlane, name string, pods []corev1.ObjectReference, more map[string]string,
) (w work, lookups tally, err error) {
	s, err := b.openWith(ctx, plane, name, 1, more)
	if err != nil {
		return w, nil, err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	if w, err = s.work(ctx, plane.Client(), pods); err != nil {
		return w, nil, err
	}
	var status struct {
		Counters struct{ Lookups tally }
	}
	err = s.fleet.Agents()[0].Status(ctx, &status)
	return w, status.Counters.Lookups, err
}

// populate makes nodes, workloads and their pods, as controllers and the scheduler would, and gives the pods in an order in
// which each workload's are far from each other.
func populate(ctx context.Context, client kubernetes.Interface) ([]corev1.ObjectReference, error) {
	for i := range nodes {
		zone := map[string]string{corev1.LabelTopologyZone: fmt.Sprintf("zone-%d", i%3)}
		node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: nodeName(i), Labels: zone}}
		if _, err := client.CoreV1().Nodes().Create(ctx, node, metav1.CreateOptions{}); err != nil {
			return nil, fmt.Errorf("making a node: %w", err)
		}
	}
	owners := make([]*appsv1.ReplicaSet, workloads)
	for i := range owners {
		var err error
		if owners[i], err = makeWorkload(ctx, client, fmt.Sprintf("workload-%02d", i)); err != nil {
			return nil, fmt.Errorf("making a workload: %w", err)
		}
	}
	var pods []corev1.ObjectReference
	for i := range replicas {
		for _, owner := range owners {
			pod := &corev1.Pod{
				ObjectMeta: ownedBy(owner, "ReplicaSet", fmt.Sprintf("%s-%d", owner.Name, i)),
				Spec:       corev1.PodSpec{NodeName: nodeName(len(pods) % nodes), Containers: app},
			}
			pod, err := client.CoreV1().Pods(eventsNamespace).Create(ctx, pod, metav1.CreateOptions{})
			if err != nil {
				return nil, fmt.Errorf("making a pod: %w", err)
			}
			pods = append(pods, corev1.ObjectReference{
				APIVersion: "v1", Kind: "Pod", Namespace: pod.Namespace, Name: pod.Name, UID: pod.UID, ResourceVersion: pod.ResourceVersion,
			})
		}
	}
	return pods, nil
}

func nodeName(i int) string { return fmt.Sprintf("node-%d", i) }

// makeWorkload makes a Deployment and its ReplicaSet.
func makeWorkload(ctx context.Context, client kubernetes.Interface, name string) (*appsv1.ReplicaSet, error) {
	labels := map[string]string{"app.kubernetes.io/name": name, "app.kubernetes.io/part-of": "bench", "team": "shop"}
	selector := &metav1.LabelSelector{MatchLabels: labels}
	template := corev1.PodTemplateSpec{
		ObjectMeta: metav1.ObjectMeta{Labels: labels},
		Spec:       corev1.PodSpec{Containers: app},
	}
	deployment := &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels, Annotations: map[string]string{"owner": "shop@example.com"}},
		Spec:       appsv1.DeploymentSpec{Selector: selector, Template: template},
	}
	deployment, err := client.AppsV1().Deployments(eventsNamespace).Create(ctx, deployment, metav1.CreateOptions{})
	if err != nil {
		return nil, err
	}
	set := &appsv1.ReplicaSet{
		ObjectMeta: ownedBy(deployment, "Deployment", name+"-7d9c6b5f4"),
		Spec:       appsv1.ReplicaSetSpec{Selector: selector, Template: template},
	}
	return client.AppsV1().ReplicaSets(eventsNamespace).Create(ctx, set, metav1.CreateOptions{})
}

// ownedBy is an object's metadata that has the labels and annotations of who controls it.
func ownedBy(owner metav1.Object, kind, name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{
		Name: name, Labels: owner.GetLabels(), Annotations: owner.GetAnnotations(),
		OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(owner, appsv1.SchemeGroupVersion.WithKind(kind))},
	}
}
