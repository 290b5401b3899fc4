package election

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
)

// ConfigMaps is the API for the ConfigMaps of one namespace.
type ConfigMaps interface {
	Get(ctx context.Context, name string, opts metav1.GetOptions) (*corev1.ConfigMap, error)
	Create(ctx context.Context, object *corev1.ConfigMap, opts metav1.CreateOptions) (*corev1.ConfigMap, error)
	Update(ctx context.Context, object *corev1.ConfigMap, opts metav1.UpdateOptions) (*corev1.ConfigMap, error)
	Watch(ctx context.Context, opts metav1.ListOptions) (watch.Interface, error)
}

// NewConfigMapLock is the lock in a ConfigMap's annotation.
func NewConfigMapLock(c ConfigMaps, namespace, name string) Lock {
	return &objectLock[*corev1.ConfigMap]{
		api: c, namespace: namespace, name: name,
		codec: codec[*corev1.ConfigMap]{
			kind:  "configmap",
			read:  readConfigMap,
			write: writeConfigMap,
			empty: func() *corev1.ConfigMap { return &corev1.ConfigMap{} },
		},
	}
}

// readConfigMap takes an object without the annotation for one without a holder: nobody has ever locked it.
func readConfigMap(object *corev1.ConfigMap) (Record, string, error) {
	text, ok := object.Annotations[LeaderAnnotation]
	if !ok {
		return Record{}, "", nil
	}
	r, err := parseAnnotation(text)
	if err != nil {
		return Record{}, text, err
	}
	return r, "", nil
}

func writeConfigMap(old *corev1.ConfigMap, r Record) *corev1.ConfigMap {
	object := old.DeepCopy()
	annotate(object, LeaderAnnotation, formatAnnotation(r))
	return object
}
