package main

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"

	"github.com/eventbaton/baton/agent/record"
)

func line(t *testing.T, r record.Record) string {
	t.Helper()
	b, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(b) + "\n"
}

func event(namespace, reason string) record.Record {
	return record.Record{
		ID: "c/u/1", Namespace: namespace, Reason: reason, Type: "Normal", Message: "made\n it",
		Time: time.Date(2026, 1, 2, 3, 4, 5, 6, time.FixedZone("east", 3600)), Object: record.Object{Kind: "Pod", Name: "p"},
	}
}

// Between the records are messages of the agent, and events of elsewhere.
func TestFlow(t *testing.T) {
	log := `{"level":"info","msg":"leading"}` + "\nno JSON\n" + line(t, event("kube-system", "Elsewhere")) +
		line(t, event(square, "First")) + line(t, event(square, "Second")) + line(t, event(square, "Third"))
	for _, c := range []struct {
		log     string
		n, want int
		shown   string
		err     error
	}{
		{log, 2, 2, "First Second", nil},
		{log, 9, 3, "First Second Third", io.EOF},
		{"", 1, 0, "", io.EOF},
		{strings.TrimSuffix(line(t, event(square, "Half")), "\n"), 1, 0, "", io.EOF},
	} {
		var out strings.Builder
		n, err := flow(strings.NewReader(c.log), &out, c.n)
		if n != c.want || !errors.Is(err, c.err) {
			t.Errorf("%d records of %d, error %v", n, c.want, err)
		}
		var reasons []string
		for l := range strings.Lines(out.String()) {
			reasons = append(reasons, strings.Fields(l)[2])
		}
		if got := strings.Join(reasons, " "); got != c.shown {
			t.Errorf("shown %q, want %q", got, c.shown)
		}
	}
}

func TestBrief(t *testing.T) {
	want := "02:04:05  Normal   Created           pod/p                           made it"
	if got := brief(event(square, "Created")); got != want {
		t.Errorf("%q, want %q", got, want)
	}
	long := event(square, "Created")
	long.Message = strings.Repeat("é", 100)
	if got := brief(long); !strings.HasSuffix(got, strings.Repeat("é", 57)+"...") {
		t.Errorf("%q", got)
	}
}

func lease(holder string) *coordinationv1.Lease {
	return &coordinationv1.Lease{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: release}, Spec: coordinationv1.LeaseSpec{HolderIdentity: &holder},
	}
}

func pod(phase corev1.PodPhase) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "baton-x", UID: "u-1"},
		Spec:       corev1.PodSpec{NodeName: "node-1"}, Status: corev1.PodStatus{Phase: phase},
	}
}

func TestLookForLeader(t *testing.T) {
	for name, c := range map[string]struct {
		objects []runtime.Object
		want    string
	}{
		"leads":          {[]runtime.Object{lease("baton-x_u-1_agent_i"), pod(corev1.PodRunning)}, ""},
		"no lock":        {nil, "nobody has made the lock"},
		"free":           {[]runtime.Object{lease("")}, `held by ""`},
		"another's":      {[]runtime.Object{lease("somebody")}, `held by "somebody"`},
		"gone":           {[]runtime.Object{lease("baton-x_u-1_agent_i")}, "not found"},
		"its successor":  {[]runtime.Object{lease("baton-x_u-2_agent_i"), pod(corev1.PodRunning)}, "on its way out"},
		"not started":    {[]runtime.Object{lease("baton-x_u-1_agent_i"), pod(corev1.PodPending)}, "on its way out"},
		"without holder": {[]runtime.Object{&coordinationv1.Lease{ObjectMeta: lease("").ObjectMeta}}, `held by ""`},
	} {
		t.Run(name, func(t *testing.T) {
			s := &site{client: fake.NewClientset(c.objects...)}
			_, err := s.lookForLeader(t.Context())
			says(t, err, c.want)
		})
	}
}

func TestElected(t *testing.T) {
	s := &site{client: fake.NewClientset(lease("baton-x_u-1_agent_i"), pod(corev1.PodRunning))}
	if err := s.elected(t.Context()); err != nil || s.leader != "baton-x" || s.node != "node-1" {
		t.Errorf("leader %s on %s, error %v", s.leader, s.node, err)
	}
}

func TestElectedInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("interrupted"))
	err := (&site{client: fake.NewClientset()}).elected(ctx)
	says(t, err, "interrupted")
	says(t, err, "nobody has made the lock")
}
