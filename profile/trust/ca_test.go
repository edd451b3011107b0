package trust

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/export-profile/export-profile/profile"
	"github.com/export-profile/export-profile/profile/storetest"
	"github.com/export-profile/export-profile/rootfs"
)

func TestParseCA(t *testing.T) {
	sum := sha256.Sum256([]byte("x"))
	nix32 := strings.TrimPrefix(profile.Hash(sum).String(), "sha256:")
	for _, test := range []struct {
		in   string
		want Method
		err  string
	}{
		{"text:sha256:" + nix32, Text, ""},
		{"fixed:sha256:" + nix32, Flat, ""},
		{"fixed:r:sha256:" + nix32, NAR, ""},
		{"fixed:r:sha256:" + hex.EncodeToString(sum[:]), NAR, ""},
		{"fixed:r:sha256:" + base64.StdEncoding.EncodeToString(sum[:]), NAR, ""},
		{"fixed:sha1:" + strings.Repeat("0", 40), Flat, ""},
		{"", "", "neither text nor fixed"},
		{"text", "", "no algorithm"},
		{"text:sha256", "", "no algorithm"},
		{"text:sha1:" + strings.Repeat("0", 40), "", "a text needs a SHA-256"},
		{"text:r:sha256:" + nix32, "", "its algorithm is not supported"},
		{"fixed:md5:" + strings.Repeat("0", 32), "", "MD5 proves nothing"},
		{"fixed:r:blake3:" + nix32, "", "its algorithm is not supported"},
		{"fixed:git:sha1:" + strings.Repeat("0", 40), "", "the method git is not supported"},
		{"fixed:sha256:" + nix32[1:], "", "not a hash of its algorithm"},
		{"fixed:sha256:z" + nix32[1:], "", "not a hash of its algorithm"},
		{"fixed:sha256:" + strings.Replace(nix32, nix32[3:4], "e", 1), "", "not a hash of its algorithm"},
		{"fixed:sha512:" + nix32, "", "not a hash of its algorithm"},
		{"fixed:sha256:" + nix32 + ":", "", "not a hash of its algorithm"},
		{"source:sha256:" + nix32, "", "neither text nor fixed"},
	} {
		ca, err := ParseCA(test.in)
		switch {
		case test.err == "" && (err != nil || ca.Method != test.want || len(ca.Hash) < 20):
			t.Errorf("ParseCA(%q) = %v, %v", test.in, ca, err)
		case test.err == "" && ca.Algorithm == "sha256" && !bytes.Equal(ca.Hash, sum[:]):
			t.Errorf("ParseCA(%q) = %x; want %x", test.in, ca.Hash, sum)
		case test.err != "" && (err == nil || !strings.HasSuffix(err.Error(), test.err)):
			t.Errorf("ParseCA(%q) = %v, %v; want …%s", test.in, ca, err, test.err)
		}
	}
}

func FuzzParseCA(f *testing.F) {
	f.Add("fixed:r:sha256:14zsfplh3ia9fxpliwj313ivn201b29qk8fij26xdby4chi4kznv")
	f.Add("text:sha256:13004px1bm6vbmwgj52601inw44kfgrqgpjqabk3gs357zlvg1mh")
	f.Fuzz(func(t *testing.T, s string) {
		if ca, err := ParseCA(s); (ca == nil) == (err == nil) {
			t.Errorf("ParseCA(%q) = %v, %v", s, ca, err)
		}
	})
}

// TestAddressedChanged checks that an object is untrusted if a bit changes in anything from which its path is made.
func TestAddressedChanged(t *testing.T) {
	for _, info := range infos(t, addressed(t)) {
		if strings.Contains(info.CA, "md5") {
			continue
		}
		check := func(what string, change func(*profile.Info)) {
			t.Helper()
			c := *info
			c.References = slices.Clone(c.References)
			change(&c)
			if _, err := voucher(&c, nil); !errors.Is(err, profile.ErrUntrusted) {
				t.Errorf("voucher(%q) with %s changed = %v", info.Path, what, err)
			}
		}
		check("no address", func(c *profile.Info) { c.CA = "" })
		for bit := range len(info.CA) * 8 {
			b := []byte(info.CA)
			b[bit/8] ^= 1 << (bit % 8)
			check("the address", func(c *profile.Info) { c.CA = string(b) })
		}
		for bit := len("/nix/store/") * 8; bit < len(info.Path)*8; bit++ {
			b := []byte(info.Path)
			b[bit/8] ^= 1 << (bit % 8)
			if p, err := profile.ParsePath(string(b)); err == nil {
				check("the path", func(c *profile.Info) {
					// Keep references to itself.
					for i, ref := range c.References {
						if ref == c.Path {
							c.References[i] = p
						}
					}
					c.Path = p
				})
			}
		}
		check("the references", func(c *profile.Info) {
			c.References = append(c.References, "/nix/store/00000000000000000000000000000000-x")
		})
		for i := range info.References {
			check("the references", func(c *profile.Info) { c.References = slices.Delete(c.References, i, i+1) })
		}
		if !slices.Contains(info.References, info.Path) {
			check("the references", func(c *profile.Info) { c.References = append(c.References, c.Path) })
		}
		ca, err := ParseCA(info.CA)
		if err != nil {
			t.Fatal(err)
		}
		if ca.Method == NAR && ca.Algorithm == "sha256" && !slices.Contains(info.References, info.Path) {
			check("the hash", func(c *profile.Info) { c.NarHash[0] ^= 1 })
		}
	}
}

