package registry

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	ispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// tagArtifact stores a manifest of an artifact with one content under a tag, as cosign does.
func (f *fakeRegistry) tagArtifact(t *testing.T, tag, content string) digest.Digest {
	t.Helper()
	d := descriptorOf("application/vnd.dev.cosign.simplesigning.v1+json", []byte(content))
	b, err := json.Marshal(ispec.Manifest{MediaType: ispec.MediaTypeImageManifest, Config: emptyDescriptor(), Layers: []ispec.Descriptor{d}})
	if err != nil {
		t.Fatal(err)
	}
	f.put("team/hello", d.Digest, []byte(content))
	f.put("team/hello", emptyDescriptor().Digest, []byte(emptyConfig))
	f.mu.Lock()
	defer f.mu.Unlock()
	f.manifests["team/hello"][tag], f.manifests["team/hello"][digest.FromBytes(b).String()] = b, b
	return digest.FromBytes(b)
}

// TestCarry carries what is attached to an image to another repository, of the same registry and of another one,
// with the referrers API and without it. Everything must be there byte for byte, and carrying it again must send nothing.
func TestCarry(t *testing.T) {
	for _, tt := range []struct{ fromLists, toLists, same bool }{
		{false, false, false}, {true, false, false}, {false, true, false}, {true, true, false}, {true, true, true}, {false, false, true},
	} {
		f := newFake(t)
		f.lists = tt.fromLists
		to := f
		if !tt.same {
			to = newFake(t)
			to.lists = tt.toLists
		}
		c := client(t, Options{})
		subject, documents := attachedTo(t, c, f, append(someDocuments(2), Attachment{MediaType: "application/spdx+json", Content: []byte("{}\n")})...)
		p, err := c.Push(t.Context(), f.at("team/hello"), nil)
		if err != nil {
			t.Fatal(err)
		}
		signature, err := p.Attach(t.Context(), descriptorOf(ispec.MediaTypeImageManifest, f.manifest("team/hello", documents[0].String())),
			Attachment{MediaType: bundleType, Content: []byte("a signature of a document")})
		if err != nil {
			t.Fatal(err)
		}
		tag := referrersTag(subject) + ".sig"
		tagged := f.tagArtifact(t, tag, "a signature")
		want := append(slices.Clone(documents), signature.Digest, tagged)

		mustPush(t, c, to.at("other/hello:v1"), nil, image(t, nil, "gzip", part("a", 1, 1<<10)))
		push, err := c.Push(t.Context(), to.at("other/hello"), nil)
		if err != nil {
			t.Fatal(err)
		}
		from := referrersIn(t, c, f)
		carry := func(want []digest.Digest) {
			t.Helper()
			all, err := push.Carry(t.Context(), from, subject)
			var got []digest.Digest
			for _, a := range all {
				if got = append(got, a.Digest); a.Err != nil {
					t.Errorf("%+v: %s: %v", tt, a.Digest, a.Err)
				}
				if b := to.manifest("other/hello", a.Digest.String()); digest.FromBytes(b) != a.Digest {
					t.Errorf("%+v: the destination has %q for %s", tt, b, a.Digest)
				}
			}
			if err != nil || !slices.Equal(got, want) {
				t.Errorf("%+v: Carry = %v, %v; want %v", tt, got, err, want)
			}
		}
		carry(want)
		for d, b := range to.all("other/hello") {
			if digest.FromBytes(b) != d {
				t.Errorf("%+v: blob %s is %q", tt, d, b)
			}
		}
		if got := to.tag("other/hello", tag); got != tagged {
			t.Errorf("%+v: cosign's tag leads to %q; want %s", tt, got, tagged)
		}
		there, err := c.Referrers(t.Context(), to.at("other/hello"))
		if err != nil {
			t.Fatal(err)
		}
		if listed, err := there.List(t.Context(), subject); err != nil || !slices.Equal(digestsOf(listed), documents) {
			t.Errorf("%+v: the destination lists %v, %v; want %v", tt, digestsOf(listed), err, documents)
		}
		if listed, err := there.List(t.Context(), documents[0]); err != nil || len(listed) != 1 || listed[0].Digest != signature.Digest {
			t.Errorf("%+v: the destination lists %v, %v of a document; want its signature", tt, listed, err)
		}
		to.forget()
		carry(want)
		if n := to.count("PUT /v2/other/hello/blobs/"); n != 0 {
			t.Errorf("%+v: carrying again sends %d blobs", tt, n)
		}
		// Within one repository there is nothing to carry.
		f.forget()
		if all, err := p.Carry(t.Context(), from, subject); all != nil || err != nil || len(f.requests) != 0 {
			t.Errorf("%+v: Carry in one repository = %v, %v, after %q", tt, all, err, f.requests)
		}
	}
}

