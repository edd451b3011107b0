package compress

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"runtime"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	ispec "github.com/opencontainers/image-spec/specs-go/v1"
)

var compressions = []struct {
	in, want  string // want is the result of String; empty for an error
	mediaType string
}{
	{"none", "none", ispec.MediaTypeImageLayer},
	{"gzip", "gzip:2", ispec.MediaTypeImageLayerGzip},
	{"gzip:1", "gzip:1", ispec.MediaTypeImageLayerGzip},
	{"gzip:2", "gzip:2", ispec.MediaTypeImageLayerGzip},
	{"gzip:9", "gzip:9", ispec.MediaTypeImageLayerGzip},
	{"zstd", "zstd:1", ispec.MediaTypeImageLayerZstd},
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
	{"zstd:chunked", "zstd:chunked:1", ispec.MediaTypeImageLayerZstd},
	{"zstd:chunked:1", "zstd:chunked:1", ispec.MediaTypeImageLayerZstd},
	{"zstd:chunked:22", "zstd:chunked:22", ispec.MediaTypeImageLayerZstd},
	{"zstd:chunked:23", "", ""},
	{"zstd:chunked:", "", ""},
	{"zstd:chunkedx", "", ""},
	{"zstd:1:chunked", "", ""},
}

func TestParse(t *testing.T) {
	for _, test := range compressions {
		c, err := Parse(test.in)
		if test.want == "" {
			if err == nil || c != (Method{}) {
				t.Errorf("Parse(%q) = %v, <nil>; want an error", test.in, c)
			}
			continue
		}
		if err != nil || c.String() != test.want || c.MediaType() != test.mediaType {
			t.Errorf("Parse(%q) = %v (%s), %v; want %s (%s), <nil>", test.in, c, c.MediaType(), err, test.want, test.mediaType)
		}
	}
	zero := Method{}
	if c, err := Parse("gzip:2"); c != zero || err != nil {
		t.Errorf("Parse(%q) = %#v, %v; want the zero value, <nil>", "gzip:2", c, err)
	}
}

func FuzzParse(f *testing.F) {
	for _, test := range compressions {
		f.Add(test.in)
	}
	f.Fuzz(func(t *testing.T, s string) {
		c, err := Parse(s)
		if err != nil {
			return
		}
		if again, err := Parse(c.String()); err != nil || again != c {
			t.Errorf("Parse(%q) = %v, %v; want the same as Parse(%q)", c, again, err, s)
		}
	})
}

