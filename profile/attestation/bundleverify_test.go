package attestation

import (
	"bytes"
	"encoding/base64"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/export-profile/export-profile/rootfs/testrun"
)

// TestBundleFlips checks that no bundle with a flipped bit, a byte less or a byte more verifies.
func TestBundleFlips(t *testing.T) {
	for _, name := range signers {
		k, signed := signedBundle(t, name, `{"subject":[]}`)
		keys := Keys{k.Public()}
		check := func(what string, at int, b []byte) {
			if bundle, err := verified(b, keys); err == nil {
				t.Errorf("%s: bundle with %s at %d verifies: %s, %+v", name, what, at, b, bundle)
			}
		}
		for bit := 0; bit < len(signed)*8; bit += testrun.Of(5, 1) {
			b := bytes.Clone(signed)
			b[bit/8] ^= 1 << (bit % 8)
			check("a flipped bit", bit, b)
		}
		for i := 0; i < len(signed); i += testrun.Of(3, 1) {
			check("its end", i, signed[:i])
			check("a byte removed", i, append(signed[:i:i], signed[i+1:]...))
			check("a byte twice", i, append(signed[:i+1:i+1], signed[i:]...))
		}
	}
}

// TestOtherKeys checks who may have signed.
func TestOtherKeys(t *testing.T) {
	files := testKeys(t)
	const sameName = "example.com-1:6NCHdD59X431o0gWypbMrAURkbJ16ZPMQFGspcDShjY="
	keysOf := func(texts ...string) (all Keys) {
		for _, text := range texts {
			keys, err := ParseKeys(fill(files, text))
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, keys...)
		}
		return all
	}
	k, signed := signedBundle(t, "nix.sec", "{}")
	unnamed := bytes.Replace(signed, []byte(`{"hint":"`+nixID+`"}`), []byte("{}"), 1)
	lying := bytes.Replace(signed, []byte(nixID), []byte(sameName), 1)
	retyped := bytes.Replace(signed, []byte(PayloadType), []byte("text/plain"), 1)
	other := bytes.Replace(signed, []byte(nixID), []byte(ecID), 1)
	for _, test := range []struct {
		bundle []byte
		keys   Keys
		err    *SignatureError // nil if it verifies
	}{
		{signed, keysOf("{nix.pub}"), nil},
		{signed, keysOf("{ec.pub}", "{ed.pub}", sameName, "{nix.pub}"), nil},
		{signed, keysOf("second-1"+strings.TrimPrefix(nixID, "example.com-1"), "{nix.pub}"), nil},
		{signed, keysOf(string(k.Public().PEM())), nil},
		{unnamed, keysOf("{ec.pub}", "{nix.pub}"), nil},
		{retyped, keysOf("{nix.pub}"), &SignatureError{nixID, true, `the payload has type "text/plain", not "application/vnd.in-toto+json"`}},
		{retyped, keysOf("{ec.pub}"), &SignatureError{nixID, false, `the payload has type "text/plain", not "application/vnd.in-toto+json"`}},
		{signed, nil, &SignatureError{nixID, false, "there are no keys to check it with"}},
		{signed, keysOf("{ec.pub}", "{ed.pub}"), &SignatureError{nixID, false, `none of the given keys made it; the bundle names key "` + nixID + `"`}},
		{signed, keysOf(sameName), &SignatureError{nixID, false, `none of the given keys made it; the bundle names key "` + nixID + `"`}},
		{unnamed, keysOf(sameName, "{ec.pub}"), &SignatureError{"", false, "none of the given keys made it; the bundle names no key"}},
		{lying, keysOf(sameName), &SignatureError{sameName, true, `key "` + sameName + `" did not make it`}},
		{lying, keysOf("{nix.pub}"), &SignatureError{sameName, false, `key "` + nixID + `" made it, but the bundle names key "` + sameName + `"`}},
		{lying, keysOf(sameName, "{nix.pub}"), &SignatureError{sameName, true, `key "` + nixID + `" made it, but the bundle names key "` + sameName + `"`}},
		{other, keysOf("{ec.pub}", "{nix.pub}"), &SignatureError{ecID, true, `key "` + nixID + `" made it, but the bundle names key "` + ecID + `"`}},
		{other, keysOf("{ec.pub}"), &SignatureError{ecID, true, `key "` + ecID + `" did not make it`}},
		{signed, keysOf("second-1" + strings.TrimPrefix(nixID, "example.com-1")), &SignatureError{nixID, false,
			`key "second-1` + strings.TrimPrefix(nixID, "example.com-1") + `" made it, but the bundle names key "` + nixID + `"`}},
	} {
		b, err := ReadBundle(test.bundle)
		if err != nil {
			t.Fatal(err)
		}
		by, err := b.Verify(test.keys)
		var got *SignatureError
		errors.As(err, &got)
		if diff := cmp.Diff(test.err, got); diff != "" || (err == nil) != (test.err == nil) {
			t.Errorf("Verify of the bundle of key %q = %v, %v (-want +got):\n%s", b.KeyHint, by.ID(), err, diff)
		}
		if err == nil && by.Fingerprint() != k.Public().Fingerprint() {
			t.Errorf("Verify = key %q; want %q", by.ID(), nixID)
		}
	}
}

