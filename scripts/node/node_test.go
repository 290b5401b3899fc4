//go:build linux

// Package node has the tests of the scripts of this folder, which need neither root nor an engine.
package node_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"sigs.k8s.io/kind/pkg/apis/config/defaults"
)

// bash runs a script with what the scripts of this folder share, a cache of its own and a folder of pretended programs
// before PATH.
func bash(t *testing.T, programs, cache, script string) (stdout, stderr string, err error) {
	t.Helper()
	command := exec.CommandContext(t.Context(), "bash", "-c", script)
	command.Env = append(os.Environ(), "BATON_CACHE="+cache, "PATH="+programs+":"+os.Getenv("PATH"), "DOCKER_HOST=")
	var out, said strings.Builder
	command.Stdout, command.Stderr = &out, &said
	err = command.Run()
	return strings.TrimSpace(out.String()), said.String(), err
}

// program writes a pretended one.
func program(t *testing.T, folder, name, script string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(folder, name), []byte("#!/bin/bash\n"+script+"\n"), 0o700); err != nil {
		t.Fatal(err)
	}
}

func names(t *testing.T, folder string) string {
	t.Helper()
	entries, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	for _, entry := range entries {
		if !strings.HasPrefix(entry.Name(), ".") {
			list = append(list, entry.Name())
		}
	}
	return strings.Join(list, " ")
}

func TestOnce(t *testing.T) {
	for _, c := range []struct{ name, left, make, want string }{
		{"it appears", "", `mkdir "$1"; echo >"$1/x"`, "part"},
		{"a failure leaves nothing", "", `mkdir "$1" "$1.d"; false; touch "$1"`, ""},
		{"nor does an end in the middle", "", `mkdir "$1"; exit 3`, ""},
		{"what a killed one left goes", "part.tmp.1 part.tmp.1.d", `touch "$1"`, "part"},
		{"another part's stays", "other.tmp.1", `touch "$1"`, "other.tmp.1 part"},
	} {
		t.Run(c.name, func(t *testing.T) {
			cache := t.TempDir()
			folder := filepath.Join(cache, "node")
			script := `. ./lib.sh; mkdir -p "$cache"; for f in ` + c.left + `; do mkdir "$cache/$f"; done
				make() { ` + c.make + `; }; once "$cache/part" make`
			_, said, err := bash(t, "", cache, script)
			if made := strings.Contains(c.want, "part"); made != (err == nil) {
				t.Errorf("%v: %s", err, said)
			}
			if got := names(t, folder); got != c.want {
				t.Errorf("there is %q, want %q", got, c.want)
			}
		})
	}
}

func TestOnceAtATime(t *testing.T) {
	cache := t.TempDir()
	script := `. ./lib.sh; make() { echo made >>"$cache/count"; for i in 1 2 3; do ls "$cache" >/dev/null; done; touch "$1"; }; once "$cache/part" make`
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			if _, said, err := bash(t, "", cache, script); err != nil {
				t.Errorf("%v: %s", err, said)
			}
		})
	}
	all.Wait()
	count, err := os.ReadFile(filepath.Join(cache, "node", "count"))
	if err != nil || string(count) != "made\n" {
		t.Errorf("%q, %v", count, err)
	}
}

// TestDigest: the image has another name as soon as anything is another that goes into it.
func TestDigest(t *testing.T) {
	folder := t.TempDir()
	digest := func(change string) string {
		out, said, err := bash(t, "", folder, `. ./lib.sh; node=`+folder+`; cd "$node"; mkdir -p f/g; `+change+`; digest v1 amd64 -- a f`)
		if err != nil {
			t.Fatalf("%s: %v: %s", change, err, said)
		}
		return out
	}
	first := digest(`echo 1 >a; echo 2 >f/g/b`)
	if len(first) != 12 {
		t.Fatalf("%q", first)
	}
	if got := digest(`echo 3 >f/b_test.go; echo 4 >elsewhere; touch a`); got != first {
		t.Errorf("a test is part of the image")
	}
	seen := map[string]string{first: "the first"}
	for _, change := range []string{`echo 9 >f/g/b`, `mv f/g/b f/g/c`, `echo 5 >f/new`, `echo 6 >a`} {
		got := digest(change)
		if before, found := seen[got]; found {
			t.Errorf("after %s the same as after %s", change, before)
		}
		seen[got] = change
	}
}

func TestVersions(t *testing.T) {
	out, said, err := bash(t, "", t.TempDir(), `. ./lib.sh
		for m in "$root sigs.k8s.io/kind" "$root/scripts/k8s k8s.io/kubernetes" "$root/scripts/k8s go.etcd.io/etcd/server/v3" \
			"$node/containerd github.com/containerd/containerd/v2"; do module $m; done`)
	versions := strings.Fields(out)
	if err != nil || len(versions) != 4 {
		t.Fatalf("%q, %v: %s", out, err, said)
	}
	for _, v := range versions {
		if !strings.HasPrefix(v, "v") {
			t.Errorf("%q is no version", v)
		}
	}
}

