package storetest

import (
	"io"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/export-profile/export-profile/profile"
	"github.com/export-profile/export-profile/profile/nar"
	"github.com/export-profile/export-profile/profile/references"
	"github.com/export-profile/export-profile/rootfs"
)

// GoldenProfile is the object of the golden closure that refers to all others.
const GoldenProfile profile.Path = "/nix/store/81bxdbdx9ndqilgq6wn7y9y0zdfaxli1-user-environment"

// GoldenSample returns the golden closure.
func GoldenSample(t testing.TB) *Sample {
	t.Helper()
	s := &Sample{Name: "golden", Root: GoldenProfile, Infos: GoldenInfos(t), trees: make(map[profile.Path]rootfs.Tree)}
	f, err := os.Open(File(t, "basic.nix-export"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	// Find the NARs by their magic number and hash, independently of package exportstore.
	data, err := io.ReadAll(f)
	if err != nil {
		t.Fatal(err)
	}
	for _, info := range s.Infos {
		found := false
		for at := range data {
			if at+int(info.NarSize) > len(data) || !strings.HasPrefix(string(data[at:min(at+32, len(data))]), narMagic) {
				continue
			}
			object := data[at : at+int(info.NarSize)]
			tree := func(yield func(rootfs.Entry, error) bool) {
				nar.Read(nar.NewWire(strings.NewReader(string(object))), info.Path.Root())(yield)
			}
			if hash, _, err := nar.Sum(tree, info.Path.Root()); err == nil && hash == info.NarHash {
				s.trees[info.Path], found = tree, true
				break
			}
		}
		if !found {
			t.Fatalf("the golden stream has no NAR of %s", info.Path)
		}
	}
	return s
}

const narMagic = "\r\x00\x00\x00\x00\x00\x00\x00nix-archive-1"

// GoldenInfos returns the output of nix path-info for the golden closure, sorted by path.
func GoldenInfos(t testing.TB) []*profile.Info {
	t.Helper()
	f, err := os.Open(File(t, "basic.path-info.json"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	infos, err := references.Parse(f)
	if err != nil {
		t.Fatal(err)
	}
	return infos
}

// goldenFiles returns the lines of basic.tree about store objects.
func goldenFiles(t testing.TB) []string {
	t.Helper()
	b, err := os.ReadFile(File(t, "basic.tree"))
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for line := range strings.Lines(string(b)) {
		if strings.Contains(line, " nix/store/") && !strings.Contains(strings.SplitN(line, " -> ", 2)[0], "run/profile") {
			lines = append(lines, strings.TrimSuffix(line, "\n"))
		}
	}
	return lines
}

// Golden tests a store that contains at least the golden closure,
// entry by entry against the output of the original script.
func Golden(t *testing.T, s profile.Store) {
	sample := GoldenSample(t)
	want := goldenFiles(t)
	if d := cmp.Diff(want, sample.list(t, sample)); d != "" {
		t.Fatalf("the sample differs from the script's output (-want +got):\n%s", d)
	}
	Test(t, s, sample)
}
