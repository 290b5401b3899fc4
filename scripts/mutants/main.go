// Command mutants applies each patch of scripts/mutants to a copy of the tree and demands that the test it names turns
// red. A test that stays green guards nothing.
//
//	go run ./scripts/mutants [-only name] [-j 2] [-timeout 2m]
//
// It exits with 1 where a mutant survives or can't be judged: its patch does not apply, what it leaves does not
// compile, its test hangs, or isn't green without it.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"text/tabwriter"
	"time"
)

// options are what the command line says.
type options struct {
	root    string
	patches string
	only    string
	jobs    int
	timeout time.Duration
}

func main() {
	var o options
	flag.StringVar(&o.root, "root", ".", "the tree's `folder`")
	flag.StringVar(&o.patches, "patches", "scripts/mutants", "the patches' `folder`")
	flag.StringVar(&o.only, "only", "", "the `name` of the one mutant to run")
	flag.IntVar(&o.jobs, "j", 2, "how many at a time")
	flag.DurationVar(&o.timeout, "timeout", 2*time.Minute, "of one test")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, o, os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "mutants:", err)
		os.Exit(1)
	}
}

// errNotAll says that not every mutant was killed; the table has said which.
var errNotAll = errors.New("not every mutant was killed")

func run(ctx context.Context, o options, out io.Writer) error {
	mutants, err := load(o.patches, o.only)
	if err != nil {
		return err
	}
	r, err := prepare(ctx, o)
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(r.scratch) }()
	results := r.judgeAll(ctx, mutants, o.jobs, out)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return report(out, results)
}

// prepare makes the scratch folder and the unchanged copy in it.
func prepare(ctx context.Context, o options) (*runner, error) {
	files, err := tracked(ctx, o.root)
	if err != nil {
		return nil, err
	}
	scratch, err := os.MkdirTemp("", "baton-mutants-")
	if err != nil {
		return nil, fmt.Errorf("making a scratch folder: %w", err)
	}
	if err := copyTree(o.root, scratch+"/unchanged", files); err != nil {
		return nil, errors.Join(err, os.RemoveAll(scratch))
	}
	return &runner{root: o.root, files: files, scratch: scratch, timeout: o.timeout}, nil
}

// judgeAll gives the mutants' results in their order, and a line for each as it comes.
func (r *runner) judgeAll(ctx context.Context, mutants []mutant, jobs int, out io.Writer) []result {
	results := make([]result, len(mutants))
	baseline := baselines{runner: r, of: map[test]func() (string, string){}}
	slots := make(chan struct{}, max(jobs, 1))
	var wg sync.WaitGroup
	var printing sync.Mutex
	for i, m := range mutants {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			start := time.Now()
			verdict, detail := baseline.get(ctx, m.test)
			if verdict == "" {
				verdict, detail = r.judge(ctx, m)
			}
			results[i] = result{mutant: m, verdict: verdict, detail: detail, took: time.Since(start)}
			printing.Lock()
			defer printing.Unlock()
			_, _ = fmt.Fprintf(out, "%-10s  %s\n", verdict, m.name)
		})
	}
	wg.Wait()
	return results
}

// baselines runs each test once without a patch, however many mutants name it.
type baselines struct {
	*runner
	mu sync.Mutex
	of map[test]func() (string, string)
}

func (b *baselines) get(ctx context.Context, t test) (verdict, detail string) {
	b.mu.Lock()
	once := b.of[t]
	if once == nil {
		once = sync.OnceValues(func() (string, string) { return b.green(ctx, t) })
		b.of[t] = once
	}
	b.mu.Unlock()
	return once()
}

// report prints the table, and below it the end of what was written where a mutant was not killed.
func report(out io.Writer, results []result) error {
	var problem error
	var details strings.Builder
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(w, "\nMUTANT\tTEST\tVERDICT\tSECONDS\tBREAKS")
	for _, r := range results {
		_, _ = fmt.Fprintf(w, "%s\t%s\t%s\t%.1f\t%s\n", r.name, r.test, r.verdict, r.took.Seconds(), r.breaks)
		if r.verdict != killed {
			problem = errNotAll
			fmt.Fprintf(&details, "\n%s: %s\n%s\n", r.name, r.verdict, tail(r.detail, 30))
		}
	}
	return errors.Join(w.Flush(), write(out, details.String()), problem)
}

func write(out io.Writer, s string) error {
	_, err := io.WriteString(out, s)
	return err
}

// tail gives the last lines of a text.
func tail(text string, lines int) string {
	all := strings.Split(strings.TrimSpace(text), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}
