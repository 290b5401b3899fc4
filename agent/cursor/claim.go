// Package cursor keeps how far each sink is, in one ConfigMap that is a register with compare-and-swap.
//
// Who leads claims the register: he writes his identity and the epoch + 1 over the version he read. From then on
// each write is based on his own last one, so that who was deposed without knowing it can't move a cursor: his
// write conflicts, and he reads who has claimed. The lock makes one leader likely; the claim makes one writer
// certain, whatever happens to the lock.
//
// It knows nothing of sinks or of kinds of lock: it is handed a way to ask whether the lock is still held.
package cursor

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const (
	// attempts bounds the claims, and the writes of a Save, that lose against other writers. Nobody else writes
	// regularly, so one repeat is rare.
	attempts = 6
	// pause is the longest wait before the first repeat of a claim; it doubles.
	pause = 100 * time.Millisecond
	// requestTimeout is the time for one request. What becomes of it after that is read back.
	requestTimeout = 10 * time.Second
)

// Store is the API for the ConfigMaps of the namespace.
type Store interface {
	Get(ctx context.Context, name string, opts metav1.GetOptions) (*corev1.ConfigMap, error)
	Create(ctx context.Context, o *corev1.ConfigMap, opts metav1.CreateOptions) (*corev1.ConfigMap, error)
	Update(ctx context.Context, o *corev1.ConfigMap, opts metav1.UpdateOptions) (*corev1.ConfigMap, error)
}

// Leadership is the term of leadership in which the cursors are claimed.
type Leadership interface {
	// Valid says, by the own clock, whether nobody else can hold the lock.
	Valid() bool
	// Holds reads whether the lock is still held.
	Holds(ctx context.Context) (bool, error)
	// Epoch is the highest epoch that the lock carried when it was taken, 0 for none.
	Epoch() int64
	// SetEpoch has the lock carry the epoch, so that deleted cursors don't start at 1 again.
	SetEpoch(epoch int64)
}

// Options say what to claim, for whom.
type Options struct {
	Store Store
	// Namespace and Name are the object's: see ObjectName.
	Namespace, Name string
	// Owner is the identity of this process. No other process has it, ever.
	Owner string
	// Cluster is the id of the cluster whose events are read. Positions of another one are dropped.
	Cluster    string
	Leadership Leadership
	// Rand is uniform in [0, 1); nil is math/rand/v2's. A simulation has its own.
	Rand func() float64
	Log  *slog.Logger
}

// claim is one call of Claim.
type claim struct {
	Options
	// seen is the highest epoch that was read, tried the last one that was written: found in the object, with
	// the own identity, it is a claim of this call whose answer was lost.
	seen, tried int64
	// traces says that somebody has claimed before.
	traces bool
	// problems are those of the object that was claimed.
	problems []string
}

// Claim makes the caller the one who can move the cursors, and returns them. It claims only while the lock is held,
// and is certain of it again afterwards. Errors are ErrNotLeading, ErrFormat, and those of the API wrapped with the
// right that is missing, if it is one: who cannot claim does not lead.
func Claim(ctx context.Context, o Options) (*Register, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Rand == nil {
		o.Rand = rand.Float64
	}
	c := &claim{Options: o}
	r, err := c.run(ctx)
	if err != nil {
		return nil, err
	}
	if !o.Leadership.Valid() {
		return nil, fmt.Errorf("claim the cursors %s/%s: %w: its time passed meanwhile", o.Namespace, o.Name, ErrNotLeading)
	}
	o.Leadership.SetEpoch(r.epoch)
	return r, nil
}

func (c *claim) run(ctx context.Context) (*Register, error) {
	var last error
	for n := range attempts {
		if n > 0 {
			if err := sleep(ctx, time.Duration(c.Rand()*float64(pause<<(n-1)))); err != nil {
				return nil, errors.Join(err, last)
			}
		}
		held, err := c.held(ctx, n > 0)
		if err == nil && !held {
			return nil, errors.Join(fmt.Errorf("claim the cursors %s/%s: %w", c.Namespace, c.Name, ErrNotLeading), last)
		}
		var r *Register
		if err == nil {
			r, err = c.once(ctx)
		}
		if err == nil {
			return r, nil
		}
		if definite(err) || errors.Is(err, ErrFormat) || errors.Is(err, ErrNotLeading) || errors.Is(err, errEpochs) {
			return nil, err
		}
		c.Log.Info("the cursors are not claimed yet", "attempt", n+1, "error", err)
		last = err
	}
	return nil, last
}

// held asks the own clock, and the lock itself where ask is true.
func (c *claim) held(ctx context.Context, ask bool) (bool, error) {
	if !c.Leadership.Valid() {
		return false, nil
	}
	if !ask {
		return true, nil
	}
	return c.Options.holds(ctx)
}

