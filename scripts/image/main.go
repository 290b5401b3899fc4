// Command image makes the container image of one of the module's programs, without Docker and without a registry.
//
//	go run ./scripts/image -o dist/baton-image.tar            an archive for `docker load`
//	go run ./scripts/image -push example.test/baton:0.1.0     both architectures, published under one reference
//	go run ./scripts/image -rootfs dist/rootfs                the image's files, for the Dockerfile
//	go run ./scripts/image                                    only the digests
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"sigs.k8s.io/yaml"

	"github.com/eventbaton/baton/scripts/image/pack"
)

// architectures are those that are published.
var architectures = []string{"amd64", "arm64"}

type options struct {
	pkg, name, arch, file, push, rootfs string
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Stdout, os.LookupEnv, os.Args[1:])
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "image:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, out io.Writer, env func(string) (string, bool), args []string) error {
	var o options
	f := flag.NewFlagSet("image", flag.ContinueOnError)
	f.SetOutput(out)
	f.StringVar(&o.pkg, "package", "./agent", "the program")
	f.StringVar(&o.name, "name", "", "the image's name and tag (default: eventbaton/baton of the chart's appVersion)")
	f.StringVar(&o.arch, "arch", "", "amd64 or arm64 (default: this machine's for -o and -rootfs, else both)")
	f.StringVar(&o.file, "o", "", "write an archive for docker load")
	f.StringVar(&o.push, "push", "", "publish under this reference")
	f.StringVar(&o.rootfs, "rootfs", "", "write the image's files below this folder")
	if err := f.Parse(args); errors.Is(err, flag.ErrHelp) {
		return nil
	} else if err != nil {
		return err
	}
	if f.NArg() > 0 {
		return fmt.Errorf("it takes flags alone, and has %q", f.Args())
	}
	arches, err := o.arches()
	if err != nil {
		return err
	}
	root, err := checkout(ctx)
	if err != nil {
		return err
	}
	if o.name == "" {
		if o.name, err = released(root); err != nil {
			return err
		}
	}
	source, err := pack.Describe(ctx, root, env)
	if err != nil {
		return err
	}
	return o.make(ctx, out, root, source, arches)
}

func (o *options) arches() ([]string, error) {
	switch {
	case o.arch != "" && !slices.Contains(architectures, o.arch):
		return nil, fmt.Errorf("-arch %s: it is one of %s", o.arch, strings.Join(architectures, ", "))
	case o.arch != "":
		return []string{o.arch}, nil
	case o.push == "" && (o.file != "" || o.rootfs != ""):
		return []string{runtime.GOARCH}, nil
	case o.file != "" || o.rootfs != "":
		return nil, errors.New("-push publishes both architectures, -o and -rootfs take one: run it twice, or give -arch")
	default:
		return architectures, nil
	}
}

// make makes the images and hands each to what was asked for.
func (o *options) make(ctx context.Context, out io.Writer, root string, s pack.Source, arches []string) error {
	common, err := pack.Common(root)
	if err != nil {
		return err
	}
	images := map[string]v1.Image{}
	for _, arch := range arches {
		program, err := pack.Build(ctx, root, o.pkg, arch, s)
		if err != nil {
			return err
		}
		binary := pack.Binary(o.program(), program)
		if images[arch], err = pack.Image(arch, s, common, binary); err != nil {
			return err
		}
		if err := o.write(images[arch], s, append(common, binary)); err != nil {
			return err
		}
		if err := describe(out, o.name+" linux/"+arch, images[arch]); err != nil {
			return err
		}
	}
	if len(arches) < 2 && o.push == "" {
		return nil
	}
	index := pack.Index(images, arches...)
	if o.push != "" {
		if err := pack.Push(ctx, o.push, index); err != nil {
			return err
		}
	}
	digest, err := index.Digest()
	if err != nil {
		return err
	}
	name := o.name
	if o.push != "" {
		name = o.push
	}
	_, err = fmt.Fprintf(out, "%s %s\n", name, digest)
	return err
}

func (o *options) write(image v1.Image, s pack.Source, files []pack.File) error {
	if o.file != "" {
		if err := pack.Save(o.file, o.name, image); err != nil {
			return err
		}
	}
	if o.rootfs != "" {
		return pack.Unpack(o.rootfs, s.Time, files...)
	}
	return nil
}

func describe(out io.Writer, what string, image v1.Image) error {
	digest, err := image.Digest()
	if err != nil {
		return err
	}
	size, err := pack.Size(image)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(out, "%s %s %.1f MB\n", what, digest, float64(size)/1e6)
	return err
}

// program is the binary's name: the last part of the image's.
func (o *options) program() string {
	name, _, _ := strings.Cut(path.Base(o.name), "@")
	name, _, _ = strings.Cut(name, ":")
	return name
}

// released is the name under which the chart looks for the image.
func released(root string) (string, error) {
	file := filepath.Join(root, "charts", "baton", "Chart.yaml")
	b, err := os.ReadFile(file)
	if err != nil {
		return "", fmt.Errorf("reading the image's tag (or give -name): %w", err)
	}
	var chart struct {
		AppVersion string `json:"appVersion"`
	}
	if err := yaml.Unmarshal(b, &chart); err != nil {
		return "", fmt.Errorf("reading the image's tag in %s: %w", file, err)
	}
	if chart.AppVersion == "" {
		return "", fmt.Errorf("%s has no appVersion, which is the image's tag", file)
	}
	return "eventbaton/baton:" + chart.AppVersion, nil
}

// checkout is the module's folder.
func checkout(ctx context.Context) (string, error) {
	out, err := exec.CommandContext(ctx, "go", "env", "GOMOD").Output()
	if err != nil {
		return "", fmt.Errorf("finding the module's folder: %w", err)
	}
	return filepath.Dir(strings.TrimSpace(string(out))), nil
}
