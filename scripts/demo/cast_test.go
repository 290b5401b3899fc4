package main

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"
)

func TestCast(t *testing.T) {
	c := cast{fake.NewClientset()}
	meta := metav1.ObjectMeta{Namespace: shop, Name: "e"}
	e, err := c.CoreV1().Events(shop).Create(t.Context(), &corev1.Event{ObjectMeta: meta, Message: "event 1"}, metav1.CreateOptions{})
	if err != nil || e.Message == "event 1" || e.Reason == "" || e.InvolvedObject.Namespace != shop || e.Name != "e" {
		t.Errorf("%+v, %v", e, err)
	}
	meta.Name = "f"
	s, err := c.EventsV1().Events(shop).Create(t.Context(), &eventsv1.Event{ObjectMeta: meta, Note: "event 2"}, metav1.CreateOptions{})
	if err != nil || s.Note == "event 2" || s.ReportingController == "" || s.Action == "" || s.Regarding.Namespace != shop {
		t.Errorf("%+v, %v", s, err)
	}
}

func TestSpeak(t *testing.T) {
	for n := range int64(1000) {
		l := speak(n)
		if versions[l.kind] == "" || strings.Contains(l.message, "%") || l.typ != "Normal" && l.typ != "Warning" {
			t.Fatalf("%+v", l)
		}
	}
}
