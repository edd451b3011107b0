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
	ispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/export-profile/export-profile/ocilayout/compress"
	"github.com/export-profile/export-profile/rootfs"
)

// tarRecord describes the tar of some parts.
type tarRecord struct {
	DiffID digest.Digest `json:"diffID"`
	Size   int64         `json:"size"`
	// Hashed has one bit per part: set if the contents were hashed when the tar was made.
	// Older records lack it, so their parts count as not hashed.
	Hashed []byte `json:"checked,omitempty"`
}

// blobRecord describes the blob that a compressor makes of a tar.
type blobRecord struct {
	Compressor string        `json:"compressor"`
	Digest     digest.Digest `json:"digest"`
	Size       int64         `json:"size"`
	ModTime    int64         `json:"modTime"` // nanoseconds; modification time of the blob when its digest was last checked
	// Annotations locate the tables of a zstd:chunked blob, as its descriptor does. Blobs without tables have none.
	Annotations map[string]string `json:"annotations,omitempty"`
}

// descriptor returns the descriptor of a blob that z made.
func (r blobRecord) descriptor(z compress.Method) ispec.Descriptor {
	return ispec.Descriptor{MediaType: z.MediaType(), Digest: r.Digest, Size: r.Size, Annotations: r.Annotations}
}

// touchEvery is the precision of a record's last use.
const touchEvery = time.Hour

// maxRecord exceeds the size of any record.
const maxRecord = 4 << 10

// tarRecordName names the record of a layer's tar.
// It fails if a part has no key, since nothing promises its content.
func tarRecordName(l Layer) (string, error) {
	h := sha256.New()
	fmt.Fprintf(h, "export-profile layer %d\n", tarFormat)
	var line []byte
	for _, p := range l.Parts {
		if p.Key == "" {
			return "", fmt.Errorf("nothing promises the content of %s", p.Name)
		}
		line = append(rootfs.AppendQuoted(line[:0], p.Root), ' ')
		line = append(rootfs.AppendQuoted(line, p.Key), '\n')
		h.Write(line)
	}
	for _, root := range l.Hidden {
		fmt.Fprintf(h, "-%q\n", root)
	}
	return fmt.Sprintf("%s/%x", partsName, h.Sum(nil)), nil
}

// blobRecordName names the record of the blob that z makes of a tar.
func blobRecordName(diffID digest.Digest, z compress.Method) string {
	return fmt.Sprintf("%s/%s.%v", packedName, diffID.Encoded(), z)
}

// errNotCached means that the cache simply lacks something.
var errNotCached = errors.New("not in the cache")

// load reads a record and notes that it was used.
func (c *Cache) load(name string, record any) error {
	if err := c.peek(name, record); err != nil {
		return err
	}
	path := filepath.Join(c.dir, name)
	if fi, err := os.Lstat(path); err == nil && time.Since(fi.ModTime()) > touchEvery {
		_ = os.Chtimes(path, time.Time{}, time.Now()) // Prune reads the last use here
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

// sealRecord returns the content of a record's file. Its hash covers the name, so a record moved to another name is refused.
func sealRecord(name string, line []byte) []byte {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s\n%s\n", name, line))
	return fmt.Appendf(nil, "%s\n%x\n", line, sum)
}

// store writes a record through dir, which newFiles has made.
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

// forget removes a useless record.
func (c *Cache) forget(name string) { _ = os.Remove(filepath.Join(c.dir, name)) }

func (c *Cache) blob(d digest.Digest) string {
	return filepath.Join(c.dir, blobsName, d.Encoded())
}

// loadTar loads the record of the tar of some parts.
func (c *Cache) loadTar(key string) (r tarRecord, err error) {
	if err := c.load(key, &r); err != nil {
		return r, err
	}
	return r, CheckDigest(r.DiffID)
}

// loadBlob loads the record of a tar's blob, made by any version of the compressor.
func (c *Cache) loadBlob(diffID digest.Digest, z compress.Method) (r blobRecord, err error) {
	if err := c.load(blobRecordName(diffID, z), &r); err != nil {
		return r, err
	}
	return r, r.check(z)
}

// check refuses a record that does not describe a blob that z made.
func (r blobRecord) check(z compress.Method) error {
	if err := CheckDigest(r.Digest); err != nil {
		return err
	}
	return checkTables(r.Annotations, r.Size, z.Chunked())
}
