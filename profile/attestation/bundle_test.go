package attestation

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"
)

// signers are the secret keys of testdata/keys.txtar with which these tests sign.
var signers = []string{"ec.pem", "ed.pem", "nix.sec"}

// signedBundle signs a payload with a key of testdata/keys.txtar.
func signedBundle(t testing.TB, key, payload string) (*SecretKey, []byte) {
	t.Helper()
	k := parseSecret(t, testKeys(t)[key])
	b, err := k.Sign([]byte(payload))
	if err != nil {
		t.Fatal(err)
	}
	return k, b
}

// verified reads a bundle and verifies it.
func verified(b []byte, keys Keys) (*Bundle, error) {
	bundle, err := ReadBundle(b)
	if err != nil {
		return nil, err
	}
	_, err = bundle.Verify(keys)
	return bundle, err
}

// TestSign pins the bytes of bundles, which are the same every time.
func TestSign(t *testing.T) {
	want := map[string]string{
		"ec.pem": `{"mediaType":"application/vnd.dev.sigstore.bundle.v0.3+json","verificationMaterial":{"publicKey":{"hint":"` + ecID + `"}},` +
			`"dsseEnvelope":{"payload":"e30=","payloadType":"application/vnd.in-toto+json","signatures":[{"sig":` +
			`"MEUCIDgwkw8yMES7Rxrr53G7uzKN5Rfu1cvDPRArNCIdlY/lAiEAug5V+H+tl0tEVFCq/EOnrUew5qoV+LN9K36HCb7PgBE="}]}}`,
		"ed.pem": `{"mediaType":"application/vnd.dev.sigstore.bundle.v0.3+json","verificationMaterial":{"publicKey":{"hint":"` + edID + `"}},` +
			`"dsseEnvelope":{"payload":"e30=","payloadType":"application/vnd.in-toto+json","signatures":[{"sig":` +
			`"GuqBwbzG4OYLOjrW3CbbgpXBhpLJR3D5twrFdnnoULaYmZJeNIB1vlfBQQQs+XD3OPcW5X4kQTg5Y26g+gGCAg=="}]}}`,
		"nix.sec": `{"mediaType":"application/vnd.dev.sigstore.bundle.v0.3+json","verificationMaterial":{"publicKey":{"hint":"` + nixID + `"}},` +
			`"dsseEnvelope":{"payload":"e30=","payloadType":"application/vnd.in-toto+json","signatures":[{"sig":` +
			`"c/oKrqH2/DaBSQhPK3qFOwM09w9ntUm2HcvJA51+NYFrI7QxO8xNeQSidpdejdipG4vji+jXZGUSb5ke4aGbAg=="}]}}`,
	}
	for _, name := range signers {
		k, got := signedBundle(t, name, "{}")
		if diff := cmp.Diff(want[name], string(got)); diff != "" {
			t.Errorf("Sign with %s (-want +got):\n%s", name, diff)
		}
		b, err := ReadBundle(got)
		if err != nil {
			t.Errorf("ReadBundle(%s) = %v", got, err)
			continue
		}
		if string(b.Payload) != "{}" || b.PayloadType != PayloadType || b.KeyHint != k.Public().ID() || b.ByCertificate {
			t.Errorf("ReadBundle(%s) = %+v", got, b)
		}
		if by, err := b.Verify(Keys{k.Public()}); err != nil || by.ID() != k.Public().ID() {
			t.Errorf("Verify = %v, %v; want key %s", by, err, k.Public().ID())
		}
	}
}

