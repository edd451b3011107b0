package registry

import (
	"errors"
	"fmt"
	"strings"

	"github.com/distribution/reference"
	"github.com/opencontainers/go-digest"
	oras "oras.land/oras-go/v2/registry"
)

// Reference names an image in a registry.
type Reference struct {
	Registry   string // docker.io, registry.example.com, localhost:5000
	Repository string // library/hello
	Tag        string
	Digest     digest.Digest // takes precedence over Tag
}

// ParseReference parses a name as people write it: hello, hello:v1, registry.example.com/team/hello@sha256:….
// Without tag and digest, the tag is latest. A registry alone, such as localhost:5000, is an error, although docker
// takes it for the image localhost in docker.io, with the tag 5000.
func ParseReference(s string) (Reference, error) {
	named, err := reference.ParseNormalizedNamed(s)
	if err != nil {
		return Reference{}, fmt.Errorf("image name %q: %w", s, err)
	}
	r := Reference{Registry: reference.Domain(named), Repository: reference.Path(named)}
	if name := strings.TrimPrefix(r.Repository, "library/"); !strings.Contains(s, "/") && (name == "localhost" || strings.Contains(name, ".")) {
		return Reference{}, fmt.Errorf("image name %q: a registry without a repository; want REGISTRY/NAME", s)
	}
	if digested, ok := named.(reference.Digested); ok {
		r.Digest = digested.Digest()
		if r.Digest.Algorithm() != digest.SHA256 {
			return Reference{}, fmt.Errorf("image name %q: unsupported algorithm of digest", s)
		}
	} else {
		named = reference.TagNameOnly(named)
	}
	if tagged, ok := named.(reference.Tagged); ok {
		r.Tag = tagged.Tag()
	}
	o := oras.Reference{Registry: r.Registry, Repository: r.Repository, Reference: r.Tag}
	if err := errors.Join(o.ValidateRegistry(), o.ValidateRepository(), o.ValidateReference()); err != nil {
		return Reference{}, fmt.Errorf("image name %q: %w", s, err)
	}
	return r, nil
}

// host returns the host to connect to.
func (r Reference) host() string { return oras.Reference{Registry: r.Registry}.Host() }

// tagOrDigest returns the digest, or the tag if there is no digest.
func (r Reference) tagOrDigest() string {
	if r.Digest != "" {
		return r.Digest.String()
	}
	return r.Tag
}

// Name returns registry and repository, without tag or digest.
func (r Reference) Name() string { return r.Registry + "/" + r.Repository }

func (r Reference) String() string {
	if r.Digest != "" {
		return r.Name() + "@" + r.Digest.String()
	}
	return r.Name() + ":" + r.Tag
}
