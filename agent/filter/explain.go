package filter

import (
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/interpreter"
	"cel.dev/cel-go/parser"

	"github.com/eventbaton/baton/agent/record"
)

// Explanation is how a filter judges one record.
type Explanation struct {
	Match bool
	Err   error  // why the filter failed, which counts as a match
	Parts []Part // those that made it so, from left to right; none where that can't be told
}

// Part is a piece of an expression without && and || between its own pieces.
type Part struct {
	Text   string // as CEL writes it
	Gives  string // true, false, or why it failed
	Fields []FieldValue
}

// FieldValue is a field that a part looks at, with what the record has in it.
type FieldValue struct{ Path, Value string }

// Explain judges r as Match does and says what decided. It is for people, and not fast.
func (f *Filter) Explain(r *record.Record) Explanation {
	var e Explanation
	e.Match, e.Err = f.Match(r)
	x, err := f.explainer()
	if err != nil {
		return e
	}
	result, details, err := x.program.Eval(activation{r})
	if failed := err != nil; failed != (e.Err != nil) || !failed && (result == types.True) != e.Match {
		return e // it came to another end, such as at the limit of what it may cost
	}
	for _, part := range x.decisive(x.ast.Expr(), details.State()) {
		e.Parts = append(e.Parts, x.part(part, details.State(), r))
	}
	return e
}

// Fields are the fields that the expression looks at, sorted. Where all of a record is looked at, it is the variable alone.
func (f *Filter) Fields() []string {
	x, err := f.explainer()
	if err != nil {
		return nil
	}
	var paths []string
	for _, path := range fieldsIn(x.ast.Expr()) {
		paths = append(paths, strings.Join(append([]string{variable}, path...), "."))
	}
	slices.Sort(paths)
	return slices.Compact(paths)
}

// explainer is an expression compiled so that every piece of it is evaluated and can be looked at.
type explainer struct {
	ast     *ast.AST
	program cel.Program
}

var explainingEnvironment = sync.OnceValues(func() (*cel.Env, error) {
	env, err := environment()
	if err != nil {
		return nil, err
	}
	return env.Extend(cel.EnableMacroCallTracking())
})

func newExplainer(expr string) (*explainer, error) {
	env, err := explainingEnvironment()
	if err != nil {
		return nil, err
	}
	checked, issues := env.Compile(expr)
	if issues.Err() != nil {
		return nil, issues.Err()
	}
	program, err := env.Program(checked, cel.EvalOptions(cel.OptExhaustiveEval), cel.CostLimit(costLimit))
	if err != nil {
		return nil, err
	}
	return &explainer{ast: checked.NativeRep(), program: program}, nil
}

// decisive are the pieces that gave e its value: of && and || those that have the same, of ! what is negated.
func (x *explainer) decisive(e ast.Expr, state interpreter.EvalState) []ast.Expr {
	if _, isMacro := x.ast.SourceInfo().GetMacroCall(e.ID()); isMacro || e.Kind() != ast.CallKind {
		return []ast.Expr{e}
	}
	args := e.AsCall().Args()
	switch e.AsCall().FunctionName() {
	case operators.LogicalNot:
		return x.decisive(args[0], state)
	case operators.LogicalAnd, operators.LogicalOr:
		value, _ := state.Value(e.ID())
		var parts []ast.Expr
		for _, arg := range args {
			if own, _ := state.Value(arg.ID()); gives(own) == gives(value) || isError(own) && isError(value) {
				parts = append(parts, x.decisive(arg, state)...)
			}
		}
		return parts
	}
	return []ast.Expr{e}
}

func isError(v ref.Val) bool { return v != nil && types.IsError(v) }

func gives(v ref.Val) string {
	switch {
	case v == nil:
		return ""
	case types.IsError(v):
		return fmt.Sprint(v)
	default:
		return fmt.Sprint(v.Value())
	}
}

func (x *explainer) part(e ast.Expr, state interpreter.EvalState, r *record.Record) Part {
	value, _ := state.Value(e.ID())
	p := Part{Gives: gives(value)}
	if text, err := parser.Unparse(e, x.ast.SourceInfo(), parser.WrapOnColumn(math.MaxInt32)); err == nil {
		p.Text = text
	}
	for _, path := range fieldsIn(e) {
		field := FieldValue{Path: variable + "." + strings.Join(path, "."), Value: valueOf(r, path)}
		if len(path) > 0 && !slices.Contains(p.Fields, field) {
			p.Fields = append(p.Fields, field)
		}
	}
	return p
}

// fieldsIn are the paths below the variable that e has, from left to right; an empty one is the variable itself.
func fieldsIn(e ast.Expr) [][]string {
	var paths [][]string
	inner := map[int64]bool{} // what belongs to a longer path
	ast.PreOrderVisit(e, ast.NewExprVisitor(func(e ast.Expr) {
		path, below, ok := pathOf(e)
		if !ok || inner[e.ID()] {
			return
		}
		for _, id := range below {
			inner[id] = true
		}
		paths = append(paths, path)
	}))
	return paths
}

// pathOf is the path that e selects below the variable, and the ids of what it is made of.
func pathOf(e ast.Expr) (path []string, below []int64, ok bool) {
	var operand ast.Expr
	var name string
	switch e.Kind() {
	case ast.IdentKind:
		return nil, nil, e.AsIdent() == variable
	case ast.SelectKind:
		operand, name = e.AsSelect().Operand(), e.AsSelect().FieldName()
	case ast.CallKind:
		args := e.AsCall().Args()
		if e.AsCall().FunctionName() != operators.OptSelect || len(args) != 2 || args[1].Kind() != ast.LiteralKind {
			return nil, nil, false
		}
		operand = args[0]
		name, _ = args[1].AsLiteral().Value().(string)
	default:
		return nil, nil, false
	}
	path, below, ok = pathOf(operand)
	return append(path, name), append(below, operand.ID()), ok
}

// shownValue bounds what is shown of a value, in characters.
const shownValue = 200

// absent is shown for what the record doesn't have, which an expression sees as empty.
const absent = "absent"

// valueOf is what the record has at the path, written as in CEL or else as JSON. Where it ends at a value that has names of
// its own, such as those of labels, it is all of that.
func valueOf(r *record.Record, path []string) string {
	v := reflect.ValueOf(r).Elem()
	for _, name := range path {
		if v.Kind() == reflect.Pointer {
			if v.IsNil() {
				return absent
			}
			v = v.Elem()
		}
		if v.Kind() != reflect.Struct {
			break
		}
		found := reflect.Value{}
		for field, value := range v.Fields() {
			if fieldName(field) == name {
				found = value
			}
		}
		if !found.IsValid() {
			return absent
		}
		v = found
	}
	return shown(v)
}

func shown(v reflect.Value) string {
	if v.IsZero() && v.Kind() != reflect.String && v.Kind() != reflect.Int64 {
		return absent
	}
	var text string
	switch value := v.Interface().(type) {
	case string:
		text = strconv.Quote(value)
	case time.Time:
		text = value.Format(time.RFC3339Nano)
	default:
		data, err := json.Marshal(value)
		if err != nil {
			return absent // which no record's field is
		}
		text = string(data)
	}
	if runes := []rune(text); len(runes) > shownValue {
		return string(runes[:shownValue]) + "..."
	}
	return text
}
