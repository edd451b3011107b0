package main

import (
	"bytes"
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	ispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/export-profile/export-profile/profile/attestation"
	"github.com/export-profile/export-profile/profile/storetest"
)

// attached returns the manifests and the content of the artifacts of a type in a registry, by subject.
func (s *fakeRegistry) attached(t *testing.T, artifactType string) (all map[string]ispec.Manifest, content map[string][]byte) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	all, content = make(map[string]ispec.Manifest), make(map[string][]byte)
	for at, b := range s.blobs {
		repository, reference, ok := strings.Cut(at, "/manifests/")
		var m ispec.Manifest
		if !ok || !strings.HasPrefix(reference, "sha256:") || json.Unmarshal(b, &m) != nil || m.Subject == nil || m.ArtifactType != artifactType {
			continue
		}
		if _, again := all[m.Subject.Digest.String()]; again || len(m.Layers) != 1 || m.Layers[0].MediaType != artifactType {
			t.Errorf("%s has another artifact of that type, or %d layers", m.Subject.Digest, len(m.Layers))
		}
		all[m.Subject.Digest.String()] = m
		content[m.Subject.Digest.String()] = s.blobs[repository+"/blobs/"+m.Layers[0].Digest.String()]
	}
	return all, content
}

// keyFile writes testKey into a file, and returns its name.
func keyFile(t *testing.T) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(name, []byte(testKey), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// statementIn verifies a bundle and returns its statement.
func statementIn(t *testing.T, bundle []byte) *attestation.Statement {
	t.Helper()
	keys, err := attestation.ParseKeys([]byte(testPublic))
	if err != nil {
		t.Fatal(err)
	}
	b, err := attestation.ReadBundle(bundle)
	if err == nil {
		_, err = b.Verify(keys)
	}
	if err != nil {
		t.Fatal(err)
	}
	s, err := attestation.ParseStatement(b.Payload)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestAttestInRegistry checks that image --attest attaches the statement before a tag leads to the image, as cosign looks for it,
// and changes nothing the next time.
func TestAttestInRegistry(t *testing.T) {
	reg, address := newFakeRegistry(t)
	t.Setenv("HOME", t.TempDir())
	at := "docker://" + address + "/team/hello:v1"
	args := []string{"image", "--no-cache", "--from", storetest.File(t, "basic.nix-export"), "--attest", keyFile(t), "--sbom", "spdx", at}
	var made string
	var before map[string][]byte
	for range 2 {
		var out, stderr bytes.Buffer
		if status := run(t.Context(), args, terminal{out: &out, err: &stderr}); status != 0 {
			t.Fatalf("image exits with %d: %s", status, &stderr)
		}
		made = strings.TrimSpace(out.String())
		if before != nil && !maps.EqualFunc(before, reg.blobs, bytes.Equal) {
			t.Errorf("the second image --attest changes the registry")
		}
		before = maps.Clone(reg.blobs)
	}
	artifacts, content := reg.attached(t, attestation.MediaType)
	want := map[string]string{
		"dev.sigstore.bundle.content":       "dsse-envelope",
		"dev.sigstore.bundle.predicateType": "https://slsa.dev/provenance/v1",
		"org.opencontainers.image.created":  "1970-01-01T00:00:01Z",
	}
	if len(artifacts) != 1 || !maps.Equal(artifacts[made].Annotations, want) {
		t.Fatalf("the registry has %v; want one artifact of %s with %v", artifacts, made, want)
	}
	s := statementIn(t, content[made])
	if s.Subject != made || s.Kind != attestation.OfBuild || len(s.Paths) != 6 {
		t.Errorf("the statement is %+v; want one about %s", s, made)
	}
}

// TestRefusedAttestation checks that no tag leads to an image whose attestation the registry refuses, unless it has a file.
func TestRefusedAttestation(t *testing.T) {
	for _, file := range []string{"", filepath.Join(t.TempDir(), "hello.intoto.jsonl")} {
		reg, address := newFakeRegistry(t)
		reg.fault = refusingArtifacts(400)
		t.Setenv("HOME", t.TempDir())
		args := []string{"image", "--no-cache", "--from", storetest.File(t, "basic.nix-export"), "--attest", keyFile(t)}
		wants := []string{"error: the registry refuses the attestation, so no tag leads to the image: attach " + attestation.MediaType,
			"hint: also write the attestation to a file, and the registry may refuse it: --attestation-file hello.intoto.jsonl"}
		if file != "" {
			args, wants = append(args, "--attestation-file", file), []string{`note: the attestation is only in "` + file}
		}
		var out, stderr bytes.Buffer
		status := run(t.Context(), append(args, "docker://"+address+"/team/hello:v1"), terminal{out: &out, err: &stderr})
		for _, want := range wants {
			if !strings.Contains(stderr.String(), want) {
				t.Errorf("image says %s; want %q", &stderr, want)
			}
		}
		if tagged := reg.blobs["team/hello/manifests/v1"] != nil; (status == 0) != (file != "") || tagged != (file != "") {
			t.Errorf("with the file %q, image exits with %d, and there is a tag: %v", file, status, tagged)
		}
		if exists(file) != (file != "") {
			t.Errorf("the file %q is there: %v", file, exists(file))
		}
	}
}

// TestAttestIndexInRegistry checks that attest attaches a statement to each image of an index and to the index,
// and that the one about the index is the same that index --attest makes.
func TestAttestIndexInRegistry(t *testing.T) {
	reg, address := newFakeRegistry(t)
	t.Setenv("HOME", t.TempDir())
	at, key := "docker://"+address+"/team/hello:", keyFile(t)
	golden := storetest.File(t, "basic.nix-export")
	exec := func(status int, args ...string) (stdout, stderr string) {
		t.Helper()
		var out, errs bytes.Buffer
		if got := run(t.Context(), args, terminal{out: &out, err: &errs}); got != status {
			t.Fatalf("%q exits with %d; want %d: %s", args, got, status, &errs)
		}
		return out.String(), errs.String()
	}
	exec(0, "image", "--no-cache", "--from", golden, at+"amd64")
	exec(0, "image", "--no-cache", "--from", golden, "--platform", "linux/arm64", at+"arm64")
	exec(0, "index", "--attest", key, at+"v1", at+"amd64", at+"arm64")
	artifacts, content := reg.attached(t, attestation.MediaType)
	if len(artifacts) != 1 {
		t.Fatalf("after index --attest, the registry has %v; want one artifact", artifacts)
	}
	for range 2 {
		out, _ := exec(0, "attest", "--key", key, at+"v1")
		digests := strings.Fields(out)
		_, all := reg.attached(t, attestation.MediaType)
		if len(digests) != 3 || len(all) != 3 || !bytes.Equal(all[digests[2]], content[digests[2]]) {
			t.Fatalf("attest prints %q, and the registry has %d artifacts; want 3, and the same about the index", digests, len(all))
		}
		index := statementIn(t, all[digests[2]])
		if len(index.Parts) != 2 || index.Parts[0].Digest != digests[0] || index.Parts[1].Platform != "linux/arm64" || index.Kind != attestation.OfIndex {
			t.Errorf("the statement about the index is %+v; want one with the parts %q", index, digests[:2])
		}
		for _, d := range digests[:2] {
			if s := statementIn(t, all[d]); s.Subject != d || s.Kind != attestation.OfContents || len(s.Paths) != 6 {
				t.Errorf("the statement is %+v; want one about %s", s, d)
			}
		}
	}

	file := filepath.Join(t.TempDir(), "hello.intoto.jsonl")
	reg.mu.Lock()
	reg.fault = refusingArtifacts(403)
	reg.mu.Unlock()
	if _, stderr := exec(1, "attest", "--key", key, at+"v1"); !strings.Contains(stderr, "hint: write the attestation to a file: --attestation-file hello.intoto.jsonl") {
		t.Errorf("attest to a registry that refuses says %s", stderr)
	}
	if _, stderr := exec(0, "attest", "--key", key, "--attestation-file", file, at+"v1"); !strings.Contains(stderr, "note: the attestation is only in") {
		t.Errorf("attest to a registry that refuses, with a file, says %s", stderr)
	}
	if b := readFile(t, file); strings.Count(b, "\n") != 3 {
		t.Errorf("the file has %d lines; want 3", strings.Count(b, "\n"))
	}
}

// TestAttestVerifiesPrevious checks that image --attest keeps no layer of a registry unread.
func TestAttestVerifiesPrevious(t *testing.T) {
	_, address := newFakeRegistry(t)
	t.Setenv("HOME", t.TempDir())
	at := "docker://" + address + "/team/hello:"
	for _, tt := range []struct {
		args       []string
		unverified bool
	}{
		{[]string{at + "v1"}, false},
		{[]string{"--previous", at + "v1", at + "v2"}, true},
		{[]string{"--previous", at + "v1", "--attest", keyFile(t), at + "v3"}, false},
	} {
		var out, stderr bytes.Buffer
		args := append([]string{"image", "--no-cache", "--from", storetest.File(t, "basic.nix-export")}, tt.args...)
		if status := run(t.Context(), args, terminal{out: &out, err: &stderr}); status != 0 {
			t.Fatalf("%q exits with %d: %s", args, status, &stderr)
		}
		if got := strings.Contains(stderr.String(), "of the previous image unverified"); got != tt.unverified {
			t.Errorf("%q says %s; want unverified layers: %v", args, &stderr, tt.unverified)
		}
		if strings.Contains(stderr.String(), "did not keep") {
			t.Errorf("%q says %s; want the layers kept", args, &stderr)
		}
	}
}
