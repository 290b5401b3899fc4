package pack

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io"
	"log"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/validate"
)

var source = Source{Version: "v1.2.3", Revision: "abc", Time: time.Unix(1_700_000_000, 0).UTC()}

func none(string) (string, bool) { return "", false }

func image(t *testing.T, arch string, program []byte) v1.Image {
	t.Helper()
	i, err := Image(arch, source, []File{{Path: "LICENSE", Mode: 0o644, Data: []byte("free")}, Roots()}, Binary("baton", program))
	if err != nil {
		t.Fatal(err)
	}
	return i
}

func digest(t *testing.T, i interface{ Digest() (v1.Hash, error) }) string {
	t.Helper()
	d, err := i.Digest()
	if err != nil {
		t.Fatal(err)
	}
	return d.String()
}

// contents are the headers and the data of all that a container of the image would see.
func contents(t *testing.T, i v1.Image) (map[string]*tar.Header, map[string][]byte) {
	t.Helper()
	r := mutate.Extract(i)
	defer r.Close()
	headers, data := map[string]*tar.Header{}, map[string][]byte{}
	for archive := tar.NewReader(r); ; {
		h, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return headers, data
		}
		if err != nil {
			t.Fatal(err)
		}
		name := strings.TrimSuffix(h.Name, "/")
		headers[name] = h
		if data[name], err = io.ReadAll(archive); err != nil {
			t.Fatal(err)
		}
	}
}

func TestImage(t *testing.T) {
	i := image(t, "arm64", []byte("program"))
	c, err := i.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	if c.Architecture != "arm64" || c.OS != "linux" || c.Config.User != "65532:65532" || !c.Created.Time.Equal(source.Time) {
		t.Errorf("%+v", c)
	}
	if len(c.Config.Entrypoint) != 1 || c.Config.Entrypoint[0] != "/baton" {
		t.Errorf("entrypoint %q", c.Config.Entrypoint)
	}
	for label, want := range map[string]string{
		"title": "baton", "version": "v1.2.3", "revision": "abc", "licenses": "Apache-2.0", "source": "https://github.com/eventbaton/baton",
	} {
		if got := c.Config.Labels["org.opencontainers.image."+label]; got != want {
			t.Errorf("the label %s is %q, want %q", label, got, want)
		}
	}
	headers, data := contents(t, i)
	if string(data["baton"]) != "program" || string(data["LICENSE"]) != "free" {
		t.Errorf("%q", data)
	}
	for name, h := range headers {
		if h.Uid != 0 || h.Gid != 0 || h.Uname != "" || !h.ModTime.Equal(source.Time) {
			t.Errorf("%s is not of root and of the source's time: %+v", name, h)
		}
		if want := map[bool]int64{true: 0o755, false: 0o644}[h.Typeflag == tar.TypeDir || name == "baton"]; h.Mode != want {
			t.Errorf("%s has the mode %o, want %o", name, h.Mode, want)
		}
	}
}

// The user has to be able to connect to a receiver with a public certificate; what Mozilla limits is left out.
func TestRoots(t *testing.T) {
	rest, n := Roots().Data, 0
	for {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil || !c.IsCA && c.Version == 3 {
			t.Errorf("certificate %d: %v", n, err)
		}
		n++
	}
	if n < 100 || len(bytes.TrimSpace(rest)) > 0 {
		t.Errorf("%d roots, and %d bytes that are none", n, len(rest))
	}
	if _, data := contents(t, image(t, "amd64", nil)); !bytes.Equal(data["etc/ssl/certs/ca-certificates.crt"], Roots().Data) {
		t.Error("the image does not have them where Go looks")
	}
}

func TestCommon(t *testing.T) {
	dir := t.TempDir()
	if _, err := Common(dir); err == nil || !strings.Contains(err.Error(), "LICENSE") {
		t.Error(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "LICENSE"), []byte("free"), 0o600); err != nil {
		t.Fatal(err)
	}
	files, err := Common(dir)
	if err != nil || len(files) != 2 || string(files[0].Data) != "free" {
		t.Error(files, err)
	}
}

