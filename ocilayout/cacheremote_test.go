package ocilayout

import (
	"context"
	"errors"
	"io"
	"os"
	"strings"
	"testing"

	ispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// TestReadThrough checks that a blob is fetched once, that damaged content is never returned, and that a changed blob is fetched again.
func TestReadThrough(t *testing.T) {
	dir := t.TempDir()
	c, err := OpenCache(dir)
	if err != nil {
		t.Fatal(err)
	}
	f := newForeign(t)
	d := f.blob("x", []byte("content"))
	reads := 0
	content := "content"
	open := c.ReadThrough(func(_ context.Context, _ ispec.Descriptor) (io.ReadCloser, error) {
		if reads++; content == "" {
			return nil, errors.New("broken")
		}
		return io.NopCloser(strings.NewReader(content)), nil
	})
	read := func(d ispec.Descriptor) string {
		r, err := open(t.Context(), d)
		if err != nil {
			return err.Error()
		}
		defer r.Close()
		b, err := io.ReadAll(r)
		if err != nil {
			return err.Error()
		}
		return string(b)
	}
	for _, bad := range []string{"", "CONTENT", "conten", "content and more"} {
		content = bad
		if got := read(d); !strings.Contains(got, "broken") && !strings.Contains(got, "is damaged") {
			t.Errorf("ReadThrough of %q = %q; want an error", bad, got)
		}
		if u, err := c.Usage(); err != nil || u.Blobs != 0 {
			t.Errorf("after %q the cache has %+v, %v", bad, u, err)
		}
	}
	content, reads = "content", 0
	for range 3 {
		if got := read(d); got != "content" {
			t.Errorf("read %q", got)
		}
	}
	if reads != 1 {
		t.Errorf("the blob was fetched %d times; want once", reads)
	}
	if err := os.WriteFile(c.blob(d.Digest), []byte("CONTENT"), 0o644); err != nil {
		t.Fatal(err)
	}
	if got := read(d); got != "content" || reads != 2 {
		t.Errorf("after a change of the cache, read %q, %d times; want it to be read again", got, reads)
	}
	if u, err := c.Usage(); err != nil || u.Blobs != 1 || u.Bytes != 7 {
		t.Errorf("the cache has %+v, %v", u, err)
	}
	if removed, err := c.Prune(t.Context(), PruneOptions{MaxSize: 1}); err != nil || removed.Blobs != 1 {
		t.Errorf("Prune = %+v, %v; want the blob to go", removed, err)
	}
	if got := read(d); got != "content" || reads != 3 {
		t.Errorf("after Prune, read %q, %d times", got, reads)
	}
	wrong := d
	wrong.Size++
	if got := read(wrong); !strings.Contains(got, "is damaged") {
		t.Errorf("with another size: %q; want an error", got)
	}
	var none *Cache
	open = none.ReadThrough(openBlobIn(f.dir))
	if got := read(d); got != "content" || reads != 4 {
		t.Errorf("without a cache, read %q after %d reads; want 4", got, reads)
	}
}
