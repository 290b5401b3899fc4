package cluster

import (
	"archive/tar"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"

	"github.com/distribution/reference"
	"sigs.k8s.io/kind/pkg/cluster/nodes"
	"sigs.k8s.io/kind/pkg/cluster/nodeutils"
)

// Image is one of an archive.
type Image struct {
	// ID is the digest of its configuration, which is what a node knows it by.
	ID string
	// Tags are its names, as the archive has them.
	Tags []string
}

// Images are those of an archive as `docker save` writes it.
func Images(archive string) ([]Image, error) {
	f, err := os.Open(archive)
	if err != nil {
		return nil, fmt.Errorf("opening an archive of images: %w", err)
	}
	defer f.Close()
	images, err := parseArchive(f)
	if err != nil {
		return nil, fmt.Errorf("reading the images of %s: %w", archive, err)
	}
	return images, nil
}

// parseArchive reads the index that `docker save` puts into an archive.
func parseArchive(r io.Reader) ([]Image, error) {
	files := tar.NewReader(r)
	for {
		h, err := files.Next()
		if errors.Is(err, io.EOF) {
			return nil, errors.New("there is no manifest.json in it: was it made by `docker save`, or by scripts/image?")
		}
		if err != nil {
			return nil, err
		}
		if h.Name != "manifest.json" {
			continue
		}
		var index []struct {
			Config   string
			RepoTags []string
		}
		if err := json.NewDecoder(files).Decode(&index); err != nil {
			return nil, fmt.Errorf("its manifest.json: %w", err)
		}
		images := make([]Image, len(index))
		for i, in := range index {
			images[i] = Image{ID: digest(in.Config), Tags: in.RepoTags}
		}
		return images, nil
	}
}

// digest is that in the name of a configuration's file: `sha256:<hex>`, `<hex>.json` or `blobs/sha256/<hex>`.
func digest(file string) string {
	file = strings.TrimSuffix(file[strings.LastIndex(file, "/")+1:], ".json")
	return "sha256:" + strings.TrimPrefix(file, "sha256:")
}

// Load loads the images of archives, as `docker save` writes them, into all nodes that lack them.
func (c *Cluster) Load(ctx context.Context, archives ...string) error {
	all, err := c.provider.ListInternalNodes(c.options.Name)
	if err != nil {
		return fmt.Errorf("looking for the nodes of %s: %w", c.options.Name, explain(err))
	}
	if len(all) == 0 {
		return fmt.Errorf("loading images: the cluster %s has no nodes", c.options.Name)
	}
	for _, archive := range archives {
		images, err := Images(archive)
		if err != nil {
			return err
		}
		errs := make([]error, len(all))
		var wg sync.WaitGroup
		for i, n := range all {
			wg.Go(func() { errs[i] = c.loadInto(ctx, n, archive, images) })
		}
		wg.Wait()
		if err := errors.Join(errs...); err != nil {
			return err
		}
	}
	return nil
}

func (c *Cluster) loadInto(ctx context.Context, n nodes.Node, archive string, images []Image) error {
	if c.has(ctx, n.String(), images) {
		return nil
	}
	f, err := os.Open(archive)
	if err != nil {
		return fmt.Errorf("opening an archive of images: %w", err)
	}
	defer f.Close()
	if err := nodeutils.LoadImageArchive(n, until{ctx, f}); err != nil {
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return fmt.Errorf("loading %s into the node %s: %w", archive, n, explain(err))
	}
	return nil
}

// until ends with its context what reads from it.
type until struct {
	ctx context.Context
	r   io.Reader
}

func (u until) Read(p []byte) (int, error) {
	if u.ctx.Err() != nil {
		return 0, context.Cause(u.ctx)
	}
	return u.r.Read(p)
}

// manifest prints the manifest of the image with the tag $1, as the node's containerd has it.
const manifest = `d=$(ctr -n k8s.io images ls "name==$1" | awk 'NR==2 {print $3}')
[ -n "$d" ] && ctr -n k8s.io content get "$d"`

// has tells whether a node has these very images under all their tags. What can't be told is loaded again.
func (c *Cluster) has(ctx context.Context, node string, images []Image) bool {
	for _, i := range images {
		if len(i.Tags) == 0 {
			return false
		}
		for _, tag := range i.Tags {
			name, err := reference.ParseDockerRef(tag) // containerd has the whole of it
			if err != nil {
				return false
			}
			out, err := c.Exec(ctx, node, "sh", "-c", manifest, "sh", name.String())
			if err != nil || configOf(out) != i.ID {
				return false
			}
		}
	}
	return true
}

// configOf is the digest of the configuration that a manifest names.
func configOf(manifest []byte) string {
	var m struct {
		Config struct{ Digest string }
	}
	if json.Unmarshal(manifest, &m) != nil {
		return ""
	}
	return m.Config.Digest
}
