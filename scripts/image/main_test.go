package main

import (
	"bytes"
	"io"
	"log"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/eventbaton/baton/scripts/image/pack"
)

func none(string) (string, bool) { return "", false }

func TestCommandLine(t *testing.T) {
	for name, c := range map[string]struct {
		args []string
		want string
	}{
		"no such flag":         {[]string{"-pushh", "x"}, "-pushh"},
		"too much":             {[]string{"now"}, `["now"]`},
		"no such architecture": {[]string{"-arch", "mips"}, "amd64, arm64"},
		"two for one archive":  {[]string{"-o", "x.tar", "-push", "x"}, "-arch"},
		"no such program":      {[]string{"-package", "./nowhere", "-name", "n:1"}, "./nowhere for amd64"},
	} {
		t.Run(name, func(t *testing.T) {
			err := run(t.Context(), &bytes.Buffer{}, none, c.args)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, want it to say %q", err, c.want)
			}
		})
	}
}

func TestHelp(t *testing.T) {
	var out bytes.Buffer
	if err := run(t.Context(), &out, none, []string{"-h"}); err != nil || !strings.Contains(out.String(), "-rootfs") {
		t.Errorf("%v: %s", err, &out)
	}
}

// The image of the program itself: small enough, twice the same, and its binary runs from the files alone.
func TestProgram(t *testing.T) {
	dir := t.TempDir()
	root, err := checkout(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	// A fixed state: somebody may commit between the two builds.
	source := pack.Source{Version: "v1.2.3", Revision: "abc", Time: time.Unix(1_700_000_000, 0)}
	rootfs := filepath.Join(dir, "rootfs")
	var said []string
	for _, file := range []string{"first.tar", "second.tar"} {
		var out bytes.Buffer
		o := options{pkg: "./agent", name: "eventbaton/baton:0.1.0", file: filepath.Join(dir, file), rootfs: rootfs}
		if err := o.make(t.Context(), &out, root, source, []string{runtime.GOARCH}); err != nil {
			t.Fatal(err)
		}
		said = append(said, out.String())
	}
	if said[0] != said[1] {
		t.Errorf("two builds differ: %q", said)
	}
	line := regexp.MustCompile(`^eventbaton/baton:0\.1\.0 linux/` + runtime.GOARCH + ` sha256:[0-9a-f]{64} [0-9]+\.[0-9] MB\n$`)
	if !line.MatchString(said[0]) {
		t.Errorf("it says %q", said[0])
	}
	first, err := os.ReadFile(filepath.Join(dir, "first.tar"))
	if err != nil {
		t.Fatal(err)
	}
	second, err := os.ReadFile(filepath.Join(dir, "second.tar"))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(first, second) {
		t.Error("two archives differ")
	}
	cmd := exec.CommandContext(t.Context(), filepath.Join(rootfs, "baton"), "version")
	cmd.Env = []string{}
	if out, err := cmd.CombinedOutput(); err != nil || !strings.HasPrefix(string(out), "baton v1.2.3 ") {
		t.Errorf("%q %v", out, err)
	}
}

// Published is an index of both architectures, and what is printed is its digest, by which it is pulled.
func TestPush(t *testing.T) {
	server := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	defer server.Close()
	reference := strings.TrimPrefix(server.URL, "http://") + "/baton:1"
	var out bytes.Buffer
	args := []string{"-package", "./scripts/image/testdata/program", "-name", "eventbaton/program:1", "-push", reference}
	if err := run(t.Context(), &out, none, args); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	published, digest, _ := strings.Cut(lines[len(lines)-1], " ")
	if len(lines) != 3 || published != reference {
		t.Fatalf("it says %q", lines)
	}
	ref, err := name.NewDigest(strings.TrimSuffix(reference, ":1") + "@" + digest)
	if err != nil {
		t.Fatal(err)
	}
	index, err := remote.Index(ref)
	if err != nil {
		t.Fatal(err)
	}
	manifest, err := index.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	var platforms []string
	for i, m := range manifest.Manifests {
		platforms = append(platforms, m.Platform.String())
		if !strings.Contains(lines[i], m.Digest.String()) {
			t.Errorf("%s was published, and it says %q", m.Digest, lines[i])
		}
	}
	if !slices.Equal(platforms, []string{"linux/amd64", "linux/arm64"}) {
		t.Errorf("published for %v", platforms)
	}
}

func TestNames(t *testing.T) {
	for name, want := range map[string]string{
		"eventbaton/baton:0.1.0": "baton", "peer": "peer", "127.0.0.1:5000/a/peer": "peer", "a/b@sha256:00": "b",
	} {
		if got := (&options{name: name}).program(); got != want {
			t.Errorf("the program of %s is %q, want %q", name, got, want)
		}
	}
}

func TestReleased(t *testing.T) {
	root := t.TempDir()
	if _, err := released(root); err == nil || !strings.Contains(err.Error(), "-name") {
		t.Error(err)
	}
	chart := filepath.Join(root, "charts", "baton")
	if err := os.MkdirAll(chart, 0o700); err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]string{
		"appVersion: 7.8.9\n": "eventbaton/baton:7.8.9", "appVersion: \"0.1.0\"\n": "eventbaton/baton:0.1.0", "name: baton\n": "", "{": "",
	} {
		if err := os.WriteFile(filepath.Join(chart, "Chart.yaml"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := released(root)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("%q: %q %v, want %q", text, got, err, want)
		}
	}
}

// What the Dockerfile runs and copies is what there is.
func TestDockerfile(t *testing.T) {
	root, err := checkout(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(filepath.Join(root, "Dockerfile"))
	if err != nil {
		t.Fatal(err)
	}
	text := string(b)
	module, err := os.ReadFile(filepath.Join(root, "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	language := regexp.MustCompile(`(?m)^go (\d+\.\d+)`).FindSubmatch(module)
	if len(language) < 2 || !strings.Contains(text, "FROM golang:"+string(language[1])+" AS build") {
		t.Errorf("it does not build with Go %s of go.mod", language)
	}
	if n := strings.Count(text, "USER 65532:65532\nENTRYPOINT [\"/baton\"]\n"); n != 2 {
		t.Errorf("%d of its two images run /baton as nobody", n)
	}
	_, flags, ok := strings.Cut(text, "RUN go run ./scripts/image ")
	if !ok || !strings.HasPrefix(flags, "-rootfs /rootfs\n") || !strings.Contains(text, "COPY --from=build /rootfs /\n") {
		t.Errorf("its source build does not copy what it has made: %s", flags)
	}
}
