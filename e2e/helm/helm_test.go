package helm

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func small(values map[string]any) Release {
	return Release{Name: "one", Namespace: "obs", Chart: filepath.Join("testdata", "small"), Values: values}
}

func each(t *testing.T, kubeconfig string, try func(*testing.T, Client)) {
	t.Helper()
	for version, client := range Both(kubeconfig) {
		t.Run(version, func(t *testing.T) { try(t, client) })
	}
}

// What is set wins over the files, the later file over the earlier, and both over the chart; maps are merged.
func TestTemplate(t *testing.T) {
	dir := t.TempDir()
	var files []string
	for name, text := range map[string]string{"1": "text: first\nnested: {a: 2}\n", "2": "text: second\nlist: [3]\n"} {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	files = append(files, filepath.Join(dir, "1"), filepath.Join(dir, "2"))
	r := small(map[string]any{"nested": map[string]int{"b": 5}})
	r.ValueFiles = files
	each(t, "", func(t *testing.T, c Client) {
		got, err := c.Template(t.Context(), r)
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{"name: second", "namespace: obs", `"{\"list\":[3],\"nested\":{\"a\":2,\"b\":5}}"`, "version: " + kubeVersion} {
			if !strings.Contains(got.Manifest, want) {
				t.Errorf("no %s in\n%s", want, got.Manifest)
			}
		}
		if strings.TrimSpace(got.Notes) != "Notes of one." || len(got.Hooks) != 1 || !strings.Contains(got.Hooks[0], "name: hook") {
			t.Errorf("notes %q, hooks %q", got.Notes, got.Hooks)
		}
	})
}

// The error says which Helm failed at what, and why.
func TestTemplateFails(t *testing.T) {
	none, noFile, noValue := small(nil), small(nil), small(map[string]any{"text": ""})
	none.Chart = "nowhere"
	noFile.ValueFiles = []string{"nowhere.yaml"}
	unreadable := small(map[string]any{"text": func() {}})
	each(t, "", func(t *testing.T, c Client) {
		for want, r := range map[string]Release{
			"loading the chart of one in obs": none, "nowhere.yaml": noFile, "name it": noValue, "can't be written": unreadable,
		} {
			_, err := c.Template(t.Context(), r)
			if err == nil || !strings.Contains(err.Error(), want) || !strings.HasPrefix(err.Error(), "helm ") {
				t.Errorf("the error is %v, want %q", err, want)
			}
		}
	})
}

func TestLint(t *testing.T) {
	bad := small(nil)
	bad.Chart = t.TempDir()
	each(t, "", func(t *testing.T, c Client) {
		if err := c.Lint(small(nil)); err != nil {
			t.Error(err)
		}
		if err := c.Lint(bad); err == nil || !strings.Contains(err.Error(), "Chart.yaml") {
			t.Errorf("a folder without a chart gives %v", err)
		}
	})
}

// Without a cluster every action fails soon, and says where it was to go.
func TestNoCluster(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	if err := listener.Close(); err != nil { // so that nobody listens there
		t.Fatal(err)
	}
	kubeconfig := filepath.Join(t.TempDir(), "config")
	text := `{apiVersion: v1, kind: Config, current-context: c, contexts: [{name: c, context: {cluster: c, user: u}}],
clusters: [{name: c, cluster: {server: "https://` + address + `"}}], users: [{name: u, user: {token: t}}]}`
	if err := os.WriteFile(kubeconfig, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	each(t, kubeconfig, func(t *testing.T, c Client) {
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		for what, err := range map[string]error{
			"installing": c.Install(ctx, small(nil)), "upgrading": c.Upgrade(ctx, small(nil)),
			"rolling back": c.Rollback(ctx, "one", "obs", 0), "uninstalling": c.Uninstall(ctx, "one", "obs", time.Second),
			"testing": c.Test(ctx, "one", "obs", time.Second),
		} {
			if err == nil || !strings.Contains(err.Error(), what+" one in obs") || !strings.Contains(err.Error(), address) {
				t.Errorf("%s gives %v", what, err)
			}
		}
	})
}

// An action that knows no context is not begun after its end, and not given more time than it has.
func TestContext(t *testing.T) {
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := alone(ended, func() error { t.Error("begun"); return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("the error is %v", err)
	}
	short, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for _, c := range []struct {
		ctx       context.Context
		wait      time.Duration
		low, high time.Duration
	}{
		{t.Context(), 0, hookTimeout, hookTimeout},
		{t.Context(), time.Hour, time.Hour, time.Hour},
		{short, time.Hour, 50 * time.Second, time.Minute},
		{short, time.Second, time.Second, time.Second},
	} {
		if got := timeout(c.ctx, c.wait); got < c.low || got > c.high {
			t.Errorf("%v for %v, want %v to %v", got, c.wait, c.low, c.high)
		}
	}
}
