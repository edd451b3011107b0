package scan

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/export-profile/export-profile/profile"
	"github.com/export-profile/export-profile/profile/nix32"
)

func randomDigest(r *rand.Rand) string {
	b := make([]byte, digestLen)
	for i := range b {
		b[i] = nix32.Alphabet[r.IntN(len(nix32.Alphabet))]
	}
	return string(b)
}

func candidates(r *rand.Rand, n int) []profile.Path {
	paths := make([]profile.Path, n)
	for i := range paths {
		paths[i] = profile.Path(fmt.Sprintf("/nix/store/%s-p%d", randomDigest(r), i))
	}
	slices.Sort(paths)
	return paths
}

// naive is the plain definition of what a Finder finds.
func naive(data []byte, paths []profile.Path) []profile.Path {
	var found []profile.Path
	for _, p := range paths {
		if bytes.Contains(data, []byte(p.Digest())) {
			found = append(found, p)
		}
	}
	return found
}

func find(x *Index, pieces ...[]byte) []profile.Path {
	f := x.Finder()
	for _, p := range pieces {
		_, _ = f.Write(p)
	}
	return f.Found()
}

func newIndex(t testing.TB, paths []profile.Path) *Index {
	t.Helper()
	x, err := NewIndex(paths)
	if err != nil {
		t.Fatal(err)
	}
	return x
}

func TestFinder(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	paths := candidates(r, 3)
	x := newIndex(t, paths)
	a, b := paths[0].Digest(), paths[1].Digest()
	for _, test := range []struct {
		name, data string
		want       []profile.Path
	}{
		{"nothing", "", nil},
		{"too short", a[:31], nil},
		{"alone", a, paths[:1]},
		{"as a path", "/nix/store/" + a + "-x/bin", paths[:1]},
		{"with digits around it", "zz" + a + "zz", paths[:1]},
		{"two in a row", a + b, paths[:2]},
		{"two cut short", a[:31] + b[1:], nil},
		{"upper case", strings.ToUpper(a), nil},
		{"interrupted", a[:16] + "e" + a[16:], nil},
		{"another object", randomDigest(r), nil},
		{"nuked", strings.Repeat("e", 32) + "-x", nil},
		{"twice", a + "\x00" + a, paths[:1]},
	} {
		if got := find(x, []byte(test.data)); !slices.Equal(got, test.want) {
			t.Errorf("%s: found %q; want %q", test.name, got, test.want)
		}
	}
}

// TestSeams checks that a Finder finds digests across writes.
func TestSeams(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	paths := candidates(r, 2)
	x := newIndex(t, paths)
	for name, data := range map[string][]byte{
		"among other bytes":      []byte("\x00\x01" + paths[0].Digest() + "\xff---" + paths[1].Digest() + "q"),
		"among digits":           []byte("abcd" + paths[0].Digest() + "0" + paths[1].Digest() + "abcd"),
		"after many other bytes": append(bytes.Repeat([]byte("q."), 100), paths[0].Digest()+paths[1].Digest()...),
	} {
		for i := range len(data) + 1 {
			for j := i; j <= len(data); j++ {
				if got := find(x, data[:i], data[i:j], data[j:]); !slices.Equal(got, paths) {
					t.Fatalf("%s: cut at %d and %d: found %q; want %q", name, i, j, got, paths)
				}
			}
		}
		for size := 1; size < 70; size++ {
			if got := find(x, slices.Collect(slices.Chunk(data, size))...); !slices.Equal(got, paths) {
				t.Fatalf("%s: %d bytes at a time: found %q; want %q", name, size, got, paths)
			}
		}
	}
	// Two halves with a byte between them are not a digest.
	digest := paths[0].Digest()
	if got := find(x, []byte(digest[:20]), []byte("."), []byte(digest[20:])); got != nil {
		t.Errorf("found %q across a byte; want nothing", got)
	}
}

// plant makes data of some kind with digests in it, and cuts it into pieces.
func plant(r *rand.Rand, paths []profile.Path, kind, size int) (data []byte, pieces [][]byte) {
	data = make([]byte, size)
	for i := range data {
		switch kind % 3 {
		case 0:
			data[i] = byte(r.Uint32())
		case 1:
			data[i] = nix32.Alphabet[r.IntN(len(nix32.Alphabet))]
		default: // mostly digits
			data[i] = nix32.Alphabet[r.IntN(len(nix32.Alphabet))]
			if r.IntN(20) == 0 {
				data[i] = '/'
			}
		}
	}
	for range r.IntN(6) {
		// They may overlap each other and the ends.
		digest := paths[r.IntN(len(paths))].Digest()
		at := r.IntN(size+digestLen) - digestLen/2
		if at < 0 {
			digest, at = digest[-at:], 0
		}
		copy(data[min(at, size):], digest)
	}
	for rest := data; len(rest) > 0; {
		n := min(len(rest), 1+r.IntN(1+r.IntN(100)))
		pieces = append(pieces, rest[:n])
		rest = rest[n:]
	}
	return data, pieces
}

