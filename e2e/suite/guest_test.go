package suite

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/metadata"
	"sigs.k8s.io/e2e-framework/pkg/envconf"
	"sigs.k8s.io/e2e-framework/pkg/features"

	"github.com/eventbaton/baton/e2e/helm"
	"github.com/eventbaton/baton/e2e/inject"
	"github.com/eventbaton/baton/e2e/inventory"
	"github.com/eventbaton/baton/e2e/receiver"
)

const (
	guestRelease = "guest"
	guestName    = guestRelease + "-baton" // of its objects
	// idleVersions are made while a fleet that is not told to gather must not.
	idleVersions = 3 * rate
	helmTimeout  = 2 * time.Minute
	// guestImage is the Dockerfile's.
	guestImage, guestTag = "eventbaton/baton", "dockerfile"
	guestSecret          = "guest-secrets"
)

// TestGuest is a release that comes and goes: as the chart's defaults have it, it gathers nothing; switched on it
// gathers all there is; and when it has gone nothing is left of it. It runs the image that the Dockerfile makes, and has the
// receiver's URL from a Secret.
func TestGuest(t *testing.T) {
	g := &guest{stage: theStage}
	step := func(name string, do func(context.Context) error) features.Func {
		return func(ctx context.Context, t *testing.T, _ *envconf.Config) context.Context {
			limited, cancel := context.WithTimeout(g.ctx, runTimeout)
			defer cancel()
			defer g.timed("guest: " + name)()
			if err := do(limited); err != nil {
				t.Fatal(err)
			}
			return ctx
		}
	}
	environment.Test(t, features.New("guest").
		WithSetup("the Dockerfile makes an image", step("Dockerfile", g.build)).
		WithSetup("there is nothing of it", step("inventory", g.before)).
		Assess("it gathers nothing by default", step("idle", g.idle)).
		Assess("it gathers when switched on", step("switched on", g.on)).
		Assess("helm test", step("helm test", g.test)).
		Assess("nothing is left of it", step("uninstalled", g.leave)).
		Feature())
}

type guest struct {
	*stage
	release *release
	earlier inventory.Inventory
}

// build makes the image of what `make image` has left in dist/, with the engine that the nodes run in.
func (g *guest) build(ctx context.Context) error {
	image, archive := guestImage+":"+guestTag, filepath.Join(g.files, "dockerfile.tar")
	for _, args := range [][]string{{"build", "--quiet", "--target", "prebuilt", "--tag", image, g.root}, {"save", "--output", archive, image}} {
		if _, err := g.cluster.Docker(ctx, args...); err != nil {
			return err
		}
	}
	return g.cluster.Load(ctx, archive)
}

func (g *guest) before(ctx context.Context) error {
	err := g.eventually(ctx, time.Minute, "the namespace is furnished", func(ctx context.Context) error {
		_, account := g.client.CoreV1().ServiceAccounts(guestNamespace).Get(ctx, "default", metav1.GetOptions{})
		_, roots := g.client.CoreV1().ConfigMaps(guestNamespace).Get(ctx, "kube-root-ca.crt", metav1.GetOptions{})
		return errors.Join(account, roots)
	})
	if err != nil {
		return err
	}
	secret := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: guestSecret}, StringData: map[string]string{"url": g.peers.address + "/" + guestRelease},
	}
	if _, err := g.client.CoreV1().Secrets(guestNamespace).Create(ctx, secret, metav1.CreateOptions{}); err != nil {
		return fmt.Errorf("making the Secret: %w", err)
	}
	g.earlier, err = g.inventory(ctx)
	return err
}

func (g *guest) inventory(ctx context.Context) (inventory.Inventory, error) {
	c, err := metadata.NewForConfig(g.config)
	if err != nil {
		return nil, err
	}
	return inventory.Take(ctx, g.client.Discovery(), c)
}

