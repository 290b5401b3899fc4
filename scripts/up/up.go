package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/eventbaton/baton/e2e/cluster"
	"github.com/eventbaton/baton/e2e/cluster/step"
	"github.com/eventbaton/baton/e2e/helm"
)

const (
	release   = "baton"
	namespace = "baton"
	// toRoll is how long the pods of all nodes may take to be replaced.
	toRoll = 3 * time.Minute
)

// up makes everything, and ends with events that flow.
func up(ctx context.Context, o cluster.Options, log *step.Log, out io.Writer) error {
	root, err := cluster.Root(ctx)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	image := build(ctx, root)
	defer func() {
		cancel()
		_, _ = image()
	}()
	c, err := cluster.Up(ctx, o)
	if err != nil {
		return err
	}
	s := &site{cluster: c, root: root, log: log, image: image}
	if err := s.connect(); err != nil {
		return err
	}
	for _, next := range []struct {
		what string
		do   func(context.Context) (string, error)
	}{
		{"Image", s.load},
		{"Chart", s.install},
		{"Workload", s.employ},
		{"Events", s.show},
	} {
		if err := log.Do(next.what, func() (string, error) { return next.do(ctx) }); err != nil {
			return err
		}
	}
	text, err := s.farewell(ctx)
	fmt.Fprint(out, text)
	return err
}

// site is the cluster that things are put on.
type site struct {
	cluster *cluster.Cluster
	root    string
	log     *step.Log
	image   func() (string, error) // waits for the image's archive
	client  kubernetes.Interface

	id, tag string // of the image, once it is loaded
	leader  string // the pod, once it is known
	node    string
}

func (s *site) connect() error {
	config, err := s.cluster.Config()
	if err != nil {
		return err
	}
	if s.client, err = kubernetes.NewForConfig(config); err != nil {
		return fmt.Errorf("making a client of the cluster: %w", err)
	}
	return nil
}

// build begins to make the image's archive, while the cluster is being made, and returns what waits for it.
func build(ctx context.Context, root string) func() (string, error) {
	archive := filepath.Join(root, "dist", "baton-image.tar")
	cmd := exec.CommandContext(ctx, "go", "run", "./scripts/image", "-o", archive)
	var said bytes.Buffer
	cmd.Dir, cmd.Stdout, cmd.Stderr = root, io.Discard, &said
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }
	cmd.WaitDelay = 10 * time.Second
	done := make(chan struct{})
	var err error
	go func() {
		defer close(done)
		if err = cmd.Run(); err != nil {
			err = fmt.Errorf("building the image: %w: %s", err, strings.TrimSpace(said.String()))
		}
	}()
	return func() (string, error) {
		<-done
		return archive, err
	}
}

// load loads the image into the nodes.
func (s *site) load(ctx context.Context) (string, error) {
	archive, err := s.image()
	if err != nil {
		return "", err
	}
	images, err := cluster.Images(archive)
	if err != nil {
		return "", err
	}
	if len(images) != 1 || len(images[0].Tags) == 0 {
		return "", fmt.Errorf("%s holds %d images, not one with a tag", archive, len(images))
	}
	s.id, s.tag = images[0].ID, images[0].Tags[0]
	return s.tag, s.cluster.Load(ctx, archive)
}

// install installs the chart, or upgrades what is there.
func (s *site) install(ctx context.Context) (string, error) {
	r := helm.Release{
		Name: release, Namespace: namespace, Chart: filepath.Join(s.root, "charts", "baton"), CreateNamespace: true, Wait: toRoll,
		Values: values(s.id),
	}
	secrets, err := s.client.CoreV1().Secrets(namespace).List(ctx, metav1.ListOptions{LabelSelector: "owner=helm,name=" + release})
	if err != nil {
		return "", fmt.Errorf("looking for the release: %w", err)
	}
	how, err := plan(secrets.Items)
	if err != nil {
		return "", err
	}
	if err := how.run(ctx, helm.V4(s.cluster.Kubeconfig()), r); err != nil {
		return "", errors.Join(err, s.waiting(ctx))
	}
	return how.done(), nil
}

// waiting says which of the release's pods are not ready, and why: Helm's own error doesn't.
func (s *site) waiting(ctx context.Context) error {
	pods, err := s.client.CoreV1().Pods(namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil //nolint:nilerr // it only adds to another error
	}
	return cluster.Unready(pods.Items)
}

// values are the chart's. The image's id has the pods replaced when the image was built anew: its tag stays the same.
func values(id string) map[string]any {
	return map[string]any{
		"leaderCandidate": true,
		"clusterName":     "kind",
		"podAnnotations":  map[string]any{"eventbaton.dev/image": id},
	}
}
