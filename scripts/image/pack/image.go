package pack

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

const (
	// user owns nothing and is nobody: a number, because only of a number a kubelet can tell that it is not root.
	user = "65532:65532"
	home = "https://github.com/eventbaton/baton"
)

// Limit is the size that no image may have, compressed: it is pulled by every node.
const Limit = 40 << 20

// Image makes the image of one program. The common files are a layer of their own.
func Image(arch string, s Source, common []File, binary File) (v1.Image, error) {
	created := v1.Time{Time: s.Time}
	var layers []mutate.Addendum
	for _, files := range [][]File{common, {binary}} {
		layer, err := layer(s, files...)
		if err != nil {
			return nil, err
		}
		layers = append(layers, mutate.Addendum{Layer: layer, History: v1.History{Created: created, CreatedBy: "scripts/image"}})
	}
	base := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	image, err := mutate.ConfigFile(base, &v1.ConfigFile{
		Architecture: arch, OS: "linux", Created: created, RootFS: v1.RootFS{Type: "layers"},
		Config: v1.Config{
			User: user, Entrypoint: []string{"/" + binary.Path}, WorkingDir: "/",
			Env:    []string{"PATH=/"},
			Labels: labels(s, binary.Path),
		},
	})
	if err != nil {
		return nil, fmt.Errorf("making the image's configuration: %w", err)
	}
	if image, err = mutate.Append(image, layers...); err != nil {
		return nil, fmt.Errorf("adding the layers: %w", err)
	}
	return image, checkSize(image)
}

func labels(s Source, title string) map[string]string {
	l := map[string]string{
		"org.opencontainers.image.title":    title,
		"org.opencontainers.image.source":   home,
		"org.opencontainers.image.version":  s.Version,
		"org.opencontainers.image.licenses": "Apache-2.0",
	}
	if s.Revision != "" {
		l["org.opencontainers.image.revision"] = s.Revision
	}
	return l
}

func layer(s Source, files ...File) (v1.Layer, error) {
	b, err := archive(s.Time, files...)
	if err != nil {
		return nil, err
	}
	open := func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(b)), nil }
	l, err := tarball.LayerFromOpener(open, tarball.WithMediaType(types.OCILayer),
		tarball.WithCompressionLevel(gzip.BestCompression), tarball.WithCompressedCaching)
	if err != nil {
		return nil, fmt.Errorf("making a layer of %s: %w", files[0].Path, err)
	}
	return l, nil
}

// Size is what a pull transfers.
func Size(image v1.Image) (int64, error) {
	m, err := image.Manifest()
	if err != nil {
		return 0, fmt.Errorf("reading the image's manifest: %w", err)
	}
	n := m.Config.Size
	for _, l := range m.Layers {
		n += l.Size
	}
	return n, nil
}

func checkSize(image v1.Image) error {
	n, err := Size(image)
	if err == nil && n > Limit {
		return fmt.Errorf("the image has %d bytes, compressed, and may have %d: find out what made it grow "+
			"(go version -m, go tool nm -size on the binary)", n, Limit)
	}
	return err
}

// Index joins the images of several architectures under one reference.
func Index(images map[string]v1.Image, order ...string) v1.ImageIndex {
	index := v1.ImageIndex(empty.Index)
	for _, arch := range order {
		index = mutate.AppendManifests(index, mutate.IndexAddendum{
			Add:        images[arch],
			Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: arch}},
		})
	}
	return index
}

// Save writes an archive as `docker save` does. It is either there whole or not at all.
func Save(file, reference string, image v1.Image) error {
	tag, err := name.NewTag(reference)
	if err != nil {
		return fmt.Errorf("-name %s: %w", reference, err)
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return fmt.Errorf("making the archive's folder: %w", err)
	}
	part := file + ".part"
	if err := tarball.WriteToFile(part, tag, image); err != nil {
		return errors.Join(fmt.Errorf("writing %s: %w", file, err), os.RemoveAll(part))
	}
	return os.Rename(part, file)
}

// Push publishes the index under a reference, with the credentials that `docker login` has left.
func Push(ctx context.Context, reference string, index v1.ImageIndex) error {
	ref, err := name.ParseReference(reference)
	if err != nil {
		return fmt.Errorf("-push %s: %w", reference, err)
	}
	if err := remote.WriteIndex(ref, index, remote.WithContext(ctx), remote.WithAuthFromKeychain(authn.DefaultKeychain)); err != nil {
		return fmt.Errorf("publishing %s: %w", ref, err)
	}
	return nil
}
