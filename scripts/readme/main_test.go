package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const table = `# Faults

Words | with a bar.

| fault | lock | lease | made | lost | repeated | blackout | bound |
| --- | --- | --- | --- | --- | --- | --- | --- |
| killed | lease | 60 s | 5 | 0 | 3 | 0.50 s | 3.00 s |
| killed | configmap | 60 s | 5 | 0 | 4 | 0.60 s | 3.00 s |
| alone | lease | 15 s | 5 | 0 | 0 | 1.00 s | 3.00 s |
`

const numbers = `# Numbers

## binary

| Number | Measured | Target |
| --- | --- | --- |
| size, stripped | 1 MB |  |
| the image, compressed, as it is pulled | 2 MB |  |

## steady

| Number | Measured | Target |
| --- | --- | --- |
| processor time of the leader an event | 3 ms | ≤ 4 ms |
| the same, p99 | 4 ms | < 9 ms |
| twice | 0 |  |
| twice | 0 |  |

## enriched

| Number | Measured | Target |
| --- | --- | --- |
| the same, with all of it | 5 ms |  |
| the same, p99 | 6 ms |  |

## failover

| Number | Measured | Target |
| --- | --- | --- |
| gap by SIGKILL with proof of death, median of 10 | 7 ms |  |
| gap by SIGTERM, median of 10 | 8 ms |  |

## backlog

| Number | Measured | Target |
| --- | --- | --- |
| memory of the leader at its most, 30000 retained | 9 MB |  |
| memory of the leader at its most, 100000 retained | 10 MB |  |
| 100000 retained events delivered | 11 events/s |  |

## followers

| Number | Measured | Target |
| --- | --- | --- |
| requests of 10 followers in 5m0s, by the audit log | 12 | ≤ 0 |
| memory of a follower, median | 13 MB |  |
`

const before = `above
<!-- failover: a note -->
old
<!-- end -->
between
<!-- kind: a note -->
old
<!-- end -->
<!-- costs: a note -->
<!-- end -->
below
<!-- end -->
`

const after = `above
<!-- failover: a note -->
| when the leader | events are missing for | lost | delivered twice |
| --- | --- | --- | --- |
| gets SIGTERM (rollout, drain) | 8 ms | 0 | 0 |
| gets SIGKILL, and its end is reported | 7 ms | 0 | what it sent since the last write of the cursors |
| vanishes without a trace | its lease, and up to a second | 0 | the same |
| is stopped, and wakes up deposed | its lease, and up to a second | 0 | the same |
<!-- end -->
between
<!-- kind: a note -->
| fault | lease | no events for: Lease | ConfigMap | at most | lost | repeated |
| --- | --- | --- | --- | --- | --- | --- |
| killed | 60 s | 0.50 s | 0.60 s | 3.00 s | 0 | 3, 4 |
| alone | 15 s | 1.00 s | - | 3.00 s | 0 | 0 |
<!-- end -->
<!-- costs: a note -->
| what it costs | measured |
| --- | --- |
| processor time of the leader an event, at 500 events a second | 3 ms |
| the same, with all of enrichment | 5 ms |
| memory of the leader with 30,000 retained events | 9 MB |
| the same, with 100,000 | 10 MB |
| memory of a follower | 13 MB |
| requests of ten followers in five minutes | 12 |
| from an event's creation to its arrival, 99 of 100, at 500 events a second | 4 ms |
| a backlog of 100,000 events | 11 events/s |
| the binary, and the image to pull | 1 MB, 2 MB |
<!-- end -->
below
<!-- end -->
`

func TestRun(t *testing.T) {
	var files []string
	for _, text := range []string{before, table, numbers} {
		file := filepath.Join(t.TempDir(), "document.md")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		files = append(files, file)
	}
	for range 2 { // the second time nothing changes
		if err := run(files); err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(files[0]); err != nil || string(got) != after {
			t.Fatalf("%v\n%s", err, got)
		}
	}
}

func TestFigure(t *testing.T) {
	for section, want := range map[string]string{"steady": "4 ms", "enriched": "6 ms"} {
		if got, err := figure(numbers, section, "the same, p99"); err != nil || got != want {
			t.Errorf("%s: %q, %v, want %q", section, got, err, want)
		}
	}
	for _, c := range []struct{ section, number, want string }{
		{"steady", "twice", "2 times"},
		{"steady", "a place", "0 times"},
		{"nowhere", "the same, p99", "0 times"},
		{"enriched", "processor time of the leader an event", "0 times"},
		{"steady", "the same, with all of it", "0 times"},
	} {
		if _, err := figure(numbers, c.section, c.number); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s, %s: error %v, want %q", c.section, c.number, err, c.want)
		}
	}
	if _, err := fill(strings.Replace(numbers, "size, stripped", "size", 1)); err == nil || !strings.Contains(err.Error(), "size, stripped") {
		t.Errorf("a figure that isn't there: error %v", err)
	}
}

func TestRefused(t *testing.T) {
	for name, c := range map[string]struct{ table, readme, want string }{
		"no table":    {"nothing", "<!-- kind: -->\n<!-- end -->", "no table"},
		"a column":    {strings.ReplaceAll(table, "bound", "other"), "<!-- kind: -->\n<!-- end -->", `"bound"`},
		"a cell less": {table + "| x |\n", "<!-- kind: -->\n<!-- end -->", "1 cells"},
		"no marker":   {table, "text\n<!-- end -->", "no lines"},
		"no end":      {table, "<!-- kind: -->\n", "no lines"},
	} {
		rows, err := parse(c.table)
		if err == nil {
			_, err = replace(c.readme, "kind", summary(rows))
		}
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want %q", name, err, c.want)
		}
	}
}
