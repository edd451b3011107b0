package ocilayout

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/opencontainers/go-digest"
	ispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Kept is a layer of an image in a layout, to be used for another image as it is, whatever compressed it.
type Kept struct {
	Descriptor ispec.Descriptor
	DiffID     digest.Digest
	Entry      ispec.History // of the image's history
	Dir        string        // the layout that has the blob
}

func (k *Kept) path() string { return filepath.Join(k.Dir, blobs, k.Descriptor.Digest.Encoded()) }

// addKept puts a layer's blob into the staged layout.
// Within one layout that is a link, as no byte moves. From another one it is a copy, which is checked on the way.
func (l *Layout) addKept(ctx context.Context, k *Kept) (layerBlob, error) {
	b := layerBlob{Descriptor: k.Descriptor, diffID: k.DiffID}
	if err := k.stat(); err != nil {
		return b, k.damaged(err)
	}
	if k.Dir == l.dir {
		err := os.Link(k.path(), l.engine.path(k.Descriptor.Digest))
		if err == nil || errors.Is(err, os.ErrExist) {
			return b, nil
		}
	}
	f, err := os.Open(k.path())
	if err != nil {
		return b, k.damaged(err)
	}
	defer f.Close()
	d, _, err := l.engine.put(func(w io.Writer) error {
		_, err := copyAll(ctx, w, f, nil)
		return err
	})
	if err == nil && d != k.Descriptor.Digest {
		err = k.damaged(fmt.Errorf("its digest is %s", d))
	}
	return b, err
}

// stat looks whether the blob is there.
func (k *Kept) stat() error {
	fi, err := os.Stat(k.path())
	switch {
	case err != nil:
		return err
	case !fi.Mode().IsRegular():
		return fmt.Errorf("blob %s is no file", k.Descriptor.Digest)
	case fi.Size() != k.Descriptor.Size:
		return fmt.Errorf("blob %s has %d bytes instead of %d", k.Descriptor.Digest, fi.Size(), k.Descriptor.Size)
	}
	return nil
}

// damaged says of a blob that cannot be used what can be done without it.
func (k *Kept) damaged(err error) error {
	return fmt.Errorf("reuse blob %s of layout %q: %w; the image can be built without the previous one",
		k.Descriptor.Digest, k.Dir, err)
}
