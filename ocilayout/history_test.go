package ocilayout

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	ispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/export-profile/export-profile/rootfs"
)

func TestHistory(t *testing.T) {
	created := time.Unix(1, 0).UTC()
	key := "sha256:0123456789abcdef" + strings.Repeat("0", 48)
	l := layerOf(
		rootfs.Part{Name: "base", Key: key, Size: 0},
		rootfs.Part{Name: "81bx-user+env_1.0?=", Key: key, Size: 1234567},
		rootfs.Part{Name: "unknown", Size: 7})
	l.Hidden = []string{"nix/store/a", "nix/store/b-1"}
	h, err := layerHistory(l, created)
	if err != nil {
		t.Fatal(err)
	}
	want := ispec.History{
		Created: &created, CreatedBy: "export-profile",
		Comment: "base@0123456789ab:0 81bx-user+env_1.0?=@0123456789ab:1234567 unknown:7 -a -b-1",
	}
	if d := cmp.Diff(want, h); d != "" {
		t.Errorf("layerHistory (-want +got):\n%s", d)
	}
	got, err := ParseHistory(h)
	parsed := History{
		Objects: []Object{{"base", "0123456789ab", 0}, {"81bx-user+env_1.0?=", "0123456789ab", 1234567}, {"unknown", "", 7}},
		Hidden:  []string{"a", "b-1"},
	}
	if d := cmp.Diff(parsed, got); d != "" || err != nil {
		t.Errorf("ParseHistory(%q): %v (-want +got):\n%s", h.Comment, err, d)
	}

	for _, name := range []string{"", "a b", "a@b", "a:1", "-a", ".a", "a/b", "a\n", "ä"} {
		if h, err := layerHistory(layerOf(rootfs.Part{Name: name, Key: key}), created); err == nil {
			t.Errorf("layerHistory(%q) = %q, <nil>; want an error", name, h.Comment)
		}
	}
	for _, p := range []rootfs.Part{{Name: "a", Key: "sha256:0123456789AB"}, {Name: "a", Key: key, Size: -1}} {
		if h, err := layerHistory(layerOf(p), created); err == nil {
			t.Errorf("layerHistory(%q, %d) = %q, <nil>; want an error", p.Key, p.Size, h.Comment)
		}
	}
	for _, root := range []string{"", "a", "etc/a", "nix/store/a/b", "nix/store/a b", "nix/store/-a"} {
		if h, err := layerHistory(Layer{Hidden: []string{root}}, created); err == nil {
			t.Errorf("layerHistory that hides %q = %q, <nil>; want an error", root, h.Comment)
		}
	}
}

func TestParseHistoryRefuses(t *testing.T) {
	for _, h := range []ispec.History{
		{CreatedBy: "buildkit", Comment: "base@0123456789ab:1"},
		{CreatedBy: createdBy, Comment: "base@0123456789ab:1", EmptyLayer: true},
		{CreatedBy: createdBy, Comment: "base@0123456789ab"},
		{CreatedBy: createdBy, Comment: "base"},
		{CreatedBy: createdBy, Comment: "base@0123456789a:1"},
		{CreatedBy: createdBy, Comment: "base@0123456789abc:1"},
		{CreatedBy: createdBy, Comment: "base@0123456789AB:1"},
		{CreatedBy: createdBy, Comment: "base@:1"},
		{CreatedBy: createdBy, Comment: "base:"},
		{CreatedBy: createdBy, Comment: "base:01"},
		{CreatedBy: createdBy, Comment: "base:-1"},
		{CreatedBy: createdBy, Comment: "base:9223372036854775808"},
		{CreatedBy: createdBy, Comment: "a:1  b:1"},
		{CreatedBy: createdBy, Comment: " a:1"},
		{CreatedBy: createdBy, Comment: "a:1 "},
		{CreatedBy: createdBy, Comment: "a:1\nb:1"},
		{CreatedBy: createdBy, Comment: "a:1 a:1"},
		{CreatedBy: createdBy, Comment: "a:1 -a"},
		{CreatedBy: createdBy, Comment: "a:1 -b -b"},
		{CreatedBy: createdBy, Comment: "-b a:1"},
		{CreatedBy: createdBy, Comment: "a:1 -"},
		{CreatedBy: createdBy, Comment: "a:1 --b"},
		{CreatedBy: createdBy, Comment: "a:1 -b:1"},
		{CreatedBy: createdBy, Comment: "a:1 -base"},
		{CreatedBy: createdBy, Comment: "a:1 -.wh..opq"},
		{CreatedBy: createdBy, Comment: ".wh..opq:1"},
		{CreatedBy: createdBy, Comment: "a/b:1"},
		{CreatedBy: createdBy, Comment: "..:1"},
	} {
		if got, err := ParseHistory(h); err == nil {
			t.Errorf("ParseHistory(%q, %q) = %v, <nil>; want an error", h.CreatedBy, h.Comment, got)
		}
	}
}

func FuzzParseHistory(f *testing.F) {
	f.Add("base@0123456789ab:5")
	f.Add("a:0 b@0123456789ab:17 c:1 -d -e")
	f.Add("-a")
	f.Add("")
	f.Fuzz(func(t *testing.T, comment string) {
		h, err := ParseHistory(ispec.History{CreatedBy: createdBy, Comment: comment})
		if err != nil {
			return
		}
		var l Layer
		for _, o := range h.Objects {
			p := rootfs.Part{Name: o.Name, Size: o.Size}
			if o.Hash != "" {
				p.Key = "sha256:" + o.Hash
			}
			l.Parts = append(l.Parts, p)
		}
		for _, name := range h.Hidden {
			l.Hidden = append(l.Hidden, StoreDir+"/"+name)
		}
		if again, err := layerHistory(l, time.Time{}); err != nil || again.Comment != comment {
			t.Errorf("layerHistory(ParseHistory(%q)) = %q, %v", comment, again.Comment, err)
		}
	})
}
