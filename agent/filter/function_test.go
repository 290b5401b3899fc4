package filter

import (
	"errors"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/eventbaton/baton/agent/record"
)

func compiled(t testing.TB, expr string) *Filter {
	t.Helper()
	f, err := Compile(expr)
	if err != nil {
		t.Fatalf("Compile(%s): %v", expr, err)
	}
	return f
}

func TestFunctions(t *testing.T) {
	for expr, want := range map[string]bool{
		`event.isWarning()`:                             true,
		`!event.isWarning()`:                            false,
		`event.hasReason("FailedMount")`:                true,
		`event.hasReason("failedmount")`:                false,
		`event.hasReason("Failed")`:                     false,
		`event.hasReason("Failed*")`:                    true,
		`event.hasReason("*Mount")`:                     true,
		`event.hasReason("*edMo*")`:                     true,
		`event.hasReason("F*M*t")`:                      true,
		`event.hasReason("F*t*M")`:                      false,
		`event.hasReason("F.*t")`:                       false,
		`event.hasReason("FailedMount*")`:               true,
		`event.hasReason("FailedMount**")`:              true,
		`event.hasReason("*")`:                          true,
		`event.hasReason("BackOff", "FailedMount")`:     true,
		`event.hasReason("BackOff", "Pull*", "*Mount")`: true,
		`event.hasReason("BackOff", "Pull*")`:           false,
		`event.hasReason(["BackOff", "FailedMount"])`:   true,
		`event.hasReason(["Back*"])`:                    false,
		`event.ofKind("Pod")`:                           true,
		`event.ofKind("Node", "Pod")`:                   true,
		`event.ofKind("Node")`:                          false,
		`event.ofKind("Po*")`:                           true,
		`event.inNamespace("shop", "team-*")`:           true,
		`event.inNamespace("sho")`:                      false,
		`event.inNamespace("*op")`:                      true,
		`event.fromComponent("kubelet")`:                true,
		`event.fromComponent("*-controller")`:           false,
		`event.isWarning() && !event.inNamespace("kube-*") && event.ofKind("Pod")`: true,
		`event.tags.exists(tag, tag == "env:prod" && event.isWarning())`:           true,
	} {
		if got, err := compiled(t, expr).Match(example()); got != want || err != nil {
			t.Errorf("%s: %v, %v, want %v", expr, got, err, want)
		}
	}
}

// What the reference says that a function means is what it does, for records of all sorts.
func TestFunctionsMeanWhatTheySay(t *testing.T) {
	for _, f := range Functions {
		short, long := compiled(t, f.Usage), compiled(t, f.Means)
		seen := map[bool]bool{}
		for _, text := range []string{
			"", "Warning", "Normal", "BackOff", "Failed", "FailedMount", "Pod", "Node", "Job", "shop", "team-", "team-a", "kubelet",
			"job-controller", "-controller", "a-controller-b", "NotFailed", "my-team-a", "x",
		} {
			r := &record.Record{
				Type: text, Reason: text, Namespace: text, Object: record.Object{Kind: text}, Source: record.Source{Component: text},
			}
			got, err := short.Match(r)
			want, wantErr := long.Match(r)
			if got != want || err != nil || wantErr != nil {
				t.Errorf("%s of %q: %v, %v, want %v, %v", f.Usage, text, got, err, want, wantErr)
			}
			seen[got] = true
		}
		if len(seen) != 2 {
			t.Errorf("%s is always the same: %v", f.Usage, seen)
		}
	}
}

