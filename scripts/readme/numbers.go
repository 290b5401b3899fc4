package main

import (
	"embed"
	"fmt"
	"strings"
	"text/template"
)

//go:embed *.tmpl
var templates embed.FS

// fill makes the tables of the README in which figures stand, by the name of their markers, which the templates have too.
func fill(numbers string) (map[string]string, error) {
	all, err := template.New("").Funcs(template.FuncMap{"figure": func(section, number string) (string, error) {
		return figure(numbers, section, number)
	}}).ParseFS(templates, "*.tmpl")
	if err != nil {
		return nil, err
	}
	tables := map[string]string{}
	for _, t := range all.Templates() {
		var b strings.Builder
		if err := t.Execute(&b, nil); err != nil {
			return nil, err
		}
		tables[strings.TrimSuffix(t.Name(), ".tmpl")] = b.String()
	}
	return tables, nil
}

// figure looks up what was measured. It fails where the section doesn't have the number once.
func figure(numbers, section, number string) (string, error) {
	_, rest, _ := strings.Cut(numbers, "\n## "+section+"\n")
	rest, _, _ = strings.Cut(rest, "\n## ")
	before := "\n| " + number + " | "
	if n := strings.Count(rest, before); n != 1 {
		return "", fmt.Errorf("the section %s has the number %q %d times", section, number, n)
	}
	_, rest, _ = strings.Cut(rest, before)
	value, _, _ := strings.Cut(rest, " |")
	return value, nil
}
