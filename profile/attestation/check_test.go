package attestation

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/export-profile/export-profile/profile"
	"github.com/export-profile/export-profile/profile/trust"
	"github.com/export-profile/export-profile/rootfs"
)

const missingPath = profile.Path("/nix/store/0c1p5z4kda11zza9v4r1k2jjr3fa9v4s-example-1.0")

// oneFile returns a tree of one file.
func oneFile(p profile.Path, content string) rootfs.Tree {
	return func(yield func(rootfs.Entry, error) bool) {
		yield(rootfs.File(p.Root(), 0o444, int64(len(content)), func() (io.ReadCloser, error) {
			return io.NopCloser(strings.NewReader(content)), nil
		}), nil)
	}
}

// found is an image with the paths of a statement, whose files a scanner has read.
func found(t *testing.T, s *Statement, scanner *Scanner, contents map[profile.Path]string) *Contents {
	t.Helper()
	c := &Contents{Digest: s.Subject, Layers: []string{"base", "base"}}
	for i := range s.Paths {
		p := &s.Paths[i]
		hex, size, err := scanner.Hash(oneFile(p.Path, contents[p.Path]), p.Path.Root())
		if err != nil {
			t.Fatal(err)
		}
		if !p.Changed {
			p.NarHash, p.NarSize = hashOf(t, hex), size
		}
		c.Objects = append(c.Objects, Object{p.Path.Base(), hex, size, p.Changed})
	}
	return c
}

