package main

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/eventbaton/baton/agent/sink"
	"github.com/eventbaton/baton/e2e/receiver"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestChoose(t *testing.T) {
	for only, want := range map[string]int{"": len(scenarios()), "steady": 1, "^f": 2, "nothing": 0, "(": 0} {
		got, err := choose(only)
		if len(got) != want || (err == nil) != (want > 0) {
			t.Errorf("%q: %d scenarios, %v", only, len(got), err)
		}
	}
}

// A scenario that fails keeps the others from neither running nor being shown.
func TestMeasure(t *testing.T) {
	failed := errors.New("no machine")
	results, err := new(bench).measure(t.Context(), []scenario{
		{"a", "", func(context.Context, *bench) ([]number, error) { return nil, failed }},
		{"b", "", func(context.Context, *bench) ([]number, error) { return []number{shown("x", "%d", 1)}, nil }},
	})
	if !errors.Is(err, failed) || !strings.Contains(err.Error(), "a: ") || len(results) != 2 || len(results[1].numbers) != 1 {
		t.Error(results, err)
	}
}

func TestNumbers(t *testing.T) {
	for _, test := range []struct {
		n      number
		value  string
		target string
		missed bool
	}{
		{atMost("", 0.1234, 0.15, " ms"), "0.123 ms", "<= 0.150 ms", false},
		{atMost("", 0.1501, 0.15, " ms"), "0.150 ms", "<= 0.150 ms", true},
		{atMost("", 60, 60, " MB"), "60 MB", "<= 60 MB", false},
		{atMost("", 1, 0, ""), "1", "<= 0", true},
		{below("", 59.94, 60, " MB"), "59.9 MB", "< 60 MB", false},
		{below("", 60, 60, " MB"), "60 MB", "< 60 MB", true},
		{atLeast("", 0.5, 0.5, ""), "0.500", ">= 0.500", false},
		{atLeast("", 0.499, 0.5, ""), "0.499", ">= 0.500", true},
		{shown("", "%d, %d", 1, 2), "1, 2", "", false},
		{shown("", "%s", quantity{1.239, " s"}), "1.24 s", "", false},
	} {
		if test.n.value != test.value || test.n.target != test.target || test.n.missed != test.missed {
			t.Errorf("got %+v, want %+v", test.n, test)
		}
	}
	if milliseconds(1500*time.Microsecond) != 1.5 || median([]float64{3, 1, 2}) != 2 {
		t.Error(milliseconds(1500*time.Microsecond), median([]float64{3, 1, 2}))
	}
}

func TestProcess(t *testing.T) {
	used, err := parseStat("12 (a) b ) S 1 2 3 4 5 6 7 8 9 10 150 25 0 0 20 0 8 0 99\n")
	if err != nil || used != 1750*time.Millisecond {
		t.Error(used, err)
	}
	for _, bad := range []string{"", "12 (a) S 1", "12 (a) S 1 2 3 4 5 6 7 8 9 10 x 25 0"} {
		if _, err := parseStat(bad); err == nil {
			t.Errorf("%q was read", bad)
		}
	}
	m, err := parseStatus("Name:\tbaton\nVmHWM:\t   50000 kB\nVmRSS:\t   40000 kB\n")
	if err != nil || m.peak != 51.2 || m.now != 40.96 {
		t.Error(m, err)
	}
	for _, bad := range []string{"", "VmHWM: 1 kB", "VmHWM: 1 kB\nVmRSS: 1 MB", "VmHWM: 1 kB\nVmRSS: x kB"} {
		if _, err := parseStatus(bad); err == nil {
			t.Errorf("%q was read", bad)
		}
	}
	if _, err := cpu(-1); err == nil {
		t.Error("a process that is not there has used time")
	}
	if _, err := rss(-1); err == nil {
		t.Error("a process that is not there has memory")
	}
}

