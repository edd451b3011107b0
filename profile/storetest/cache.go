package storetest

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/export-profile/export-profile/profile"
	"github.com/export-profile/export-profile/profile/nar"
)

// WriteCache writes a binary cache in one of the [Compressions], with the sample's signatures.
func (s *Sample) WriteCache(t testing.TB, compression string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "cache")
	if err := os.MkdirAll(filepath.Join(dir, "nar"), 0o755); err != nil {
		t.Fatal(err)
	}
	put := func(name string, content []byte) {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	put("nix-cache-info", []byte("StoreDir: "+s.Dir.String()+"\n"))
	nars := make([][]byte, len(s.Infos))
	for i, info := range s.Infos {
		nars[i] = s.NAR(t, info.Path)
	}
	for i, packed := range Compress(t, compression, nars...) {
		info := s.Infos[i]
		url := "nar/" + info.NarHash.Hex() + ".nar" // the name does not tell the compression
		put(url, packed)
		put(info.Path.Digest()+".narinfo", []byte(NarInfo(info, url, compression)))
	}
	return dir
}

// NarInfo formats a narinfo file.
func NarInfo(info *profile.Info, url, compression string) string {
	var refs []string
	for _, r := range info.References {
		refs = append(refs, r.Base())
	}
	text := fmt.Sprintf("StorePath: %s\nURL: %s\nCompression: %s\nNarHash: %s\nNarSize: %d\nReferences: %s\n",
		info.Path, url, compression, info.NarHash, info.NarSize, strings.Join(refs, " "))
	for _, signature := range info.Signatures {
		text += "Sig: " + signature + "\n"
	}
	return text
}

// NAR returns the NAR of an object.
func (s *Sample) NAR(t testing.TB, p profile.Path) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := nar.Write(&b, s.trees[p], p.Root()); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// Signed signs each object of the sample. It returns the signed copy, and the public key as Nix writes it.
func (s *Sample) Signed(name string) (signed *Sample, publicKey string) {
	seed := sha256.Sum256([]byte(name))
	private := ed25519.NewKeyFromSeed(seed[:])
	signed = &Sample{Name: s.Name, Dir: s.Dir, Root: s.Root, trees: s.trees}
	for _, info := range s.Infos {
		i := *info
		var refs []string
		for _, r := range i.References {
			refs = append(refs, string(r))
		}
		slices.Sort(refs)
		message := fmt.Sprintf("1;%s;%s;%d;%s", i.Path, i.NarHash, i.NarSize, strings.Join(refs, ","))
		i.Signatures = []string{name + ":" + base64.StdEncoding.EncodeToString(ed25519.Sign(private, []byte(message)))}
		signed.Infos = append(signed.Infos, &i)
	}
	return signed, name + ":" + base64.StdEncoding.EncodeToString(private.Public().(ed25519.PublicKey))
}
