package suite

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/eventbaton/baton/e2e/cluster"
	"github.com/eventbaton/baton/e2e/verdict"
)

// The namespaces. Pods of all of them have to pass Pod Security "restricted".
const (
	namespace      = "baton"       // of the releases
	peersNamespace = "baton-peers" // of receiver, generator, and the events that it makes
	guestNamespace = "guest"       // of the release that comes and goes
)

// stage is what the faults share: the cluster, the two releases, and who makes and receives.
type stage struct {
	ctx     context.Context // ends at Ctrl-C
	keep    bool
	cluster *cluster.Cluster
	config  *rest.Config
	client  *kubernetes.Clientset
	nodes   []cluster.Node
	root    string
	files   string // a folder for values and manifests

	peers    *peers
	releases []*release

	manifest *release // by kubectl; nil until it is applied

	following context.Context // of the watches
	unfollow  context.CancelFunc
	wg        sync.WaitGroup

	mu     sync.Mutex
	phases []phase
	rows   []verdict.Fault
	dumped bool
}

const clusterName = "baton-e2e"

func (s *stage) makeCluster(ctx context.Context) error {
	var err error
	if s.root, err = cluster.Root(ctx); err != nil {
		return err
	}
	if s.files, err = os.MkdirTemp("", "baton-e2e-"); err != nil {
		return err
	}
	if s.cluster, err = cluster.Up(ctx, cluster.Options{Name: clusterName, Workers: 2, Log: os.Stdout, Reuse: s.keep}); err != nil {
		return err
	}
	if s.nodes, err = s.cluster.Nodes(ctx); err != nil {
		return err
	}
	if s.config, err = s.cluster.Config(); err != nil {
		return err
	}
	s.config.QPS = -1
	s.config.WarningHandler = rest.NoWarnings{} // an inventory asks for deprecated kinds too
	s.config.Timeout = 30 * time.Second
	s.client, err = kubernetes.NewForConfig(s.config)
	return err
}

func (s *stage) loadImages(ctx context.Context) error {
	return s.cluster.Load(ctx, filepath.Join(s.root, "dist", "baton-image.tar"), filepath.Join(s.root, "dist", "peer-image.tar"))
}

// makeNamespaces makes them anew: what an earlier run has left would be taken for this one's.
func (s *stage) makeNamespaces(ctx context.Context) error {
	var errs []error
	for _, name := range []string{namespace, peersNamespace, guestNamespace} {
		errs = append(errs, s.clear(ctx, name))
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	for _, name := range []string{namespace, peersNamespace, guestNamespace} {
		ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"pod-security.kubernetes.io/enforce": "restricted"}}}
		err := s.eventually(ctx, time.Minute, "the namespace "+name+" can be made", func(ctx context.Context) error {
			_, err := s.client.CoreV1().Namespaces().Create(ctx, ns, metav1.CreateOptions{})
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// clear removes a namespace, and what a release in it has made outside of it.
func (s *stage) clear(ctx context.Context, name string) error {
	err := s.client.CoreV1().Namespaces().Delete(ctx, name, metav1.DeleteOptions{})
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("removing the namespace %s of an earlier run: %w", name, err)
	}
	managed := metav1.ListOptions{LabelSelector: "app.kubernetes.io/name=baton"}
	rbac := s.client.RbacV1()
	return errors.Join(
		s.client.AppsV1().DaemonSets(manifestNamespace).DeleteCollection(ctx, metav1.DeleteOptions{}, managed),
		rbac.ClusterRoles().DeleteCollection(ctx, metav1.DeleteOptions{}, managed),
		rbac.ClusterRoleBindings().DeleteCollection(ctx, metav1.DeleteOptions{}, managed),
		rbac.Roles("kube-system").DeleteCollection(ctx, metav1.DeleteOptions{}, managed),
		rbac.RoleBindings("kube-system").DeleteCollection(ctx, metav1.DeleteOptions{}, managed),
	)
}

func (s *stage) close() error {
	s.unfollow()
	s.wg.Wait()
	errs := []error{os.RemoveAll(s.files)}
	if s.cluster != nil && !s.keep {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(s.ctx), 2*time.Minute)
		defer cancel()
		errs = append(errs, s.cluster.Delete(ctx))
	}
	return errors.Join(errs...)
}

// controlPlane is the node of the API server, and of receiver and generator.
func (s *stage) controlPlane() string { return s.nodes[0].Name }

func (s *stage) workers() []string {
	var names []string
	for _, n := range s.nodes[1:] {
		names = append(names, n.Name)
	}
	return names
}

// eventually waits until it is so: until is returns no error.
func (s *stage) eventually(ctx context.Context, within time.Duration, what string, is func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	var last error
	for {
		err := is(ctx)
		if err == nil {
			return nil
		}
		if last == nil || ctx.Err() == nil {
			last = err // the end of the wait itself explains nothing
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("not so after %v: %s: %w", within, what, last)
		case <-time.After(pollPause):
		}
	}
}

const pollPause = 100 * time.Millisecond
