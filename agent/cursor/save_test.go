package cursor

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

func TestSave(t *testing.T) {
	f, l := &fakeStore{}, &fakeLock{}
	r := claimed(t, f, l, "me")
	save(t, r, "log", 5)
	save(t, r, "archive.team-a", 7)
	wantData(t, f, "cursor.log", `{"rv":"5"}`)
	wantData(t, f, "cursor.archive.team-a", `{"rv":"7"}`)
	if n := f.count("get"); n != 1 {
		t.Errorf("%d reads, want that of the claim only", n)
	}
	before := len(f.calls)
	save(t, r, "log", 5)
	if len(f.calls) != before {
		t.Error("nothing had changed, yet it was written")
	}
	if next := claimed(t, f, l, "next"); next.Epoch() != 2 || next.Positions()["log"].RV != 5 {
		t.Errorf("a successor finds %v", next.Positions())
	}
}

func TestDeposedWriterMovesNothing(t *testing.T) {
	f, l := &fakeStore{}, &fakeLock{}
	old := claimed(t, f, l, "old")
	save(t, old, "log", 5)
	claimed(t, f, l, "new")
	at := f.object.ResourceVersion
	for range 3 {
		if err := old.Save(t.Context(), map[string]Position{"log": {RV: 9}}); !errors.Is(err, ErrFenced) {
			t.Fatalf("error %v", err)
		}
	}
	if f.object.ResourceVersion != at {
		t.Error("it has written")
	}
	wantData(t, f, "cursor.log", `{"rv":"5"}`)
	calls := len(f.calls)
	if err := old.Save(t.Context(), nil); !errors.Is(err, ErrFenced) || len(f.calls) != calls {
		t.Errorf("who is fenced asks again: %v", err)
	}
}

func TestSaveRebases(t *testing.T) {
	f, l := &fakeStore{}, &fakeLock{}
	r := claimed(t, f, l, "me")
	save(t, r, "log", 5)
	l.asked = 0
	f.edit(func(o *corev1.ConfigMap) {
		o.Labels = map[string]string{"team": "a"}
		o.Data["note"] = "hands off"
		o.Data["cursor.gone"] = `{"rv":"3"}`
		o.Data["cursor.log"] = `{"rv":"99"}`
	})
	save(t, r, "log", 6)
	if f.object.Labels["team"] != "a" {
		t.Error("the label is gone")
	}
	wantData(t, f, "note", "hands off")
	wantData(t, f, "cursor.gone", `{"rv":"3"}`)
	wantData(t, f, "cursor.log", `{"rv":"6"}`)
	if l.asked != 0 {
		t.Error("a label is no reason to ask the lock")
	}
}

