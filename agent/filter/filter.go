// Package filter decides by a CEL expression which records a sink gets.
//
// An expression sees one variable, event, of the type of record.Record with the names of its JSON form. It is checked
// against that type when it is compiled, so that a typo is found at the start and not by an event that is missing.
// What belongs to a delivery and not to the event (leader, countDelta) it doesn't see: a filter gives the same answer
// whoever leads.
package filter

import (
	"fmt"
	"reflect"
	"strings"
	"sync"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/ext"

	"github.com/eventbaton/baton/agent/record"
)

// costLimit bounds one evaluation, in CEL's units: a comparison of short strings is about 3, a regular expression over
// the longest message Kubernetes allows (1 KiB) some hundreds. No filter that makes sense comes near it.
const costLimit = 1_000_000

// maxExpression bounds the length of an expression, in code points.
const maxExpression = 32 << 10

// Filter is a compiled expression. It may be used from several goroutines.
type Filter struct {
	text    string
	program cel.Program
	// explainer is made for the first Explain: an agent never needs it.
	explainer func() (*explainer, error)
}

// Compile compiles an expression that has to give a bool. The error is a *Error where the expression is wrong.
func Compile(expr string) (*Filter, error) {
	env, err := environment()
	if err != nil {
		return nil, fmt.Errorf("prepare CEL: %w", err)
	}
	if strings.TrimSpace(expr) == "" {
		return nil, &Error{Line: 1, Column: 1, Text: "is empty; write an expression such as event.type == \"Warning\""}
	}
	checked, issues := env.Compile(expr)
	if issues.Err() != nil {
		return nil, explain(expr, issues)
	}
	if !checked.OutputType().IsExactType(cel.BoolType) {
		text := fmt.Sprintf("gives %s, but has to give true or false", plain(checked.OutputType().String()))
		return nil, &Error{Line: 1, Column: 1, Text: text}
	}
	program, err := env.Program(checked, cel.EvalOptions(cel.OptOptimize), cel.CostLimit(costLimit))
	if err != nil {
		return nil, &Error{Line: 1, Column: 1, Text: err.Error()}
	}
	return &Filter{
		text: expr, program: program,
		explainer: sync.OnceValues(func() (*explainer, error) { return newExplainer(expr) }),
	}, nil
}

// String is the expression.
func (f *Filter) String() string { return f.text }

// Match says whether the expression is true for r. It may fail where an expression can only be judged with the values
// at hand, such as an index into an empty list; then it says true with the error, because a record that is sent once
// too often is better than one that is lost without a word.
func (f *Filter) Match(r *record.Record) (bool, error) {
	result, _, err := f.program.Eval(activation{r})
	if err != nil {
		return true, fmt.Errorf("filter %q: %w", f.text, err)
	}
	return result == types.True, nil
}

// activation gives the one variable without a map for every record.
type activation struct{ record *record.Record }

func (a activation) ResolveName(name string) (any, bool) {
	if name == variable {
		return a.record, true
	}
	return nil, false
}

func (a activation) Parent() cel.Activation { return nil }

const variable = "event"

// environment is made for the first expression: it takes a few megabytes, which a configuration without a filter
// need not pay.
var environment = sync.OnceValues(func() (*cel.Env, error) {
	return cel.NewEnv(
		ext.NativeTypes(recordType, ext.ParseStructField(fieldName)),
		cel.Variable(variable, cel.ObjectType(recordType.String())),
		ext.Strings(),
		cel.OptionalTypes(),
		cel.CrossTypeNumericComparisons(true),
		cel.DefaultUTCTimeZone(true),
		cel.ParserExpressionSizeLimit(maxExpression),
		cel.Macros(macros()...),
	)
})

// fieldName is what a field is called in an expression, "-" where it is not seen.
func fieldName(field reflect.StructField) string {
	name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
	if name == "leader" || name == "countDelta" {
		return "-"
	}
	return name
}
