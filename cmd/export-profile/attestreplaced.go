package main

import (
	"bytes"
	"slices"

	"github.com/export-profile/export-profile/profile/attestation"
)

// noteReplaced notes that the file has a statement of image --attest about one of the images, which said more than the new one.
func (a *attestationFile) noteReplaced(say *speaker, all []*imageStatement) {
	if a.file == "" {
		return
	}
	b, err := readBeside(a.file)
	if err != nil {
		return // there is none, or writing it explains the error
	}
	for line := range bytes.Lines(b) {
		bundle, err := attestation.ReadBundle(bytes.TrimSpace(line))
		if err != nil {
			continue
		}
		old, err := attestation.ParseStatement(bundle.Payload)
		if err != nil || old.Kind != attestation.OfBuild {
			continue
		}
		at := slices.IndexFunc(all, func(one *imageStatement) bool { return one.Subject == old.Subject })
		if at < 0 {
			continue
		}
		lost, keep := "the image's flags", ""
		if old.Signed() > all[at].Signed() {
			lost, keep = "the image's flags and more signatures of Nix's keys", "; --from SOURCE takes signatures from there"
		}
		say.notef("%q is replaced: image --attest wrote it, with %s; --attestation-file FILE leaves it in place%s", a.file, lost, keep)
		return
	}
}
