package main

import (
	"archive/tar"
	"bytes"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

// layer writes an archive with one file, and returns its path.
func layer(t *testing.T, file, content string) string {
	t.Helper()
	var out bytes.Buffer
	archive := tar.NewWriter(&out)
	if err := archive.WriteHeader(&tar.Header{Name: file, Mode: 0o755, Size: int64(len(content))}); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(archive, content); err != nil {
		t.Fatal(err)
	}
	if err := archive.Close(); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "layer.tar")
	if err := os.WriteFile(path, out.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestPack(t *testing.T) {
	out := filepath.Join(t.TempDir(), "images.tar")
	err := run([]string{
		"-o", out, "-entrypoint", "/init,now", "-env", "A=1,B=2", "-user", "7:8", "-stop-signal", "SIGRTMIN+3",
		"some/one:v1=" + layer(t, "usr/bin/one", "the first"), "some.host/two:v2=" + layer(t, "two", "the second"),
	})
	if err != nil {
		t.Fatal(err)
	}
	for reference, want := range map[string][2]string{"some/one:v1": {"usr/bin/one", "the first"}, "some.host/two:v2": {"two", "the second"}} {
		tag, err := name.NewTag(reference)
		if err != nil {
			t.Fatal(err)
		}
		image, err := tarball.ImageFromPath(out, &tag)
		if err != nil {
			t.Fatalf("%s: %v", reference, err)
		}
		layers, err := image.Layers()
		if err != nil || len(layers) != 1 {
			t.Fatalf("%s: %d layers, %v", reference, len(layers), err)
		}
		content, err := layers[0].Uncompressed()
		if err != nil {
			t.Fatal(err)
		}
		archive := tar.NewReader(content)
		header, err := archive.Next()
		if err != nil {
			t.Fatal(err)
		}
		if text, err := io.ReadAll(archive); err != nil || [2]string{header.Name, string(text)} != want {
			t.Errorf("%s has %s with %q, %v", reference, header.Name, text, err)
		}
		file, err := image.ConfigFile()
		if err != nil {
			t.Fatal(err)
		}
		config := file.Config
		if file.OS != "linux" || file.Architecture != runtime.GOARCH || config.User != "7:8" || config.StopSignal != "SIGRTMIN+3" ||
			!reflect.DeepEqual(config.Entrypoint, []string{"/init", "now"}) || !reflect.DeepEqual(config.Env[:2], []string{"A=1", "B=2"}) {
			t.Errorf("%s: %+v", reference, file)
		}
		// kubeadm's manifests name binaries by PATH.
		if last := config.Env[len(config.Env)-1]; !strings.HasPrefix(last, "PATH=") || !strings.Contains(last, ":/usr/local/bin:") {
			t.Errorf("%s: %q", reference, last)
		}
	}
}

// TestReferences: an engine that loads the archive gives the images the names that were asked for, word by word.
func TestReferences(t *testing.T) {
	out := filepath.Join(t.TempDir(), "images.tar")
	if err := run([]string{"-o", out, "eventbaton/node:v1-x=" + layer(t, "a", "b")}); err != nil {
		t.Fatal(err)
	}
	manifest, err := tarball.LoadManifest(func() (io.ReadCloser, error) { return os.Open(out) })
	if err != nil || len(manifest) != 1 || !reflect.DeepEqual(manifest[0].RepoTags, []string{"eventbaton/node:v1-x"}) {
		t.Errorf("%+v, %v", manifest, err)
	}
}

func TestPackRefuses(t *testing.T) {
	out := filepath.Join(t.TempDir(), "images.tar")
	for want, args := range map[string][]string{
		"want: pack -o":         {"-o", out},
		"want: pack":            {"a:1=x.tar"},
		"want REFERENCE":        {"-o", out, "a:1"},
		"can only contain":      {"-o", out, "A B=" + layer(t, "a", "b")},
		"a:1: ":                 {"-o", out, "a:1=/there/is/none.tar"},
		"flag provided but not": {"-x"},
	} {
		if err := run(args); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", args, err, want)
		}
	}
}
