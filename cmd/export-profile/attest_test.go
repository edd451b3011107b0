package main

import (
	"bytes"
	"context"
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	ispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/spf13/pflag"

	"github.com/export-profile/export-profile/ocilayout"
	"github.com/export-profile/export-profile/profile"
	"github.com/export-profile/export-profile/profile/attestation"
	"github.com/export-profile/export-profile/profile/source"
	"github.com/export-profile/export-profile/profile/storetest"
)

// testKey is a secret key in Nix's form, and testPublic its public key.
const (
	testKey    = "test-1:NCtbr3jYd4art7/yUp7rgz2jULTh0TLXV4l8k4u79z4r4IiUd5cPMPp1oBZWilTT2J+qvgp21Lz9sGwzFWA+bA=="
	testPublic = "test-1:K+CIlHeXDzD6daAWVopU09ifqr4KdtS8/bBsMxVgPmw="
)

// TestShapingFlags checks that every flag of image is in one of the lists that say whether it is a parameter of an attestation.
func TestShapingFlags(t *testing.T) {
	lists := make(map[string]string)
	for of, list := range map[string]string{"shapingFlags": shapingFlags, "mentionedFlags": mentionedFlags, "unstatedFlags": unstatedFlags} {
		for _, name := range strings.Fields(list) {
			if lists[name] != "" {
				t.Errorf("--%s is in %s and in %s", name, lists[name], of)
			}
			lists[name] = of
		}
	}
	fs := pflag.NewFlagSet("image", pflag.ContinueOnError)
	fs.Bool("help", false, "")
	setupImage(fs)
	fs.VisitAll(func(f *pflag.Flag) {
		if (lists[f.Name] != "") == isChange(f) {
			t.Errorf("--%s is in %q: want one of the lists in attestparameters.go, unless it is a change", f.Name, lists[f.Name])
		}
		delete(lists, f.Name)
	})
	for name, of := range lists {
		t.Errorf("%s has --%s, and image has no such flag", of, name)
	}
}

// TestParameters checks that a statement with any parameters has a payload that can be read.
func TestParameters(t *testing.T) {
	for _, tt := range []struct{ args, want string }{
		{"", `{}`},
		{"--bare=false --max-waste 7% --healthcheck curl", `{"healthcheck":"curl","max-waste":7}`},
		{"--bare --layers-file x --ca-file x --ca-file y --tag a --quiet", `{"bare":true,"ca-file":true,"layers-file":true}`},
		{"--label b=1 --label a=<&> --label b=2", `{"label":["a=<&>","b=2"]}`},
		{"--mode /\xff=0644 --mkdir /\xff --symlink é:/x", `{"changes":["\"mkdir /\\xff\"","symlink é:/x"],"mode":["\"/\\xff=0644\""]}`},
		{`--cmd ["a","b"] --entrypoint [a`, `{"cmd":["a","b"],"entrypoint":"[a"}`},
		{"--created now", `{"created":"2024-02-29T01:02:03Z"}`},
		{`--add a\:b:/c:0644 --add -:/d/ --layer`, `{"changes":["add /c:0644","add /d/","layer"]}`},
	} {
		fs := pflag.NewFlagSet("image", pflag.ContinueOnError)
		setupImage(fs)
		if err := fs.Parse(strings.Fields(tt.args)); err != nil {
			t.Fatal(err)
		}
		var created time.Time
		if fs.Changed("created") {
			created = time.Date(2024, 2, 29, 1, 2, 3, 0, time.UTC)
		}
		s := &attestation.Statement{Kind: attestation.OfBuild, Subject: "sha256:" + strings.Repeat("0", 64), Parameters: parameters(fs, created)}
		payload, err := s.Payload()
		if err == nil {
			_, err = attestation.ParseStatement(payload)
		}
		if err != nil || !strings.Contains(string(payload), `"externalParameters":`+tt.want+`,"resolved`) {
			t.Errorf("parameters of %q: %s, %v; want %s", tt.args, payload, err, tt.want)
		}
	}
}

// forgetful is a store that does not know NAR hashes, or only wrong ones.
type forgetful struct {
	profile.Store
	hash profile.Hash
}

