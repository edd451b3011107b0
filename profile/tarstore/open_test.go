package tarstore

import (
	"context"
	"os"

	"github.com/export-profile/export-profile/profile/input"
	"github.com/export-profile/export-profile/profile/storetest"
)

// Options are the options of the input.
type Options = input.Options

// Open calls [Read] on a file as package source does. After an error the caller still owns f.
func Open(ctx context.Context, f *os.File, o Options) (*Store, error) {
	return storetest.Open(ctx, f, o, Read)
}
