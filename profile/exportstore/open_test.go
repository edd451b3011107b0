package exportstore

import (
	"context"
	"os"

	"github.com/export-profile/export-profile/profile/input"
)

// Options are those of the input.
type Options = input.Options

// Open is [Read] of a file, as package source does it. After an error f is still the caller's.
func Open(ctx context.Context, f *os.File, o Options) (*Store, error) {
	in, err := input.Open(ctx, f, o)
	if err != nil {
		return nil, err
	}
	s, err := Read(in)
	if err != nil {
		in.Abandon()
	}
	return s, err
}
