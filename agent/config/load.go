package config

import "errors"

// Load reads and parses the file at path. env is os.LookupEnv, or a test's; the variables in Variables override the file. The error is of
// type Problems.
func Load(path string, env func(string) (string, bool)) (*Config, error) {
	return nil, errors.ErrUnsupported
}

// Parse is Load for a file that was read already; file is its name, for the problems.
func Parse(file string, data []byte, env func(string) (string, bool)) (*Config, error) {
	return nil, errors.ErrUnsupported
}