func TestSaveAfterAnotherHand(t *testing.T) {
	set := func(kv ...string) func(*corev1.ConfigMap) {
		return func(o *corev1.ConfigMap) {
			for i := 0; i < len(kv); i += 2 {
				o.Data[kv[i]] = kv[i+1]
			}
		}
	}
	tests := []struct {
		name   string
		edit   func(*corev1.ConfigMap)
		claim  bool // it is a claim, whatever the lock says
		format bool
	}{
		{name: "a successor", edit: set("owner", "next", "epoch", "4"), claim: true},
		{name: "a successor that jumped", edit: set("owner", "next", "epoch", "900"), claim: true},
		{name: "another with the same epoch", edit: set("owner", "next"), claim: true},
		{name: "a later claim of this process", edit: set("epoch", "4"), claim: true},
		{name: "a later claim without an owner", edit: set("owner", "", "epoch", "4"), claim: true},
		{name: "a newer version", edit: set("owner", "next", "format", "2"), claim: true, format: true},
		{name: "a lower epoch", edit: set("epoch", "2")},
		{name: "a lower epoch of another", edit: set("owner", "next", "epoch", "2")},
		{name: "no epoch", edit: set("epoch", "")},
		{name: "epoch nonsense", edit: set("epoch", "soon")},
		{name: "no owner", edit: set("owner", "")},
		{name: "no format", edit: set("format", "")},
		{name: "the own owner with a format out of nowhere", edit: set("format", "none")},
		{name: "emptied", edit: func(o *corev1.ConfigMap) { o.Data = nil }},
	}
	for _, tt := range tests {
		for _, holds := range []bool{true, false} {
			t.Run(tt.name+map[bool]string{true: ", lock held", false: ", lock lost"}[holds], func(t *testing.T) {
				f, l := &fakeStore{}, &fakeLock{epoch: 2}
				r := claimed(t, f, l, "me")
				save(t, r, "log", 5)
				save(t, r, "archive", 5)
				f.edit(tt.edit)
				f.edit(func(o *corev1.ConfigMap) { o.Labels = map[string]string{"team": "a"} })
				damaged := f.object.DeepCopy()
				l.lost, l.asked = !holds, 0
				err := r.Save(t.Context(), map[string]Position{"log": {RV: 6}})
				if tt.claim || !holds {
					if !errors.Is(err, ErrFenced) || errors.Is(err, ErrFormat) != tt.format {
						t.Errorf("error %v", err)
					}
					if f.object.ResourceVersion != damaged.ResourceVersion {
						t.Errorf("it was overwritten with %v", f.object.Data)
					}
					return
				}
				if err != nil {
					t.Fatal(err)
				}
				want := map[string]string{"format": "1", "owner": "me", "epoch": "3", "cluster": "c1", "cursor.log": `{"rv":"6"}`, "cursor.archive": `{"rv":"5"}`}
				if !maps.Equal(f.object.Data, want) || f.object.Labels["team"] != "a" {
					t.Errorf("repaired to %v", f.object.Data)
				}
				if l.asked != 1 {
					t.Errorf("the lock was asked %d times", l.asked)
				}
			})
		}
	}
}

func TestRepairWaitsForTheLocksAnswer(t *testing.T) {
	f, l := &fakeStore{}, &fakeLock{}
	r := claimed(t, f, l, "me")
	f.edit(func(o *corev1.ConfigMap) { o.Data["epoch"] = "" })
	l.err = internal()
	if err := r.Save(t.Context(), map[string]Position{"log": {RV: 6}}); err == nil || errors.Is(err, ErrFenced) {
		t.Errorf("error %v", err)
	}
	wantData(t, f, "epoch", "")
	l.err = nil
	save(t, r, "log", 7)
	wantData(t, f, "epoch", "1")
}

func TestRepairDoesNotTrustWhatIsLeft(t *testing.T) {
	f, l := &fakeStore{}, &fakeLock{}
	r := claimed(t, f, l, "me")
	f.edit(func(o *corev1.ConfigMap) { o.Data["format"], o.Data["cursor.later"] = "", `{"rv":"999"}` })
	save(t, r, "log", 6)
	wantData(t, f, "cursor.later", "")
}

func TestSaveAfterDeletion(t *testing.T) {
	tests := []struct {
		name    string
		lock    fakeLock
		want    error
		epoch   int64
		created bool
	}{
		{name: "held", lock: fakeLock{epoch: 4}, epoch: 6, created: true},
		{name: "lost", lock: fakeLock{epoch: 4, lost: true}, want: ErrFenced, epoch: 5},
		{name: "its time has passed", lock: fakeLock{epoch: 4, invalid: true}, want: ErrNotLeading, epoch: 5},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l := &fakeLock{epoch: tt.lock.epoch}
			f := &fakeStore{}
			r := claimed(t, f, l, "me")
			save(t, r, "archive", 2)
			f.object = nil
			l.lost, l.invalid = tt.lock.lost, tt.lock.invalid
			err := r.Save(t.Context(), map[string]Position{"log": {RV: 6}})
			if !errors.Is(err, tt.want) || r.Epoch() != tt.epoch || (f.object != nil) != tt.created {
				t.Fatalf("error %v, epoch %d, object %v", err, r.Epoch(), f.object)
			}
			if !tt.created {
				return
			}
			want := map[string]string{"format": "1", "owner": "me", "epoch": "6", "cluster": "c1", "cursor.log": `{"rv":"6"}`, "cursor.archive": `{"rv":"2"}`}
			if !maps.Equal(f.object.Data, want) {
				t.Errorf("object %v", f.object.Data)
			}
			if !slices.Equal(l.set, []int64{5, 6}) {
				t.Errorf("the lock was given %v", l.set)
			}
		})
	}
}

