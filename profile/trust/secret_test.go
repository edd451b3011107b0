package trust

import (
	"encoding/base64"
	"strings"
	"testing"
)

// Made by nix-store --generate-binary-cache-key of Nix 2.8, and used nowhere else.
const (
	sampleSecret = "cache.example.com-1:NL+RzDHkXxmCF64pbcC9Vk1VamPszon5OkpoyWF79WzB+VmcJInPGwT4q/EMTu4K9f8WRzMhlh5KmuQSTuTCQg=="
	samplePublic = "cache.example.com-1:wflZnCSJzxsE+KvxDE7uCvX/FkczIZYeSprkEk7kwkI="
)

// secretKeys holds valid and invalid keys.
var secretKeys = []struct {
	text, public string
	ok           bool
}{
	{sampleSecret, samplePublic, true},
	{"  " + sampleSecret + "\n", samplePublic, true},
	{samplePublic, "", false},
	{"", "", false},
	{":", "", false},
	{"name:", "", false},
	{"name:!", "", false},
	{"name", "", false},
	{"a b:AAAA", "", false},
	{"name:" + "AAAA", "", false},
	{"name:" + strings.Repeat("A", 86) + "==", "", false}, // the halves differ
}

func TestParseSecretKey(t *testing.T) {
	for _, tt := range secretKeys {
		k, err := ParseSecretKey(tt.text)
		if (err == nil) != tt.ok {
			t.Errorf("ParseSecretKey(%q) = %v; want success: %v", tt.text, err, tt.ok)
			continue
		}
		if err != nil {
			if _, encoded, _ := strings.Cut(tt.text, ":"); len(encoded) > 4 && strings.Contains(err.Error(), encoded) {
				t.Errorf("ParseSecretKey(%q) = %v, which reveals the secret", tt.text, err)
			}
			continue
		}
		if got := k.Name + ":" + base64.StdEncoding.EncodeToString(k.Public().Public); got != tt.public {
			t.Errorf("Public of %q = %s; want %s", tt.text, got, tt.public)
		}
	}
}

// TestSign checks that a signature verifies only with the public key and for the signed message.
func TestSign(t *testing.T) {
	secret, err := ParseSecretKey(sampleSecret)
	if err != nil {
		t.Fatal(err)
	}
	keys := Keys{secret.Public()}
	s := secret.Sign([]byte("message"))
	if err := keys.Verify([]byte("message"), []string{"other:AAAA", s}); err != nil {
		t.Errorf("Verify = %v; want <nil>", err)
	}
	_, encoded, _ := strings.Cut(s, ":")
	for name, tt := range map[string]struct {
		keys       Keys
		message    string
		signatures []string
	}{
		"no key":        {nil, "message", []string{s}},
		"no signature":  {keys, "message", nil},
		"other message": {keys, "massage", []string{s}},
		"other name":    {keys, "message", []string{"other:" + encoded}},
		"other key":     {Keys{{Name: secret.Name, Public: Default()[0].Public}}, "message", []string{s}},
		"cut":           {keys, "message", []string{s[:len(s)-4]}},
		"empty":         {keys, "message", []string{""}},
	} {
		if err := tt.keys.Verify([]byte(tt.message), tt.signatures); err == nil {
			t.Errorf("%s: Verify = <nil>; want an error", name)
		}
	}
}

func FuzzParseSecretKey(f *testing.F) {
	for _, tt := range secretKeys {
		f.Add(tt.text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		k, err := ParseSecretKey(text)
		if err != nil {
			return
		}
		if err := (Keys{k.Public()}).Verify([]byte(text), []string{k.Sign([]byte(text))}); err != nil {
			t.Errorf("ParseSecretKey(%q) signs a message but does not verify it: %v", text, err)
		}
	})
}
