package term

import (
	"testing"

	"github.com/eventbaton/baton/agent/cursor"
)

func TestInherit(t *testing.T) {
	at := func(rv uint64) cursor.Position { return cursor.Position{RV: rv} }
	listing := cursor.Position{RV: 3, Listing: &cursor.Listing{Stream: "", RV: 9, Continue: "t"}}
	for name, c := range map[string]struct {
		known  map[string]cursor.Position
		stream string
		want   cursor.Position
		found  bool
	}{
		"nothing known":                        {nil, "", at(0), false},
		"another sink's":                       {map[string]cursor.Position{"other": at(7)}, "", at(0), false},
		"a name that begins alike":             {map[string]cursor.Position{"log2.a": at(7)}, "", at(0), false},
		"its own":                              {map[string]cursor.Position{"log": at(7)}, "", at(7), true},
		"its own, in a list":                   {map[string]cursor.Position{"log": listing}, "", listing, true},
		"its own before its namespaces'":       {map[string]cursor.Position{"log": at(7), "log.a": at(3)}, "", at(7), true},
		"the least of its namespaces'":         {map[string]cursor.Position{"log.a": at(7), "log.b": at(5)}, "", at(5), true},
		"a namespace after the cluster":        {map[string]cursor.Position{"log": at(7)}, "a", at(7), true},
		"a namespace's stale one":              {map[string]cursor.Position{"log": at(7), "log.a": at(3)}, "a", at(7), true},
		"a namespace's further one":            {map[string]cursor.Position{"log": at(7), "log.a": at(9)}, "a", at(9), true},
		"a new namespace":                      {map[string]cursor.Position{"log.b": at(7)}, "a", at(0), false},
		"the cluster's list is not for it":     {map[string]cursor.Position{"log": listing}, "a", at(3), true},
		"from before everything, but known so": {map[string]cursor.Position{"log": at(0)}, "", at(0), true},
	} {
		t.Run(name, func(t *testing.T) {
			got, found := inherit(c.known, "log", c.stream)
			if found != c.found || got != c.want {
				t.Errorf("inherit(%v, log, %q) = %v, %v; want %v, %v", c.known, c.stream, got, found, c.want, c.found)
			}
		})
	}
}