func TestSizeIsLimited(t *testing.T) {
	noise := make([]byte, Limit+1<<20)
	for i, x := 0, uint64(1); i < len(noise); i++ {
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
		noise[i] = byte(x >> 32)
	}
	if _, err := Image("amd64", source, nil, Binary("baton", noise)); err == nil || !strings.Contains(err.Error(), "bytes, compressed") {
		t.Errorf("an image of more than %d bytes: %v", Limit, err)
	}
}

// What an archive for `docker load` has is the image, under its name, and a save that fails leaves nothing.
func TestSave(t *testing.T) {
	i := image(t, "amd64", []byte("program"))
	file := filepath.Join(t.TempDir(), "new", "image.tar")
	if err := Save(file, "eventbaton/baton:0.1.0", i); err != nil {
		t.Fatal(err)
	}
	manifest, err := tarball.LoadManifest(func() (io.ReadCloser, error) { return os.Open(file) })
	if err != nil || len(manifest) != 1 || len(manifest[0].RepoTags) != 1 || manifest[0].RepoTags[0] != "eventbaton/baton:0.1.0" {
		t.Fatal(manifest, err)
	}
	tag, err := name.NewTag("eventbaton/baton:0.1.0")
	if err != nil {
		t.Fatal(err)
	}
	loaded, err := tarball.ImageFromPath(file, &tag)
	if err != nil {
		t.Fatal(err)
	}
	if err := validate.Image(loaded); err != nil {
		t.Error(err)
	}
	want, err := i.ConfigName()
	if err != nil {
		t.Fatal(err)
	}
	if got, err := loaded.ConfigName(); err != nil || got != want {
		t.Errorf("the archive's image is %v (%v), want %v", got, err, want)
	}
	if err := Save(file, "Not A Name", i); err == nil || !strings.Contains(err.Error(), "-name Not A Name") {
		t.Error(err)
	}
	if err := Save(filepath.Join(file, "below"), "baton:1", i); err == nil {
		t.Error("a file took another one below it")
	}
}

// Published is what was made: read back by its digest, and for each platform.
func TestPush(t *testing.T) {
	server := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	defer server.Close()
	images := map[string]v1.Image{"amd64": image(t, "amd64", []byte("a")), "arm64": image(t, "arm64", []byte("b"))}
	index := Index(images, "amd64", "arm64")
	reference := strings.TrimPrefix(server.URL, "http://") + "/eventbaton/baton:0.1.0"
	if err := Push(t.Context(), reference, index); err != nil {
		t.Fatal(err)
	}
	tag, err := name.ParseReference(reference)
	if err != nil {
		t.Fatal(err)
	}
	published, err := remote.Index(tag)
	if err != nil || digest(t, published) != digest(t, index) {
		t.Fatal(published, err)
	}
	for arch, made := range images {
		byPlatform, err := remote.Image(tag, remote.WithPlatform(v1.Platform{OS: "linux", Architecture: arch}))
		if err != nil || digest(t, byPlatform) != digest(t, made) {
			t.Errorf("%s by its platform: %v", arch, err)
			continue
		}
		byDigest, err := remote.Image(tag.Context().Digest(digest(t, made)))
		if err != nil {
			t.Errorf("%s by its digest: %v", arch, err)
			continue
		}
		if err := validate.Image(byDigest); err != nil {
			t.Errorf("%s as it was published: %v", arch, err)
		}
		c, err := byDigest.ConfigFile()
		if err != nil || c.Architecture != arch {
			t.Errorf("%s: %+v %v", arch, c, err)
		}
	}
	for reference, want := range map[string]string{"Not A Name": "-push Not A Name", "127.0.0.1:1/baton": "publishing"} {
		if err := Push(t.Context(), reference, index); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want it to say %q", reference, err, want)
		}
	}
}

