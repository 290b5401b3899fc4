package main

import (
	"context"
	"debug/elf"
	"fmt"
	"os"
)

// binary measures the file. One that is not stripped is not the one that is delivered.
func binary(_ context.Context, b *bench) ([]number, error) {
	info, err := os.Stat(b.binary)
	if err != nil {
		return nil, fmt.Errorf("the binary: %w", err)
	}
	what := "size, stripped"
	if file, err := elf.Open(b.binary); err == nil {
		if file.Section(".symtab") != nil {
			what = "size, NOT stripped: use `make bench`"
		}
		_ = file.Close() // was only read
	}
	return []number{atMost(what, float64(info.Size())/1e6, 60, " MB")}, nil
}
