// Package filter decides by a CEL expression which records a sink gets.
package filter

import (
	"errors"

	"github.com/eventbaton/baton/agent/record"
)

// Filter is a compiled expression. It may be used from several goroutines.
type Filter struct{ text string }

// Compile compiles an expression that has to give a bool.
func Compile(expr string) (*Filter, error) { return nil, errors.ErrUnsupported }

// Match says whether the expression is true for r.
func (f *Filter) Match(r *record.Record) (bool, error) { return true, nil }
