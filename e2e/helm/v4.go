package helm

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"helm.sh/helm/v4/pkg/action"
	"helm.sh/helm/v4/pkg/chart/common"
	"helm.sh/helm/v4/pkg/chart/loader"
	"helm.sh/helm/v4/pkg/cli/values"
	"helm.sh/helm/v4/pkg/kube"
	release "helm.sh/helm/v4/pkg/release/v1"
)

// V4 is Helm 4 for the cluster that a kubeconfig names.
func V4(kubeconfig string) Client { return v4{kubeconfig} }

// The command's own name for who manages the fields that it applies. It is the program's otherwise, and a release that one
// program has installed could not be upgraded by another.
func init() { kube.ManagedFieldsManager = "helm" }

type v4 struct{ kubeconfig string }

func (c v4) failed(what string, r Release, err error) error { return failed("helm 4", what, r, err) }

func (c v4) configuration(namespace string) (*action.Configuration, error) {
	config := action.NewConfiguration(action.ConfigurationSetLogger(slog.DiscardHandler))
	if err := config.Init(getter{loadKubeconfig(c.kubeconfig, namespace)}, namespace, "secret"); err != nil {
		return nil, fmt.Errorf("helm 4: connecting: %w", err)
	}
	return config, nil
}

func (c v4) values(r Release) (map[string]any, error) {
	files := values.Options{ValueFiles: r.ValueFiles}
	read, err := files.MergeValues(nil)
	if err != nil {
		return nil, c.failed("reading the values of", r, err)
	}
	vals, err := merged(read, r.Values)
	return vals, c.failed("reading the values of", r, err)
}

func (c v4) Lint(r Release) error {
	vals, err := c.values(r)
	if err != nil {
		return err
	}
	lint := action.NewLint()
	lint.Strict, lint.Namespace = true, r.Namespace
	if lint.KubeVersion, err = common.ParseKubeVersion(kubeVersion); err != nil {
		return c.failed("linting", r, err)
	}
	return c.failed("linting", r, errors.Join(lint.Run([]string{r.Chart}, vals).Errors...))
}

func (c v4) Template(ctx context.Context, r Release) (Rendered, error) {
	config := action.NewConfiguration(action.ConfigurationSetLogger(slog.DiscardHandler))
	install := action.NewInstall(config)
	install.DryRunStrategy = action.DryRunClient
	var err error
	if install.KubeVersion, err = common.ParseKubeVersion(kubeVersion); err != nil {
		return Rendered{}, c.failed("rendering", r, err)
	}
	return c.install(ctx, install, r)
}

func (c v4) install(ctx context.Context, install *action.Install, r Release) (Rendered, error) {
	install.ReleaseName, install.Namespace, install.CreateNamespace = r.Name, r.Namespace, r.CreateNamespace
	install.WaitStrategy, install.Timeout = strategy(r.Wait), timeout(ctx, r.Wait)
	vals, err := c.values(r)
	if err != nil {
		return Rendered{}, err
	}
	chart, err := loader.Load(r.Chart)
	if err != nil {
		return Rendered{}, c.failed("loading the chart of", r, err)
	}
	releaser, err := install.RunWithContext(ctx, chart, vals)
	if err != nil {
		return Rendered{}, c.failed("installing", r, err)
	}
	installed, ok := releaser.(*release.Release)
	if !ok {
		return Rendered{}, c.failed("installing", r, fmt.Errorf("a release of an unknown version: %T", releaser))
	}
	rendered := Rendered{Manifest: installed.Manifest, Notes: installed.Info.Notes}
	for _, hook := range installed.Hooks {
		rendered.Hooks = append(rendered.Hooks, hook.Manifest)
	}
	return rendered, nil
}

// strategy is what --wait sets, and what the command does without it.
func strategy(wait time.Duration) kube.WaitStrategy {
	if wait > 0 {
		return kube.StatusWatcherStrategy
	}
	return kube.HookOnlyStrategy
}

func (c v4) Install(ctx context.Context, r Release) error {
	config, err := c.configuration(r.Namespace)
	if err != nil {
		return err
	}
	_, err = c.install(ctx, action.NewInstall(config), r)
	return err
}

func (c v4) Upgrade(ctx context.Context, r Release) error {
	config, err := c.configuration(r.Namespace)
	if err != nil {
		return err
	}
	vals, err := c.values(r)
	if err != nil {
		return err
	}
	chart, err := loader.Load(r.Chart)
	if err != nil {
		return c.failed("loading the chart of", r, err)
	}
	upgrade := action.NewUpgrade(config)
	upgrade.Namespace, upgrade.MaxHistory = r.Namespace, maxHistory
	upgrade.ResetValues, upgrade.ServerSideApply = true, "auto"
	upgrade.WaitStrategy, upgrade.Timeout = strategy(r.Wait), timeout(ctx, r.Wait)
	_, err = upgrade.RunWithContext(ctx, r.Name, chart, vals)
	return c.failed("upgrading", r, err)
}

func (c v4) Rollback(ctx context.Context, name, namespace string, revision int) error {
	config, err := c.configuration(namespace)
	if err != nil {
		return err
	}
	rollback := action.NewRollback(config)
	rollback.Version, rollback.MaxHistory = revision, maxHistory
	rollback.WaitStrategy, rollback.Timeout = strategy(0), timeout(ctx, 0)
	rollback.ServerSideApply = "auto"
	err = alone(ctx, func() error { return rollback.Run(name) })
	return c.failed("rolling back", Release{Name: name, Namespace: namespace}, err)
}

func (c v4) Uninstall(ctx context.Context, name, namespace string, wait time.Duration) error {
	config, err := c.configuration(namespace)
	if err != nil {
		return err
	}
	uninstall := action.NewUninstall(config)
	uninstall.WaitStrategy, uninstall.Timeout = strategy(wait), timeout(ctx, wait)
	err = alone(ctx, func() error {
		_, err := uninstall.Run(name)
		return err
	})
	return c.failed("uninstalling", Release{Name: name, Namespace: namespace}, err)
}

func (c v4) Test(ctx context.Context, name, namespace string, limit time.Duration) error {
	config, err := c.configuration(namespace)
	if err != nil {
		return err
	}
	test := action.NewReleaseTesting(config)
	test.Namespace, test.Timeout = namespace, timeout(ctx, limit)
	err = alone(ctx, func() error { return c.test(test, name) })
	return c.failed("testing", Release{Name: name, Namespace: namespace}, err)
}

// test collects the logs before the pods are deleted, which this Helm leaves to the shutdown.
func (c v4) test(test *action.ReleaseTesting, name string) error {
	releaser, shutdown, err := test.Run(name)
	if tested, ok := releaser.(*release.Release); ok && err != nil {
		var logs bytes.Buffer
		err = errors.Join(err, test.GetPodLogs(&logs, tested), errors.New(logs.String()))
	}
	return errors.Join(err, shutdown())
}
