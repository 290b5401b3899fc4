package suite

import (
	"errors"
	"os"
	"path/filepath"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/eventbaton/baton/e2e/inject"
)

// What is not installed by Helm is in one file, and has this name and this namespace.
const (
	manifestName      = "baton"
	manifestNamespace = metav1.NamespaceSystem
)

// applyManifest applies the manifest, switched on as its head says, with this kind of lock.
func applyManifest(lock string) func(*run) []*release {
	return func(r *run) []*release {
		if r.manifest == nil {
			r.stage.manifest = r.newRelease(manifestNamespace, manifestName, "manifest", lock, nil)
		}
		rel := r.manifest
		rel.title, rel.lock = lock, lock
		text, err := os.ReadFile(filepath.Join(r.root, "manifests", "baton.yaml"))
		r.must(err)
		text, err = inject.Manifest(text, inject.Edit{
			Lock: lock, Sinks: rel.sinks[1:], Env: map[string]string{"KUBERNETES_LEADER_CANDIDATE": "true"},
		})
		r.must(err)
		r.must(os.WriteFile(r.manifestFile(), text, 0o600))
		_, err = r.cluster.Kubectl(r.ctx, "apply", "-f", r.manifestFile())
		r.must(err)
		// A ConfigMap that has changed restarts nobody: the lock's kind is read at the start.
		_, err = r.cluster.Kubectl(r.ctx, "-n", manifestNamespace, "rollout", "restart", "daemonset/"+manifestName)
		r.must(err)
		r.must(rel.awaitLeader(r.ctx))
		if rel.since.IsZero() {
			rel.since = time.Now()
		}
		return []*release{rel}
	}
}

func (r *run) manifestFile() string { return filepath.Join(r.files, "manifest.yaml") }

// replaceManifest deletes all that the manifest has made and makes it again, the roles as well, while the agents run.
func replaceManifest(r *run) {
	r.inject()
	_, err := r.cluster.Kubectl(r.ctx, "replace", "--force", "-f", r.manifestFile())
	r.must(err)
	r.takeover()
}

// removeManifest removes what the manifest has made, and then what the agents have, as the manifest's head says.
func removeManifest(r *run) error {
	_, err := r.cluster.Kubectl(r.ctx, "delete", "--ignore-not-found", "-f", r.manifestFile())
	_, lost := r.cluster.Kubectl(r.ctx, "-n", manifestNamespace, "delete", "--ignore-not-found",
		"lease/"+manifestName, "configmap/"+manifestName, "configmap/"+manifestName+"-cursors")
	return errors.Join(err, lost)
}
