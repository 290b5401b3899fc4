package install

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/eventbaton/baton/e2e/child"
	"github.com/eventbaton/baton/e2e/controlplane"
	"github.com/eventbaton/baton/e2e/history"
	"github.com/eventbaton/baton/e2e/port"
)

// crew are the pods of an installed release, as a DaemonSet's controller and kubelets would run them: agents as processes,
// with the DaemonSet's own template and with tokens of its ServiceAccount.
type crew struct {
	t         *testing.T
	ctx       context.Context
	namespace string
	name      string // of the DaemonSet and of the lock
	pods      map[string]*pod

	lease, configMap *history.History[history.LockState]
	cursors          *history.History[history.CursorState]
}

type pod struct {
	object  *corev1.Pod
	process *child.Process
	port    int
	stderr  string
	began   metav1.Time
}

func newCrew(t *testing.T, ctx context.Context, namespace, name string) *crew { //nolint:revive // a test's own comes first
	c := &crew{
		t: t, ctx: ctx, namespace: namespace, name: name, pods: map[string]*pod{},
		lease: history.New[history.LockState](), configMap: history.New[history.LockState](), cursors: history.New[history.CursorState](),
	}
	client := suite.plane.Client()
	go history.Lease(ctx, client, namespace, name, c.lease)
	go history.ConfigMap(ctx, client, namespace, name, c.configMap)
	go history.Cursors(ctx, client, namespace, name, c.cursors)
	return c
}

// start makes a pod and starts what runs in it.
func (c *crew) start(name string) {
	c.t.Helper()
	set, err := suite.plane.Client().AppsV1().DaemonSets(c.namespace).Get(c.ctx, c.name, metav1.GetOptions{})
	do(c.t, err)
	object := podOf(set, name)
	made, err := suite.plane.Client().CoreV1().Pods(c.namespace).Create(c.ctx, object, metav1.CreateOptions{})
	do(c.t, err)
	p := &pod{object: made, began: metav1.Now()}
	c.pods[name] = p
	c.report(p, corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: p.began}})
	p.port, err = port.Take()
	do(c.t, err)
	c.t.Cleanup(func() { port.Give(p.port) })
	cmd := container(c.t, c.ctx, made)
	cmd.Args = append(cmd.Args, "--listen", port.Address(p.port))
	p.stderr = filepath.Join(suite.files.Dir, c.namespace+"-"+name+".log")
	log, err := os.Create(p.stderr)
	do(c.t, err)
	defer log.Close()
	cmd.Stderr = log
	p.process, err = suite.files.Start(cmd)
	do(c.t, err)
}

func podOf(set *appsv1.DaemonSet, name string) *corev1.Pod {
	o := &corev1.Pod{ObjectMeta: set.Spec.Template.ObjectMeta, Spec: set.Spec.Template.Spec}
	o.Namespace, o.Name, o.Spec.NodeName = set.Namespace, name, "node-of-"+name
	return o
}

// container is the command of a pod's first container, with a token of the pod's ServiceAccount.
func container(t *testing.T, ctx context.Context, p *corev1.Pod) *exec.Cmd { //nolint:revive // a test's own comes first
	t.Helper()
	c := p.Spec.Containers[0]
	dir := filepath.Join(suite.files.Dir, p.Namespace, p.Name)
	do(t, os.MkdirAll(dir, 0o700))
	args := append([]string{}, c.Args...)
	const etc = "/etc/baton"
	for _, mount := range c.VolumeMounts {
		if mount.MountPath != etc {
			continue
		}
		for _, v := range p.Spec.Volumes {
			if v.Name == mount.Name {
				config, err := suite.plane.Client().CoreV1().ConfigMaps(p.Namespace).Get(ctx, v.ConfigMap.Name, metav1.GetOptions{})
				do(t, err)
				do(t, os.WriteFile(filepath.Join(dir, "kubernetes.yaml"), []byte(config.Data["kubernetes.yaml"]), 0o600))
			}
		}
	}
	for i := range args {
		args[i] = strings.Replace(args[i], etc, dir, 1)
	}
	kubeconfig := filepath.Join(dir, "kubeconfig")
	user := controlplane.User{Name: account(p), Token: token(t, ctx, p.Namespace, p.Spec.ServiceAccountName)}
	do(t, suite.plane.WriteKubeconfig(kubeconfig, user, suite.plane.Address()))
	args = append(args, "--kubeconfig", kubeconfig)
	if args[0] == "run" {
		args = append(args, "--config", filepath.Join(dir, "kubernetes.yaml"))
	}
	cmd := exec.CommandContext(ctx, suite.binary, args...)
	cmd.Env = environment(t, p, c.Env)
	return cmd
}

func environment(t *testing.T, p *corev1.Pod, all []corev1.EnvVar) []string {
	t.Helper()
	fields := map[string]string{
		"metadata.name": p.Name, "metadata.uid": string(p.UID), "metadata.namespace": p.Namespace, "spec.nodeName": p.Spec.NodeName,
	}
	env := []string{"HOME=" + suite.files.Dir}
	for _, v := range all {
		value := v.Value
		if v.ValueFrom != nil {
			value = fields[v.ValueFrom.FieldRef.FieldPath]
			if value == "" {
				t.Errorf("%s is of the field %s, which nobody knows", v.Name, v.ValueFrom.FieldRef.FieldPath)
			}
		}
		env = append(env, v.Name+"="+value)
	}
	return env
}

