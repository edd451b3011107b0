package storetest

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"io"
	"math/big"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/export-profile/export-profile/profile"
)

// This file writes samples as Guix writes them (guix/scripts/publish.scm, guix/nar.scm), signed with RSA keys.
// Guix mostly has keys of another kind, whose signatures only libgcrypt can make; see testdata of package trust/guix.

// GuixKey is a key that signs like Guix.
type GuixKey struct{ private *rsa.PrivateKey }

// NewGuixKey returns a new key.
func NewGuixKey() GuixKey {
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return GuixKey{private}
}

// guixKey is the key of all samples, since it takes a while to make.
var guixKey = sync.OnceValue(NewGuixKey)

// ID returns the name that error messages give the key.
func (k GuixKey) ID() string { return fmt.Sprintf("%X", k.private.N.Bytes()[:8]) }

// Public returns the text of the public key's file.
func (k GuixKey) Public() string {
	return fmt.Sprintf("(public-key \n (rsa \n  (n #00%X#)\n  (e #%06X#)\n  )\n )\n", k.private.N, big.NewInt(int64(k.private.E)))
}

// Sign returns a signature of data.
func (k GuixKey) Sign(data []byte) string {
	sum := sha256.Sum256(data)
	s, err := rsa.SignPKCS1v15(nil, k.private, crypto.SHA256, sum[:])
	if err != nil {
		panic(err)
	}
	return fmt.Sprintf("(signature \n (data \n  (flags pkcs1)\n  (hash sha256 #%X#)\n  )\n (sig-val \n  (rsa \n   (s #%X#)\n   )\n  )\n %s)\n",
		sum, s, k.Public())
}

// WriteGuixCache writes the files that `guix publish` serves, and the file of the key that has signed them.
func (s *Sample) WriteGuixCache(t testing.TB, compressions ...string) (dir, keyFile string) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "guix")
	put := func(name string, content []byte) {
		name = filepath.Join(dir, name)
		err := os.MkdirAll(filepath.Dir(name), 0o755)
		if err == nil {
			err = os.WriteFile(name, content, 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	put("nix-cache-info", []byte("StoreDir: "+s.Dir.String()+"\nWantMassQuery: 0\nPriority: 100\n"))
	nars := make([][]byte, len(s.Infos))
	for i, info := range s.Infos {
		nars[i] = s.NAR(t, info.Path)
	}
	locations := make([]string, len(s.Infos))
	for _, compression := range compressions {
		under := "nar/" + compression + "/"
		if compression == "none" {
			under = "nar/"
		}
		for i, packed := range Compress(t, compression, nars...) {
			base := s.Infos[i].Path.Base()
			put(under+base, packed)
			locations[i] += fmt.Sprintf("URL: %s\nCompression: %s\n", under+url.QueryEscape(base), compression)
			if compression == "none" {
				locations[i] += fmt.Sprintf("FileSize: %d\n", len(packed))
			}
		}
	}
	for i, info := range s.Infos {
		put(info.Path.Digest()+".narinfo", []byte(GuixNarInfo(info, locations[i], guixKey())))
	}
	return dir, writeFile(t, "signing-key.pub", []byte(guixKey().Public()))
}

// GuixNarInfo formats a narinfo of `guix publish`. locations has the lines that say where the NAR is.
func GuixNarInfo(info *profile.Info, locations string, key GuixKey) string {
	var refs []string
	for _, r := range info.References {
		refs = append(refs, r.Base())
	}
	text := fmt.Sprintf("StorePath: %s\n%sNarHash: %s\nNarSize: %d\nReferences: %s\n",
		info.Path, locations, info.NarHash, info.NarSize, strings.Join(refs, " "))
	if info.Deriver != "" {
		text += "Deriver: " + info.Deriver.Base() + "\n"
	}
	return text + "Signature: 1;localhost;" + base64.StdEncoding.EncodeToString([]byte(key.Sign([]byte(text)))) + "\n"
}

// WriteGuixExport writes a stream of `guix archive --export`, and the file of the key that has signed it.
func (s *Sample) WriteGuixExport(t testing.TB) (file, keyFile string) {
	t.Helper()
	file = writeStream(t, s.Name+".guix", func(w io.Writer) error {
		_, err := w.Write(s.GuixExport(t, guixKey()))
		return err
	})
	return file, writeFile(t, "signing-key.pub", []byte(guixKey().Public()))
}

// GuixExport returns a stream of `guix archive --export`.
func (s *Sample) GuixExport(t testing.TB, key GuixKey) []byte {
	t.Helper()
	number := func(b []byte, n int) []byte { return binary.LittleEndian.AppendUint64(b, uint64(n)) }
	str := func(b []byte, s string) []byte {
		return append(append(number(b, len(s)), s...), make([]byte, -len(s)&7)...)
	}
	var all []byte
	for _, info := range s.Infos {
		b := number(str(number(s.NAR(t, info.Path), 0x4558494e), string(info.Path)), len(info.References))
		for _, r := range info.References {
			b = str(b, string(r))
		}
		b = str(b, string(info.Deriver))
		all = str(number(append(number(all, 1), b...), 1), key.Sign(b))
	}
	return number(all, 0)
}
