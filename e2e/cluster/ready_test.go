package cluster

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"
	k8stesting "k8s.io/client-go/testing"
)

func node(name string, ready corev1.ConditionStatus) corev1.Node {
	n := corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}}
	if ready != "" {
		n.Status.Conditions = []corev1.NodeCondition{
			{Type: corev1.NodeMemoryPressure, Status: corev1.ConditionFalse, Message: "enough"},
			{Type: corev1.NodeReady, Status: ready, Message: "cni plugin is missing"},
		}
	}
	return n
}

func pod(name, app string, ready corev1.ConditionStatus) corev1.Pod {
	return corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: metav1.NamespaceSystem, Labels: map[string]string{"k8s-app": app}},
		Status: corev1.PodStatus{
			Phase:      corev1.PodPending,
			Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: ready, Message: "containers with unready status"}},
		},
	}
}

// says wants err to tell part, or nil for "".
func says(t *testing.T, err error, part string) {
	t.Helper()
	if part == "" {
		if err != nil {
			t.Errorf("error %v, want none", err)
		}
		return
	}
	if err == nil || !strings.Contains(err.Error(), part) {
		t.Errorf("error %v, want %q", err, part)
	}
}

func TestNodesLack(t *testing.T) {
	good := node("a", corev1.ConditionTrue)
	for name, c := range map[string]struct {
		nodes []corev1.Node
		want  string
	}{
		"ready":      {[]corev1.Node{good, node("b", corev1.ConditionTrue)}, ""},
		"absent":     {[]corev1.Node{good}, "1 nodes of 2"},
		"not ready":  {[]corev1.Node{good, node("b", corev1.ConditionFalse)}, "node b is not ready: cni plugin"},
		"unknown":    {[]corev1.Node{good, node("b", corev1.ConditionUnknown)}, "node b is not ready"},
		"unreported": {[]corev1.Node{good, node("b", "")}, "node b is not ready: it has not reported"},
	} {
		t.Run(name, func(t *testing.T) { says(t, nodesLack(c.nodes, 2), c.want) })
	}
}

func TestPodsLack(t *testing.T) {
	dns, proxy := pod("coredns-1", "kube-dns", corev1.ConditionTrue), pod("kube-proxy-1", "kube-proxy", corev1.ConditionTrue)
	waiting := pod("coredns-2", "kube-dns", corev1.ConditionFalse)
	waiting.Status.ContainerStatuses = []corev1.ContainerStatus{{State: corev1.ContainerState{
		Waiting: &corev1.ContainerStateWaiting{Reason: "ErrImagePull", Message: "no such image"},
	}}}
	going := pod("coredns-2", "kube-dns", corev1.ConditionTrue)
	going.DeletionTimestamp = &metav1.Time{Time: time.Unix(1, 0)}
	silent := corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "etcd"}, Status: corev1.PodStatus{Phase: corev1.PodPending}}
	for name, c := range map[string]struct {
		pods []corev1.Pod
		want string
	}{
		"ready":             {[]corev1.Pod{dns, proxy}, ""},
		"no dns":            {[]corev1.Pod{proxy}, "no pod of coredns"},
		"too few proxies":   {[]corev1.Pod{dns}, "0 of 1 pods of kube-proxy"},
		"not ready":         {[]corev1.Pod{dns, proxy, pod("coredns-2", "kube-dns", corev1.ConditionFalse)}, "coredns-2 is not ready: containers with"},
		"without its image": {[]corev1.Pod{dns, proxy, waiting}, "coredns-2 is not ready: ErrImagePull no such image"},
		"going":             {[]corev1.Pod{dns, proxy, going}, "coredns-2 is not ready: it is being deleted"},
		"without a word":    {[]corev1.Pod{dns, proxy, silent}, "etcd is not ready: Pending"},
	} {
		t.Run(name, func(t *testing.T) { says(t, podsLack(c.pods, 1), c.want) })
	}
}