// TestCarryRefused checks what does not come along, and why: what the source lost or lies about, what the destination refuses,
// and another signature under the same tag. Temporary failures end it.
func TestCarryRefused(t *testing.T) {
	for _, tt := range []struct {
		name     string
		from, to func(*fakeRegistry)
		err      string // of Carry
		broken   string // of each document
		tag      string // of cosign's tag
	}{
		{name: "nothing"},
		{name: "the source has lost the contents", from: refusing("GET */blobs/*", 404, "BLOB_UNKNOWN"), broken: "404", tag: "404"},
		{name: "the source sends other contents", from: func(f *fakeRegistry) {
			f.fault = matching("GET */blobs/*", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("{9}")) })
		}, broken: "status 400", tag: "status 400"},
		{name: "the source refuses to list", from: refusing("GET */referrers/*", 403, "DENIED"), err: "403"},
		{name: "the source is down", from: refusing("GET */blobs/*", 503, ""), err: "503"},
		{name: "the destination refuses artifacts", to: refusing("PUT */manifests/*", 415, ""), broken: "attach * status 415", tag: "415"},
		{name: "the destination denies blobs", to: refusing("POST *", 403, "DENIED"), broken: "403", tag: "403"},
		{name: "the destination is down", to: refusing("PUT */manifests/*", 503, ""), err: "503"},
		{name: "the destination has another signature", to: func(f *fakeRegistry) {
			f.fault = matching("GET */manifests/*.sig", func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", ispec.MediaTypeImageManifest)
				_, _ = w.Write([]byte("{}"))
			})
		}, tag: "leads to sha256:44"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			f, to := newFake(t), newFake(t)
			f.lists = true
			c := client(t, Options{})
			subject, documents := attachedTo(t, c, f, someDocuments(2)...)
			f.tagArtifact(t, referrersTag(subject)+".sig", "{s}")
			for fake, set := range map[*fakeRegistry]func(*fakeRegistry){f: tt.from, to: tt.to} {
				if set != nil {
					fake.mu.Lock()
					set(fake)
					fake.mu.Unlock()
				}
			}
			p, err := c.Push(t.Context(), to.at("team/hello"), nil)
			if err != nil {
				t.Fatal(err)
			}
			all, err := p.Carry(t.Context(), referrersIn(t, c, f), subject)
			wantError(t, "Carry", err, tt.err)
			if tt.err != "" {
				return
			}
			if len(all) != len(documents)+1 {
				t.Fatalf("Carry = %v; want two documents and a tag", all)
			}
			for _, a := range all {
				want := tt.broken
				if a.Tag != "" {
					want = tt.tag
				}
				wantError(t, a.Digest.String(), a.Err, want)
			}
		})
	}
}

// TestCarryBounds checks artifacts whose contents are too large or have no digest.
func TestCarryBounds(t *testing.T) {
	f, to := newFake(t), newFake(t)
	f.lists = true
	c := client(t, Options{})
	subject, _ := attachedTo(t, c, f)
	for _, d := range []ispec.Descriptor{{Digest: zeros, Size: 2 << 30}, {Digest: zeros, Size: -1}, {Digest: "sha256:../x", Size: 1}} {
		b, err := json.Marshal(ispec.Manifest{MediaType: ispec.MediaTypeImageManifest, Config: emptyDescriptor(), Layers: []ispec.Descriptor{d},
			Subject: &ispec.Descriptor{MediaType: ispec.MediaTypeImageManifest, Digest: subject}})
		if err != nil {
			t.Fatal(err)
		}
		f.manifests["team/hello"][digest.FromBytes(b).String()] = b
	}
	p, err := c.Push(t.Context(), to.at("team/hello"), nil)
	if err != nil {
		t.Fatal(err)
	}
	all, err := p.Carry(t.Context(), referrersIn(t, c, f), subject)
	if err != nil || len(all) != 3 || to.count("POST") != 0 {
		t.Errorf("Carry = %v, %v, after %q; want three that stay, and no upload", all, err, to.requests)
	}
	for _, a := range all {
		if a.Err == nil || !strings.Contains(a.Err.Error(), "more than 1 GiB") && !strings.Contains(a.Err.Error(), "digest") {
			t.Errorf("%s: %v", a.Digest, a.Err)
		}
	}
}
