package cursor

import (
	"context"
	"errors"
	"io"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

func forbidden() error {
	return apierrors.NewForbidden(configMaps, "baton-cursors", errors.New("no"))
}

func internal() error { return apierrors.NewInternalError(errors.New("etcd is busy")) }

func TestClaim(t *testing.T) {
	good := map[string]string{"format": "1", "owner": "old", "epoch": "7", "cluster": "c1", "cursor.log": `{"rv":"42"}`}
	with := func(key, val string) map[string]string {
		m := maps.Clone(good)
		if m[key] = val; val == "" {
			delete(m, key)
		}
		return m
	}
	tests := []struct {
		name     string
		data     map[string]string // nil: no object
		lock     int64
		epoch    int64
		first    bool
		rv       uint64 // of cursor log, 0 for none
		problems []string
	}{
		{name: "the very first", epoch: 1, first: true},
		{name: "an empty object made beforehand", data: map[string]string{}, epoch: 1, first: true},
		{name: "deleted, the lock knows", lock: 9, epoch: 10},
		{name: "a successor", data: good, lock: 7, epoch: 8, rv: 42},
		{name: "the lock knows more", data: good, lock: 11, epoch: 12, rv: 42},
		{name: "a lock without an epoch", data: good, epoch: 8, rv: 42},
		{name: "epoch nonsense", data: with("epoch", "x7"), lock: 3, epoch: 4, rv: 42, problems: []string{"epoch"}},
		{name: "epoch nonsense, nor does the lock know", data: with("epoch", "-1"), epoch: 1, rv: 42, problems: []string{"epoch"}},
		{name: "epoch without a successor", data: with("epoch", "9223372036854775807"), lock: 3, epoch: 4, rv: 42, problems: []string{"epoch"}},
		{name: "epoch missing", data: with("epoch", ""), lock: 3, epoch: 4, rv: 42},
		{name: "lock's epoch nonsense", data: good, lock: -5, epoch: 8, rv: 42},
		{name: "owner missing", data: with("owner", ""), epoch: 8, rv: 42},
		{name: "format missing", data: with("format", ""), epoch: 8, rv: 42, problems: []string{"format"}},
		{name: "line feeds of an editor", data: with("epoch", "7\n"), epoch: 8, rv: 42},
		{name: "cursor nonsense", data: with("cursor.log", "42"), epoch: 8, problems: []string{"cursor.log"}},
		{name: "another cluster's", data: with("cluster", "c2"), epoch: 8, problems: []string{"cluster"}},
		{name: "no cluster", data: with("cluster", ""), epoch: 8, rv: 42},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f, l := &fakeStore{}, &fakeLock{epoch: tt.lock}
			if tt.data != nil {
				f = withObject(tt.data)
			}
			r := claimed(t, f, l, "me")
			if r.Epoch() != tt.epoch || r.First() != tt.first {
				t.Errorf("epoch %d, first %v, want %d, %v", r.Epoch(), r.First(), tt.epoch, tt.first)
			}
			if got := r.Positions()["log"].RV; got != tt.rv || r.Known("log") != (tt.rv > 0) {
				t.Errorf("cursor log at %d, known %v, want %d", got, r.Known("log"), tt.rv)
			}
			if !slices.EqualFunc(r.Problems(), tt.problems, strings.HasPrefix) {
				t.Errorf("problems %q, want %q", r.Problems(), tt.problems)
			}
			if !slices.Equal(l.set, []int64{tt.epoch}) {
				t.Errorf("the lock was given %v, want %d", l.set, tt.epoch)
			}
			s, err := Read(f.object)
			if err != nil || s.Owner != "me" || s.Epoch != tt.epoch || s.Format != "1" || s.Cluster != "c1" {
				t.Errorf("object says %+v, %v", s, err)
			}
		})
	}
}

func TestClaimDropsAnotherClustersCursors(t *testing.T) {
	f := withObject(map[string]string{"format": "1", "owner": "x", "epoch": "1", "cluster": "c2", "cursor.log": `{"rv":"5"}`, "note": "mine"})
	claimed(t, f, &fakeLock{}, "me")
	if _, ok := f.object.Data["cursor.log"]; ok {
		t.Error("the next claim would take it for this cluster's")
	}
	wantData(t, f, "note", "mine")
}

