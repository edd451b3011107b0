package profile

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// objectsOf makes objects of words NAME:SIZE.
func objectsOf(words string) []*Info {
	var infos []*Info
	for i, w := range strings.Fields(words) {
		name, size, _ := strings.Cut(w, ":")
		info := &Info{Path: Path(fmt.Sprintf("%s/%032d-%s", nixStore, i, name))}
		fmt.Sscan(size, &info.NarSize)
		infos = append(infos, info)
	}
	return infos
}

func TestDiff(t *testing.T) {
	for _, tt := range []struct{ before, after, want string }{
		{"", "", ""},
		{"curl-8.4.0:100", "curl-8.4.0:100", ""},
		{"curl-8.4.0:100", "curl-8.5.0:200", "curl: 8.4.0 → 8.5.0, 100 → 200\n"},
		{"curl-8.4.0-bin:1 curl-8.4.0-dev:1", "curl-8.4.0-bin:1", ""},
		{"a-1:8191", "a-1:16382", ""},
		{"a-1:8191", "a-1:16383", "a: ∅ → ∅, 8191 → 16383\n"},
		{"a-1:16384", "a-1:1", "a: ∅ → ∅, 16384 → 1\n"},
		{"a-1:1 a-2:2", "a-2:3 a-3:4", "a: 1 → 3, 3 → 7\n"},
		{"", "b-1:1 a:1", "a: ∅ → ε, 0 → 1\nb: ∅ → 1, 0 → 1\n"},
		{"user-environment:1", "", "user: ε → ∅, 1 → 0\n"},
		{"glibc-2.38-lib32:1 x-lib64:1", "glibc-2.39-lib32:1", "glibc: 2.38 → 2.39, 1 → 1\nx: ε → ∅, 1 → 0\n"},
		{"a-1-unstable:1 a-1:1 a:1", "a:3", "a: 1 → ∅, 3 → 3\n"},
	} {
		var got strings.Builder
		for _, d := range Diff(objectsOf(tt.before), objectsOf(tt.after)) {
			fmt.Fprintf(&got, "%s: %s → %s, %d → %d\n", d.Name, ShowVersions(d.Removed), ShowVersions(d.Added), d.Before, d.After)
		}
		if diff := cmp.Diff(tt.want, got.String()); diff != "" {
			t.Errorf("Diff(%q, %q) (-want +got):\n%s", tt.before, tt.after, diff)
		}
	}
	if got, want := ShowVersions([]string{"", "1", "2"}), "1, 2, ε"; got != want {
		t.Errorf("ShowVersions = %q; want %q", got, want)
	}
}