func TestBinary(t *testing.T) {
	file := filepath.Join(t.TempDir(), "baton")
	if _, err := binary(t.Context(), &bench{binary: file}); err == nil {
		t.Error("a file that is not there was measured")
	}
	if err := os.WriteFile(file, make([]byte, 1000), 0o600); err != nil {
		t.Fatal(err)
	}
	numbers, err := binary(t.Context(), &bench{binary: file})
	if err != nil || len(numbers) != 2 || numbers[0].missed || numbers[1].missed {
		t.Error(numbers, err)
	}
	if err := os.Truncate(file, 61_000_000); err != nil {
		t.Fatal(err)
	}
	if n, err := fileSize(file); err != nil || !n.missed || n.value != "61 MB" {
		t.Error(n, err)
	}
	// One that is a program, with or without its symbols.
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if n, err := fileSize(self); err != nil || !strings.HasPrefix(n.what, "size, ") {
		t.Error(n, err)
	}
}

const benchOutput = `goos: linux
BenchmarkSinks/loki/encode     100   20.0 B/record  0.5 allocs/record  1000 cpu-ns/record  1100 ns/record  900000 records/s
BenchmarkSinks/loki/send       100   30.0 B/record  1.5 allocs/record  4000 cpu-ns/record  9000 ns/record  100000 records/s
BenchmarkSinks/metrics/send    100   0 B/record     0 allocs/record    100 cpu-ns/record   100 ns/record   10000000 records/s
BenchmarkSinks/loki/send       100   25.0 B/record  1.0 allocs/record  2000 cpu-ns/record  9000 ns/record  100000 records/s
BenchmarkSinks/loki/send       100   25.0 B/record  1.0 allocs/record  3000 cpu-ns/record  9000 ns/record  100000 records/s
BenchmarkSinks/file/send       100   25.0 B/record  1.0 allocs/record  2000 cpu-ns/record  8000 ns/record  125000 records/s
PASS
`

func TestSinkCosts(t *testing.T) {
	costs, err := parseSinkCosts(benchOutput)
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, n := range sinkNumbers(costs) {
		lines = append(lines, n.what+": "+n.value)
	}
	want := []string{
		"loki, encoded alone: 1000000 records/s (1000 ns, 20 B in 0.5 objects)",
		"the same, sent: 500000 records/s, 0.500 of that (2000 ns, 25 B in 1.0 objects)",
		"metrics, taken: 10000000 records/s (100 ns, 0 B in 0.0 objects)",
		"file, taken: 500000 records/s (2000 ns, 25 B in 1.0 objects)",
		"the same, by the clock: 125000 records/s",
	}
	if !slices.Equal(lines, want) {
		t.Errorf("got\n%s", strings.Join(lines, "\n"))
	}
	for _, bad := range []string{
		"PASS\n", "BenchmarkSinks/loki 1 1 ns/op", "BenchmarkSinks/loki/send 1 1 ns/record",
		"BenchmarkSinks/loki/send 1 x cpu-ns/record", strings.ReplaceAll(benchOutput, "4000 cpu", "0 cpu"),
	} {
		if costs, err := parseSinkCosts(bad); err == nil {
			t.Errorf("%q was read as %+v", bad, costs)
		}
	}
}

