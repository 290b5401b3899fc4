// Command pack writes container images that are one layer each to an archive in the format of `docker save`:
//
//	pack -o images.tar [-entrypoint /x,y] [-env K=V] [-user U] [-stop-signal S] REFERENCE=layer.tar ...
//
// The options are those of every image of the archive.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"runtime"
	"strings"

	"github.com/google/go-containerregistry/pkg/compression"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "pack:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	flags := flag.NewFlagSet("pack", flag.ContinueOnError)
	out := flags.String("o", "", "the archive to write")
	entrypoint := flags.String("entrypoint", "", "the entry point, its words with commas between them")
	env := flags.String("env", "", "the environment, NAME=value with commas between them")
	user := flags.String("user", "", "the user that the process is run as")
	stop := flags.String("stop-signal", "", "the signal that ends the process")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *out == "" || flags.NArg() == 0 {
		return errors.New("want: pack -o images.tar [options] REFERENCE=layer.tar, and so on")
	}
	config := v1.Config{
		Entrypoint: words(*entrypoint),
		Env:        append(words(*env), "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"),
		User:       *user,
		StopSignal: *stop,
	}
	images := map[name.Reference]v1.Image{}
	for _, arg := range flags.Args() {
		reference, layer, found := strings.Cut(arg, "=")
		if !found {
			return fmt.Errorf("%q: want REFERENCE=layer.tar", arg)
		}
		ref, err := name.NewTag(reference)
		if err != nil {
			return err
		}
		if images[ref], err = image(layer, config); err != nil {
			return fmt.Errorf("%s: %w", reference, err)
		}
	}
	return tarball.MultiRefWriteToFile(*out, images)
}

func words(list string) []string {
	return strings.FieldsFunc(list, func(r rune) bool { return r == ',' })
}

// image is one layer. It is compressed as little as possible: it is read back on this machine only.
func image(layer string, config v1.Config) (v1.Image, error) {
	l, err := tarball.LayerFromFile(layer, tarball.WithCompression(compression.GZip), tarball.WithCompressionLevel(1))
	if err != nil {
		return nil, err
	}
	base, err := mutate.ConfigFile(empty.Image, &v1.ConfigFile{
		OS: "linux", Architecture: runtime.GOARCH, Config: config, RootFS: v1.RootFS{Type: "layers"},
	})
	if err != nil {
		return nil, err
	}
	return mutate.AppendLayers(base, l)
}
