// Package inventory lists what there is in a cluster, so that what an installation leaves behind can be told.
package inventory

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/metadata"
)

// Inventory are the objects of a cluster, but for its events, as <resource>.<group> <namespace>/<name>.
type Inventory map[string]object

type object struct{ namespace, name, instance string }

// instanceLabel says which release an object belongs to.
const instanceLabel = "app.kubernetes.io/instance"

// Take lists all objects of all kinds.
func Take(ctx context.Context, d discovery.ServerResourcesInterface, c metadata.Interface) (Inventory, error) {
	lists, err := d.ServerPreferredResources()
	if err != nil {
		return nil, fmt.Errorf("asking which kinds of objects there are: %w", err)
	}
	all := Inventory{}
	var errs []error
	for _, list := range lists {
		group, err := schema.ParseGroupVersion(list.GroupVersion)
		if err != nil {
			return nil, fmt.Errorf("the group %q: %w", list.GroupVersion, err)
		}
		for _, r := range list.APIResources {
			if r.Name == "events" || !slices.Contains(r.Verbs, "list") {
				continue
			}
			errs = append(errs, all.add(ctx, c, group.WithResource(r.Name)))
		}
	}
	return all, errors.Join(errs...)
}

func (i Inventory) add(ctx context.Context, c metadata.Interface, kind schema.GroupVersionResource) error {
	list, err := c.Resource(kind).List(ctx, metav1.ListOptions{})
	if apierrors.IsNotFound(err) || apierrors.IsMethodNotSupported(err) {
		return nil // kinds come and go with the CRDs
	}
	if err != nil {
		return fmt.Errorf("listing the %s: %w", kind.GroupResource(), err)
	}
	for _, o := range list.Items {
		i[fmt.Sprintf("%s %s/%s", kind.GroupResource(), o.Namespace, o.Name)] = object{o.Namespace, o.Name, o.Labels[instanceLabel]}
	}
	return nil
}

// Left is what is in later and was not in earlier, of what is in the namespace, or belongs to the release: by its name,
// or by its label.
func Left(earlier, later Inventory, namespace, release string) []string {
	var left []string
	for _, key := range slices.Sorted(maps.Keys(later)) {
		o := later[key]
		if _, known := earlier[key]; known {
			continue
		}
		if o.namespace == namespace || o.instance == release || strings.Contains(o.name, release) {
			left = append(left, key)
		}
	}
	return left
}
