package tarstore

import "testing"

// TestPrivate checks that only an uncompressed regular file, which is read in place, is not private.
func TestPrivate(t *testing.T) {
	b := goldenTar(t, "")
	for _, test := range []struct {
		name    string
		open    func(testing.TB, []byte, Options) (*Store, error)
		archive []byte
		want    bool
	}{
		{"file", openBytes, b, false},
		{"compressed file", openBytes, gzipped(t, b), true},
		{"pipe", openPipe, b, true},
	} {
		s, err := test.open(t, test.archive, Options{SpoolDir: t.TempDir()})
		if err != nil {
			t.Fatal(err)
		}
		if got := s.Private(); got != test.want {
			t.Errorf("%s: Private() = %v; want %v", test.name, got, test.want)
		}
	}
}
