package main

import (
	"context"
	"strings"

	"github.com/eventbaton/baton/e2e/helm"
)

// header is what stands above the manifest.
const header = `# Baton for clusters without Helm. Written by ` + "`make docs`" + ` from charts/baton; change that instead.
#
#   kubectl apply -f manifests/baton.yaml
#
# It gathers nothing until KUBERNETES_LEADER_CANDIDATE is true in the DaemonSet's env, below or by
#
#   kubectl -n kube-system set env daemonset/baton KUBERNETES_LEADER_CANDIDATE=true
#
# Everything is in kube-system, because there alone API priority and fairness gives the Lease requests of service accounts
# the priority of leader elections; elsewhere they are ordinary load.
#
# The lock and the cursors (Lease baton, ConfigMap baton-cursors) are not in this file: the agents make them, and a
# "kubectl replace --force -f", which deletes and creates all that is, leaves them alone. To remove everything:
#
#   kubectl delete -f manifests/baton.yaml
#   kubectl -n kube-system delete --ignore-not-found lease/baton configmap/baton configmap/baton-cursors
`

// makeManifest renders the chart for who does not use Helm: without hooks, and without the labels that would say Helm
// manages it.
func makeManifest(chart string) ([]byte, error) {
	rendered, err := helm.V3("").Template(context.Background(), helm.Release{
		Name: "baton", Namespace: "kube-system", Chart: chart,
		Values: map[string]any{
			"extraEnv": []any{map[string]any{"name": "KUBERNETES_LEADER_CANDIDATE", "value": "false"}},
		},
	})
	if err != nil {
		return nil, err
	}
	b := &strings.Builder{}
	b.WriteString(header)
	for line := range strings.Lines(rendered.Manifest) {
		switch text := strings.TrimSpace(line); {
		case text == "", strings.HasPrefix(text, "# Source:"),
			strings.HasPrefix(text, "helm.sh/chart:"), strings.HasPrefix(text, "app.kubernetes.io/managed-by:"):
		default:
			b.WriteString(line)
		}
	}
	return []byte(b.String()), nil
}
