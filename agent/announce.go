package main

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/eventbaton/baton/agent/config"
)

// announceTimeout is for the Kubernetes event of a leader change, which nobody waits for.
const announceTimeout = 5 * time.Second

// announce records a change of the leader as a Kubernetes event of the lock.
func (a *agent) announce(ctx context.Context, epoch int64) {
	ctx, cancel := context.WithTimeout(ctx, announceTimeout)
	defer cancel()
	now := time.Now()
	lock := corev1.ObjectReference{APIVersion: "coordination.k8s.io/v1", Kind: "Lease", Namespace: a.namespace, Name: a.cfg.Name}
	if a.cfg.Lock == config.LockConfigMap {
		lock.APIVersion, lock.Kind = "v1", "ConfigMap"
	}
	_, err := a.client.Events(a.namespace).Create(ctx, &corev1.Event{
		ObjectMeta:     metav1.ObjectMeta{Namespace: a.namespace, Name: fmt.Sprintf("%s.%x", a.cfg.Name, now.UnixNano())},
		InvolvedObject: lock,
		Type:           corev1.EventTypeNormal,
		Reason:         "LeaderElection",
		Message:        fmt.Sprintf("%s leads, in epoch %d", a.identity, epoch),
		Source:         corev1.EventSource{Component: "baton", Host: a.node},
		FirstTimestamp: metav1.NewTime(now), LastTimestamp: metav1.NewTime(now), Count: 1,
		ReportingController: "baton", ReportingInstance: a.identity.Pod,
	}, metav1.CreateOptions{})
	if err != nil && ctx.Err() == nil {
		a.log.Warn("the leader change could not be recorded as an event (grant create on events)", "error", err)
	}
}