// The new object's creation takes effect, now or later, and nobody hears of it.
func TestSaveAfterDeletionWhoseAnswerWasLost(t *testing.T) {
	for _, late := range []bool{false, true} {
		f, l := &fakeStore{}, &fakeLock{}
		r := claimed(t, f, l, "me")
		f.object = nil
		lost := once("create", context.DeadlineExceeded)
		if late {
			f.before = lost
		} else {
			f.after = lost
		}
		if err := r.Save(t.Context(), map[string]Position{"log": {RV: 6}}); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("error %v", err)
		}
		if late { // It arrives between the next Save's look and its write.
			f.before = func(call string) error {
				if call == "create" {
					f.put((&Options{Namespace: "ops", Name: "baton-cursors", Owner: "me"}).claimOn(nil, 2, false))
				}
				return nil
			}
		}
		save(t, r, "log", 7)
		if r.Epoch() != 2 || !slices.Equal(l.set, []int64{1, 2}) {
			t.Errorf("epoch %d, lock %v", r.Epoch(), l.set)
		}
		wantData(t, f, "cursor.log", `{"rv":"7"}`)
		wantData(t, f, "epoch", "2")
	}
}

func TestSaveWhoseAnswerWasLost(t *testing.T) {
	f, l := &fakeStore{}, &fakeLock{}
	r := claimed(t, f, l, "me")
	f.after = once("update", context.DeadlineExceeded)
	if err := r.Save(t.Context(), map[string]Position{"log": {RV: 6}}); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("error %v", err)
	}
	save(t, r, "log", 6) // It is not known to be written, so it is written.
	save(t, r, "log", 7)
	wantData(t, f, "cursor.log", `{"rv":"7"}`)
}

func TestSaveWithoutTheRight(t *testing.T) {
	f, l := &fakeStore{}, &fakeLock{}
	r := claimed(t, f, l, "me")
	f.before = once("update", forbidden())
	err := r.Save(t.Context(), map[string]Position{"log": {RV: 6}})
	if !apierrors.IsForbidden(err) || errors.Is(err, ErrFenced) || !strings.Contains(err.Error(), `"update" on configmaps`) {
		t.Errorf("error %v", err)
	}
	save(t, r, "log", 6)
	wantData(t, f, "cursor.log", `{"rv":"6"}`)
}

func TestSaveThatOthersKeepAway(t *testing.T) {
	f, l := &fakeStore{}, &fakeLock{}
	r := claimed(t, f, l, "me")
	f.before = func(call string) error {
		if call == "update" {
			f.edit(func(o *corev1.ConfigMap) {})
		}
		return nil
	}
	if err := r.Save(t.Context(), map[string]Position{"log": {RV: 6}}); err == nil || f.count("update") > attempts {
		t.Errorf("error %v after %v", err, f.calls)
	}
}

