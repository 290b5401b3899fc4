package filter

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/overloads"
	"cel.dev/cel-go/common/types"
)

// Function is one that Baton adds to CEL, for what most filters ask.
//
// Each is a macro: it becomes a comparison of its field when the expression is compiled, so it costs what that costs, and
// its names are checked before the first record is.
type Function struct {
	Name  string
	Usage string // as it is written
	Means string // what it becomes
	field []string
	// name is what a name may be; where it isn't, wrong says what one looks like.
	name  *regexp.Regexp
	wrong string
}

// Functions are all of them. A name may have * in it, which stands for any text, also for none.
var Functions = []Function{
	{Name: "isWarning", Usage: `event.isWarning()`, Means: `event.type == "Warning"`, field: []string{"type"}},
	{
		Name: "hasReason", Usage: `event.hasReason("BackOff", "Failed*")`,
		Means: `event.reason == "BackOff" || event.reason.startsWith("Failed")`,
		field: []string{"reason"}, name: anything,
	},
	{
		Name: "ofKind", Usage: `event.ofKind("Pod", "Node")`, Means: `event.object.kind in ["Pod", "Node"]`,
		field: []string{"object", "kind"}, name: regexp.MustCompile(`^[A-Z*][A-Za-z0-9*]*$`),
		wrong: "a kind is written as Pod, with a capital letter and without its group",
	},
	{
		Name: "inNamespace", Usage: `event.inNamespace("shop", "team-*")`,
		Means: `event.namespace == "shop" || event.namespace.startsWith("team-")`,
		field: []string{"namespace"}, name: regexp.MustCompile(`^[a-z0-9*]([-a-z0-9*]*[a-z0-9*])?$`),
		wrong: "a namespace has lower-case letters, digits and -",
	},
	{
		Name: "fromComponent", Usage: `event.fromComponent("kubelet", "*-controller")`,
		Means: `event.source.component == "kubelet" || event.source.component.endsWith("-controller")`,
		field: []string{"source", "component"}, name: anything,
	},
}

var anything = regexp.MustCompile(`(?s)^.+$`)

const (
	// maxNames bounds how many names one call may have, and with it how deep what it becomes is nested.
	maxNames = 100
	// maxStars bounds what a pattern costs.
	maxStars = 8
)

// macros are the functions as CEL has them.
func macros() []cel.Macro {
	all := make([]cel.Macro, len(Functions))
	for i := range Functions {
		f := &Functions[i]
		all[i] = cel.ReceiverVarArgMacro(f.Name, f.expand)
	}
	return all
}

// expand makes the comparison.
func (f *Function) expand(eh cel.MacroExprFactory, target ast.Expr, args []ast.Expr) (ast.Expr, *cel.Error) {
	if target.Kind() != ast.IdentKind || target.AsIdent() != variable {
		return nil, eh.NewError(target.ID(), fmt.Sprintf("%s belongs to %s: write %s", f.Name, variable, f.Usage))
	}
	if f.name == nil {
		if len(args) > 0 {
			return nil, eh.NewError(args[0].ID(), fmt.Sprintf("%s takes nothing: write %s", f.Name, f.Usage))
		}
		return f.equals(eh, eventTypeWarning), nil
	}
	names, err := f.names(eh, target, args)
	if err != nil {
		return nil, err
	}
	return f.among(eh, names), nil
}

const eventTypeWarning = "Warning"

// names are the arguments' texts, or those of the one list.
func (f *Function) names(eh cel.MacroExprFactory, target ast.Expr, args []ast.Expr) ([]string, *cel.Error) {
	if len(args) == 1 && args[0].Kind() == ast.ListKind {
		args = args[0].AsList().Elements()
	}
	if len(args) == 0 || len(args) > maxNames {
		return nil, eh.NewError(target.ID(), fmt.Sprintf("%s takes 1 to %d names: write %s", f.Name, maxNames, f.Usage))
	}
	names := make([]string, len(args))
	for i, arg := range args {
		var ok bool
		if arg.Kind() == ast.LiteralKind {
			names[i], ok = arg.AsLiteral().Value().(string)
		}
		switch {
		case !ok:
			return nil, eh.NewError(arg.ID(),
				fmt.Sprintf("%s takes names in quotes: write %s, or compare %s itself", f.Name, f.Usage, f.path()))
		case names[i] == "":
			return nil, eh.NewError(arg.ID(), f.Name+" has an empty name: write one, or remove it")
		case strings.Count(names[i], "*") > maxStars:
			return nil, eh.NewError(arg.ID(), fmt.Sprintf("%.50s has more than %d *: write fewer", strconv.Quote(names[i]), maxStars))
		case !f.name.MatchString(names[i]):
			return nil, eh.NewError(arg.ID(), fmt.Sprintf("%s can't be meant: %s; * stands for any text; or compare %s itself",
				strconv.Quote(names[i]), f.wrong, f.path()))
		}
	}
	return names, nil
}

// path is the field that is compared.
func (f *Function) path() string { return variable + "." + strings.Join(f.field, ".") }

// among is true where the field is one of the names or like one of them.
func (f *Function) among(eh cel.MacroExprFactory, names []string) ast.Expr {
	var exact, either []ast.Expr
	for _, name := range names {
		if strings.Contains(name, "*") {
			either = append(either, f.like(eh, name))
		} else {
			exact = append(exact, eh.NewLiteral(types.String(name)))
		}
	}
	switch len(exact) {
	case 0:
	case 1:
		either = append(either, eh.NewCall(operators.Equals, f.value(eh), exact[0]))
	default:
		either = append(either, eh.NewCall(operators.In, f.value(eh), eh.NewList(exact...)))
	}
	whole := either[0]
	for _, next := range either[1:] {
		whole = eh.NewCall(operators.LogicalOr, whole, next)
	}
	return whole
}

func (f *Function) equals(eh cel.MacroExprFactory, text string) ast.Expr {
	return eh.NewCall(operators.Equals, f.value(eh), eh.NewLiteral(types.String(text)))
}

// value is the field.
func (f *Function) value(eh cel.MacroExprFactory) ast.Expr {
	e := eh.NewIdent(variable)
	for _, name := range f.field {
		e = eh.NewSelect(e, name)
	}
	return e
}

// like is true where the field is like the pattern. Those that people write cost less than a regular expression.
func (f *Function) like(eh cel.MacroExprFactory, pattern string) ast.Expr {
	text := func(s string) ast.Expr { return eh.NewLiteral(types.String(s)) }
	parts := strings.Split(pattern, "*")
	first, last := parts[0], parts[len(parts)-1]
	switch middle := strings.Join(parts[1:len(parts)-1], ""); {
	case first == "" && middle == "" && last == "":
		return eh.NewLiteral(types.True)
	case middle == "" && last == "":
		return eh.NewMemberCall(overloads.StartsWith, f.value(eh), text(first))
	case middle == "" && first == "":
		return eh.NewMemberCall(overloads.EndsWith, f.value(eh), text(last))
	case len(parts) == 3 && first == "" && last == "":
		return eh.NewMemberCall(overloads.Contains, f.value(eh), text(middle))
	}
	for i, part := range parts {
		parts[i] = regexp.QuoteMeta(part)
	}
	return eh.NewMemberCall(overloads.Matches, f.value(eh), text("(?s)^"+strings.Join(parts, ".*")+"$"))
}