// one is a store with one object.
type one struct {
	info *profile.Info
	tree rootfs.Tree
}

func (o *one) Info(context.Context, profile.Path) (*profile.Info, error) { return o.info, nil }
func (o *one) Files(context.Context, profile.Path) rootfs.Tree           { return o.tree }
func (o *one) StoreDir() profile.StoreDir                                { return o.info.Path.StoreDir() }
func (o *one) Close() error                                              { return nil }

// trustedByPath returns the tree of an object if only its path vouches for it.
func trustedByPath(t *testing.T, tree rootfs.Tree, info *profile.Info) rootfs.Tree {
	unsigned := *info
	unsigned.Signatures = nil
	return Require(&one{&unsigned, tree}, nil).Files(t.Context(), info.Path)
}

// TestContent checks that a changed byte or mode of any file is a ContentError.
func TestContent(t *testing.T) {
	s := addressed(t)
	for _, info := range infos(t, s) {
		if strings.Contains(info.CA, "md5") {
			continue
		}
		tree := s.Files(t.Context(), info.Path)
		if _, err := storetest.List(trustedByPath(t, tree, info)); err != nil {
			t.Errorf("content of %q with %s = %v", info.Path, info.CA, err)
		}
		var wrong *ContentError
		for e, err := range tree {
			if err != nil {
				t.Fatal(err)
			}
			for name, changed := range map[string]rootfs.Tree{
				"a byte changed": change(tree, e.Path, 1),
				"a mode changed": change(tree, e.Path, -1),
			} {
				switch {
				case name == "a byte changed" && e.Size == 0, name == "a mode changed" && !e.IsRegular():
					continue
				}
				if _, err := storetest.List(trustedByPath(t, changed, info)); !errors.As(err, &wrong) {
					t.Errorf("content of %q with %s, %q with %s = %v; want a ContentError", info.Path, info.CA, e.Path, name, err)
				}
			}
		}
		link := single(rootfs.Link(info.Path.Root(), "x"), "")
		if _, err := storetest.List(trustedByPath(t, link, info)); !errors.As(err, &wrong) {
			t.Errorf("content of a link = %v; want a ContentError", err)
		}
	}
	if _, err := storetest.List(trustedByPath(t, nil, &profile.Info{Path: storetest.GoldenProfile})); !errors.Is(err, profile.ErrUntrusted) {
		t.Errorf("content without an address = %v; want %v", err, profile.ErrUntrusted)
	}
}

// change changes a byte of one file, counted from its end, or the mode if fromEnd is negative.
func change(t rootfs.Tree, path string, fromEnd int64) rootfs.Tree {
	return func(yield func(rootfs.Entry, error) bool) {
		for e, err := range t {
			if err == nil && e.Path == path && e.IsRegular() {
				if fromEnd < 0 {
					e.Mode ^= 0o111
				} else {
					open, at := e.Open, e.Size-fromEnd
					e.Open = func() (io.ReadCloser, error) {
						r, err := open()
						if err != nil {
							return nil, err
						}
						b, err := io.ReadAll(r)
						if err != nil {
							return nil, err
						}
						b[at] ^= 1
						return io.NopCloser(bytes.NewReader(b)), r.Close()
					}
				}
			}
			if !yield(e, err) {
				return
			}
		}
	}
}

// TestModuloHash checks that the hash is the same for writes of every size.
func TestModuloHash(t *testing.T) {
	const digest = "00000000000000000000000000000abc"
	text := digest[:31] + digest + digest + "x" + digest[5:] + digest + digest[:31]
	want := sha256.New()
	zeros := strings.Repeat("\x00", 32)
	io.WriteString(want, digest[:31]+zeros+zeros+"x"+digest[5:]+zeros+digest[:31]+"|31|63|123")
	for size := 1; size <= len(text); size++ {
		h := sha256.New()
		m := newModuloHash(h, digest)
		for rest := text; rest != ""; {
			n := min(size, len(rest))
			_, _ = m.Write([]byte(rest[:n]))
			rest = rest[n:]
		}
		if err := m.finish(); err != nil {
			t.Fatal(err)
		}
		if got := h.Sum(nil); !bytes.Equal(got, want.Sum(nil)) {
			t.Errorf("in pieces of %d bytes: %x; want %x", size, got, want.Sum(nil))
		}
	}
	m := newModuloHash(sha256.New(), digest)
	for range maxFound + 1 {
		_, _ = io.WriteString(m, digest)
	}
	if err := m.finish(); err == nil {
		t.Error("too many occurrences: no error")
	}
}
