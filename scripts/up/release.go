package main

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/eventbaton/baton/e2e/helm"
)

// toUninstall is how long what is left of a failed installation may take to go.
const toUninstall = 2 * time.Minute

// course is what has to be done to a release.
type course struct {
	remove  bool // it never was whole: away with it first
	install bool // there is none
	back    int  // a change was cut off: the revision to go back to, else 0
}

// plan judges the revisions that Helm has stored, each in a Secret.
func plan(secrets []corev1.Secret) (course, error) {
	type revision struct {
		number int
		status string
	}
	var all []revision
	for _, s := range secrets {
		n, err := strconv.Atoi(s.Labels["version"])
		if err != nil {
			return course{}, fmt.Errorf("the Secret %s is not Helm's: its label version is %q", s.Name, s.Labels["version"])
		}
		all = append(all, revision{n, s.Labels["status"]})
	}
	if len(all) == 0 {
		return course{install: true}, nil
	}
	slices.SortFunc(all, func(a, b revision) int { return cmp.Compare(b.number, a.number) })
	good := 0 // the last revision that was whole
	for _, r := range all {
		if r.status == "deployed" || r.status == "superseded" {
			good = r.number
			break
		}
	}
	switch last := all[0].status; {
	case good == 0 || last == "uninstalling":
		return course{remove: true, install: true}, nil
	case last == "pending-upgrade" || last == "pending-rollback" || last == "pending-install":
		return course{back: good}, nil
	}
	return course{}, nil
}

func (c course) run(ctx context.Context, client helm.Client, r helm.Release) error {
	if c.remove {
		if err := client.Uninstall(ctx, r.Name, r.Namespace, toUninstall); err != nil {
			return err
		}
	}
	if c.install {
		return client.Install(ctx, r)
	}
	if c.back > 0 {
		if err := client.Rollback(ctx, r.Name, r.Namespace, c.back); err != nil {
			return err
		}
	}
	return client.Upgrade(ctx, r)
}

func (c course) done() string {
	switch {
	case c.remove:
		return "installed anew, after one that was cut off"
	case c.install:
		return "installed"
	case c.back > 0:
		return "upgraded, after an upgrade that was cut off"
	}
	return "upgraded"
}
