package storetest

import (
	"context"
	"os"

	"github.com/export-profile/export-profile/profile/input"
)

// Open reads a store from a file as package source does. After an error the caller still owns f.
func Open[S any](ctx context.Context, f *os.File, o input.Options, read func(*input.Input) (S, error)) (s S, err error) {
	in, err := input.Open(ctx, f, o)
	if err != nil {
		return s, err
	}
	if s, err = read(in); err != nil {
		in.Abandon()
	}
	return s, err
}
