package main

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/eventbaton/baton/e2e/helm"
)

// revisions are Helm's Secrets of these states, the first revision first.
func revisions(states ...string) []corev1.Secret {
	var all []corev1.Secret
	for i, s := range states {
		secret := corev1.Secret{}
		secret.Labels = map[string]string{"version": strconv.Itoa(i + 1), "status": s}
		all = append(all, secret)
	}
	return all
}

func TestPlan(t *testing.T) {
	for name, c := range map[string]struct {
		states []string
		want   course
	}{
		"nothing":                 {nil, course{install: true}},
		"installed":               {[]string{"deployed"}, course{}},
		"upgraded":                {[]string{"superseded", "deployed"}, course{}},
		"upgrade failed":          {[]string{"superseded", "deployed", "failed"}, course{}},
		"installation failed":     {[]string{"failed"}, course{remove: true, install: true}},
		"installation cut off":    {[]string{"pending-install"}, course{remove: true, install: true}},
		"upgrade of failed one":   {[]string{"failed", "pending-upgrade"}, course{remove: true, install: true}},
		"upgrade cut off":         {[]string{"superseded", "deployed", "pending-upgrade"}, course{back: 2}},
		"rollback cut off":        {[]string{"superseded", "deployed", "failed", "pending-rollback"}, course{back: 2}},
		"uninstallation cut off":  {[]string{"superseded", "uninstalling"}, course{remove: true, install: true}},
		"ten revisions, as dates": {append(slices.Repeat([]string{"superseded"}, 9), "deployed", "pending-upgrade"), course{back: 10}},
	} {
		t.Run(name, func(t *testing.T) {
			secrets := revisions(c.states...)
			slices.Reverse(secrets)
			got, err := plan(secrets)
			if err != nil || got != c.want {
				t.Errorf("%+v, want %+v, error %v", got, c.want, err)
			}
		})
	}
}

func TestPlanOfAnothersSecret(t *testing.T) {
	secrets := revisions("deployed")
	secrets[0].Name, secrets[0].Labels["version"] = "strange", "new"
	_, err := plan(secrets)
	says(t, err, "strange")
}

// client notes what is asked of it, and fails at what it is told to.
type client struct {
	helm.Client
	failing string
	called  []string
}

func (c *client) call(what string) error {
	c.called = append(c.called, what)
	if what == c.failing {
		return errors.New(what + " failed")
	}
	return nil
}

func (c *client) Install(context.Context, helm.Release) error { return c.call("install") }
func (c *client) Upgrade(context.Context, helm.Release) error { return c.call("upgrade") }
func (c *client) Rollback(_ context.Context, _, _ string, revision int) error {
	return c.call("rollback " + strconv.Itoa(revision))
}
func (c *client) Uninstall(context.Context, string, string, time.Duration) error {
	return c.call("uninstall")
}

func TestCourse(t *testing.T) {
	for name, c := range map[string]struct {
		course  course
		failing string
		want    string
		done    string
	}{
		"install":          {course{install: true}, "", "install", "installed"},
		"upgrade":          {course{}, "", "upgrade", "upgraded"},
		"anew":             {course{remove: true, install: true}, "", "uninstall install", "anew"},
		"back":             {course{back: 3}, "", "rollback 3 upgrade", "after an upgrade"},
		"no installation":  {course{install: true}, "install", "install", ""},
		"no removal":       {course{remove: true, install: true}, "uninstall", "uninstall", ""},
		"no way back":      {course{back: 3}, "rollback 3", "rollback 3", ""},
		"no upgrade after": {course{back: 3}, "upgrade", "rollback 3 upgrade", ""},
	} {
		t.Run(name, func(t *testing.T) {
			helm4 := &client{failing: c.failing}
			says(t, c.course.run(t.Context(), helm4, helm.Release{}), c.failing)
			if got := strings.Join(helm4.called, " "); got != c.want {
				t.Errorf("called %q, want %q", got, c.want)
			}
			if c.done != "" && !strings.Contains(c.course.done(), c.done) {
				t.Errorf("it says %q, want %q", c.course.done(), c.done)
			}
		})
	}
}