func TestClaimRefused(t *testing.T) {
	tests := []struct {
		name  string
		store *fakeStore
		lock  *fakeLock
		want  error
		text  string
		calls []string
	}{
		{name: "the deadline has passed", store: &fakeStore{}, lock: &fakeLock{invalid: true}, want: ErrNotLeading},
		{name: "the deadline passes meanwhile", store: withObject(nil), lock: &fakeLock{validFor: 1}, want: ErrNotLeading, calls: []string{"get", "update"}},
		{name: "missing, and the lock is another's", store: &fakeStore{}, lock: &fakeLock{lost: true}, want: ErrNotLeading, calls: []string{"get"}},
		{name: "a newer format", store: withObject(map[string]string{"format": "2"}), lock: &fakeLock{}, want: ErrFormat, text: "upgrade", calls: []string{"get"}},
		{name: "no epoch is left", store: withObject(map[string]string{"format": "1", "epoch": "9007199254740992"}), lock: &fakeLock{}, want: errEpochs, calls: []string{"get"}},
		{name: "no right to read", store: &fakeStore{before: once("get", forbidden())}, lock: &fakeLock{}, text: `needs the verb "get" on configmaps`, calls: []string{"get"}},
		{name: "no right to create", store: &fakeStore{before: once("create", forbidden())}, lock: &fakeLock{}, text: `needs the verb "create"`, calls: []string{"get", "create"}},
		{name: "no right to update", store: &fakeStore{object: withObject(nil).object, before: once("update", forbidden())}, lock: &fakeLock{}, text: `needs the verb "update"`, calls: []string{"get", "update"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r, err := Claim(t.Context(), options(tt.store, tt.lock, "me"))
			if err == nil || r != nil {
				t.Fatalf("claimed: %v, %v", r, err)
			}
			if tt.want != nil && !errors.Is(err, tt.want) || !strings.Contains(err.Error(), tt.text) {
				t.Errorf("error %v, want %v with %q", err, tt.want, tt.text)
			}
			if tt.want == nil && !apierrors.IsForbidden(err) {
				t.Errorf("the API's error is not wrapped: %v", err)
			}
			if !slices.Equal(tt.store.calls, tt.calls) {
				t.Errorf("calls %v, want %v", tt.store.calls, tt.calls)
			}
			if len(tt.lock.set) > 0 {
				t.Error("the lock was given an epoch")
			}
		})
	}
}

func TestClaimWhoseAnswerWasLost(t *testing.T) {
	for name, lost := range map[string]error{
		"time-out": context.DeadlineExceeded, "connection": io.ErrUnexpectedEOF, "5xx": internal(),
		// A proxy that repeated a request that had taken effect.
		"conflict": apierrors.NewConflict(configMaps, "baton-cursors", errors.New("modified")),
	} {
		t.Run(name, func(t *testing.T) {
			f := withObject(map[string]string{"format": "1", "owner": "old", "epoch": "7", "cursor.log": `{"rv":"42"}`})
			f.after = once("update", lost)
			r := claimed(t, f, &fakeLock{}, "me")
			if r.Epoch() != 8 || f.count("update") != 1 || r.Positions()["log"].RV != 42 {
				t.Errorf("epoch %d after %v", r.Epoch(), f.calls)
			}
			save(t, r, "log", 43)
		})
	}
}

func TestClaimThatTakesEffectLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeStore{}
		f.before = func(call string) error {
			switch {
			case call == "create":
				return context.DeadlineExceeded
			case f.count("create") == 1 && f.count("get") == 3: // The first read-back has not found it.
				f.put((&Options{Namespace: "ops", Name: "baton-cursors", Owner: "me"}).claimOn(nil, 1, false))
			}
			return nil
		}
		r := claimed(t, f, &fakeLock{}, "me")
		if r.Epoch() != 1 || !r.First() || f.count("create") != 1 {
			t.Errorf("epoch %d, first %v after %v", r.Epoch(), r.First(), f.calls)
		}
	})
}

func TestClaimLosesTheRace(t *testing.T) {
	rival := func(f *fakeStore, l *fakeLock, holds bool) {
		f.before = func(call string) error {
			if call == "update" {
				f.before = nil
				f.edit(func(o *corev1.ConfigMap) { o.Data["owner"], o.Data["epoch"] = "rival", "8" })
				l.lost = !holds
			}
			return nil
		}
	}
	data := map[string]string{"format": "1", "owner": "old", "epoch": "7"}
	t.Run("and the lock is still its own", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			f, l := withObject(data), &fakeLock{}
			rival(f, l, true)
			if r := claimed(t, f, l, "me"); r.Epoch() != 9 {
				t.Errorf("epoch %d, want 9", r.Epoch())
			}
		})
	})
	t.Run("and the lock is another's", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			f, l := withObject(data), &fakeLock{}
			rival(f, l, false)
			if _, err := Claim(t.Context(), options(f, l, "me")); !errors.Is(err, ErrNotLeading) {
				t.Errorf("error %v", err)
			}
			wantData(t, f, "owner", "rival")
		})
	})
}

func TestClaimGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeStore{before: func(string) error { return apierrors.NewServiceUnavailable("down") }}
		if _, err := Claim(t.Context(), options(f, &fakeLock{}, "me")); !apierrors.IsServiceUnavailable(err) {
			t.Errorf("error %v", err)
		}
		if f.count("get") != attempts {
			t.Errorf("%d attempts, want %d", f.count("get"), attempts)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := Claim(ctx, options(f, &fakeLock{}, "me")); !errors.Is(err, context.Canceled) {
			t.Errorf("error %v", err)
		}
	})
}

func TestClaimNeverTakesAnEarlierTermsOwnClaimForItsOwn(t *testing.T) {
	f, l := &fakeStore{}, &fakeLock{}
	first := claimed(t, f, l, "me")
	second := claimed(t, f, l, "me")
	if second.Epoch() != 2 {
		t.Fatalf("epoch %d, want 2", second.Epoch())
	}
	if err := first.Save(t.Context(), map[string]Position{"log": {RV: 1}}); !errors.Is(err, ErrFenced) {
		t.Errorf("the earlier term's register wrote: %v", err)
	}
	save(t, second, "log", 2)
}

// An object without an owner reference and without labels outlives the release that made it.
func TestObjectBelongsToNoRelease(t *testing.T) {
	f := &fakeStore{}
	claimed(t, f, &fakeLock{}, "me")
	if f.object.OwnerReferences != nil || f.object.Labels != nil {
		t.Errorf("%+v", f.object.ObjectMeta)
	}
}
