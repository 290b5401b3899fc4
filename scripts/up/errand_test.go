package main

import (
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"
)

// A second time takes the new image, and is no error.
func TestEmploy(t *testing.T) {
	s := &site{client: fake.NewClientset()}
	for _, s.tag = range []string{"eventbaton/baton:1", "eventbaton/baton:2"} {
		if _, err := s.employ(t.Context()); err != nil {
			t.Fatal(err)
		}
		job, err := s.client.BatchV1().CronJobs(square).Get(t.Context(), errand, metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if image := job.Spec.JobTemplate.Spec.Template.Spec.Containers[0].Image; image != s.tag {
			t.Errorf("the image is %s, not %s", image, s.tag)
		}
	}
}

func TestNow(t *testing.T) {
	s := &site{client: fake.NewClientset(), tag: "eventbaton/baton:1"}
	says(t, s.now(t.Context()), "reading the CronJob")
	if _, err := s.employ(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := s.now(t.Context()); err != nil {
		t.Fatal(err)
	}
	jobs, err := s.client.BatchV1().Jobs(square).List(t.Context(), metav1.ListOptions{})
	if err != nil || len(jobs.Items) != 1 {
		t.Fatalf("%d jobs, error %v", len(jobs.Items), err)
	}
	job := jobs.Items[0]
	if len(job.OwnerReferences) != 1 || job.OwnerReferences[0].Name != errand {
		t.Errorf("it belongs to %+v: it would stay when the CronJob goes", job.OwnerReferences)
	}
	if got := job.Spec.Template.Spec.Containers[0].Args; len(got) != 1 || got[0] != "version" {
		t.Errorf("it runs %q", got)
	}
}