func TestBack(t *testing.T) {
	in := func(base, list uint64, token string) Position {
		return Position{RV: base, Listing: &Listing{RV: list, Continue: token}}
	}
	tests := []struct {
		name     string
		from, to Position
		back     bool
	}{
		{"on", Position{RV: 5}, Position{RV: 6}, false},
		{"the same", Position{RV: 5}, Position{RV: 5}, false},
		{"back", Position{RV: 5}, Position{RV: 4}, true},
		{"to the beginning", Position{RV: 5}, Position{}, true},
		{"into a list", Position{RV: 5}, in(5, 9, "a"), false},
		{"on in the list", in(5, 9, "a"), in(5, 9, "b"), false},
		{"to the list's end", in(5, 9, "b"), Position{RV: 9}, false},
		{"a new list over the same base", in(5, 9, "b"), in(5, 12, "a"), false},
		{"the list given up", in(5, 9, "b"), Position{RV: 5}, false},
		{"an older list over the same base", in(5, 9, "b"), in(5, 8, "a"), true},
		{"a list over an older base", Position{RV: 9}, in(5, 12, "a"), true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f, l := &fakeStore{}, &fakeLock{}
			r := claimed(t, f, l, "me")
			if err := r.Save(t.Context(), map[string]Position{"log": tt.from}); err != nil {
				t.Fatal(err)
			}
			stored := f.object.Data["cursor.log"]
			err := r.Save(t.Context(), map[string]Position{"log": tt.to, "archive": {RV: 3}})
			if errors.Is(err, ErrBack) != tt.back || tt.back && !strings.Contains(err.Error(), "cursor log") {
				t.Errorf("error %v", err)
			}
			wantData(t, f, "cursor.archive", `{"rv":"3"}`)
			if !tt.back {
				return
			}
			wantData(t, f, "cursor.log", stored)
			if err := r.Reset("log", tt.to); err != nil {
				t.Fatal(err)
			}
			if err := r.Save(t.Context(), nil); err != nil {
				t.Fatal(err)
			}
			if got := claimed(t, f, l, "next").Positions()["log"]; !got.equal(tt.to) {
				t.Errorf("reset to %v, a successor finds %v", tt.to, got)
			}
		})
	}
}

func TestSaveRefusesWhatIsNoPosition(t *testing.T) {
	f, l := &fakeStore{}, &fakeLock{}
	r := claimed(t, f, l, "me")
	for key, p := range map[string]Position{
		"":        {RV: 1},
		"a/b":     {RV: 1},
		"archive": {RV: 5, Listing: &Listing{RV: 4, Continue: "x"}},
	} {
		if err := r.Save(t.Context(), map[string]Position{key: p, "log": {RV: 1}}); err == nil {
			t.Errorf("%q: %v was taken", key, p)
		}
	}
	// The start of a list, no page of which is acknowledged, is no list.
	if err := r.Save(t.Context(), map[string]Position{"log": {RV: 2, Listing: &Listing{RV: 4}}}); err != nil {
		t.Error(err)
	}
	wantData(t, f, "cursor.log", `{"rv":"2"}`)
}

func TestPositionsAreCopies(t *testing.T) {
	f, l := &fakeStore{}, &fakeLock{}
	r := claimed(t, f, l, "me")
	mine := map[string]Position{"log": {RV: 1, Listing: &Listing{RV: 4, Continue: "a"}}}
	if err := r.Save(t.Context(), mine); err != nil {
		t.Fatal(err)
	}
	mine["log"].Listing.Continue = "b"
	r.Positions()["log"].Listing.Continue = "c"
	if got := r.Positions()["log"].Listing.Continue; got != "a" {
		t.Errorf("the register holds %q", got)
	}
}

func TestSavesAreSerialised(t *testing.T) {
	f, l := &fakeStore{}, &fakeLock{}
	r := claimed(t, f, l, "me")
	var all sync.WaitGroup
	for _, key := range []string{"a", "b", "c", "d"} {
		all.Go(func() {
			for rv := range uint64(20) {
				if err := r.Save(t.Context(), map[string]Position{key: {RV: rv, Time: time.Unix(int64(rv), 0)}}); err != nil {
					t.Error(err)
				}
				r.Epoch()
				r.Positions()
			}
		})
	}
	all.Wait()
	for _, key := range []string{"a", "b", "c", "d"} {
		wantData(t, f, "cursor."+key, `{"rv":"19","time":"1970-01-01T00:00:19Z"}`)
	}
}