// TestMixedBundles exchanges parts of two bundles.
func TestMixedBundles(t *testing.T) {
	k, one := signedBundle(t, "ec.pem", `{"a":1}`)
	_, two := signedBundle(t, "ec.pem", `{"a":2}`)
	_, third := signedBundle(t, "ed.pem", `{"a":1}`)
	payload := base64.StdEncoding.EncodeToString([]byte(`{"a":1}`))
	for name, mixed := range map[string]string{
		"another payload":        strings.Replace(string(two), base64.StdEncoding.EncodeToString([]byte(`{"a":2}`)), payload, 1),
		"another signature":      strings.Replace(string(one), signatureOf(t, one), signatureOf(t, two), 1),
		"another key's":          strings.Replace(string(one), signatureOf(t, one), signatureOf(t, third), 1),
		"another key's and hint": string(third),
	} {
		if b, err := verified([]byte(mixed), Keys{k.Public()}); err == nil {
			t.Errorf("bundle with %s verifies: %+v", name, b)
		}
	}
}

func TestPeek(t *testing.T) {
	for _, test := range []struct {
		payload string
		want    string // the predicate type and the subjects
		err     string
	}{
		{payload: `{"predicateType":"p","subject":[{"name":"x","digest":{"sha256":"aa","sha512":"bb"}},{"digest":{"sha256":"cc"}}]}`, want: "p sha256:aa sha256:cc"},
		{payload: `{"predicateType":"p","subject":[{"digest":{"sha1":"aa"}}]}`, want: "p"},
		{payload: `{"predicateType":"p","subject":[]}`, want: "p"},
		{payload: `{"predicateType":"p"}`, err: `read statement: "subject" is not a list`},
		{payload: `{"PredicateType":"p","subject":[]}`, err: `read statement: "predicateType" is missing`},
		{payload: `{"predicateType":"p","subject":[{"name":"x"}]}`, err: "read statement: subject: not a JSON object"},
		{payload: `{"predicateType":"p","subject":[{"digest":{"sha256":1}}]}`, err: `read statement: subject: "sha256" is not a string`},
		{payload: `{"predicateType":"p","subject":[{"digest":{"sha256":"a","SHA256":"b"}}]}`, err: `read statement: subject: key "SHA256" occurs twice`},
		{payload: `{"predicateType":"p","subject":[` + strings.Repeat(`{},`, maxSubjects) + `{}]}`, err: "read statement: it has more than 1024 subjects"},
		{payload: ``, err: "read statement: not a JSON object"},
	} {
		_, signed := signedBundle(t, "ed.pem", test.payload)
		b, err := ReadBundle(signed)
		if err != nil {
			t.Fatal(err)
		}
		s, err := b.Peek()
		name := test.payload[:min(len(test.payload), 80)]
		if got := strings.Join(append([]string{s.PredicateType}, s.Subjects...), " "); got != test.want {
			t.Errorf("Peek of %s = %s, %v; want %s", name, got, err, test.want)
		}
		if (err == nil) != (test.err == "") || err != nil && err.Error() != test.err {
			t.Errorf("Peek of %s = %v; want %q", name, err, test.err)
		}
		if err == nil && s.KeyHint != edID {
			t.Errorf("Peek of %s: hint %q; want %q", name, s.KeyHint, edID)
		}
	}
	other := &Bundle{PayloadType: "text/plain", Payload: []byte("{}")}
	if _, err := other.Peek(); err == nil || err.Error() != `read statement: the payload has type "text/plain", not "application/vnd.in-toto+json"` {
		t.Errorf("Peek of a text = %v", err)
	}
}
