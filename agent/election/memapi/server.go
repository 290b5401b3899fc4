// Package memapi is the part of the Kubernetes API that an election needs, in memory, for tests and simulations:
// Leases, ConfigMaps and Pods of one namespace with optimistic concurrency and watches, and clients whose requests can
// be delayed, refused, lost or cut off.
//
// Everything in it waits by package time and channels alone, so it works under testing/synctest. It is not a model of
// the API server's validation, admission or storage.
package memapi

import (
	"sync"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
)

// Server holds the objects. All kinds share one counter of versions, as in etcd.
type Server struct {
	Leases     *Store[*coordinationv1.Lease]
	ConfigMaps *Store[*corev1.ConfigMap]
	Pods       *Store[*corev1.Pod]

	mu      sync.Mutex
	version uint64
	counts  map[Call]int
}

// NewServer returns one without objects.
func NewServer() *Server {
	s := &Server{counts: map[Call]int{}}
	s.Leases = newStore[*coordinationv1.Lease](s, "leases")
	s.ConfigMaps = newStore[*corev1.ConfigMap](s, "configmaps")
	s.Pods = newStore[*corev1.Pod](s, "pods")
	return s
}

// Count returns how many requests were made that match, whatever became of them.
func (s *Server) Count(match func(Call) bool) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for call, times := range s.counts {
		if match(call) {
			n += times
		}
	}
	return n
}

func (s *Server) note(c Call) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.counts[c]++
}

// next is called with mu held.
func (s *Server) next() uint64 {
	s.version++
	return s.version
}
