package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	ispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/export-profile/export-profile/profile/attestation"
)

// TestVerifyStatementsOfIndex checks that an index and each of its images need a statement of their own.
func TestVerifyStatementsOfIndex(t *testing.T) {
	sample, _ := attestedSample(t)
	key, _ := seededKey(t, 1)
	_, keyFile := keyFiles(t, 1)
	cache, dir := sample.WriteCache(t, "none"), filepath.Join(t.TempDir(), "image")
	args := []string{"index", "--quiet", "oci:" + dir + ":v1"}
	for _, arch := range []string{"amd64", "arm64"} {
		if out, status := verifyRun(t, "image", "--quiet", "--no-cache", "--platform", "linux/"+arch, "--no-check-sigs",
			"--from", cache, "--profile", string(sample.Root), "oci:"+dir+":"+arch); status != 0 {
			t.Fatal(out)
		}
		args = append(args, "oci:"+dir+":"+arch)
	}
	if out, status := verifyRun(t, args...); status != 0 {
		t.Fatal(out)
	}
	var layout, index ispec.Index
	read := func(name string, v any) {
		t.Helper()
		b, err := os.ReadFile(name)
		if err == nil {
			err = json.Unmarshal(b, v)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	read(filepath.Join(dir, "index.json"), &layout)
	top := layout.Manifests[slices.IndexFunc(layout.Manifests, func(d ispec.Descriptor) bool { return d.Annotations[ispec.AnnotationRefName] == "v1" })].Digest
	read(filepath.Join(dir, "blobs", "sha256", top.Encoded()), &index)
	amd, arm := index.Manifests[0], index.Manifests[1]

	of := func(d digest.Digest, parts ...ispec.Descriptor) *attestation.Statement {
		p := &attested{sample: sample}
		p.index.Manifests = []ispec.Descriptor{{Digest: d}}
		s := p.statement()
		if parts != nil {
			s.Kind, s.Paths, s.Parameters = attestation.OfIndex, nil, nil
			for _, part := range parts {
				s.Parts = append(s.Parts, attestation.Part{Digest: part.Digest.String(), MediaType: part.MediaType})
			}
		}
		return s
	}
	other := ispec.Descriptor{Digest: digest.FromString("old"), MediaType: ispec.MediaTypeImageManifest}
	for _, tt := range []struct {
		name       string
		statements []*attestation.Statement
		want       []string
	}{
		{"all", []*attestation.Statement{of(amd.Digest), of(top, amd, arm), of(arm.Digest)}, nil},
		{"none of the index", []*attestation.Statement{of(amd.Digest), of(arm.Digest)},
			[]string{top.String() + ": no statement about it is signed by a given key: no attestation was found"}},
		{"none of a part", []*attestation.Statement{of(amd.Digest), of(top, amd, arm)},
			[]string{"image " + arm.Digest.String()[:19] + ": no statement about it is signed by a given key: no attestation was found"}},
		{"only of the index", []*attestation.Statement{of(top, amd, arm)}, []string{"image " + amd.Digest.String()[:19], "image " + arm.Digest.String()[:19]}},
		{"other order", []*attestation.Statement{of(amd.Digest), of(top, arm, amd), of(arm.Digest)},
			[]string{"part 1 is " + amd.Digest.String() + ", but the statement says " + arm.Digest.String(), "part 2 is"}},
		{"old part", []*attestation.Statement{of(amd.Digest), of(top, amd, other), of(arm.Digest)},
			[]string{"part 2 is " + arm.Digest.String() + ", but the statement says " + other.Digest.String()}},
		{"part more", []*attestation.Statement{of(amd.Digest), of(top, amd, arm, other), of(arm.Digest)}, []string{", but the index has only 2"}},
		{"part less", []*attestation.Statement{of(amd.Digest), of(top, amd), of(arm.Digest)}, []string{"part 2 is " + arm.Digest.String() + ", but the statement has only 1"}},
		{"of an image", []*attestation.Statement{of(amd.Digest), of(top), of(arm.Digest)}, []string{"the statement is about an image, but this is an index"}},
		{"part of an index of its own", []*attestation.Statement{of(amd.Digest, other), of(top, amd, arm), of(arm.Digest)},
			[]string{"the statement is about an index, but this is an image"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := &attested{testImage: testImage{t: t}, key: key}
			for _, s := range tt.statements {
				p.state(s)
			}
			p.must(os.WriteFile(dir+"-v1.intoto.jsonl", []byte(strings.Join(p.lines, "\n")), 0o600))
			out, stderr, status := runAll(t, "verify", "--key", keyFile, "oci:"+dir+":v1")
			if tt.want == nil {
				want := key.Public().ID()
				if status != 0 || strings.Count(stderr, "signed by "+want) != 3 || !strings.Contains(stderr, "2 images, each with a statement of its own") {
					t.Errorf("verify exits with %d and says %s%s", status, out, stderr)
				}
				return
			}
			lines := strings.Split(strings.TrimSpace(out), "\n")
			if status != 3 || len(lines) != len(tt.want) {
				t.Fatalf("verify exits with %d and prints\n%s\nwant 3 and\n%s", status, out, strings.Join(tt.want, "\n"))
			}
			for i, want := range tt.want {
				if !strings.Contains(lines[i], want) {
					t.Errorf("problem %d is\n%s\nwant\n%s", i+1, lines[i], want)
				}
			}
		})
	}
}

// TestVerifyFalseAttestation checks that verify --key never accepts a layout in which it has compared no image with a statement,
// whatever an index.json, which no key signs, says about its entries.
func TestVerifyFalseAttestation(t *testing.T) {
	dir, sample, _ := attestedImage(t)
	_, keyFile := keyFiles(t, 1)
	p := &attested{testImage: testImage{t: t, dir: dir}, sample: sample}
	p.load()
	image := p.index.Manifests[0]
	marked := image
	marked.Platform = &ispec.Platform{OS: "unknown", Architecture: "unknown"}
	marked.Annotations = map[string]string{"vnd.docker.reference.digest": image.Digest.String()}
	for _, entries := range [][]ispec.Descriptor{{marked}, {marked, marked}} {
		p.index.Manifests = entries
		p.saveIndex()
		if out, stderr, status := runAll(t, "verify", "--key", keyFile, "oci:"+dir); status != 3 {
			t.Errorf("verify of %v exits with %d and says %s%s", entries, status, out, stderr)
		}
	}
}
