package election

import (
	"context"
	"encoding/json"
	"testing"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/leaderelection/resourcelock"

	"github.com/eventbaton/baton/agent/election/memapi"
)

var (
	acquired = time.Date(2026, 3, 1, 10, 0, 0, 123456000, time.UTC)
	renewed  = time.Date(2026, 3, 1, 10, 0, 20, 654321000, time.UTC)
	sample   = Record{Holder: "p_u_c_i", Duration: time.Minute, Acquired: acquired, Renewed: renewed, Transitions: 3}
)

func TestAnnotationIsClientGos(t *testing.T) {
	theirs, err := json.Marshal(resourcelock.LeaderElectionRecord{
		HolderIdentity: "p_u_c_i", LeaseDurationSeconds: 60, LeaderTransitions: 3,
		AcquireTime: metav1.NewTime(acquired), RenewTime: metav1.NewTime(renewed),
	})
	if err != nil {
		t.Fatal(err)
	}
	if ours := formatAnnotation(sample); ours != string(theirs) {
		t.Errorf("ours   %s\ntheirs %s", ours, theirs)
	}
	got, err := parseAnnotation(string(theirs))
	if err != nil || !sample.storedAs(got) || got.Duration != time.Minute {
		t.Errorf("read %+v, error %v", got, err)
	}
}

func TestLeaseIsClientGos(t *testing.T) {
	lease := writeLease(&coordinationv1.Lease{}, sample)
	theirs := resourcelock.LeaseSpecToLeaderElectionRecord(&lease.Spec)
	if theirs.HolderIdentity != "p_u_c_i" || theirs.LeaseDurationSeconds != 60 || theirs.LeaderTransitions != 3 ||
		!theirs.AcquireTime.Time.Equal(acquired) || !theirs.RenewTime.Time.Equal(renewed) {
		t.Errorf("client-go reads %+v", theirs)
	}
	spec := resourcelock.LeaderElectionRecordToLeaseSpec(theirs)
	got, _, err := readLease(&coordinationv1.Lease{Spec: spec})
	if err != nil || !got.same(sample) {
		t.Errorf("read %+v, error %v", got, err)
	}
}

func TestDurationsInSeconds(t *testing.T) {
	for d, want := range map[time.Duration]int64{
		time.Minute: 60, 1500 * time.Millisecond: 2, time.Nanosecond: 1, 0: 0,
	} {
		if got := seconds(d); got != want {
			t.Errorf("seconds(%v) = %d, want %d", d, got, want)
		}
	}
	for n, want := range map[int64]time.Duration{60: time.Minute, 3600: time.Hour, 1 << 62: 2 * time.Hour, -1 << 62: -time.Second} {
		if got := fromSeconds(n); got != want {
			t.Errorf("fromSeconds(%d) = %v, want %v", n, got, want)
		}
	}
}

func TestWhatAConfigMapSays(t *testing.T) {
	for text, want := range map[string]bool{
		`{}`:                      true,
		`{"holderIdentity":"a"}`:  true,
		``:                        false,
		`null`:                    false,
		`[]`:                      false,
		`nonsense`:                false,
		`{"holderIdentity":1}`:    false,
		`{"renewTime":"noonish"}`: false,
		`{"leaseDurationSeconds":99999999999999999999}`: false,
	} {
		if _, err := parseAnnotation(text); (err == nil) != want {
			t.Errorf("%q: error %v, want readable %v", text, err, want)
		}
	}
	if r, _, err := readConfigMap(&corev1.ConfigMap{}); err != nil || r.Holder != "" {
		t.Errorf("without the annotation: %+v, %v", r, err)
	}
}

func bothLocks(t *testing.T, test func(t *testing.T, s *memapi.Server, l Lock)) {
	s := memapi.NewServer()
	link := memapi.NewLink("x")
	t.Run("lease", func(t *testing.T) { test(t, s, NewLeaseLock(s.Leases.Client(link), "ns", lockName)) })
	t.Run("configmap", func(t *testing.T) { test(t, s, NewConfigMapLock(s.ConfigMaps.Client(link), "ns", lockName)) })
}

