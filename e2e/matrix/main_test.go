// Package matrix is the fault matrix: agents as real processes on a real API server, a steady stream of events, one
// fault after the other, judged from what a receiver got against what was made.
//
//	go test ./e2e/matrix                          all of it
//	go test ./e2e/matrix -run 'Matrix/sigkill'    the cells whose name begins so
//
// BATON_MATRIX_TABLE names a file for the table as Markdown, BATON_MATRIX_LOGS a folder for the agents' logs.
package matrix

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/eventbaton/baton/e2e/child"
	"github.com/eventbaton/baton/e2e/controlplane"
	"github.com/eventbaton/baton/e2e/fleet"
	"github.com/eventbaton/baton/e2e/verdict"
)

// parallel is how many cells run at once, each with both locks, unless -parallel says otherwise: they mostly wait.
const parallel = "5"

func TestMain(m *testing.M) {
	flag.Parse()
	if !given("test.parallel") {
		_ = flag.Set("test.parallel", parallel)
	}
	os.Exit(main(m))
}

func given(name string) bool {
	found := false
	flag.Visit(func(f *flag.Flag) { found = found || f.Name == name })
	return found
}

func main(m *testing.M) int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	// The first signal ends the cells in order; a second one ends the process, and the sweepers clean up.
	context.AfterFunc(ctx, stop)
	var err error
	if suite.files, err = child.Open("baton-matrix"); err == nil {
		suite.binary, err = fleet.Build(ctx, suite.files.Dir)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	suite.ctx = ctx
	code := m.Run()
	if err := finish(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	return code
}

// suite is what the cells share.
var suite struct {
	ctx    context.Context // ends at Ctrl-C
	binary string
	files  *child.Nursery

	once  sync.Once
	plane *controlplane.ControlPlane
	err   error

	mu       sync.Mutex
	rows     []verdict.Row
	failures []string
	// control is the longest gap without any fault.
	control time.Duration
}

// shared is the control plane of the cells that don't hurt it.
func shared(ctx context.Context) (*controlplane.ControlPlane, error) {
	suite.once.Do(func() { suite.plane, suite.err = controlplane.Start(ctx, controlplane.Options{}) })
	return suite.plane, suite.err
}

func finish() error {
	var errs []error
	if suite.plane != nil {
		errs = append(errs, suite.plane.Stop())
	}
	if rows := sortedRows(); len(rows) > 0 {
		fmt.Println("\n" + verdict.Table(rows))
		if file := os.Getenv("BATON_MATRIX_TABLE"); file != "" {
			errs = append(errs, os.WriteFile(file, []byte(verdict.Markdown(rows)), 0o600))
		}
	}
	return errors.Join(append(errs, suite.files.Close())...)
}

// sortedRows has the rows in the order of the cells.
func sortedRows() []verdict.Row {
	place := map[string]int{}
	for i, c := range cells() {
		place[c.name] = i
	}
	slices.SortStableFunc(suite.rows, func(a, b verdict.Row) int {
		return cmp.Or(cmp.Compare(place[a.Fault], place[b.Fault]), -cmp.Compare(a.Lock, b.Lock))
	})
	return suite.rows
}
