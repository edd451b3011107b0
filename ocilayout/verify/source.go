package verify

import (
	"context"
	"fmt"

	"github.com/export-profile/export-profile/ocilayout"
)

// ReadImage reads what the manifest of an image says, or of all in an index, wherever that is.
// Manifests may be of Docker's types. Nothing is kept of what is read but what it says.
func ReadImage(ctx context.Context, s *ocilayout.ImageSource) (*Claims, error) {
	c := newClaims(s.Open)
	c.docker = true
	if err := c.follow(ctx, s.Descriptor, "manifest", 0); err != nil {
		return nil, fmt.Errorf("read image %q: %w", s.Name, err)
	}
	return c, nil
}

// withType is a shape whose media type is another one.
func withType(s shape, mediaType string) shape {
	fields := make(map[string]shape, len(s.fields))
	for name, f := range s.fields {
		fields[name] = f
	}
	fields["mediaType"] = exactly(mediaType)
	s.fields = fields
	return s
}