func must(t *testing.T, o Observation, err error) Observation {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func TestLockWritesOnWhatItRead(t *testing.T) {
	bothLocks(t, func(t *testing.T, _ *memapi.Server, l Lock) {
		ctx := context.Background()
		missing, err := l.Get(ctx)
		if err != nil || missing.Exists {
			t.Fatalf("%+v, %v", missing, err)
		}
		first, err := l.Write(ctx, missing, sample)
		must(t, first, err)
		if _, err := l.Write(ctx, missing, sample); !apierrors.IsAlreadyExists(err) {
			t.Errorf("a second creation: %v", err)
		}
		r := sample
		r.Holder = "other"
		second, err := l.Write(ctx, first, r)
		must(t, second, err)
		if _, err := l.Write(ctx, first, sample); !apierrors.IsConflict(err) {
			t.Errorf("a write on the old version: %v", err)
		}
		if _, err := l.Write(ctx, Observation{Exists: true}, sample); err == nil {
			t.Error("a write on no version was accepted")
		}
		read, err := l.Get(ctx)
		if must(t, read, err); read.Record.Holder != "other" || !read.Readable || len(read.object.GetOwnerReferences()) != 0 {
			t.Errorf("%+v", read)
		}
	})
}

func TestLockKeepsWhatIsNotItsOwn(t *testing.T) {
	bothLocks(t, func(t *testing.T, _ *memapi.Server, l Lock) {
		ctx := context.Background()
		o, err := l.Write(ctx, Observation{}, sample)
		must(t, o, err)
		o.object.SetLabels(map[string]string{"a": "b"})
		annotate(o.object, "foreign", "kept")
		r := sample
		r.Epoch = 7
		o, err = l.Write(ctx, o, r)
		must(t, o, err)
		if o.object.GetLabels()["a"] != "b" || o.object.GetAnnotations()["foreign"] != "kept" {
			t.Errorf("object %+v", o.object)
		}
		o, err = l.Write(ctx, o, sample) // which knows of no epoch
		if must(t, o, err); o.Record.Epoch != 7 || o.object.GetAnnotations()[EpochAnnotation] != "7" {
			t.Errorf("the epoch was lowered to %d", o.Record.Epoch)
		}
	})
}

func TestEpochThatCannotBeRead(t *testing.T) {
	for text, want := range map[string]int64{"": 0, "7": 7, "-1": 0, "x": 0, "9223372036854775807": 0, "99999999999999999999": 0} {
		if got := parseEpoch(text); got != want {
			t.Errorf("%q: %d, want %d", text, got, want)
		}
	}
}

func FuzzConfigMapRecord(f *testing.F) {
	f.Add(formatAnnotation(sample), "3")
	f.Add(`{"holderIdentity":"x","leaseDurationSeconds":-1}`, "")
	f.Add(`{"holderIdentity":"x","acquireTime":"0000-01-01T00:00:00Z"}`, "x")
	f.Add(`null`, "9223372036854775808")
	f.Add("\xff", "1")
	f.Fuzz(func(t *testing.T, text, epoch string) {
		object := &corev1.ConfigMap{}
		annotate(object, LeaderAnnotation, text)
		annotate(object, EpochAnnotation, epoch)
		l := &objectLock[*corev1.ConfigMap]{codec: NewConfigMapLock(nil, "", "").(*objectLock[*corev1.ConfigMap]).codec}
		checkObservation(t, l.observe(object))
		if o := l.observe(l.with(object, sample)); !o.Readable || !sample.storedAs(o.Record) {
			t.Errorf("cannot be repaired: %+v", o)
		}
	})
}

func FuzzLeaseRecord(f *testing.F) {
	seed, _ := json.Marshal(writeLease(&coordinationv1.Lease{}, sample))
	f.Add(seed)
	f.Add([]byte(`{"spec":{"holderIdentity":"x","leaseDurationSeconds":-2147483648,"leaseTransitions":-1}}`))
	f.Add([]byte(`{"metadata":{"annotations":{"eventbaton.dev/epoch":"x"}},"spec":{}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		lease := &coordinationv1.Lease{}
		if json.Unmarshal(data, lease) != nil {
			return
		}
		l := &objectLock[*coordinationv1.Lease]{codec: NewLeaseLock(nil, "", "").(*objectLock[*coordinationv1.Lease]).codec}
		checkObservation(t, l.observe(lease))
		if o := l.observe(l.with(lease, sample)); !sample.storedAs(o.Record) {
			t.Errorf("cannot be repaired: %+v", o)
		}
	})
}

// checkObservation holds whatever a lock says.
func checkObservation(t *testing.T, o Observation) {
	own := 20 * time.Second
	if got := o.Record.lease(own); got <= 0 || got > longestLease {
		t.Errorf("lease %v", got)
	}
	if !o.Readable && o.holder() != "" {
		t.Error("an unreadable record has a holder")
	}
	if o.Record.Epoch < 0 {
		t.Errorf("epoch %d", o.Record.Epoch)
	}
	var track tracker
	track.see(o, 0, 0)
	if v := track.judge("me", own, 0); !v.free && (v.wait <= 0 || v.wait > longestLease) {
		t.Errorf("waits %v", v.wait)
	}
	if v := track.judge("me", own, longestLease+1); !v.free {
		t.Error("is never free")
	}
}