// The table of types can be cut, so that what a type adds to the binary can be told.
func TestTypeTable(t *testing.T) {
	types, err := readTypes(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	all := sortedKeys(sink.Types)
	if text, err := types.with(all); err != nil || text != types.text {
		t.Errorf("with all types it is another text: %v", err)
	}
	for _, kept := range [][]string{plainSinks, all[1:], all[:1]} {
		text, err := types.with(kept)
		if err != nil || len(typeLine.FindAllString(text, -1)) != len(kept) {
			t.Errorf("%q: %v in\n%s", kept, err, text)
		}
	}
	if _, err := types.with([]string{"stdout", "fax"}); err == nil {
		t.Error("it has a type that there is not")
	}
	if n := share("", 20, 30.0004); n.missed || n.value != "10 MB" {
		t.Errorf("%+v", n)
	}
	if n := share("", 20, 30.01); !n.missed {
		t.Errorf("%+v", n)
	}
}

func TestBacklogs(t *testing.T) {
	for largest, want := range map[int][]int{
		100_000: {0, 10_000, 30_000, 60_000, 100_000}, 30_000: {0, 10_000, 30_000}, 500: {0, 500},
	} {
		if got := backlogs(largest); !slices.Equal(got, want) {
			t.Errorf("%d: %v", largest, got)
		}
	}
}

func TestMemoryTargets(t *testing.T) {
	d := delivery{settled: memory{peak: 65}, follower: memory{peak: 35}}
	for n, want := range map[int]struct {
		target string
		missed bool
	}{10_000: {"", false}, 30_000: {"< 60 MB", true}, 100_000: {"< 70 MB", false}} {
		numbers := d.memory(n)
		if numbers[0].target != want.target || numbers[0].missed != want.missed || !numbers[2].missed {
			t.Errorf("%d: %+v", n, numbers)
		}
	}
	if d := (delivery{took: 2 * time.Second, events: 1000}); d.rate() != 500 {
		t.Error(d.rate())
	}
}

func TestGaps(t *testing.T) {
	zero := time.Now()
	moment := func(ms int) time.Time { return zero.Add(time.Duration(ms) * time.Millisecond) }
	var first []time.Time
	for ms := 0; ms < 20_000; ms += 10 {
		if ms < 5000 || ms >= 5700 { // silent after the fault at 5000
			first = append(first, moment(ms))
		}
	}
	faults := []fault{{at: moment(5000), reported: moment(5100)}, {at: moment(12_000)}}
	all, reported := gaps(first, faults)
	if len(all) != 2 || all[0] != 10*time.Millisecond || all[1] != 710*time.Millisecond {
		t.Error(all)
	}
	if len(reported) != 1 || reported[0] != 600*time.Millisecond || at(reported, 1) != 600 {
		t.Error(reported)
	}
	control := quietest(first, map[syscall.Signal][]fault{syscall.SIGKILL: faults})
	if len(control) != 2 || control[1] != 10*time.Millisecond {
		t.Error(control)
	}
}

func TestLags(t *testing.T) {
	r, err := receiver.Listen()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	events := []created{{version: receiver.Version{RV: 1}, began: time.Now()}}
	s := &stage{Server: r}
	if lags, lost := s.lags(events); len(lags) != 0 || lost != 1 {
		t.Error(lags, lost)
	}
}

const metrics = `# TYPE apiserver_request_total counter
apiserver_request_total{code="200",group="",resource="events",scope="cluster",verb="LIST"} 12
apiserver_request_total{code="200",group="coordination.k8s.io",resource="leases",scope="resource",verb="PUT"} 1.5e+01
apiserver_request_total{code="200",group="",resource="",scope="",verb="GET"} 1000
apiserver_request_terminations_total{code="",group="",resource="pods",verb="GET"} 7
`

func TestCountRequests(t *testing.T) {
	n, err := countRequests(metrics)
	if err != nil || n.sum() != 27 || n["leases"] != 15 {
		t.Error(n, err)
	}
	if rest := n.less(tally{"events": 12, "leases": 14}); rest.String() != "1 leases" || n["events"] != 12 {
		t.Error(rest, n)
	}
	if _, err := countRequests(`apiserver_request_total{resource="events"} 1..2`); err == nil {
		t.Error("nonsense was read")
	}
}

func TestReadAudit(t *testing.T) {
	line := func(id, stage, verb, user, resource, received, at string) string {
		object := ""
		if resource != "" {
			object = `"objectRef":{"resource":"` + resource + `"},`
		}
		return `{"auditID":"` + id + `","stage":"` + stage + `","verb":"` + verb + `","user":{"username":"` + user + `"},` + object +
			`"requestReceivedTimestamp":"2026-01-01T00:00:` + received + `Z","stageTimestamp":"2026-01-01T00:00:` + at + `Z"}`
	}
	log := strings.Join([]string{
		line("1", "ResponseStarted", "watch", "f", "leases", "01.0", "01.0"),   // before
		line("2", "ResponseComplete", "update", "l", "leases", "10.5", "10.6"), // within
		line("3", "ResponseStarted", "watch", "f", "pods", "11.0", "11.1"),     // begins within
		line("3", "ResponseComplete", "watch", "f", "pods", "11.0", "12.0"),    // and ends
		line("1", "ResponseComplete", "watch", "f", "leases", "01.0", "13.0"),  // ends within
		line("4", "ResponseComplete", "get", "l", "", "14.0", "14.1"),          // of no resource
		line("5", "ResponseComplete", "update", "l", "leases", "20.0", "20.1"), // after
	}, "\n")
	a, err := readAudit(strings.NewReader(log), time.Date(2026, 1, 1, 0, 0, 10, 0, time.UTC), time.Date(2026, 1, 1, 0, 0, 20, 0, time.UTC))
	if err != nil {
		t.Fatal(err)
	}
	if a.begun["l"] != 1 || a.begun["f"] != 1 || a.ended["l"].sum() != 1 || a.ended["f"]["leases"] != 1 || a.ended["f"].sum() != 2 {
		t.Errorf("%+v", a)
	}
	if got := a.of["l"].String(); got != "1 update leases" || a.of["nobody"].String() != "none" {
		t.Error(got)
	}
	if _, err := readAudit(strings.NewReader("nonsense"), time.Time{}, time.Now()); err == nil {
		t.Error("nonsense was read")
	}
}

func TestReport(t *testing.T) {
	results := []result{{
		scenario{name: "steady", about: "one leader"},
		[]number{atMost("cost", 0.1, 0.15, " ms"), below("lag", 300, 250, " ms"), shown("requests", "%d", 7)},
	}}
	var out bytes.Buffer
	if !table(&out, results) {
		t.Error("a missed target is not told")
	}
	for _, want := range []string{"SCENARIO", "0.100 ms", "<= 0.150 ms  ok", "< 250 ms     MISSED", "requests"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is not in\n%s", want, &out)
		}
	}
	text, err := markdown(results, "Measured here.", "")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"## steady\n\nOne leader.", "Measured here.", "| cost | 0.100 ms | ≤ 0.150 ms |", "(missed)", "| requests | 7 |  |"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in\n%s", want, text)
		}
	}
	if table(&out, nil) {
		t.Error("nothing was missed")
	}
}

