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
	"github.com/export-profile/export-profile/ocilayout/compress"
	"github.com/export-profile/export-profile/ocilayout/history"
	"github.com/export-profile/export-profile/rootfs"
)

// layer is one layer of one or more images, and what they say of it.
type layer struct {
	desc   ispec.Descriptor
	diffID digest.Digest  // empty if nobody says
	claim  *history.Claim // nil if it is of another program
	opaque bool           // it is no layer, but some blob
	file   string         // its name in an archive, if its digest is not known
	open   opener         // of that file

	found findings
	store storeChanges // of a layer of another program
}

// layerKey is what makes a layer the same in two images.
type layerKey struct {
	mediaType      string
	file           string
	opaque         bool
	digest, diffID digest.Digest
	size           int64
	claimed        bool
	history        string
}

// addLayers adds the layers of an image. DiffIDs and claims are as many, or nil.
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

// addLayer adds a layer to an image, or the one that is the same in another image.
func (c *Claims) addLayer(img *image, l *layer) {
	key := layerKey{mediaType: l.desc.MediaType, file: l.file, opaque: l.opaque, digest: l.desc.Digest, diffID: l.diffID, size: l.desc.Size}
	if l.claim != nil {
		key.claimed, key.history = true, l.claim.String()
		if l.claim.Top {
			key.history = "top" // what it names is no store object
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

// blob is what the layer's blob is called.
func (l *layer) blob() string {
	if l.file != "" {
		return l.file
	}
	return l.desc.Digest.String()
}

// blobBuffer is how much is read and hashed at once, and before a cancelled context is noticed.
const blobBuffer = 256 << 10

// check reads the layer's blob once.
func (l *layer) check(ctx context.Context, c *Claims, o Options) (err error) {
	l.found = findings{most: o.maxProblems}
	open, algorithm := l.open, digest.Canonical
	if open == nil {
		if l.desc.Digest.Validate() != nil {
			return nil // it is in the manifest's shape
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
		l.contents(bufio.NewReaderSize(blob, blobBuffer), c, o)
	}
	// Whatever became of that, the rest of the blob counts.
	if err := rootfs.Drain(blob); err != nil {
		return err // also if it came before
	}
	if got := digest.NewDigest(algorithm, blob.hash); l.open == nil && got != l.desc.Digest {
		l.found.addf("", "has the digest %s", got)
	}
	if blob.n != l.desc.Size {
		l.found.addf("", "has %d bytes, and its descriptor says %d", blob.n, l.desc.Size)
	}
	return nil
}

// contents checks what is in a blob.
func (l *layer) contents(blob io.Reader, c *Claims, o Options) {
	r, err := decompress(blob, l.desc.MediaType)
	if err != nil {
		l.found.addf("", "%v", err)
		return
	}
	defer r.Close()
	algorithm := digest.Canonical
	if l.diffID.Validate() == nil {
		algorithm = l.diffID.Algorithm()
	}
	plain := &plainReader{r: r, hash: algorithm.Hash(), most: o.MaxLayer}
	w := newWalker(l, bufio.NewReaderSize(plain, blobBuffer), c.objects, o.Hash)
	w.walk()
	if err := rootfs.Drain(plain); err != nil {
		if w.broken == nil {
			l.found.addf("", "read layer: %v", err)
		}
		return
	}
	got := digest.NewDigest(algorithm, plain.hash)
	if l.diffID.Validate() == nil && got != l.diffID {
		l.found.addf("", "is %s once decompressed, and the config says %s", got, l.diffID)
	}
}

func decompress(r io.Reader, mediaType string) (io.ReadCloser, error) {
	// Old images have layers that may not be distributed, which are no others by their form.
	form := strings.Replace(mediaType, ".nondistributable.", ".", 1)
	if t, ok := ocilayout.LayerType(form); ok {
		form = t
	}
	z, err := compress.NewReader(r, form)
	if errors.Is(err, errors.ErrUnsupported) {
		return nil, fmt.Errorf("it is of type %s, which is not a layer's", quote(mediaType))
	}
	if err != nil {
		return nil, fmt.Errorf("read layer: %w", err)
	}
	return z, nil
}

// blobReader hashes and counts what is read of a blob.
type blobReader struct {
	ctx      context.Context
	r        io.Reader
	hash     hash.Hash
	n        int64
	err      error // but io.EOF
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

// plainReader hashes what a layer is once decompressed, and bounds it. An error stays.
type plainReader struct {
	r    io.Reader
	hash hash.Hash
	n    int64
	most int64
	err  error
}

func (p *plainReader) Read(b []byte) (int, error) {
	if p.err != nil {
		return 0, p.err
	}
	n, err := p.r.Read(b)
	p.hash.Write(b[:n])
	if p.n += int64(n); p.n > p.most && err == nil {
		err = fmt.Errorf("it has more than %d bytes once decompressed", p.most)
	}
	p.err = err
	return n, err
}
