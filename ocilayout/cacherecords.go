package ocilayout

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/export-profile/export-profile/ocilayout/compress"
)

// tarFormat is the version of how parts become a tar. It is in the keys of a cache:
// who changes a byte of a tar raises it.
const tarFormat = 1

// tarRecord says what tar some parts make.
type tarRecord struct {
	DiffID digest.Digest `json:"diffID"`
	Size   int64         `json:"size"`
	// Checked says of each part, a bit each, whether its contents were hashed when the tar was made.
	// Older records don't have it: nobody knows.
	Hashed []byte `json:"checked,omitempty"`
}

// blobRecord says what blob a compressor makes of a tar.
type blobRecord struct {
	Compressor string        `json:"compressor"`
	Digest     digest.Digest `json:"digest"`
	Size       int64         `json:"size"`
	ModTime    int64         `json:"modTime"` // of the blob when it was known to be right, in nanoseconds
}

// touchEvery is how exactly it is known when a record was last used.
const touchEvery = time.Hour

// maxRecord is more than a record has.
const maxRecord = 4 << 10

// layerKey is where the record of a layer's tar is.
// A layer with a part that does not promise its content has none.
func tarRecordName(l Layer) (string, error) {
	h := sha256.New()
	fmt.Fprintf(h, "export-profile layer %d\n", tarFormat)
	for _, p := range l.Parts {
		if p.Key == "" {
			return "", fmt.Errorf("nothing promises the content of %s", p.Name)
		}
		fmt.Fprintf(h, "%q %q\n", p.Root, p.Key)
	}
	for _, root := range l.Hidden {
		fmt.Fprintf(h, "-%q\n", root)
	}
	return fmt.Sprintf("%s/%x", partsName, h.Sum(nil)), nil
}

// packedRecord is where the record of a tar's blob is.
func blobRecordName(diffID digest.Digest, z compress.Method) string {
	return fmt.Sprintf("%s/%s.%v", packedName, diffID.Encoded(), z)
}

// errNotCached is the plain reason why something is not taken from a cache: it is not there.
var errNotCached = errors.New("not in the cache")

// load reads a record that is about to be used. An error says why it cannot be.
func (c *Cache) load(name string, record any) error {
	if err := c.peek(name, record); err != nil {
		return err
	}
	path := filepath.Join(c.dir, name)
	if fi, err := os.Lstat(path); err == nil && time.Since(fi.ModTime()) > touchEvery {
		_ = os.Chtimes(path, time.Time{}, time.Now()) // when it was last used, for Prune
	}
	return nil
}

// peek reads a record.
func (c *Cache) peek(name string, record any) error {
	path := filepath.Join(c.dir, name)
	fi, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return errNotCached
	}
	if err != nil {
		return err
	}
	if !fi.Mode().IsRegular() || fi.Size() > maxRecord {
		return fmt.Errorf("record %s is not a small file", name)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	line, _, _ := bytes.Cut(b, []byte("\n"))
	if !bytes.Equal(b, sealRecord(name, line)) {
		return fmt.Errorf("record %s is damaged", name)
	}
	if err := json.Unmarshal(line, record); err != nil {
		return fmt.Errorf("record %s: %w", name, err)
	}
	return nil
}

// sealRecord is a record's file. Its hash also finds out one that has come to another name.
func sealRecord(name string, line []byte) []byte {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s\n%s\n", name, line))
	return fmt.Appendf(nil, "%s\n%x\n", line, sum)
}

// store writes a record, by way of a directory that newFiles has made.
func (c *Cache) store(dir, name string, record any) error {
	line, err := json.Marshal(record)
	if err != nil {
		return err
	}
	temp := filepath.Join(dir, "record")
	if err := os.WriteFile(temp, sealRecord(name, line), 0o644); err != nil {
		return err
	}
	return os.Rename(temp, filepath.Join(c.dir, name))
}

// forget removes a record that is of no use.
func (c *Cache) forget(name string) { _ = os.Remove(filepath.Join(c.dir, name)) }

func (c *Cache) blob(d digest.Digest) string {
	return filepath.Join(c.dir, blobsName, d.Encoded())
}

// loadTar is what is known of the tar that some parts make.
func (c *Cache) loadTar(key string) (r tarRecord, err error) {
	if err := c.load(key, &r); err != nil {
		return r, err
	}
	return r, checkDigest(r.DiffID)
}

// loadBlob is what is known of the blob that a tar makes, whatever version of the compressor made it.
func (c *Cache) loadBlob(diffID digest.Digest, z compress.Method) (r blobRecord, err error) {
	if err := c.load(blobRecordName(diffID, z), &r); err != nil {
		return r, err
	}
	return r, checkDigest(r.Digest)
}
