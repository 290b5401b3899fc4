package pack

import (
	"archive/tar"
	"bytes"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/crypto/x509roots/fallback/bundle"
)

// rootsFile is the first place where Go looks for CA roots.
const rootsFile = "etc/ssl/certs/ca-certificates.crt"

// File is a file of an image.
type File struct {
	Path string // without a slash at its beginning
	Mode int64
	Data []byte
}

// Roots is the file of CA roots: Mozilla's, of the version that go.sum pins. Whoever has others mounts them over it.
func Roots() File {
	var b bytes.Buffer
	for root := range bundle.Roots() {
		// One that Mozilla trusts for old certificates only has a limit that PEM can't express; without it, it would be
		// trusted for everything.
		if root.Constraint != nil {
			continue
		}
		// Writing to a buffer does not fail.
		_ = pem.Encode(&b, &pem.Block{Type: "CERTIFICATE", Bytes: root.Certificate})
	}
	return File{Path: rootsFile, Mode: 0o644, Data: b.Bytes()}
}

// Common are the files that every image has, from the checkout in the folder dir: the CA roots and the licence.
func Common(dir string) ([]File, error) {
	licence, err := os.ReadFile(filepath.Join(dir, "LICENSE"))
	if err != nil {
		return nil, fmt.Errorf("reading the licence that goes into the image: %w", err)
	}
	return []File{{Path: "LICENSE", Mode: 0o644, Data: licence}, Roots()}, nil
}

// Binary is the file of a program, at the root of the image.
func Binary(name string, data []byte) File { return File{Path: name, Mode: 0o755, Data: data} }

// archive is the files as a tar archive, and the folders that they are in.
func archive(at time.Time, files ...File) ([]byte, error) {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	var made []string
	for _, f := range files {
		for _, dir := range parents(f.Path) {
			if slices.Contains(made, dir) {
				continue
			}
			made = append(made, dir)
			h := &tar.Header{Typeflag: tar.TypeDir, Name: dir + "/", Mode: 0o755, ModTime: at, Format: tar.FormatPAX}
			if err := w.WriteHeader(h); err != nil {
				return nil, fmt.Errorf("packing %s: %w", dir, err)
			}
		}
		h := &tar.Header{
			Typeflag: tar.TypeReg, Name: f.Path, Mode: f.Mode, Size: int64(len(f.Data)), ModTime: at, Format: tar.FormatPAX,
		}
		if err := w.WriteHeader(h); err != nil {
			return nil, fmt.Errorf("packing %s: %w", f.Path, err)
		}
		if _, err := w.Write(f.Data); err != nil {
			return nil, fmt.Errorf("packing %s: %w", f.Path, err)
		}
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("packing: %w", err)
	}
	return b.Bytes(), nil
}

// parents are the folders above a path, the outermost first.
func parents(p string) []string {
	var all []string
	for d := path.Dir(p); d != "."; d = path.Dir(d) {
		all = append([]string{d}, all...)
	}
	return all
}

// Unpack writes the files below the folder dir, which is removed first: it is the whole file system of an image, for a
// Dockerfile to copy.
func Unpack(dir string, at time.Time, files ...File) error {
	if !strings.HasPrefix(filepath.Base(dir), "rootfs") {
		return fmt.Errorf("the folder %s would be removed first: one whose name begins with rootfs is needed", dir)
	}
	if err := os.RemoveAll(dir); err != nil {
		return fmt.Errorf("removing what is in %s: %w", dir, err)
	}
	for _, f := range files {
		if err := unpack(dir, at, f); err != nil {
			return fmt.Errorf("writing %s below %s: %w", f.Path, dir, err)
		}
	}
	return nil
}

// unpack sets each mode by itself, because the caller's umask may keep the image's user from reading what is made.
func unpack(dir string, at time.Time, f File) error {
	file := filepath.Join(dir, filepath.FromSlash(f.Path))
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(file, f.Data, os.FileMode(f.Mode)); err != nil {
		return err
	}
	errs := []error{os.Chmod(file, os.FileMode(f.Mode)), os.Chtimes(file, at, at)}
	for p := filepath.Dir(file); p != filepath.Dir(filepath.Clean(dir)); p = filepath.Dir(p) {
		errs = append(errs, os.Chmod(p, 0o755), os.Chtimes(p, at, at))
	}
	return errors.Join(errs...)
}
