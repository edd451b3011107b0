package attestation

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/export-profile/export-profile/profile"
)

func hash(t testing.TB, two string) profile.Hash {
	t.Helper()
	h, err := profile.ParseHash("sha256:" + strings.Repeat(two, 32))
	if err != nil {
		t.Fatal(err)
	}
	return h
}

const (
	libPath   = profile.Path("/nix/store/6821dyl8slsfcylbd6mxghxdqg9f36w9-libhello-1.0")
	helloPath = profile.Path("/nix/store/fiznc08nhj31nrsb1f2aa5f9syzps0gl-hello-1.0")
)

// statement is about an image with two store paths, one of them signed.
func statement(t testing.TB) *Statement {
	return &Statement{
		Kind: OfBuild, Name: "hello-1.0", Subject: "sha256:" + strings.Repeat("11", 32),
		Parameters: map[string]any{"entrypoint": []any{"hello"}, "bare": true, "user": "app:1000"},
		Finished:   time.Date(2024, 2, 29, 12, 0, 0, 0, time.UTC),
		Base:       "sha256:" + strings.Repeat("22", 32), BaseType: "application/vnd.oci.image.manifest.v1+json",
		Paths: []Path{
			{Path: libPath, NarHash: hash(t, "ab"), NarSize: 1840, References: []profile.Path{libPath}, Signatures: []string{"cache.example.com-1:c2ln"}},
			{Path: helloPath, NarHash: hash(t, "cd"), NarSize: 10864, References: []profile.Path{libPath, helloPath}},
		},
	}
}

