package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/eventbaton/baton/e2e/controlplane"
)

// errMissed is the end of a run in which a number missed its target.
var errMissed = errors.New("a target was missed")

// report prints the table, and writes it into a file where one is named.
func report(ctx context.Context, results []result, file string) error {
	missed := table(os.Stdout, results)
	if file != "" {
		if err := write(ctx, results, file); err != nil {
			return err
		}
	}
	if missed {
		return errMissed
	}
	return nil
}

// table prints the numbers and says whether one missed its target.
func table(out io.Writer, results []result) (missed bool) {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(w, "SCENARIO\tNUMBER\tMEASURED\tTARGET\t")
	for _, r := range results {
		for _, n := range r.numbers {
			_, _ = fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", r.name, n.what, n.value, n.target, n.judgement())
			missed = missed || n.missed
		}
	}
	_ = w.Flush()
	return missed
}

func (n number) judgement() string {
	switch {
	case n.target == "":
		return ""
	case n.missed:
		return "MISSED"
	default:
		return "ok"
	}
}

// errOther is where a part of a file was measured, and the rest of it is of another machine.
var errOther = errors.New("has numbers of another machine, of another Kubernetes or of another Go: measure all scenarios")

// write writes docs/numbers.md. What has not been measured stays as it is there.
func write(ctx context.Context, results []result, file string) error {
	about, err := machine(ctx)
	if err != nil {
		return err
	}
	before, err := os.ReadFile(file)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("reading the numbers that are there: %w", err)
	}
	text, err := markdown(results, about, string(before))
	if err == nil {
		err = os.WriteFile(file, []byte(text), 0o644)
	}
	if err != nil {
		return fmt.Errorf("writing the numbers into %s: %w", file, err)
	}
	return nil
}

// markdown is the file as it is to be, made of what was measured and of what it was before.
func markdown(results []result, about, before string) (string, error) {
	parts := sections(before)
	for _, r := range results {
		parts[r.name] = r.section()
	}
	if kept := len(parts) > len(results); kept && !strings.Contains(before, "\n"+about+"\n") {
		return "", errOther
	}
	var b strings.Builder
	b.WriteString("# Numbers\n\n`make bench WRITE=docs/numbers.md` writes this file, and with `RUN=steady` that section of it.\n\n")
	b.WriteString(about + "\n\nMB are 10^6 bytes. What has no target is there for comparison. Sections may be of different days, on\n" +
		"which a shared machine is not as fast: compare within one.\n")
	for _, s := range scenarios() {
		b.WriteString(parts[s.name])
	}
	return b.String(), nil
}

// sections are those of a file, by the names of their scenarios.
func sections(text string) map[string]string {
	const heading = "\n## "
	parts := map[string]string{}
	for _, part := range strings.Split(text, heading)[1:] {
		name, _, _ := strings.Cut(part, "\n")
		parts[name] = heading + part
	}
	return parts
}

func (r result) section() string {
	var b strings.Builder
	fmt.Fprintf(&b, "\n## %s\n\n%s%s.\n\n", r.name, strings.ToUpper(r.about[:1]), r.about[1:])
	b.WriteString("| Number | Measured | Target |\n| --- | --- | --- |\n")
	for _, n := range r.numbers {
		target := strings.NewReplacer("<=", "≤", ">=", "≥").Replace(n.target)
		if n.missed {
			target += " (missed)"
		}
		fmt.Fprintf(&b, "| %s | %s | %s |\n", n.what, n.value, target)
	}
	return b.String()
}

// machine describes what was measured on, without its name.
func machine(ctx context.Context) (string, error) {
	assets, err := controlplane.Assets(ctx)
	if err != nil {
		return "", err
	}
	cores, where := runtime.NumCPU(), cmp.Or(processor(), runtime.GOARCH)
	return fmt.Sprintf("Measured on one machine with %d cores (%s), "+
		"on which API server, etcd, receiver, load and agents all run; %s on %s; %s.",
		cores, where, runtime.Version(), runtime.GOOS, versions(assets)), nil
}

// versions are those in the name of the folder that scripts/k8s/build makes.
func versions(assets string) string {
	_, rest, ok := strings.Cut(filepath.Base(assets), "k8s-")
	kubernetes, rest, ok2 := strings.Cut(rest, "-etcd-")
	etcd, _, ok3 := strings.Cut(rest, "-")
	if !ok || !ok2 || !ok3 {
		return "Kubernetes of KUBEBUILDER_ASSETS"
	}
	return "Kubernetes " + kubernetes + " with etcd " + etcd
}

func processor() string {
	b, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return ""
	}
	_, rest, _ := strings.Cut(string(b), "model name")
	line, _, _ := strings.Cut(rest, "\n")
	_, name, _ := strings.Cut(line, ":")
	return strings.TrimSpace(name)
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
