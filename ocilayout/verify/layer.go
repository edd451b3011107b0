package verify

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"strings"

	"github.com/opencontainers/go-digest"
	ispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/export-profile/export-profile/ocilayout"
	"github.com/export-profile/export-profile/ocilayout/chunked"
	"github.com/export-profile/export-profile/ocilayout/compress"
	"github.com/export-profile/export-profile/ocilayout/history"
	"github.com/export-profile/export-profile/rootfs"
)

// layer is a layer of one or more images, with their claims about it.
type layer struct {
	desc     ispec.Descriptor
	diffID   digest.Digest      // empty if it is unknown
	storeDir rootfs.StoreDir    // of the claim, or of the image
	claim    *history.Claim     // nil if another program made the layer
	opaque   bool               // not a layer, but a blob of an attestation
	file     string             // its name in an archive, if its digest is unknown
	open     ocilayout.OpenBlob // opens file

	damaged bool // the blob has another digest
	found   findings
	store   storeChanges      // made by a layer of another program
	objects map[string]Object // those that were hashed, by name
}

// layerKey identifies a layer. Images that share it share the result of one check.
type layerKey struct {
	mediaType      string
	storeDir       rootfs.StoreDir
	file           string
	opaque         bool
	digest, diffID digest.Digest
	size           int64
	claimed        bool
	history        string
	annotations    string // those about tables
}

// addLayers adds the layers of an image. DiffIDs and claims have the length of descs, or are nil.
func (c *Claims) addLayers(img *image, descs []ispec.Descriptor, diffIDs []digest.Digest, claims []*history.Claim) {
	for i, d := range descs {
		l := &layer{desc: d}
		if diffIDs != nil {
			l.diffID = diffIDs[i]
		}
		if claims != nil {
			l.claim = claims[i]
		}
		c.addLayer(img, l)
	}
}

// addLayer adds a layer to an image. If another image has the same layer, both share it.
func (c *Claims) addLayer(img *image, l *layer) {
	if l.storeDir = img.storeDir; l.claim != nil {
		l.storeDir = l.claim.StoreDir
	}
	key := layerKey{mediaType: l.desc.MediaType, storeDir: l.storeDir, file: l.file, opaque: l.opaque, digest: l.desc.Digest, diffID: l.diffID, size: l.desc.Size,
		annotations: tableAnnotations(l.desc.Annotations)}
	if l.claim != nil {
		key.claimed, key.history = true, l.claim.String()
		if l.claim.Top {
			key.history = "top" // objects of such a layer are not in the store
		} else {
			for _, o := range l.claim.Objects {
				c.objects[o.Name] = true
			}
		}
	}
	if known, ok := c.byKey[key]; ok {
		l = known
	} else {
		c.byKey[key] = l
		c.layers = append(c.layers, l)
	}
	img.layers = append(img.layers, l)
}

// blob returns the name of the layer's blob in messages.
func (l *layer) blob() string {
	if l.file != "" {
		return l.file
	}
	return l.desc.Digest.String()
}

// blobBuffer is the size of reads from a blob. The context is checked before each.
const blobBuffer = 256 << 10

// check reads the blob of the layer once and collects its problems.
func (l *layer) check(ctx context.Context, c *Claims, o Options) (err error) {
	l.found = findings{limit: min(o.maxProblems, leastProblems), more: o.keep}
	open, algorithm := l.open, digest.Canonical
	if open == nil {
		if l.desc.Digest.Validate() != nil {
			return nil // checkShape has reported it for the manifest
		}
		open, algorithm = c.open, l.desc.Digest.Algorithm()
	}
	file, err := open(ctx, l.desc)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		l.found.addf("", "is missing")
		return nil
	case errors.Is(err, ocilayout.ErrIrregular):
		l.found.addf("", "%v", err)
		return nil
	case err != nil:
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()

	blob := &blobReader{ctx: ctx, r: file, hash: algorithm.Hash(), progress: o.Progress}
	if !l.opaque {
		l.checkContents(bufio.NewReaderSize(blob, blobBuffer), c, o)
	}
	// The digest covers the whole blob, even if its contents were not readable to the end.
	if err := rootfs.Drain(blob); err != nil {
		return err // blobReader repeats an error that came earlier
	}
	if got := digest.NewDigest(algorithm, blob.hash); l.open == nil && got != l.desc.Digest {
		l.found.addf("", "has the digest %s", got)
		l.damaged = true
	}
	if blob.n != l.desc.Size {
		l.found.addf("", "has %d bytes, but its descriptor says %d", blob.n, l.desc.Size)
	}
	return nil
}

