package main

import (
	"strings"
	"testing"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func heldLease() *coordinationv1.Lease {
	seconds := int32(60)
	holder, now := "baton-0_u_agent_i", metav1.NewMicroTime(time.Now())
	return &coordinationv1.Lease{Spec: coordinationv1.LeaseSpec{
		HolderIdentity: &holder, RenewTime: &now, AcquireTime: &now, LeaseDurationSeconds: &seconds,
	}}
}

// The probe's event has the version 101: the server counts from 100.
func TestProbe(t *testing.T) {
	t.Parallel()
	a, kubeconfig := serveAPI(t, map[string]metav1.Object{
		testLease: heldLease(), testCursors: cursors(map[string]uint64{"log": 100, "archive": 101, "log.shop": 7}),
	})
	looks := 0
	a.after = func(call string) {
		if call == "get "+testCursors {
			if looks++; looks == 2 {
				a.objects[testCursors].(*corev1.ConfigMap).Data["cursor.log"] = `{"rv":"102"}`
			}
		}
	}
	s := shell{env: map[string]string{"POD_NAME": "test", "POD_NAMESPACE": "ops", "POD_UID": "u", "NODE_NAME": "n"}}
	if code := s.run(t.Context(), "probe", "--kubeconfig", kubeconfig); code != exitOK {
		t.Fatalf("exit code %d: %s", code, &s.stderr)
	}
	for _, want := range []string{"ops/baton-probe.", "acknowledged by archive, log after", "baton-0_u_agent_i"} {
		if !strings.Contains(s.stdout.String(), want) {
			t.Errorf("stdout lacks %q: %s", want, &s.stdout)
		}
	}
	event := a.objects["events/made"].(*corev1.Event)
	object := corev1.ObjectReference{APIVersion: "v1", Kind: "Pod", Namespace: "ops", Name: "test", UID: "u"}
	if event.InvolvedObject != object || event.Reason != "Probe" || event.Type != "Normal" || event.Source.Host != "n" {
		t.Errorf("it made %+v", event)
	}
	if looks < 3 {
		t.Errorf("it was satisfied after %d looks", looks)
	}
}

// Each way in which an event may not get through is named.
func TestProbeFails(t *testing.T) {
	t.Parallel()
	only := write(t, "leader_candidate: true\nsinks: [{name: archive, type: stdout}]\n")
	for name, c := range map[string]struct {
		objects map[string]metav1.Object
		args    []string
		refuse  func(string) error
		want    []string
		lacks   string
	}{
		"nothing gathers": {
			map[string]metav1.Object{}, nil, nil,
			[]string{"nothing is gathered", "ops/baton-cursors", "leaderCandidate", "neither a lock baton"}, "",
		},
		"no sink yet": {
			map[string]metav1.Object{testCursors: cursors(nil), testLease: heldLease()}, nil, nil,
			[]string{"hold none of any sink", "baton-0_u_agent_i"}, "",
		},
		"one lags, nobody leads": {
			map[string]metav1.Object{
				testCursors: cursors(map[string]uint64{"log": 101, "archive": 99}),
				testLease:   &coordinationv1.Lease{},
			},
			nil, nil, []string{"archive (at 99)", "resourceVersion 101", "held by nobody"}, "log (",
		},
		"a list is read": {
			map[string]metav1.Object{testCursors: &corev1.ConfigMap{Data: map[string]string{
				"format": "1", "cursor.log": `{"rv":"3","listing":{"stream":"","rv":"9","continue":"x"}}`,
			}}},
			nil, nil, []string{"log (at 3, reading a list"}, "",
		},
		"not gathered from": {
			map[string]metav1.Object{testCursors: cursors(map[string]uint64{"log.shop": 500})},
			nil, nil, []string{"log (it has no cursor for the namespace ops", "--event-namespace"}, "",
		},
		"the configuration's sinks alone": {
			map[string]metav1.Object{testCursors: cursors(map[string]uint64{"removed": 1})},
			[]string{"--config", only}, nil, []string{"archive (it has no cursor"}, "removed",
		},
		"written by a newer version": {
			map[string]metav1.Object{testCursors: &corev1.ConfigMap{Data: map[string]string{"format": "9"}}},
			nil, nil, []string{"newer version"}, "",
		},
		"no right to make events": {
			map[string]metav1.Object{}, nil, forbid("post events"), []string{`"create" on events`, "namespace ops"}, "",
		},
		"no right to read the cursors": {
			map[string]metav1.Object{}, nil, forbid("get " + testCursors), []string{`"get" on configmaps`}, "",
		},
		"the leader can't be read": {
			map[string]metav1.Object{testCursors: cursors(map[string]uint64{"log": 1})},
			nil, forbid("get " + testLease), []string{"log (at 1)", "who leads can't be told"}, "",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a, kubeconfig := serveAPI(t, c.objects)
			a.refuse = c.refuse
			var s shell
			args := append([]string{"probe", "--kubeconfig", kubeconfig, "--timeout", "150ms"}, c.args...)
			if code := s.run(t.Context(), args...); code != exitFailed || s.stdout.Len() > 0 {
				t.Errorf("exit code %d: %s", code, &s.stdout)
			}
			for _, want := range c.want {
				if !strings.Contains(s.stderr.String(), want) {
					t.Errorf("stderr lacks %q: %s", want, &s.stderr)
				}
			}
			if c.lacks != "" && strings.Contains(s.stderr.String(), c.lacks) {
				t.Errorf("stderr has %q: %s", c.lacks, &s.stderr)
			}
		})
	}
}