// TestCompressionBytes pins the output of the compressors. It fails when an update of their module changes it:
// then the digest of every image changes, which belongs in the release notes.
func TestCompressionBytes(t *testing.T) {
	content := []byte(text(7, 300<<10))
	for s, want := range map[string]string{
		"none":    "4bc267a0fb01547141463bb7e3f489a1969a238c73ce3b9783230791cd6004bc",
		"gzip:1":  "6568a77a019d2c36fd5d75776514d02a4fda91acbbcabc0957f6866fe0df7931",
		"gzip:2":  "15a6a199a494aea33e73c505a998411e10f3cd30b407bb55ca7bfbaceeab8e0d",
		"gzip:3":  "56a66ef831b429e6a51fcb88ee67e8912d53991a64a4a6d979196071a56013af",
		"gzip:4":  "3297e59094a4c5bf63290f247e836777a1f40632cb3dce1fe84f561f98d3a791",
		"gzip:5":  "fc83b40cb61d5f1643288bc7a8bf6e6111fe3ba26d8d1e4ac229435cf165e107",
		"gzip:6":  "5824ff8371558b9916f8e74f9a6f416a1418a6e2153ac65ea633272a0542c60a",
		"gzip:7":  "6a070a0d9dfc95fcded55d668f13e04d63bd4e5b1b0e5b2032d311efa1986f32",
		"gzip:8":  "0564df13b8b5f6571adf132664af136d7563a7c1d122338143c8f9e9e540b293",
		"gzip:9":  "9529f9d08d5650e8427c4bd8b8599658cc0653ca1eff02e90dcadccb006b79b0",
		"zstd:1":  "b0663b759e48d6faca7809c8cf5eed6e33879cfba1353467596b166c4cb33dad",
		"zstd:2":  "b0663b759e48d6faca7809c8cf5eed6e33879cfba1353467596b166c4cb33dad",
		"zstd:3":  "ecca90d5ec4a7b89ae103652ebd9a7908192b1a3a71e44bff0867bf86934393c",
		"zstd:5":  "ecca90d5ec4a7b89ae103652ebd9a7908192b1a3a71e44bff0867bf86934393c",
		"zstd:6":  "0a9dd08b7a27048290a71768f9be673fc7539dce791c503b7809fb6a7fa728dd",
		"zstd:9":  "0a9dd08b7a27048290a71768f9be673fc7539dce791c503b7809fb6a7fa728dd",
		"zstd:10": "cf3b9395752a6ab8a7fcf751e43e767acb9ddf82969596f859a63c3c9b117ad5",
	} {
		t.Run(s, func(t *testing.T) {
			t.Parallel()
			c, err := Parse(s)
			if err != nil {
				t.Fatal(err)
			}
			b := pack(t, c, content, 64<<10)
			plain, err := unpack(c, b)
			if err != nil || !bytes.Equal(plain, content) {
				t.Fatalf("%s: decompressing gives %d bytes, %v; want the %d bytes that were compressed", s, len(plain), err, len(content))
			}
			if got := fmt.Sprintf("%x", sha256.Sum256(b)); got != want {
				t.Errorf("%s: blob of %d bytes has sha256 %s; want %s (its content is right, so diffIDs stay)", s, len(b), got, want)
			}
			if c.level == 0 && !bytes.Equal(b, pack(t, c, content, 1000)) {
				t.Errorf("%s: the blob depends on the sizes of writes", s)
			}
		})
	}
}

// TestCompressVersion checks that compressVersion is the version in go.mod.
func TestCompressVersion(t *testing.T) {
	b, err := os.ReadFile("../../go.mod")
	if err != nil {
		t.Fatal(err)
	}
	if want := "\t" + compressModule + " " + compressVersion + "\n"; !strings.Contains(string(b), want) {
		t.Errorf("go.mod does not have %q", want)
	}
}

// text makes n bytes that compress about as well as programs. Equal seeds give equal bytes.
func text(seed uint64, n int) string {
	r := rand.New(rand.NewPCG(seed, 1))
	var b bytes.Buffer
	for b.Len() < n {
		switch r.IntN(3) {
		case 0:
			fmt.Fprintf(&b, "%d,", r.IntN(1000))
		case 1:
			b.WriteString(strings.Repeat("\x00", r.IntN(40)))
		default:
			b.WriteString(fmt.Sprintf("symbol_%x@", r.Uint32N(1<<16)))
		}
	}
	return b.String()[:n]
}

// pack compresses content, which it writes in pieces of step bytes.
func pack(t *testing.T, c Method, content []byte, step int) []byte {
	t.Helper()
	var b bytes.Buffer
	pool := NewPool(c, runtime.GOMAXPROCS(0))
	blob, err := pool.Pack(t.Context(), &b, func(_ context.Context, w *Stream) error {
		for rest := content; len(rest) > 0; {
			n := min(step, len(rest))
			if _, err := w.Write(rest[:n]); err != nil {
				return err
			}
			rest = rest[n:]
		}
		return nil
	})
	if err != nil || blob.TarSize != int64(len(content)) || blob.Digest != digest.FromBytes(b.Bytes()) {
		t.Fatalf("Pack = %+v, %v; want TarSize %d and Digest %s", blob, err, len(content), digest.FromBytes(b.Bytes()))
	}
	return b.Bytes()
}

// unpack decompresses a blob.
func unpack(m Method, b []byte) ([]byte, error) {
	r, err := NewReader(bytes.NewReader(b), m.MediaType())
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return io.ReadAll(r)
}
