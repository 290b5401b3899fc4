package election

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/eventbaton/baton/agent/election/memapi"
)

func TestEnded(t *testing.T) {
	at := func(d time.Duration) metav1.Time { return metav1.NewTime(acquired.Add(d).Truncate(time.Second)) }
	running := func(d time.Duration) corev1.ContainerState {
		return corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: at(d)}}
	}
	terminated := func(d time.Duration) corev1.ContainerState {
		return corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{FinishedAt: at(d)}}
	}
	const long = -time.Hour
	for name, test := range map[string]struct {
		status corev1.ContainerStatus
		want   bool
	}{
		"running since before":    {corev1.ContainerStatus{State: running(long)}, false},
		"restartCount alone":      {corev1.ContainerStatus{State: running(long), RestartCount: 9}, false},
		"started later":           {corev1.ContainerStatus{State: running(time.Second)}, true},
		"started in that second":  {corev1.ContainerStatus{State: running(0)}, false},
		"finished later":          {corev1.ContainerStatus{State: terminated(time.Second)}, true},
		"finished in that second": {corev1.ContainerStatus{State: terminated(0)}, false},
		"finished before":         {corev1.ContainerStatus{State: terminated(long)}, false},
		"last one finished later": {corev1.ContainerStatus{State: running(long), LastTerminationState: terminated(time.Minute)}, true},
		"last one before":         {corev1.ContainerStatus{State: running(long), LastTerminationState: terminated(long)}, false},
		"no time of the end":      {corev1.ContainerStatus{State: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{}}}, false},
		"waiting":                 {corev1.ContainerStatus{State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "CrashLoopBackOff"}}}, false},
		"nothing":                 {corev1.ContainerStatus{}, false},
	} {
		for _, place := range []string{"container", "init", "other"} {
			pod := &corev1.Pod{}
			s := test.status
			s.Name = "agent"
			want := test.want
			switch place {
			case "container":
				pod.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: "first"}, s}
			case "init":
				pod.Status.InitContainerStatuses = []corev1.ContainerStatus{s}
			case "other":
				s.Name = "sidecar"
				pod.Status.ContainerStatuses = []corev1.ContainerStatus{s}
				want = false
			}
			if got := ended(pod, "agent", acquired); got != want {
				t.Errorf("%s, %s: %v", name, place, got)
			}
			if ended(pod, "agent", time.Time{}) || ended(pod, "", acquired) {
				t.Errorf("%s: proof without a time or a container", name)
			}
		}
	}
}

// deathCase is a leader a with a lease of a minute and a follower b, both settled.
func deathCase(t *testing.T, test func(f *fleet, a, b *member), change ...func(*Options)) {
	kinds(t, func(t *testing.T, f *fleet) {
		a := f.start("a", append(change, lease(time.Minute))...)
		pass(time.Second)
		b := f.start("b", lease(time.Minute))
		pass(3 * time.Second)
		a.mustLead("at first")
		test(f, a, b)
	})
}

func TestDeletedPodIsDead(t *testing.T) {
	deathCase(t, func(f *fleet, a, b *member) {
		a.crash()
		pass(time.Second)
		b.mustNotLead("nothing is known of a's death")
		if err := f.server.Pods.Delete("a"); err != nil {
			f.t.Fatal(err)
		}
		pass(time.Second)
		b.mustLead("a's pod is gone")
		b.mustHave(TakeoverDead)
	})
}

func TestEndedContainerIsDead(t *testing.T) {
	deathCase(t, func(f *fleet, a, b *member) {
		a.crash()
		f.editPod("a", func(s *corev1.ContainerStatus) {
			s.State = corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{FinishedAt: metav1.Now()}}
		})
		pass(time.Second)
		b.mustLead("a's container ended")
		b.mustHave(TakeoverDead)
	})
}

// The kubelet counts a restart that came before the leader took the lock.
func TestRestartOfBeforeIsNoDeath(t *testing.T) {
	deathCase(t, func(f *fleet, a, b *member) {
		f.editPod("a", func(s *corev1.ContainerStatus) {
			s.RestartCount = 1
			before := metav1.NewTime(time.Now().Add(-time.Minute))
			s.State.Running.StartedAt = before
			s.LastTerminationState.Terminated = &corev1.ContainerStateTerminated{FinishedAt: before}
		})
		pass(30 * time.Second)
		a.mustLead("it lives")
		b.mustNotLead("a lives")
	})
}

func TestPodOfAnotherUIDIsDead(t *testing.T) {
	kinds(t, func(t *testing.T, f *fleet) {
		now := time.Now()
		old := Identity{Pod: "ds-0", UID: "old", Container: "agent", Instance: "1"}
		f.createPod(Identity{Pod: "ds-0", UID: "new", Container: "agent"})
		f.hold(Record{Holder: old.String(), Duration: time.Minute, Acquired: now, Renewed: now})
		b := f.start("b", lease(time.Minute))
		pass(2 * time.Second)
		b.mustLead("the pod of that UID is gone")
		b.mustHave(TakeoverDead)
	})
}

func TestMissingPodIsDead(t *testing.T) {
	kinds(t, func(t *testing.T, f *fleet) {
		now := time.Now()
		f.hold(Record{Holder: identity("gone").String(), Duration: time.Minute, Acquired: now, Renewed: now})
		b := f.start("b", lease(time.Minute))
		pass(2 * time.Second)
		b.mustLead("there is no such pod")
	})
}

