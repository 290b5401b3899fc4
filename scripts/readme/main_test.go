package main

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
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

## first

| Number | Measured | Target |
| --- | --- | --- |
| a time | 5 ms |  |
| the same, p99 | 9 ms | < 10 ms |
| the same, p99 | 8 ms | < 10 ms |

## second

| Number | Measured | Target |
| --- | --- | --- |
| the same, p99 | 7 ms |  |
`

func TestRun(t *testing.T) {
	folder := t.TempDir()
	files := []string{filepath.Join(folder, "README.md"), filepath.Join(folder, "table.md"), "../../docs/numbers.md"}
	write := func(file, text string) {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(files[1], table)
	write(files[0], `above
<!-- failover: a note -->
old
<!-- end -->
<!-- kind: a note -->
old
<!-- end -->
<!-- costs: a note -->
<!-- end -->
below
<!-- end -->
`)
	pattern := regexp.MustCompile(`^above
<!-- failover: a note -->
(\| .* \|
)+<!-- end -->
<!-- kind: a note -->
\| fault \| lease \| no events for: Lease \| ConfigMap \| at most \| lost \| repeated \|
\| --- \| --- \| --- \| --- \| --- \| --- \| --- \|
\| killed \| 60 s \| 0.50 s \| 0.60 s \| 3.00 s \| 0 \| 3, 4 \|
\| alone \| 15 s \| 1.00 s \| - \| 3.00 s \| 0 \| 0 \|
<!-- end -->
<!-- costs: a note -->
(\| .* \|
)+\| .* MB, .* MB \|
<!-- end -->
below
<!-- end -->
$`)
	var first []byte
	for range 2 { // the second time nothing changes
		if err := run(files); err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(files[0])
		if err != nil || !pattern.Match(got) || first != nil && !bytes.Equal(first, got) {
			t.Fatalf("%v\n%s", err, got)
		}
		first = got
	}
}

func TestFill(t *testing.T) {
	got, err := fill(`{{figure "first" "a time"}}, {{figure "second" "the same, p99"}}`, numbers)
	if want := "5 ms, 7 ms"; err != nil || got != want {
		t.Errorf("%q, %v, want %q", got, err, want)
	}
	for text, want := range map[string]string{
		`{{figure "first" "the same, p99"}}`: "2 times",
		`{{figure "first" "a place"}}`:       "0 times",
		`{{figure "third" "a time"}}`:        "0 times",
		`{{figure "second" "a time"}}`:       "0 times",
	} {
		if _, err := fill(text, numbers); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want %q", text, err, want)
		}
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
