package registry

import (
	"context"
	"fmt"
	"sync"

	"github.com/opencontainers/go-digest"
	ispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"
)

// Present asks which of the blobs a repository has. It reads no blob and changes nothing.
// If the registry does not say, that is an error.
func (c *Client) Present(ctx context.Context, r Reference, all []ispec.Descriptor) (map[digest.Digest]bool, error) {
	repo, err := c.repository(ctx, r)
	if err != nil {
		return nil, err
	}
	var mu sync.Mutex
	present := make(map[digest.Digest]bool)
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(parallel)
	for _, d := range all {
		group.Go(func() error {
			what := fmt.Sprintf("look for blob %s in %s", d.Digest, r.Name())
			return repo.try(groupCtx, what, func(ctx context.Context) error {
				there, err := repo.has(ctx, blobs, d)
				mu.Lock()
				defer mu.Unlock()
				present[d.Digest] = err == nil && there
				return err
			})
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	return present, nil
}