func TestUnpack(t *testing.T) {
	old := syscall.Umask(0o077)
	defer syscall.Umask(old)
	dir := filepath.Join(t.TempDir(), "rootfs")
	stale := filepath.Join(dir, "stale")
	if err := errors.Join(os.Mkdir(dir, 0o700), os.WriteFile(stale, nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	if err := Unpack(dir, source.Time, Roots(), Binary("baton", []byte("program"))); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(stale); !os.IsNotExist(err) {
		t.Errorf("a file of an earlier image is left: %v", err)
	}
	for file, mode := range map[string]os.FileMode{
		"": 0o755 | os.ModeDir, "baton": 0o755, "etc": 0o755 | os.ModeDir, "etc/ssl/certs/ca-certificates.crt": 0o644,
	} {
		info, err := os.Stat(filepath.Join(dir, file))
		if err != nil || info.Mode() != mode || !info.ModTime().Equal(source.Time) {
			t.Errorf("%q: %+v %v, want the mode %v", file, info, err, mode)
		}
	}
	if err := Unpack(t.TempDir(), source.Time); err == nil || !strings.Contains(err.Error(), "rootfs") {
		t.Errorf("a folder that may be anybody's was emptied: %v", err)
	}
}

// module makes a module with one program in a folder of its own, and a git history.
func module(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for file, text := range map[string]string{
		"go.mod":  "module example.test/m\n\ngo 1.26\n",
		"main.go": "package main\n\nvar version string\n\nfunc main() { println(version) }\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func commit(t *testing.T, dir string) {
	t.Helper()
	for _, args := range [][]string{
		{"init", "-q"}, {"add", "."},
		{"-c", "user.name=t", "-c", "user.email=t@example.test", "-c", "commit.gpgsign=false", "commit", "-q", "-m", "first"},
	} {
		cmd := exec.CommandContext(t.Context(), "git", args...)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "GIT_COMMITTER_DATE=1700000000 +0000", "GIT_CONFIG_GLOBAL=/dev/null")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("git %v: %v\n%s", args, err, out)
		}
	}
}

func TestDescribe(t *testing.T) {
	dir := module(t)
	s, err := Describe(t.Context(), dir, none)
	if err != nil || s.Version != "dev" || s.Revision != "" || !s.Time.Equal(time.Unix(0, 0)) {
		t.Errorf("without git: %+v %v", s, err)
	}
	commit(t, dir)
	s, err = Describe(t.Context(), dir, none)
	if err != nil || len(s.Revision) != 40 || !strings.HasPrefix(s.Revision, s.Version) || !s.Time.Equal(source.Time) {
		t.Errorf("with git: %+v %v", s, err)
	}
	if err := os.WriteFile(filepath.Join(dir, "main.go"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	epoch := func(value string) func(string) (string, bool) {
		return func(name string) (string, bool) { return value, name == "SOURCE_DATE_EPOCH" }
	}
	s, err = Describe(t.Context(), dir, epoch("1800000000"))
	if err != nil || !strings.HasSuffix(s.Version, "-dirty") || s.Time.Unix() != 1_800_000_000 {
		t.Errorf("changed, with a time of its own: %+v %v", s, err)
	}
	for _, bad := range []string{"yesterday", "-1"} {
		if _, err = Describe(t.Context(), dir, epoch(bad)); err == nil || !strings.Contains(err.Error(), "SOURCE_DATE_EPOCH") {
			t.Errorf("SOURCE_DATE_EPOCH=%s: %v", bad, err)
		}
	}
}

// Neither the folder nor the time of a build is in the image.
func TestReproducible(t *testing.T) {
	digests := map[string]string{}
	for _, arch := range []string{"amd64", "arm64"} {
		for range 2 {
			program, err := Build(t.Context(), module(t), ".", arch, source)
			if err != nil {
				t.Fatal(err)
			}
			d := digest(t, image(t, arch, program))
			if first, ok := digests[arch]; ok && d != first {
				t.Errorf("%s: two builds have two digests, %s and %s", arch, first, d)
			}
			digests[arch] = d
		}
	}
	if digests["amd64"] == digests["arm64"] {
		t.Error("both architectures have one digest")
	}
}

func TestBuild(t *testing.T) {
	program, err := Build(t.Context(), module(t), ".", runtime.GOARCH, source)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "program")
	if err := os.WriteFile(file, program, 0o700); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.CommandContext(t.Context(), file).CombinedOutput(); err != nil || strings.TrimSpace(string(out)) != "v1.2.3" {
		t.Errorf("%q %v", out, err)
	}
	if _, err := Build(t.Context(), module(t), "./nowhere", "arm64", source); err == nil || !strings.Contains(err.Error(), "./nowhere for arm64") {
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Build(ctx, module(t), ".", "arm64", source); err == nil {
		t.Error("built although it was told to end")
	}
}
