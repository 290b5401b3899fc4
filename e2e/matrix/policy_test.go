package matrix

import (
	"fmt"
	"time"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/eventbaton/baton/e2e/fleet"
)

// refuseHolder has a ValidatingAdmissionPolicy refuse all writes of the agent that name it as the lock's holder. It
// returns once that holds; what it returns takes the policy away.
func (r *run) refuseHolder(a *fleet.Agent) func() {
	r.Helper()
	name := "refuse-" + r.namespace
	expression := fmt.Sprintf("request.userInfo.username != %q || !has(object.spec) || !object.spec.holderIdentity.startsWith(%q)", a.User(), a.Name+"_")
	rule := admissionv1.Rule{APIGroups: []string{"coordination.k8s.io"}, APIVersions: []string{"v1"}, Resources: []string{"leases"}}
	if r.lock != "lease" {
		expression = fmt.Sprintf("request.userInfo.username != %q || !object.metadata.?annotations[%q].orValue(\"\").contains(%q)",
			a.User(), "control-plane.alpha.kubernetes.io/leader", a.Name+"_")
		rule = admissionv1.Rule{APIGroups: []string{""}, APIVersions: []string{"v1"}, Resources: []string{"configmaps"}}
	}
	r.makePolicy(name, rule, expression)
	r.eventually("the policy holds", time.Minute, func() bool { return r.refused(a) })
	return func() {
		r.Helper()
		api := r.plane.Client().AdmissionregistrationV1()
		r.must(api.ValidatingAdmissionPolicyBindings().Delete(r.ctx, name, metav1.DeleteOptions{}))
		r.must(api.ValidatingAdmissionPolicies().Delete(r.ctx, name, metav1.DeleteOptions{}))
	}
}

func (r *run) makePolicy(name string, rule admissionv1.Rule, expression string) {
	r.Helper()
	api := r.plane.Client().AdmissionregistrationV1()
	_, err := api.ValidatingAdmissionPolicies().Create(r.ctx, &admissionv1.ValidatingAdmissionPolicy{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: admissionv1.ValidatingAdmissionPolicySpec{
			MatchConstraints: &admissionv1.MatchResources{
				NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"kubernetes.io/metadata.name": r.namespace}},
				ResourceRules: []admissionv1.NamedRuleWithOperations{{RuleWithOperations: admissionv1.RuleWithOperations{
					Operations: []admissionv1.OperationType{admissionv1.Create, admissionv1.Update}, Rule: rule,
				}}},
			},
			Validations: []admissionv1.Validation{{Expression: expression, Message: "the test refuses this holder"}},
		},
	}, metav1.CreateOptions{})
	r.must(err)
	_, err = api.ValidatingAdmissionPolicyBindings().Create(r.ctx, &admissionv1.ValidatingAdmissionPolicyBinding{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: admissionv1.ValidatingAdmissionPolicyBindingSpec{
			PolicyName: name, ValidationActions: []admissionv1.ValidationAction{admissionv1.Deny},
		},
	}, metav1.CreateOptions{})
	r.must(err)
}

// refused tries, as the agent's user and without effect, to write what its renewal would.
func (r *run) refused(a *fleet.Agent) bool {
	r.Helper()
	c, err := a.Client()
	r.must(err)
	dry := metav1.UpdateOptions{DryRun: []string{metav1.DryRunAll}}
	if r.lock == "lease" {
		o, err := r.plane.Client().CoordinationV1().Leases(r.namespace).Get(r.ctx, "baton", metav1.GetOptions{})
		r.must(err)
		holder := a.Name + "_"
		o.Spec.HolderIdentity = &holder
		_, err = c.CoordinationV1().Leases(r.namespace).Update(r.ctx, o, dry)
		return denied(err)
	}
	o, err := r.plane.Client().CoreV1().ConfigMaps(r.namespace).Get(r.ctx, "baton", metav1.GetOptions{})
	r.must(err)
	o.Annotations["control-plane.alpha.kubernetes.io/leader"] = a.Name + "_"
	_, err = c.CoreV1().ConfigMaps(r.namespace).Update(r.ctx, o, dry)
	return denied(err)
}

// denied: a conflict, which a renewal meanwhile may cause, says nothing.
func denied(err error) bool { return apierrors.IsInvalid(err) || apierrors.IsForbidden(err) }
