package election

import (
	"context"
	"math"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
)

// Leases is the API for the Leases of one namespace.
type Leases interface {
	Get(ctx context.Context, name string, opts metav1.GetOptions) (*coordinationv1.Lease, error)
	Create(ctx context.Context, lease *coordinationv1.Lease, opts metav1.CreateOptions) (*coordinationv1.Lease, error)
	Update(ctx context.Context, lease *coordinationv1.Lease, opts metav1.UpdateOptions) (*coordinationv1.Lease, error)
	Watch(ctx context.Context, opts metav1.ListOptions) (watch.Interface, error)
}

// NewLeaseLock is the lock in a Lease's spec.
func NewLeaseLock(c Leases, namespace, name string) Lock {
	return &objectLock[*coordinationv1.Lease]{
		api: c, namespace: namespace, name: name,
		codec: codec[*coordinationv1.Lease]{
			kind:  "lease",
			read:  readLease,
			write: writeLease,
			empty: func() *coordinationv1.Lease { return &coordinationv1.Lease{} },
		},
	}
}

// readLease never fails: every field is typed, and none that is missing keeps the others from being understood.
func readLease(lease *coordinationv1.Lease) (Record, string, error) {
	var r Record
	spec := lease.Spec
	if spec.HolderIdentity != nil {
		r.Holder = *spec.HolderIdentity
	}
	if spec.LeaseDurationSeconds != nil {
		r.Duration = fromSeconds(int64(*spec.LeaseDurationSeconds))
	}
	if spec.AcquireTime != nil {
		r.Acquired = spec.AcquireTime.Time
	}
	if spec.RenewTime != nil {
		r.Renewed = spec.RenewTime.Time
	}
	if spec.LeaseTransitions != nil {
		r.Transitions = int(*spec.LeaseTransitions)
	}
	return r, "", nil
}

func writeLease(old *coordinationv1.Lease, r Record) *coordinationv1.Lease {
	lease := old.DeepCopy()
	duration, transitions := int32(seconds(r.Duration)), int32(min(r.Transitions, math.MaxInt32))
	acquired, renewed := microTime(r.Acquired), microTime(r.Renewed)
	lease.Spec.HolderIdentity = &r.Holder
	lease.Spec.LeaseDurationSeconds = &duration
	lease.Spec.LeaseTransitions = &transitions
	lease.Spec.AcquireTime = &acquired
	lease.Spec.RenewTime = &renewed
	return lease
}

// microTime is as exact as the wire is.
func microTime(t time.Time) metav1.MicroTime {
	return metav1.NewMicroTime(t.Truncate(time.Microsecond))
}
