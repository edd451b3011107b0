package base

import (
	"bytes"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"

	"github.com/export-profile/export-profile/rootfs"
)

// caBundle is the file in which Nix's cacert package has the certificates of all authorities.
const caBundle = "etc/ssl/certs/ca-bundle.crt"

// maxBundle limits the certificate files that New appends to.
const maxBundle = 64 << 20

// makeCertificates appends the given certificates to the profile's bundle, or to the base image's,
// and links to the bundle from its paths in Debian and Fedora.
func (b *builder) makeCertificates(files [][]byte) error {
	target := "/" + caBundle
	had, ok := b.get(caBundle)
	if len(files) > 0 {
		bundle, err := b.readBundle()
		if err != nil {
			return err
		}
		for _, f := range files {
			if len(bundle) > 0 && !bytes.HasSuffix(bundle, []byte("\n")) {
				bundle = append(bundle, '\n')
			}
			bundle = append(bundle, f...)
		}
		b.files.Remove(b.place(caBundle)) // nothing else from a profile is overridden
		b.putFileOver(rootfs.File(caBundle, 0o444, 0, nil), bundle)
	} else if !ok {
		return nil
	} else if had.IsLink() {
		target = had.Target
	}
	b.put(rootfs.Link("etc/ssl/certs/ca-certificates.crt", target))
	b.put(rootfs.Link("etc/pki/tls/certs/ca-bundle.crt", target))
	return nil
}

// readBundle reads the bundle of the profile, or else of the base image.
func (b *builder) readBundle() ([]byte, error) {
	had, ok := b.get(caBundle)
	if !ok {
		return b.readLowerBundle()
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