// The configuration says what the release is called and which sinks it has; cursors of others are not waited for.
func TestProbeWithConfig(t *testing.T) {
	t.Parallel()
	a, kubeconfig := serveAPI(t, map[string]metav1.Object{
		"configmaps/west-cursors": cursors(map[string]uint64{"archive.shop": 200, "removed.shop": 1}),
	})
	file := write(t, "name: west\nnamespaces: [shop]\nsinks: [{name: archive, type: stdout}]\n")
	bad := write(t, "nonsense: 1\n")
	var s shell
	if code := s.run(t.Context(), "probe", "--kubeconfig", kubeconfig, "--config", bad); code != exitUsage || !strings.Contains(s.stderr.String(), bad+":1") {
		t.Errorf("exit code %d: %s", code, &s.stderr)
	}
	code := s.run(t.Context(), "probe", "--kubeconfig", kubeconfig, "--config", file, "--event-namespace", "shop")
	if code != exitOK || !strings.Contains(s.stdout.String(), "acknowledged by archive after") {
		t.Errorf("exit code %d: %s%s", code, &s.stdout, &s.stderr)
	}
	if event := a.objects["events/made"].(*corev1.Event); event.Namespace != "shop" || event.InvolvedObject.Namespace != "shop" {
		t.Errorf("it made %+v", event)
	}
}

// A try that fails is made again, with another name: what became of the first can't be told.
func TestProbeAfterAFault(t *testing.T) {
	t.Parallel()
	a, kubeconfig := serveAPI(t, map[string]metav1.Object{testLease: heldLease(), testCursors: cursors(map[string]uint64{"log": 200})})
	faults := 1
	a.refuse = func(call string) error {
		if call == "post events" && faults > 0 {
			faults--
			return apierrors.NewServiceUnavailable("away")
		}
		return nil
	}
	var s shell
	if code := s.run(t.Context(), "probe", "--kubeconfig", kubeconfig); code != exitOK || a.called("post events") < 2 {
		t.Errorf("exit code %d after %d tries: %s", code, a.called("post events"), &s.stderr)
	}
	object := a.objects["events/made"].(*corev1.Event).InvolvedObject
	if object.Kind != "Lease" || object.Name != "baton" || object.Namespace != "ops" {
		t.Errorf("outside a pod it happened to %+v", object)
	}
}
