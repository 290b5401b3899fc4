// Command readme takes over into the README what was measured: the table of docs/faults-on-kind.md, a line a fault, and
// some of the figures of docs/numbers.md.
package main

//go:generate go run . ../../README.md ../../docs/faults-on-kind.md ../../docs/numbers.md

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "readme:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) != 3 {
		return errors.New("usage: readme README FAULTS-ON-KIND NUMBERS")
	}
	var documents [3]string
	for i, file := range args {
		content, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		documents[i] = string(content)
	}
	rows, err := parse(documents[1])
	if err != nil {
		return fmt.Errorf("%s: %w", args[1], err)
	}
	tables, err := fill(documents[2])
	if err != nil {
		return fmt.Errorf("%s: %w", args[2], err)
	}
	tables["kind"] = summary(rows)
	text := documents[0]
	for _, name := range slices.Sorted(maps.Keys(tables)) {
		if text, err = replace(text, name, tables[name]); err != nil {
			return fmt.Errorf("%s: %w", args[0], err)
		}
	}
	return os.WriteFile(args[0], []byte(text), 0o600)
}

// row is a line of the table, by column.
type row map[string]string

// parse reads the first table of a document.
func parse(document string) ([]row, error) {
	var columns []string
	var rows []row
	for line := range strings.Lines(document) {
		line = strings.TrimSpace(line)
		if !strings.HasPrefix(line, "|") {
			if columns != nil {
				break
			}
			continue
		}
		cells := strings.Split(strings.Trim(line, "|"), "|")
		for i := range cells {
			cells[i] = strings.TrimSpace(cells[i])
		}
		switch {
		case columns == nil:
			columns = cells
		case len(cells) != len(columns):
			return nil, fmt.Errorf("%d cells under %d columns: %s", len(cells), len(columns), line)
		case strings.Trim(cells[0], "-") != "":
			r := row{}
			for i, column := range columns {
				r[column] = cells[i]
			}
			rows = append(rows, r)
		}
	}
	for _, column := range []string{"fault", "lock", "lease", "lost", "repeated", "blackout", "bound"} {
		if len(rows) == 0 || rows[0][column] == "" {
			return nil, fmt.Errorf("no table with a column %q", column)
		}
	}
	return rows, nil
}

// summary is the table with both locks of a fault on one line.
func summary(rows []row) string {
	var b strings.Builder
	b.WriteString("| fault | lease | no events for: Lease | ConfigMap | at most | lost | repeated |\n")
	b.WriteString("| --- | --- | --- | --- | --- | --- | --- |\n")
	for i := 0; i < len(rows); i++ {
		lease, other := rows[i], row{"blackout": "-"}
		if i+1 < len(rows) && rows[i+1]["fault"] == lease["fault"] {
			i++
			other = rows[i]
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %s | %s |\n", lease["fault"], lease["lease"], lease["blackout"], other["blackout"],
			lease["bound"], pair(lease["lost"], other["lost"]), pair(lease["repeated"], other["repeated"]))
	}
	return b.String()
}

// pair is both values, or one where they are the same.
func pair(a, b string) string {
	if b == "" || a == b {
		return a
	}
	return a + ", " + b
}

const end = "<!-- end -->"

// replace puts the text between the markers of that name.
func replace(readme, name, text string) (string, error) {
	begin := "<!-- " + name + ": "
	before, rest, found := strings.Cut(readme, begin)
	marker, rest, closed := strings.Cut(rest, "\n")
	_, after, ended := strings.Cut(rest, end)
	if !found || !closed || !ended {
		return "", fmt.Errorf("no lines %q and %q", begin, end)
	}
	return before + begin + marker + "\n" + text + end + after, nil
}
