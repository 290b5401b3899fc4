package cursor

import (
	"context"
	"errors"
	"maps"
	"strconv"
	"testing"

	"go.uber.org/goleak"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var configMaps = schema.GroupResource{Resource: "configmaps"}

// fakeStore is one ConfigMap with optimistic concurrency. It is used from one goroutine at a time.
type fakeStore struct {
	object *corev1.ConfigMap
	rv     int
	calls  []string
	// before is called ahead of a request: an error refuses it. after is called when it has taken effect: an error
	// is the answer instead of the object, as if the answer was lost.
	before, after func(call string) error
}

func (f *fakeStore) do(call string, effect func() error) (*corev1.ConfigMap, error) {
	f.calls = append(f.calls, call)
	if f.before != nil {
		if err := f.before(call); err != nil {
			return nil, err
		}
	}
	if err := effect(); err != nil {
		return nil, err
	}
	if f.after != nil {
		if err := f.after(call); err != nil {
			return nil, err
		}
	}
	return f.object.DeepCopy(), nil
}

func (f *fakeStore) Get(_ context.Context, name string, _ metav1.GetOptions) (*corev1.ConfigMap, error) {
	return f.do("get", func() error {
		if f.object == nil {
			return apierrors.NewNotFound(configMaps, name)
		}
		return nil
	})
}

func (f *fakeStore) Create(_ context.Context, o *corev1.ConfigMap, _ metav1.CreateOptions) (*corev1.ConfigMap, error) {
	return f.do("create", func() error {
		if f.object != nil {
			return apierrors.NewAlreadyExists(configMaps, o.Name)
		}
		f.put(o)
		return nil
	})
}

func (f *fakeStore) Update(_ context.Context, o *corev1.ConfigMap, _ metav1.UpdateOptions) (*corev1.ConfigMap, error) {
	return f.do("update", func() error {
		switch {
		case f.object == nil:
			return apierrors.NewNotFound(configMaps, o.Name)
		case o.ResourceVersion != "" && f.object.ResourceVersion != o.ResourceVersion: // without one it overwrites
			return apierrors.NewConflict(configMaps, o.Name, errors.New("the object has been modified"))
		}
		f.put(o)
		return nil
	})
}

func (f *fakeStore) put(o *corev1.ConfigMap) {
	f.rv++
	f.object = o.DeepCopy()
	f.object.ResourceVersion = strconv.Itoa(f.rv)
}

// edit changes the object by hand.
func (f *fakeStore) edit(change func(*corev1.ConfigMap)) {
	o := f.object.DeepCopy()
	change(o)
	f.put(o)
}

func (f *fakeStore) count(call string) int {
	n := 0
	for _, c := range f.calls {
		if c == call {
			n++
		}
	}
	return n
}

// once returns a hook that fails the first such call.
func once(call string, err error) func(string) error {
	done := false
	return func(c string) error {
		if done || c != call {
			return nil
		}
		done = true
		return err
	}
}

// fakeLock is a Leadership.
type fakeLock struct {
	invalid, lost bool
	err           error
	epoch         int64
	set           []int64
	asked         int
	// validFor, where it is positive, is how many more times Valid says yes.
	validFor int
}

func (l *fakeLock) Valid() bool {
	if l.validFor > 0 {
		l.validFor--
		l.invalid = l.validFor == 0
		return true
	}
	return !l.invalid
}

func (l *fakeLock) Holds(context.Context) (bool, error) {
	l.asked++
	return !l.lost && l.err == nil, l.err
}
func (l *fakeLock) Epoch() int64     { return l.epoch }
func (l *fakeLock) SetEpoch(e int64) { l.set = append(l.set, e); l.epoch = e }

func options(f *fakeStore, l *fakeLock, owner string) Options {
	return Options{Store: f, Namespace: "ops", Name: "baton-cursors", Owner: owner, Cluster: "c1", Leadership: l}
}

// withObject is a store with the given data.
func withObject(data map[string]string) *fakeStore {
	f := &fakeStore{}
	f.put(&corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "ops", Name: "baton-cursors"}, Data: maps.Clone(data)})
	return f
}

func claimed(t *testing.T, f *fakeStore, l *fakeLock, owner string) *Register {
	t.Helper()
	r, err := Claim(t.Context(), options(f, l, owner))
	if err != nil {
		t.Fatalf("claim: %v", err)
	}
	return r
}

func save(t *testing.T, r *Register, key string, rv uint64) {
	t.Helper()
	if err := r.Save(t.Context(), map[string]Position{key: {RV: rv}}); err != nil {
		t.Fatalf("save: %v", err)
	}
}

func wantData(t *testing.T, f *fakeStore, key, want string) {
	t.Helper()
	if got := f.object.Data[key]; got != want {
		t.Errorf("%s = %q, want %q", key, got, want)
	}
}