func account(p *corev1.Pod) string {
	return "system:serviceaccount:" + p.Namespace + ":" + p.Spec.ServiceAccountName
}

func token(t *testing.T, ctx context.Context, namespace, account string) string { //nolint:revive // a test's own comes first
	t.Helper()
	answer, err := suite.plane.Client().CoreV1().ServiceAccounts(namespace).
		CreateToken(ctx, account, &authenticationv1.TokenRequest{}, metav1.CreateOptions{})
	do(t, err)
	return answer.Status.Token
}

// report plays the kubelet.
func (c *crew) report(p *pod, state corev1.ContainerState) {
	c.t.Helper()
	pods := suite.plane.Client().CoreV1().Pods(c.namespace)
	now, err := pods.Get(c.ctx, p.object.Name, metav1.GetOptions{})
	do(c.t, err)
	name := p.object.Spec.Containers[0].Name
	now.Status = corev1.PodStatus{
		Phase:             corev1.PodRunning,
		ContainerStatuses: []corev1.ContainerStatus{{Name: name, Image: "baton", State: state, Ready: state.Running != nil}},
	}
	_, err = pods.UpdateStatus(c.ctx, now, metav1.UpdateOptions{})
	do(c.t, err)
}

// kill kills the process, and reports its end.
func (c *crew) kill(name string) {
	c.t.Helper()
	p := c.pods[name]
	p.process.Kill()
	<-p.process.Done()
	c.report(p, corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{
		ExitCode: 137, StartedAt: p.began, FinishedAt: metav1.NewTime(time.Now().Add(time.Second)),
	}})
}

// stop ends the process in order, and deletes the pod.
func (c *crew) stop(name string) {
	c.t.Helper()
	p := c.pods[name]
	if !p.process.Ended() {
		do(c.t, p.process.Signal(syscall.SIGTERM))
		select {
		case <-p.process.Done():
		case <-c.ctx.Done():
			c.t.Fatalf("%s does not end", name)
		}
		if err := p.process.Err(); err != nil {
			c.t.Errorf("%s ended with %v", name, err)
		}
	}
	now := int64(0)
	pods := suite.plane.Client().CoreV1().Pods(c.namespace)
	do(c.t, pods.Delete(c.ctx, name, metav1.DeleteOptions{GracePeriodSeconds: &now}))
	delete(c.pods, name)
}

// follows waits until a pod says that it is ready, which a follower is once it watches the lock.
func (c *crew) follows(name string) {
	c.t.Helper()
	for {
		request, err := http.NewRequestWithContext(c.ctx, http.MethodGet, port.URL("http", c.pods[name].port)+"/readyz", nil)
		do(c.t, err)
		request.Close = true
		if response, err := http.DefaultClient.Do(request); err == nil {
			_ = response.Body.Close()
			if response.StatusCode == http.StatusOK {
				return
			}
		}
		select {
		case <-c.ctx.Done():
			c.t.Fatalf("%s is not ready%s", name, c.logs())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// leads waits until a pod holds the lock and has claimed the cursors.
func (c *crew) leads(lock *history.History[history.LockState], name string) {
	c.t.Helper()
	_, err := lock.Wait(c.ctx, func(s history.LockState) bool { return history.PodOf(s.Holder) == name })
	if err == nil {
		_, err = c.cursors.Wait(c.ctx, func(s history.CursorState) bool { return history.PodOf(s.Owner) == name })
	}
	if err != nil {
		c.t.Fatalf("%s does not lead: %v%s", name, err, c.logs())
	}
}

func (c *crew) logs() string {
	var b strings.Builder
	for name, p := range c.pods {
		text, _ := os.ReadFile(p.stderr)
		fmt.Fprintf(&b, "\n%s:\n%s", name, text[max(0, len(text)-3000):])
	}
	return b.String()
}

// hook runs what is in a hook's pod, and returns what it has said.
func hook(t *testing.T, ctx context.Context, namespace, name string, spec corev1.PodSpec) (string, error) { //nolint:revive // a test's own comes first
	t.Helper()
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, UID: "uid-of-a-hook"}, Spec: spec}
	p.Spec.NodeName = "node-of-hooks"
	cmd := container(t, ctx, p)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	return out.String(), err
}

// settled waits until the API server's authorizer, which follows the roles by watches, knows of all rights.
func settled(t *testing.T, ctx context.Context, rights []right) { //nolint:revive // a test's own comes first
	t.Helper()
	for _, r := range rights {
		review := &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
			User: r.User, ResourceAttributes: &authorizationv1.ResourceAttributes{
				Namespace: r.Namespace, Verb: r.Verb, Group: r.Group, Resource: r.Resource, Name: r.Name,
			},
		}}
		for {
			answer, err := suite.plane.Client().AuthorizationV1().SubjectAccessReviews().Create(ctx, review, metav1.CreateOptions{})
			do(t, err)
			if answer.Status.Allowed {
				break
			}
			select {
			case <-ctx.Done():
				t.Fatalf("the API server does not know that %s", r)
			case <-time.After(5 * time.Millisecond):
			}
		}
	}
}
