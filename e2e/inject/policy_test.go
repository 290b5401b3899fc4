package inject

import (
	"testing"

	"cel.dev/cel-go/cel"
)

// The API server has more to compile the expression with; what is used here is in CEL itself.
func TestRefuseHolderRefusesOne(t *testing.T) {
	const identity = "pod_uid_agent_x1"
	lease := func(holder string) map[string]any {
		return map[string]any{"metadata": map[string]any{}, "spec": map[string]any{"holderIdentity": holder}}
	}
	configMap := func(record string) map[string]any {
		return map[string]any{"metadata": map[string]any{"annotations": map[string]any{"control-plane.alpha.kubernetes.io/leader": record}}}
	}
	bare := map[string]any{"metadata": map[string]any{}}
	for _, test := range []struct {
		name, kind string
		object     map[string]any
		allowed    bool
	}{
		{"renewal", Lease, lease(identity), false},
		{"another's", Lease, lease("pod_uid_agent_x2"), true},
		{"release", Lease, lease(""), true},
		{"no holder", Lease, map[string]any{"metadata": map[string]any{}, "spec": map[string]any{}}, true},
		{"renewal", ConfigMap, configMap(`{"holderIdentity":"pod_uid_agent_x1","leaseDurationSeconds":15}`), false},
		{"another's", ConfigMap, configMap(`{"holderIdentity":"pod_uid_agent_x12"}`), true},
		{"another ConfigMap", ConfigMap, bare, true},
	} {
		policy, binding := RefuseHolder("p", "n", test.kind, identity)
		if binding.Spec.PolicyName != policy.Name {
			t.Error("bound to", binding.Spec.PolicyName)
		}
		e, err := cel.NewEnv(cel.Variable("object", cel.DynType), cel.OptionalTypes())
		if err != nil {
			t.Fatal(err)
		}
		ast, issues := e.Compile(policy.Spec.Validations[0].Expression)
		if issues.Err() != nil {
			t.Fatal(issues.Err())
		}
		program, err := e.Program(ast)
		if err != nil {
			t.Fatal(err)
		}
		out, _, err := program.Eval(map[string]any{"object": test.object})
		if err != nil || out.Value() != test.allowed {
			t.Errorf("%s of a %s: %v, %v", test.name, test.kind, out, err)
		}
	}
}