// idle installs the chart with nothing but its sinks.
func (g *guest) idle(ctx context.Context) error {
	g.release = g.newRelease(guestNamespace, guestName, guestRelease, inject.Lease, helm.V4(g.cluster.Kubeconfig()))
	g.release.instance = guestRelease
	g.release.sinks = []map[string]any{
		{"name": "log", "type": "stdout"}, {"name": sinkName, "type": "webhook", "url_file": "/etc/baton/secrets/url"},
	}
	g.release.more = map[string]any{"image": map[string]any{"repository": guestImage, "tag": guestTag}, "existingSecret": guestSecret}
	i, err := g.release.installation()
	if err != nil {
		return err
	}
	i.ValueFiles, i.Values = nil, map[string]any{"sinks": g.release.sinks}
	maps.Copy(i.Values, g.release.more)
	if err := g.release.helm.Install(ctx, i); err != nil {
		return err
	}
	if err := g.eventually(ctx, rolloutTimeout, "all pods are ready", func(ctx context.Context) error {
		_, err := g.release.ready(ctx)
		return err
	}); err != nil {
		return err
	}
	if err := g.peers.fetch(ctx); err != nil {
		return err
	}
	made := g.peers.made.Len() + idleVersions
	err = g.eventually(ctx, time.Minute, "more events are made", func(ctx context.Context) error {
		if err := g.peers.fetch(ctx); err != nil {
			return err
		}
		if n := g.peers.made.Len(); n < made {
			return fmt.Errorf("%d of %d", n, made)
		}
		return nil
	})
	if err != nil {
		return err
	}
	return g.silent(ctx)
}

// silent tells what an idle fleet has done.
func (g *guest) silent(ctx context.Context) error {
	if n := len(g.release.got.Requests()); n > 0 {
		return fmt.Errorf("an idle fleet has sent %d requests", n)
	}
	_, lease := g.client.CoordinationV1().Leases(guestNamespace).Get(ctx, guestName, metav1.GetOptions{})
	_, lock := g.client.CoreV1().ConfigMaps(guestNamespace).Get(ctx, guestName, metav1.GetOptions{})
	_, cursors := g.client.CoreV1().ConfigMaps(guestNamespace).Get(ctx, guestName+"-cursors", metav1.GetOptions{})
	for what, err := range map[string]error{"Lease": lease, "ConfigMap": lock, "ConfigMap of cursors": cursors} {
		if !apierrors.IsNotFound(err) {
			return fmt.Errorf("an idle fleet has made a %s: %w", what, err)
		}
	}
	pods, err := g.release.pods(ctx)
	if err != nil {
		return err
	}
	for i := range pods {
		status, err := g.release.status(ctx, &pods[i])
		if err != nil {
			return err
		}
		if status.Mode != "idle" {
			return fmt.Errorf("%s is %s", pods[i].Name, status.Mode)
		}
	}
	return nil
}

func (g *guest) on(ctx context.Context) error {
	if err := g.release.upgraded(ctx); err != nil {
		return err
	}
	stored, err := g.events(ctx)
	if err != nil {
		return err
	}
	return g.eventually(ctx, settleTimeout, "all that is stored arrives", func(ctx context.Context) error {
		if err := g.peers.fetch(ctx); err != nil {
			return err
		}
		return lacks(g.release.got, stored)
	})
}

// lacks tells what of these events has not arrived.
func lacks(got *receiver.Replica, events []storedEvent) error {
	for _, e := range events {
		if !got.Has(e.version) {
			return fmt.Errorf("the stored event %s is missing at version %d", e.name, e.version.RV)
		}
	}
	return nil
}

// test is `helm test`, of both versions of Helm.
func (g *guest) test(ctx context.Context) error {
	return errors.Join(
		g.release.helm.Test(ctx, guestRelease, guestNamespace, helmTimeout),
		g.releases[0].helm.Test(ctx, g.releases[0].name, g.releases[0].namespace, helmTimeout),
	)
}

func (g *guest) leave(ctx context.Context) error {
	if err := g.release.helm.Uninstall(ctx, guestRelease, guestNamespace, helmTimeout); err != nil {
		return err
	}
	return g.eventually(ctx, time.Minute, "nothing is left of a release that was uninstalled", func(ctx context.Context) error {
		later, err := g.inventory(ctx)
		if err != nil {
			return err
		}
		if left := inventory.Left(g.earlier, later, guestNamespace, guestRelease); len(left) > 0 {
			return fmt.Errorf("%q", left)
		}
		return nil
	})
}