func TestFunctionErrors(t *testing.T) {
	for _, c := range []struct {
		expr   string
		column int
		says   string
	}{
		{`event.isWarning`, 6, `isWarning is called: write event.isWarning()`},
		{`event.isWarning("x")`, 17, `isWarning takes nothing`},
		{`isWarning()`, 10, `isWarning belongs to event: write event.isWarning()`},
		{`event.object.ofKind("Pod")`, 6, `ofKind belongs to event: write event.ofKind("Pod", "Node")`},
		{`[event][0].isWarning()`, 8, `isWarning belongs to event`},
		{`event.isWarnin()`, 15, `there is no function isWarnin; besides those of CEL there are event.isWarning(), event.hasReason(`},
		{`event.ofKind()`, 1, `ofKind takes 1 to 100 names`},
		{`event.ofKind([])`, 1, `ofKind takes 1 to 100 names`},
		{`event.ofKind(` + strings.TrimSuffix(strings.Repeat(`"Pod",`, 101), ",") + `)`, 1, `ofKind takes 1 to 100 names`},
		{`event.ofKind(Pod)`, 14, `ofKind takes names in quotes: write event.ofKind("Pod", "Node"), or compare event.object.kind`},
		{`event.ofKind("Pod", 5)`, 21, `ofKind takes names in quotes`},
		{`event.ofKind(event.tags)`, 19, `ofKind takes names in quotes`},
		{`event.ofKind("pod")`, 14, `"pod" can't be meant: a kind is written as Pod`},
		{`event.ofKind("apps/Deployment")`, 14, `without its group`},
		{`true && event.inNamespace("shop", "Team-*")`, 35, `"Team-*" can't be meant: a namespace has lower-case letters`},
		{`event.inNamespace("team-")`, 19, `"team-" can't be meant`},
		{`event.hasReason("a*a*a*a*a*a*a*a*a*")`, 17, `has more than 8 *`},
		{`event.hasReason("")`, 17, `hasReason has an empty name`},
	} {
		_, err := Compile(c.expr)
		e, ok := errors.AsType[*Error](err)
		if !ok || e.Line != 1 || e.Column != c.column || !strings.Contains(e.Text, c.says) {
			t.Errorf("Compile(%.50s): %v, want %d: %s", c.expr, err, c.column, c.says)
		}
	}
}

// The longest list of the most patterns is compiled and fits into what an evaluation may cost.
func TestFunctionsHaveRoom(t *testing.T) {
	names := make([]string, maxNames)
	for i := range names {
		names[i] = strconv.Quote(strings.Repeat("a*", maxStars) + strconv.Itoa(i))
	}
	f := compiled(t, "event.hasReason("+strings.Join(names, ",")+")")
	r := example()
	r.Reason = strings.Repeat("a", 128) // as long as events.k8s.io/v1 takes
	if got, err := f.Match(r); got || err != nil {
		t.Errorf("Match = %v, %v", got, err)
	}
	r.Reason += "99"
	if got, err := f.Match(r); !got || err != nil {
		t.Errorf("Match = %v, %v", got, err)
	}
}

// FuzzPatterns holds a function's patterns against the plain meaning of *.
func FuzzPatterns(f *testing.F) {
	for _, seed := range [][2]string{{"Failed*", "FailedMount"}, {"*", ""}, {"a*b*c", "a.b\nc"}, {"**", "x"}, {"*a*", "bab"}, {"a.*", "axx"}, {"a*a", "a"}} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, pattern, reason string) {
		if !utf8.ValidString(pattern) || !utf8.ValidString(reason) || len(reason) > 100 {
			t.Skip() // a record's text is valid
		}
		expr := "event.hasReason(" + strconv.Quote(pattern) + ")"
		compiled, err := Compile(expr)
		if err != nil {
			t.Skip() // such as a text that Go writes as CEL doesn't
		}
		got, err := compiled.Match(&record.Record{Reason: reason})
		if want := like(pattern, reason); err != nil || got != want {
			t.Errorf("%s of %q: %v, %v", expr, reason, got, err)
		}
	})
}

// like tries every text for every star.
func like(pattern, s string) bool {
	before, after, star := strings.Cut(pattern, "*")
	s, found := strings.CutPrefix(s, before)
	if !found || !star {
		return found && s == ""
	}
	for i := range len(s) + 1 {
		if like(after, s[i:]) {
			return true
		}
	}
	return false
}
