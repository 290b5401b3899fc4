package enrich

import (
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/eventbaton/baton/agent/record"
)

func TestMatches(t *testing.T) {
	for _, c := range []struct {
		pattern, name string
		want          bool
	}{
		{"team", "team", true},
		{"team", "teams", false},
		{"*", "app.kubernetes.io/name", true},
		{"app.kubernetes.io/*", "app.kubernetes.io/name", true},
		{"app.kubernetes.io/*", "app.kubernetes.io/", true},
		{"app.kubernetes.io/*", "app.kubernetes.io", false},
		{"*/name", "app.kubernetes.io/name", true},
		{"*/name", "name", false},
		{"app*name", "app.kubernetes.io/name", true},
		{"ab*ba", "aba", false},
		{"*a*b*", "xaxbx", true},
		{"*a*b*", "xbxax", false},
		{"a**b", "ab", true},
		{"*", lastApplied, false},
		{"kubectl.kubernetes.io/*", lastApplied, false},
		{lastApplied, lastApplied, true},
	} {
		if got := matches(c.pattern, c.name); got != c.want {
			t.Errorf("matches(%q, %q) = %v", c.pattern, c.name, got)
		}
	}
}

func TestRoom(t *testing.T) {
	all := map[string]string{"big": strings.Repeat("ü", 100_000)}
	for i := range 100 {
		all[fmt.Sprintf("n%02d", i)] = "v"
	}
	r := newRoom()
	labels := r.take(all, []string{"*"})
	if len(labels) != maxCount || !r.full || len(labels["big"]) > maxValue || !strings.HasSuffix(labels["big"], "ü...") {
		t.Errorf("%d labels, full %v, big has %d bytes", len(labels), r.full, len(labels["big"]))
	}
	if more := r.take(all, []string{"*"}); more != nil {
		t.Errorf("more than there is room for: %v", more)
	}
	r = newRoom()
	if none := r.take(all, nil); none != nil || r.full {
		t.Errorf("none wanted: %v", none)
	}
	large := map[string]string{}
	for i := range 10 {
		large[fmt.Sprint("a", i)] = strings.Repeat("x", maxValue)
	}
	r = newRoom()
	if got := r.take(large, []string{"*"}); len(got) != 3 || got["a2"] == "" || !r.full {
		t.Errorf("%d values of 1 KiB", len(got))
	}
}

func FuzzCut(f *testing.F) {
	for _, s := range []string{"", "a", strings.Repeat("a", maxValue), strings.Repeat("a", maxValue+1), strings.Repeat("€", 400), strings.Repeat("\xf0\x9f\x98\x80", 300), "\xff"} {
		f.Add(s, uint16(0))
	}
	f.Fuzz(func(t *testing.T, s string, more uint16) {
		s += strings.Repeat("é", int(more)%2000)
		got := cut(s)
		switch {
		case len(got) > maxValue:
			t.Errorf("%d bytes", len(got))
		case len(s) <= maxValue && got != s:
			t.Errorf("%q became %q", s, got)
		case len(s) > maxValue && (!strings.HasSuffix(got, mark) || !strings.HasPrefix(s, strings.TrimSuffix(got, mark))):
			t.Errorf("%q became %q", s, got)
		case utf8.ValidString(s) && (!utf8.ValidString(got) || len(s) > maxValue && len(got) < maxValue-utf8.UTFMax):
			t.Errorf("%q became %q", s, got)
		}
	})
}

func FuzzMatches(f *testing.F) {
	f.Add("a*b", "axb")
	f.Add("*", "")
	f.Fuzz(func(t *testing.T, pattern, name string) {
		if strings.Contains(name, "*") || name == lastApplied {
			t.Skip()
		}
		if matches(pattern, name) != slowly(pattern, name) {
			t.Errorf("matches(%q, %q) = %v", pattern, name, !slowly(pattern, name))
		}
	})
}

// slowly is what * means, by trying.
func slowly(pattern, name string) bool {
	if len(pattern) > 12 || len(name) > 12 {
		return matches(pattern, name)
	}
	switch {
	case pattern == "":
		return name == ""
	case pattern[0] == '*':
		return slowly(pattern[1:], name) || name != "" && slowly(pattern, name[1:])
	default:
		return name != "" && pattern[0] == name[0] && slowly(pattern[1:], name[1:])
	}
}

// Whatever the API server has, the cache holds no more than its bound, and keeps what was used last.
func TestCacheIsBounded(t *testing.T) {
	c, now := newCache(), time.Now()
	kind := &Known()[0]
	room := newRoom()
	labels := room.take(map[string]string{"a": strings.Repeat("x", 900), "b": strings.Repeat("y", 900)}, []string{"*"})
	for i := range 20_000 {
		x := &entry{key: key{kind, "shop", fmt.Sprint("pod-", i), "uid"}, labels: labels, owner: &record.Owner{Kind: "ReplicaSet"}}
		x.keep(now, freshness)
		c.put(x)
		if c.bytes > cacheBytes || len(c.entries) != c.order.Len() {
			t.Fatalf("%d bytes in %d entries", c.bytes, len(c.entries))
		}
		if c.get(key{kind, "shop", "pod-0", "uid"}, now) == nil {
			t.Fatalf("the one that is used all the time is gone after %d", i)
		}
	}
	if n := len(c.entries); n < cacheBytes/4000 || c.get(key{kind, "shop", "pod-1", "uid"}, now) != nil {
		t.Errorf("%d entries", n)
	}
	before := c.bytes
	c.put(&entry{key: key{kind, "shop", "pod-0", "uid"}, expires: now})
	if c.bytes >= before || c.get(key{kind, "shop", "pod-0", "uid"}, now.Add(1)) != nil {
		t.Error("an entry that is replaced and expired is still there")
	}
	for c.order.Len() > 0 {
		c.remove(c.order.Back())
	}
	if c.bytes != 0 || len(c.entries) != 0 {
		t.Errorf("%d bytes in an empty cache", c.bytes)
	}
}

// BenchmarkCached is what a record costs whose object, owners and node are known.
func BenchmarkCached(b *testing.B) {
	e := New(everything(shop()))
	defer e.Close()
	records := make([]*record.Record, 500)
	for i := range records {
		records[i] = pod("web-1", "p1")
	}
	enriched(e, records...)
	b.ReportAllocs()
	b.ResetTimer()
	for range b.N/len(records) + 1 {
		enriched(e, records...)
	}
	if records[0].Enrichment.Incomplete != "" {
		b.Fatal(records[0].Enrichment)
	}
}
