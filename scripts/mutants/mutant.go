package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// mutant is one named patch that breaks the code on purpose, and the test that must notice.
//
// The header of a patch is what stands before its first diff:
//
//	Breaks: one line, what no longer holds
//	Package: ./agent/relay
//	Run: ^TestCursorWaitsForTheAcknowledgement$
type mutant struct {
	name   string
	path   string // absolute
	breaks string
	test   test
}

// test is what `go test` is asked to run.
type test struct {
	pkg string // relative to the module's root, as ./agent/relay
	run string // a regexp, as -run takes it
}

func (t test) String() string { return t.pkg + " " + t.run }

// load reads the patches of a folder in the order of their names. only, where it isn't empty, is the name of the one
// that is wanted.
func load(dir, only string) ([]mutant, error) {
	dir, err := filepath.Abs(dir) // each patch is applied from within another folder
	if err != nil {
		return nil, fmt.Errorf("finding the patches: %w", err)
	}
	paths, err := filepath.Glob(filepath.Join(dir, "*.patch"))
	if err != nil {
		return nil, fmt.Errorf("listing %s: %w", dir, err)
	}
	var all []mutant
	for _, path := range paths {
		name := strings.TrimSuffix(filepath.Base(path), ".patch")
		if only != "" && name != only {
			continue
		}
		m, err := parse(name, path)
		if err != nil {
			return nil, err
		}
		all = append(all, m)
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("no patch %s in %s", strings.TrimSpace(only+".patch"), dir)
	}
	return all, nil
}

func parse(name, path string) (mutant, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return mutant{}, fmt.Errorf("reading a patch: %w", err)
	}
	m := mutant{name: name, path: path}
	fields := map[string]*string{"Breaks": &m.breaks, "Package": &m.test.pkg, "Run": &m.test.run}
	for line := range strings.Lines(string(data)) {
		if strings.HasPrefix(line, "diff ") || strings.HasPrefix(line, "--- ") {
			break
		}
		key, value, _ := strings.Cut(line, ":")
		if field := fields[key]; field != nil {
			*field = strings.TrimSpace(value)
		}
	}
	for key, field := range fields {
		if *field == "" {
			return mutant{}, fmt.Errorf("%s: the header has no line `%s: …`", path, key)
		}
	}
	if _, err := regexp.Compile(m.test.run); err != nil {
		return mutant{}, fmt.Errorf("%s: Run: %w", path, err)
	}
	return m, nil
}
