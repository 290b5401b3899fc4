package install

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/restmapper"

	"github.com/eventbaton/baton/e2e/helm"
)

// objects are all objects of some manifests.
func objects(t *testing.T, manifests ...string) []*unstructured.Unstructured {
	t.Helper()
	var all []*unstructured.Unstructured
	for _, manifest := range manifests {
		reader := yaml.NewYAMLReader(bufio.NewReader(strings.NewReader(manifest)))
		for {
			document, err := reader.Read()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			o := &unstructured.Unstructured{}
			if err := yaml.Unmarshal(document, &o.Object); err != nil {
				t.Fatalf("%v in:\n%s", err, document)
			}
			if len(o.Object) > 0 {
				all = append(all, o)
			}
		}
	}
	return all
}

// everything is what a release renders, with its hooks.
func everything(t *testing.T, r helm.Rendered) []*unstructured.Unstructured {
	t.Helper()
	return objects(t, append([]string{r.Manifest}, r.Hooks...)...)
}

// find returns the objects of a kind, as T.
func find[T any](t *testing.T, all []*unstructured.Unstructured, kind string) []T {
	t.Helper()
	var found []T
	for _, o := range all {
		if o.GetKind() != kind {
			continue
		}
		var typed T
		if err := runtime.DefaultUnstructuredConverter.FromUnstructuredWithValidation(o.Object, &typed, true); err != nil {
			t.Fatalf("%s %s: %v", kind, o.GetName(), err)
		}
		found = append(found, typed)
	}
	return found
}

// server creates objects of any kind as the admin, and remembers what it was warned of.
type server struct {
	client dynamic.Interface
	mapper *restmapper.DeferredDiscoveryRESTMapper

	mu       sync.Mutex
	warnings []string
}

func connect(t *testing.T) *server {
	t.Helper()
	s := &server{}
	config := suite.plane.Admin()
	config.ContentType, config.AcceptContentTypes = "application/json", "application/json"
	config.WarningHandler = s
	var err error
	if s.client, err = dynamic.NewForConfig(config); err != nil {
		t.Fatal(err)
	}
	d, err := discovery.NewDiscoveryClientForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	s.mapper = restmapper.NewDeferredDiscoveryRESTMapper(memory.NewMemCacheClient(d))
	return s
}

// HandleWarningHeader implements rest.WarningHandler.
func (s *server) HandleWarningHeader(_ int, _, text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.warnings = append(s.warnings, text)
}

func (s *server) warned() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Join(s.warnings, "; ")
}

// create is strict: a field that the server does not know is an error. Options may make it a dry run.
func (s *server) create(ctx context.Context, o *unstructured.Unstructured, dryRun ...string) error {
	mapping, err := s.mapper.RESTMapping(o.GroupVersionKind().GroupKind(), o.GroupVersionKind().Version)
	if err != nil {
		return fmt.Errorf("%s: %w", o.GetKind(), err)
	}
	var client dynamic.ResourceInterface = s.client.Resource(mapping.Resource)
	if o.GetNamespace() != "" {
		client = s.client.Resource(mapping.Resource).Namespace(o.GetNamespace())
	}
	_, err = client.Create(ctx, o, metav1.CreateOptions{FieldValidation: metav1.FieldValidationStrict, DryRun: dryRun})
	if err != nil {
		return fmt.Errorf("%s %s: %w", o.GetKind(), o.GetName(), err)
	}
	return nil
}

// accepted demands that the server takes all objects as they are, without a warning.
func (s *server) accepted(t *testing.T, all []*unstructured.Unstructured) {
	t.Helper()
	for _, o := range all {
		if err := s.create(t.Context(), o, metav1.DryRunAll); err != nil {
			text, _ := o.MarshalJSON()
			t.Errorf("%v\n%s", err, bytes.TrimSpace(text))
		}
	}
	if w := s.warned(); w != "" {
		t.Errorf("the API server warns: %s", w)
	}
}
