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

func TestRun(t *testing.T) {
	folder := t.TempDir()
	from, to := filepath.Join(folder, "table.md"), filepath.Join(folder, "README.md")
	write := func(file, text string) {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(from, table)
	write(to, "above\n<!-- kind: a note -->\nold\n<!-- end -->\nbelow\n<!-- end -->\n")
	want := `above
<!-- kind: a note -->
| fault | lease | no events for: Lease | ConfigMap | at most | lost | repeated |
| --- | --- | --- | --- | --- | --- | --- |
| killed | 60 s | 0.50 s | 0.60 s | 3.00 s | 0 | 3, 4 |
| alone | 15 s | 1.00 s | - | 3.00 s | 0 | 0 |
<!-- end -->
below
<!-- end -->
`
	for range 2 { // the second time nothing changes
		if err := run([]string{from, to}); err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(to); err != nil || string(got) != want {
			t.Fatalf("%v\n%s", err, got)
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
			_, err = replace(c.readme, summary(rows))
		}
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want %q", name, err, c.want)
		}
	}
}
