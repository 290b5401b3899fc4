package cluster

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

func archive(t *testing.T, files ...string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for i := 0; i < len(files); i += 2 {
		if err := w.WriteHeader(&tar.Header{Name: files[i], Size: int64(len(files[i+1])), Mode: 0o644}); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, files[i+1]); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

const saved = `[{"Config":"sha256:aa","RepoTags":["eventbaton/baton:0.1.0","example.test:5000/b:1"],"Layers":["x"]}]`

func TestImages(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.tar")
	if err := os.WriteFile(path, archive(t, "layer", "x", "manifest.json", saved), 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := Images(path)
	want := []Image{{ID: "sha256:aa", Tags: []string{"eventbaton/baton:0.1.0", "example.test:5000/b:1"}}}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, want %+v, error %v", got, want, err)
	}
}

func TestImagesOfNoArchive(t *testing.T) {
	dir := t.TempDir()
	for name, c := range map[string]struct {
		data []byte
		want string
	}{
		"other.tar": {archive(t, "index.json", "{}"), "docker save"},
		"bad.tar":   {archive(t, "manifest.json", "{"), "manifest.json"},
		"text.tar":  {bytes.Repeat([]byte("no archive"), 100), "text.tar"},
		"cut.tar":   {archive(t, "manifest.json", saved)[:600], "cut.tar"},
		"absent":    {nil, "absent"},
	} {
		path := filepath.Join(dir, name)
		if c.data != nil {
			if err := os.WriteFile(path, c.data, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := Images(path); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want %q", name, err, c.want)
		}
	}
}

func TestDigest(t *testing.T) {
	for _, file := range []string{"sha256:aa", "aa.json", "blobs/sha256/aa"} {
		if got := digest(file); got != "sha256:aa" {
			t.Errorf("of %s: %s", file, got)
		}
	}
}

// The node has one tag of two with the image asked for: `docker` stands for the command that asks it.
func TestHas(t *testing.T) {
	programs(t, map[string]string{"docker": `
for tag; do :; done
[ "$1 $2" = "exec node" ] || exit 9
case $tag in
*/library/good:*) echo '{"config":{"digest":"sha256:aa"}}' ;;
*/library/odd:*) echo unreadable ;;
*) exit 1 ;;
esac`})
	for name, c := range map[string]struct {
		images []Image
		want   bool
	}{
		"same":          {[]Image{{ID: "sha256:aa", Tags: []string{"good"}}}, true},
		"another":       {[]Image{{ID: "sha256:bb", Tags: []string{"good"}}}, false},
		"absent":        {[]Image{{ID: "sha256:aa", Tags: []string{"absent"}}}, false},
		"one of two":    {[]Image{{ID: "sha256:aa", Tags: []string{"good", "absent"}}}, false},
		"unreadable":    {[]Image{{ID: "sha256:aa", Tags: []string{"odd"}}}, false},
		"no tag at all": {[]Image{{ID: "sha256:aa", Tags: []string{"Not a tag"}}}, false},
		"without a tag": {[]Image{{ID: "sha256:aa"}}, false},
	} {
		if got := example().has(t.Context(), "node", c.images); got != c.want {
			t.Errorf("%s: has %v", name, got)
		}
	}
}

func TestUntil(t *testing.T) {
	why := errors.New("enough")
	ctx, cancel := context.WithCancelCause(t.Context())
	r := until{ctx, strings.NewReader("abc")}
	if n, err := r.Read(make([]byte, 1)); n != 1 || err != nil {
		t.Errorf("%d bytes, error %v", n, err)
	}
	cancel(why)
	if _, err := r.Read(make([]byte, 1)); !errors.Is(err, why) {
		t.Errorf("error %v", err)
	}
}
