package helm

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"helm.sh/helm/v3/pkg/action"
	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/cli/values"
)

// V3 is Helm 3 for the cluster that a kubeconfig names.
func V3(kubeconfig string) Client { return v3{kubeconfig} }

type v3 struct{ kubeconfig string }

func (c v3) failed(what string, r Release, err error) error { return failed("helm 3", what, r, err) }

func (c v3) configuration(namespace string) (*action.Configuration, error) {
	config := new(action.Configuration)
	err := config.Init(getter{loadKubeconfig(c.kubeconfig, namespace)}, namespace, "secret", func(string, ...any) {})
	if err != nil {
		return nil, fmt.Errorf("helm 3: connecting: %w", err)
	}
	return config, nil
}

func (c v3) values(r Release) (map[string]any, error) {
	files := values.Options{ValueFiles: r.ValueFiles}
	read, err := files.MergeValues(nil)
	if err != nil {
		return nil, c.failed("reading the values of", r, err)
	}
	vals, err := merged(read, r.Values)
	return vals, c.failed("reading the values of", r, err)
}

func (c v3) Lint(r Release) error {
	vals, err := c.values(r)
	if err != nil {
		return err
	}
	lint := action.NewLint()
	lint.Strict, lint.Namespace = true, r.Namespace
	if lint.KubeVersion, err = chartutil.ParseKubeVersion(kubeVersion); err != nil {
		return c.failed("linting", r, err)
	}
	return c.failed("linting", r, errors.Join(lint.Run([]string{r.Chart}, vals).Errors...))
}

func (c v3) Template(ctx context.Context, r Release) (Rendered, error) {
	config := &action.Configuration{Log: func(string, ...any) {}}
	install := action.NewInstall(config)
	install.ClientOnly, install.DryRun = true, true
	var err error
	if install.KubeVersion, err = chartutil.ParseKubeVersion(kubeVersion); err != nil {
		return Rendered{}, c.failed("rendering", r, err)
	}
	return c.install(ctx, install, r)
}

func (c v3) install(ctx context.Context, install *action.Install, r Release) (Rendered, error) {
	install.ReleaseName, install.Namespace, install.CreateNamespace = r.Name, r.Namespace, r.CreateNamespace
	install.Wait, install.Timeout = r.Wait > 0, timeout(ctx, r.Wait)
	vals, err := c.values(r)
	if err != nil {
		return Rendered{}, err
	}
	chart, err := loader.Load(r.Chart)
	if err != nil {
		return Rendered{}, c.failed("loading the chart of", r, err)
	}
	release, err := install.RunWithContext(ctx, chart, vals)
	if err != nil {
		return Rendered{}, c.failed("installing", r, err)
	}
	rendered := Rendered{Manifest: release.Manifest, Notes: release.Info.Notes}
	for _, hook := range release.Hooks {
		rendered.Hooks = append(rendered.Hooks, hook.Manifest)
	}
	return rendered, nil
}

func (c v3) Install(ctx context.Context, r Release) error {
	config, err := c.configuration(r.Namespace)
	if err != nil {
		return err
	}
	_, err = c.install(ctx, action.NewInstall(config), r)
	return err
}

func (c v3) Upgrade(ctx context.Context, r Release) error {
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
	upgrade.ResetValues = true
	upgrade.Wait, upgrade.Timeout = r.Wait > 0, timeout(ctx, r.Wait)
	_, err = upgrade.RunWithContext(ctx, r.Name, chart, vals)
	return c.failed("upgrading", r, err)
}

func (c v3) Rollback(ctx context.Context, name, namespace string, revision int) error {
	config, err := c.configuration(namespace)
	if err != nil {
		return err
	}
	rollback := action.NewRollback(config)
	rollback.Version, rollback.MaxHistory, rollback.Timeout = revision, maxHistory, timeout(ctx, 0)
	err = alone(ctx, func() error { return rollback.Run(name) })
	return c.failed("rolling back", Release{Name: name, Namespace: namespace}, err)
}

func (c v3) Uninstall(ctx context.Context, name, namespace string, wait time.Duration) error {
	config, err := c.configuration(namespace)
	if err != nil {
		return err
	}
	uninstall := action.NewUninstall(config)
	uninstall.Wait, uninstall.Timeout = wait > 0, timeout(ctx, wait)
	err = alone(ctx, func() error {
		_, err := uninstall.Run(name)
		return err
	})
	return c.failed("uninstalling", Release{Name: name, Namespace: namespace}, err)
}

func (c v3) Test(ctx context.Context, name, namespace string, limit time.Duration) error {
	config, err := c.configuration(namespace)
	if err != nil {
		return err
	}
	test := action.NewReleaseTesting(config)
	test.Namespace, test.Timeout = namespace, timeout(ctx, limit)
	err = alone(ctx, func() error {
		release, err := test.Run(name)
		if err == nil || release == nil {
			return err
		}
		var logs bytes.Buffer
		return errors.Join(err, test.GetPodLogs(&logs, release), errors.New(logs.String()))
	})
	return c.failed("testing", Release{Name: name, Namespace: namespace}, err)
}

// maxHistory is the commands' default.
const maxHistory = 10
