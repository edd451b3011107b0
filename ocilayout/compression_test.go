package ocilayout

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"runtime"
	"testing"

	ispec "github.com/opencontainers/image-spec/specs-go/v1"
)

var compressions = []struct {
	in, want  string // what String says of it; empty: an error
	mediaType string
}{
	{"none", "none", ispec.MediaTypeImageLayer},
	{"gzip", "gzip:2", ispec.MediaTypeImageLayerGzip},
	{"gzip:1", "gzip:1", ispec.MediaTypeImageLayerGzip},
	{"gzip:2", "gzip:2", ispec.MediaTypeImageLayerGzip},
	{"gzip:9", "gzip:9", ispec.MediaTypeImageLayerGzip},
	{"zstd", "zstd:3", ispec.MediaTypeImageLayerZstd},
	{"zstd:1", "zstd:1", ispec.MediaTypeImageLayerZstd},
	{"zstd:3", "zstd:3", ispec.MediaTypeImageLayerZstd},
	{"zstd:22", "zstd:22", ispec.MediaTypeImageLayerZstd},
	{"", "", ""},
	{"gz", "", ""},
	{"GZIP", "", ""},
	{"none:1", "", ""},
	{"none:", "", ""},
	{"gzip:", "", ""},
	{"gzip:0", "", ""},
	{"gzip:10", "", ""},
	{"gzip:-1", "", ""},
	{"gzip:+1", "", ""},
	{"gzip:01", "", ""},
	{"gzip: 1", "", ""},
	{"gzip:1:1", "", ""},
	{"zstd:0", "", ""},
	{"zstd:23", "", ""},
	{"zstd:99999999999999999999", "", ""},
	{"zstd:chunked", "", ""},
}

func TestParseCompression(t *testing.T) {
	for _, test := range compressions {
		c, err := ParseCompression(test.in)
		if test.want == "" {
			if err == nil || c != (Compression{}) {
				t.Errorf("ParseCompression(%q) = %v, <nil>; want an error", test.in, c)
			}
			continue
		}
		if err != nil || c.String() != test.want || c.MediaType() != test.mediaType {
			t.Errorf("ParseCompression(%q) = %v (%s), %v; want %s (%s), <nil>", test.in, c, c.MediaType(), err, test.want, test.mediaType)
		}
	}
	zero := Compression{}
	if c, err := ParseCompression("gzip:2"); c != zero || err != nil {
		t.Errorf("ParseCompression(%q) = %#v, %v; want the zero value, <nil>", "gzip:2", c, err)
	}
}

func FuzzParseCompression(f *testing.F) {
	for _, test := range compressions {
		f.Add(test.in)
	}
	f.Fuzz(func(t *testing.T, s string) {
		c, err := ParseCompression(s)
		if err != nil {
			return
		}
		if again, err := ParseCompression(c.String()); err != nil || again != c {
			t.Errorf("ParseCompression(%q) = %v, %v; want that of %q", c, again, err, s)
		}
	})
}

// TestCompressionBytes pins what the compressors write. It fails when their module is updated:
// then the digest of every image changes, which is something to say in the release notes.
func TestCompressionBytes(t *testing.T) {
	content := []byte(text(7, 300<<10))
	for s, want := range map[string]string{
		"none":    "4bc267a0fb01547141463bb7e3f489a1969a238c73ce3b9783230791cd6004bc",
		"gzip:1":  "a4874c4ce061dd296b7a9871c22e1c394f3abaecbf05963ec44613167a032599",
		"gzip:2":  "c810b065d8edecb265aeb7e4c053fa959370b8fe6847ae9239197cb6a9aac54f",
		"gzip:3":  "c08b3b12ce28464bdfd57fb31c11ce4aa041334e04e7290ac8810e9984cb1ff1",
		"gzip:4":  "85c7979b5f42ddd95df9bdf4a47a5856a2eb4f0a0a9488ef8670b905e4574e2e",
		"gzip:5":  "4402780d33870fbab944e9078739048a65d65aa8bc840dbd3186e0c7c8bf3828",
		"gzip:6":  "698563f81837727d65de6fdf330a77bf0f2110ac17f9ed13346cda2f41c6ad13",
		"gzip:7":  "d19e0c9d0d7014b2c416a6ea3e908dcab8f9ab73b082565386ebbc671396567f",
		"gzip:8":  "17c9ea17246585ae8cffc588f5ec216b582e446f4c1b04078a98373a2bd46ee8",
		"gzip:9":  "eb5ff483be7b7c64e8e84fc539f5691397f0a4b1a0f3a477d650c49591b5b5cb",
		"zstd:1":  "acd3e36ea6683c360d245c5be88ff15cc9d7a8a88f2f0d96a799bd305bc1043b",
		"zstd:2":  "acd3e36ea6683c360d245c5be88ff15cc9d7a8a88f2f0d96a799bd305bc1043b",
		"zstd:3":  "540c8f2840be7ff45587bb48ce44f80b653ebfcb68e6730eea868526ac547a5d",
		"zstd:5":  "540c8f2840be7ff45587bb48ce44f80b653ebfcb68e6730eea868526ac547a5d",
		"zstd:6":  "520dccd3e2ca29876949b36787d714d89cd1d4807eebceaf7fa584cc7372086b",
		"zstd:9":  "520dccd3e2ca29876949b36787d714d89cd1d4807eebceaf7fa584cc7372086b",
		"zstd:10": "8c406bab9b1c7d956e494d3e50b943f2049b34d51bab1d9d56d56c6730f3c5cd",
	} {
		t.Run(s, func(t *testing.T) {
			t.Parallel()
			c, err := ParseCompression(s)
			if err != nil {
				t.Fatal(err)
			}
			b := compressed(t, c, content, 64<<10)
			plain, err := unpack(c.MediaType(), b)
			if err != nil || !bytes.Equal(plain, content) {
				t.Fatalf("%s: what was written is not what comes back: %d bytes of %d, %v", s, len(plain), len(content), err)
			}
			if got := fmt.Sprintf("%x", sha256.Sum256(b)); got != want {
				t.Errorf("%s: %d bytes with sha256 %s, want %s; the content is right, so a diffID would be", s, len(b), got, want)
			}
			if c.level == 0 && !bytes.Equal(b, compressed(t, c, content, 1000)) {
				t.Errorf("%s: other bytes if written in other pieces", s)
			}
		})
	}
}

// TestCompressionProcessors: the number of processors makes no difference.
func TestCompressionProcessors(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	content := []byte(text(8, 1<<20))
	for _, s := range []string{"gzip", "zstd"} {
		c, err := ParseCompression(s)
		if err != nil {
			t.Fatal(err)
		}
		runtime.GOMAXPROCS(1)
		one := compressed(t, c, content, 256<<10)
		runtime.GOMAXPROCS(8)
		if !bytes.Equal(one, compressed(t, c, content, 256<<10)) {
			t.Errorf("%s: other bytes with eight processors than with one", s)
		}
	}
}

func compressed(t *testing.T, c Compression, content []byte, step int) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := c.writer(&b)
	if err != nil {
		t.Fatal(err)
	}
	for len(content) > 0 {
		n := min(step, len(content))
		if _, err := io.Copy(w, bytes.NewReader(content[:n])); err != nil {
			t.Fatal(err)
		}
		content = content[n:]
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}
