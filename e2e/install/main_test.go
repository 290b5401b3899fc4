// Package install tries the chart against a real API server, on which no controller runs: what it renders is accepted,
// Helm 3 and Helm 4 install, change and remove it, and the rights that it grants are those that are used, no more and no
// less.
package install

import (
	"context"
	"crypto/rand"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/eventbaton/baton/e2e/child"
	"github.com/eventbaton/baton/e2e/controlplane"
	"github.com/eventbaton/baton/e2e/fleet"
	"github.com/eventbaton/baton/e2e/helm"
)

// parallel is how many tests run at once: they mostly wait.
const parallel = "6"

// suite is what the tests share.
var suite struct {
	root, chart string // the checkout, and the chart in it
	binary      string // the agent's
	kubeconfig  string // the admin's
	files       *child.Nursery
	plane       *controlplane.ControlPlane
}

func TestMain(m *testing.M) {
	flag.Parse()
	_ = flag.Set("test.parallel", parallel)
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	code, err := run(ctx, m)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func run(ctx context.Context, m *testing.M) (code int, err error) {
	if suite.root, err = controlplane.Root(ctx); err != nil {
		return 1, err
	}
	suite.chart = filepath.Join(suite.root, "charts", "baton")
	if suite.files, err = child.Open("baton-install"); err != nil {
		return 1, err
	}
	defer func() { err = errors.Join(err, suite.files.Close()) }()
	// Helm keeps nothing of the user's, and leaves nothing there.
	for _, name := range []string{"HELM_CACHE_HOME", "HELM_CONFIG_HOME", "HELM_DATA_HOME"} {
		if err := os.Setenv(name, filepath.Join(suite.files.Dir, name)); err != nil {
			return 1, err
		}
	}
	if suite.binary, err = fleet.Build(ctx, suite.files.Dir); err != nil {
		return 1, err
	}
	if suite.plane, err = controlplane.Start(ctx, controlplane.Options{Audit: true}); err != nil {
		return 1, err
	}
	defer func() { err = errors.Join(err, suite.plane.Stop()) }()
	suite.kubeconfig = filepath.Join(suite.files.Dir, "admin.kubeconfig")
	admin := controlplane.User{Name: "admin", Token: suite.plane.Admin().BearerToken}
	if err := suite.plane.WriteKubeconfig(suite.kubeconfig, admin, suite.plane.Address()); err != nil {
		return 1, err
	}
	return m.Run(), nil
}

// within bounds a test that hangs.
func within(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// unique is a name that no earlier run of a test has used on the same control plane.
func unique(name string) string { return name + "-" + strings.ToLower(rand.Text()[:6]) }

// namespace makes a namespace in which only pods may run that pass Pod Security "restricted".
func namespace(t *testing.T, name string) {
	t.Helper()
	labels := map[string]string{}
	for _, mode := range []string{"enforce", "warn"} {
		labels["pod-security.kubernetes.io/"+mode] = "restricted"
	}
	object := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels}}
	_, err := suite.plane.Client().CoreV1().Namespaces().Create(t.Context(), object, metav1.CreateOptions{})
	if err != nil && !apierrors.IsAlreadyExists(err) {
		t.Fatal(err)
	}
}

func render(t *testing.T, r helm.Release) helm.Rendered {
	t.Helper()
	r.Chart = suite.chart
	rendered, err := helm.V4(suite.kubeconfig).Template(within(t), r)
	if err != nil {
		t.Fatal(err)
	}
	return rendered
}
