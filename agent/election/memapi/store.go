package memapi

import (
	"fmt"
	"strconv"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
)

// Object is what a Store holds.
type Object interface {
	comparable
	metav1.Object
	runtime.Object
}

// Store holds the objects of one kind. Its own methods are those of a person at the server: they can't fail for
// reasons of the network. Objects that go in and out are copies.
type Store[T Object] struct {
	server   *Server
	kind     string
	objects  map[string]T
	history  []change[T]
	kept     uint64 // watches from before this version are refused
	watchers map[*watcher[T]]struct{}
}

type change[T Object] struct {
	version uint64
	event   watch.EventType
	object  T
}

func newStore[T Object](s *Server, kind string) *Store[T] {
	return &Store[T]{server: s, kind: kind, objects: map[string]T{}, watchers: map[*watcher[T]]struct{}{}}
}

func clone[T Object](object T) T { return object.DeepCopyObject().(T) }

func (s *Store[T]) resource() schema.GroupResource { return schema.GroupResource{Resource: s.kind} }

// Get returns the object, or IsNotFound.
func (s *Store[T]) Get(name string) (T, error) {
	s.server.mu.Lock()
	defer s.server.mu.Unlock()
	object, ok := s.objects[name]
	if !ok {
		return object, apierrors.NewNotFound(s.resource(), name)
	}
	return clone(object), nil
}

// Create stores a new object, with a UID if it has none.
func (s *Store[T]) Create(object T) (T, error) {
	s.server.mu.Lock()
	defer s.server.mu.Unlock()
	var none T
	if _, ok := s.objects[object.GetName()]; ok {
		return none, apierrors.NewAlreadyExists(s.resource(), object.GetName())
	}
	object = clone(object)
	if object.GetUID() == "" {
		object.SetUID(types.UID(fmt.Sprintf("uid-%d", s.server.version+1)))
	}
	s.store(watch.Added, object)
	return clone(object), nil
}

// Update stores a new version of an object. One that names a version or UID which is not the stored one's is a
// conflict, one that changes nothing makes no version.
func (s *Store[T]) Update(object T) (T, error) {
	s.server.mu.Lock()
	defer s.server.mu.Unlock()
	var none T
	name := object.GetName()
	old, ok := s.objects[name]
	if !ok {
		return none, apierrors.NewNotFound(s.resource(), name)
	}
	version, uid := object.GetResourceVersion(), object.GetUID()
	if version != "" && version != old.GetResourceVersion() || uid != "" && uid != old.GetUID() {
		return none, apierrors.NewConflict(s.resource(), name, fmt.Errorf("the object has been modified"))
	}
	object = clone(object)
	object.SetUID(old.GetUID())
	object.SetResourceVersion(old.GetResourceVersion())
	if equality.Semantic.DeepEqual(old, object) {
		return clone(old), nil
	}
	s.store(watch.Modified, object)
	return clone(object), nil
}

// Edit changes the object as it is, whatever its version.
func (s *Store[T]) Edit(name string, change func(T)) error {
	object, err := s.Get(name)
	if err != nil {
		return err
	}
	change(object)
	object.SetResourceVersion("")
	_, err = s.Update(object)
	return err
}

// Delete removes the object, or returns IsNotFound.
func (s *Store[T]) Delete(name string) error {
	s.server.mu.Lock()
	defer s.server.mu.Unlock()
	object, ok := s.objects[name]
	if !ok {
		return apierrors.NewNotFound(s.resource(), name)
	}
	s.store(watch.Deleted, clone(object))
	return nil
}

// Compact forgets the history, so that a watch from an older version is refused with 410.
func (s *Store[T]) Compact() {
	s.server.mu.Lock()
	defer s.server.mu.Unlock()
	s.history, s.kept = nil, s.server.version
}

// store gives the object a version and tells the watchers. It is called with the server's mu held and keeps object.
func (s *Store[T]) store(event watch.EventType, object T) {
	version := s.server.next()
	object.SetResourceVersion(strconv.FormatUint(version, 10))
	if event == watch.Deleted {
		delete(s.objects, object.GetName())
	} else {
		s.objects[object.GetName()] = object
	}
	c := change[T]{version: version, event: event, object: object}
	s.history = append(s.history, c)
	for w := range s.watchers {
		w.tell(c)
	}
}