func hashOf(t *testing.T, hex string) profile.Hash {
	t.Helper()
	h, err := profile.ParseHash("sha256:" + hex)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func problemsOf(r *Checked) (lines []string) {
	for _, p := range r.Problems {
		lines = append(lines, p.Path+": "+p.What)
	}
	return lines
}

func wantLines(t *testing.T, what string, got, want []string) {
	t.Helper()
	same := len(got) == len(want)
	for i := range min(len(got), len(want)) {
		same = same && strings.Contains(got[i], want[i])
	}
	if !same {
		t.Errorf("%s: problems\n%s\nwant\n%s", what, strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestCheck(t *testing.T) {
	const lib, hello = "nix/store/6821dyl8slsfcylbd6mxghxdqg9f36w9-libhello-1.0", "nix/store/fiznc08nhj31nrsb1f2aa5f9syzps0gl-hello-1.0"
	for _, tt := range []struct {
		name   string
		change func(*Statement, *Contents)
		want   []string
	}{
		{"nothing", func(*Statement, *Contents) {}, nil},
		{"digest", func(_ *Statement, c *Contents) { c.Digest = "sha256:other" }, []string{": the statement is about sha256:1111"}},
		{"kind", func(s *Statement, _ *Contents) { s.Kind, s.Paths = OfIndex, nil }, []string{"about an index, but this is an image"}},
		{"index", func(_ *Statement, c *Contents) { c.Index = true }, []string{"about an image, but this is an index"}},
		{"object gone", func(_ *Statement, c *Contents) { c.Objects = c.Objects[1:] }, []string{lib + ": is not in the image"}},
		{"object more", func(_ *Statement, c *Contents) { c.Objects = append(c.Objects, Object{Name: "zz"}) }, []string{"nix/store/zz: is in the image"}},
		{"objects exchanged", func(_ *Statement, c *Contents) {
			c.Objects[0].Hash, c.Objects[1].Hash = c.Objects[1].Hash, c.Objects[0].Hash
		}, []string{lib + ": its NAR hash is", hello + ": its NAR hash is"}},
		{"object of another size", func(_ *Statement, c *Contents) { c.Objects[0].Size++ }, []string{lib + ": its NAR has"}},
		{"object without a hash", func(_ *Statement, c *Contents) { c.Objects[0].Hash = "" }, []string{lib + ": has an unknown NAR hash"}},
		{"object changed", func(_ *Statement, c *Contents) { c.Objects[0].Changed = true }, []string{lib + ": was changed on purpose, says the image's history"}},
		{"path changed", func(s *Statement, _ *Contents) { s.Paths[0] = Path{Path: libPath, Changed: true} }, []string{lib + ": was changed on purpose, says the statement"}},
		{"both changed", func(s *Statement, c *Contents) {
			s.Paths[0], c.Objects[0].Changed, c.Objects[0].Hash = Path{Path: libPath, Changed: true}, true, "x"
		}, nil},
		{"reference", func(s *Statement, _ *Contents) { s.Paths[0].References = []profile.Path{missingPath} }, []string{lib + `: refers to "0c1p5z`}},
	} {
		s := statement(t)
		scanner := NewScanner(rootfs.StoreDir{}, []*Statement{s}, nil)
		c := found(t, s, scanner, map[profile.Path]string{libPath: "self " + string(libPath), helloPath: "to " + string(libPath)})
		tt.change(s, c)
		got := Check(s, c, CheckOptions{Scanner: scanner})
		wantLines(t, tt.name, problemsOf(got), tt.want)
		if got.Paths != len(s.Paths) {
			t.Errorf("%s: %d paths; want %d", tt.name, got.Paths, len(s.Paths))
		}
	}
}

func TestCheckParts(t *testing.T) {
	for _, tt := range []struct {
		parts string // of the index
		want  []string
	}{
		{"a b", nil},
		{"b a", []string{"part 1 is b, but the statement says a", "part 2 is a, but the statement says b"}},
		{"a", []string{"part 2 of the statement is b, but the index has only 1"}},
		{"a b c", []string{"part 3 is c, but the statement has only 2"}},
		{"a c", []string{"part 2 is c, but the statement says b"}},
	} {
		s := &Statement{Kind: OfIndex, Subject: "sha256:x", Parts: []Part{{Digest: "a"}, {Digest: "b"}}}
		got := Check(s, &Contents{Digest: "sha256:x", Index: true, Parts: strings.Fields(tt.parts)}, CheckOptions{})
		wantLines(t, tt.parts, problemsOf(got), tt.want)
	}
}

// TestUnlisted checks which files mention store paths that a statement does not list: of two images, where each lists other paths.
func TestUnlisted(t *testing.T) {
	one, other := statement(t), statement(t)
	other.Subject, other.Paths = "sha256:"+strings.Repeat("77", 32), slices.Clone(other.Paths[1:])
	var asked []string
	scanner := NewScanner(rootfs.StoreDir{}, []*Statement{one, other}, func(base string) bool {
		asked = append(asked, base)
		return strings.HasSuffix(base, "-allowed")
	})
	contents := map[profile.Path]string{
		libPath:   "/nix/store/" + strings.Repeat("e", 32) + "-x /nix/store/" + missingPath.Digest() + "-allowed",
		helloPath: string(helloPath) + "/bin " + string(libPath),
	}
	c := found(t, one, scanner, contents)
	for _, e := range []rootfs.Entry{rootfs.Link("etc/link", string(missingPath)), rootfs.Link("etc/again", string(missingPath)), rootfs.Link("etc/lib", string(libPath))} {
		w := scanner.File("base", e)
		if _, err := io.WriteString(w, e.Target); err != nil || w.Close() != nil {
			t.Fatal(err)
		}
	}
	hidden := scanner.File("hidden", rootfs.File(missingPath.Root()+"/x", 0o444, 1, nil))
	if _, err := io.WriteString(hidden, string(missingPath)); err != nil || hidden.Close() != nil {
		t.Fatal(err)
	}
	wantLines(t, "one", problemsOf(Check(one, c, CheckOptions{Scanner: scanner})), []string{`etc/link: mentions "0c1p5z4kda11zza9v4r1k2jjr3fa9v4s-example-1.0"`})
	inHidden := *c
	inHidden.Layers = []string{"hidden"}
	wantLines(t, "hidden", problemsOf(Check(one, &inHidden, CheckOptions{Scanner: scanner})), []string{missingPath.Root() + `/x: mentions "0c1p5z4kda11zza9v4r1k2jjr3fa9v4s-example-1.0"`})
	c.Digest, c.Objects = other.Subject, c.Objects[1:]
	other.Paths[0].NarHash, other.Paths[0].NarSize = one.Paths[1].NarHash, one.Paths[1].NarSize
	other.Paths[0].References = nil
	wantLines(t, "other", problemsOf(Check(other, c, CheckOptions{Scanner: scanner})), []string{
		`hello-1.0: mentions "6821dyl8slsfcylbd6mxghxdqg9f36w9-libhello-1.0"`,
		`etc/link: mentions "0c1p5z4kda11zza9v4r1k2jjr3fa9v4s-example-1.0"`,
		`etc/lib: mentions "6821dyl8slsfcylbd6mxghxdqg9f36w9-libhello-1.0"`,
	})
	if !slices.Contains(asked, missingPath.Digest()+"-allowed") {
		t.Errorf("allow was asked about %q", asked)
	}
}

// TestMentionInLink checks that a link to a store path is a mention, however its target is spelt, in an object or in a file of a layer.
func TestMentionInLink(t *testing.T) {
	base := missingPath.Base()
	for target, want := range map[string]bool{
		"../" + base: true, "../" + base + "/bin": true, "/nix//store/./" + base: true, "/nix/store/x/../" + base: true,
		"../../../../../nix/store/" + base: true, "../../store/x/../" + base: true,
		base: false, "../x/" + base: false, "../" + libPath.Base(): false, "x": false,
	} {
		link := rootfs.Link(libPath.Root()+"/l", target)
		s := statement(t)
		inObject, inLayer := NewScanner(rootfs.StoreDir{}, []*Statement{s}, nil), NewScanner(rootfs.StoreDir{}, []*Statement{s}, nil)
		hex, _, err := inObject.Hash(func(yield func(rootfs.Entry, error) bool) {
			_ = yield(rootfs.Dir(libPath.Root(), 0o555), nil) && yield(link, nil)
		}, libPath.Root())
		if err != nil {
			t.Fatal(err)
		}
		w := inLayer.File("layer", link)
		if _, err := io.WriteString(w, target); err != nil || w.Close() != nil {
			t.Fatal(err)
		}
		c := &Contents{Objects: []Object{{Name: libPath.Base(), Hash: hex}}, Layers: []string{"layer"}}
		for where, scanner := range map[string]*Scanner{"object": inObject, "layer": inLayer} {
			if got := scanner.unlisted(s, c); len(got) > 1 || (len(got) == 1) != want || want && got[0].Path != link.Path {
				t.Errorf("link to %q in an %s: problems %+v; want one: %v", target, where, got, want)
			}
		}
	}
}

// TestManyMentions checks that what is kept of an object is bounded, and that the check still fails.
func TestManyMentions(t *testing.T) {
	s := statement(t)
	scanner := NewScanner(rootfs.StoreDir{}, []*Statement{s}, nil)
	var text strings.Builder
	const digits = "0123456789abcdfghijklmnpqrsvwxyz"
	for i := range 2 * maxObjectMentions {
		text.WriteString("/nix/store/" + string(digits[i%32]) + string(digits[i/32]) + missingPath.Digest()[2:] + "-x ")
	}
	c := found(t, s, scanner, map[profile.Path]string{libPath: text.String()})
	got := problemsOf(Check(s, c, CheckOptions{Scanner: scanner}))
	if n := len(got); n != maxObjectMentions+1 || !strings.Contains(got[n-1], "too many mentions") {
		t.Errorf("%d problems, the last %q; want %d and one about too many", n, got[n-1:], maxObjectMentions)
	}
	// Without a hash, it is unknown which of the objects of that name is visible.
	c.Objects[0].Hash = ""
	if got := problemsOf(Check(s, c, CheckOptions{Scanner: scanner})); len(got) != maxObjectMentions+2 {
		t.Errorf("%d problems of an object without a hash; want %d", len(got), maxObjectMentions+2)
	}
}

func TestCheckSignatures(t *testing.T) {
	var secret [3]trust.SecretKey
	for i, name := range []string{"a-1", "a-1", "b-1"} {
		var err error
		if secret[i], err = trust.ParseSecretKey(nixSecret(name, byte(i))); err != nil {
			t.Fatal(err)
		}
	}
	first, namesake, second := secret[0].Public(), secret[1].Public(), secret[2].Public()
	for _, tt := range []struct {
		name   string
		keys   trust.Keys
		change func(*Statement)
		want   []string
		counts map[string]int
	}{
		{name: "no keys", want: nil},
		{name: "one key", keys: trust.Keys{first}, counts: map[string]int{"a-1": 2}},
		{name: "twice", keys: trust.Keys{first, first}, counts: map[string]int{"a-1": 2}},
		{name: "any key", keys: trust.Keys{second, namesake, first}, counts: map[string]int{"a-1": 2}},
		{name: "namesake", keys: trust.Keys{namesake}, want: []string{`libhello-1.0: is signed by no required key: the signature of key "a-1"`, "hello-1.0: is signed by no"}},
		{name: "other key", keys: trust.Keys{second}, want: []string{`is signed by "a-1", which is no trusted key`, "hello-1.0: is signed by no"}},
		{name: "none", keys: trust.Keys{first}, change: func(s *Statement) { s.Paths[0].Signatures, s.Paths[0].CA = nil, "text:sha256:x" },
			want: []string{"it has no signature; it has a content address"}, counts: map[string]int{"a-1": 1}},
		{name: "of another path", keys: trust.Keys{first}, change: func(s *Statement) { s.Paths[0].Signatures = s.Paths[1].Signatures },
			want: []string{"does not verify"}, counts: map[string]int{"a-1": 1}},
		{name: "references", keys: trust.Keys{first}, change: func(s *Statement) { s.Paths[1].References = nil },
			want: []string{"does not verify"}, counts: map[string]int{"a-1": 1}},
		{name: "changed", keys: trust.Keys{first}, change: func(s *Statement) { s.Paths[0] = Path{Path: libPath, Changed: true} },
			want: []string{"was changed on purpose, says the statement", "no signature is about it"}, counts: map[string]int{"a-1": 1}},
	} {
		s := statement(t)
		scanner := NewScanner(rootfs.StoreDir{}, []*Statement{s}, nil)
		c := found(t, s, scanner, nil)
		for i := range s.Paths {
			s.Paths[i].Signatures = []string{secret[0].Sign([]byte(trust.Fingerprint(s.Paths[i].Info())))}
		}
		if tt.change != nil {
			tt.change(s)
		}
		got := Check(s, c, CheckOptions{Scanner: scanner, SignedBy: tt.keys})
		wantLines(t, tt.name, problemsOf(got), tt.want)
		counts := map[string]int(nil)
		for key, n := range got.SignedBy {
			name, _, _ := strings.Cut(key, ":")
			if counts == nil {
				counts = make(map[string]int)
			}
			counts[name] += n
		}
		if d := cmp.Diff(tt.counts, counts); d != "" {
			t.Errorf("%s: counts (-want +got):\n%s", tt.name, d)
		}
	}
}

// nixSecret returns a secret key in Nix's form, made of a seed.
func nixSecret(name string, seed byte) string {
	return name + ":" + base64.StdEncoding.EncodeToString(ed25519.NewKeyFromSeed(bytes.Repeat([]byte{seed}, ed25519.SeedSize)))
}