func TestImage(t *testing.T) {
	local := `^eventbaton/node:v1\.[0-9]+\.[0-9]+-[0-9a-f]{12}$`
	for _, c := range []struct{ name, env, docker, want, fails, said string }{
		{name: "kind's own is there", docker: `exit 0`, want: defaults.Image},
		{name: "kind's own is pulled", docker: `[ $1 != image ]`, want: defaults.Image},
		{name: "no registry", docker: `[ $1 != pull ] || { echo no such host; exit 1; }; case $* in *kindest*) exit 1; esac`,
			want: local, said: "no such host"},
		{name: "a registry that does not answer", env: "BATON_PATIENCE=1",
			docker: `[ $1 != pull ] || exec sleep 60; case $* in *kindest*) exit 1; esac`, want: local, said: "no answer from the registry in 1 s"},
		{name: "the local one is asked for", env: "BATON_NODE_IMAGE=local", docker: `[ $1 != pull ]`, want: local},
		{name: "our own engine", env: "DOCKER_HOST=unix:///run/baton-engine/docker.sock", docker: `[ $1 != pull ]`, want: local},
		{name: "one is asked for", env: "BATON_NODE_IMAGE=mine:1", docker: `[ $1 != image ]`, want: "mine:1"},
		{name: "one is asked for that is nowhere", env: "BATON_NODE_IMAGE=mine:1", docker: `[ $1 = version ]`, fails: "BATON_NODE_IMAGE=mine:1 is not in the engine"},
		{name: "no engine", docker: `exit 1`, fails: "does not answer"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			programs := t.TempDir()
			program(t, programs, "docker", c.docker)
			out, said, err := bash(t, programs, t.TempDir(), c.env+` ./image`)
			if c.fails != "" {
				if err == nil || !strings.Contains(said, c.fails) {
					t.Errorf("%v: %s", err, said)
				}
				return
			}
			if _, _, unlike := bash(t, "", "", `[[ "`+out+`" = "`+c.want+`" || "`+out+`" =~ `+c.want+` ]]`); unlike != nil || err != nil {
				t.Errorf("%q, want %q; %v: %s", out, c.want, err, said)
			}
			if !strings.Contains(said, c.said) {
				t.Errorf("said %q, want %q", said, c.said)
			}
		})
	}
}

// TestNetwork: what a node with an address makes of it.
func TestNetwork(t *testing.T) {
	for _, c := range []struct{ name, route, address, subnet, absent, present string }{
		{"a worker", "default via 10.199.0.1 dev eth0", "10.199.0.3/24", "10.244.3.0/24",
			"route replace 10.244.3.0/24 ", "route replace 10.244.254.0/24 via 10.199.0.254 dev eth0 onlink"},
		{"a wider network, another device", "default via 172.18.0.1 dev eth1 proto static", "172.18.7.20/16", "10.244.20.0/24",
			"route replace 10.244.20.0/24 ", "route replace 10.244.3.0/24 via 172.18.7.3 dev eth1 onlink"},
	} {
		t.Run(c.name, func(t *testing.T) {
			programs, folder := t.TempDir(), t.TempDir()
			program(t, programs, "ip", `case $* in
				"-4 route show default") echo "`+c.route+` " ;;
				*"addr show dev `+strings.Fields(c.route)[4]+` "*) echo "2: x inet `+c.address+` brd x scope global x" ;;
				"-batch -") cat >`+folder+`/routes ;;
				*) exit 1 ;; esac`)
			program(t, programs, "nft", `cat >`+folder+`/rules`)
			if _, said, err := bash(t, programs, "", `CNI_FOLDER=`+folder+`/net.d bash files/usr/local/bin/baton-cni`); err != nil {
				t.Fatalf("%v: %s", err, said)
			}
			routes := read(t, filepath.Join(folder, "routes"))
			if strings.Count(routes, "\n") != 253 || strings.Contains(routes, c.absent) || !strings.Contains(routes, c.present+"\n") {
				t.Errorf("routes:\n%s", routes)
			}
			var conflist struct {
				Plugins []struct {
					Type string
					IPAM struct {
						Ranges [][]struct{ Subnet string }
					}
				}
			}
			if err := json.Unmarshal([]byte(read(t, filepath.Join(folder, "net.d", "10-baton.conflist"))), &conflist); err != nil {
				t.Fatal(err)
			}
			if len(conflist.Plugins) != 2 || conflist.Plugins[0].IPAM.Ranges[0][0].Subnet != c.subnet {
				t.Errorf("%+v", conflist)
			}
			if rules := read(t, filepath.Join(folder, "rules")); !strings.Contains(rules, "masquerade") {
				t.Errorf("rules:\n%s", rules)
			}
		})
	}
}

func read(t *testing.T, file string) string {
	t.Helper()
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}
