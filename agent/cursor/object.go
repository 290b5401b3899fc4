package cursor

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// The keys of the object. People read it with kubectl, so each is a line of its own.
const (
	keyFormat  = "format"
	keyOwner   = "owner"
	keyEpoch   = "epoch"
	keyCluster = "cluster"
	keyCursor  = "cursor."

	format = "1"
)

// maxEpoch is the highest number taken for an epoch: above it a number is nonsense, and epoch + 1 must exist.
const maxEpoch = int64(1) << 53

// A ConfigMap's values may have 1 MiB together. A cursor is longest in the middle of a list: its continue token
// holds a namespace (63) and a name (253) in JSON, in base64 about 550 bytes, with all the rest about 850. The
// object's other values, and what people add to it, have keyReserve.
const (
	maxObject  = 1 << 20
	keyBudget  = 1 << 10
	keyReserve = 16 << 10

	// MaxKeys is how many cursors fit into the object, whatever they hold.
	MaxKeys = (maxObject - keyReserve) / keyBudget
)

// Fits says whether the cursors of so many sinks in so many streams (namespaces, at least 1) always fit into the
// object.
func Fits(sinks, streams int) bool {
	return sinks <= MaxKeys/max(streams, 1)
}

// ObjectName is the name of the ConfigMap with the cursors of the release called name.
func ObjectName(name string) string { return name + "-cursors" }

// Key names the cursor of a sink in a stream: a namespace, "" for all. Sink names are DNS labels, so the first dot
// ends them.
func Key(sink, namespace string) string {
	if namespace == "" {
		return sink
	}
	return sink + "." + namespace
}

// SplitKey is the reverse of Key.
func SplitKey(key string) (sink, namespace string) {
	sink, namespace, _ = strings.Cut(key, ".")
	return sink, namespace
}

// State is what the object says.
type State struct {
	// Format is the format as it is written, "" where it is missing.
	Format string
	// Owner is the identity of the process that claimed last, "" where it is missing.
	Owner string
	// Epoch counts the claims, 0 where it is missing or not readable.
	Epoch int64
	// Cluster is the id of the cluster whose resourceVersions these are.
	Cluster string
	// Positions are the readable cursors, by Key.
	Positions map[string]Position
	// Problems say what is not readable, one line each; empty where all is well.
	Problems []string
}

// Read reads the object. A format that this version does not know is ErrFormat, with Format set; everything else
// that is wrong is among the Problems, and no position is made of it.
func Read(o *corev1.ConfigMap) (State, error) {
	s := State{Positions: map[string]Position{}}
	if o == nil {
		return s, nil
	}
	s.Format, s.Owner = value(o, keyFormat), value(o, keyOwner)
	if s.Format != "" && s.Format != format {
		return s, fmt.Errorf("%w: %.40q, where this version knows %q: a newer version wrote it; upgrade this one, "+
			"or delete the ConfigMap %s/%s and start again from the oldest retained event",
			ErrFormat, s.Format, format, o.Namespace, o.Name)
	}
	s.Cluster = value(o, keyCluster)
	s.readEpoch(o)
	s.readPositions(o)
	if s.Format == "" && s.claimed() {
		s.Problems = append(s.Problems, "format: missing")
	}
	return s, nil
}

func (s *State) readEpoch(o *corev1.ConfigMap) {
	text := value(o, keyEpoch)
	if text == "" {
		return
	}
	n, err := number(text)
	if err != nil || n == 0 || n > uint64(maxEpoch) {
		s.Problems = append(s.Problems, fmt.Sprintf("epoch: %.40q is not a positive number", text))
		return
	}
	s.Epoch = int64(n)
}

func (s *State) readPositions(o *corev1.ConfigMap) {
	for _, k := range slices.Sorted(maps.Keys(o.Data)) {
		name, ok := strings.CutPrefix(k, keyCursor)
		if !ok || name == "" {
			continue
		}
		p, err := parse(o.Data[k])
		if err != nil {
			s.Problems = append(s.Problems, fmt.Sprintf("%s: %v", k, err))
			continue
		}
		s.Positions[name] = p
	}
}

