package receiver

import (
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
)

// UID is the UID of a Kubernetes object, a UUID.
type UID [16]byte

// ParseUID reads a UUID.
func ParseUID(s string) (UID, error) {
	var u UID
	n, err := hex.Decode(u[:], []byte(strings.ReplaceAll(s, "-", "")))
	if err != nil || n != len(u) {
		return UID{}, fmt.Errorf("%q is no UID", s)
	}
	return u, nil
}

func (u UID) String() string {
	h := hex.EncodeToString(u[:])
	return h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:]
}

// ParseID reads a record's id: <cluster>/<event uid>/<resourceVersion>.
func ParseID(id string) (Version, error) {
	parts := strings.Split(id, "/")
	if len(parts) != 3 || parts[0] == "" {
		return Version{}, fmt.Errorf("%q is no id of a record", id)
	}
	u, err := ParseUID(parts[1])
	if err != nil {
		return Version{}, fmt.Errorf("the id %q: %w", id, err)
	}
	rv, err := strconv.ParseUint(parts[2], 10, 64)
	if err != nil {
		return Version{}, fmt.Errorf("the id %q: %w", id, err)
	}
	return Version{UID: u, RV: rv}, nil
}
