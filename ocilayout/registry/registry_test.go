package registry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	ispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/export-profile/export-profile/ocilayout"
	"github.com/export-profile/export-profile/ocilayout/compress"
	"github.com/export-profile/export-profile/ocilayout/plan"
	"github.com/export-profile/export-profile/rootfs"
)

const store = "nix/store/00000000000000000000000000000000-"

// part makes a store object with one file of incompressible text.
func part(name string, seed uint64, size int) rootfs.Part {
	r := rand.New(rand.NewPCG(seed, 1))
	var b strings.Builder
	for b.Len() < size {
		fmt.Fprintf(&b, "%016x", r.Uint64())
	}
	content, root := b.String(), store+name
	return rootfs.Part{Name: strings.TrimPrefix(root, "nix/store/"), Key: "sha256:" + strings.Repeat(fmt.Sprintf("%08x", seed), 8), Root: root, Size: int64(len(content)),
		Tree: func(yield func(rootfs.Entry, error) bool) {
			for _, e := range []rootfs.Entry{rootfs.Dir(root, 0o555),
				{Path: root + "/file", Mode: 0o444, Size: int64(len(content)),
					Open: func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(content)), nil }}} {
				if !yield(e, nil) {
					return
				}
			}
		}}
}

// image makes an image with a layer for each part.
func image(t *testing.T, previous *ocilayout.PreviousImage, compression string, parts ...rootfs.Part) ocilayout.ImageSpec {
	t.Helper()
	layers, _, err := ocilayout.PlanSticky(parts, previous, plan.StickyOptions{
		Options: plan.Options{Mode: plan.ModePerPath}, MaxWaste: 50})
	if err != nil {
		t.Fatal(err)
	}
	c, err := compress.Parse(compression)
	if err != nil {
		t.Fatal(err)
	}
	return ocilayout.ImageSpec{Layers: layers, Compression: c, Platform: ispec.Platform{OS: "linux", Architecture: "amd64"}}
}

func client(t *testing.T, o Options) *Client {
	t.Helper()
	c, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	c.wait = time.Millisecond
	t.Cleanup(c.http.CloseIdleConnections)
	return c
}

// push builds and pushes an image.
func push(ctx context.Context, t *testing.T, c *Client, to Reference, from *Reference, img ocilayout.ImageSpec, tags ...string) (digest.Digest, Stats, error) {
	t.Helper()
	p, err := c.Push(ctx, to, from)
	if err != nil {
		return "", Stats{}, err
	}
	d, err := pushWith(ctx, t, p, img, append(tags, to.Tag)...)
	return d, p.Stats(), err
}

// pushWith builds an image and pushes it under tags. The digest is "" if the image cannot be built.
func pushWith(ctx context.Context, t *testing.T, p *Push, img ocilayout.ImageSpec, tags ...string) (digest.Digest, error) {
	t.Helper()
	dir := t.TempDir()
	l, err := ocilayout.OpenStaged(dir, ocilayout.Options{Deliver: p.Blob})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
		if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
			t.Errorf("the push left %v, %v in its directory", left, err)
		}
	}()
	desc, err := l.AddImage(ctx, img)
	if err != nil {
		return "", err
	}
	manifest, err := l.Manifest(desc)
	if err != nil {
		t.Fatal(err)
	}
	return desc.Digest, p.Manifest(ctx, desc, manifest, tags...)
}

func mustPush(t *testing.T, c *Client, to Reference, from *Reference, img ocilayout.ImageSpec, tags ...string) (digest.Digest, Stats) {
	t.Helper()
	d, stats, err := push(t.Context(), t, c, to, from, img, tags...)
	if err != nil {
		t.Fatal(err)
	}
	return d, stats
}

// layoutDigest returns the digest of the same image in a layout.
func layoutDigest(t *testing.T, img ocilayout.ImageSpec) digest.Digest {
	t.Helper()
	l, err := ocilayout.Open(t.Context(), filepath.Join(t.TempDir(), "layout"), ocilayout.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	d, err := l.AddImage(t.Context(), img)
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Publish(t.Context(), d, ocilayout.Name{Tag: "v1"}); err != nil {
		t.Fatal(err)
	}
	return d.Digest
}

// unread makes a part fail if it is read.
func unread(p rootfs.Part) rootfs.Part {
	p.Tree = func(yield func(rootfs.Entry, error) bool) { yield(rootfs.Entry{}, errors.New("the part was read")) }
	return p
}
