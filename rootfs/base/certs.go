package base

import (
	"bytes"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"

	"github.com/export-profile/export-profile/rootfs"
)

// caBundle is where Nix's cacert package has the certificates of all authorities.
const caBundle = "etc/ssl/certs/ca-bundle.crt"

// maxBundle is how large the bundle of a profile may be to be appended to.
const maxBundle = 64 << 20

// certificates makes the bundle known at the places where other distributions have it
// (Debian's and Fedora's), with the given certificates appended.
func (b *builder) certificates(files [][]byte) error {
	target := "/" + caBundle
	had, ok := b.get(caBundle)
	if len(files) > 0 {
		bundle, err := b.profileBundle()
		if err != nil {
			return err
		}
		for _, f := range files {
			if len(bundle) > 0 && !bytes.HasSuffix(bundle, []byte("\n")) {
				bundle = append(bundle, '\n')
			}
			bundle = append(bundle, f...)
		}
		b.files.Remove(b.place(caBundle)) // the only file of a profile that is overridden
		b.fileOver(rootfs.File(caBundle, 0o444, 0, nil), bundle)
	} else if !ok {
		return nil
	} else if had.IsLink() {
		target = had.Target
	}
	b.put(rootfs.Link("etc/ssl/certs/ca-certificates.crt", target))
	b.put(rootfs.Link("etc/pki/tls/certs/ca-bundle.crt", target))
	return nil
}

func (b *builder) profileBundle() ([]byte, error) {
	had, ok := b.get(caBundle)
	if !ok {
		return b.readBundleBelow()
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

// CheckCertificates reports why a file is not one of PEM certificates.
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
