package election

import (
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
)

// separator stands between the parts of an identity. Names of pods and containers, UIDs and instances can't hold it.
const separator = "_"

// Identity names one process. Two processes never share one: a container that is restarted has another Instance.
type Identity struct {
	// Pod is the pod's name, or any name of the machine outside a cluster.
	Pod string
	// UID is the pod's UID. It is empty outside a cluster; such an identity gives no proof of death.
	UID string
	// Container is the container's name in the pod, may be empty.
	Container string
	// Instance tells the processes that run in the same container after one another apart.
	Instance string
}

// NewIdentity returns the identity of this process: the given names with an instance drawn at random. A separator in
// them, as host names outside a cluster may have, is replaced.
func NewIdentity(pod, uid, container string) Identity {
	clean := func(s string) string { return strings.ReplaceAll(s, separator, "-") }
	return Identity{Pod: clean(pod), UID: clean(uid), Container: clean(container), Instance: strings.ToLower(rand.Text()[:12])}
}

// String is "<pod>_<uid>_<container>_<instance>".
func (i Identity) String() string {
	return strings.Join([]string{i.Pod, i.UID, i.Container, i.Instance}, separator)
}

// ParseIdentity is the inverse of String. It is false for what no Identity gives, such as a holder that another
// program wrote.
func ParseIdentity(s string) (Identity, bool) {
	parts := strings.Split(s, separator)
	if len(parts) != 4 {
		return Identity{}, false
	}
	i := Identity{Pod: parts[0], UID: parts[1], Container: parts[2], Instance: parts[3]}
	return i, i.check() == nil
}

func (i Identity) check() error {
	if i.Pod == "" || i.Instance == "" {
		return errors.New("an identity needs the name of a pod and an instance")
	}
	for _, part := range []string{i.Pod, i.UID, i.Container, i.Instance} {
		if strings.Contains(part, separator) {
			return fmt.Errorf("%q in an identity contains %q", part, separator)
		}
	}
	return nil
}

// follows tells whether old is an earlier process in the container that i runs in: since a container runs one at a
// time, it must be dead. Without a UID the names may be anybody's.
func (i Identity) follows(old Identity) bool {
	return i.UID != "" && i.Container != "" &&
		i.Pod == old.Pod && i.UID == old.UID && i.Container == old.Container && i.Instance != old.Instance
}
