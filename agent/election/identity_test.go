package election

import "testing"

func TestIdentityRoundTrip(t *testing.T) {
	for _, i := range []Identity{
		identity("a"),
		{Pod: "host", Instance: "x"},
		NewIdentity("baton-x7k2p", "5c3f", "agent"),
		NewIdentity("a_host_name", "", ""),
	} {
		got, ok := ParseIdentity(i.String())
		if !ok || got != i {
			t.Errorf("%q: %+v, %v", i.String(), got, ok)
		}
	}
	if first, second := NewIdentity("a", "b", "c"), NewIdentity("a", "b", "c"); first == second {
		t.Error("two processes share an identity")
	}
}

func TestForeignHolders(t *testing.T) {
	for _, s := range []string{"", "somebody", "host_5c3f", "a_b_c", "_b_c_d", "a_b_c_", "a_b_c_d_e"} {
		if i, ok := ParseIdentity(s); ok {
			t.Errorf("%q is taken for %+v", s, i)
		}
	}
}

func TestFollowsOnlyInTheSameContainer(t *testing.T) {
	me := Identity{Pod: "p", UID: "u", Container: "c", Instance: "2"}
	for name, test := range map[string]struct {
		me, old Identity
		want    bool
	}{
		"earlier":         {me, Identity{"p", "u", "c", "1"}, true},
		"itself":          {me, me, false},
		"other pod":       {me, Identity{"q", "u", "c", "1"}, false},
		"other uid":       {me, Identity{"p", "v", "c", "1"}, false},
		"other container": {me, Identity{"p", "u", "d", "1"}, false},
		"no uid":          {Identity{"p", "", "c", "2"}, Identity{"p", "", "c", "1"}, false},
		"no container":    {Identity{"p", "u", "", "2"}, Identity{"p", "u", "", "1"}, false},
	} {
		if got := test.me.follows(test.old); got != test.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func FuzzParseIdentity(f *testing.F) {
	for _, s := range []string{"a_b_c_d", "a___d", "", "_", "a_b_c_d_e", "a_\x00_c_\xff", "somebody"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		i, ok := ParseIdentity(s)
		if ok && i.String() != s {
			t.Errorf("%q became %q", s, i.String())
		}
		if ok && i.follows(i) {
			t.Error("follows itself")
		}
	})
}
