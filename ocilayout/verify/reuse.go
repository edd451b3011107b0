package verify

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	ispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/export-profile/export-profile/ocilayout"
	"github.com/export-profile/export-profile/ocilayout/history"
)

// CheckReuse reads layers of other images that a new image is to reuse.
// For each layer it returns why the layer is not what the history of its image says, or nil.
// A history has only the first digits of a part's key. Wanted maps the names of parts to their whole keys:
// CheckReuse compares all digits of these parts.
// The last result is the error of the context.
func CheckReuse(ctx context.Context, layers []*ocilayout.BlobSource, wanted map[string]string, o Options) ([]error, error) {
	if o.maxProblems == 0 {
		o.maxProblems = 1
	}
	o.MaxLayer = cmp.Or(o.MaxLayer, defaultLayer)
	doubts := make([]error, len(layers))
	var group errgroup.Group
	group.SetLimit(max(2, runtime.GOMAXPROCS(0)))
	for i, s := range layers {
		group.Go(func() error {
			doubts[i] = checkReuse(ctx, s, wanted, o)
			return context.Cause(ctx)
		})
	}
	return doubts, group.Wait()
}

func checkReuse(ctx context.Context, s *ocilayout.BlobSource, wanted map[string]string, o Options) error {
	claim, err := history.Parse(s.Entry)
	if err != nil {
		return err
	}
	claim.Objects = slices.Clone(claim.Objects)
	for i, object := range claim.Objects {
		if object.Changed {
			return fmt.Errorf("it has %q, which was changed on purpose: there is no hash to compare it with", object.Name)
		}
		digits, ok := strings.CutPrefix(wanted[object.Name], "sha256:")
		if ok && object.Hash != "" && strings.HasPrefix(digits, object.Hash) {
			claim.Objects[i].Hash = digits
		}
	}
	c := newClaims(func(ctx context.Context, _ ispec.Descriptor) (io.ReadCloser, error) {
		return ocilayout.Blob{Descriptor: s.Descriptor, Reuse: s}.Open(ctx)
	})
	l := &layer{desc: s.Descriptor, diffID: s.DiffID, claim: &claim}
	if err := l.check(ctx, c, o); err != nil {
		return err
	}
	if n := l.found.count; n > 1 {
		return fmt.Errorf("%v, and %d more", l.found.list[0], n-1)
	} else if n == 1 {
		return fmt.Errorf("%v", l.found.list[0])
	}
	return nil
}
