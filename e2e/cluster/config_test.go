package cluster

import (
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/kind/pkg/apis/config/v1alpha4"
	"sigs.k8s.io/yaml"
)

func TestConfig(t *testing.T) {
	for name, c := range map[string]struct {
		image   string
		workers int
		old     bool
		proxy   v1alpha4.ProxyMode
	}{
		"kind's image":  {image: "kindest/node:v1.36.1", workers: 2},
		"the local one": {image: "eventbaton/node:v1.36.3-0a1b", workers: 2, proxy: v1alpha4.NFTablesProxyMode},
		"old cgroups":   {image: "eventbaton/node:v1.36.3-0a1b", old: true, proxy: v1alpha4.NFTablesProxyMode},
	} {
		t.Run(name, func(t *testing.T) {
			got := config(Options{Name: "example", Workers: c.workers}, c.image, c.old)
			var roles []v1alpha4.NodeRole
			for _, n := range got.Nodes {
				roles = append(roles, n.Role)
				if n.Image != c.image {
					t.Errorf("a node of the image %s", n.Image)
				}
			}
			want := append([]v1alpha4.NodeRole{v1alpha4.ControlPlaneRole}, slices.Repeat([]v1alpha4.NodeRole{v1alpha4.WorkerRole}, c.workers)...)
			if !slices.Equal(roles, want) {
				t.Errorf("nodes %v, want %v", roles, want)
			}
			if got.Networking.KubeProxyMode != c.proxy {
				t.Errorf("kube-proxy's mode %q, want %q", got.Networking.KubeProxyMode, c.proxy)
			}
			if patched := len(got.KubeadmConfigPatches) == 1; patched != c.old {
				t.Errorf("patches %q", got.KubeadmConfigPatches)
			}
		})
	}
}

func TestOldCgroupsArePatchedIn(t *testing.T) {
	var patch struct {
		Kind         string `json:"kind"`
		FailCgroupV1 *bool  `json:"failCgroupV1"`
	}
	if err := yaml.Unmarshal([]byte(acceptOldCgroups), &patch); err != nil {
		t.Fatal(err)
	}
	if patch.Kind != "KubeletConfiguration" || patch.FailCgroupV1 == nil || *patch.FailCgroupV1 {
		t.Errorf("the patch says %+v", patch)
	}
}

func TestSameImage(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want bool
	}{
		{"node:v1", "node:v1", true},
		{"node:v1", "node:v2", false},
		{"node:v1@sha256:aa", "node:v1", true},
		{"node:v1", "node:v1@sha256:aa", true},
		{"node:v1@sha256:aa", "node:v1@sha256:aa", true},
		{"node:v1@sha256:aa", "node:v1@sha256:bb", false},
	} {
		if got := sameImage(c.a, c.b); got != c.want {
			t.Errorf("%s and %s: same %v", c.a, c.b, got)
		}
	}
}

func TestCheck(t *testing.T) {
	for _, o := range []Options{{}, {Name: "A"}, {Name: "-a"}, {Name: strings.Repeat("a", 51)}, {Name: "a b"}, {Name: "a", Workers: -1}} {
		if o.check() == nil {
			t.Errorf("%+v is accepted", o)
		}
	}
	for _, o := range []Options{{Name: "a"}, {Name: "baton-e2e", Workers: 2}, {Name: strings.Repeat("a", 50)}} {
		if err := o.check(); err != nil {
			t.Error(err)
		}
	}
}
