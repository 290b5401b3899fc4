package election

import (
	"encoding/json"
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const (
	// LeaderAnnotation holds the record of a lock that is a ConfigMap, as client-go wrote it.
	LeaderAnnotation = "control-plane.alpha.kubernetes.io/leader"
	// EpochAnnotation holds the highest epoch that a holder of the lock has known, on both kinds.
	EpochAnnotation = "eventbaton.dev/epoch"

	// longestLease is the longest that another's record can make anyone wait.
	longestLease = time.Hour
)

// Record is what a lock says.
type Record struct {
	Holder string // an Identity's String, "" for none
	// Duration is the holder's lease: how long the record must stay unchanged before someone else may take the lock.
	Duration    time.Duration
	Acquired    time.Time // by the holder's wall clock
	Renewed     time.Time // by the holder's wall clock; only that it changes is of meaning to others
	Transitions int       // how often the holder changed
	Epoch       int64     // highest epoch that a holder has known, 0 for none; lives in EpochAnnotation
}

// lease is how long the record counts, own where it doesn't say it sensibly.
func (r Record) lease(own time.Duration) time.Duration {
	if r.Duration <= 0 || r.Duration > longestLease {
		return own
	}
	return r.Duration
}

// same tells whether two records that were both read from the API are the same.
func (r Record) same(o Record) bool {
	return r.Holder == o.Holder && r.Duration == o.Duration && r.Transitions == o.Transitions && r.Epoch == o.Epoch &&
		r.Acquired.Equal(o.Acquired) && r.Renewed.Equal(o.Renewed)
}

// storedAs tells whether r, which was written, is what was read. A Lease keeps microseconds, a ConfigMap seconds. In
// a ConfigMap two of one process's writes may therefore look the same; they are less than a second apart, while
// a lease leaves a third of itself, at least 1.6 s, between its holder's deadline and its expiry.
func (r Record) storedAs(read Record) bool {
	return r.Holder == read.Holder && r.Transitions == read.Transitions &&
		storedAs(r.Acquired, read.Acquired) && storedAs(r.Renewed, read.Renewed)
}

func storedAs(written, read time.Time) bool {
	return read.Equal(written.Truncate(time.Microsecond)) || read.Equal(written.Truncate(time.Second))
}

// annotation is the record's JSON in a ConfigMap: that of client-go's resourcelock.LeaderElectionRecord, declared here
// because that package links every client there is.
type annotation struct {
	HolderIdentity       string      `json:"holderIdentity"`
	LeaseDurationSeconds int64       `json:"leaseDurationSeconds"`
	AcquireTime          metav1.Time `json:"acquireTime"`
	RenewTime            metav1.Time `json:"renewTime"`
	LeaderTransitions    int         `json:"leaderTransitions"`
	Strategy             string      `json:"strategy"`
	PreferredHolder      string      `json:"preferredHolder"`
}

// parseAnnotation reads a record from a ConfigMap's annotation. Its Epoch is not in there.
func parseAnnotation(text string) (Record, error) {
	var a *annotation
	if err := json.Unmarshal([]byte(text), &a); err != nil {
		return Record{}, fmt.Errorf("reading the annotation %s: %w", LeaderAnnotation, err)
	}
	if a == nil {
		return Record{}, fmt.Errorf("the annotation %s is null", LeaderAnnotation)
	}
	return Record{
		Holder:      a.HolderIdentity,
		Duration:    fromSeconds(a.LeaseDurationSeconds),
		Acquired:    a.AcquireTime.Time,
		Renewed:     a.RenewTime.Time,
		Transitions: a.LeaderTransitions,
	}, nil
}

func formatAnnotation(r Record) string {
	// A struct of strings, numbers and times can't fail.
	text, _ := json.Marshal(annotation{ //nolint:errchkjson // see above
		HolderIdentity:       r.Holder,
		LeaseDurationSeconds: seconds(r.Duration),
		AcquireTime:          metav1.NewTime(r.Acquired),
		RenewTime:            metav1.NewTime(r.Renewed),
		LeaderTransitions:    r.Transitions,
	})
	return string(text)
}

// seconds rounds up: who waits for a lease had better wait a little longer than its holder means.
func seconds(d time.Duration) int64 { return int64((d + time.Second - 1) / time.Second) }

// fromSeconds does not overflow: what is far out of range stays out of range.
func fromSeconds(n int64) time.Duration {
	return time.Duration(max(-1, min(n, int64(2*longestLease/time.Second)))) * time.Second
}
