package sink

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"sync"
	"time"
)

const (
	fileMaxAge  = time.Second // how old what is known of a file may be
	fileMaxSize = 1 << 20
)

// Secret is a value that is never printed.
type Secret string

const redacted = "[redacted]"

func (Secret) String() string               { return redacted }
func (Secret) GoString() string             { return redacted }
func (Secret) LogValue() slog.Value         { return slog.StringValue(redacted) }
func (Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// file is one whose content may change while Baton runs: a mounted Secret is replaced by turning a symlink, others are
// renamed over or written in place. It is read again at most once a second and only when it is used. Reading costs
// some ten microseconds, and is right however the file was changed, which can't be said of its times.
type file struct {
	key, path string // the key in kubernetes.yaml, for the errors

	mu   sync.Mutex
	read time.Time
	data []byte
	err  error
}

// newFile gives nil for an empty path.
func newFile(key, path string) *file {
	if path == "" {
		return nil
	}
	return &file{key: key, path: path}
}

// content gives the file's bytes, which must not be changed; nil for a nil file. A file that is missing or empty is an
// error that names it: a Secret may yet be mounted or filled.
func (f *file) content() ([]byte, error) {
	if f == nil {
		return nil, nil
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.read.IsZero() || time.Since(f.read) >= fileMaxAge {
		f.data, f.err = readFile(f.path)
		f.read = time.Now()
	}
	if f.err != nil {
		return nil, fmt.Errorf("%s: %w", f.key, f.err)
	}
	return f.data, nil
}

// secret gives the file's content without the white space around it; "" for a nil file. The error never says what is
// in it.
func (f *file) secret() (Secret, error) {
	data, err := f.content()
	s := strings.TrimSpace(string(data))
	if err == nil && f != nil && s == "" {
		err = fmt.Errorf("%s: %s has nothing but white space", f.key, f.path)
	}
	return Secret(s), err
}

// headerSecret is a secret that is to go in a header.
func (f *file) headerSecret() (Secret, error) {
	s, err := f.secret()
	if err == nil && !validHeaderValue(string(s)) {
		err = fmt.Errorf("%s: %s has several lines or other characters that a header can't carry", f.key, f.path)
	}
	return s, err
}

func readFile(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is no regular file", path)
	}
	f, err := os.Open(path) //nolint:gosec // the configuration names it
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(io.LimitReader(f, fileMaxSize+1))
	if err := errors.Join(err, f.Close()); err != nil {
		return nil, err
	}
	switch {
	case len(data) == 0:
		return nil, fmt.Errorf("%s is empty", path)
	case len(data) > fileMaxSize:
		return nil, fmt.Errorf("%s is larger than %d bytes", path, fileMaxSize)
	}
	return data, nil
}