// claimed says whether the object bears traces of a claim, readable or not. An empty object that was made
// beforehand bears none.
func (s *State) claimed() bool {
	return s.Owner != "" || s.Epoch > 0 || len(s.Positions) > 0 || len(s.Problems) > 0
}

// value is a value without the line feed that an editor has put behind it.
func value(o *corev1.ConfigMap, key string) string { return strings.TrimSpace(o.Data[key]) }

// number reads a number as it is written here: decimal, without sign or leading zeros.
func number(s string) (uint64, error) {
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil || strconv.FormatUint(n, 10) != s {
		return 0, fmt.Errorf("%.40q is not a resourceVersion", s)
	}
	return n, nil
}

// parse reads a cursor. It is stricter than encoding/json, for which {} is a position too.
func parse(text string) (Position, error) {
	var raw struct {
		RV      *string `json:"rv"`
		Listing *struct {
			Stream   *string `json:"stream"`
			RV       *string `json:"rv"`
			Continue string  `json:"continue"`
		} `json:"listing"`
		Time  time.Time `json:"time"`
		Since time.Time `json:"since"`
	}
	if err := json.Unmarshal([]byte(text), &raw); err != nil {
		return Position{}, fmt.Errorf("not a position: %w", err)
	}
	p := Position{Time: raw.Time, Since: raw.Since}
	var err error
	if raw.RV == nil {
		return Position{}, fmt.Errorf("not a position: rv is missing")
	}
	if p.RV, err = number(*raw.RV); err != nil {
		return Position{}, fmt.Errorf("not a position: rv: %w", err)
	}
	if l := raw.Listing; l != nil {
		if l.Stream == nil || l.RV == nil || l.Continue == "" {
			return Position{}, fmt.Errorf("not a position: listing: stream, rv or continue is missing")
		}
		p.Listing = &Listing{Stream: *l.Stream, Continue: l.Continue}
		if p.Listing.RV, err = number(*l.RV); err != nil {
			return Position{}, fmt.Errorf("not a position: listing: rv: %w", err)
		}
	}
	return p, p.check()
}

// claimOn is the object with a claim in it. Everything else stays as it is, unless the positions are of another
// cluster, where they mean nothing.
func (o *Options) claimOn(base *corev1.ConfigMap, epoch int64, foreign bool) *corev1.ConfigMap {
	next := o.copyOf(base)
	if foreign {
		dropCursors(next)
	}
	o.sign(next, epoch)
	return next
}

// copyOf is a copy to be written, or a new object where there is none. A new one has no owner and no label of the
// chart: it has to outlive an uninstalled release.
func (o *Options) copyOf(base *corev1.ConfigMap) *corev1.ConfigMap {
	if base == nil {
		return &corev1.ConfigMap{
			ObjectMeta: metav1.ObjectMeta{Namespace: o.Namespace, Name: o.Name},
			Data:       map[string]string{},
		}
	}
	next := base.DeepCopy()
	if next.Data == nil {
		next.Data = map[string]string{}
	}
	return next
}

func (o *Options) sign(next *corev1.ConfigMap, epoch int64) {
	next.Data[keyFormat] = format
	next.Data[keyOwner] = o.Owner
	next.Data[keyEpoch] = strconv.FormatInt(epoch, 10)
	if o.Cluster != "" {
		next.Data[keyCluster] = o.Cluster
	}
}

func dropCursors(o *corev1.ConfigMap) {
	maps.DeleteFunc(o.Data, func(k, _ string) bool { return strings.HasPrefix(k, keyCursor) })
}

func writeCursors(o *corev1.ConfigMap, positions map[string]Position) error {
	for key, p := range positions {
		text, err := json.Marshal(p)
		if err != nil {
			return fmt.Errorf("encode the cursor %s: %w", key, err)
		}
		o.Data[keyCursor+key] = string(text)
	}
	return nil
}
