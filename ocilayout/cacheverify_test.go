package ocilayout

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	ispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// rot changes a byte of a file as a failing disk does: its time stays.
func rot(t *testing.T, name string) {
	t.Helper()
	fi, err := os.Stat(name)
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	var b [1]byte
	at := fi.Size() / 2
	_, err = f.ReadAt(b[:], at)
	b[0] ^= 1
	if _, writeErr := f.WriteAt(b[:], at); writeErr != nil {
		err = writeErr
	}
	if err := errors.Join(err, f.Close(), os.Chtimes(name, fi.ModTime(), fi.ModTime())); err != nil {
		t.Fatal(err)
	}
}

// TestVerifyCache checks that Verify finds and removes every kind of damage, and that the next run is right.
func TestVerifyCache(t *testing.T) {
	image := with(sampleImage(t, 1), "gzip")
	want := write(t, filepath.Join(t.TempDir(), "layout"), image, Name{Tag: "v1"})
	for _, tt := range []struct {
		name, kind string
		damage     func(name string) error
		what       string
		shared     bool
	}{
		{"rot in place", blobsName, func(name string) error { rot(t, name); return nil }, "its digest is sha256:", true},
		{"cut", blobsName, func(name string) error { return os.Truncate(name, 7) }, "its digest is sha256:", true},
		{"a directory", blobsName, func(name string) error { return errors.Join(os.Remove(name), os.Mkdir(name, 0o755)) }, "it is no file", false},
		{"a link", blobsName, func(name string) error { return errors.Join(os.Remove(name), os.Symlink("/dev/zero", name)) }, "it is no file", false},
		{"another name", blobsName, func(name string) error { return os.Rename(name, name+"x") }, "its name is no digest", true},
		{"record of a blob", packedName, func(name string) error { rot(t, name); return nil }, "is damaged", false},
		{"empty record", partsName, func(name string) error { return os.Truncate(name, 0) }, "is damaged", false},
		{"record of a tar", partsName, func(name string) error { rot(t, name); return nil }, "is damaged", false},
		{"nothing", blobsName, func(string) error { return nil }, "", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o := Options{Cache: testCache(t, t.TempDir())}
			writeCached(t, filepath.Join(t.TempDir(), "layout"), image, o)
			name := cacheFiles(t, o.Cache, tt.kind)[0]
			before, err := o.Cache.Usage()
			if err != nil {
				t.Fatal(err)
			}
			if err := tt.damage(name); err != nil {
				t.Fatal(err)
			}
			var hashed int64
			u, damage, err := o.Cache.Verify(t.Context(), func(n int64) { hashed += n })
			if err != nil {
				t.Fatal(err)
			}
			if tt.what == "" {
				if len(damage) > 0 || u != before || hashed != before.Bytes {
					t.Errorf("Verify of a good cache hashes %d bytes, and returns %+v and %v; want %d, %+v and no damage", hashed, u, damage, before.Bytes, before)
				}
				return
			}
			file := filepath.Join(CacheName, tt.kind, filepath.Base(name))
			if len(damage) != 1 || !strings.HasPrefix(damage[0].File, file) || !strings.Contains(damage[0].What, tt.what) || damage[0].Shared != tt.shared {
				t.Errorf("Verify = %+v; want %s, %q, shared: %v", damage, file, tt.what, tt.shared)
			}
			if _, damage, err := o.Cache.Verify(t.Context(), nil); len(damage) > 0 || err != nil {
				t.Errorf("the second Verify = %v, %v; want no damage", damage, err)
			}
			dir := filepath.Join(t.TempDir(), "layout")
			if d, _, _ := writeCached(t, dir, image, o); d.Digest != want.Digest {
				t.Errorf("the next image is %s; want %s", d.Digest, want.Digest)
			}
			verify(t, dir)
		})
	}
}

// TestVerifyCacheFails checks that what is no damage removes nothing.
func TestVerifyCacheFails(t *testing.T) {
	o := Options{Cache: testCache(t, t.TempDir())}
	writeCached(t, filepath.Join(t.TempDir(), "layout"), sampleImage(t, 1), o)
	before := listing(t, o.Cache.dir)
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("stopped"))
	if _, damage, err := o.Cache.Verify(ctx, nil); len(damage) > 0 || err == nil {
		t.Errorf("Verify, cancelled = %v, %v; want an error and no damage", damage, err)
	}
	if after := listing(t, o.Cache.dir); len(after) != len(before) {
		t.Errorf("Verify, cancelled, leaves %d files of %d", len(after), len(before))
	}
}