func TestLacking(t *testing.T) {
	n, dns, proxy := node("a", corev1.ConditionTrue), pod("coredns", "kube-dns", corev1.ConditionTrue), pod("kube-proxy", "kube-proxy", corev1.ConditionTrue)
	client := fake.NewClientset(&n, &dns, &proxy)
	says(t, lacking(t.Context(), client, 1), "")
	says(t, lacking(t.Context(), client, 2), "1 nodes of 2")
	for _, what := range []string{"pods", "nodes"} {
		client.PrependReactor("list", what, func(k8stesting.Action) (bool, runtime.Object, error) {
			return true, nil, errors.New("connection refused")
		})
		says(t, lacking(t.Context(), client, 1), what)
	}
}

func TestUncordon(t *testing.T) {
	a, b := node("a", corev1.ConditionTrue), node("b", corev1.ConditionTrue)
	b.Spec.Unschedulable = true
	client := fake.NewClientset(&a, &b)
	if err := uncordon(t.Context(), client); err != nil {
		t.Fatal(err)
	}
	got, err := client.CoreV1().Nodes().Get(t.Context(), "b", metav1.GetOptions{})
	if err != nil || got.Spec.Unschedulable {
		t.Errorf("cordoned %v, error %v", got.Spec.Unschedulable, err)
	}
	for _, action := range client.Actions() {
		if p, ok := action.(k8stesting.PatchAction); ok && p.GetName() == "a" {
			t.Error("a node that was open is written")
		}
	}
}

func TestAwait(t *testing.T) {
	n := 0
	err := await(t.Context(), time.Minute, func(context.Context) error {
		if n++; n < 3 {
			return errors.New("not yet")
		}
		return nil
	})
	if err != nil || n != 3 {
		t.Errorf("looked %d times, error %v", n, err)
	}
}

func TestAwaitTooLong(t *testing.T) {
	err := await(t.Context(), 10*time.Millisecond, func(context.Context) error { return errors.New("node b sleeps") })
	says(t, err, "node b sleeps")
	says(t, err, "not ready after 10ms")
}

func TestAwaitCancelled(t *testing.T) {
	why := errors.New("interrupted")
	ctx, cancel := context.WithCancelCause(t.Context())
	err := await(ctx, time.Minute, func(context.Context) error {
		cancel(why)
		return errors.New("not yet")
	})
	if !errors.Is(err, why) {
		t.Errorf("error %v", err)
	}
}

// A heartbeat that was there before does not count, a second one does.
func TestBeating(t *testing.T) {
	client := fake.NewClientset()
	reads := 0
	client.PrependReactor("get", "leases", func(a k8stesting.Action) (bool, runtime.Object, error) {
		reads++
		lease := &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Name: "a", Namespace: a.GetNamespace(), ResourceVersion: "7"}}
		switch {
		case reads == 1:
			return true, nil, errors.New("connection refused")
		case reads > 3:
			lease.ResourceVersion = "8"
		}
		return true, lease, nil
	})
	if err := beating(t.Context(), client, []string{"a"}); err != nil || reads != 4 {
		t.Errorf("read %d times, error %v", reads, err)
	}
}

func TestBeatingStopped(t *testing.T) {
	lease := &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Name: "a", Namespace: corev1.NamespaceNodeLease, ResourceVersion: "7"}}
	ctx, cancel := context.WithTimeoutCause(t.Context(), 50*time.Millisecond, errors.New("too long"))
	defer cancel()
	err := beating(ctx, fake.NewClientset(lease), []string{"a"})
	says(t, err, "too long")
	says(t, err, "node a does not report")
	if err := beating(t.Context(), nil, nil); err != nil {
		t.Errorf("no node to wait for: %v", err)
	}
}

func TestUnready(t *testing.T) {
	good, bad := pod("a", "", corev1.ConditionTrue), pod("b", "", corev1.ConditionFalse)
	says(t, Unready([]corev1.Pod{good}), "")
	says(t, Unready([]corev1.Pod{good, bad}), "pod b is not ready")
}
