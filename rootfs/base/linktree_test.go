package base

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/export-profile/export-profile/rootfs"
	"github.com/export-profile/export-profile/rootfs/rootfstest"
)

// TestLinkFarm checks that New refuses links that double at each level: 80 links make 2^40 entries.
func TestLinkFarm(t *testing.T) {
	lines := []string{"d 0555 nix/store/p", "d 0555 nix/store/p/etc"}
	for level := range 40 {
		dir := "nix/store/p/etc/" + string(rune('A'+level/10)) + string(rune('0'+level%10))
		next := "../" + string(rune('A'+(level+1)/10)) + string(rune('0'+(level+1)%10))
		lines = append(lines, "d 0555 "+dir, "l "+dir+"/l -> "+next, "l "+dir+"/r -> "+next)
	}
	b := newBuilder(rootfs.NewView(rootfstest.Parts(t, lines...), nil))
	if b.mostLinked < 300_000 {
		t.Errorf("the limit is %d links; want at least 300,000, as in a large Python environment", b.mostLinked)
	}
	b.mostLinked = 1 << 14 // to fail sooner
	err := b.make(Options{Profiles: []string{"nix/store/p"}}, &Files{})
	if err == nil || !strings.Contains(err.Error(), "more than 16384 files") {
		t.Errorf("New of a link farm = %v; want an error", err)
	}
}

// TestDeepLinks checks that New makes links to files below a thousand directories in reasonable time.
func TestDeepLinks(t *testing.T) {
	root := "nix/store/p"
	lines := []string{"d 0555 " + root, "d 0555 " + root + "/etc"}
	dir := root + "/etc"
	for range rootfs.MaxDepth - 8 {
		dir += "/d"
		lines = append(lines, "d 0555 "+dir)
	}
	for i := range 300 {
		lines = append(lines, fmt.Sprintf("f 0444 %s/%04d x", dir, i))
	}
	begin := time.Now()
	base, err := New(rootfs.NewView(rootfstest.Parts(t, lines...), nil), Options{Profiles: []string{root}})
	if err != nil {
		t.Fatal(err)
	}
	links := 0
	for e := range base.Tree {
		if e.IsLink() {
			links++
		}
	}
	if links != 301 { // and /run/profile
		t.Errorf("%d links; want 301", links)
	}
	t.Logf("%v", time.Since(begin))
}
