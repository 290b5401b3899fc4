package config

import "testing"

// A type that there can be only one sink of is refused a second time, with the place and the reason; others are not.
func TestSoleType(t *testing.T) {
	const head = "sinks:\n- name: a\n  type: metrics\n"
	for _, c := range []struct {
		name, yaml string
		want       []string
	}{
		{"twice", head + "- name: b\n  type: stdout\n- type: metrics\n  name: c\n", []string{
			"6: sinks[2].type: is metrics, the type of the sink in line 3; write one sink of this type: both would count in baton_events_total",
		}},
		{"thrice", head + "- name: b\n  type: metrics\n- name: c\n  type: metrics\n", []string{"5: sinks[1].type: is metrics", "7: sinks[2].type: is metrics"}},
		{"too many series", head + "  max_series: 1000000\n", []string{"4: sinks[0].max_series: is 1000000; write 10 to 100000"}},
		{"a typo", head + "  max_serie: 100\n", []string{"4: sinks[0].max_serie: is not a key of a sink of type metrics; did you mean max_series?"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := Parse("k.yaml", []byte(c.yaml), nil)
			expect(t, err, c.want)
		})
	}
	for _, yaml := range []string{head, head + "- name: b\n  type: stdout\n- name: c\n  type: stdout\n"} {
		if _, err := Parse("f", []byte(yaml), nil); err != nil {
			t.Error(err)
		}
	}
}
