package registry

import (
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	ispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/export-profile/export-profile/ocilayout"
	"github.com/export-profile/export-profile/rootfs"
)

// on returns a clock that stands at noon of a day, such as 2026-11-30.
func on(day string) func() time.Time {
	t, err := time.Parse(time.DateOnly, day)
	if err != nil {
		panic(err)
	}
	return func() time.Time { return t.Add(12 * time.Hour) }
}

// tags returns the tags of a repository of the fake that begin with prefix.
func (f *fakeRegistry) tags(repository, prefix string) (tags []string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, tag := range slices.Sorted(maps.Keys(f.manifests[repository])) {
		if strings.HasPrefix(tag, prefix) && !strings.Contains(tag, ":") {
			tags = append(tags, tag)
		}
	}
	return tags
}

// notesOf returns the use notes in the cache, and what they name.
func notesOf(t *testing.T, f *fakeRegistry) (notes []useNote) {
	t.Helper()
	for _, tag := range f.tags("cache/layers", "used-") {
		f.mu.Lock()
		b := f.manifests["cache/layers"][tag]
		f.mu.Unlock()
		n, err := parseUseNote(tag, b)
		if err != nil {
			t.Fatalf("parseUseNote(%s) = %v", tag, err)
		}
		notes = append(notes, n)
	}
	return notes
}

// TestUseNote checks that a run with a key puts its note before it looks up a layer or writes a record,
// that the note names all records, that the same run on the same day writes nothing, and that a run without a key writes none.
func TestUseNote(t *testing.T) {
	f := newFake(t)
	keys := signer(1)
	parts := []rootfs.Part{part("a", 1, 1<<10), part("b", 2, 1<<10)}
	want := layoutDigest(t, image(t, nil, "gzip", parts...))
	r := &runner{T: t, fake: f, keys: keys, parts: parts, now: on("2026-11-30"), facts: []string{"one"}}
	r.want(want, built, built)
	notes := notesOf(t, f)
	named := []string{shortTag(factTag("one")), shortTag(tagOf(t, "gzip", parts[0])), shortTag(tagOf(t, "gzip", parts[1]))}
	slices.Sort(named)
	if diff := cmp.Diff([]useNote{{"20261130", named}}, notes, cmp.AllowUnexported(useNote{})); diff != "" {
		t.Errorf("notes (-want +got):\n%s", diff)
	}
	f.mu.Lock()
	noted := slices.IndexFunc(f.requests, func(r string) bool { return strings.HasPrefix(r, "PUT /v2/cache/layers/manifests/used-") })
	for i, request := range f.requests {
		_, tag, _ := strings.Cut(request, "/v2/cache/layers/manifests/")
		if i < noted && (strings.HasPrefix(tag, "layer-") || strings.HasPrefix(request, "PUT") && recordTagPattern.MatchString(tag)) {
			t.Errorf("%s comes before the use note", request)
		}
	}
	f.mu.Unlock()

	for _, tt := range []struct {
		name, day   string
		keys        Keys
		notes, puts int
	}{
		{"same day", "2026-11-30", keys, 1, 0},
		{"without a key", "2026-12-01", reader(keys), 1, 0},
		{"next day", "2026-12-01", keys, 2, 1},
		{"same day again", "2026-12-01", keys, 2, 0},
	} {
		f.forget()
		r := &runner{T: t, fake: f, keys: tt.keys, parts: []rootfs.Part{unread(parts[0]), unread(parts[1])}, now: on(tt.day), facts: r.facts}
		r.want(want, fetched, fetched)
		if n, puts := len(notesOf(t, f)), f.count("P"); n != tt.notes || puts != tt.puts {
			t.Errorf("%s: %d notes and %d requests that write; want %d and %d", tt.name, n, puts, tt.notes, tt.puts)
		}
	}
	if notes = notesOf(t, f); notes[1].day != "20261201" || !slices.Equal(notes[1].tags, named) {
		t.Errorf("the second note is %v; want the same tags on the next day", notes[1])
	}
}

// TestUseNoteVouched checks that a note names the claims that prove layers of a previous image.
func TestUseNoteVouched(t *testing.T) {
	f := newFake(t)
	keys := signer(1)
	a := part("a", 1, 1<<10)
	(&runner{T: t, fake: f, keys: keys, parts: []rootfs.Part{a}, to: "team/hello:v1", now: on("2026-11-30")}).want(layoutDigest(t, image(t, nil, "gzip", a)), built)
	c := client(t, Options{Now: on("2026-12-01")})
	previous, err := previousIn(t, c, f.at("team/hello:v1"))
	if err != nil {
		t.Fatal(err)
	}
	cache, err := c.SharedCache(t.Context(), f.at("cache/layers"), nil, keys)
	if err != nil {
		t.Fatal(err)
	}
	doubts, err := cache.Vouch(t.Context(), []*ocilayout.BlobSource{&previous.Layers[0].BlobSource}, map[string]string{a.Name: a.Key})
	if err != nil || doubts[0] != nil {
		t.Fatalf("Vouch = %v, %v", doubts, err)
	}
	if !cache.announce(t.Context()) {
		t.Fatal(cache.WriteErr())
	}
	notes := notesOf(t, f)
	if want := shortTag(blobTag(previous.Layers[0].Descriptor.Digest)); len(notes) != 2 || !slices.Equal(notes[1].tags, []string{want}) {
		t.Errorf("notes = %v; want a second one about %s", notes, want)
	}
}

