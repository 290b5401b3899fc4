package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/types"

	"github.com/eventbaton/baton/agent/election"
)

// api is an API server as far as the commands that run once need it.
type api struct {
	decode func([]byte) (runtime.Object, error)

	mu      sync.Mutex
	objects map[string]metav1.Object // by path
	calls   []string                 // "verb resource/name"
	version int
	// refuse, where set, is the error of a call.
	refuse func(call string) error
	// after, where set, sees a call once it was done, with mu held.
	after func(call string)
}

const (
	testLease   = "leases/baton"
	testLock    = "configmaps/baton"
	testCursors = "configmaps/baton-cursors"
)

// serveAPI starts the server, and a kubeconfig that names it.
func serveAPI(t *testing.T, objects map[string]metav1.Object) (*api, string) {
	t.Helper()
	s := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{corev1.AddToScheme, coordinationv1.AddToScheme} {
		if err := add(s); err != nil {
			t.Fatal(err)
		}
	}
	deserializer := serializer.NewCodecFactory(s).UniversalDeserializer()
	a := &api{objects: objects, version: 100, decode: func(b []byte) (runtime.Object, error) {
		o, _, err := deserializer.Decode(b, nil, nil)
		return o, err
	}}
	for path, o := range objects {
		o.SetUID(types.UID("uid of " + path))
		o.SetName(path[strings.LastIndex(path, "/")+1:])
	}
	server := httptest.NewServer(a)
	t.Cleanup(server.Close)
	file := filepath.Join(t.TempDir(), "kubeconfig")
	text := fmt.Sprintf(`{"apiVersion":"v1","kind":"Config","current-context":"x","contexts":[{"name":"x",`+
		`"context":{"cluster":"c","namespace":"ops"}}],"clusters":[{"name":"c","cluster":{"server":%q}}]}`, server.URL)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return a, file
}

func (a *api) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		panic(err)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	_, path, _ := strings.Cut(r.URL.Path, "/namespaces/")
	_, path, _ = strings.Cut(path, "/") // all namespaces are one here
	call := strings.ToLower(r.Method) + " " + path
	a.calls = append(a.calls, call)
	if a.refuse != nil {
		if err := a.refuse(call); err != nil {
			answer(w, err, nil)
			return
		}
	}
	object, err := a.do(r, path, body)
	answer(w, err, object)
	if a.after != nil {
		a.after(call)
	}
}

func answer(w http.ResponseWriter, err error, object any) {
	w.Header().Set("Content-Type", "application/json")
	if failed, ok := errors.AsType[*apierrors.StatusError](err); ok {
		status := failed.Status()
		status.APIVersion, status.Kind = "v1", "Status"
		w.WriteHeader(int(status.Code))
		object = status
	}
	if err := json.NewEncoder(w).Encode(object); err != nil {
		panic(err)
	}
}

func (a *api) do(r *http.Request, path string, body []byte) (any, error) {
	switch {
	case r.Method == http.MethodPost:
		o, err := a.decode(body)
		if err != nil {
			return nil, apierrors.NewBadRequest(err.Error())
		}
		a.version++
		made := o.(metav1.Object)
		made.SetResourceVersion(strconv.Itoa(a.version))
		a.objects[path+"/made"] = made
		return kinded(made), nil
	case path == "pods":
		list := &corev1.PodList{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "PodList"}}
		for path, o := range a.objects {
			if pod, ok := o.(*corev1.Pod); ok && strings.HasPrefix(path, "pods/") && r.URL.Query().Get("labelSelector") == "app=baton" {
				list.Items = append(list.Items, *pod)
			}
		}
		return list, nil
	}
	o, ok := a.objects[path]
	if !ok {
		return nil, apierrors.NewNotFound(schema.GroupResource{}, path)
	}
	if r.Method == http.MethodDelete {
		options, err := a.decode(body)
		if err != nil {
			return nil, apierrors.NewBadRequest(err.Error())
		}
		if p := options.(*metav1.DeleteOptions).Preconditions; p == nil || p.UID == nil || *p.UID != o.GetUID() {
			return nil, apierrors.NewConflict(schema.GroupResource{}, path, errors.New("it is another object"))
		}
		delete(a.objects, path)
	}
	return kinded(o), nil
}

func kinded(o metav1.Object) metav1.Object {
	switch o := o.(type) {
	case *corev1.ConfigMap:
		o.TypeMeta = metav1.TypeMeta{APIVersion: "v1", Kind: "ConfigMap"}
	case *corev1.Event:
		o.TypeMeta = metav1.TypeMeta{APIVersion: "v1", Kind: "Event"}
	case *coordinationv1.Lease:
		o.TypeMeta = metav1.TypeMeta{APIVersion: "coordination.k8s.io/v1", Kind: "Lease"}
	}
	return o
}

func (a *api) has(path string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	_, ok := a.objects[path]
	return ok
}

func (a *api) called(call string) int {
	a.mu.Lock()
	defer a.mu.Unlock()
	n := 0
	for _, c := range a.calls {
		if c == call {
			n++
		}
	}
	return n
}

func forbid(calls ...string) func(string) error {
	return func(call string) error {
		if slices.Contains(calls, call) {
			return apierrors.NewForbidden(schema.GroupResource{}, call, errors.New("no rights"))
		}
		return nil
	}
}

func lockedConfigMap() *corev1.ConfigMap {
	return &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Annotations: map[string]string{election.LeaderAnnotation: `{"holderIdentity":""}`}}}
}

func cursors(positions map[string]uint64) *corev1.ConfigMap {
	data := map[string]string{"format": "1", "owner": "baton-0_u_agent_i", "epoch": "3"}
	for key, rv := range positions {
		data["cursor."+key] = fmt.Sprintf(`{"rv":"%d"}`, rv)
	}
	return &corev1.ConfigMap{Data: data}
}
