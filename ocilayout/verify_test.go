package ocilayout_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/export-profile/export-profile/ocilayout"
	"github.com/export-profile/export-profile/ocilayout/verify"
)

// expected lists problems that some tests cause on purpose.
var expected = []string{
	"the hash of the base files begins with",              // the key is the hash of something else
	"layers: has 0 items, want at least 1",                // no profile leads to this
	"manifest.v2+json\": neither a manifest nor an index", // an image of another program, beside ours
}

// The tests in package ocilayout cannot import package verify, which imports ocilayout.
var _ = ocilayout.VerifyWith(func(name string, docker bool) error {
	ctx := context.Background()
	fi, err := os.Stat(name)
	if err != nil {
		return err
	}
	var claims *verify.Claims
	if fi.IsDir() {
		claims, err = verify.ReadLayout(ctx, name, "")
	} else {
		f, openErr := os.Open(name)
		if openErr != nil {
			return openErr
		}
		defer f.Close()
		archive, openErr := ocilayout.OpenArchiveFile(ctx, name, f, fi.Size())
		if openErr != nil {
			return openErr
		}
		claims, err = verify.ReadArchive(ctx, archive, docker, "")
	}
	if err != nil {
		return err
	}
	// Check compares no contents: the keys of the tests' parts are hashes of something else.
	report, err := claims.Check(ctx, verify.Options{})
	if err != nil {
		return err
	}
	for _, p := range report.Problems {
		if slices.ContainsFunc(expected, func(what string) bool { return strings.Contains(p.What, what) }) {
			continue
		}
		err = errors.Join(err, fmt.Errorf("%s: %s", name, p))
	}
	return err
})
