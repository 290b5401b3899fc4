package record

import (
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

var noon = time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)

func origin() Origin {
	return Origin{
		Cluster:     "7f0e7a52-5f0e-4f3e-9a51-6c1f2b1d0a11",
		ClusterName: "blue",
		Tags:        []string{"team:platform", "env:prod"},
		Leader:      Leader{Identity: "baton-x2x7q_0b9d6c1e-4f0a-4a51-8c8e-0d7c1f7b9a10_agent_5f2c81d0", Epoch: 7},
	}
}

// coreEvent is one as the kubelet writes it.
func coreEvent() *corev1.Event {
	return &corev1.Event{
		ObjectMeta: metav1.ObjectMeta{
			Name: "web-7d4b9c6f5-abcde.18a1f2c3d4e5f607", Namespace: "shop",
			UID: "c0ffee00-0000-4000-8000-000000000001", ResourceVersion: "48213",
			CreationTimestamp: metav1.Time{Time: noon},
		},
		InvolvedObject: corev1.ObjectReference{
			APIVersion: "v1", Kind: "Pod", Namespace: "shop", Name: "web-7d4b9c6f5-abcde",
			UID: "c0ffee00-0000-4000-8000-000000000002", ResourceVersion: "48000", FieldPath: "spec.containers{web}",
		},
		Type: "Warning", Reason: "BackOff",
		Message:             `Back-off restarting failed container "web" <in pod web-7d4b9c6f5-abcde>`,
		Source:              corev1.EventSource{Component: "kubelet", Host: "node-3"},
		FirstTimestamp:      metav1.Time{Time: noon},
		LastTimestamp:       metav1.Time{Time: noon.Add(5 * time.Minute)},
		Count:               12,
		ReportingController: "kubelet",
		ReportingInstance:   "node-3",
	}
}

// seriesEvent is one as a reporter of events.k8s.io/v1 writes it, read as core/v1.
func seriesEvent() *corev1.Event {
	return &corev1.Event{
		ObjectMeta: metav1.ObjectMeta{
			Name: "web.18a1f2c3", Namespace: "shop", UID: "c0ffee00-0000-4000-8000-000000000003",
			ResourceVersion: "48300", CreationTimestamp: metav1.Time{Time: noon.Add(time.Second)},
		},
		InvolvedObject: corev1.ObjectReference{Kind: "Pod", Name: "web", Namespace: "shop"},
		Related:        &corev1.ObjectReference{APIVersion: "v1", Kind: "Node", Name: "node-3"},
		EventTime:      metav1.MicroTime{Time: noon.Add(123456 * time.Microsecond)},
		Series: &corev1.EventSeries{
			Count: 4, LastObservedTime: metav1.MicroTime{Time: noon.Add(time.Minute + 654321*time.Microsecond)},
		},
		Action: "Binding", Type: "Normal", Reason: "Scheduled", Message: "assigned",
		ReportingController: "default-scheduler", ReportingInstance: "default-scheduler-1",
	}
}
