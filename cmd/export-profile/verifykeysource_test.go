package main

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"

	"github.com/export-profile/export-profile/profile/attestation"
)

// runAll is run with what it prints.
func runAll(t *testing.T, args ...string) (out, stderr string, status int) {
	t.Helper()
	var o, e bytes.Buffer
	status = run(t.Context(), args, terminal{out: &o, err: &e})
	return o.String(), e.String(), status
}

// keyFiles writes a secret key and its public key, made of a seed.
func keyFiles(t *testing.T, seed byte) (secret, public string) {
	t.Helper()
	_, text := seededKey(t, seed)
	dir := t.TempDir()
	secret, public = filepath.Join(dir, "key.pem"), filepath.Join(dir, "key.pub")
	for name, b := range map[string][]byte{secret: seededPEM(t, seed), public: text} {
		if err := os.WriteFile(name, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return secret, public
}

// TestVerifyStatementsInRegistry checks that statements come from what is attached to an image, and that what other keys sign changes nothing.
func TestVerifyStatementsInRegistry(t *testing.T) {
	reg, address := newFakeRegistry(t)
	t.Setenv("HOME", t.TempDir())
	sample, nixKey := attestedSample(t)
	secret, public := keyFiles(t, 1)
	otherSecret, otherPublic := keyFiles(t, 2)
	at := "docker://" + address + "/team/app"
	image := func(dest string, flags ...string) {
		t.Helper()
		if _, stderr, status := runAll(t, append([]string{"image", "--no-cache", "--platform", "linux/amd64", "--no-check-sigs", "--from", sample.WriteCache(t, "none"),
			"--profile", string(sample.Root), dest}, flags...)...); status != 0 {
			t.Fatal(stderr)
		}
	}
	attach := func(key string) { t.Helper(); image(at+":v1", "--attest", key) }
	image(at + "-copy:v1")
	attach(secret)
	expect := func(status int, want string, args ...string) string {
		t.Helper()
		out, stderr, got := runAll(t, append([]string{"verify"}, args...)...)
		if got != status || !strings.Contains(out+stderr, want) {
			t.Fatalf("verify %q exits with %d and says %s%s\nwant %d and %s", args, got, out, stderr, status, want)
		}
		return out
	}
	d := strings.TrimSpace(expect(0, "3 store paths, all accounted for", "--key", public, at+":v1"))
	expect(3, "hint: skopeo copies no attestations: oras cp -r copies an image with them; the holder of the secret key makes one", "--key", public, at+"-copy:v1")
	key, _ := seededKey(t, 1)
	expect(0, ", signed by "+key.Public().ID()+", sha256:", "--key", public, at+":v1")
	expect(0, ", which names key ", at+":v1")
	expect(0, "3 store paths, all accounted for; 3 signed by "+nixKey, "--key", public, "--require-signed-by", nixKey, at+"@"+d)
	expect(3, `found: 1 by key "`, "--key", otherPublic, at+":v1")
	expect(3, "hint: is the right key given? If it is, its holder makes the statement: export-profile attest --key KEY "+at, "--key", otherPublic, at+":v1")
	expect(1, "read attestations: open gone", "--key", public, "--attestation-file", "gone", at+":v1")

	var result struct{ Statements []statementResult }
	if err := json.Unmarshal([]byte(expect(0, "", "--json", "--key", otherPublic, "--key", public, "--require-signed-by", nixKey, at+":v1")), &result); err != nil {
		t.Fatal(err)
	}
	want := []statementResult{{Subject: d, Kind: string(attestation.OfBuild), Key: key.Public().ID(), Paths: 3, SignedBy: map[string]int{nixKey: 3}}}
	if len(result.Statements) == 1 {
		want[0].From = result.Statements[0].From
	}
	if diff := cmp.Diff(want, result.Statements); diff != "" || digest.Digest(want[0].From).Validate() != nil {
		t.Errorf("verify --json has the statements (-want +got):\n%s", diff)
	}

	attach(otherSecret)
	expect(0, "note: skipped 1 attestation by other keys", "--key", public, at+":v1")
	expect(0, "", "--key", otherPublic, at+":v1")

	if _, stderr, status := runAll(t, "attest", "--key", secret, at+":v1"); status != 0 {
		t.Fatal(stderr)
	}
	expect(3, "a source that has them: export-profile attest --key KEY --from https://cache.example.com "+at+":v1; the one without stays wrong until the registry deletes it: sha256:",
		"--key", public, "--require-signed-by", nixKey, at+":v1")

	reg.mu.Lock()
	reg.fault = func(w http.ResponseWriter, r *http.Request) bool {
		refused := strings.Contains(r.URL.Path, "/referrers/") || strings.Contains(r.URL.Path, "/manifests/sha256-")
		if refused {
			w.WriteHeader(http.StatusForbidden)
		}
		return refused
	}
	reg.mu.Unlock()
	if out := expect(1, "list what is attached to ", "--key", public, at+":v1"); out != "" {
		t.Errorf("verify without a verdict prints %q", out)
	}
}

// TestVerifyKeyOfArchives checks where the statements about archives come from, and that an image in Docker's form alone has none.
func TestVerifyKeyOfArchives(t *testing.T) {
	sample, _ := attestedSample(t)
	secret, public := keyFiles(t, 1)
	dir := t.TempDir()
	for _, transport := range []string{"oci-archive", "docker-archive"} {
		name := filepath.Join(dir, transport+".tar")
		if _, stderr, status := runAll(t, "image", "--no-cache", "--platform", "linux/amd64", "--no-check-sigs", "--from", sample.WriteCache(t, "none"),
			"--profile", string(sample.Root), "--attest", secret, transport+":"+name); status != 0 {
			t.Fatal(stderr)
		}
		if out, stderr, status := runAll(t, "verify", "--key", public, transport+":"+name); status != 0 || !strings.Contains(stderr, "all accounted for") {
			t.Errorf("verify %s exits with %d and says %s%s", transport, status, out, stderr)
		}
		in, err := os.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		var out, stderr bytes.Buffer
		status := run(t.Context(), []string{"verify", "--key", public, transport + ":-"}, terminal{in: in, out: &out, err: &stderr})
		in.Close()
		if want := "hint: --attestation-file names the file with the attestations; "; status != 3 || !strings.Contains(stderr.String(), want) {
			t.Errorf("verify %s:- exits with %d and says %s%s; want 3 and %s", transport, status, &out, &stderr, want)
		}
	}
	b, err := os.ReadFile(filepath.Join(dir, "docker-archive.tar"))
	if err != nil {
		t.Fatal(err)
	}
	plain := filepath.Join(dir, "plain.tar")
	if err := os.WriteFile(plain, withoutFile(t, b, "index.json"), 0o600); err != nil {
		t.Fatal(err)
	}
	out, stderr, status := runAll(t, "verify", "--key", public, "--attestation-file", filepath.Join(dir, "docker-archive.tar.intoto.jsonl"), "docker-archive:"+plain)
	if want := "has only Docker's form, without a manifest that a statement could be about"; status != 3 || !strings.Contains(out, want) {
		t.Errorf("verify of an archive without a layout exits with %d and says %s%s; want 3 and %s", status, out, stderr, want)
	}
}

// withoutFile returns a tar without one of its files.
func withoutFile(t *testing.T, archive []byte, name string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for r := tar.NewReader(bytes.NewReader(archive)); ; {
		h, err := r.Next()
		if err == io.EOF {
			break
		}
		if err == nil && h.Name != name {
			if err = w.WriteHeader(h); err == nil {
				_, err = io.Copy(w, r)
			}
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// TestVerifyKeyFlags checks how keys are given, and which are refused.
func TestVerifyKeyFlags(t *testing.T) {
	dir, sample, nixKey := attestedImage(t)
	key, public := seededKey(t, 1)
	secret, keyFile := keyFiles(t, 1)
	p := &attested{testImage: testImage{t: t, dir: dir}, sample: sample, key: key}
	p.load()
	p.state(p.statement())
	bundle, empty := filepath.Join(t.TempDir(), "bundle"), filepath.Join(t.TempDir(), "empty")
	p.must(os.WriteFile(bundle, []byte(p.lines[0]), 0o600))
	p.must(os.WriteFile(empty, []byte("# no key\n"), 0o600))
	changed, unsigned := filepath.Join(t.TempDir(), "changed"), filepath.Join(t.TempDir(), "unsigned")
	p.must(os.WriteFile(changed, []byte(strings.Replace(p.lines[0], `"payload":"`, `"payload":"e30g`, 1)), 0o600))
	p.change(func(s *attestation.Statement) {
		for i := range s.Paths {
			s.Paths[i].Signatures = nil
		}
	})
	p.must(os.WriteFile(unsigned, []byte(p.lines[1]), 0o600))
	for _, tt := range []struct {
		args   string
		stdin  string
		status int
		want   string
	}{
		{"--key " + keyFile + " --attestation-file " + bundle, "", 0, "all accounted for"},
		{"--key - --attestation-file " + bundle, string(public), 0, "all accounted for"},
		{"--attestation-file - --key " + keyFile, p.lines[0], 0, "all accounted for"},
		{"--key - --attestation-file -", "", 2, "standard input can be only one of"},
		{"--key - --key -", "", 2, "standard input can be only one of"},
		{"--attestation-file " + bundle, "", 2, "--attestation-file: want --key, too"},
		{"--allow-missing x", "", 2, "--allow-missing: want --key, too"},
		{"--require-signed-by x", "", 2, "--require-signed-by: want --key, too"},
		{"--key " + keyFile + " --allow-missing [", "", 2, `--allow-missing "[": not a name or pattern`},
		{"--key " + keyFile + " --require-signed-by " + empty, "", 2, "there is no key in it"},
		{"--key " + keyFile + " --require-signed-by x", "", 2, "--require-signed-by: public key"},
		{"--key " + keyFile + " --require-signed-by " + keyFile, "", 1, "hint: --require-signed-by wants the Nix key that signed the store paths, such as cache.nixos.org-1:"},
		{"--key " + bundle, "", 1, "public key: it is JSON, not a key\nexport-profile: hint: name the file of a public key: PEM (openssl pkey -in KEY -pubout -out key.pub), or name:base64"},
		{"--key " + empty, "", 1, "public key: there is none"},
		{"--key -", "", 1, "public key: there is none"},
		{"--key " + secret, "", 1, "public key: it is a secret key"},
		{"--key gone", "", 1, "read keys: open gone"},
		{"--key gone", "", 1, "hint: the holder of the secret key has it: "},
		{"--key " + testKey, "", 2, "--key: want the name of a file, not the key itself"},
		{"--key " + keyFile, "", 3, `hint: it belongs in "` + dir + `.intoto.jsonl"; --attestation-file names another file; skopeo copies no attestations: `},
		{"--key " + keyFile + " --attestation-file " + changed, "", 3, `names a given key, but its signature does not verify (`},
		{"--key " + keyFile + " --attestation-file " + changed, "", 3, "hint: an attestation was changed after it was signed: get its file again"},
		{"--key " + keyFile + " --require-signed-by " + nixKey + " --attestation-file " + unsigned, "", 3,
			"hint: the holder of the key makes a statement with signatures, from a source that has them: export-profile attest --key KEY --attestation-file " + unsigned + " --from https://cache.example.com oci:" + dir},
	} {
		in, err := os.CreateTemp(t.TempDir(), "")
		p.must(err)
		_, err = in.WriteString(tt.stdin)
		p.must(err)
		_, err = in.Seek(0, 0)
		p.must(err)
		var out, stderr bytes.Buffer
		args := append(append([]string{"verify"}, strings.Fields(tt.args)...), "oci:"+dir)
		if status := run(t.Context(), args, terminal{in: in, out: &out, err: &stderr}); status != tt.status || !strings.Contains(out.String()+stderr.String(), tt.want) {
			t.Errorf("verify %s exits with %d and says %s%s\nwant %d and %s", tt.args, status, &out, &stderr, tt.status, tt.want)
		}
		in.Close()
	}
}
