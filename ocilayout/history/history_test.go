package history

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	ispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/export-profile/export-profile/rootfs"
)

func TestEntry(t *testing.T) {
	created := time.Unix(1, 0).UTC()
	key := "sha256:0123456789abcdef" + strings.Repeat("0", 48)
	parts := []rootfs.Part{
		{Name: "base", Key: key, Size: 0},
		{Name: "81bx-user+env_1.0?=", Key: key, Size: 1234567},
		{Name: "unknown", Size: 7},
		{Name: "changed", Key: key, Size: 8, Changed: true},
		{Name: "flat", Size: 9, Changed: true},
	}
	h, err := NewEntry(created, rootfs.StoreDir{}, parts, []string{"nix/store/a", "nix/store/b-1"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	want := ispec.History{
		Created: &created, CreatedBy: "export-profile",
		Comment: "base@0123456789ab:0 81bx-user+env_1.0?=@0123456789ab:1234567 unknown:7 changed@0123456789ab:8:changed flat:9:changed -a -b-1",
	}
	if d := cmp.Diff(want, h); d != "" {
		t.Errorf("NewEntry (-want +got):\n%s", d)
	}
	got, err := Parse(h)
	parsed := Claim{
		Objects: []Object{{Name: "base", Hash: "0123456789ab", Size: 0}, {Name: "81bx-user+env_1.0?=", Hash: "0123456789ab", Size: 1234567}, {Name: "unknown", Hash: "", Size: 7},
			{Name: "changed", Hash: "0123456789ab", Size: 8, Changed: true}, {Name: "flat", Size: 9, Changed: true}},
		Hidden: []string{"a", "b-1"},
	}
	if d := cmp.Diff(parsed, got); d != "" || err != nil {
		t.Errorf("Parse(%q): %v (-want +got):\n%s", h.Comment, err, d)
	}

	for _, name := range []string{"", "a b", "a@b", "a:1", "-a", ".a", "a/b", "a\n", "ä"} {
		if h, err := NewEntry(created, rootfs.StoreDir{}, []rootfs.Part{{Name: name, Key: key}}, nil, nil); err == nil {
			t.Errorf("NewEntry with the name %q = %q, <nil>; want an error", name, h.Comment)
		}
	}
	for _, p := range []rootfs.Part{{Name: "a", Key: "sha256:0123456789AB"}, {Name: "a", Key: key, Size: -1}} {
		if h, err := NewEntry(created, rootfs.StoreDir{}, []rootfs.Part{p}, nil, nil); err == nil {
			t.Errorf("NewEntry with the key %q and size %d = %q, <nil>; want an error", p.Key, p.Size, h.Comment)
		}
	}
	for _, root := range []string{"", "a", "etc/a", "nix/store/a/b", "nix/store/a b", "nix/store/-a"} {
		if h, err := NewEntry(created, rootfs.StoreDir{}, nil, []string{root}, nil); err == nil {
			t.Errorf("NewEntry that hides %q = %q, <nil>; want an error", root, h.Comment)
		}
	}
}

// TestRepresentable checks that NewEntry accepts exactly the objects whose words Parse accepts.
func TestRepresentable(t *testing.T) {
	const hash = "0123456789ab"
	objects := []Object{{"", hash, 1, false}, {"a", "0123456789a", 1, false}, {"a", hash + "c", 1, false}, {"a", hash, -1, false},
		{"a", hash, math.MaxInt64, true}, {"a", "", math.MinInt64, true}, {"a", "", 0, false}}
	for c := range 256 {
		b := string([]byte{byte(c)})
		objects = append(objects, Object{b, hash, 1, false}, Object{"a" + b, "", 1, true}, Object{"a", b + hash[1:], 1, false})
	}
	for _, o := range objects {
		if got, want := o.representable(), objectPattern.MatchString(o.String()); got != want {
			t.Errorf("%q is representable: %v; objectPattern matches: %v", o, got, want)
		}
	}
}

func TestParseRefuses(t *testing.T) {
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
		{CreatedBy: createdBy, Comment: "base:1:changed"},
		{CreatedBy: createdBy, Comment: "a:1:"},
		{CreatedBy: createdBy, Comment: "a:changed"},
		{CreatedBy: createdBy, Comment: "a:1:changed:changed"},
		{CreatedBy: createdBy, Comment: "a:1:Changed"},
		{CreatedBy: createdBy, Comment: "a:1 -b:changed"},
	} {
		if got, err := Parse(h); err == nil {
			t.Errorf("Parse(%q, %q) = %v, <nil>; want an error", h.CreatedBy, h.Comment, got)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("base@0123456789ab:5")
	f.Add("a:0 b@0123456789ab:17 c:1 -d -e")
	f.Add("-a")
	f.Add("base:1 a:1:changed b@0123456789ab:1:changed")
	f.Add("")
	f.Fuzz(func(t *testing.T, comment string) {
		h, err := Parse(ispec.History{CreatedBy: createdBy, Comment: comment})
		if err != nil {
			return
		}
		var parts []rootfs.Part
		for _, o := range h.Objects {
			p := rootfs.Part{Name: o.Name, Size: o.Size, Changed: o.Changed}
			if o.Hash != "" {
				p.Key = "sha256:" + o.Hash
			}
			parts = append(parts, p)
		}
		var hidden []string
		for _, name := range h.Hidden {
			hidden = append(hidden, "nix/store/"+name)
		}
		if again, err := NewEntry(time.Time{}, rootfs.StoreDir{}, parts, hidden, nil); err != nil || again.Comment != comment {
			t.Errorf("NewEntry of Parse(%q) = %q, %v; want the same comment", comment, again.Comment, err)
		}
	})
}

// TestEntryTop checks that the entry of a layer with changes lists them, and not what the layer hides.
func TestEntryTop(t *testing.T) {
	parts := []rootfs.Part{{Name: "overlay", Key: "sha256:0123456789abcdef", Size: 3}}
	var got []string
	for _, l := range []struct{ hidden, changes []string }{
		{[]string{"tmp"}, []string{"add /bin", "add /etc/passwd", "whiteout /tmp"}},
		{[]string{"etc"}, []string{"whiteout /etc", "mkdir /bin\n", "add /\xff"}},
	} {
		entry, err := NewEntry(time.Time{}, rootfs.StoreDir{}, parts, l.hidden, l.changes)
		if err != nil {
			t.Fatal(err)
		}
		h, err := Parse(entry)
		if err != nil || !h.Top || len(h.Objects) != 1 || len(h.Hidden) != 0 {
			t.Errorf("Parse(%q, %q) = %+v, %v; want one object of a layer on top", entry.CreatedBy, entry.Comment, h, err)
		}
		got = append(got, entry.CreatedBy)
	}
	want := []string{
		"export-profile: add /bin, add /etc/passwd, whiteout /tmp",
		`export-profile: whiteout /etc, "mkdir /bin\n", "add /\xff"`,
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("created_by (-want +got):\n%s", d)
	}

	var many []string
	for i := range 1000 {
		many = append(many, fmt.Sprintf("mkdir /srv/%d", i))
	}
	entry, err := NewEntry(time.Time{}, rootfs.StoreDir{}, parts, nil, many)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasSuffix(entry.CreatedBy, " more") || len(entry.CreatedBy) > maxChangesText+200 {
		t.Errorf("created_by of 1000 changes has %d bytes and ends with %q; want it cut, with the rest counted", len(entry.CreatedBy), entry.CreatedBy[len(entry.CreatedBy)-20:])
	}
}
