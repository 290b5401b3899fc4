package main

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/eventbaton/baton/agent/sink"
	"github.com/eventbaton/baton/e2e/controlplane"
)

const (
	// shareMost is what a type of sink may cost those who use another one, in megabytes of the binary.
	shareMost = 10
	// shareSmall is what is not worth a second look: a type that adds less to the smallest binary brings no library along.
	shareSmall = 1
)

// plainSinks are in every binary that is compared: they bring nothing along that the agent has not.
var plainSinks = []string{"stdout", "webhook"}

// shares measures what each type of sink adds to the binary, twice: alone beside plainSinks, where what it shares with
// others is wholly its own; and beside all others, where it may keep alive more of what they bring. The linker leaves out
// what nothing refers to, so that it is enough to leave a type out of the table of types.
func shares(ctx context.Context, _ *bench) ([]number, error) {
	t, err := readTypes(ctx)
	if err != nil {
		return nil, err
	}
	all := slices.Sorted(maps.Keys(sink.Types))
	whole, err := t.size(ctx, all)
	if err != nil {
		return nil, err
	}
	program, err := t.build(ctx, plainSinks)
	if err != nil {
		return nil, err
	}
	image, err := imageSize(ctx, program)
	if err != nil {
		return nil, err
	}
	plain := float64(len(program)) / 1e6
	numbers := []number{
		shown("with every type of sink", "%.1f MB", whole),
		shown("with "+strings.Join(plainSinks, " and ")+" alone", "%.1f MB, in an image %.1f MB", plain, image),
	}
	for _, name := range all {
		if slices.Contains(plainSinks, name) {
			continue
		}
		with, err := t.size(ctx, append(slices.Clone(plainSinks), name))
		if err != nil {
			return nil, err
		}
		numbers = append(numbers, share("type "+name+" adds to these", plain, with))
		if with-plain < shareSmall {
			continue
		}
		without, err := t.size(ctx, slices.DeleteFunc(slices.Clone(all), func(s string) bool { return s == name }))
		if err != nil {
			return nil, err
		}
		numbers = append(numbers, share("the same, to all others", without, whole))
	}
	return numbers, nil
}

// share is the difference of two sizes, to a kilobyte.
func share(what string, without, with float64) number {
	return atMost(what, math.Round(1e3*(with-without))/1e3, shareMost, " MB")
}

// typeTable is the source that has the table of types.
type typeTable struct {
	root string // of the module
	file string
	text string
}

func readTypes(ctx context.Context) (*typeTable, error) {
	root, err := controlplane.Root(ctx)
	if err != nil {
		return nil, err
	}
	file := filepath.Join(root, "agent", "sink", "types.go")
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("the types of sinks: %w", err)
	}
	return &typeTable{root, file, string(text)}, nil
}

var typeLine = regexp.MustCompile(`(?m)^\t"([a-z]+)": +func\(\) Options .*\n`)

// with is the source with some of its types alone.
func (t *typeTable) with(types []string) (string, error) {
	found := 0
	text := typeLine.ReplaceAllStringFunc(t.text, func(line string) string {
		if !slices.Contains(types, typeLine.FindStringSubmatch(line)[1]) {
			return ""
		}
		found++
		return line
	})
	if found != len(types) {
		return "", fmt.Errorf("%s has %d of the types %s, each in a line of its own", t.file, found, strings.Join(types, ", "))
	}
	return text, nil
}

// size is how many megabytes the binary with these types has.
func (t *typeTable) size(ctx context.Context, types []string) (float64, error) {
	program, err := t.build(ctx, types)
	return float64(len(program)) / 1e6, err
}

// build builds the binary with these types, as scripts/build does.
func (t *typeTable) build(ctx context.Context, types []string) ([]byte, error) {
	text, err := t.with(types)
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "baton-share-")
	if err != nil {
		return nil, fmt.Errorf("making a folder: %w", err)
	}
	defer os.RemoveAll(dir)
	source, overlay, binary := filepath.Join(dir, "types.go"), filepath.Join(dir, "overlay.json"), filepath.Join(dir, "baton")
	replace, err := json.Marshal(map[string]map[string]string{"Replace": {t.file: source}})
	if err != nil {
		return nil, err
	}
	for path, content := range map[string]string{source: text, overlay: string(replace)} {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			return nil, err
		}
	}
	cmd := exec.CommandContext(ctx, "go", "build", "-overlay", overlay, "-trimpath", "-buildvcs=false", "-ldflags", "-s -w",
		"-o", binary, "./agent")
	cmd.Dir, cmd.Env = t.root, append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("building the agent with %s: %w\n%s", strings.Join(types, ", "), err, out)
	}
	return os.ReadFile(binary)
}
