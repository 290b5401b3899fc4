package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/eventbaton/baton/agent/election"
	"github.com/eventbaton/baton/agent/record"
)

const (
	// container is the agent's in its pod.
	container = "agent"
	// toLead is a lease, and what a first election and a leader's first list may take.
	toLead = 90 * time.Second
	// toFlow is how long the events of a Job that was just made may take; shown is how many of them are waited for.
	toFlow = 30 * time.Second
	shown  = 8
)

// show has something happen, and prints what the leader hands to its sink, the pod's stdout.
func (s *site) show(ctx context.Context) (string, error) {
	if err := s.elected(ctx); err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(ctx, toFlow)
	defer cancel()
	since := metav1.Now()
	log, err := s.client.CoreV1().Pods(namespace).GetLogs(s.leader, &corev1.PodLogOptions{
		Container: container, Follow: true, SinceTime: &since,
	}).Stream(ctx)
	if err != nil {
		return "", fmt.Errorf("reading the leader's log: %w", err)
	}
	defer log.Close()
	if err := s.now(ctx); err != nil {
		return "", err
	}
	n, err := flow(log, s.log, shown)
	if n == 0 {
		return "", fmt.Errorf("no event came from the leader within %s; `kubectl -n %s logs %s` may tell why: %w",
			toFlow, namespace, s.leader, err)
	}
	return fmt.Sprintf("delivered by the leader, %s on %s", s.leader, s.node), nil
}

// elected waits for a leader whose pod runs.
func (s *site) elected(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, toLead, fmt.Errorf("no pod leads after %s", toLead))
	defer cancel()
	for {
		pod, err := s.lookForLeader(ctx)
		if err == nil {
			s.leader, s.node = pod.Name, pod.Spec.NodeName
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", context.Cause(ctx), err)
		case <-time.After(300 * time.Millisecond):
		}
	}
}

// lookForLeader is the pod that the lock names. The lock tells, no log does.
func (s *site) lookForLeader(ctx context.Context) (*corev1.Pod, error) {
	lease, err := s.client.CoordinationV1().Leases(namespace).Get(ctx, release, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil, errors.New("nobody has made the lock yet")
	}
	if err != nil {
		return nil, fmt.Errorf("reading the lock: %w", err)
	}
	holder := ""
	if lease.Spec.HolderIdentity != nil {
		holder = *lease.Spec.HolderIdentity
	}
	identity, ok := election.ParseIdentity(holder)
	if !ok {
		return nil, fmt.Errorf("the lock is held by %q, which is no pod's", holder)
	}
	pod, err := s.client.CoreV1().Pods(namespace).Get(ctx, identity.Pod, metav1.GetOptions{})
	if err != nil {
		return nil, fmt.Errorf("reading the leader's pod: %w", err)
	}
	if string(pod.UID) != identity.UID || pod.DeletionTimestamp != nil || pod.Status.Phase != corev1.PodRunning {
		return nil, fmt.Errorf("the leader's pod %s is on its way out", pod.Name)
	}
	return pod, nil
}

// flow prints the records of what happens in the square, until there are enough or the log ends.
func flow(log io.Reader, out io.Writer, enough int) (int, error) {
	n := 0
	lines := bufio.NewReader(log)
	for n < enough {
		line, err := lines.ReadBytes('\n')
		if err != nil {
			return n, err
		}
		var r record.Record
		// Between the records are the agent's own messages.
		if json.Unmarshal(line, &r) != nil || r.ID == "" || r.Namespace != square {
			continue
		}
		fmt.Fprintln(out, brief(r))
		n++
	}
	return n, nil
}

// brief is a record on one line.
func brief(r record.Record) string {
	const widest = 60
	message := []rune(strings.Join(strings.Fields(r.Message), " "))
	if len(message) > widest {
		message = append(message[:widest-3], '.', '.', '.')
	}
	object := strings.ToLower(r.Object.Kind) + "/" + r.Object.Name
	return fmt.Sprintf("%s  %-7s  %-16s  %-30s  %s", r.Time.UTC().Format("15:04:05"), r.Type, r.Reason, object, string(message))
}
