package registry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"regexp"

	"github.com/opencontainers/go-digest"
	ispec "github.com/opencontainers/image-spec/specs-go/v1"
	"oras.land/oras-go/v2/registry/remote/auth"
)

// Limits of all pages of a list of tags together.
const (
	maxTags     = 1_000_000
	maxTagPages = 10_000
	maxTagBytes = 128 << 20

	tagsPerPage = 1000
)

// tagPattern is what the specification allows as a tag. Nothing else goes into a URL.
var tagPattern = regexp.MustCompile(`^[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}$`)

// listTags lists the tags of the repository, page by page. What cannot be a tag is dropped.
func (r *repository) listTags(ctx context.Context) (all []string, err error) {
	ctx = auth.AppendRepositoryScope(ctx, r.scope, auth.ActionPull)
	what := "list tags of " + r.at.Name()
	at, left, met := r.url("tags", fmt.Sprintf("list?n=%d", tagsPerPage)), int64(maxTagBytes), make(map[string]bool)
	for at != "" {
		met[at] = true
		var page tagsPage
		err := r.try(ctx, what, func(ctx context.Context) (err error) {
			page, err = r.tagsPage(ctx, at, left)
			return err
		})
		if err != nil {
			return nil, err
		}
		for _, tag := range page.tags {
			if !tagPattern.MatchString(tag) {
				r.client.explain("%s: dropped %.80q, which is no tag", what, tag)
				continue
			}
			all = append(all, tag)
		}
		left, at = left-page.size, page.next
		switch {
		case len(all) > maxTags:
			err = fmt.Errorf("the list has more than %d entries", maxTags)
		case len(met) == maxTagPages && at != "":
			err = fmt.Errorf("the list has more than %d pages", maxTagPages)
		case met[at]:
			err = errors.New("a page of the list leads back to an earlier one")
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", what, err)
		}
	}
	return all, nil
}

// tagsPage is one page of a list of tags.
type tagsPage struct {
	tags []string
	size int64  // in bytes
	next string // URL of the next page, or ""
}

// tagsPage requests a page of at most so many bytes.
func (r *repository) tagsPage(ctx context.Context, at string, most int64) (p tagsPage, err error) {
	answer, err := r.send(ctx, http.MethodGet, at, nil)
	if err != nil {
		return p, err
	}
	defer answer.Body.Close()
	b, err := readPage(answer, most, maxTagBytes)
	if err != nil {
		return p, err
	}
	p.size = int64(len(b))
	var list struct{ Tags []string }
	if err := json.Unmarshal(b, &list); err != nil {
		return p, fmt.Errorf("the registry sent no list of tags: %w", err)
	}
	p.tags = list.Tags
	p.next, err = r.nextPage(answer)
	return p, err
}

// resolve asks which manifest a tag leads to. The digest is "" if there is no such tag.
func (r *repository) resolve(ctx context.Context, tag string) (d digest.Digest, err error) {
	at := r.at
	at.Tag = tag
	err = r.try(ctx, "look for "+at.String(), func(ctx context.Context) error {
		answer, err := r.send(auth.AppendRepositoryScope(ctx, r.scope, auth.ActionPull), http.MethodHead, r.url(manifests, tag), acceptManifests())
		if err != nil {
			return err
		}
		answer.Body.Close()
		if d = namedDigest(answer); d == "" { // some registries name it only if they send the manifest
			var image ispec.Descriptor
			image, _, err = r.getManifest(ctx, tag)
			d = image.Digest
		}
		return err
	})
	if status(err) == http.StatusNotFound {
		return "", nil
	}
	return d, err
}

// ErrNoDelete means that a registry does not let clients delete manifests.
var ErrNoDelete = errors.New("the registry does not delete manifests")

// deleteManifest deletes a manifest, with all tags that lead to it. It is no error if there is none.
func (r *repository) deleteManifest(ctx context.Context, d digest.Digest) error {
	ctx = auth.AppendRepositoryScope(ctx, r.scope, auth.ActionPull, auth.ActionDelete)
	err := r.try(ctx, fmt.Sprintf("delete manifest %s of %s", d, r.at.Name()), func(ctx context.Context) error {
		answer, err := r.send(ctx, http.MethodDelete, r.url(manifests, d.String()), nil)
		if err == nil {
			drain(answer)
		}
		return err
	})
	switch {
	case status(err) == http.StatusNotFound:
		return nil
	case status(err) == http.StatusMethodNotAllowed, status(err) == http.StatusNotImplemented, hasCode(err, "UNSUPPORTED"):
		return fmt.Errorf("%w: %w", ErrNoDelete, err)
	}
	return err
}
