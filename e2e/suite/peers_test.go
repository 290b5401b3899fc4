package suite

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/eventbaton/baton/e2e/generator"
	"github.com/eventbaton/baton/e2e/receiver"
)

const (
	peerImage = "eventbaton/peer:0.1.0"
	// controlPort is where a peer tells of itself, recordsPort where the receiver takes records.
	controlPort = 8080
	recordsPort = 8090

	rate    = 20  // versions a second
	updates = 0.2 // the share of them that update an event
)

// peers are the receiver and the generator, on the control plane's node: they are there while workers are not. What they
// remember is fetched through the API server, piece by piece.
type peers struct {
	stage   *stage
	address string // of the receiver, for the agents

	mu   sync.Mutex
	made *generator.Replica
	got  map[string]*receiver.Replica // by sender
}

func (s *stage) makePeers(ctx context.Context) error {
	s.peers = &peers{stage: s, made: generator.NewReplica(), got: map[string]*receiver.Replica{}}
	service, err := s.client.CoreV1().Services(peersNamespace).Create(ctx, &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Name: "receiver"},
		Spec: corev1.ServiceSpec{
			Selector: map[string]string{"app": "receiver"}, Ports: []corev1.ServicePort{{Port: recordsPort, TargetPort: intstr.FromInt32(recordsPort)}},
		},
	}, metav1.CreateOptions{})
	if err != nil {
		return fmt.Errorf("making the receiver's Service: %w", err)
	}
	// By address: the cluster's DNS may be on the node that is lost, and is not what is tried here.
	s.peers.address = fmt.Sprintf("http://%s:%d", service.Spec.ClusterIP, recordsPort)
	if err := s.grantGenerator(ctx); err != nil {
		return err
	}
	for name, args := range map[string][]string{
		"receiver":  {"-records", ":" + strconv.Itoa(recordsPort)},
		"generator": {"-namespace", peersNamespace, "-rate", strconv.Itoa(rate), "-updates", fmt.Sprint(updates)},
	} {
		if _, err := s.client.CoreV1().Pods(peersNamespace).Create(ctx, s.peerPod(name, args), metav1.CreateOptions{}); err != nil {
			return fmt.Errorf("making the pod %s: %w", name, err)
		}
	}
	return s.eventually(ctx, time.Minute, "the generator makes events", func(ctx context.Context) error {
		if err := s.peers.fetch(ctx); err != nil {
			return err
		}
		if s.peers.made.Len() == 0 {
			return errors.New("none yet")
		}
		return nil
	})
}

// grantGenerator lets the generator make events in its namespace.
func (s *stage) grantGenerator(ctx context.Context) error {
	meta := metav1.ObjectMeta{Namespace: peersNamespace, Name: "generator"}
	if _, err := s.client.CoreV1().ServiceAccounts(peersNamespace).Create(ctx, &corev1.ServiceAccount{ObjectMeta: meta}, metav1.CreateOptions{}); err != nil {
		return fmt.Errorf("making the generator's account: %w", err)
	}
	_, err := s.client.RbacV1().Roles(peersNamespace).Create(ctx, &rbacv1.Role{ObjectMeta: meta, Rules: []rbacv1.PolicyRule{
		{APIGroups: []string{"", "events.k8s.io"}, Resources: []string{"events"}, Verbs: []string{"create", "get", "update"}},
	}}, metav1.CreateOptions{})
	if err != nil {
		return fmt.Errorf("making the generator's role: %w", err)
	}
	_, err = s.client.RbacV1().RoleBindings(peersNamespace).Create(ctx, &rbacv1.RoleBinding{
		ObjectMeta: meta, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: "generator"},
		Subjects: []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: peersNamespace, Name: "generator"}},
	}, metav1.CreateOptions{})
	if err != nil {
		return fmt.Errorf("binding the generator's role: %w", err)
	}
	return nil
}

func (s *stage) peerPod(name string, args []string) *corev1.Pod {
	account := "default"
	if name == "generator" {
		account = name
	}
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"app": name}},
		Spec: corev1.PodSpec{
			ServiceAccountName: account, NodeName: s.controlPlane(), Tolerations: []corev1.Toleration{{Operator: corev1.TolerationOpExists}},
			SecurityContext: &corev1.PodSecurityContext{
				RunAsNonRoot: new(true), RunAsUser: new(int64(65532)), SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
			},
			TerminationGracePeriodSeconds: new(int64(1)),
			Containers: []corev1.Container{{
				Name: name, Image: peerImage, ImagePullPolicy: corev1.PullIfNotPresent, Args: append([]string{name}, args...),
				// Past the Service, from which an API server that ends takes itself: kube-proxy may be late by a minute to hear
				// of its return, and so would be every event.
				Env: []corev1.EnvVar{
					{Name: "KUBERNETES_SERVICE_HOST", ValueFrom: &corev1.EnvVarSource{FieldRef: &corev1.ObjectFieldSelector{FieldPath: "status.hostIP"}}},
					{Name: "KUBERNETES_SERVICE_PORT", Value: "6443"},
				},
				SecurityContext: &corev1.SecurityContext{
					AllowPrivilegeEscalation: new(false), ReadOnlyRootFilesystem: new(true), Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
				},
			}},
		},
	}
}

// fetchTimeout is for one request through the API server: one that is away is asked again.
const fetchTimeout = 5 * time.Second

// fetch takes over what generator and receiver have remembered since the last time.
func (p *peers) fetch(ctx context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	var made generator.Part
	if err := p.stage.proxied(ctx, peersNamespace, "generator", "log", map[string]string{"from": strconv.Itoa(p.made.Len())}, &made); err != nil {
		return err
	}
	if err := p.made.Merge(made); err != nil {
		return err
	}
	for sender, replica := range p.got {
		var part receiver.Part
		if err := p.stage.proxied(ctx, peersNamespace, "receiver", "log/"+sender, replica.Position().Query(), &part); err != nil {
			return err
		}
		if err := replica.Merge(part); err != nil {
			return fmt.Errorf("from %s: %w", sender, err)
		}
	}
	return nil
}

// from is what has arrived from a sender. It is fetched with the rest from now on.
func (p *peers) from(sender string) *receiver.Replica {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.got[sender] == nil {
		p.got[sender] = receiver.NewReplica()
	}
	return p.got[sender]
}

// door opens or closes the receiver's port.
func (p *peers) door(ctx context.Context, verb string) error {
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	err := p.stage.client.CoreV1().RESTClient().Post().Namespace(peersNamespace).Resource("pods").SubResource("proxy").
		Name(fmt.Sprintf("receiver:%d", controlPort)).Suffix(verb).Do(ctx).Error()
	if err != nil {
		return fmt.Errorf("having the receiver %s its port: %w", verb, err)
	}
	return nil
}

// proxied asks a pod's control port for JSON, through the API server.
func (s *stage) proxied(ctx context.Context, namespace, pod, path string, query map[string]string, out any) error {
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	body, err := s.client.CoreV1().Pods(namespace).ProxyGet("http", pod, strconv.Itoa(controlPort), path, query).DoRaw(ctx)
	if err != nil {
		return fmt.Errorf("asking %s/%s for /%s: %w", namespace, pod, path, err)
	}
	if err := json.Unmarshal(body, out); err != nil {
		return fmt.Errorf("asking %s/%s for /%s: %w", namespace, pod, path, err)
	}
	return nil
}