// TestUseNoteRefused checks that a run whose note is refused reads the cache and writes nothing to it.
func TestUseNoteRefused(t *testing.T) {
	f := newFake(t)
	keys := signer(1)
	a, b := part("a", 1, 1<<10), part("b", 2, 1<<10)
	(&runner{T: t, fake: f, keys: keys, parts: []rootfs.Part{a}, now: on("2026-11-30")}).want(layoutDigest(t, image(t, nil, "gzip", a)), built)
	f.fault = func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodPut && strings.Contains(r.URL.Path, "/used-") {
			refuse(w, http.StatusForbidden, "DENIED")
			return true
		}
		return false
	}
	before := f.tags("cache/layers", "")
	r := &runner{T: t, fake: f, keys: keys, parts: []rootfs.Part{unread(a), b}, now: on("2026-12-01"), facts: []string{"one"}}
	r.want(layoutDigest(t, image(t, nil, "gzip", a, b)), fetched, built)
	if after := f.tags("cache/layers", ""); !slices.Equal(before, after) {
		t.Errorf("the tags became %q; want %q", after, before)
	}
	if r.writeErr == nil || !errors.Is(r.writeErr, ErrDenied) {
		t.Errorf("WriteErr = %v; want %v", r.writeErr, ErrDenied)
	}
}

func useNotes(t testing.TB) map[string]struct {
	tag      string
	manifest []byte
	want     string // part of the error, or "" for none
} {
	hash := strings.Repeat("0123456789abcdef", 4)
	good, manifest, err := newUseNote("20261130", []string{"layer-" + hash, "fact-" + hash, "layer-" + hash, "blob-" + strings.Repeat("f", 64)})
	if err != nil {
		t.Fatal(err)
	}
	type note = struct {
		tag      string
		manifest []byte
		want     string
	}
	changed := func(day, want string, change func(m *ispec.Manifest)) note {
		var m ispec.Manifest
		if err := json.Unmarshal(manifest, &m); err != nil {
			t.Fatal(err)
		}
		change(&m)
		b, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		return note{tagOfUse(useDay(day), descriptorOf(m.MediaType, b)), b, want}
	}
	annotate := func(name, value, want string) note {
		return changed("20261130", want, func(m *ispec.Manifest) { m.Annotations[name] = value })
	}
	return map[string]note{
		"good":            {tagOfUse("20261130", good), manifest, ""},
		"without tags":    annotate(annotationUses+"blob", "", ""),
		"another tag":     {"used-20261130-" + hash, manifest, "not a use note"},
		"another day":     {tagOfUse("20261201", good), manifest, `it is about the day "20261130"`},
		"no such day":     changed("20261131", "there is no day", func(m *ispec.Manifest) { m.Annotations[annotationDay] = "20261131" }),
		"no tag of notes": {"used-x", manifest, "not a use note"},
		"nothing":         {tagOfUse("20261130", descriptorOf("", nil)), nil, "not a use note"},
		"another type":    changed("20261130", "not a use note", func(m *ispec.Manifest) { m.ArtifactType = layerClaim.artifactType() }),
		"newer version":   changed("20261130", "it is of type", func(m *ispec.Manifest) { m.ArtifactType = useTypes + "v2+json" }),
		"cut":             annotate(annotationUses+"layer", hash[:15], "cut or damaged"),
		"odd":             annotate(annotationUses+"layer", hash[:8], "cut or damaged"),
		"upper case":      annotate(annotationUses+"fact", strings.ToUpper(hash[:16]), "cut or damaged"),
		"no digits":       annotate(annotationUses+"fact", strings.Repeat("x", 16), "cut or damaged"),
	}
}

func TestParseUseNote(t *testing.T) {
	for name, tt := range useNotes(t) {
		n, err := parseUseNote(tt.tag, tt.manifest)
		if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: parseUseNote = %v, %v; want the error %q", name, n, err, tt.want)
		}
		if name == "good" && !slices.Equal(n.tags, []string{"blob-ffffffffffffffff", "fact-0123456789abcdef", "layer-0123456789abcdef"}) {
			t.Errorf("%s: parseUseNote = %v", name, n)
		}
	}
	if _, _, err := newUseNote("20261130", []string{"latest"}); err == nil {
		t.Error("newUseNote with a tag of something else = nil; want an error")
	}
}

// FuzzUseNote checks that a note that parses names only short tags of records,
// and that a note about the same tags parses to the same.
func FuzzUseNote(f *testing.F) {
	for _, n := range useNotes(f) {
		f.Add(n.manifest, "20261130")
	}
	f.Fuzz(func(t *testing.T, manifest []byte, day string) {
		n, err := parseUseNote(tagOfUse(useDay(day), descriptorOf("", manifest)), manifest)
		if err != nil {
			return
		}
		tags := make([]string, len(n.tags))
		for i, tag := range n.tags {
			tags[i] = tag + strings.Repeat("0", 64-shortDigits)
			if !recordTagPattern.MatchString(tags[i]) || shortTag(tags[i]) != tag {
				t.Fatalf("parseUseNote(%q) names %q", manifest, tag)
			}
		}
		image, again, err := newUseNote(n.day, tags)
		if err != nil {
			t.Fatal(err)
		}
		m, err := parseUseNote(tagOfUse(n.day, image), again)
		if err != nil || m.day != n.day || !slices.Equal(m.tags, slices.Compact(n.tags)) {
			t.Errorf("parseUseNote(%q) = %v; again %v, %v", manifest, n, m, err)
		}
	})
}