// TestRecheck checks that the cache drops a damaged blob, and no other.
func TestRecheck(t *testing.T) {
	image := with(sampleImage(t, 1), "gzip")
	o := Options{Cache: testCache(t, t.TempDir())}
	d, _, _ := writeCached(t, filepath.Join(t.TempDir(), "layout"), image, o)
	blob := cacheFiles(t, o.Cache, blobsName)[0]
	name := digest.NewDigestFromEncoded(digest.SHA256, filepath.Base(blob))
	for what, d := range map[string]digest.Digest{"a good blob": name, "an unknown blob": digest.FromString("x"), "no digest": "sha256:../../x"} {
		if o.Cache.Recheck(t.Context(), d) {
			t.Errorf("Recheck of %s removes it", what)
		}
	}
	if (*Cache)(nil).Recheck(t.Context(), name) {
		t.Error("Recheck without a cache removes something")
	}
	rot(t, blob)
	served := filepath.Join(t.TempDir(), "layout")
	writeCached(t, served, image, o)
	if _, err := verifyErr(served, false); err == nil {
		t.Error("a blob that rots in place is not served, so this test proves nothing")
	}
	if !o.Cache.Recheck(t.Context(), name) {
		t.Error("Recheck of a damaged blob does not remove it")
	}
	if again, how, _ := writeCached(t, served, image, o); again.Digest != d.Digest || how == "cached" {
		t.Errorf("the next image is %s, %s; want %s, built", again.Digest, how, d.Digest)
	}
	verify(t, served)
}

// TestRecompressRotten checks that the cache drops a rotten blob when its tar is needed in another compression.
func TestRecompressRotten(t *testing.T) {
	image := sampleImage(t, 1)
	o := Options{Cache: testCache(t, t.TempDir())}
	want, _, _ := writeCached(t, filepath.Join(t.TempDir(), "layout"), with(image, "gzip"), o)
	for _, name := range cacheFiles(t, o.Cache, blobsName) {
		rot(t, name)
	}
	for _, compression := range []string{"zstd", "gzip"} {
		dir := filepath.Join(t.TempDir(), "layout")
		d, how, reasons := writeCached(t, dir, with(image, compression), o)
		verify(t, dir)
		if compression == "gzip" && d.Digest != want.Digest || how == "cached" {
			t.Errorf("%s: %s, and the layers are %s; want %s; the reasons are\n%s", compression, d.Digest, how, want.Digest, reasons)
		}
	}
}

// TestReadThroughRotten checks that the error of a blob that rotted in the cache names it, so that the cache can drop it.
func TestReadThroughRotten(t *testing.T) {
	cache := testCache(t, t.TempDir())
	content := text(1, 1<<16)
	d := ispec.Descriptor{MediaType: ispec.MediaTypeImageLayer, Digest: digest.FromString(content), Size: int64(len(content))}
	open := cache.ReadThrough(func(context.Context, ispec.Descriptor) (io.ReadCloser, error) {
		return io.NopCloser(strings.NewReader(content)), nil
	})
	source := &BlobSource{Descriptor: d, Origin: "the base image", Open: func(ctx context.Context) (io.ReadCloser, error) { return open(ctx, d) }}
	add := func() error {
		l, err := Open(t.Context(), filepath.Join(t.TempDir(), "layout"), Options{Cache: cache})
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		_, err = l.addBlob(t.Context(), source)
		return err
	}
	if err := add(); err != nil {
		t.Fatal(err)
	}
	rot(t, cacheFiles(t, cache, blobsName)[0])
	var blob *BlobError
	if err := add(); !errors.As(err, &blob) || blob.Digest != d.Digest || !cache.Recheck(t.Context(), blob.Digest) {
		t.Errorf("a rotten blob: %v; want a *BlobError that makes the cache drop it", err)
	}
	if err := add(); err != nil {
		t.Errorf("after that: %v", err)
	}
}
