package ocilayout

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	ispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/export-profile/export-profile/ocilayout/compress"
	"github.com/export-profile/export-profile/ocilayout/history"
	"github.com/export-profile/export-profile/rootfs"
)

func recordKey(c string) string { return "sha256:" + strings.Repeat(c, 64) }

func recordParts() []rootfs.Part {
	return []rootfs.Part{
		{Name: "base", Key: recordKey("0"), Size: 10},
		{Name: "a-1", Root: "nix/store/a-1", Key: recordKey("a"), Size: 100},
		{Name: "b-2", Root: "nix/store/b-2", Key: recordKey("b"), Size: 200},
	}
}

// sampleRecord returns the record of a layer that uses every field.
func sampleRecord(t testing.TB) (Record, Layer) {
	t.Helper()
	l := Layer{Parts: recordParts(), Hidden: []string{"nix/store/old-1"}}
	r, err := NewRecord(l, compress.Method{})
	if err != nil {
		t.Fatal(err)
	}
	r.DiffID, r.TarSize, r.Blob, r.Size = digest.FromString("tar"), 4096, digest.FromString("blob"), 1000
	return r, l
}

// recordChanges make a record one of another layer.
var recordChanges = map[string]func(*Record){
	"format":     func(r *Record) { r.Format++ },
	"compressor": func(r *Record) { r.Compressor += " " },
	"type":       func(r *Record) { r.MediaType = ispec.MediaTypeImageLayer },
	"key":        func(r *Record) { r.Parts[1].Key = recordKey("c") },
	"root":       func(r *Record) { r.Parts[1].Root = "nix/store/c-1" },
	"fewer":      func(r *Record) { r.Parts = r.Parts[:2] },
	"more":       func(r *Record) { r.Parts = append(r.Parts, RecordPart{Root: "nix/store/c-1", Key: recordKey("c")}) },
	"order":      func(r *Record) { slices.Reverse(r.Parts) },
	"hidden":     func(r *Record) { r.Hidden = nil },
	"no tar":     func(r *Record) { r.DiffID = "" },
	"no blob":    func(r *Record) { r.Blob = "sha256:../x" },
	"size":       func(r *Record) { r.Size = -1 },
	"tar size":   func(r *Record) { r.TarSize = 0 },
	"tables":     func(r *Record) { r.Annotations = sampleTables().Annotations() },
	"annotation": func(r *Record) { r.Annotations = map[string]string{"x": "y"} },
}

func TestRecordAnswers(t *testing.T) {
	good, l := sampleRecord(t)
	wanted, err := NewRecord(l, compress.Method{})
	if err != nil {
		t.Fatal(err)
	}
	if err := good.Answers(wanted); err != nil || good.Key() != wanted.Key() {
		t.Errorf("Answers = %v, keys %s and %s; want <nil> and the same key", err, good.Key(), wanted.Key())
	}
	for name, change := range recordChanges {
		r, _ := sampleRecord(t)
		change(&r)
		if r.Answers(wanted) == nil {
			t.Errorf("%s: Answers = <nil>; want an error", name)
		}
		made := slices.Contains([]string{"no tar", "no blob", "size", "tar size", "tables", "annotation"}, name)
		if same := r.Key() == wanted.Key(); same != made {
			t.Errorf("%s: the key is the same: %v; want %v", name, same, made)
		}
	}
	l.Parts[0].Key = ""
	if r, err := NewRecord(l, compress.Method{}); err == nil {
		t.Errorf("NewRecord without a key = %v, <nil>; want an error", r)
	}
	if r, err := newRecord(Layer{Parts: recordParts()}, compress.Method{}, ""); err == nil {
		t.Errorf("newRecord with an unknown compressor = %v, <nil>; want an error", r)
	}
}

// TestRecordVouches checks that a record proves the history of a layer only if all of it is right,
// and the keys of wanted parts match in full.
func TestRecordVouches(t *testing.T) {
	good, built := sampleRecord(t)
	source := func() *BlobSource {
		return &BlobSource{
			Descriptor: ispec.Descriptor{MediaType: good.MediaType, Digest: good.Blob, Size: good.Size},
			DiffID:     good.DiffID,
			Entry:      ispec.History{CreatedBy: "export-profile", Comment: history.ClaimOf(built.StoreDir, built.Parts, built.Hidden).String()},
		}
	}
	wanted := map[string]string{"base": recordKey("0"), "a-1": recordKey("a"), "b-2": recordKey("c")} // b has another key by now
	if err := good.Vouches(source(), wanted); err != nil {
		t.Errorf("Vouches = %v; want <nil>", err)
	}
	said := source() // a record does not say that a part was changed on purpose
	said.Entry.Comment = strings.Replace(said.Entry.Comment, " b-2", ":changed b-2", 1)
	if !strings.Contains(said.Entry.Comment, "a-1@aaaaaaaaaaaa:") || !strings.Contains(said.Entry.Comment, ":changed") {
		t.Fatalf("history %q; want a changed a-1", said.Entry.Comment)
	}
	if err := good.Vouches(said, wanted); err != nil {
		t.Errorf("Vouches for a history with %q = %v; want <nil>", said.Entry.Comment, err)
	}
	for name, change := range recordChanges {
		if name == "format" || name == "compressor" || name == "order" || name == "root" {
			continue // any compressor will do
		}
		r, _ := sampleRecord(t)
		change(&r)
		if r.Vouches(source(), wanted) == nil {
			t.Errorf("record with another %s: Vouches = <nil>; want an error", name)
		}
	}
	for name, change := range map[string]func(*BlobSource){
		"blob":    func(s *BlobSource) { s.Descriptor.Digest = digest.FromString("x") },
		"size":    func(s *BlobSource) { s.Descriptor.Size++ },
		"diffID":  func(s *BlobSource) { s.DiffID = digest.FromString("x") },
		"type":    func(s *BlobSource) { s.Descriptor.MediaType = ispec.MediaTypeImageLayer },
		"history": func(s *BlobSource) { s.Entry.Comment += " -x" },
		"tables":  func(s *BlobSource) { s.Descriptor.Annotations = sampleTables().Annotations() },
		"TOC of eStargz": func(s *BlobSource) {
			s.Descriptor.Annotations = map[string]string{"containerd.io/snapshot/stargz/toc.digest": recordKey("a")}
		},
	} {
		s := source()
		change(s)
		if good.Vouches(s, wanted) == nil {
			t.Errorf("layer with another %s: Vouches = <nil>; want an error", name)
		}
	}
	wanted["a-1"] = recordKey("a")[:70] + "b" // the first digits are the same
	if good.Vouches(source(), wanted) == nil {
		t.Error("Vouches for a key with the same first digits = <nil>; want an error")
	}
}

func FuzzRecord(f *testing.F) {
	good, l := sampleRecord(f)
	wanted, err := NewRecord(l, compress.Method{})
	if err != nil {
		f.Fatal(err)
	}
	seed := func(r Record) {
		b, err := json.Marshal(r)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	seed(good)
	for _, change := range recordChanges {
		r, _ := sampleRecord(f)
		change(&r)
		seed(r)
	}
	source := &BlobSource{Entry: ispec.History{CreatedBy: "export-profile"}}
	f.Fuzz(func(t *testing.T, b []byte) {
		var r Record
		if json.Unmarshal(b, &r) != nil {
			return
		}
		_ = r.Vouches(source, nil)
		if r.Answers(wanted) == nil && (r.Key() != wanted.Key() || CheckDigest(r.Blob) != nil || CheckDigest(r.DiffID) != nil) {
			t.Errorf("%s answers another layer", b)
		}
	})
}
