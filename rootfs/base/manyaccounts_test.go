package base

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/export-profile/export-profile/rootfs"
	"github.com/export-profile/export-profile/rootfs/rootfstest"
)

// TestManyAccounts: a profile's accounts are laid over an image's in time that follows their number.
func TestManyAccounts(t *testing.T) {
	const n = 50_000
	var below, brought strings.Builder
	for i := range n {
		fmt.Fprintf(&below, "b%d:x:%d:%d::/:/bin/sh\n", i, i+1, i+1)
		fmt.Fprintf(&brought, "p%d:x:%d:%d::/:/bin/sh\n", i, i+1, i+1)
	}
	brought.WriteString("b7:x:1:1::/:/bin/sh\np7:x:1:1::/:/bin/sh\nno account\np:x:1:1::/:/bin/sh")
	l := rootfstest.Lower(t, "d 0755 etc", fmt.Sprintf("f 0644 etc/passwd %q", below.String()))
	b := newBuilder(rootfs.NewView(nil, nil))
	b.lower = l
	f := &accountFile{path: "etc/passwd", content: []byte(brought.String()), brought: true}
	start := time.Now()
	b.accountsBelow(f)
	if took := time.Since(start); took > 10*time.Second {
		t.Errorf("%d accounts over as many took %v; want a moment", n, took)
	}
	if f.broken != nil || len(f.added) != n+1 || f.added[n] != "p" {
		t.Errorf("%d accounts were added, %v; want %d, the last of them p", len(f.added), f.broken, n+1)
	}
	if want := below.String() + strings.TrimSuffix(brought.String(), "b7:x:1:1::/:/bin/sh\np7:x:1:1::/:/bin/sh\nno account\np:x:1:1::/:/bin/sh") + "p:x:1:1::/:/bin/sh"; string(f.content) != want {
		t.Errorf("the file has %d bytes; want %d", len(f.content), len(want))
	}
}
