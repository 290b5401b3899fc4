package cluster

import (
	"strings"

	"sigs.k8s.io/kind/pkg/apis/config/v1alpha4"
)

// localImage begins the reference of a node image that was built here rather than pulled.
const localImage = "eventbaton/node:"

// acceptOldCgroups is a patch of what kubeadm is given: a kubelet refuses cgroups of version 1 unless told otherwise.
const acceptOldCgroups = `kind: KubeletConfiguration
apiVersion: kubelet.config.k8s.io/v1beta1
failCgroupV1: false
`

// config is what kind makes the cluster of.
func config(o Options, image string, oldCgroups bool) *v1alpha4.Cluster {
	c := &v1alpha4.Cluster{Name: o.Name}
	c.Nodes = append(c.Nodes, v1alpha4.Node{Role: v1alpha4.ControlPlaneRole, Image: image})
	for range o.Workers {
		c.Nodes = append(c.Nodes, v1alpha4.Node{Role: v1alpha4.WorkerRole, Image: image})
	}
	if strings.HasPrefix(image, localImage) {
		// The image's kube-proxy has no tools but nft.
		c.Networking.KubeProxyMode = v1alpha4.NFTablesProxyMode
	}
	if oldCgroups {
		c.KubeadmConfigPatches = []string{acceptOldCgroups}
	}
	return c
}

// sameImage compares references of node images; a digest counts where both have one.
func sameImage(a, b string) bool {
	nameA, digestA, _ := strings.Cut(a, "@")
	nameB, digestB, _ := strings.Cut(b, "@")
	return nameA == nameB && (digestA == digestB || digestA == "" || digestB == "")
}
