package main

import (
	"context"
	"fmt"
	"os/exec"
	"strings"
)

// farewell says how to reach the cluster, and what to try next.
func (s *site) farewell(ctx context.Context) (string, error) {
	kubectl := "kubectl"
	if _, err := exec.LookPath(kubectl); err != nil {
		if kubectl, err = s.cluster.KubectlPath(ctx); err != nil {
			return "", err
		}
	}
	host := ""
	if s.cluster.Private() {
		host = s.cluster.Host()
	}
	return next(kubectl, s.cluster.Kubeconfig(), host, s.leader), nil
}

// next is the text. A kubectl that is not on PATH is given its name by an alias.
func next(kubectl, kubeconfig, host, leader string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "\nEach line is a record, cut short. Reach the cluster, and kill the leader:\n\n")
	fmt.Fprintf(&b, "  export KUBECONFIG=%s\n", kubeconfig)
	if host != "" {
		fmt.Fprintf(&b, "  export DOCKER_HOST=%s   # for docker: the nodes run in an engine of their own\n", host)
	}
	if kubectl != "kubectl" {
		fmt.Fprintf(&b, "  alias kubectl=%s   # there is none on PATH; this one was built\n", kubectl)
	}
	fmt.Fprintf(&b, `
  kubectl -n %[1]s delete pod %[2]s --wait=false
  kubectl -n %[1]s get lease %[3]s -o jsonpath='{.spec.holderIdentity}{"\n"}'      # who leads now
  kubectl -n %[1]s logs -f --prefix -l app.kubernetes.io/instance=%[3]s,app.kubernetes.io/component=agent   # the records go on
  kubectl -n %[1]s exec ds/%[3]s -- /baton status --config /etc/baton/kubernetes.yaml

make down removes it all.
`, namespace, leader, release)
	return b.String()
}
