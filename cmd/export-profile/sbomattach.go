package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"path"
	"time"

	ispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/export-profile/export-profile/ocilayout/registry"
)

// attacher attaches SBOMs to an image in a registry, before a tag leads to the image.
type attacher struct {
	push     *registry.Push
	to       registry.Reference
	image    ispec.Descriptor
	manifest []byte
	say      *speaker
}

// attach attaches SBOMs. If the registry refuses one, no tag is moved, unless the SBOM has a file of its own:
// then nothing is lost, and a note says so.
func (a *attacher) attach(ctx context.Context, created time.Time, sboms []*sbomFile) error {
	if created.IsZero() {
		created = time.Unix(1, 0)
	}
	annotations := map[string]string{ispec.AnnotationCreated: created.UTC().Format(time.RFC3339)}
	sent := false
	for _, b := range sboms {
		document := registry.Attachment{MediaType: b.format.MediaType(), Content: b.content, Annotations: annotations}
		_, err := a.push.Attach(ctx, a.image, document)
		if refused(err) && !sent {
			// Some registries accept documents only for images that they have. Otherwise this tells
			// whether the registry refuses the document, or the image too.
			if err := a.push.Untagged(ctx, a.image, a.manifest); err != nil {
				return err
			}
			sent = true
			_, err = a.push.Attach(ctx, a.image, document)
		}
		switch {
		case err == nil:
		case refused(err) && b.file != "":
			a.say.notef("the SBOM is only in %q: %v", b.file, err)
		case refused(err):
			return withHint(fmt.Errorf("the registry refuses the SBOM, so no tag leads to the image: %w", err),
				"also write the SBOM to a file, and the registry may refuse it: --sbom %s:%s%s", b.word, path.Base(a.to.Repository), b.format.Extension())
		default:
			return err
		}
	}
	return nil
}

// refused reports whether a registry has answered with an error that will not pass.
func refused(err error) bool {
	var answer *registry.Error
	return errors.As(err, &answer) && answer.Status != 0 && answer.Wait == 0 && answer.Status != http.StatusTooManyRequests
}