// TestUnusualNames checks that the name of a Nix key is in the bundle as it is.
func TestUnusualNames(t *testing.T) {
	text := string(testKeys(t)["nix.sec"])
	for _, name := range []string{"<&>", `"\`, "ключ", "a/b", "#", "-"} {
		k := parseSecret(t, []byte(strings.Replace(text, "example.com-1", name, 1)))
		signed, err := k.Sign([]byte("{}"))
		if err != nil {
			t.Fatal(err)
		}
		b, err := verified(signed, Keys{k.Public()})
		if err != nil || !strings.HasPrefix(b.KeyHint, name+":") || bytes.ContainsAny(signed, "\n\r") {
			t.Errorf("bundle of key %q: %+v, %v; %s", name, b, err, signed)
		}
	}
	for _, name := range []string{"a\u202eb", "a\xffb", "a\x00b", "\u00a0"} {
		if k, err := ParseSecretKey([]byte(strings.Replace(text, "example.com-1", name, 1)), nil); err == nil {
			t.Errorf("ParseSecretKey accepts the name %q: %s", name, k.Public().ID())
		}
	}
}

// TestOtherBundles reads what cosign has written, and checks it with the public keys that cosign has written.
func TestOtherBundles(t *testing.T) {
	a, err := txtar.ParseFile("testdata/bundles.txtar")
	if err != nil {
		t.Fatal(err)
	}
	files := testKeys(t)
	ecdsa, err := ParseKeys(files["cosign2.pub"])
	if err != nil {
		t.Fatal(err)
	}
	ed25519, err := ParseKeys(files["ed.pub"])
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range a.Files {
		b, err := ReadBundle(f.Data)
		if f.Name == "signature.json" {
			if err == nil || err.Error() != "read bundle: it signs a file and has no DSSE envelope" {
				t.Errorf("ReadBundle(%s) = %v, %v", f.Name, b, err)
			}
			continue
		}
		if err != nil {
			t.Errorf("ReadBundle(%s) = %v", f.Name, err)
			continue
		}
		key, other := ecdsa, ed25519
		if strings.Contains(f.Name, "ed25519") {
			key, other = other, key
		}
		if _, err := b.Verify(key); err != nil {
			t.Errorf("Verify of %s = %v", f.Name, err)
		}
		if _, err := b.Verify(other); err == nil {
			t.Errorf("Verify of %s with another key = <nil>", f.Name)
		}
		want := Summary{"https://slsa.dev/provenance/v1", []string{fmt.Sprintf("sha256:%x", sha256.Sum256([]byte("hello manifest")))}, key[0].ID(), false}
		got, err := b.Peek()
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("Peek of %s: %v (-want +got):\n%s", f.Name, err, diff)
		}
	}
}

// rewritten are bundles that say the same as that of TestSign by ec.pem: %[1]s is its signature, %[2]s its hint.
var rewritten = []string{
	// as protocol buffers write JSON, with spaces and null
	` { "mediaType": "application/vnd.dev.sigstore.bundle+json;version=0.3", "verificationMaterial": {"publicKey": {"hint": %[2]q}, "x509CertificateChain": null, "tlogEntries": [], "timestampVerificationData": null}, "messageSignature": null,
	"dsseEnvelope": {"signatures": [{"keyid": "", "sig": %[1]q}], "payload": "e30=", "payloadType": "application/vnd.in-toto+json"}}` + "\n",
	`{"mediaType":"application/vnd.dev.sigstore.bundle+json;version=0.3","verificationMaterial":{"publicKey":{}},"dsseEnvelope":{"payload":"e30=","payloadType":"application/vnd.in-toto+json","signatures":[{"sig":%[1]q}]}}`,
	`{"mediaType":"application/vnd.dev.sigstore.bundle.v0.3+json","verificationMaterial":{"publicKey":{"hint":""},
	"tlogEntries":[{"logIndex":"18300934","inclusionProof":{"hashes":["AAAA"]}}],"timestampVerificationData":{"rfc3161Timestamps":[{"signedTimestamp":"AAAA"}]}},
	"dsseEnvelope":{"payload":"e30=","payloadType":"application/vnd.in-toto+json","signatures":[{"sig":%[1]q,"keyid":"any"}]}}`,
	`{"\u006dediaType":"application\/vnd.dev.sigstore.bundle.v0.3+json","verificationMaterial":{"publicKey":{"hint":%[2]q}},"dsseEnvelope":{"payload":"e30\u003d","payloadType":"application/vnd.in-toto+json","signatures":[{"sig":%[1]q}]}}`,
}

// signatureOf returns the signature of a bundle in base 64.
func signatureOf(t testing.TB, bundle []byte) string {
	t.Helper()
	_, after, _ := bytes.Cut(bundle, []byte(`"sig":"`))
	sig, _, ok := bytes.Cut(after, []byte(`"`))
	if !ok {
		t.Fatalf("no signature in %s", bundle)
	}
	return string(sig)
}

func TestRewrittenBundles(t *testing.T) {
	k, signed := signedBundle(t, "ec.pem", "{}")
	for _, format := range rewritten {
		text := fmt.Sprintf(format, signatureOf(t, signed), ecID)
		if b, err := verified([]byte(text), Keys{k.Public()}); err != nil || string(b.Payload) != "{}" {
			t.Errorf("ReadBundle and Verify of %s = %v, %v", text, b, err)
		}
	}
}

// TestBundlesRefused changes one thing in a bundle.
func TestBundlesRefused(t *testing.T) {
	k, signed := signedBundle(t, "ec.pem", "{}")
	sig := signatureOf(t, signed)
	for _, test := range []struct{ old, new, err string }{
		{string(signed), "", "read bundle: not a JSON object"},
		{string(signed), "[]", "read bundle: not a JSON object"},
		{string(signed), string(signed) + string(signed), "read bundle: there is text after the JSON object"},
		{`"mediaType":"application/vnd.dev.sigstore.bundle.v0.3+json",`, ``, `read bundle: "mediaType" is missing`},
		{`"application/vnd.dev.sigstore.bundle.v0.3+json"`, `3`, `read bundle: "mediaType" is not a string`},
		{`bundle.v0.3+json`, `bundle.v0.4+json`, `read bundle: media type "application/vnd.dev.sigstore.bundle.v0.4+json" is not supported`},
		{`bundle.v0.3+json`, `bundle+json;version=1`, `read bundle: media type "application/vnd.dev.sigstore.bundle+json;version=1" is not supported`},
		{`"mediaType"`, `"MediaType"`, `read bundle: key "MediaType" is not known`},
		{`"mediaType"`, `"media_type"`, `read bundle: key "media_type" is not known`},
		{`{"mediaType"`, `{"new":1,"mediaType"`, `read bundle: key "new" is not known`},
		{`"dsseEnvelope":{`, `"dsseEnvelope":null,"dsseEnvelope":{`, `read bundle: key "dsseEnvelope" occurs twice`},
		{`"dsseEnvelope":{`, `"DsseEnvelope":{`, `read bundle: key "DsseEnvelope" is not known`},
		{`"dsseEnvelope":{`, `"messageSignature":{},"dsseEnvelope":{`, `read bundle: it signs a file and has no DSSE envelope`},
		{`"dsseEnvelope":`, `"messageSignature":`, `read bundle: it signs a file and has no DSSE envelope`},
		{`"verificationMaterial":{"publicKey":{"hint":"` + ecID + `"}},`, ``, `read bundle: verification material: not a JSON object`},
		{`"publicKey":{"hint":"` + ecID + `"}`, ``, `read bundle: verification material: it names no key or certificate, or several`},
		{`{"publicKey":`, `{"certificate":{},"publicKey":`, `read bundle: verification material: it names no key or certificate, or several`},
		{`{"publicKey":`, `{"new":{},"publicKey":`, `read bundle: verification material: key "new" is not known`},
		{`{"hint":"` + ecID + `"}`, `[]`, `read bundle: verification material: public key: not a JSON object`},
		{`{"hint":"` + ecID + `"}`, `{"hint":1}`, `read bundle: verification material: "hint" is not a string`},
		{`{"hint":`, `{"rawBytes":"","hint":`, `read bundle: verification material: public key: key "rawBytes" is not known`},
		{`"payload":"e30="`, `"Payload":"e30="`, `read bundle: DSSE envelope: key "Payload" is not known`},
		{`"payload":"e30="`, `"payload":"e30=","Payload":"e30="`, `read bundle: DSSE envelope: key "Payload" occurs twice`},
		{`"payload":"e30="`, `"payload":"e30=","payload":"e30="`, `read bundle: DSSE envelope: key "payload" occurs twice`},
		{`"payload":"e30=",`, ``, `read bundle: DSSE envelope: "payload" is missing`},
		{`"payload":"e30="`, `"payload":{}`, `read bundle: DSSE envelope: "payload" is not a string`},
		{`e30=`, `e30`, `read bundle: DSSE envelope: "payload" is not in base 64`},
		{`e30=`, `e31=`, `read bundle: DSSE envelope: "payload" is not in base 64`}, // spare bits
		{`e30=`, `e3\n0=`, `read bundle: DSSE envelope: "payload" is not in base 64`},
		{`"payloadType":"application/vnd.in-toto+json",`, ``, `read bundle: DSSE envelope: "payloadType" is missing`},
		{`"signatures":[`, `"signatures":[{"sig":""},`, `read bundle: DSSE envelope: it has 2 signatures, not one`},
		{`[{"sig":"` + sig + `"}]`, `[]`, `read bundle: DSSE envelope: it has 0 signatures, not one`},
		{`[{"sig":"` + sig + `"}]`, `{"sig":"` + sig + `"}`, `read bundle: DSSE envelope: "signatures" is not a list`},
		{`,"signatures":[{"sig":"` + sig + `"}]`, ``, `read bundle: DSSE envelope: "signatures" is not a list`},
		{`{"sig":`, `{"SIG":`, `read bundle: DSSE envelope: signature: key "SIG" is not known`},
		{`{"sig":`, `{"keyid":1,"sig":`, `read bundle: DSSE envelope: signature: "keyid" is not a string`},
		{`{"sig":`, `{"cert":"","sig":`, `read bundle: DSSE envelope: signature: key "cert" is not known`},
		{sig, strings.TrimRight(sig, "="), `read bundle: DSSE envelope: "sig" is not in base 64`},
		{sig, "", `signature: key "` + ecID + `" did not make it`},
		{`e30=`, `e30gIA==`, `signature: key "` + ecID + `" did not make it`},
		{`vnd.in-toto+json`, `vnd.in-totO+json`, `signature: the payload has type "application/vnd.in-totO+json", not "application/vnd.in-toto+json"`},
		{ecID, edID, `signature: key "` + ecID + `" made it, but the bundle names key "` + edID + `"`},
		{`{"publicKey":{"hint":"` + ecID + `"}}`, `{"certificate":{"rawBytes":"AAAA"}}`, `signature: it is by a certificate, not by a key`},
		{`{"publicKey":{"hint":"` + ecID + `"}}`, `{"x509CertificateChain":{"certificates":[{"rawBytes":"AAAA"}]}}`, `signature: it is by a certificate, not by a key`},
	} {
		changed := strings.Replace(string(signed), test.old, test.new, 1)
		if changed == string(signed) {
			t.Errorf("%q is not in the bundle", test.old)
		}
		if b, err := verified([]byte(changed), Keys{k.Public()}); err == nil || err.Error() != test.err {
			t.Errorf("ReadBundle and Verify with %q for %q = %v, %v; want %q", test.new, test.old, b, err, test.err)
		}
	}
}

func TestIsMediaType(t *testing.T) {
	for mediaType, want := range map[string]bool{
		MediaType: true,
		"application/vnd.dev.sigstore.bundle+json;version=0.1": false,
		"application/vnd.dev.sigstore.bundle+json;version=0.3": true,
		"application/vnd.dev.sigstore.bundle.v0.2+json":        false,
		"application/vnd.dev.sigstore.bundle.v0.4+json":        false,
		"application/vnd.dev.sigstore.bundle.v0.3":             false,
		"application/vnd.dev.sigstore.bundle0.3+json":          false,
		"application/vnd.dev.sigstore.bundle+json":             false,
		"application/vnd.dev.sigstore.bundle.v0.3+json ":       false,
		"0.3": false,
		"":    false,
	} {
		if got := IsMediaType(mediaType); got != want {
			t.Errorf("IsMediaType(%q) = %t; want %t", mediaType, got, want)
		}
	}
}

func TestBundleLines(t *testing.T) {
	for _, test := range []struct {
		text  string
		lines []string
		err   string
	}{
		{"", nil, ""},
		{"\n \r\n", nil, ""},
		{"a", []string{"1 a"}, ""},
		{"a\nb\n", []string{"1 a", "2 b"}, ""},
		{"\na\r\n\n b", []string{"2 a", "4 b"}, ""},
		{"a\nstop\nb\n", []string{"1 a"}, "line 2: stopped"},
	} {
		var lines []string
		err := bundleLines(strings.NewReader(test.text), func(n int, line []byte) error {
			if string(line) == "stop" {
				return errors.New("stopped")
			}
			lines = append(lines, fmt.Sprintf("%d %s", n, line))
			return nil
		})
		if d := cmp.Diff(test.lines, lines); d != "" {
			t.Errorf("bundleLines(%q) (-want +got):\n%s", test.text, d)
		}
		if (err == nil) != (test.err == "") || err != nil && err.Error() != test.err {
			t.Errorf("bundleLines(%q) = %v; want %q", test.text, err, test.err)
		}
	}
}

// TestBundleLinesBounded checks that endless files end.
func TestBundleLinesBounded(t *testing.T) {
	none := func(int, []byte) error { return errors.New("a line is not blank") }
	for name, test := range map[string]struct{ text, err string }{
		"lines":    {strings.Repeat(" ", 1<<20-1) + "\n", fmt.Sprintf("more than %d bytes: %v", maxBundles, ErrTooMany)},
		"one line": {strings.Repeat(" ", 1<<20), fmt.Sprintf("line 1: it has more than %d bytes", MaxBundle)},
	} {
		if err := bundleLines(&endless{text: test.text}, none); err == nil || err.Error() != test.err {
			t.Errorf("bundleLines of endless %s = %v; want %q", name, err, test.err)
		}
	}
	broken := io.MultiReader(strings.NewReader("\n"), &failing{})
	if err := bundleLines(broken, none); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("bundleLines of a file that cannot be read = %v; want %v", err, io.ErrUnexpectedEOF)
	}
}

// endless repeats a text.
type endless struct {
	text string
	at   int
}

func (e *endless) Read(p []byte) (int, error) {
	n := copy(p, e.text[e.at:])
	e.at = (e.at + n) % len(e.text)
	return n, nil
}

// failing cannot be read.
type failing struct{}

func (*failing) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

func FuzzReadBundle(f *testing.F) {
	k, signed := signedBundle(f, "ec.pem", `{"predicateType":"p","subject":[]}`)
	f.Add(signed)
	f.Add(append(append(bytes.Clone(signed), '\n'), signed...))
	a, err := txtar.ParseFile("testdata/bundles.txtar")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range a.Files {
		f.Add(file.Data)
	}
	for _, format := range rewritten {
		f.Add(fmt.Appendf(nil, format, signatureOf(f, signed), ecID))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		_ = bundleLines(bytes.NewReader(text), func(_ int, line []byte) error {
			b, err := ReadBundle(line)
			if err != nil {
				return nil
			}
			_, _ = b.Peek()
			if _, err := b.Verify(Keys{k.Public()}); err == nil && string(b.Payload) != `{"predicateType":"p","subject":[]}` {
				t.Errorf("Verify(%q) = <nil> for payload %q", line, b.Payload)
			}
			return nil
		})
	})
}
