package inject

import (
	"fmt"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
)

// The kinds of lock.
const (
	Lease     = "lease"
	ConfigMap = "configmap"
)

// RefuseHolder is a policy by which the API server refuses every write of a lock in a namespace that names this identity
// as its holder, and nothing else.
func RefuseHolder(name, namespace, kind, identity string) (
	*admissionv1.ValidatingAdmissionPolicy, *admissionv1.ValidatingAdmissionPolicyBinding,
) {
	rule := admissionv1.Rule{APIGroups: []string{"coordination.k8s.io"}, APIVersions: []string{"v1"}, Resources: []string{"leases"}}
	expression := fmt.Sprintf("object.?spec.?holderIdentity.orValue('') != %q", identity)
	if kind == ConfigMap {
		rule = admissionv1.Rule{APIGroups: []string{""}, APIVersions: []string{"v1"}, Resources: []string{"configmaps"}}
		expression = fmt.Sprintf("!object.metadata.?annotations[%q].orValue('').contains('\"holderIdentity\":%s')",
			resourcelock.LeaderElectionRecordAnnotationKey, fmt.Sprintf("%q", identity))
	}
	meta := metav1.ObjectMeta{Name: name}
	policy := &admissionv1.ValidatingAdmissionPolicy{
		ObjectMeta: meta,
		Spec: admissionv1.ValidatingAdmissionPolicySpec{
			MatchConstraints: &admissionv1.MatchResources{
				NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"kubernetes.io/metadata.name": namespace}},
				ResourceRules: []admissionv1.NamedRuleWithOperations{{RuleWithOperations: admissionv1.RuleWithOperations{
					Operations: []admissionv1.OperationType{admissionv1.Create, admissionv1.Update}, Rule: rule,
				}}},
			},
			Validations: []admissionv1.Validation{{Expression: expression, Message: "the suite refuses this holder"}},
		},
	}
	return policy, &admissionv1.ValidatingAdmissionPolicyBinding{
		ObjectMeta: meta,
		Spec: admissionv1.ValidatingAdmissionPolicyBindingSpec{
			PolicyName: name, ValidationActions: []admissionv1.ValidationAction{admissionv1.Deny},
		},
	}
}
