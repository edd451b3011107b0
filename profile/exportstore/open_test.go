package exportstore

import (
	"context"
	"os"

	"github.com/export-profile/export-profile/profile/input"
	"github.com/export-profile/export-profile/profile/storetest"
)

// Options are those of the input.
type Options = input.Options

// Open is [Read] of a file, as package source does it. After an error f is still the caller's.
func Open(ctx context.Context, f *os.File, o Options) (*Store, error) {
	return storetest.Open(ctx, f, o, Read)
}
