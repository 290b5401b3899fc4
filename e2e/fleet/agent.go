package fleet

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"k8s.io/client-go/kubernetes"

	"github.com/eventbaton/baton/e2e/child"
	"github.com/eventbaton/baton/e2e/controlplane"
	"github.com/eventbaton/baton/e2e/port"
	"github.com/eventbaton/baton/e2e/proxy"
)

// Agent is one agent: a pod with one container, whose process can be started again and again.
type Agent struct {
	Name   string // of the pod
	Number int
	// Proxy is its way to the API server.
	Proxy *proxy.Proxy
	// Config may be changed while the agent does not run.
	Config Config

	fleet *Fleet
	user  controlplane.User
	port  int
	pod   podPlayer

	mu      sync.Mutex
	process *child.Process
	killed  bool // the test has had a hand in its end
	starts  int
}

// containerName is the container's in the pods that are played.
const containerName = "baton"

func (f *Fleet) newAgent(n int) (*Agent, error) {
	a := &Agent{Name: fmt.Sprintf("%s-%d", f.options.Config.Name, n), Number: n, fleet: f, Config: f.options.Config.clone()}
	if f.options.SinkURL != nil {
		url := map[string]string{"url": f.options.SinkURL(a.Name)}
		a.Config.Sinks = append(a.Config.Sinks, Sink{Name: "receiver", Type: "webhook", More: url})
	}
	if f.options.Each != nil {
		f.options.Each(n, &a.Config)
	}
	var err error
	if a.user, err = f.options.Plane.NewUser(); err != nil {
		return nil, err
	}
	if a.Proxy, err = proxy.Listen(f.options.Plane.Address()); err != nil {
		return nil, err
	}
	if a.port, err = port.Take(); err != nil {
		a.Proxy.Close()
		return nil, err
	}
	return a, nil
}

func (a *Agent) file(name string) string {
	return filepath.Join(a.fleet.nursery.Dir, a.Name+"."+name)
}

// Stderr is the file with all that the agent's processes have logged.
func (a *Agent) Stderr() string { return a.file("log") }

// User is the name under which the API server knows the agent.
func (a *Agent) User() string { return a.user.Name }

// Start starts a process for the agent; nothing is reported about it.
func (a *Agent) Start() error {
	if err := os.WriteFile(a.file("yaml"), []byte(a.Config.YAML()), 0o600); err != nil {
		return fmt.Errorf("writing the configuration of %s: %w", a.Name, err)
	}
	if err := a.fleet.options.Plane.WriteKubeconfig(a.file("kubeconfig"), a.user, a.Proxy.Address()); err != nil {
		return err
	}
	log, err := os.OpenFile(a.Stderr(), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("opening the log of %s: %w", a.Name, err)
	}
	defer log.Close()
	a.mu.Lock()
	defer a.mu.Unlock()
	a.starts++
	cmd := exec.Command(a.fleet.options.Binary, "run", "--config", a.file("yaml"), "--kubeconfig", a.file("kubeconfig"),
		"--namespace", a.fleet.options.Namespace, "--listen", port.Address(a.port))
	cmd.Env = a.environment()
	cmd.Stderr = log
	a.process, err = a.fleet.nursery.Start(cmd)
	a.killed = false
	return err
}

func (a *Agent) environment() []string {
	env := []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + a.fleet.nursery.Dir, "POD_NAME=" + a.Name, "POD_UID=" + a.pod.uid(),
		"POD_NAMESPACE=" + a.fleet.options.Namespace, "NODE_NAME=" + a.node(), "CONTAINER_NAME=" + containerName,
	}
	if limit := os.Getenv("BATON_GOMEMLIMIT"); limit != "" {
		env = append(env, "GOMEMLIMIT="+limit)
	}
	return env
}

// Pid is the process id of the agent's process.
func (a *Agent) Pid() int { return a.now().Pid }

func (a *Agent) now() *child.Process {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.process
}

// Running tells whether the agent has a process that has not ended.
func (a *Agent) Running() bool {
	p := a.now()
	return p != nil && !p.Ended()
}

// Signal sends s to the agent's process and returns when it was sent.
func (a *Agent) Signal(s syscall.Signal) (time.Time, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.killed = a.killed || s == syscall.SIGKILL
	now := time.Now()
	return now, a.process.Signal(s)
}

// Ended waits until the agent's process has ended.
func (a *Agent) Ended(ctx context.Context) error {
	select {
	case <-a.now().Done():
		return nil
	case <-ctx.Done():
		return fmt.Errorf("waiting for the end of %s: %w", a.Name, ctx.Err())
	}
}

// terminate ends the process in order, and tells of an end that is not as it should be.
func (a *Agent) terminate(grace time.Duration) error {
	p := a.now()
	if p == nil {
		return nil
	}
	// One that is paused would not hear of it.
	_ = p.Signal(syscall.SIGCONT)
	p.Stop(grace)
	a.mu.Lock()
	defer a.mu.Unlock()
	if err := p.Err(); err != nil && !a.killed {
		return fmt.Errorf("%s ended with: %w", a.Name, err)
	}
	return nil
}

func (a *Agent) close() {
	if p := a.now(); p != nil {
		p.Kill()
		<-p.Done()
	}
	a.Proxy.Close()
	port.Give(a.port)
}

// Get reads a page of the agent's HTTP server, such as "/status".
func (a *Agent) Get(ctx context.Context, path string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, port.URL("http", a.port)+path, nil)
	if err != nil {
		return nil, err
	}
	req.Close = true
	return http.DefaultClient.Do(req)
}

// Status reads /status into out.
func (a *Agent) Status(ctx context.Context, out any) error {
	res, err := a.Get(ctx, "/status")
	if err != nil {
		return fmt.Errorf("reading the status of %s: %w", a.Name, err)
	}
	defer res.Body.Close()
	if err := json.NewDecoder(res.Body).Decode(out); err != nil {
		return fmt.Errorf("reading the status of %s: %w", a.Name, err)
	}
	return nil
}

// Ready tells whether /readyz answers 200.
func (a *Agent) Ready(ctx context.Context) bool {
	res, err := a.Get(ctx, "/readyz")
	if err != nil {
		return false
	}
	_ = res.Body.Close()
	return res.StatusCode == http.StatusOK
}

// Client acts as the agent's user, by a way of its own.
func (a *Agent) Client() (*kubernetes.Clientset, error) {
	c, err := kubernetes.NewForConfig(a.fleet.options.Plane.Config(a.user))
	if err != nil {
		return nil, fmt.Errorf("making a client for %s: %w", a.Name, err)
	}
	return c, nil
}
