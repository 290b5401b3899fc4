package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

const (
	all             = capabilities(1<<41 - 1)
	withoutResource = all &^ (1 << 24)
)

func TestReduce(t *testing.T) {
	for _, c := range []struct {
		name, in, want string
		held           capabilities
	}{
		{
			name: "every set loses what the host lacks",
			held: withoutResource,
			in: `{"capabilities":{"bounding":["CAP_CHOWN","CAP_SYS_RESOURCE","CAP_SYS_ADMIN"],"effective":["CAP_SYS_RESOURCE"],
				"permitted":["CAP_SYS_RESOURCE","CAP_BPF"],"inheritable":["CAP_CHOWN"],"ambient":["CAP_SYS_RESOURCE"]}}`,
			want: `{"capabilities":{"bounding":["CAP_CHOWN","CAP_SYS_ADMIN"],"effective":[],
				"permitted":["CAP_BPF"],"inheritable":["CAP_CHOWN"],"ambient":[]}}`,
		},
		{
			name: "a lower score is dropped with the capability that it needs",
			held: withoutResource,
			in:   `{"oomScoreAdj":-998,"args":["x"]}`,
			want: `{"args":["x"]}`,
		},
		{
			name: "a higher score stays",
			held: withoutResource,
			in:   `{"oomScoreAdj":998,"args":["x"]}`,
			want: `{"oomScoreAdj":998,"args":["x"]}`,
		},
		{
			name: "a lower score stays where the host can give it",
			held: all,
			in:   `{"oomScoreAdj":-998}`,
			want: `{"oomScoreAdj":-998}`,
		},
		{
			name: "another capability is another's",
			held: all &^ (1 << 21),
			in:   `{"oomScoreAdj":-1,"capabilities":{"bounding":["CAP_SYS_ADMIN","CAP_SYS_RESOURCE"]}}`,
			want: `{"oomScoreAdj":-1,"capabilities":{"bounding":["CAP_SYS_RESOURCE"]}}`,
		},
		{
			name: "one that is newer than this list is runc's to judge",
			held: withoutResource,
			in:   `{"capabilities":{"bounding":["CAP_OF_TOMORROW"]}}`,
			want: `{"capabilities":{"bounding":["CAP_OF_TOMORROW"]}}`,
		},
		{name: "a process without capabilities", held: withoutResource, in: `{"args":["x"]}`, want: `{"args":["x"]}`},
		{name: "numbers stay exact", held: withoutResource, in: `{"oomScoreAdj":-1,"n":9223372036854775807}`, want: `{"n":9223372036854775807}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, keys := range [][]string{nil, {"process"}} {
				in, want := c.in, c.want
				if keys != nil {
					in, want = `{"linux":{"seccomp":{}},"process":`+in+`}`, `{"linux":{"seccomp":{}},"process":`+want+`}`
				}
				got, err := reduce([]byte(in), keys, c.held)
				if err != nil {
					t.Fatal(err)
				}
				equalJSON(t, string(got), want)
			}
		})
	}
}

func equalJSON(t *testing.T, got, want string) {
	t.Helper()
	var values [2]any
	for i, text := range []string{got, want} {
		decoder := json.NewDecoder(strings.NewReader(text))
		decoder.UseNumber()
		if err := decoder.Decode(&values[i]); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
	}
	if !reflect.DeepEqual(values[0], values[1]) {
		t.Errorf("got %s\nwant %s", got, want)
	}
}

func TestUnchangedStaysByteForByte(t *testing.T) {
	in := []byte("{ \"process\" : {\"capabilities\":{\"bounding\":[\"CAP_CHOWN\"]}} }\n")
	got, err := reduce(in, []string{"process"}, withoutResource)
	if err != nil || !bytes.Equal(got, in) {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestDocument(t *testing.T) {
	for _, c := range []struct {
		line, path string
		keys       []string
	}{
		{"--root /r --log /l --log-format json create --bundle /b --pid-file /p id", "/b/config.json", []string{"process"}},
		{"--root=/r --debug --systemd-cgroup create -b /b id", "/b/config.json", []string{"process"}},
		{"run --bundle=/b id", "/b/config.json", []string{"process"}},
		{"run id", "config.json", []string{"process"}},
		{"--log create exec --process /p/x.json id", "/p/x.json", nil},
		{"exec -d -p /p/x.json id", "/p/x.json", nil},
		{"exec id ls -l", "", nil},
		{"--root /r delete --force id", "", nil},
		{"--version", "", nil},
		{"features", "", nil},
		{"", "", nil},
	} {
		path, keys := document(strings.Fields(c.line))
		if path != c.path || path != "" && !reflect.DeepEqual(keys, c.keys) {
			t.Errorf("%q: %q %q, want %q %q", c.line, path, keys, c.path, c.keys)
		}
	}
}

func TestBounding(t *testing.T) {
	file := filepath.Join(t.TempDir(), "status")
	for _, c := range []struct {
		content string
		held    capabilities
		fails   bool
	}{
		{"Name:\tx\nCapEff:\t0\nCapBnd:\t000001fffeffffff\nSeccomp:\t0\n", withoutResource, false},
		{"CapBnd:\t000001ffffffffff\n", all, false},
		{"Name:\tx\n", 0, true},
		{"CapBnd:\tmany\n", 0, true},
	} {
		if err := os.WriteFile(file, []byte(c.content), 0o600); err != nil {
			t.Fatal(err)
		}
		held, err := bounding(file)
		if (err != nil) != c.fails || err == nil && held != c.held {
			t.Errorf("%q: %x, %v, want %x, failure %v", c.content, held, err, c.held, c.fails)
		}
	}
}

func TestNumbersOfCapabilities(t *testing.T) {
	for name, number := range map[string]int{
		"CAP_CHOWN": 0, "CAP_NET_ADMIN": 12, "CAP_SYS_ADMIN": 21, "CAP_SYS_RESOURCE": 24, "CAP_SYSLOG": 34, "CAP_CHECKPOINT_RESTORE": 40,
	} {
		if all.has(name) != true || (all &^ (1 << number)).has(name) {
			t.Errorf("%s is not number %d", name, number)
		}
	}
}

// TestRewrite goes by a file, as runc's callers do, and keeps its mode.
func TestRewrite(t *testing.T) {
	bundle := t.TempDir()
	file := filepath.Join(bundle, "config.json")
	if err := os.WriteFile(file, []byte(`{"process":{"oomScoreAdj":-5,"capabilities":{"bounding":["CAP_SYS_RESOURCE"]}}}`), 0o640); err != nil {
		t.Fatal(err)
	}
	path, keys := document([]string{"create", "--bundle", bundle, "id"})
	if err := rewrite(path, keys, withoutResource); err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	equalJSON(t, string(content), `{"process":{"capabilities":{"bounding":[]}}}`)
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o640 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
}

func TestRewriteNamesTheFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "config.json")
	if err := os.WriteFile(file, []byte(`{`), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{file, file + ".missing"} {
		if err := rewrite(path, nil, all); err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("%v does not name %s", err, path)
		}
	}
}
