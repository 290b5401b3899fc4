package install

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// call is one request, as far as a right is concerned with it.
type call struct {
	User, Verb, Group, Resource, Namespace, Name string
}

func (c call) String() string {
	return fmt.Sprintf("%s %s %s/%s", c.Verb, strings.TrimSuffix(c.Resource+"."+c.Group, "."), c.Namespace, c.Name)
}

// audited is a request as the audit log has it.
type audited struct {
	call
	code int
}

// calls are the requests that some users have made so far, by the audit log of the API server.
func calls(t *testing.T, users ...string) []audited {
	t.Helper()
	f, err := os.Open(suite.plane.AuditLog())
	do(t, err)
	defer f.Close()
	var all []audited
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var entry struct {
			Verb, RequestURI string
			User             struct{ Username string }
			ObjectRef        *struct{ Resource, Subresource, Namespace, Name, APIGroup string }
			ResponseStatus   struct{ Code int }
		}
		if err := json.Unmarshal(lines.Bytes(), &entry); err != nil {
			continue // the last line may be half written
		}
		if !slices.Contains(users, entry.User.Username) {
			continue
		}
		a := audited{call: call{User: entry.User.Username, Verb: entry.Verb, Resource: entry.RequestURI}, code: entry.ResponseStatus.Code}
		if o := entry.ObjectRef; o != nil {
			a.Group, a.Resource, a.Namespace, a.Name = o.APIGroup, o.Resource, o.Namespace, o.Name
			if o.Subresource != "" {
				a.Resource += "/" + o.Subresource
			}
		}
		all = append(all, a)
	}
	do(t, lines.Err())
	return all
}

// right is one verb on one resource that a role grants to one user: the smallest that can be left out.
type right struct {
	User, Verb, Group, Resource string
	Namespace                   string // "" for the whole cluster
	Name                        string // "" for all
}

func (r right) String() string {
	where := "the cluster"
	if r.Namespace != "" {
		where = r.Namespace
	}
	return fmt.Sprintf("%s may %s %s %q in %s", r.User, r.Verb, strings.TrimSuffix(r.Resource+"."+r.Group, "."), r.Name, where)
}

func (r right) allows(c call) bool {
	return r.User == c.User && r.Verb == c.Verb && r.Group == c.Group && r.Resource == c.Resource &&
		(r.Namespace == "" || r.Namespace == c.Namespace) && (r.Name == "" || r.Name == c.Name)
}

// within says whether another right allows all that r does.
func (r right) within(other right) bool {
	return other.allows(call(r))
}

// granted are the rights that rendered roles and bindings give to service accounts.
func granted(t *testing.T, all []*unstructured.Unstructured) []right {
	t.Helper()
	rules := map[string][]rbacv1.PolicyRule{}
	for _, r := range find[rbacv1.Role](t, all, "Role") {
		rules["Role "+r.Namespace+"/"+r.Name] = r.Rules
	}
	for _, r := range find[rbacv1.ClusterRole](t, all, "ClusterRole") {
		rules["ClusterRole "+r.Name] = r.Rules
	}
	var rights []right
	bind := func(namespace, role string, subjects []rbacv1.Subject) {
		found, ok := rules[role]
		if !ok {
			t.Errorf("a binding names the %s, which there is not", role)
		}
		for _, s := range subjects {
			for _, rule := range found {
				rights = append(rights, expand("system:serviceaccount:"+s.Namespace+":"+s.Name, namespace, rule)...)
			}
		}
	}
	for _, b := range find[rbacv1.RoleBinding](t, all, "RoleBinding") {
		bind(b.Namespace, strings.TrimSpace(b.RoleRef.Kind+" "+b.Namespace+"/"+b.RoleRef.Name), b.Subjects)
	}
	for _, b := range find[rbacv1.ClusterRoleBinding](t, all, "ClusterRoleBinding") {
		bind("", b.RoleRef.Kind+" "+b.RoleRef.Name, b.Subjects)
	}
	return rights
}

func expand(user, namespace string, rule rbacv1.PolicyRule) []right {
	names := rule.ResourceNames
	if len(names) == 0 {
		names = []string{""}
	}
	var rights []right
	for _, verb := range rule.Verbs {
		for _, group := range rule.APIGroups {
			for _, resource := range rule.Resources {
				for _, name := range names {
					rights = append(rights, right{user, verb, group, resource, namespace, name})
				}
			}
		}
	}
	return rights
}

// compare says which calls were refused or not granted by these rights, and which rights no call has used.
func compare(rights []right, made []audited) error {
	var errs []error
	used := make([]bool, len(rights))
	said := map[string]bool{}
	complain := func(text string) {
		if !said[text] {
			said[text] = true
			errs = append(errs, errors.New(text))
		}
	}
	for _, a := range made {
		allowed := false
		for i, r := range rights {
			if r.allows(a.call) {
				used[i], allowed = true, true
			}
		}
		if !allowed {
			complain(fmt.Sprintf("no role grants what %s did: %s", a.User, a.call))
		}
		if a.code == 401 || a.code == 403 {
			complain(fmt.Sprintf("%d answered to %s: %s", a.code, a.User, a.call))
		}
	}
	for i, r := range rights {
		if !used[i] {
			complain(fmt.Sprintf("never used: %s", r))
		}
	}
	return errors.Join(errs...)
}