// TestAgainstNaive compares a Finder with the plain definition on random data.
func TestAgainstNaive(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	for round := range 3000 {
		paths := candidates(r, 1+r.IntN(20))
		x := newIndex(t, paths)
		data, pieces := plant(r, paths, round, 1+r.IntN(400))
		want := naive(data, paths)
		if got := find(x, pieces...); !slices.Equal(got, want) {
			t.Fatalf("round %d: found %q; want %q in %q", round, got, want, pieces)
		}
	}
}

func FuzzFinder(f *testing.F) {
	paths := candidates(rand.New(rand.NewPCG(7, 8)), 4)
	x := newIndex(f, paths)
	f.Add([]byte(paths[0].Digest()), 1, 2)
	f.Add([]byte("/nix/store/"+paths[1].Digest()+"-x\x00"+paths[2].Digest()), 20, 40)
	f.Add([]byte(paths[3].Digest()[:31]), 0, 0)
	f.Fuzz(func(t *testing.T, data []byte, i, j int) {
		i = min(max(i, 0), len(data))
		j = min(max(j, i), len(data))
		want := naive(data, paths)
		if got := find(x, data[:i], data[i:j], data[j:]); !slices.Equal(got, want) {
			t.Errorf("found %q; want %q", got, want)
		}
	})
}

func TestNewIndex(t *testing.T) {
	const a, b = "/nix/store/00000000000000000000000000000000-a", "/nix/store/00000000000000000000000000000000-b"
	if _, err := NewIndex([]profile.Path{a, b}); err == nil || !strings.Contains(err.Error(), "the same hash") {
		t.Errorf("NewIndex(%q, %q): %v; want an error", a, b, err)
	}
	if x, err := NewIndex([]profile.Path{a, a}); err != nil || !slices.Equal(find(x, []byte(a)), []profile.Path{a}) {
		t.Errorf("NewIndex(%q, %q): %v; want <nil>", a, a, err)
	}
	for _, p := range []profile.Path{"", "/etc", "/nix/store/short"} {
		if _, err := NewIndex([]profile.Path{p}); err == nil {
			t.Errorf("NewIndex(%q) succeeded; want an error", p)
		}
	}
	if got := find(newIndex(t, nil), []byte(a)); got != nil {
		t.Errorf("found %q without candidates", got)
	}
}

func TestCandidates(t *testing.T) {
	const d, e = "00000000000000000000000000000000-", "11111111111111111111111111111111-"
	names := []string{
		".links", "lost+found", ".DS_Store", "tmp-12-0", "short-x",
		d + "hello", d + "hello.lock", d + "hello.check",
		e + "Cargo.lock", e + "gone.lock", e + "hello.drv.chroot", e + "hello.drv",
	}
	small := func(name string) bool { return name == e+"gone.lock" || name == d+"hello.lock" }
	want := []profile.Path{"/nix/store/" + d + "hello", "/nix/store/" + e + "Cargo.lock", "/nix/store/" + e + "hello.drv"}
	if d := cmp.Diff(want, Candidates(profile.StoreDir{}, names, small)); d != "" {
		t.Errorf("Candidates (-want +got):\n%s", d)
	}
}

func BenchmarkFinder(b *testing.B) {
	name, err := os.Executable()
	if err != nil {
		b.Fatal(err)
	}
	program, err := os.ReadFile(name)
	if err != nil {
		b.Fatal(err)
	}
	r := rand.New(rand.NewPCG(9, 10))
	worst := make([]byte, 8<<20)
	for i := range worst {
		worst[i] = nix32.Alphabet[r.IntN(len(nix32.Alphabet))]
	}
	text := bytes.Repeat([]byte("// scan finds the digests that lie in b whole, in /nix/store/"+randomDigest(r)+"-x\n\tfor i := range n {\n"), 50000)
	x := newIndex(b, candidates(r, 5000))
	for _, data := range []struct {
		name  string
		bytes []byte
	}{{"program", program}, {"text", text}, {"digits only", worst}} {
		b.Run(data.name, func(b *testing.B) {
			b.SetBytes(int64(len(data.bytes)))
			f := x.Finder()
			for b.Loop() {
				for chunk := range slices.Chunk(data.bytes, readSize) {
					_, _ = f.Write(chunk)
				}
			}
		})
	}
}