// checkContents decompresses a blob, walks its tar and compares the diffID.
func (l *layer) checkContents(blob io.Reader, c *Claims, o Options) {
	r, err := l.decompress(blob)
	if err != nil {
		l.found.addf("", "%v", err)
		return
	}
	defer r.Close()
	algorithm := digest.Canonical
	if l.diffID.Validate() == nil {
		algorithm = l.diffID.Algorithm()
	}
	plain := &plainReader{r: r, hash: algorithm.Hash(), limit: o.MaxLayer}
	w := newWalker(l, bufio.NewReaderSize(plain, blobBuffer), c.objects, o)
	w.walk()
	if err := rootfs.Drain(plain); err != nil {
		if w.broken == nil {
			l.found.addf("", "read layer: %v", err)
		}
		return
	}
	got := digest.NewDigest(algorithm, plain.hash)
	if l.diffID.Validate() == nil && got != l.diffID {
		l.found.addf("", "is %s once decompressed, but the config says %s", got, l.diffID)
	}
}

// decompress reads the tar of the layer. If the layer has tables, the reader compares them with the tar when it comes to its end.
func (l *layer) decompress(blob io.Reader) (io.ReadCloser, error) {
	// Old images mark some layers as not distributable. Their form is the same.
	form := strings.Replace(l.desc.MediaType, ".nondistributable.", ".", 1)
	if t, ok := ocilayout.LayerType(form); ok {
		form = t
	}
	if tables := l.tables(form); tables != (chunked.Location{}) {
		return chunked.NewChecker(blob, tables, func(entry, problem string) { l.found.addf(entry, "%s", problem) }), nil
	}
	z, err := compress.NewReader(blob, form)
	if errors.Is(err, errors.ErrUnsupported) {
		return nil, fmt.Errorf("has the media type %s, which is not that of a layer", quote(l.desc.MediaType))
	}
	if err != nil {
		return nil, fmt.Errorf("read layer: %w", err)
	}
	return z, nil
}

// blobReader hashes and counts the bytes that it reads. After an error except io.EOF, every read returns that error.
type blobReader struct {
	ctx      context.Context
	r        io.Reader
	hash     hash.Hash
	n        int64
	err      error // never io.EOF
	progress func(int64)
}

func (b *blobReader) Read(p []byte) (int, error) {
	if b.err == nil {
		b.err = context.Cause(b.ctx)
	}
	if b.err != nil {
		return 0, b.err
	}
	n, err := b.r.Read(p)
	b.hash.Write(p[:n])
	b.n += int64(n)
	if b.progress != nil && n > 0 {
		b.progress(int64(n))
	}
	if err != nil && err != io.EOF {
		b.err = err
	}
	return n, err
}

// plainReader hashes a decompressed layer and limits its size. After an error every read returns that error.
type plainReader struct {
	r     io.Reader
	hash  hash.Hash
	n     int64
	limit int64
	err   error
}

func (p *plainReader) Read(b []byte) (int, error) {
	if p.err != nil {
		return 0, p.err
	}
	n, err := p.r.Read(b)
	p.hash.Write(b[:n])
	if p.n += int64(n); p.n > p.limit && err == nil {
		err = fmt.Errorf("it has more than %d bytes once decompressed", p.limit)
	}
	p.err = err
	return n, err
}
