package config

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/eventbaton/baton/agent/sink"
)

// maxFile bounds the file's length. A ConfigMap can't be larger.
const maxFile = 1 << 20

// Load reads the file at path and parses it. env is os.LookupEnv or a test's own. The error is of type Problems.
func Load(path string, env func(string) (string, bool)) (*Config, error) {
	data, err := read(path)
	if err != nil {
		return nil, Problems{{File: path, Text: err.Error()}}
	}
	return Parse(path, data, env)
}

func read(path string) ([]byte, error) {
	f, err := os.Open(path) //nolint:gosec // which file it is, is for the one who starts the program to say
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, errors.New("does not exist; mount the ConfigMap there, or name another file with --config")
	case err != nil:
		return nil, fmt.Errorf("can't be opened: %w", unwrapPath(err))
	}
	defer func() { _ = f.Close() }()
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, fmt.Errorf("can't be read: %w", unwrapPath(err))
	}
	return data, nil
}

// unwrapPath drops the path from an error, which names the file once already.
func unwrapPath(err error) error {
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		return e.Err
	}
	return err
}

// Parse makes a Config of a file's content and of the environment, whose variables override the file. file is the
// name that the problems give. The error is of type Problems.
func Parse(file string, data []byte, env func(string) (string, bool)) (*Config, error) {
	return parse(file, data, env, sink.Types)
}

func parse(file string, data []byte, env func(string) (string, bool), types map[string]func() sink.Options) (*Config, error) {
	root, problem := document(data)
	if problem != nil {
		problem.File = file
		return nil, Problems{*problem}
	}
	p := &parser{decoder: decoder{file: file, places: map[string]place{}}, config: Default(), types: types}
	p.document(root)
	p.environment(env)
	p.check()
	if problems := p.told(); len(problems) > 0 {
		return nil, problems
	}
	return p.config, nil
}
