package base

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/export-profile/export-profile/rootfs"
	"github.com/export-profile/export-profile/rootfs/rootfstest"
)

// TestManyAccounts checks that merging a profile's accounts into an image's takes time linear in their number.
func TestManyAccounts(t *testing.T) {
	const n = 50_000
	var lower, profiles strings.Builder
	for i := range n {
		fmt.Fprintf(&lower, "b%d:x:%d:%d::/:/bin/sh\n", i, i+1, i+1)
		fmt.Fprintf(&profiles, "p%d:x:%d:%d::/:/bin/sh\n", i, i+1, i+1)
	}
	profiles.WriteString("b7:x:1:1::/:/bin/sh\np7:x:1:1::/:/bin/sh\nno account\np:x:1:1::/:/bin/sh")
	l := rootfstest.Lower(t, "d 0755 etc", fmt.Sprintf("f 0644 etc/passwd %q", lower.String()))
	b := newBuilder(rootfs.NewView(nil, nil))
	b.lower = l
	f := &accountFile{path: "etc/passwd", content: []byte(profiles.String()), fromProfile: true}
	start := time.Now()
	b.mergeLower(f)
	if took := time.Since(start); took > 10*time.Second {
		t.Errorf("%d accounts over as many took %v; want a moment", n, took)
	}
	if f.broken != nil || len(f.added) != n+1 || f.added[n] != "p" {
		t.Errorf("%d accounts were added, %v; want %d, the last of them p", len(f.added), f.broken, n+1)
	}
	if want := lower.String() + strings.TrimSuffix(profiles.String(), "b7:x:1:1::/:/bin/sh\np7:x:1:1::/:/bin/sh\nno account\np:x:1:1::/:/bin/sh") + "p:x:1:1::/:/bin/sh"; string(f.content) != want {
		t.Errorf("the file has %d bytes; want %d", len(f.content), len(want))
	}
}
