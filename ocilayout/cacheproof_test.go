package ocilayout

import (
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/export-profile/export-profile/rootfs"
)

// TestCacheUnproven checks that a layer is not used for parts that must be hashed if it was made without hashing them.
func TestCacheUnproven(t *testing.T) {
	var errWrong = errors.New("has another NAR hash")
	object := func(content string, unproven bool) rootfs.Part {
		root := "nix/store/o"
		p := part(root, rootfs.Dir(root, 0o555), file(root+"/f", "GOOD"))
		tree := part(root, rootfs.Dir(root, 0o555), file(root+"/f", content)).Tree
		p.Unproven = unproven
		p.Tree = func(yield func(rootfs.Entry, error) bool) {
			for e, err := range tree {
				if !yield(e, err) {
					return
				}
			}
			if unproven && content != "GOOD" {
				yield(rootfs.Entry{}, errWrong)
			}
		}
		return p
	}
	trusted := part("nix/store/t", file("nix/store/t", "trusted"))
	o := Options{Cache: testCache(t, t.TempDir())}
	run := func(compression string, p rootfs.Part) (string, error) {
		image := with(ImageSpec{Platform: linux, Layers: []Layer{layerOf(p, trusted)}}, compression)
		forecast := o.Cache.Forecast(image.Layers, image.Compression)[0].How.String()
		_, how, reasons, err := writeCachedErr(t.Context(), filepath.Join(t.TempDir(), "layout"), image, o)
		if err == nil && forecast != how && !o.VerifyCache {
			t.Errorf("the layer was %s, and Forecast said %s; %s", how, forecast, reasons)
		}
		return how, err
	}
	unread := func(p rootfs.Part) rootfs.Part {
		p.Tree = func(func(rootfs.Entry, error) bool) { t.Error("the part is walked") }
		return p
	}
	for i, step := range []struct {
		compression string
		part        rootfs.Part
		how         string
		err         error
	}{
		{"none", object("EVIL", false), "built", nil},
		{"none", unread(object("GOOD", false)), "cached", nil},
		{"none", object("EVIL", true), "", errWrong},
		{"zstd", object("EVIL", true), "", errWrong},
		{"none", object("GOOD", true), "built", nil},
		{"none", unread(object("GOOD", true)), "cached", nil},
		{"none", unread(object("GOOD", false)), "cached", nil},
		{"zstd", unread(object("GOOD", false)), "recompressed", nil},
		{"zstd", unread(object("GOOD", true)), "cached", nil},
	} {
		how, err := run(step.compression, step.part)
		if how != step.how || !errors.Is(err, step.err) {
			t.Errorf("step %d: %s, %v; want %s, %v", i, how, err, step.how, step.err)
		}
	}
	// A layer rebuilt from a trusted store still counts as hashed.
	o.VerifyCache = true
	if how, err := run("none", object("GOOD", false)); err != nil {
		t.Errorf("with VerifyCache: %s, %v", how, err)
	}
	o.VerifyCache = false
	if how, err := run("none", unread(object("GOOD", true))); how != "cached" || err != nil {
		t.Errorf("after VerifyCache: %s, %v; want cached", how, err)
	}
}

// TestHashBits checks that a record without room for all parts reports the rest as not hashed.
func TestHashBits(t *testing.T) {
	l := Layer{Parts: make([]rootfs.Part, 8*maxHashBytes+1)}
	for i := range l.Parts {
		l.Parts[i] = rootfs.Part{Name: "a part", Unproven: true}
	}
	all := l.Parts
	r := tarRecord{Hashed: hashedParts(l)}
	if len(r.Hashed) != maxHashBytes {
		t.Errorf("%d bytes of bits; want %d", len(r.Hashed), maxHashBytes)
	}
	if err := r.proves(l); err == nil || !strings.Contains(err.Error(), "was not hashed") {
		t.Errorf("proves = %v; want an error about the last part", err)
	}
	l.Parts = all[:len(all)-1]
	if err := r.proves(l); err != nil {
		t.Errorf("proves without the last part = %v", err)
	}
	some := slices.Clone(l.Parts[:12])
	some[3].Unproven, some[9].Unproven = false, false
	r.Hashed = hashedParts(Layer{Parts: some})
	if err := r.proves(Layer{Parts: some}); err != nil {
		t.Errorf("proves for its own parts = %v", err)
	}
	if err := r.proves(Layer{Parts: l.Parts[:12]}); err == nil {
		t.Error("proves for parts that were not hashed = <nil>; want an error")
	}
	if err := (tarRecord{Hashed: mergeBits(r.Hashed, []byte{1 << 3, 1 << 1})}).proves(Layer{Parts: l.Parts[:12]}); err != nil {
		t.Errorf("proves for parts hashed by two runs = %v", err)
	}
}
