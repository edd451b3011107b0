package main

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/export-profile/export-profile/profile/attestation"
	"github.com/export-profile/export-profile/profile/trust"
	"github.com/export-profile/export-profile/rootfs/testrun"
)

// TestVerifyAttacks changes statements, envelopes, bundles, manifests, configs, layers, histories and keys at random,
// with what an attacker can do: everything but sign with the maker's key. Every change has to be refused, with a reason that fits,
// unless a proof shows that it means nothing. Where the image itself changes together with what depends on it,
// the maker's key signs the old list of paths for the new digest, so that the comparison is all that can refuse it.
func TestVerifyAttacks(t *testing.T) {
	const seed = 16
	original, sample, nixKey := attestedImage(t)
	maker, namesake := nixSigner(t, "maker-1", 1), nixSigner(t, "maker-1", 2)
	dir, counts, harmless := t.TempDir(), make(map[string]int), 0
	n := testrun.Of(20*len(attacks), 10_000)
	for i := range n {
		kind := attacks[i%len(attacks)]
		a := &attack{
			attested: attested{testImage: testImage{t: t, dir: filepath.Join(dir, "image")}, sample: sample, key: maker},
			r:        rand.New(rand.NewPCG(seed, uint64(i))), namesake: namesake, keys: maker.Public().ID() + "\n", required: nixKey + "\n",
		}
		a.must(os.CopyFS(a.dir, os.DirFS(original)))
		a.load()
		digest := a.index.Manifests[0].Digest.String()
		a.state(a.statement())
		kind.attack(a)
		out, stderr, status := a.verify()
		counts[kind.name]++
		proven := a.proof != nil && a.proof()
		switch refused := status != 0 && strings.Contains(stderr, "error: "); {
		case !refused && proven:
			harmless++
			if out != digest+"\n" {
				t.Errorf("attack %d with seed %d, %s, means nothing, but verify prints %q", i, seed, kind.name, out)
			}
		case !refused:
			t.Errorf("attack %d with seed %d, %s: %s: verify exits with %d and says %s%s", i, seed, kind.name, a.what, status, out, stderr)
		case !regexp.MustCompile(kind.why).MatchString(out + stderr):
			t.Errorf("attack %d with seed %d, %s: %s: verify exits with %d, but for another reason than %s:\n%s%s",
				i, seed, kind.name, a.what, status, kind.why, out, stderr)
		case strings.Contains(out, digest+"\n") && status != 3:
			t.Errorf("attack %d with seed %d, %s: %s: verify prints the digest of a refused image", i, seed, kind.name, a.what)
		}
		a.must(os.RemoveAll(a.dir))
		if t.Failed() {
			break
		}
	}
	if t.Failed() {
		return
	}
	t.Logf("%d attacks with seed %d were refused, of these kinds: %v; %d mean nothing, as proven", n-harmless, seed, counts, harmless)
}

// attack is a change to an image with its statement, or to the keys of verify.
type attack struct {
	attested
	r              *rand.Rand
	namesake       *attestation.SecretKey
	keys, required string
	unrequired     bool // verify runs without --require-signed-by
	what           string
	proof          func() bool // reports whether the change means nothing, in another way than verify finds out
}

