package main

import (
	"context"
	"debug/elf"
	"fmt"
	"os"
	"runtime"

	"github.com/eventbaton/baton/e2e/controlplane"
	"github.com/eventbaton/baton/scripts/image/pack"
)

// binary measures the file and its image.
func binary(ctx context.Context, b *bench) ([]number, error) {
	file, err := fileSize(b.binary)
	if err != nil {
		return nil, err
	}
	program, err := os.ReadFile(b.binary)
	if err != nil {
		return nil, fmt.Errorf("the binary: %w", err)
	}
	image, err := imageSize(ctx, program)
	if err != nil {
		return nil, err
	}
	return []number{file, below("the image, compressed, as it is pulled", image, pack.Limit/1e6, " MB")}, nil
}

// fileSize is the size of the binary. One that is not stripped is not the one that is delivered.
func fileSize(path string) (number, error) {
	info, err := os.Stat(path)
	if err != nil {
		return number{}, fmt.Errorf("the binary: %w", err)
	}
	what := "size, stripped"
	if file, err := elf.Open(path); err == nil {
		if file.Section(".symtab") != nil {
			what = "size, NOT stripped: use `make bench`"
		}
		_ = file.Close() // was only read
	}
	return atMost(what, float64(info.Size())/1e6, 60, " MB"), nil
}

// imageSize is how many megabytes of an image with this program are transferred.
func imageSize(ctx context.Context, program []byte) (float64, error) {
	root, err := controlplane.Root(ctx)
	if err != nil {
		return 0, err
	}
	common, err := pack.Common(root)
	if err != nil {
		return 0, err
	}
	image, err := pack.Image(runtime.GOARCH, pack.Source{Version: "dev"}, common, pack.Binary("baton", program))
	if err != nil {
		return 0, err
	}
	size, err := pack.Size(image)
	return float64(size) / 1e6, err
}
