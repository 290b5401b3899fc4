package cursor

import (
	"bytes"
	"encoding/json"
	"flag"
	"maps"
	"os"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
)

var update = flag.Bool("update", false, "write the golden files")

// The object as people see it, and as later versions have to read it.
func TestGolden(t *testing.T) {
	f, l := &fakeStore{}, &fakeLock{epoch: 6}
	r := claimed(t, f, l, "baton-x7k2p_6f1c_agent_9d41")
	noon := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	err := r.Save(t.Context(), map[string]Position{
		Key("log", ""): {RV: 184467, Time: noon},
		Key("archive", "team-a"): {
			RV: 184001, Time: noon.Add(-time.Minute), Since: noon.Add(1500 * time.Millisecond),
			Listing: &Listing{Stream: "team-a", RV: 184460, Continue: "eyJ2IjoibWV0YS5rOHMuaW8vdjEifQ"},
		},
		Key("later", ""): {},
	})
	if err != nil {
		t.Fatal(err)
	}
	got, err := json.MarshalIndent(f.object.Data, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	got = append(got, '\n')
	if *update {
		if err := os.WriteFile("testdata/object.json", got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile("testdata/object.json")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("the object is now\n%s\nwant\n%s", got, want)
	}
	if next := claimed(t, f, l, "next"); !maps.EqualFunc(next.Positions(), r.Positions(), Position.equal) {
		t.Errorf("written %v, read %v", r.Positions(), next.Positions())
	}
}

func TestParse(t *testing.T) {
	good := map[string]Position{
		`{"rv":"0"}`:                                                  {},
		` {"rv":"7","listing":null}`:                                  {RV: 7},
		`{"rv":"18446744073709551615"}`:                               {RV: 1<<64 - 1},
		`{"rv":"7","later":"a key of a later version"}`:               {RV: 7},
		`{"rv":"7","listing":{"stream":"","rv":"9","continue":"a"}}`:  {RV: 7, Listing: &Listing{RV: 9, Continue: "a"}},
		`{"rv":"7","listing":{"stream":"n","rv":"7","continue":"a"}}`: {RV: 7, Listing: &Listing{Stream: "n", RV: 7, Continue: "a"}},
	}
	for text, want := range good {
		if got, err := parse(text); err != nil || !got.equal(want) {
			t.Errorf("%s: %v, %v", text, got, err)
		}
	}
	for _, text := range []string{
		``, `7`, `"7"`, `null`, `{}`, `[]`, `{"rv":7}`, `{"rv":null}`, `{"rv":""}`, `{"rv":"-1"}`, `{"rv":"+1"}`, `{"rv":"07"}`,
		`{"rv":"7 "}`, `{"rv":"0x7"}`, `{"rv":"1e3"}`, `{"rv":"18446744073709551616"}`, `{"rv":"7"} {}`, `{"rv":"7"`,
		`{"rv":"7","listing":{}}`, `{"rv":"7","listing":{"stream":"","rv":"9"}}`, `{"rv":"7","listing":"a"}`,
		`{"rv":"7","listing":{"stream":"","rv":"9","continue":""}}`, `{"rv":"7","listing":{"rv":"9","continue":"a"}}`,
		`{"rv":"7","listing":{"stream":"","rv":"x","continue":"a"}}`, `{"rv":"7","listing":{"stream":"","rv":"6","continue":"a"}}`,
		`{"rv":"7","time":"yesterday"}`,
	} {
		if got, err := parse(text); err == nil {
			t.Errorf("%s: taken for %v", text, got)
		}
	}
}

func TestReadNothing(t *testing.T) {
	for _, o := range []*corev1.ConfigMap{nil, {}} {
		if s, err := Read(o); err != nil || s.claimed() {
			t.Errorf("%+v, %v", s, err)
		}
	}
}

func TestKey(t *testing.T) {
	for _, tt := range [][3]string{{"log", "", "log"}, {"log", "kube-system", "log.kube-system"}} {
		if got := Key(tt[0], tt[1]); got != tt[2] {
			t.Errorf("Key(%q, %q) = %q", tt[0], tt[1], got)
		}
		if s, n := SplitKey(tt[2]); s != tt[0] || n != tt[1] {
			t.Errorf("SplitKey(%q) = %q, %q", tt[2], s, n)
		}
	}
}

// The longest cursor there can be stays within its budget.
func TestBudget(t *testing.T) {
	start := strings.Repeat("n", 63) + "/" + strings.Repeat("e", 253) + `\u0000`
	token := `{"v":"meta.k8s.io/v1","rv":-1,"start":"` + start + `"}`
	late := time.Date(9999, 12, 31, 23, 59, 59, 999999999, time.FixedZone("", -14*3600))
	o := &corev1.ConfigMap{Data: map[string]string{}}
	err := writeCursors(o, map[string]Position{"x": {
		RV: 1<<64 - 1, Time: late, Since: late,
		Listing: &Listing{Stream: strings.Repeat("n", 63), RV: 1<<64 - 1, Continue: strings.Repeat("c", (len(token)+2)/3*4)},
	}})
	if n := len(o.Data["cursor.x"]); err != nil || n > keyBudget {
		t.Errorf("%d bytes, budget %d, %v", n, keyBudget, err)
	}
	for _, tt := range []struct {
		sinks, streams int
		want           bool
	}{{0, 0, true}, {1, 0, true}, {MaxKeys, 1, true}, {MaxKeys + 1, 1, false}, {10, 100, true}, {10, 101, false}, {1 << 62, 1 << 62, false}} {
		if Fits(tt.sinks, tt.streams) != tt.want {
			t.Errorf("Fits(%d, %d) = %v", tt.sinks, tt.streams, !tt.want)
		}
	}
}

// FuzzObject claims whatever object there is, and saves over it. No position comes out of nonsense: what is read
// reads the same once it is written.
func FuzzObject(f *testing.F) {
	f.Add("1", "me", "7", "c1", "log", `{"rv":"5"}`)
	f.Add("2", "", "-1", "", "log.ns", `{"rv":"5","listing":{"stream":"","rv":"9","continue":"a"}}`)
	f.Add("", "x\n", "9223372036854775807", "c2", "", `{"rv":null}`)
	f.Add("1\n", "me", "9007199254740992", "c1", "log", `{"RV":"5","time":"0000-01-01T00:00:00Z"}`)
	f.Fuzz(func(t *testing.T, format, owner, epoch, cluster, key, val string) {
		data := map[string]string{"format": format, "owner": owner, "epoch": epoch, "cluster": cluster, "cursor." + key: val}
		store, lock := withObject(data), &fakeLock{epoch: 3}
		before, err := Read(store.object)
		if err != nil {
			if r, err := Claim(t.Context(), options(store, lock, "me")); err == nil {
				t.Fatalf("claimed %v", r)
			}
			return
		}
		if p, ok := before.Positions[key]; ok && !strings.Contains(val, `"`+number10(p.RV)+`"`) {
			t.Fatalf("%d out of %q", p.RV, val)
		}
		r, err := Claim(t.Context(), options(store, lock, "me"))
		if before.Epoch == maxEpoch && err != nil {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		if r.Epoch() <= max(before.Epoch, 3) || r.First() {
			t.Fatalf("epoch %d after %d, first %v", r.Epoch(), before.Epoch, r.First())
		}
		if err := r.Save(t.Context(), map[string]Position{"other": {RV: 1<<64 - 1}}); err != nil {
			t.Fatal(err)
		}
		after, err := Read(store.object)
		if err != nil || after.Owner != "me" {
			t.Fatalf("%+v, %v", after, err)
		}
		if p, ok := after.Positions[key]; ok && key != "other" && !p.equal(before.Positions[key]) {
			t.Fatalf("%v became %v", before.Positions[key], p)
		}
	})
}

func number10(n uint64) string {
	b, _ := json.Marshal(n)
	return string(b)
}
