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
	l := layerOf(rootfs.Part{Name: "base", Key: key}, rootfs.Part{Name: "81bx-user+env_1.0?=", Key: key}, rootfs.Part{Name: "unknown"})
	h, err := layerHistory(l, created)
	if err != nil {
		t.Fatal(err)
	}
	want := ispec.History{
		Created: &created, CreatedBy: "export-profile",
		Comment: "base@0123456789ab 81bx-user+env_1.0?=@0123456789ab unknown",
	}
	if d := cmp.Diff(want, h); d != "" {
		t.Errorf("layerHistory (-want +got):\n%s", d)
	}
	got, err := ParseHistory(h)
	objects := []Object{{"base", "0123456789ab"}, {"81bx-user+env_1.0?=", "0123456789ab"}, {"unknown", ""}}
	if d := cmp.Diff(objects, got); d != "" || err != nil {
		t.Errorf("ParseHistory(%q): %v (-want +got):\n%s", h.Comment, err, d)
	}

	for _, name := range []string{"", "a b", "a@b", "a\n", "ä"} {
		if h, err := layerHistory(layerOf(rootfs.Part{Name: name, Key: key}), created); err == nil {
			t.Errorf("layerHistory(%q) = %q, <nil>; want an error", name, h.Comment)
		}
	}
	if h, err := layerHistory(layerOf(rootfs.Part{Name: "a", Key: "sha256:0123456789AB"}), created); err == nil {
		t.Errorf("layerHistory of a bad key = %q, <nil>; want an error", h.Comment)
	}
}

func TestParseHistoryRefuses(t *testing.T) {
	for _, h := range []ispec.History{
		{CreatedBy: "buildkit", Comment: "base@0123456789ab"},
		{CreatedBy: createdBy, Comment: "base@0123456789a"},
		{CreatedBy: createdBy, Comment: "base@0123456789abc"},
		{CreatedBy: createdBy, Comment: "base@0123456789AB"},
		{CreatedBy: createdBy, Comment: "base@"},
		{CreatedBy: createdBy, Comment: "a  b"},
		{CreatedBy: createdBy, Comment: " a"},
		{CreatedBy: createdBy, Comment: "a "},
		{CreatedBy: createdBy, Comment: "a\nb"},
	} {
		if got, err := ParseHistory(h); err == nil {
			t.Errorf("ParseHistory(%q, %q) = %v, <nil>; want an error", h.CreatedBy, h.Comment, got)
		}
	}
}

func FuzzParseHistory(f *testing.F) {
	f.Add("base@0123456789ab")
	f.Add("a b@0123456789ab c")
	f.Add("")
	f.Fuzz(func(t *testing.T, comment string) {
		objects, err := ParseHistory(ispec.History{CreatedBy: createdBy, Comment: comment})
		if err != nil {
			return
		}
		var l Layer
		for _, o := range objects {
			p := rootfs.Part{Name: o.Name}
			if o.Hash != "" {
				p.Key = "sha256:" + o.Hash
			}
			l.Parts = append(l.Parts, p)
		}
		if h, err := layerHistory(l, time.Time{}); err != nil || h.Comment != comment {
			t.Errorf("layerHistory(ParseHistory(%q)) = %q, %v", comment, h.Comment, err)
		}
	})
}
