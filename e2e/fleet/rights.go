package fleet

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	authorizationv1 "k8s.io/api/authorization/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/util/retry"
)

// Right is one of the rights that an agent has, to be revoked and given back one by one.
type Right string

const (
	Events  Right = "events"  // list and watch them
	Locks   Right = "locks"   // read and update the lock, of either kind
	Cursors Right = "cursors" // read and update the cursors
	Create  Right = "create"  // create Leases and ConfigMaps: the API can't tell them by name
	Pods    Right = "pods"    // read the other agents' pods
	Record  Right = "record"  // record changes of the leader as events
	Cluster Right = "cluster" // read the UID of the namespace kube-system
	Objects Right = "objects" // read the objects of the events; there only where they enrich
)

// grant is where a right holds and what it is.
type grant struct {
	right     Right
	namespace string // "" for the whole cluster
	name      string // of role and binding
	rules     []rbacv1.PolicyRule
}

func rule(verbs, group, resource string, names ...string) rbacv1.PolicyRule {
	return rbacv1.PolicyRule{
		Verbs: strings.Split(verbs, ","), APIGroups: []string{group}, Resources: []string{resource}, ResourceNames: names,
	}
}

// grants are all rights of this fleet, which is all that the product needs.
func (f *Fleet) grants() []grant {
	ns, name := f.options.Namespace, f.options.Config.Name
	here := func(r Right, rules ...rbacv1.PolicyRule) grant {
		return grant{right: r, namespace: ns, name: name + "-" + string(r), rules: rules}
	}
	const coordination = "coordination.k8s.io"
	all := []grant{
		here(Locks, rule("get,watch,update", coordination, "leases", name), rule("get,watch,update", "", "configmaps", name)),
		here(Cursors, rule("get,watch,update", "", "configmaps", name+"-cursors")),
		here(Create, rule("create", coordination, "leases"), rule("create", "", "configmaps")),
		here(Pods, rule("get,list,watch", "", "pods")),
		here(Record, rule("create", "", "events")),
		{Cluster, "kube-system", ns + "-" + name, []rbacv1.PolicyRule{rule("get", "", "namespaces", "kube-system")}},
	}
	if _, ok := f.options.Config.More["enrich"]; ok {
		all = append(all, grant{
			Objects, "", ns + "-" + name + "-objects",
			[]rbacv1.PolicyRule{
				rule("get", "", "pods"), rule("get", "", "nodes"), rule("get", "apps", "replicasets"), rule("get", "apps", "deployments"),
			},
		})
	}
	read := rule("list,watch", "", "events")
	streams := f.options.Config.Namespaces
	if len(streams) == 0 {
		streams = []string{""}
	}
	for _, stream := range streams {
		all = append(all, grant{Events, stream, ns + "-" + name + "-events", []rbacv1.PolicyRule{read}})
	}
	return all
}

func (f *Fleet) makeRoles(ctx context.Context) error {
	for _, g := range f.grants() {
		if err := f.makeRole(ctx, g); err != nil && !apierrors.IsAlreadyExists(err) {
			return fmt.Errorf("making the role for %s: %w", g.right, err)
		}
	}
	return nil
}

func (f *Fleet) makeRole(ctx context.Context, g grant) error {
	meta := metav1.ObjectMeta{Namespace: g.namespace, Name: g.name}
	rbac := f.client.RbacV1()
	ref := rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: g.name}
	if g.namespace == "" {
		ref.Kind = "ClusterRole"
		role := &rbacv1.ClusterRole{ObjectMeta: meta, Rules: g.rules}
		if _, err := rbac.ClusterRoles().Create(ctx, role, metav1.CreateOptions{}); err != nil {
			return err
		}
		_, err := rbac.ClusterRoleBindings().Create(ctx, &rbacv1.ClusterRoleBinding{ObjectMeta: meta, RoleRef: ref}, metav1.CreateOptions{})
		return err
	}
	if _, err := rbac.Roles(g.namespace).Create(ctx, &rbacv1.Role{ObjectMeta: meta, Rules: g.rules}, metav1.CreateOptions{}); err != nil {
		return err
	}
	_, err := rbac.RoleBindings(g.namespace).Create(ctx, &rbacv1.RoleBinding{ObjectMeta: meta, RoleRef: ref}, metav1.CreateOptions{})
	return err
}

