// Package inject says how to harm a node, a process or a release, and how to undo it: as commands for a node's shell, and
// as objects for the API server. It does nothing itself.
package inject

import (
	"fmt"
	"strconv"
	"strings"
)

// Tasks lists the processes of the containers of a node.
func Tasks() []string { return []string{"ctr", "--namespace", "k8s.io", "tasks", "ls"} }

// Pid finds the process of a container, by the containerID of a pod's status, in what Tasks has printed.
func Pid(tasks, containerID string) (int, error) {
	runtime, id, ok := strings.Cut(containerID, "://")
	if !ok || runtime != "containerd" || id == "" {
		return 0, fmt.Errorf("%q is no container of containerd", containerID)
	}
	for line := range strings.Lines(tasks) {
		fields := strings.Fields(line)
		if len(fields) < 3 || fields[0] != id {
			continue
		}
		pid, err := strconv.Atoi(fields[1])
		if err != nil || pid <= 1 || fields[2] != "RUNNING" {
			return 0, fmt.Errorf("the container %s does not run: %s", id, strings.TrimSpace(line))
		}
		return pid, nil
	}
	return 0, fmt.Errorf("the node has no container %s; it has\n%s", id, tasks)
}

// Signal sends a signal, such as KILL, to one process of a node.
func Signal(signal string, pid int) []string {
	return shell(fmt.Sprintf("kill -%s %d", signal, pid))
}

// chains are those that every packet of a node passes: to it, from it, and to and from its pods.
var chains = []string{"INPUT -i", "OUTPUT -o", "FORWARD -i", "FORWARD -o"}

// Cut drops every packet from and to other nodes. The node keeps its address and its routes.
func Cut() []string { return rules("-I") }

// Mend undoes Cut.
func Mend() []string { return rules("-D") }

// rules are those on the interface of the default route. All of them are tried, also where one fails.
func rules(action string) []string {
	var b strings.Builder
	b.WriteString("dev=$(ip -4 route show default | sed -n 's/.* dev \\([^ ]*\\).*/\\1/p' | head -n 1); rc=0\n")
	b.WriteString("[ -n \"$dev\" ] || { echo 'no default route' >&2; exit 1; }\n")
	for _, chain := range chains {
		name, way, _ := strings.Cut(chain, " ")
		fmt.Fprintf(&b, "iptables -w %s %s %s \"$dev\" -j DROP || rc=1\n", action, name, way)
	}
	b.WriteString("exit $rc")
	return shell(b.String())
}

const (
	manifest = "/etc/kubernetes/manifests/kube-apiserver.yaml"
	aside    = "/etc/kubernetes/kube-apiserver.yaml"
)

// StopAPIServer has the kubelet of the control plane's node end the API server.
func StopAPIServer() []string { return []string{"mv", manifest, aside} }

// StartAPIServer undoes StopAPIServer, if need be.
func StartAPIServer() []string {
	return shell(fmt.Sprintf("[ ! -e %[2]s ] || mv %[2]s %[1]s", manifest, aside))
}

// Reach asks the API server for its health by an address of its Service, from a node.
func Reach(address string) []string {
	return []string{
		"curl", "--silent", "--show-error", "--fail", "--output", "/dev/null", "--max-time", "1",
		"--cacert", "/etc/kubernetes/pki/ca.crt", "https://" + address + "/readyz",
	}
}

func shell(script string) []string { return []string{"sh", "-c", script} }
