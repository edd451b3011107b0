package registry

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync/atomic"

	"github.com/opencontainers/go-digest"
	ispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/export-profile/export-profile/ocilayout"
)

// Referrers lists and reads what is attached to the manifests of one repository: artifacts that have a manifest as their subject.
// See "Listing Referrers" and "Referrers Tag Schema" in the OCI distribution specification 1.1,
// https://github.com/opencontainers/distribution-spec/blob/v1.1.1/spec.md.
// Its methods may be called from several goroutines.
type Referrers struct {
	repo   *repository
	tagged atomic.Bool // the registry has no referrers API
}

// Referrers prepares to read what is attached to the manifests of a repository. The tag and digest of at do not count.
func (c *Client) Referrers(ctx context.Context, at Reference) (*Referrers, error) {
	repo, err := c.repository(ctx, at)
	if err != nil {
		return nil, err
	}
	return &Referrers{repo: repo}, nil
}

// maxReferrers limits the artifacts that a list may have.
const maxReferrers = 10_000

// List lists the artifacts whose subject is a manifest, each once and sorted by digest.
// It asks the referrers API. If the registry has none, or lists nothing there, List reads the referrers tag (sha256-<hex>).
//
// The list is only what the registry says. Some registries list a wrong artifact type, a wrong size, or no annotations;
// [Referrers.Read] checks an artifact. Entries without a valid digest are dropped.
// Lists of more than 10,000 artifacts, 8 MiB or 100 pages are errors. The error matches [ErrDenied] if the registry refuses to list.
func (r *Referrers) List(ctx context.Context, subject digest.Digest) ([]ispec.Descriptor, error) {
	what := fmt.Sprintf("list what is attached to %s@%s", r.repo.at.Name(), subject)
	if err := ocilayout.CheckDigest(subject); err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	var all []ispec.Descriptor
	var none *noListError
	if !r.tagged.Load() {
		var err error
		all, err = r.repo.listReferrers(ctx, what, subject)
		if err != nil && !errors.As(err, &none) {
			return nil, err
		}
		if none != nil {
			r.repo.client.explain("%v; reading the referrers tag instead", err)
			r.tagged.Store(none.always())
		}
	}
	if len(all) == 0 { // some registries answer with an empty list although they keep none
		err := r.repo.try(ctx, what, func(ctx context.Context) error {
			index, err := r.repo.taggedReferrers(ctx, subject)
			all = index.Manifests
			return err
		})
		switch {
		case err != nil:
			return nil, err
		case len(all) == 0 && none != nil && errors.Is(none, ErrDenied):
			return nil, none
		}
	}
	slices.SortFunc(all, func(a, b ispec.Descriptor) int { return cmp.Compare(a.Digest, b.Digest) })
	return slices.CompactFunc(all, func(a, b ispec.Descriptor) bool { return a.Digest == b.Digest }), nil
}

// referrersTag returns the tag under which clients list the referrers of a manifest in registries that do not.
func referrersTag(subject digest.Digest) string {
	return subject.Algorithm().String() + "-" + subject.Encoded()
}

// taggedReferrers reads the index under a referrers tag. Registries answer in many ways if there is none.
func (r *repository) taggedReferrers(ctx context.Context, subject digest.Digest) (ispec.Index, error) {
	index := ispec.Index{MediaType: ispec.MediaTypeImageIndex, Manifests: []ispec.Descriptor{}}
	index.SchemaVersion = 2
	tag := referrersTag(subject)
	image, b, err := r.getManifest(ctx, tag)
	switch {
	case isMissing(err):
		if status(err) != http.StatusNotFound {
			r.client.explain("%s:%s: not there, it seems: %v", r.at.Name(), tag, &Error{Do: "read it", Status: status(err), Err: err})
		}
		return index, nil
	case err != nil:
		return index, err
	case image.MediaType != ispec.MediaTypeImageIndex, image.Digest == subject: // some registries resolve the tag to the subject
		return index, nil
	}
	var old struct{ Manifests descriptors }
	if err := json.Unmarshal(b, &old); err != nil {
		return index, fmt.Errorf("referrers tag %s: %w", tag, err)
	}
	index.Manifests = append(index.Manifests, r.sound(old.Manifests)...)
	return index, nil
}

// sound drops descriptors that name nothing.
func (r *repository) sound(all []ispec.Descriptor) (sound []ispec.Descriptor) {
	for _, d := range all {
		if d.Digest.Validate() != nil || d.Size < 0 {
			r.client.explain("%s: dropped the referrer %q of %d bytes", r.at.Name(), d.Digest, d.Size)
			continue
		}
		sound = append(sound, d)
	}
	return sound
}

// descriptors is a list of at most maxReferrers descriptors in JSON.
// Two bytes of text can be a descriptor, which takes two hundred bytes of memory.
type descriptors []ispec.Descriptor

// UnmarshalJSON reads the list one by one.
func (all *descriptors) UnmarshalJSON(b []byte) error {
	*all = nil
	dec := json.NewDecoder(bytes.NewReader(b))
	switch begin, err := dec.Token(); {
	case err != nil:
		return err
	case begin == nil: // null
		return nil
	case begin != json.Delim('['):
		return fmt.Errorf("%v instead of a list of descriptors", begin)
	}
	for dec.More() {
		if len(*all) == maxReferrers {
			return errTooManyReferrers
		}
		var d ispec.Descriptor
		if err := dec.Decode(&d); err != nil {
			return err
		}
		*all = append(*all, d)
	}
	return nil
}

var errTooManyReferrers = fmt.Errorf("the list has more than %d entries", maxReferrers)