// What is measured again takes the place of what was there, and all else stays.
func TestPartOfTheNumbers(t *testing.T) {
	measured := func(name, value string) []result {
		return []result{{scenario{name: name, about: "about " + name}, []number{shown("n", "%s", value)}}}
	}
	write := func(results []result, about, before string) string {
		text, err := markdown(results, about, before)
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	followers := write(measured("followers", "one"), "Here.", "")
	both := write(measured("steady", "two"), "Here.", followers)
	steady := write(measured("steady", "two"), "Here.", "")
	if want := steady + strings.TrimPrefix(followers, write(nil, "Here.", "")); both != want {
		t.Errorf("%s\nis not\n%s", both, want)
	}
	if again := write(measured("followers", "one"), "Here.", both); again != both {
		t.Errorf("%s\nis not\n%s", again, both)
	}
	if _, err := markdown(measured("steady", "three"), "Elsewhere.", both); !errors.Is(err, errOther) {
		t.Error("numbers of two machines are in one file", err)
	}
	write(append(measured("steady", "three"), measured("followers", "four")...), "Elsewhere.", both)
}

func TestVersions(t *testing.T) {
	for assets, want := range map[string]string{
		"/cache/k8s-v1.36.3-etcd-v3.6.8-linux-amd64": "Kubernetes v1.36.3 with etcd v3.6.8",
		"/usr/local/kubebuilder/bin":                 "Kubernetes of KUBEBUILDER_ASSETS",
	} {
		if got := versions(assets); got != want {
			t.Errorf("%s: %s", assets, got)
		}
	}
}
