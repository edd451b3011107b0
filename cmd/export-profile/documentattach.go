package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"path"
	"time"

	ispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/export-profile/export-profile/ocilayout/registry"
)

// attacher attaches documents to an image in a registry, before a tag leads to the image.
type attacher struct {
	push     *registry.Push
	to       registry.Reference
	image    ispec.Descriptor
	manifest []byte
	say      *speaker
}

// attach attaches documents. If the registry refuses one, no tag is moved, unless the document has a file of its own:
// then nothing is lost, and a note says so.
func (a *attacher) attach(ctx context.Context, created time.Time, documents []*document) error {
	sent := false
	for _, d := range documents {
		attachment := d.attachment(created)
		_, err := a.push.Attach(ctx, a.image, attachment)
		if refused(err) && !sent {
			// Some registries accept documents only for images that they have. Otherwise this tells
			// whether the registry refuses the document, or the image too.
			if err := a.push.Untagged(ctx, a.image, a.manifest); err != nil {
				return err
			}
			sent = true
			_, err = a.push.Attach(ctx, a.image, attachment)
		}
		switch {
		case err == nil:
		case refused(err) && d.file != "":
			a.say.notef("the %s is only in %q: %v", d.kind, d.file, err)
		case refused(err):
			return withHint(fmt.Errorf("the registry refuses the %s, so no tag leads to the image: %w", d.kind, err),
				"also write the %s to a file, and the registry may refuse it: %s%s%s", d.kind, d.toFile, path.Base(a.to.Repository), d.extension)
		default:
			return err
		}
	}
	return nil
}

// attachment returns the document as an artifact of an image that was made at a time; zero is a second after the epoch.
func (d *document) attachment(created time.Time) registry.Attachment {
	if created.IsZero() {
		created = time.Unix(1, 0)
	}
	annotations := map[string]string{ispec.AnnotationCreated: created.UTC().Format(time.RFC3339)}
	maps.Copy(annotations, d.annotations)
	return registry.Attachment{MediaType: d.mediaType, Content: d.content, Annotations: annotations}
}

// refused reports whether a registry has answered with an error that will not pass.
func refused(err error) bool {
	var answer *registry.Error
	return errors.As(err, &answer) && answer.Status != 0 && answer.Wait == 0 && answer.Status != http.StatusTooManyRequests
}
