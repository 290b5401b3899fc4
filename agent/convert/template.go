package convert

import (
	"fmt"
	"slices"
	"strings"
	"text/template/parse"
)

// keeNames are the fields of the exporter's event, and what a template of ours calls them.
var keeNames = map[string]string{
	"Message": "Message", "Reason": "Reason", "Type": "Type", "Namespace": "Namespace", "Name": "Name", "Count": "Count",
	"Action": "Action", "ClusterName": "ClusterName", "FirstTimestamp": "First", "LastTimestamp": "Last",
	"Source.Component": "Source.Component", "Source.Host": "Source.Host",
	"ReportingController": "Source.Component", "ReportingInstance": "Source.Instance",
	"InvolvedObject.Kind": "Object.Kind", "InvolvedObject.Name": "Object.Name", "InvolvedObject.Namespace": "Object.Namespace",
	"InvolvedObject.APIVersion": "Object.APIVersion", "InvolvedObject.UID": "Object.UID",
	"InvolvedObject.FieldPath": "Object.FieldPath",
}

// sharedFunctions are those that mean the same in the exporter's templates and in ours.
var sharedFunctions = []string{
	"lower", "upper", "trim", "default", "replace", "contains", "hasPrefix",
	"printf", "print", "len", "eq", "ne", "lt", "le", "gt", "ge", "and", "or", "not",
}

// keeTemplate is a template of the exporter as one of ours. The error names what it has that ours don't.
func keeTemplate(text string) (string, error) {
	tree := parse.New("template")
	tree.Mode = parse.SkipFuncCheck
	trees := map[string]*parse.Tree{}
	if _, err := tree.Parse(text, "", "", trees); err != nil {
		return "", fmt.Errorf("it is no template: %s", strings.TrimPrefix(err.Error(), "template: "))
	}
	if len(trees) > 1 {
		return "", fmt.Errorf("it defines templates")
	}
	if tree.Root == nil {
		return "", fmt.Errorf("it is empty")
	}
	if err := translate(tree.Root); err != nil {
		return "", err
	}
	return tree.Root.String(), nil
}

// translate renames the fields in a template.
func translate(node parse.Node) error {
	switch n := node.(type) {
	case *parse.TextNode, *parse.StringNode, *parse.NumberNode, *parse.BoolNode:
		return nil
	case *parse.ListNode:
		return translateEach(n.Nodes)
	case *parse.ActionNode:
		return translatePipe(n.Pipe)
	case *parse.IfNode:
		if err := translatePipe(n.Pipe); err != nil {
			return err
		}
		if n.ElseList != nil {
			if err := translate(n.ElseList); err != nil {
				return err
			}
		}
		return translate(n.List)
	case *parse.PipeNode:
		return translatePipe(n)
	case *parse.IdentifierNode:
		if !slices.Contains(sharedFunctions, n.Ident) {
			return fmt.Errorf("a template has no function %s", n.Ident)
		}
		return nil
	case *parse.FieldNode:
		name := strings.Join(n.Ident, ".")
		ours, ok := keeNames[name]
		if strings.HasPrefix(name, "InvolvedObject.Labels") || strings.HasPrefix(name, "InvolvedObject.Annotations") {
			return fmt.Errorf("a record has .%s where enrich adds it, by {{with .Enrichment}}", name)
		}
		if !ok {
			return fmt.Errorf("a record has no field .%s", name)
		}
		n.Ident = strings.Split(ours, ".")
		return nil
	default:
		return fmt.Errorf("it has a part that a template here doesn't (%s)", n)
	}
}

func translatePipe(p *parse.PipeNode) error {
	if len(p.Decl) > 0 {
		return fmt.Errorf("it has variables")
	}
	for _, command := range p.Cmds {
		if err := translateEach(command.Args); err != nil {
			return err
		}
	}
	return nil
}

func translateEach(nodes []parse.Node) error {
	for _, n := range nodes {
		if err := translate(n); err != nil {
			return err
		}
	}
	return nil
}
