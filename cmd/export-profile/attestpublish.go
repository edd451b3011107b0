package main

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/export-profile/export-profile/ocilayout"
	"github.com/export-profile/export-profile/profile/attestation"
)

// place tells where an image is, with the tag by which a layout knows it.
func (n imageName) place(found *ocilayout.ImageSource) (place, error) {
	switch {
	case n.transport.remote:
		return place{Repository: n.ref.Name(), Tags: []string{n.ref.Tag}}, nil
	case n.transport.archive:
		return place{Archive: n.path, Tags: found.Tags}, nil
	}
	tag := n.tag
	if !slices.Contains(found.Tags, tag) { // no tag was given, or a full name
		tag = cmp.Or(append(slices.Clone(found.Tags), "latest")...)
	}
	if _, err := ocilayout.ParseTag(tag); err != nil {
		return place{}, withHint(fmt.Errorf("image %q: %w", n.word, err), "copy it under another tag: skopeo copy %s oci:DIR:TAG", shellWord(n.word))
	}
	return place{Layout: n.path, Tags: []string{tag}}, nil
}

// publishAll signs statements about finished images. It attaches them in the image's registry, or writes a file, or both.
func (a *attestationFile) publishAll(ctx context.Context, say *speaker, all []*imageStatement, n imageName, o *imageOpener) error {
	var statements []*attestation.Statement
	for _, one := range all {
		statements = append(statements, one.Statement)
	}
	bundles, err := signAll(a.key, statements)
	if err != nil {
		return err
	}
	a.noteReplaced(say, all)
	if a.pending, err = newPendingFile(a.file, string(lines(bundles))); err != nil {
		return err
	}
	defer a.pending.remove(say)
	if n.transport.remote {
		if err := a.attachAll(ctx, say, all, bundles, n, o); err != nil {
			return err
		}
	}
	return a.pending.publish()
}

// attachAll attaches each bundle to the image or the index that it is about.
func (a *attestationFile) attachAll(ctx context.Context, say *speaker, all []*imageStatement, bundles [][]byte, n imageName, o *imageOpener) error {
	client, err := o.registry.client(say)
	if err != nil {
		return err
	}
	push, err := client.Push(ctx, n.ref, nil)
	if err != nil {
		return err
	}
	for i, one := range all {
		var created time.Time
		if one.image != nil && one.image.Config.Created != nil {
			created = *one.image.Config.Created
		}
		a.content = bundles[i]
		_, err := push.Attach(ctx, one.subject, a.attachment(created))
		switch {
		case refused(err) && a.file != "":
			say.notef("the attestation is only in %q: %v", a.file, err)
			return nil
		case refused(err):
			return withHint(err, "write the attestation to a file: --attestation-file hello%s", attestation.Extension)
		case err != nil:
			return err
		}
	}
	return nil
}

// attestedResult tells readers of JSON what an attestation is about.
type attestedResult struct {
	Digest   string `json:"digest"`
	Platform string `json:"platform,omitempty"` // none for an index
	Index    bool   `json:"index,omitempty"`
	Paths    int    `json:"paths"`
	Signed   int    `json:"signedPaths"`      // by a Nix key
	Changed  int    `json:"changedOnPurpose"` // store paths
}

// print prints the digests that the attestations are about.
func (o *attestOptions) print(t terminal, a *attestationFile, at place, all []*imageStatement) error {
	where := fmt.Sprintf("%q", a.file)
	if at.Repository != "" {
		where = at.Repository
	}
	published(t.out, "the attestation is complete: %s", where)
	if o.json {
		results := []attestedResult{}
		for _, one := range all {
			results = append(results, attestedResult{one.Subject, one.platform, one.image == nil, len(one.Paths), one.Signed(), one.Changed()})
		}
		return printJSON(t.out, struct {
			Attested   []attestedResult `json:"attested"`
			File       string           `json:"file,omitempty"`
			Repository string           `json:"repository,omitempty"`
		}{results, a.name(), at.Repository})
	}
	for _, one := range all {
		fmt.Fprintln(t.out, one.Subject)
	}
	return nil
}
