package pack

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// Source says which state of the checkout is built.
type Source struct {
	// Version is what the binary and the image call themselves.
	Version string
	// Revision is the commit, "" where there is no git.
	Revision string
	// Time is what every time in the image is set to.
	Time time.Time
}

// Describe reads the source's state from git. SOURCE_DATE_EPOCH, as env tells it, stands above the commit's time; a tree
// without git is the version dev at the beginning of time.
func Describe(ctx context.Context, dir string, env func(string) (string, bool)) (Source, error) {
	s := Source{
		Version:  git(ctx, dir, "describe", "--tags", "--always", "--dirty"),
		Revision: git(ctx, dir, "rev-parse", "HEAD"),
	}
	if s.Version == "" {
		s.Version = "dev"
	}
	name, seconds := "the commit's time", git(ctx, dir, "log", "-1", "--format=%ct")
	if value, ok := env("SOURCE_DATE_EPOCH"); ok {
		name, seconds = "SOURCE_DATE_EPOCH", value
	}
	if seconds == "" {
		seconds = "0"
	}
	n, err := strconv.ParseInt(seconds, 10, 64)
	if err != nil || n < 0 {
		return s, fmt.Errorf("%s: %q is not a number of seconds since 1970", name, seconds)
	}
	s.Time = time.Unix(n, 0).UTC()
	return s, nil
}

// git is "" where git, or what it was asked for, is not there.
func git(ctx context.Context, dir string, args ...string) string {
	cmd := exec.CommandContext(ctx, "git", args...)
	cmd.Dir = dir
	out, err := cmd.Output()
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(out))
}

// Build returns the static binary of a package, built in the folder dir. The flags are those of scripts/build: no trace of
// the machine gets into it.
func Build(ctx context.Context, dir, pkg, arch string, s Source) ([]byte, error) {
	out, err := os.MkdirTemp("", "baton-image-")
	if err != nil {
		return nil, fmt.Errorf("making a folder for the binary: %w", err)
	}
	binary := filepath.Join(out, "binary")
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false",
		"-ldflags", "-s -w -X main.version="+s.Version, "-o", binary, pkg)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH="+arch)
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Run(); err != nil {
		return nil, errors.Join(fmt.Errorf("building %s for %s: %w\n%s", pkg, arch, err, &said), os.RemoveAll(out))
	}
	b, err := os.ReadFile(binary)
	return b, errors.Join(err, os.RemoveAll(out))
}
