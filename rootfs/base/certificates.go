package base

import (
	"bytes"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"

	"github.com/export-profile/export-profile/rootfs"
)

const (
	nixBundle  = "etc/ssl/certs/ca-bundle.crt"       // in which Nix's cacert package has the certificates of all authorities
	guixBundle = "etc/ssl/certs/ca-certificates.crt" // in which Guix has them, if a profile has a package with certificates
)

// bundle returns the file in which profiles have the certificates of all authorities.
func (b *builder) bundle() string {
	if b.store.IsGuix() {
		return guixBundle
	}
	return nixBundle
}

// maxBundle limits the certificate files that New appends to.
const maxBundle = 64 << 20

// makeCertificates appends the given certificates to the profile's bundle, or to the base image's,
// and links to the bundle from its paths in Nix, Debian and Fedora.
func (b *builder) makeCertificates(o Options) error {
	bundle := b.bundle()
	if b.store.IsGuix() {
		if err := b.joinCertificates(o.Profiles); err != nil {
			return err
		}
	}
	target := "/" + bundle
	had, ok := b.get(bundle)
	if len(o.CAFiles) > 0 {
		all, err := b.readBundle()
		if err != nil {
			return err
		}
		for _, f := range o.CAFiles {
			if len(all) > 0 && !bytes.HasSuffix(all, []byte("\n")) {
				all = append(all, '\n')
			}
			all = append(all, f...)
		}
		b.files.Remove(b.place(bundle)) // nothing else from a profile is overridden
		b.putFileOver(rootfs.File(bundle, 0o444, 0, nil), all)
	} else if !ok {
		return nil
	} else if had.IsLink() {
		target = had.Target
	}
	for _, place := range []string{nixBundle, guixBundle, "etc/pki/tls/certs/ca-bundle.crt"} {
		if place != bundle {
			b.put(rootfs.Link(place, target))
		}
	}
	return nil
}

// readBundle reads the bundle of the profile, or else of the base image.
func (b *builder) readBundle() ([]byte, error) {
	had, ok := b.get(b.bundle())
	switch {
	case !ok:
		return b.readLowerBundle()
	case had.IsRegular(): // joined
		return bytes.Clone(b.contents[had.Path]), nil
	}
	e, err := b.view.Stat(strings.TrimPrefix(had.Target, "/"))
	if err != nil {
		return nil, fmt.Errorf("append to the profile's certificates: %w", err)
	}
	if e.Size > maxBundle {
		return nil, fmt.Errorf("append to the profile's certificates: %q has more than %d bytes", e.Path, maxBundle)
	}
	read, err := b.view.Read(maxBundle, e.Path)
	if err != nil {
		return nil, fmt.Errorf("append to the profile's certificates: %w", err)
	}
	return bytes.Clone(read[e.Path]), nil
}

// CheckCertificates returns an error unless a file has a PEM certificate.
func CheckCertificates(pemFile []byte) error {
	count := 0
	for rest := pemFile; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		if block.Type == "CERTIFICATE" || block.Type == "TRUSTED CERTIFICATE" {
			count++
		}
	}
	if count == 0 {
		return errors.New("no PEM certificate in it")
	}
	return nil
}
