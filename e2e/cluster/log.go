package cluster

import (
	"fmt"
	"strings"

	kindexec "sigs.k8s.io/kind/pkg/exec"
	"sigs.k8s.io/kind/pkg/log"

	"github.com/eventbaton/baton/e2e/cluster/step"
)

// logger hands on what kind says: the steps that are done, and what is wrong.
type logger struct{ log *step.Log }

var _ log.Logger = logger{}

func (l logger) Warn(message string)            { l.say(message) }
func (l logger) Warnf(format string, a ...any)  { l.say(fmt.Sprintf(format, a...)) }
func (l logger) Error(message string)           { l.say(message) }
func (l logger) Errorf(format string, a ...any) { l.say(fmt.Sprintf(format, a...)) }

func (l logger) V(level log.Level) log.InfoLogger {
	if level > 0 {
		return log.NoopInfoLogger{}
	}
	return info(l)
}

func (l logger) say(message string) {
	fmt.Fprintln(l.log, strings.TrimSpace(message))
}

type info logger

func (info) Enabled() bool { return true }

// Info keeps what is done. What has begun only is told by the next line, and the rest by our own.
func (i info) Info(message string) {
	if m := strings.TrimSpace(message); strings.HasPrefix(m, "✓") || strings.HasPrefix(m, "✗") {
		logger(i).say(m)
	}
}

func (i info) Infof(format string, a ...any) { i.Info(fmt.Sprintf(format, a...)) }

// explain adds what a command said to kind's error, which names only the command.
func explain(err error) error {
	run := kindexec.RunErrorForError(err)
	if run == nil || len(run.Output) == 0 {
		return err
	}
	return fmt.Errorf("%w: %s", err, tail(string(run.Output), telling))
}
