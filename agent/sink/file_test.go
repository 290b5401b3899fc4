package sink

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func write(t *testing.T, path, content string) string {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func tempFile(t *testing.T, content string) string {
	t.Helper()
	return write(t, filepath.Join(t.TempDir(), "file"), content)
}

// mount lays files out as the kubelet does, and gives the function that replaces them as it does.
func mount(t *testing.T) (dir string, publish func(files map[string]string)) {
	t.Helper()
	dir = t.TempDir()
	version := 0
	return dir, func(files map[string]string) {
		t.Helper()
		version++
		data := fmt.Sprintf("..%d", version)
		must(t, os.Mkdir(filepath.Join(dir, data), 0o700))
		for name, content := range files {
			write(t, filepath.Join(dir, data, name), content)
			if version == 1 {
				must(t, os.Symlink(filepath.Join("..data", name), filepath.Join(dir, name)))
			}
		}
		must(t, os.Symlink(data, filepath.Join(dir, "..data_tmp")))
		must(t, os.Rename(filepath.Join(dir, "..data_tmp"), filepath.Join(dir, "..data")))
		if version > 1 {
			must(t, os.RemoveAll(filepath.Join(dir, fmt.Sprintf("..%d", version-1))))
		}
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestFileIsReadAgain(t *testing.T) {
	dir, publish := mount(t)
	plain := filepath.Join(t.TempDir(), "plain")
	for _, c := range []struct {
		name, path string
		change     func(content string)
	}{
		{"mounted Secret", filepath.Join(dir, "token"), func(s string) { publish(map[string]string{"token": s}) }},
		{"written in place", plain, func(s string) { write(t, plain, s) }},
		{"renamed over", plain, func(s string) { must(t, os.Rename(write(t, plain+".new", s), plain)) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c.change("one\n")
				f := newFile("token_file", c.path)
				wantSecret(t, f, "one")
				c.change("two") // the same length without the line's end: no size or time need tell
				time.Sleep(fileMaxAge - 1)
				wantSecret(t, f, "one")
				time.Sleep(time.Nanosecond)
				wantSecret(t, f, "two")
			})
		})
	}
}

func wantSecret(t *testing.T, f *file, want Secret) {
	t.Helper()
	if got, err := f.headerSecret(); err != nil || got != want {
		t.Errorf("got %q, %v; want %q", string(got), err, string(want))
	}
}

func TestFileProblemsNameTheFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "secret")
	for _, c := range []struct{ name, content, want string }{
		{"empty", "", "is empty"},
		{"white", " \n", "nothing but white space"},
		{"lines", "a\nb", "several lines"},
		{"large", strings.Repeat("x", fileMaxSize+1), "larger than"},
	} {
		write(t, path, c.content)
		_, err := newFile("key", path).headerSecret()
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "key: "+path) {
			t.Errorf("%s: error %v", c.name, err)
		}
	}
	for _, p := range []string{dir, filepath.Join(dir, "absent"), os.DevNull} {
		if _, err := newFile("key", p).content(); err == nil || !strings.Contains(err.Error(), p) {
			t.Errorf("%s: error %v", p, err)
		}
	}
}

// A file that was bad and is mended serves again, without a restart.
func TestFileMends(t *testing.T) {
	path := filepath.Join(t.TempDir(), "late")
	synctest.Test(t, func(t *testing.T) {
		f := newFile("key", path)
		if _, err := f.content(); err == nil {
			t.Error("no error for an absent file")
		}
		write(t, path, "here")
		time.Sleep(fileMaxAge)
		wantSecret(t, f, "here")
	})
}

func TestSecretIsNeverPrinted(t *testing.T) {
	s := Secret("hunter2")
	marshalled, err := json.Marshal(map[string]any{"s": s})
	must(t, err)
	for _, printed := range []string{
		fmt.Sprint(s), fmt.Sprintf("%v %+v %#v %s %q", s, s, s, s, s), string(marshalled), s.LogValue().String(),
	} {
		if strings.Contains(printed, "hunter2") {
			t.Errorf("printed: %s", printed)
		}
	}
}

func TestDuration(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"10s": 10 * time.Second, "500ms": 500 * time.Millisecond, "1m30s": 90 * time.Second, "7": 7 * time.Second,
	} {
		var d Duration
		if err := d.UnmarshalText([]byte(text)); err != nil || time.Duration(d) != want {
			t.Errorf("%s: %v, %v", text, d, err)
		}
	}
	for _, text := range []string{"", "s", "ten", "10 s", "99999999999999999999"} {
		var d Duration
		if err := d.UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q: no error, but %v", text, d)
		}
	}
	if text, _ := Duration(10 * time.Second).MarshalText(); string(text) != "10s" {
		t.Errorf("marshalled: %s", text)
	}
}
