package config

import "go.yaml.in/yaml/v3"

// Document is the content of the one YAML document in data, nil where there is nothing in it. It is for who reads another
// layout than ours. The error is of type Problems.
func Document(file string, data []byte) (*yaml.Node, error) {
	root, problem := document(data)
	if problem != nil {
		problem.File = file
		return nil, Problems{*problem}
	}
	return root, nil
}