func nixSigner(t *testing.T, name string, seed byte) *attestation.SecretKey {
	t.Helper()
	k, err := attestation.ParseSecretKey([]byte(nixSecret(name, seed)), nil)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func nixSecret(name string, seed byte) string {
	return name + ":" + base64.StdEncoding.EncodeToString(ed25519.NewKeyFromSeed(slices.Repeat([]byte{seed}, ed25519.SeedSize)))
}

// verify runs verify with the files of the attack.
func (a *attack) verify() (out, stderr string, status int) {
	a.t.Helper()
	keys, required := filepath.Join(a.dir, "keys"), filepath.Join(a.dir, "required")
	a.must(os.WriteFile(keys, []byte(a.keys), 0o600))
	a.must(os.WriteFile(required, []byte(a.required), 0o600))
	a.must(os.WriteFile(a.dir+".intoto.jsonl", []byte(strings.Join(a.lines, "\n")), 0o600))
	args := []string{"verify", "--key", keys, "oci:" + a.dir}
	if !a.unrequired {
		args = append(args, "--require-signed-by", required)
	}
	return runAll(a.t, args...)
}

// payload returns the payload of the first bundle.
func (a *attack) payload() []byte {
	_, rest, _ := strings.Cut(a.lines[0], `"payload":"`)
	text, _, _ := strings.Cut(rest, `"`)
	b, err := base64.StdEncoding.DecodeString(text)
	a.must(err)
	return b
}

// setPayload changes the payload of the first bundle, and nothing else.
func (a *attack) setPayload(b []byte) {
	a.lines[0] = strings.Replace(a.lines[0], base64.StdEncoding.EncodeToString(a.payload()), base64.StdEncoding.EncodeToString(b), 1)
}

// jsonKey matches the key of a field and what precedes it.
var jsonKey = regexp.MustCompile(`"([A-Za-z_0-9]+)":`)

// jsonText matches a string that is a value.
var jsonText = regexp.MustCompile(`:"([^"]*)"`)

// garble changes the text of a document: a bit, or a field in some way. It always returns another text.
func (a *attack) garble(text []byte) []byte {
	a.t.Helper()
	for {
		if got := a.garbleOnce(string(text)); got != string(text) {
			return []byte(got)
		}
	}
}

func (a *attack) garbleOnce(s string) string {
	keys := jsonKey.FindAllStringSubmatchIndex(s, -1)
	if len(keys) == 0 || a.r.IntN(2) == 0 {
		at, bit := a.r.IntN(len(s)), a.r.IntN(8)
		a.what = fmt.Sprintf("bit %d of byte %d", bit, at)
		return s[:at] + string([]byte{s[at] ^ 1<<bit}) + s[at+1:]
	}
	k := keys[a.r.IntN(len(keys))]
	begin, end, colon := k[2], k[3], k[1] // s[begin:end] is the key
	name := s[begin:end]
	a.what = fmt.Sprintf("%q at %d, ", name, begin)
	switch a.r.IntN(9) {
	case 0:
		a.what += "renamed"
		return s[:end] + "x" + s[end:]
	case 1:
		a.what += "in other case"
		c := name[0] ^ 0x20
		return s[:begin] + string([]byte{c}) + s[begin+1:]
	case 2:
		a.what += "twice"
		return s[:begin-1] + `"` + name + `":null,` + s[begin-1:]
	case 3:
		a.what += "twice, the second one empty"
		return s[:colon] + `{},"` + name + `":` + s[colon:]
	case 4:
		a.what += "with an escape"
		return s[:begin] + fmt.Sprintf(`\u%04x`, name[0]) + s[begin+1:]
	case 5:
		a.what += "with a space"
		return s[:colon] + " " + s[colon:]
	case 6:
		a.what += "with an unknown field before it"
		return s[:begin-1] + `"unknown":[],` + s[begin-1:]
	case 7:
		o := keys[a.r.IntN(len(keys))]
		a.what += "swapped with the key at " + fmt.Sprint(o[2])
		return swap(s, begin, end, o[2], o[3])
	}
	values := jsonText.FindAllStringSubmatchIndex(s, -1)
	v, o := values[a.r.IntN(len(values))], values[a.r.IntN(len(values))]
	a.what = fmt.Sprintf("values at %d and %d swapped", v[2], o[2])
	return swap(s, v[2], v[3], o[2], o[3])
}

// swap exchanges s[a:b] and s[c:d], which do not overlap, or are the same.
func swap(s string, a, b, c, d int) string {
	switch {
	case a == c:
		return s
	case a > c:
		a, b, c, d = c, d, a, b
	}
	return s[:a] + s[c:d] + s[b:c] + s[a:b] + s[d:]
}

// stillSigned reports whether a bundle still has the true payload and the maker's signature of it.
// What else is in a bundle is not signed, and says nothing about the image.
func (a *attack) stillSigned(line string, payload []byte) bool {
	var b struct {
		Envelope struct {
			Payload     []byte `json:"payload"`
			PayloadType string `json:"payloadType"`
			Signatures  []struct {
				Sig []byte `json:"sig"`
			} `json:"signatures"`
		} `json:"dsseEnvelope"`
	}
	if json.Unmarshal([]byte(line), &b) != nil || string(b.Envelope.Payload) != string(payload) || len(b.Envelope.Signatures) == 0 {
		return false
	}
	const payloadType = "application/vnd.in-toto+json"
	message := fmt.Sprintf("DSSEv1 %d %s %d %s", len(payloadType), payloadType, len(payload), payload)
	key := ed25519.NewKeyFromSeed(slices.Repeat([]byte{1}, ed25519.SeedSize)).Public().(ed25519.PublicKey)
	return b.Envelope.PayloadType == payloadType && ed25519.Verify(key, []byte(message), b.Envelope.Signatures[0].Sig)
}

// sameKeys reports whether two files hold the same keys under the same names, as the words and their base 64 say.
func sameKeys(a, b string) bool {
	first, err := trust.ParseKeys(a)
	second, err2 := trust.ParseKeys(b)
	return err == nil && err2 == nil && slices.EqualFunc(first, second, func(a, b trust.Key) bool { return a.Name == b.Name && a.Public.Equal(b.Public) })
}
