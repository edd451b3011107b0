package ocilayout

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/opencontainers/go-digest"
	ispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// MaxDocument limits the bytes of an index, manifest or config. Registries limit a manifest to 4 MiB.
const MaxDocument = 32 << 20

// ErrDamaged means that a document differs from its descriptor, and that reading it again will not help.
var ErrDamaged = errors.New("not what was described")

// ReadDocument reads an index, manifest or config and checks its digest and size.
func ReadDocument(r io.Reader, d ispec.Descriptor) ([]byte, error) {
	if d.Size < 0 || d.Size > MaxDocument {
		return nil, fmt.Errorf("%s is %w: it has %d bytes", d.Digest, ErrDamaged, d.Size)
	}
	b, err := io.ReadAll(io.LimitReader(r, d.Size+1))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", d.Digest, err)
	}
	if int64(len(b)) != d.Size {
		return nil, fmt.Errorf("%s has %d bytes or more instead of %d", d.Digest, len(b), d.Size)
	}
	if got := digest.FromBytes(b); got != d.Digest {
		return nil, fmt.Errorf("%s is %w: its digest is %s", d.Digest, ErrDamaged, got)
	}
	return b, nil
}

// maxBlob limits the size that a descriptor may declare: a pebibyte, so that sums of sizes do not overflow.
const maxBlob = 1 << 50

// checkSize refuses sizes that no blob has.
func checkSize(n int64) error {
	if n < 0 || n > maxBlob {
		return fmt.Errorf("it has %d bytes", n)
	}
	return nil
}

// readDocument opens and reads a document.
func readDocument(ctx context.Context, open OpenBlob, d ispec.Descriptor) ([]byte, error) {
	if err := CheckDigest(d.Digest); err != nil {
		return nil, err
	}
	if d.Size > MaxDocument { // check before open, which may fetch it
		return nil, fmt.Errorf("%s is too large: %d bytes", d.Digest, d.Size)
	}
	r, err := open(ctx, d)
	if err != nil {
		return nil, err
	}
	b, err := ReadDocument(r, d)
	if err = errors.Join(err, r.Close()); err != nil {
		err = &BlobError{d.Digest, err}
	}
	return b, err
}
