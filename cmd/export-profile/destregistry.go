package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	ispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/export-profile/export-profile/ocilayout"
	"github.com/export-profile/export-profile/ocilayout/registry"
)

// registryDestination is an image in a registry.
type registryDestination struct {
	image registry.Reference
	tags  []string
	stats registry.Stats
	plain bool // pushed over plain HTTP
}

// pushResult tells readers of JSON how the image's blobs reached the registry.
type pushResult struct {
	Sent    int   `json:"sentBlobs"`
	Mounted int   `json:"mountedBlobs"`
	Present int   `json:"presentBlobs"`
	Bytes   int64 `json:"sentBytes"`
}

// parseRegistry parses REGISTRY/NAME[:TAG]. Each --tag is TAG, or REGISTRY/NAME:TAG of the same repository.
func parseRegistry(word, rest string, tags []string) (destination, error) {
	const example = "as in docker://registry.example.com/team/hello:v1"
	image, err := registry.ParseReference(rest)
	if err != nil {
		return nil, usagef(example, "destination %q: %v", word, err)
	}
	if image.Digest != "" {
		return nil, usagef(example, "destination %q: has a digest, which is the result, not a name", word)
	}
	d := &registryDestination{image: image, tags: []string{image.Tag}}
	for _, t := range tags {
		name := t
		if !strings.ContainsAny(t, ":/") {
			name = image.Name() + ":" + t
		}
		r, err := registry.ParseReference(name)
		if err != nil {
			return nil, usagef("as in --tag v1.2", "--tag: %v", err)
		}
		if r.Name() != image.Name() || r.Digest != "" {
			return nil, usagef("as in --tag v1.2", "--tag %q: want a tag of %s, where the image goes", t, image.Name())
		}
		d.tags = append(d.tags, r.Tag)
	}
	return d, nil
}

func (d *registryDestination) open(ctx context.Context, o destinationOptions, say *speaker, l ocilayout.Options) (*imageWriter, error) {
	client, err := o.registry.client(say)
	if err != nil {
		return nil, err
	}
	push, err := client.Push(ctx, d.image, o.mount)
	if err != nil {
		return nil, err
	}
	d.plain = push.PlainHTTP()
	l.Deliver = push.Blob
	layout, err := ocilayout.OpenStaged(o.temp, l)
	if err != nil {
		return nil, err
	}
	attach := func(ctx context.Context, image ispec.Descriptor, created time.Time, documents []*document) error {
		manifest, err := layout.Manifest(image)
		if err != nil {
			return err
		}
		a := attacher{push, d.image, image, manifest, say}
		return a.attach(ctx, created, documents)
	}
	return &imageWriter{Layout: layout, push: push, attach: attach, publish: func(ctx context.Context, image ispec.Descriptor) error {
		manifest, err := layout.Manifest(image)
		if err != nil {
			return err
		}
		if err := push.Manifest(ctx, image, manifest, d.tags...); err != nil {
			return err
		}
		d.stats = push.Stats()
		say.notef("pushed to %s: %d blobs sent (%s), %d mounted from another repository, %d already there",
			d.image.Name(), d.stats.Sent, humanBytes(d.stats.SentBytes), d.stats.Mounted, d.stats.Present)
		return nil
	}}, nil
}

func (d *registryDestination) place() place {
	return place{
		Repository: d.image.Name(), Tags: d.tags,
		Pushed: &pushResult{d.stats.Sent, d.stats.Mounted, d.stats.Present, d.stats.SentBytes},
	}
}

func (d *registryDestination) repository() *registry.Reference { return &d.image }

func (d *registryDestination) next() string {
	if d.plain {
		return fmt.Sprintf("run it with: podman run --rm --tls-verify=false %s", d.image)
	}
	return fmt.Sprintf("run it with: podman run --rm %s", d.image)
}