func payload(t testing.TB, s *Statement) []byte {
	t.Helper()
	b, err := s.Payload()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestPayload(t *testing.T) {
	const want = `{"_type":"https://in-toto.io/Statement/v1",` +
		`"subject":[{"name":"hello-1.0","digest":{"sha256":"1111111111111111111111111111111111111111111111111111111111111111"}}],` +
		`"predicateType":"https://slsa.dev/provenance/v1","predicate":{"buildDefinition":{` +
		`"buildType":"https://github.com/export-profile/export-profile/blob/main/profile/attestation/README.md#image-v1",` +
		`"externalParameters":{"bare":true,"entrypoint":["hello"],"user":"app:1000"},"resolvedDependencies":[` +
		`{"name":"base image","digest":{"sha256":"2222222222222222222222222222222222222222222222222222222222222222"},"mediaType":"application/vnd.oci.image.manifest.v1+json"},` +
		`{"name":"/nix/store/6821dyl8slsfcylbd6mxghxdqg9f36w9-libhello-1.0","digest":{"sha256":"abababababababababababababababababababababababababababababababab"},` +
		`"mediaType":"application/x-nix-nar","annotations":{"narSize":1840,"references":["6821dyl8slsfcylbd6mxghxdqg9f36w9-libhello-1.0"],"signatures":["cache.example.com-1:c2ln"]}},` +
		`{"name":"/nix/store/fiznc08nhj31nrsb1f2aa5f9syzps0gl-hello-1.0","digest":{"sha256":"cdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd"},` +
		`"mediaType":"application/x-nix-nar","annotations":{"narSize":10864,"references":["6821dyl8slsfcylbd6mxghxdqg9f36w9-libhello-1.0","fiznc08nhj31nrsb1f2aa5f9syzps0gl-hello-1.0"]}}]},` +
		`"runDetails":{"builder":{"id":"https://github.com/export-profile/export-profile"},"metadata":{"finishedOn":"2024-02-29T12:00:00Z"}}}}`
	if d := cmp.Diff(want, string(payload(t, statement(t)))); d != "" {
		t.Errorf("Payload (-want +got):\n%s", d)
	}
}

// statements has one of each kind.
func statements(t testing.TB) []*Statement {
	changed := statement(t)
	changed.Kind, changed.Parameters, changed.Finished, changed.Base, changed.BaseType = OfContents, nil, time.Time{}, "", ""
	changed.Paths[1] = Path{Path: helloPath, Changed: true}
	index := &Statement{Kind: OfIndex, Name: "hello-1.0", Subject: "sha256:" + strings.Repeat("33", 32), Parts: []Part{
		{Digest: "sha256:" + strings.Repeat("11", 32), MediaType: "application/vnd.oci.image.manifest.v1+json", Platform: "linux/amd64"},
		{Digest: "sha256:" + strings.Repeat("44", 32), MediaType: "application/vnd.oci.image.manifest.v1+json"},
	}}
	return []*Statement{statement(t), changed, index}
}

func TestParseStatement(t *testing.T) {
	for _, want := range statements(t) {
		got, err := ParseStatement(payload(t, want))
		if d := cmp.Diff(want, got); d != "" || err != nil {
			t.Errorf("ParseStatement of a statement %s: %v (-want +got):\n%s", want.Kind, err, d)
		}
	}
}

func TestParseStatementRefuses(t *testing.T) {
	for _, tt := range []struct{ old, new, want string }{
		{`"_type":"https://in-toto.io/Statement/v1"`, `"_type":"https://in-toto.io/Statement/v0.1"`, "not written as"},
		{`"_type"`, `"_TYPE"`, "not written as"},
		{`"subject":[{`, `"subject":[{},{`, "2 subjects"},
		{`"sha256":"1111`, `"sha256":"111`, "subject: digest"},
		{`"sha256":"1111`, `"sha512":"1111`, "subject: digest"},
		{`"sha256":"abab`, `"sha256":"ABab`, "not written as"},
		{`"sha256":"abab`, `"sha1":"","sha256":"abab`, "not written as"},
		{`"narSize":1840`, `"narSize":-1`, "a NAR of -1 bytes"},
		{`"narSize":1840`, `"narSize":1e3`, "cannot unmarshal"},
		{`"narSize":1840`, `"narSize":1840,"narSize":1840`, "not written as"},
		{`"narSize":1840`, `"narSize":1840,"changed":true`, "changed on purpose"},
		{`"narSize":1840`, `"narSize":1840,"more":1`, `unknown field "more"`},
		{`"narSize":1840`, `"narSize": 1840`, "not written as"},
		{`"/nix/store/6821d`, `"/nix/store/zz21d`, "out of order"},
		{`"/nix/store/6821d`, `"/gnu/store/6821d`, "in another store directory than /gnu/store"},
		{`["6821dyl8slsfcylbd6mxghxdqg9f36w9-libhello-1.0","fiznc`, `["zz21dyl8slsfcylbd6mxghxdqg9f36w9-libhello-1.0","fiznc`, "references out of order"},
		{`["cache.example.com-1:c2ln"]`, `["b:","a:"]`, "signatures out of order"},
		{`["cache.example.com-1:c2ln"]`, `[]`, "not written as"},
		{`image-v1`, `image-v2`, "unknown"},
		{`image-v1`, `index-v1`, "no store paths"},
		{`"finishedOn":"2024-02-29T12:00:00Z"`, `"finishedOn":"2024-02-30T12:00:00Z"`, "finishedOn"},
		{`"finishedOn":"2024-02-29T12:00:00Z"`, `"finishedOn":"2024-02-29T12:00:00.5Z"`, "not written as"},
		{`"builder":{"id":"https://github.com/export-profile/export-profile"}`, `"builder":{"id":"x"}`, "not written as"},
		{`}}}}`, `}}}}{}`, "after top-level value"},
		{`}}}}`, `}}}`, "unexpected end"},
	} {
		b := bytes.Replace(payload(t, statement(t)), []byte(tt.old), []byte(tt.new), 1)
		if bytes.Equal(b, payload(t, statement(t))) {
			t.Fatalf("%s is not in the statement", tt.old)
		}
		if s, err := ParseStatement(b); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("ParseStatement with %s for %s = %v, %v; want an error with %q", tt.new, tt.old, s != nil, err, tt.want)
		}
	}
}

func TestForeignStatement(t *testing.T) {
	for _, b := range []string{
		`{}`, `[]`, `{"predicateType":7}`, `{"predicateType":"https://spdx.dev/Document","predicate":[]}`,
		`{"predicateType":"https://slsa.dev/provenance/v1","predicate":{"buildDefinition":{"buildType":"https://example.com"}}}`,
	} {
		if _, err := ParseStatement([]byte(b)); !errors.Is(err, ErrForeign) {
			t.Errorf("ParseStatement(%s): %v; want ErrForeign", b, err)
		}
	}
}

func FuzzParseStatement(f *testing.F) {
	for _, s := range statements(f) {
		f.Add(payload(f, s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := ParseStatement(b)
		if err != nil {
			return
		}
		again, err := s.Payload()
		if err != nil || !bytes.Equal(again, b) {
			t.Errorf("ParseStatement accepts %q, but Payload writes %q, %v", b, again, err)
		}
	})
}