// Without the pod's UID in the identity a pod of that name proves nothing, nor does its absence.
func TestIdentityWithoutUIDGivesNoProof(t *testing.T) {
	for _, holder := range []string{
		Identity{Pod: "gone", Container: "agent", Instance: "1"}.String(),
		Identity{Pod: "b", Container: "agent", Instance: "0"}.String(),
		"somebody",
	} {
		kinds(t, func(t *testing.T, f *fleet) {
			f.hold(Record{Holder: holder, Duration: time.Minute, Acquired: time.Now()})
			b := f.start("b", lease(time.Minute))
			pass(59 * time.Second)
			b.mustNotLead(holder)
			pass(2 * time.Second)
			b.mustLead("the lease has expired")
			b.mustHave(TakeoverExpired)
		})
	}
}

func TestForbiddenPodsAreNoProof(t *testing.T) {
	for _, verb := range []string{"get", "watch"} {
		kinds(t, func(t *testing.T, f *fleet) {
			a := f.start("a", lease(time.Minute))
			pass(time.Second)
			b := f.add("b", lease(time.Minute))
			b.link.Faults(refuse("pods", verb))
			b.start()
			pass(5 * time.Second)
			a.crash()
			if err := f.server.Pods.Delete("a"); err != nil {
				t.Fatal(err)
			}
			pass(38 * time.Second)
			b.mustNotLead("403 is no proof")
			pass(25 * time.Second)
			b.mustLead("the lease has expired")
			b.mustHave(TakeoverExpired)
			tries := f.server.Count(func(c memapi.Call) bool { return c.Client == "b" && c.Kind == "pods" && c.Verb == verb })
			if said := strings.Count(b.log.String(), "pods can't be watched"); tries != 1 || said != 1 {
				t.Errorf("%d requests, said %d times; want once", tries, said)
			}
			if p := b.elector.Status().Problem; p != "" {
				t.Errorf("problem %q: the lease does without", p)
			}
		})
	}
}

func TestEarlierInstanceOfOwnContainerIsDead(t *testing.T) {
	kinds(t, func(t *testing.T, f *fleet) {
		a := f.start("a", lease(time.Minute))
		pass(2 * time.Second)
		a.crash()
		again := f.start("a", lease(time.Minute), func(o *Options) { o.Identity.Instance = "2" })
		pass(time.Second)
		again.mustLead("its own predecessor must be dead")
		again.mustHave(TakeoverDead)
		// Its own restart is reported only now. That is no death of the new one.
		b := f.start("b", lease(time.Minute))
		f.editPod("a", func(s *corev1.ContainerStatus) {
			s.RestartCount = 1
			s.State.Running.StartedAt = metav1.NewTime(again.term().acquired)
			s.LastTerminationState.Terminated = &corev1.ContainerStateTerminated{FinishedAt: metav1.NewTime(again.term().acquired)}
		})
		pass(30 * time.Second)
		again.mustLead("a tie proves nothing")
		b.mustNotLead("a tie proves nothing")
	})
}

// A pod's death is noticed also after its watch was broken, and by who could not read it at first.
func TestVigilGoesOn(t *testing.T) {
	deathCase(t, func(f *fleet, a, b *member) {
		b.link.CutWatches()
		pass(3 * time.Second)
		b.link.Faults(func(c memapi.Call) memapi.Fault {
			if c.Kind == "pods" {
				return memapi.Fault{Refuse: memapi.ErrCut}
			}
			return memapi.Fault{}
		})
		b.link.CutWatches()
		pass(3 * time.Second)
		b.link.Faults(nil)
		pass(10 * time.Second)
		a.crash()
		if err := f.server.Pods.Delete("a"); err != nil {
			f.t.Fatal(err)
		}
		pass(time.Second)
		b.mustLead("a's pod is gone")
	})
}

// A container's end counts against the term in the record, not against a later one of the same process.
func TestProofIsOfTheTermInTheRecord(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, false)
		a := f.start("a", lease(time.Minute))
		pass(time.Second)
		b := f.start("b", lease(time.Minute))
		pass(3 * time.Second)
		r := f.record()
		r.Acquired = time.Now().Add(time.Hour)
		r.Holder = a.id.String()
		a.crash()
		f.hold(r)
		f.editPod("a", func(s *corev1.ContainerStatus) {
			s.State = corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{FinishedAt: metav1.Now()}}
		})
		pass(5 * time.Second)
		b.mustNotLead("the end was before that term")
	})
}

func TestVigilEndsWithItsHolder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, false)
		a := f.start("a")
		pass(time.Second)
		b := f.start("b")
		c := f.start("c")
		pass(3 * time.Second)
		a.stop()
		pass(3 * time.Second)
		leader, follower := b, c
		if c.leads() {
			leader, follower = c, b
		}
		leader.mustLead("after a")
		leader.elector.lock.mu.Lock()
		none := leader.elector.lock.vigil == nil
		leader.elector.lock.mu.Unlock()
		follower.elector.lock.mu.Lock()
		v := follower.elector.lock.vigil
		follower.elector.lock.mu.Unlock()
		if !none || v == nil || v.id != leader.id {
			t.Errorf("the leader keeps a vigil: %v; the follower's is %+v", !none, v)
		}
	})
}
