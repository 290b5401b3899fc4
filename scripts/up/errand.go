package main

import (
	"context"
	"fmt"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const (
	// square is the namespace in which things happen.
	square = "square"
	errand = "errand"
)

// employ makes a CronJob whose pods come and go each minute: that is a dozen events, of the scheduler, the kubelets and
// the controllers. It needs no image but ours.
func (s *site) employ(ctx context.Context) (string, error) {
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: square}}
	if _, err := s.client.CoreV1().Namespaces().Create(ctx, ns, metav1.CreateOptions{}); err != nil && !apierrors.IsAlreadyExists(err) {
		return "", fmt.Errorf("making the namespace %s: %w", square, err)
	}
	jobs := s.client.BatchV1().CronJobs(square)
	_, err := jobs.Create(ctx, cron(s.tag), metav1.CreateOptions{})
	if apierrors.IsAlreadyExists(err) {
		var old *batchv1.CronJob
		if old, err = jobs.Get(ctx, errand, metav1.GetOptions{}); err == nil {
			old.Spec = cron(s.tag).Spec
			_, err = jobs.Update(ctx, old, metav1.UpdateOptions{})
		}
	}
	if err != nil {
		return "", fmt.Errorf("making the CronJob %s/%s: %w", square, errand, err)
	}
	return "a CronJob that makes events, each minute", nil
}

// now runs the errand once more, at once.
func (s *site) now(ctx context.Context) error {
	owner, err := s.client.BatchV1().CronJobs(square).Get(ctx, errand, metav1.GetOptions{})
	if err != nil {
		return fmt.Errorf("reading the CronJob %s/%s: %w", square, errand, err)
	}
	job := &batchv1.Job{
		ObjectMeta: metav1.ObjectMeta{
			GenerateName: errand + "-now-",
			// It goes with the CronJob.
			OwnerReferences: []metav1.OwnerReference{{APIVersion: "batch/v1", Kind: "CronJob", Name: owner.Name, UID: owner.UID}},
		},
		Spec: owner.Spec.JobTemplate.Spec,
	}
	if _, err := s.client.BatchV1().Jobs(square).Create(ctx, job, metav1.CreateOptions{}); err != nil {
		return fmt.Errorf("making a Job in %s: %w", square, err)
	}
	return nil
}

// cron is the CronJob: two pods that print a version and end.
func cron(image string) *batchv1.CronJob {
	return &batchv1.CronJob{
		ObjectMeta: metav1.ObjectMeta{Name: errand},
		Spec: batchv1.CronJobSpec{
			Schedule: "* * * * *", ConcurrencyPolicy: batchv1.ForbidConcurrent,
			SuccessfulJobsHistoryLimit: new(int32(1)), FailedJobsHistoryLimit: new(int32(1)),
			JobTemplate: batchv1.JobTemplateSpec{Spec: batchv1.JobSpec{
				Parallelism: new(int32(2)), Completions: new(int32(2)), TTLSecondsAfterFinished: new(int32(90)),
				Template: corev1.PodTemplateSpec{Spec: corev1.PodSpec{
					RestartPolicy: corev1.RestartPolicyNever, AutomountServiceAccountToken: new(bool),
					Containers: []corev1.Container{{
						Name: errand, Image: image, ImagePullPolicy: corev1.PullNever, Args: []string{"version"},
					}},
				}},
			}},
		},
	}
}