// once reads the object and writes the claim over it. Of a write that was refused or whose answer was lost it reads
// back what became of it.
func (c *claim) once(ctx context.Context) (*Register, error) {
	base, s, r, err := c.look(ctx)
	if r != nil || err != nil {
		return r, err
	}
	epoch, err := c.next()
	if err != nil {
		return nil, err
	}
	if base == nil {
		if err := c.mayCreate(ctx); err != nil {
			return nil, err
		}
	}
	c.tried, c.problems = epoch, c.judge(s)
	got, err := c.Options.write(ctx, c.claimOn(base, epoch, c.foreign(s)))
	if err == nil {
		return c.register(got)
	}
	if definite(err) {
		return nil, err
	}
	if _, _, r, back := c.look(ctx); r != nil || definite(back) || errors.Is(back, ErrFormat) {
		return r, back
	}
	return nil, err
}

// look reads the object. It returns a register where it finds that it has been claimed already.
func (c *claim) look(ctx context.Context) (*corev1.ConfigMap, State, *Register, error) {
	base, err := c.Options.read(ctx)
	if err != nil {
		return nil, State{}, nil, err
	}
	s, err := Read(base)
	if err != nil {
		return nil, s, nil, err
	}
	if c.tried > 0 && s.Owner == c.Owner && s.Epoch == c.tried {
		r, err := c.register(base)
		return base, s, r, err
	}
	c.seen = max(c.seen, s.Epoch)
	c.traces = c.traces || s.claimed()
	return base, s, nil, nil
}

// next is the epoch to claim.
func (c *claim) next() (int64, error) {
	epoch := max(c.seen, c.lockEpoch()) + 1
	if epoch > maxEpoch {
		return 0, fmt.Errorf("claim the cursors %s/%s: %w: delete the object", c.Namespace, c.Name, errEpochs)
	}
	return epoch, nil
}

// lockEpoch is the lock's epoch, 0 where it is nonsense.
func (o *Options) lockEpoch() int64 {
	e := o.Leadership.Epoch()
	if e < 0 || e >= maxEpoch {
		o.Log.Warn("the epoch in the lock is nonsense", "epoch", e)
		return 0
	}
	return e
}

// foreign says whether the positions are another cluster's.
func (c *claim) foreign(s State) bool {
	return s.Cluster != "" && c.Cluster != "" && s.Cluster != c.Cluster
}

// judge says what of the object is not taken over.
func (c *claim) judge(s State) []string {
	if !c.foreign(s) {
		return s.Problems
	}
	return append(s.Problems, fmt.Sprintf("cluster: the positions are those of %.40q, this is %q: none is taken over",
		s.Cluster, c.Cluster))
}

// register is what the claim yields, from the object as it was written.
func (c *claim) register(base *corev1.ConfigMap) (*Register, error) {
	s, err := Read(base)
	if err != nil {
		return nil, err
	}
	for _, p := range c.problems {
		c.Log.Warn("the cursors are not all taken over", "problem", p)
	}
	return &Register{
		o: c.Options, base: base, epoch: s.Epoch, positions: s.Positions, problems: c.problems,
		first: !c.traces && c.Leadership.Epoch() == 0,
	}, nil
}

// mayCreate returns an error where the lock is another's: only its holder makes a new object.
func (c *claim) mayCreate(ctx context.Context) error {
	ok, err := c.Options.holds(ctx)
	if err != nil {
		return err
	}
	if !ok {
		return fmt.Errorf("create the cursors %s/%s: %w", c.Namespace, c.Name, ErrNotLeading)
	}
	return nil
}

func (o *Options) holds(ctx context.Context) (bool, error) {
	ctx, cancel := bounded(ctx)
	defer cancel()
	ok, err := o.Leadership.Holds(ctx)
	if err != nil {
		return false, fmt.Errorf("read who holds the lock: %w", err)
	}
	return ok, nil
}

// read gets the object as it is now, not as a cache has it; nil where there is none.
func (o *Options) read(ctx context.Context) (*corev1.ConfigMap, error) {
	ctx, cancel := bounded(ctx)
	defer cancel()
	got, err := o.Store.Get(ctx, o.Name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, o.explain("get", err)
	}
	return got, nil
}

// write creates the object where it has no version, and else updates it at its version: never without one, which
// would overwrite whatever is there.
func (o *Options) write(ctx context.Context, next *corev1.ConfigMap) (*corev1.ConfigMap, error) {
	ctx, cancel := bounded(ctx)
	defer cancel()
	if next.ResourceVersion == "" {
		got, err := o.Store.Create(ctx, next, metav1.CreateOptions{})
		if err != nil {
			return nil, o.explain("create", err)
		}
		return got, nil
	}
	got, err := o.Store.Update(ctx, next, metav1.UpdateOptions{})
	if err != nil {
		return nil, o.explain("update", err)
	}
	return got, nil
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}