func (s forgetful) Info(ctx context.Context, p profile.Path) (*profile.Info, error) {
	info, err := s.Store.Info(ctx, p)
	if err != nil {
		return nil, err
	}
	forgot := *info
	forgot.NarHash, forgot.NarSize = s.hash, 0
	return &forgot, nil
}

// TestUnknownHash checks that a NAR hash that the source does not know comes from its files.
func TestUnknownHash(t *testing.T) {
	sample, err := source.Open(t.Context(), []string{storetest.File(t, "basic.nix-export")}, source.Options{SpoolDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer sample.Close()
	closure, err := profile.FindClosure(t.Context(), sample, storetest.GoldenProfile)
	if err != nil {
		t.Fatal(err)
	}
	for _, hash := range []profile.Hash{{}, {1}} {
		forgot, err := profile.FindClosure(t.Context(), forgetful{sample, hash}, storetest.GoldenProfile)
		if err != nil {
			t.Fatal(err)
		}
		parts := forgot.Parts(t.Context())
		for i, info := range forgot.Infos {
			known, err := withHash(info, parts[i].Tree)
			want := closure.Infos[i]
			switch {
			case hash.Known() && (err == nil || !strings.Contains(err.Error(), want.NarHash.String())):
				t.Errorf("withHash(%q) of a wrong hash: %v; want an error with %v", info.Path, err, want.NarHash)
			case !hash.Known() && (err != nil || known.NarHash != want.NarHash || known.NarSize != want.NarSize):
				t.Errorf("withHash(%q) = %v, %v; want %v", info.Path, known, err, want)
			}
		}
	}
}

// TestPathOf checks that statements have only well-formed signatures and content addresses, in one order.
func TestPathOf(t *testing.T) {
	signature := func(name, last string) string { return name + ":" + strings.Repeat("A", 85) + last }
	info := &profile.Info{Path: storetest.GoldenProfile, CA: "fixed:md5:x",
		Signatures: []string{signature("k-2", "A=="), signature("k-1", "A"), "k-3:short", signature("k-2", "A")}}
	p := pathOf(info)
	if want := []string{signature("k-1", "A=="), signature("k-2", "A==")}; !slices.Equal(p.Signatures, want) || p.CA != "" {
		t.Errorf("pathOf has the signatures %q and the content address %q; want %q", p.Signatures, p.CA, want)
	}
	for i := range 100 {
		info.Signatures = append(info.Signatures, signature("many-"+string(rune('a'+i%26))+strings.Repeat("x", i), "A"))
	}
	if p := pathOf(info); len(p.Signatures) != 64 || !slices.IsSorted(p.Signatures) {
		t.Errorf("pathOf has %d signatures; want 64, sorted", len(p.Signatures))
	}
}

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

// TestIndexStatement checks that a statement about an index lists its images in order, and not BuildKit's attestations about them.
func TestIndexStatement(t *testing.T) {
	digestOf := func(c string) digest.Digest { return digest.Digest("sha256:" + strings.Repeat(c, 64)) }
	parts := []ispec.Descriptor{
		{Digest: digestOf("2"), MediaType: ispec.MediaTypeImageManifest, Platform: &ispec.Platform{OS: "linux", Architecture: "arm", Variant: "v7"}},
		{Digest: digestOf("1"), MediaType: ocilayout.DockerImageType},
		{Digest: digestOf("3"), MediaType: ispec.MediaTypeImageManifest, Annotations: map[string]string{ocilayout.AnnotationReference: string(digestOf("1"))},
			Platform: &ispec.Platform{OS: "unknown", Architecture: "unknown"}},
	}
	s := indexStatement(ispec.Descriptor{Digest: digestOf("0")}, parts)
	want := []attestation.Part{
		{Digest: string(digestOf("2")), MediaType: ispec.MediaTypeImageManifest, Platform: "linux/arm/v7"},
		{Digest: string(digestOf("1")), MediaType: ocilayout.DockerImageType},
	}
	if _, err := s.Payload(); err != nil || !slices.Equal(s.Parts, want) {
		t.Errorf("indexStatement has the parts %v, %v; want %v", s.Parts, err, want)
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
