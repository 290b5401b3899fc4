package filter

import (
	"fmt"
	"reflect"
	"regexp"
	"strings"

	"cel.dev/cel-go/cel"

	"github.com/eventbaton/baton/agent/record"
)

// Error is what is wrong with an expression.
type Error struct {
	Line, Column int // in the expression, both from 1
	Text         string
}

func (e *Error) Error() string { return fmt.Sprintf("%d:%d: %s", e.Line, e.Column, e.Text) }

// explain makes one error of the first issue: those that follow are mostly its consequences.
func explain(expr string, issues *cel.Issues) *Error {
	first := issues.Errors()[0]
	e := &Error{Line: max(first.Location.Line(), 1), Column: max(first.Location.Column()+1, 1)}
	e.Text = rephrase(first.Message, before(expr, e.Line, e.Column))
	return e
}

// before is the part of the expression's line that lies before the column.
func before(expr string, line, column int) string {
	lines := strings.Split(expr, "\n")
	if line > len(lines) {
		return ""
	}
	runes := []rune(lines[line-1])
	return string(runes[:min(column-1, len(runes))])
}

var (
	undefinedField = regexp.MustCompile(`undefined field '([^']*)'`)
	undeclared     = regexp.MustCompile(`undeclared reference to '([^']*)'`)
	noOverload     = regexp.MustCompile(`found no matching overload for '([^']*)' applied to '([^']*)'`)
	notAToken      = regexp.MustCompile(`token recognition error at: '([^']*)`)
	operand        = regexp.MustCompile(`event((?:\.\w+)*)$`)
	typeNames      = regexp.MustCompile(`\brecord\.(Record|Object|Source|Enrichment|Owner)\b`)
)

// rephrase says what CEL says in words that help someone who has never seen CEL. Where CEL's words change with a
// version, its own remain.
func rephrase(message, before string) string {
	if m := undefinedField.FindStringSubmatch(message); m != nil {
		if f := functionOf(m[1]); f != nil {
			return fmt.Sprintf("%s is called: write %s", f.Name, f.Usage)
		}
		return fmt.Sprintf("there is no field %s; there are %s", m[1], siblings(before))
	}
	if m := undeclared.FindStringSubmatch(message); m != nil {
		if f := functionOf(m[1]); f != nil {
			return fmt.Sprintf("%s belongs to %s: write %s", f.Name, variable, f.Usage)
		}
		if strings.HasSuffix(before, "."+m[1]) {
			return fmt.Sprintf("there is no function %s; besides those of CEL there are %s", m[1], usages())
		}
		return fmt.Sprintf("there is no %s; fields are written as event.type, there are %s", m[1], list("", recordType))
	}
	if m := noOverload.FindStringSubmatch(message); m != nil {
		return mismatch(strings.Trim(m[1], "_"), plain(m[2]))
	}
	if m := notAToken.FindStringSubmatch(message); m != nil {
		return fmt.Sprintf("%s is not CEL here; equality is ==, and is &&, or is ||", strings.TrimSpace(m[1]))
	}
	return plain(strings.TrimPrefix(message, "Syntax error: "))
}

func functionOf(name string) *Function {
	for i := range Functions {
		if Functions[i].Name == name {
			return &Functions[i]
		}
	}
	return nil
}

func usages() string {
	all := make([]string, len(Functions))
	for i, f := range Functions {
		all[i] = f.Usage
	}
	return strings.Join(all, ", ")
}

// mismatch explains an operation on types that it doesn't exist for. The one word that is a function of CEL and the
// name of a field gets a hint.
func mismatch(operation, types string) string {
	text := fmt.Sprintf("%s can't be used with %s", operation, types)
	if strings.Contains(types, "type(type)") {
		text += "; fields are written as event.type"
	}
	return text
}

// plain takes the names of Go out of CEL's words.
func plain(message string) string {
	return typeNames.ReplaceAllStringFunc(message, func(name string) string {
		return strings.ToLower(strings.TrimPrefix(name, "record."))
	})
}

var recordType = reflect.TypeFor[record.Record]()

// siblings lists what there is where a field was sought, at the end of before; everything, where that can't be told.
func siblings(before string) string {
	m := operand.FindStringSubmatch(before)
	if m == nil {
		return list("", recordType)
	}
	t := recordType
	for name := range strings.SplitSeq(strings.TrimPrefix(m[1], "."), ".") {
		if inner := member(t, name); inner != nil {
			t = inner
		}
	}
	return list(m[1], t)
}

// member is the struct in the field of that name, nil where there is none.
func member(t reflect.Type, name string) reflect.Type {
	for field := range t.Fields() {
		if fieldName(field) == name {
			return structOf(field.Type)
		}
	}
	return nil
}

// list lists the fields of a struct; those of its structs are meant by its name.
func list(path string, t reflect.Type) string {
	var names []string
	for field := range t.Fields() {
		if name := fieldName(field); name != "-" {
			names = append(names, variable+path+"."+name)
		}
	}
	return strings.Join(names, ", ")
}

// Field is one field that an expression can use.
type Field struct {
	Path string // such as event.object.kind
	Type string // as CEL calls it: string, int, timestamp, list(string), map(string, string)
}

// Fields are all fields, in the order of the record.
func Fields() []Field { return fieldsOf(recordType, variable) }

func fieldsOf(t reflect.Type, path string) []Field {
	var fields []Field
	for field := range t.Fields() {
		name := fieldName(field)
		switch inner := structOf(field.Type); {
		case name == "-":
		case inner != nil:
			fields = append(fields, fieldsOf(inner, path+"."+name)...)
		default:
			fields = append(fields, Field{path + "." + name, typeName(field.Type)})
			if field.Type.Kind() == reflect.Slice && structOf(field.Type.Elem()) != nil {
				fields = append(fields, fieldsOf(field.Type.Elem(), path+"."+name+"[0]")...)
			}
		}
	}
	return fields
}

func typeName(t reflect.Type) string {
	switch t.Kind() {
	case reflect.Struct:
		if structOf(t) != nil {
			return strings.ToLower(t.Name())
		}
		return "timestamp"
	case reflect.Map:
		return "map(" + typeName(t.Key()) + ", " + typeName(t.Elem()) + ")"
	case reflect.Int64:
		return "int"
	case reflect.Slice:
		return "list(" + typeName(t.Elem()) + ")"
	default:
		return t.Kind().String()
	}
}

// structOf is the struct whose fields can be selected, nil for any other type. A time is a timestamp to CEL.
func structOf(t reflect.Type) reflect.Type {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct || t.PkgPath() == "time" {
		return nil
	}
	return t
}
