package trust

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/export-profile/export-profile/profile"
	"github.com/export-profile/export-profile/profile/binarycache"
	"github.com/export-profile/export-profile/profile/storetest"
	"github.com/export-profile/export-profile/rootfs"
)

// signed opens the golden cache, which Nix has signed, and returns the key.
func signed(t testing.TB) (profile.Store, Key) {
	t.Helper()
	b, err := os.ReadFile(storetest.File(t, "basic.cache.public-key"))
	if err != nil {
		t.Fatal(err)
	}
	key, err := ParseKey(string(b))
	if err != nil {
		t.Fatal(err)
	}
	return cache(t, storetest.File(t, "basic.cache")), key
}

// addressed opens a cache of unsigned objects with content addresses of every kind, made by Nix.
func addressed(t testing.TB) profile.Store {
	t.Helper()
	return cache(t, "testdata/ca.cache")
}

func cache(t testing.TB, dir string) profile.Store {
	t.Helper()
	s, err := binarycache.Open(t.Context(), dir, binarycache.Options{SpoolDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// infos returns the Info of every object in a store.
func infos(t testing.TB, s profile.Store) []*profile.Info {
	t.Helper()
	paths, err := s.(profile.Lister).Paths(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var all []*profile.Info
	for _, p := range paths {
		info, err := s.Info(t.Context(), p)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, info)
	}
	return all
}

func TestParseKey(t *testing.T) {
	const good = "6NCHdD59X431o0gWypbMrAURkbJ16ZPMQFGspcDShjY="
	secret := base64.StdEncoding.EncodeToString(bytes.Repeat([]byte("s"), ed25519.PrivateKeySize))
	for _, test := range []struct{ in, err string }{
		{"cache.nixos.org-1:" + good, ""},
		{"a:" + good, ""},
		{"", "public key: not of the form name:base64"},
		{good, "public key: not of the form name:base64"},
		{":" + good, "public key: not of the form name:base64"},
		{"a b:" + good, "public key: not of the form name:base64"},
		{"a:", `public key "a": empty`},
		{"a:" + good[:len(good)-1], `public key "a": not base 64`},
		{"a:" + good + "\n", `public key "a": not base 64`},
		{"a:" + good[:10] + "\n" + good[10:], `public key "a": not base 64`},
		{"a:" + strings.Replace(good, "Y=", "Z=", 1), `public key "a": not base 64`},
		{"a:" + good[:40], `public key "a": 30 bytes, not 32`},
		{"a:" + secret, "public key \"a\": it is a secret key (`nix key convert-secret-to-public` makes a public one)"},
	} {
		k, err := ParseKey(test.in)
		switch {
		case test.err == "" && (err != nil || k.Name != strings.SplitN(test.in, ":", 2)[0] || len(k.Public) != 32):
			t.Errorf("ParseKey(%q) = %v, %v", test.in, k, err)
		case test.err != "" && (err == nil || err.Error() != test.err):
			t.Errorf("ParseKey(%q) = %v, %v; want %s", test.in, k, err, test.err)
		}
	}
	keys, err := ParseKeys("# ours\na:" + good + " b:" + good + "\n\n\tc:" + good + " # theirs\n")
	if err != nil || len(keys) != 3 || keys[2].Name != "c" {
		t.Errorf("ParseKeys = %v, %v; want a, b and c", keys, err)
	}
	if _, err := ParseKeys("a:" + good + "\nb"); err == nil || err.Error() != "line 2: public key: not of the form name:base64" {
		t.Errorf("ParseKeys = %v", err)
	}
	if d := Default(); len(d) != 1 || d[0].Name != "cache.nixos.org-1" {
		t.Errorf("Default() = %v", d)
	}
}

// FuzzParseKeys checks that accepted keys are accepted again, and that errors quote no long words, which may be secret.
func FuzzParseKeys(f *testing.F) {
	f.Add("# ours\n" + defaultKey + " b:6NCHdD59X431o0gWypbMrAURkbJ16ZPMQFGspcDShjY=\r\n\tc: # theirs")
	f.Add("a:" + base64.StdEncoding.EncodeToString(bytes.Repeat([]byte("s"), ed25519.PrivateKeySize)))
	f.Add(":\xff\x00\u2028")
	f.Fuzz(func(t *testing.T, text string) {
		keys, err := ParseKeys(text)
		if err != nil {
			for word := range strings.FieldsSeq(text) {
				if _, secret, ok := strings.Cut(word, ":"); ok && len(secret) > 40 && !strings.Contains(secret, ":") && strings.Contains(err.Error(), secret) {
					t.Errorf("ParseKeys(%q) = %v, which repeats a word", text, err)
				}
			}
			return
		}
		for _, k := range keys {
			word := k.Name + ":" + base64.StdEncoding.EncodeToString(k.Public)
			if again, err := ParseKey(word); err != nil || again.Name != k.Name || !again.Public.Equal(k.Public) {
				t.Errorf("ParseKey(%q) = %v, %v; want %v", word, again, err, k)
			}
		}
	})
}

// TestSigned checks that signatures of Nix vouch for objects, with the right key only.
func TestSigned(t *testing.T) {
	s, key := signed(t)
	other := Key{Name: key.Name, Public: slices.Clone(key.Public)}
	other.Public[0] ^= 1
	for _, info := range infos(t, s) {
		unaddressed := *info
		unaddressed.CA = ""
		for _, keys := range []Keys{{key}, append(Default(), key), {other, key}} {
			if _, err := voucher(&unaddressed, keys); err != nil {
				t.Errorf("voucher(%q) = %v", info.Path, err)
			}
		}
		for want, keys := range map[string]Keys{
			`it is signed by "golden-1", which is no trusted key`: Default(),
			`the signature of key "golden-1" does not verify`:     {other},
		} {
			if _, err := voucher(&unaddressed, keys); !refused(err, info.Path, want) {
				t.Errorf("voucher(%q) = %v; want %s", info.Path, err, want)
			}
		}
		// Unsigned fields may change, and one valid signature among others is enough.
		changed := unaddressed
		changed.Deriver = ""
		changed.CA = "text:sha256:0"
		changed.Signatures = []string{"x", "golden-1:AAAA", "other:" + strings.Repeat("A", 86) + "==", info.Signatures[0]}
		if _, err := voucher(&changed, Keys{key}); err != nil {
			t.Errorf("voucher(%q), the signature among others = %v", info.Path, err)
		}
		changed.Signatures = []string{strings.TrimSuffix(info.Signatures[0], "==")}
		if _, err := voucher(&changed, Keys{key}); err != nil {
			t.Errorf("voucher(%q), the signature without padding = %v", info.Path, err)
		}
		changed = unaddressed
		changed.References = append(slices.Clone(info.References), info.References...)
		slices.Reverse(changed.References)
		if _, err := voucher(&changed, Keys{key}); err != nil {
			t.Errorf("voucher(%q), references in another order = %v", info.Path, err)
		}
	}
}

func refused(err error, p profile.Path, reason string) bool {
	var s *SignatureError
	return errors.As(err, &s) && errors.Is(err, profile.ErrUntrusted) && s.Path == p && s.Reason == reason
}

// TestSignedChanged checks that an object is untrusted if a bit of any signed field changes.
func TestSignedChanged(t *testing.T) {
	s, key := signed(t)
	for _, info := range infos(t, s) {
		check := func(what string, change func(*profile.Info)) {
			t.Helper()
			c := *info
			c.CA = ""
			c.References, c.Signatures = slices.Clone(c.References), slices.Clone(c.Signatures)
			change(&c)
			if _, err := voucher(&c, Keys{key}); err == nil {
				t.Errorf("voucher(%q) with %s changed: no error", info.Path, what)
			}
		}
		for bit := range len(info.NarHash) * 8 {
			check("the hash", func(c *profile.Info) { c.NarHash[bit/8] ^= 1 << (bit % 8) })
		}
		for bit := range 63 {
			check("the size", func(c *profile.Info) { c.NarSize ^= 1 << bit })
		}
		for bit := range len(info.Path) * 8 {
			b := []byte(info.Path)
			b[bit/8] ^= 1 << (bit % 8)
			check("the path", func(c *profile.Info) { c.Path = profile.Path(b) })
		}
		for bit := range len(info.Signatures[0]) * 8 {
			b := []byte(info.Signatures[0])
			b[bit/8] ^= 1 << (bit % 8)
			check("the signature", func(c *profile.Info) { c.Signatures[0] = string(b) })
		}
		check("the signature", func(c *profile.Info) { c.Signatures = nil })
		check("the signature", func(c *profile.Info) { c.Signatures[0] += "=" })
		check("the hash", func(c *profile.Info) { c.NarHash = profile.Hash{} })
		check("the references", func(c *profile.Info) {
			c.References = append(c.References, "/nix/store/00000000000000000000000000000000-x")
		})
		for i := range info.References {
			check("the references", func(c *profile.Info) { c.References = slices.Delete(c.References, i, i+1) })
		}
	}
}

func TestFingerprint(t *testing.T) {
	info := &profile.Info{Path: "/nix/store/00000000000000000000000000000001-a", NarSize: 7, References: []profile.Path{
		"/nix/store/00000000000000000000000000000002-b", "/nix/store/00000000000000000000000000000001-a",
	}}
	want := "1;/nix/store/00000000000000000000000000000001-a;sha256:" + strings.Repeat("0", 52) + ";7;" +
		"/nix/store/00000000000000000000000000000001-a,/nix/store/00000000000000000000000000000002-b"
	if got := Fingerprint(info); got != want {
		t.Errorf("Fingerprint = %q; want %q", got, want)
	}
}

// TestRequire checks that Require changes nothing if a trusted key has signed all objects, and refuses the others.
func TestRequire(t *testing.T) {
	s, key := signed(t)
	storetest.Golden(t, Require(s, append(Default(), key)))

	r := Require(s, Default())
	_, err := profile.FindClosure(t.Context(), r, storetest.GoldenProfile)
	var all *profile.ClosureError
	if !errors.As(err, &all) || len(all.Untrusted) != len(infos(t, s))-1 || len(all.Missing) != 0 { // one is addressed by its content
		t.Errorf("FindClosure = %v; want all but one of %d not trusted", err, len(infos(t, s)))
	}
	if lines, err := storetest.List(r.Files(t.Context(), storetest.GoldenProfile)); len(lines) > 0 || !errors.Is(err, profile.ErrUntrusted) {
		t.Errorf("Files = %q, %v; want %v", lines, err, profile.ErrUntrusted)
	}
}

// TestRequireAddressed checks that objects with content addresses need no signature.
func TestRequireAddressed(t *testing.T) {
	s := addressed(t)
	r := Require(s, nil)
	trusted, proven := 0, 0
	for _, info := range infos(t, s) {
		if strings.Contains(info.CA, "md5") {
			if _, err := r.Info(t.Context(), info.Path); !refused(err, info.Path, fmt.Sprintf("it has no signature, and content address %q: MD5 proves nothing", info.CA)) {
				t.Errorf("Info(%q) = %v; want it refused", info.Path, err)
			}
			continue
		}
		if _, err := r.Info(t.Context(), info.Path); err != nil {
			t.Errorf("Info(%q) with %s = %v", info.Path, info.CA, err)
			continue
		}
		want, err := storetest.List(s.Files(t.Context(), info.Path))
		if err != nil {
			t.Fatal(err)
		}
		got, err := storetest.List(r.Files(t.Context(), info.Path))
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("Files(%q) with %s = %q, %v; want %q", info.Path, info.CA, got, err, want)
		}
		for range r.Files(t.Context(), info.Path) { // a walk without contents checks nothing
		}
		trusted++
		if r.(profile.Prover).Proven(info.Path) {
			proven++
			if !strings.HasPrefix(info.CA, "fixed:r:sha256:") || slices.Contains(info.References, info.Path) {
				t.Errorf("Proven(%q) with %s = true; want false", info.Path, info.CA)
			}
		}
	}
	if trusted != 16 {
		t.Errorf("%d objects were trusted; want 16", trusted)
	}
	if proven != 6 {
		t.Errorf("%d objects are proven by their NAR hashes; want 6", proven)
	}
}

// bare is a store without optional interfaces.
type bare struct{ profile.Store }

// linker is a store with links.
type linker struct{ profile.Store }

func (linker) Readlink(string) (string, error) { return "x", nil }
func (linker) Inside(string) (string, bool)    { return "y", true }

func TestRequireAbilities(t *testing.T) {
	s, _ := signed(t)
	both := struct {
		linker
		profile.Lister
	}{linker{s}, s.(profile.Lister)}
	for name, test := range map[string]struct {
		s            profile.Store
		lists, links bool
	}{
		"neither": {bare{s}, false, false},
		"lists":   {s, true, false},
		"links":   {linker{s}, false, true},
		"both":    {both, true, true},
	} {
		r := Require(test.s, nil)
		_, lists := r.(profile.Lister)
		_, links := r.(profile.Linker)
		if lists != test.lists || links != test.links {
			t.Errorf("%s: Require lists: %v, links: %v; want %v, %v", name, lists, links, test.lists, test.links)
		}
	}
}

// spooling is a store of objects that are slow to read.
type spooling struct {
	profile.Store
	spooled *[]profile.Path
}

func (s spooling) Spooler(p profile.Path) func(context.Context) {
	return func(context.Context) { *s.spooled = append(*s.spooled, p) }
}

// TestRequireSpooler checks that a store still spools, and that another does not claim to.
func TestRequireSpooler(t *testing.T) {
	s, _ := signed(t)
	p := infos(t, s)[0].Path
	if profile.SpoolerOf(Require(bare{s}, nil), p) != nil {
		t.Error("a store that cannot spool has a Spooler")
	}
	var spooled []profile.Path
	spool := profile.SpoolerOf(Require(spooling{s, &spooled}, nil), p)
	if spool == nil {
		t.Fatal("a store that can spool has no Spooler")
	}
	spool(t.Context())
	if !slices.Equal(spooled, []profile.Path{p}) {
		t.Errorf("spooled %q; want %q", spooled, p)
	}
}

// TestRequireRefresh checks that the store asks again for an unsigned Info from an earlier run before it refuses the object.
func TestRequireRefresh(t *testing.T) {
	_, key := signed(t)
	name := storetest.GoldenProfile.Digest() + ".narinfo"
	text, err := os.ReadFile(filepath.Join(storetest.File(t, "basic.cache"), name))
	if err != nil {
		t.Fatal(err)
	}
	var asked int
	var says []byte
	files := http.FileServer(http.Dir(storetest.File(t, "basic.cache")))
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/"+name {
			files.ServeHTTP(w, r)
			return
		}
		asked++
		w.Write(says)
	}))
	defer server.Close()
	kept := t.TempDir()
	info := func(keys Keys) (*profile.Info, error) {
		t.Helper()
		s, err := binarycache.Open(t.Context(), server.URL, binarycache.Options{SpoolDir: t.TempDir(), CacheDir: kept})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		return Require(s, keys).Info(t.Context(), storetest.GoldenProfile)
	}
	says = regexp.MustCompile(`(?m)^Sig:.*\n`).ReplaceAll(text, nil)
	if _, err := info(Keys{key}); !errors.Is(err, profile.ErrUntrusted) || asked != 1 {
		t.Errorf("Info without a signature = %v, asked %d times; want %v, 1", err, asked, profile.ErrUntrusted)
	}
	says = text
	if info, err := info(Keys{key}); err != nil || len(info.Signatures) != 1 || asked != 2 {
		t.Errorf("Info = %v, %v, asked %d times; want it with its signature, 2", info, err, asked)
	}
	if _, err := info(nil); !errors.Is(err, profile.ErrUntrusted) {
		t.Errorf("Info without a key = %v; want %v", err, profile.ErrUntrusted)
	}
}

// TestDefaultKey checks that the built-in key verifies an answer of cache.nixos.org.
func TestDefaultKey(t *testing.T) {
	b, err := os.ReadFile("testdata/cache.nixos.org.narinfo")
	if err != nil {
		t.Fatal(err)
	}
	n, err := binarycache.ParseNarInfo(b)
	if err != nil {
		t.Fatal(err)
	}
	if ca, err := voucher(&n.Info, Default()); err != nil || ca != nil {
		t.Errorf("voucher(%q) = %v, %v; want the key", n.Path, ca, err)
	}
	n.NarSize++
	if _, err := voucher(&n.Info, Default()); !refused(err, n.Path, `the signature of key "cache.nixos.org-1" does not verify`) {
		t.Errorf("voucher(%q) with another size = %v; want it refused", n.Path, err)
	}
}

// single makes a tree of one entry.
func single(e rootfs.Entry, content string) rootfs.Tree {
	return func(yield func(rootfs.Entry, error) bool) {
		if e.IsRegular() {
			e.Size = int64(len(content))
			e.Open = func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(content)), nil }
		}
		yield(e, nil)
	}
}
