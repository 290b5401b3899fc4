package main

import (
	"embed"
	"fmt"
	"strings"
	"text/template"
)

// tables are those of the README in which figures of docs/numbers.md stand, each by its name in the markers and with .tmpl.
var tables = []string{"failover", "costs"}

//go:embed *.tmpl
var templates embed.FS

// fill puts the figures into a table's text.
func fill(table, numbers string) (string, error) {
	t, err := template.New("table").Funcs(template.FuncMap{"figure": func(section, number string) (string, error) {
		return figure(numbers, section, number)
	}}).Parse(table)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	err = t.Execute(&b, nil)
	return b.String(), err
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
