package ocilayout

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"
	ispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// TestArchiveNote checks that the note about a tag alone is true of podman: it makes a name of the tag, unless that has capitals.
func TestArchiveNote(t *testing.T) {
	for tag, want := range map[string]string{
		"hello": "podman loads it as localhost/hello:latest, Docker without a name",
		"Hello": "it is loaded without one",
	} {
		_, _, notes, err := archiveNames(ispec.Descriptor{}, []Name{{Tag: tag}}, false)
		if err != nil || len(notes) != 1 || !strings.HasSuffix(notes[0], want) {
			t.Errorf("archiveNames of the tag %s notes %q, %v; want one that ends with %q", tag, notes, err, want)
		}
	}
}

func TestArchiveNames(t *testing.T) {
	const library, team = "docker.io/library/hello:v1", "registry.example.com/team/hello:v2"
	type refs [][2]string // reference and full name
	for name, test := range map[string]struct {
		names []Name
		alone bool
		refs  refs
		tags  []string
		notes int
	}{
		"none":           {nil, false, refs{{}}, nil, 0},
		"tag":            {[]Name{{Tag: "v1"}}, false, refs{{"v1"}}, nil, 1},
		"tags":           {[]Name{{Tag: "v1"}, {Tag: "v2"}}, false, refs{{"v1"}}, nil, 2},
		"full":           {[]Name{{"v1", library}}, false, refs{{"v1", library}}, []string{library}, 0},
		"tag and full":   {[]Name{{Tag: "latest"}, {"v1", library}}, false, refs{{"v1", library}}, []string{library}, 0},
		"own tag":        {[]Name{{"mine", library}}, true, refs{{"mine", library}}, []string{library}, 0},
		"two":            {[]Name{{"v1", library}, {"v2", team}}, false, refs{{"v1", library}, {"v2", team}}, []string{library, team}, 0},
		"two, alone":     {[]Name{{"v1", library}, {"v2", team}}, true, refs{{"v1", library}}, []string{library, team}, 1},
		"twice the same": {[]Name{{"v1", library}, {"v1", library}}, true, refs{{"v1", library}}, []string{library}, 0},
		"two of the same tag": {[]Name{{"v2", "docker.io/library/a:v2"}, {"v2", team}}, false,
			refs{{"v2", "docker.io/library/a:v2"}, {team, team}}, []string{"docker.io/library/a:v2", team}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			image := ispec.Descriptor{
				MediaType: ispec.MediaTypeImageManifest, Digest: digest.FromString("x"), Size: 1,
				Platform: &ispec.Platform{OS: "linux"}, Annotations: map[string]string{"own": "x"},
			}
			index, tags, notes, err := archiveNames(image, test.names, test.alone)
			if err != nil {
				t.Fatal(err)
			}
			var got refs
			for _, d := range index {
				got = append(got, [2]string{d.Annotations[ispec.AnnotationRefName], d.Annotations[AnnotationFullName]})
				if d.Digest != image.Digest || d.Platform != nil || d.Annotations["own"] != "" {
					t.Errorf("descriptor %+v", d)
				}
			}
			if diff := cmp.Diff(test.refs, got); diff != "" {
				t.Errorf("index (-want +got):\n%s", diff)
			}
			if !cmp.Equal(test.tags, tags) || len(notes) != test.notes {
				t.Errorf("tags %q, notes %q; want %q and %d notes", tags, notes, test.tags, test.notes)
			}
		})
	}
}
