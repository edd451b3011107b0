package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"

	"github.com/export-profile/export-profile/ocilayout/registry"
	"github.com/export-profile/export-profile/ocilayout/verify"
	"github.com/export-profile/export-profile/profile/attestation"
)

// bundleTypes is the prefix of the artifact types of attached bundles.
const bundleTypes = "application/vnd.dev.sigstore.bundle"

// mostBundles limits the bytes of all bundles that are read from a registry.
const mostBundles = 1 << 30

// collect reads all bundles where those of the images belong.
func (v *statementVerifier) collect(ctx context.Context, o *imageOpener, n imageName, claims *verify.Claims) error {
	switch {
	case v.flags.file == standardName:
		if v.stdin == nil {
			return errors.New("read attestations: there is no standard input")
		}
		return v.readLines("standard input", v.stdin)
	case v.flags.file != "":
		f, err := os.Open(v.flags.file) // may be a named pipe
		if err != nil {
			return fmt.Errorf("read attestations: %w", err)
		}
		defer f.Close()
		return v.readLines(v.flags.file, f)
	case n.transport.remote:
		return v.collectAttached(ctx, o, n.ref, claims)
	}
	var places []string
	for _, name := range besideNames(n, claims.Tags()) {
		name += attestation.Extension
		places = append(places, fmt.Sprintf("%q", name))
		if err := v.readBeside(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	v.looked = strings.Join(places, " or ")
	return nil
}

func (v *statementVerifier) readBeside(name string) error {
	f, err := openBeside(name)
	if err != nil {
		return fmt.Errorf("read attestations: %w", err)
	}
	defer f.Close()
	return v.readLines(name, f)
}

func (v *statementVerifier) readLines(name string, r io.Reader) error {
	if err := v.chooser.AddLines(name, r); err != nil {
		return fmt.Errorf("read attestations %q: %w", name, err)
	}
	return nil
}

// collectAttached reads what is attached to the images and indexes in a registry.
func (v *statementVerifier) collectAttached(ctx context.Context, o *imageOpener, at registry.Reference, claims *verify.Claims) error {
	client, err := o.registry.client(o.say)
	if err != nil {
		return err
	}
	referrers, err := client.Referrers(ctx, at)
	if err != nil {
		return err
	}
	subjects, indexes := claims.Manifests()
	for d := range indexes {
		subjects = append(subjects, d)
	}
	slices.Sort(subjects)
	size := 0
	return referrers.Documents(ctx, subjects, bundleTypes, func(d registry.Document) error {
		if d.Err != nil {
			return v.chooser.Skip(d.Digest.String(), d.Err)
		}
		if size += len(d.Content); size > mostBundles {
			return fmt.Errorf("read what is attached to the image: more than %d bytes: %w", mostBundles, attestation.ErrTooMany)
		}
		return v.chooser.Add(d.Digest.String(), d.Content)
	})
}