// bind lets change decide who has the right.
func (f *Fleet) bind(ctx context.Context, g grant, change func([]rbacv1.Subject) []rbacv1.Subject) error {
	return retry.RetryOnConflict(retry.DefaultBackoff, func() error {
		if g.namespace == "" {
			api := f.client.RbacV1().ClusterRoleBindings()
			b, err := api.Get(ctx, g.name, metav1.GetOptions{})
			if err != nil {
				return err
			}
			b.Subjects = change(b.Subjects)
			_, err = api.Update(ctx, b, metav1.UpdateOptions{})
			return err
		}
		api := f.client.RbacV1().RoleBindings(g.namespace)
		b, err := api.Get(ctx, g.name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		b.Subjects = change(b.Subjects)
		_, err = api.Update(ctx, b, metav1.UpdateOptions{})
		return err
	})
}

func (f *Fleet) grantAll(ctx context.Context, a *Agent) error {
	for _, g := range f.grants() {
		if err := a.grant(ctx, g); err != nil {
			return err
		}
	}
	for _, g := range f.grants() {
		if err := f.settled(ctx, a, g, true); err != nil {
			return err
		}
	}
	return nil
}

func (a *Agent) grant(ctx context.Context, g grant) error {
	me := rbacv1.Subject{Kind: rbacv1.UserKind, APIGroup: rbacv1.GroupName, Name: a.user.Name}
	err := a.fleet.bind(ctx, g, func(s []rbacv1.Subject) []rbacv1.Subject { return append(s, me) })
	if err != nil {
		return fmt.Errorf("granting %s to %s: %w", g.right, a.Name, err)
	}
	return nil
}

// Grant gives a revoked right back, and returns when it holds.
func (a *Agent) Grant(ctx context.Context, r Right) error {
	for _, g := range a.fleet.grants() {
		if g.right != r {
			continue
		}
		if err := a.grant(ctx, g); err != nil {
			return err
		}
		if err := a.fleet.settled(ctx, a, g, true); err != nil {
			return err
		}
	}
	return nil
}

// Revoke takes a right away, and returns when the API server refuses what it was good for. A watch that is open stays.
func (a *Agent) Revoke(ctx context.Context, r Right) error {
	mine := func(s rbacv1.Subject) bool { return s.Name == a.user.Name }
	for _, g := range a.fleet.grants() {
		if g.right != r {
			continue
		}
		err := a.fleet.bind(ctx, g, func(s []rbacv1.Subject) []rbacv1.Subject { return slices.DeleteFunc(s, mine) })
		if err != nil {
			return fmt.Errorf("revoking %s from %s: %w", r, a.Name, err)
		}
		if err := a.fleet.settled(ctx, a, g, false); err != nil {
			return err
		}
	}
	return nil
}

// settled waits until the API server's authorizer, which follows the rules by watches of its own, decides as wanted.
func (f *Fleet) settled(ctx context.Context, a *Agent, g grant, allowed bool) error {
	for _, r := range g.rules {
		for {
			ok, err := f.may(ctx, a, g, r)
			if err != nil {
				return fmt.Errorf("asking for the rights of %s: %w", a.Name, err)
			}
			if ok == allowed {
				break
			}
			if err := pause(ctx, 5*time.Millisecond); err != nil {
				return fmt.Errorf("waiting for the rights of %s: %w", a.Name, err)
			}
		}
	}
	return nil
}

func (f *Fleet) may(ctx context.Context, a *Agent, g grant, r rbacv1.PolicyRule) (bool, error) {
	ask := &authorizationv1.ResourceAttributes{Namespace: g.namespace, Verb: r.Verbs[0], Group: r.APIGroups[0], Resource: r.Resources[0]}
	if len(r.ResourceNames) > 0 {
		ask.Name = r.ResourceNames[0]
	}
	review := &authorizationv1.SubjectAccessReview{
		Spec: authorizationv1.SubjectAccessReviewSpec{User: a.user.Name, ResourceAttributes: ask},
	}
	answer, err := f.client.AuthorizationV1().SubjectAccessReviews().Create(ctx, review, metav1.CreateOptions{})
	if err != nil {
		return false, err
	}
	return answer.Status.Allowed, nil
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}
