package history

import (
	"encoding/json"
	"strconv"
	"strings"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
)

// LockState is one state of the lock.
type LockState struct {
	At      time.Time // when it was seen
	Version string    // the object's resourceVersion, "" where it was deleted
	Holder  string
	resourcelock.LeaderElectionRecord
}

// CursorState is one state of the cursors.
type CursorState struct {
	At      time.Time // when it was seen
	Version string    // the object's resourceVersion
	Deleted bool
	Owner   string
	Epoch   int64             // 0 where it is not readable
	RVs     map[string]uint64 // by sink and stream, where readable
	Listing map[string]bool   // those in the middle of a list
}

// PodOf is the pod that an identity names.
func PodOf(identity string) string {
	pod, _, _ := strings.Cut(identity, "_")
	return pod
}

func lockState(e watch.Event) LockState {
	s := LockState{At: time.Now()}
	if e.Type == watch.Deleted {
		return s
	}
	switch o := e.Object.(type) {
	case *coordinationv1.Lease:
		s.Version = o.ResourceVersion
		s.LeaderElectionRecord = *resourcelock.LeaseSpecToLeaderElectionRecord(&o.Spec)
	case *corev1.ConfigMap:
		s.Version = o.ResourceVersion
		// What is no record has no holder.
		_ = json.Unmarshal([]byte(o.Annotations[resourcelock.LeaderElectionRecordAnnotationKey]), &s.LeaderElectionRecord)
	}
	s.Holder = s.HolderIdentity
	return s
}

func cursorState(e watch.Event) CursorState {
	o, ok := e.Object.(*corev1.ConfigMap)
	if !ok {
		return CursorState{At: time.Now()}
	}
	s := CursorState{
		At: time.Now(), Version: o.ResourceVersion, Deleted: e.Type == watch.Deleted, Owner: o.Data["owner"],
		RVs: map[string]uint64{}, Listing: map[string]bool{},
	}
	s.Epoch, _ = strconv.ParseInt(o.Data["epoch"], 10, 64)
	for key, text := range o.Data {
		stream, ok := strings.CutPrefix(key, "cursor.")
		var p struct {
			RV      uint64 `json:"rv,string"`
			Listing *struct{}
		}
		if ok && json.Unmarshal([]byte(text), &p) == nil {
			s.RVs[stream], s.Listing[stream] = p.RV, p.Listing != nil
		}
	}
	return s
}
