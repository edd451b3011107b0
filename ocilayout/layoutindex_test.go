package ocilayout

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"
	ispec "github.com/opencontainers/image-spec/specs-go/v1"
)

func named(d digest.Digest, ref string) ispec.Descriptor {
	return ispec.Descriptor{MediaType: "m", Digest: d, Size: 1, Annotations: map[string]string{ispec.AnnotationRefName: ref}}
}

const indexOne = `{"mediaType":"m","digest":"one","size":1,"annotations":{"org.opencontainers.image.ref.name":"v1"}}`

func TestMergeIndex(t *testing.T) {
	const other = `{"x-unknown" : [1, 2.50, "<&>"], "mediaType":"n","digest":"sha256:other","size":18014398509481985,` +
		`"annotations":{"org.opencontainers.image.ref.name":"other","z":"1","a":"2"},"platform":{"os":"linux","x":null}}`
	for _, test := range []struct {
		name, old, want string
		images          []ispec.Descriptor
		replaced        []digest.Digest
	}{
		{
			"empty", `{"schemaVersion":2,"manifests":[]}`,
			`{"schemaVersion":2,"manifests":[` + indexOne + `]}` + "\n",
			[]ispec.Descriptor{named("one", "v1")}, nil,
		},
		{
			"none", `{"schemaVersion":2,"manifests":null}`,
			`{"schemaVersion":2,"manifests":[` + indexOne + `]}` + "\n",
			[]ispec.Descriptor{named("one", "v1")}, nil,
		},
		{
			"no manifests", `{"schemaVersion":2}`,
			`{"schemaVersion":2,"manifests":[` + indexOne + `]}` + "\n",
			[]ispec.Descriptor{named("one", "v1")}, nil,
		},
		{
			"others are kept as they are",
			`{ "annotations":{"b":"<1>","a":"2"}, "schemaVersion":2, "x-new":{"deep":[1.0]}, "manifests":[` + other + `], "mediaType":"i"}`,
			`{"annotations":{"b":"<1>","a":"2"},"schemaVersion":2,"x-new":{"deep":[1.0]},"manifests":[` + other + `,` + indexOne + `],"mediaType":"i"}` + "\n",
			[]ispec.Descriptor{named("one", "v1")}, nil,
		},
		{
			"in its place",
			`{"manifests":[{"digest":"old","annotations":{"org.opencontainers.image.ref.name":"v1"}},` + other + `,{"digest":"untagged"}]}`,
			`{"manifests":[` + indexOne + `,` + other + `,{"digest":"untagged"}]}` + "\n",
			[]ispec.Descriptor{named("one", "v1")}, []digest.Digest{"old"},
		},
		{
			"one for each tag",
			`{"manifests":[{"digest":"old","annotations":{"org.opencontainers.image.ref.name":"v1"}},` + other +
				`,{"digest":"older","annotations":{"org.opencontainers.image.ref.name":"v1"}}]}`,
			`{"manifests":[` + indexOne + `,` + other + `]}` + "\n",
			[]ispec.Descriptor{named("one", "v1")}, []digest.Digest{"old", "older"},
		},
		{
			"several",
			`{"manifests":[{"digest":"old","annotations":{"org.opencontainers.image.ref.name":"v2"}}]}`,
			`{"manifests":[{"mediaType":"m","digest":"one","size":1,"annotations":{"org.opencontainers.image.ref.name":"v2"}},` + indexOne + `]}` + "\n",
			[]ispec.Descriptor{named("one", "v1"), named("one", "v2")}, []digest.Digest{"old"},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, replaced, err := mergeIndex([]byte(test.old), test.images)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(test.want, string(got)); d != "" {
				t.Errorf("mergeIndex(%s) (-want +got):\n%s", test.old, d)
			}
			var digests []digest.Digest
			for _, r := range replaced {
				digests = append(digests, r.Digest)
			}
			if d := cmp.Diff(test.replaced, digests); d != "" {
				t.Errorf("mergeIndex(%s) replaces (-want +got):\n%s", test.old, d)
			}
			again, _, err := mergeIndex(got, test.images)
			if err != nil || string(again) != string(got) {
				t.Errorf("mergeIndex again = %s, %v; want no change", again, err)
			}
		})
	}
}

func TestMergeIndexRefuses(t *testing.T) {
	for _, old := range []string{
		"", "[]", "null", "{", `{"manifests":1}`, `{"manifests":[1]}`, `{"manifests":[]`, `{"manifests":[]} x`,
		`{"manifests":[],"manifests":[]}`, `{"manifests":[]}{}`, `{"manifests":[{"annotations":1}]}`,
	} {
		if got, _, err := mergeIndex([]byte(old), nil); err == nil {
			t.Errorf("mergeIndex(%q) = %q, <nil>; want an error", old, got)
		}
	}
}

func FuzzMergeIndex(f *testing.F) {
	f.Add([]byte(`{"schemaVersion":2,"manifests":[` + indexOne + `],"x":[1.0,"<"]}`))
	f.Add([]byte(`{"\u0061":1}`))
	f.Fuzz(func(t *testing.T, old []byte) {
		got, _, err := mergeIndex(old, []ispec.Descriptor{named("one", "v1")})
		if err != nil {
			return
		}
		var before, after map[string]any
		if err := json.Unmarshal(old, &before); err != nil {
			t.Fatalf("mergeIndex(%q): <nil>; want %v", old, err)
		}
		if err := json.Unmarshal(got, &after); err != nil {
			t.Fatalf("mergeIndex(%q) = %q: %v", old, got, err)
		}
		delete(before, "manifests")
		delete(after, "manifests")
		if d := cmp.Diff(before, after); d != "" {
			t.Errorf("mergeIndex(%q) changes other fields (-want +got):\n%s", old, d)
		}
	})
}
