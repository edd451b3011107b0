package registry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/opencontainers/go-digest"
	ispec "github.com/opencontainers/image-spec/specs-go/v1"
	"oras.land/oras-go/v2/registry/remote/auth"
)

// Limits of all pages of a list together.
const (
	maxListPages = 100
	maxListBytes = 8 << 20
)

// noListError means that a registry has no referrers API, or does not let us use it.
type noListError struct{ error }

func (e *noListError) Unwrap() error { return e.error }

// always reports whether the registry has no referrers API, whatever the subject.
// Quay, for example, answers 400 if it lacks the subject.
func (e *noListError) always() bool {
	switch status(e.error) {
	case http.StatusNotFound, http.StatusMethodNotAllowed, http.StatusNotAcceptable, http.StatusNotImplemented:
		return true
	}
	return errors.Is(e.error, errNoManifest)
}

// listReferrers asks the referrers API, page by page. The error is a noListError if the first answer is not a list.
func (r *repository) listReferrers(ctx context.Context, what string, subject digest.Digest) (all []ispec.Descriptor, err error) {
	ctx = auth.AppendRepositoryScope(ctx, r.scope, auth.ActionPull)
	at, left, met := r.url("referrers", subject.String()), int64(maxListBytes), make(map[string]bool)
	for at != "" {
		met[at] = true
		var page referrersPage
		err := r.try(ctx, what, func(ctx context.Context) (err error) {
			page, err = r.referrersPage(ctx, at, left)
			return err
		})
		switch {
		case len(met) == 1 && isMissing(err):
			return nil, &noListError{err}
		case err != nil:
			return nil, err
		}
		all, left, at = append(all, page.entries...), left-page.size, page.next
		switch {
		case len(all) > maxReferrers:
			err = errTooManyReferrers
		case len(met) == maxListPages && at != "":
			err = fmt.Errorf("the list has more than %d pages", maxListPages)
		case met[at]:
			err = errors.New("a page of the list leads back to an earlier one")
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", what, err)
		}
	}
	return r.sound(all), nil
}

// referrersPage is one page of a list of referrers.
type referrersPage struct {
	entries []ispec.Descriptor
	size    int64  // in bytes
	next    string // URL of the next page, or ""
}

// referrersPage requests a page of at most so many bytes.
func (r *repository) referrersPage(ctx context.Context, at string, most int64) (p referrersPage, err error) {
	answer, err := r.send(ctx, http.MethodGet, at, http.Header{"Accept": {ispec.MediaTypeImageIndex}})
	if err != nil {
		return p, err
	}
	defer answer.Body.Close()
	b, err := readPage(answer, most, maxListBytes)
	if err != nil {
		return p, err
	}
	p.size = int64(len(b))
	mediaType, err := manifestType(answer.Header.Get("Content-Type"), b)
	switch {
	case err != nil:
		return p, err
	case mediaType != ispec.MediaTypeImageIndex:
		return p, fmt.Errorf("the registry sent %q, %w", mediaType, errNoManifest)
	}
	var index struct{ Manifests descriptors }
	if err := json.Unmarshal(b, &index); err != nil {
		return p, err
	}
	p.entries = index.Manifests
	p.next, err = r.nextPage(answer)
	return p, err
}

// readPage reads a page of at most left bytes. whole is the limit of all pages, for the error.
func readPage(answer *http.Response, left, whole int64) ([]byte, error) {
	b, err := io.ReadAll(io.LimitReader(answer.Body, left+1))
	if err != nil {
		return nil, &transferError{err}
	}
	if int64(len(b)) > left {
		return nil, fmt.Errorf("the list has more than %d MiB", whole>>20)
	}
	return b, nil
}

// nextPage returns the URL of the page after this one, or "".
func (r *repository) nextPage(answer *http.Response) (string, error) {
	link := nextLink(answer.Header.Values("Link"))
	if link == "" {
		return "", nil
	}
	next, own, err := ownURL(answer, r.root(), link)
	switch {
	case err != nil:
		return "", errors.New("the registry sent a Link that is no URL")
	case !own:
		return "", fmt.Errorf("the registry's next page is on another host, %q", next.Host)
	}
	return next.String(), nil
}

// nextLink returns the target of the first link whose relation is next, or "" (RFC 8288, section 3).
// The target is what is between the angle brackets. Registries do not always quote the relation.
func nextLink(headers []string) string {
	for _, h := range headers {
		for {
			_, rest, ok := strings.Cut(h, "<")
			if !ok {
				break
			}
			target, rest, ok := strings.Cut(rest, ">")
			if !ok {
				break
			}
			params, _, more := strings.Cut(rest, "<")
			for _, p := range strings.FieldsFunc(params, func(r rune) bool { return r == ';' || r == ',' }) {
				name, value, _ := strings.Cut(p, "=")
				value = strings.Trim(strings.TrimSpace(value), `"`)
				if strings.EqualFold(strings.TrimSpace(name), "rel") && strings.EqualFold(value, "next") {
					return strings.TrimSpace(target)
				}
			}
			if !more {
				break
			}
			h = rest[len(params):]
		}
	}
	return ""
}
