package scan

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/export-profile/export-profile/profile"
)

// mentionsIn writes pieces of the given sizes, the last one as often as needed.
func mentionsIn(b []byte, sizes ...int) (all []string) {
	f := NewMentions(profile.StoreDir{}, func(digest []byte, m func() Mention) {
		if string(digest) != m().Digest() {
			all = append(all, "digest "+string(digest))
		}
		all = append(all, string(m()))
	})
	for i := 0; len(b) > 0; i++ {
		n := min(len(b), sizes[min(i, len(sizes)-1)])
		_, _ = f.Write(b[:n])
		b = b[n:]
	}
	f.End()
	return all
}

const (
	aDigest = "6821dyl8slsfcylbd6mxghxdqg9f36w9"
	bDigest = "fiznc08nhj31nrsb1f2aa5f9syzps0gl"
)

var mentionTests = []struct {
	text string
	want []string
}{
	{"", nil},
	{"/nix/store/" + aDigest + "-hello-1.0", []string{aDigest + "-hello-1.0"}},
	{"x/nix/store/" + aDigest + "-h/bin:/nix/store/" + bDigest + "-a", []string{aDigest + "-h", bDigest + "-a"}},
	{"/nix/store/" + aDigest + "-a\x00", []string{aDigest + "-a"}},
	{"/nix/store/" + aDigest + "-x.drv!out", []string{aDigest + "-x.drv"}},
	{"/nix/store//nix/store/" + aDigest + "-a", []string{aDigest + "-a"}},
	{"/nix/store/nix/store/" + aDigest + "-a", []string{aDigest + "-a"}},
	{"/nix/store/" + aDigest + "-" + strings.Repeat("n", 300), []string{aDigest + "-" + strings.Repeat("n", 211)}},
	{"/nix/store/" + aDigest, nil},
	{"/nix/store/" + aDigest + "-", nil},
	{"/nix/store/" + aDigest + "-/", nil},
	{"/nix/store/" + aDigest + "_a", nil},
	{"/nix/store/" + aDigest[1:] + "-a", nil},
	{"/nix/store/" + strings.ToUpper(aDigest) + "-a", nil},
	{"/nix/store/" + strings.Repeat("e", 32) + "-a", nil},
	{"/nix/store/" + strings.Repeat("x", 32) + "-a", nil},
	{"/nix/store/" + strings.Repeat("x", 31) + "y-a", []string{strings.Repeat("x", 31) + "y-a"}},
	{"/nix/store/.links/" + aDigest + "-a", nil},
	{"/gnu/store/" + aDigest + "-a", nil},
	{aDigest + "-a", nil},
}

func TestMentions(t *testing.T) {
	for _, tt := range mentionTests {
		for _, sizes := range [][]int{{1 << 20}, {1}, {7}, {255}, {254, 1}, {256}} {
			if got := mentionsIn([]byte(tt.text), sizes...); !slices.Equal(got, tt.want) {
				t.Errorf("mentions in %.80q, in pieces of %v: %q; want %q", tt.text, sizes, got, tt.want)
			}
		}
	}
}

// byExpression finds the same mentions in another way.
func byExpression(b []byte) (all []string) {
	form := regexp.MustCompile(`^([0-9abcdfghijklmnpqrsvwxyz]{32})-[0-9a-zA-Z+._?=-]{1,211}`)
	for i := range b {
		rest, ok := bytes.CutPrefix(b[i:], []byte("/nix/store/"))
		if m := form.Find(rest); ok && m != nil && strings.Trim(string(m[:32]), string(m[:1])) != "" {
			all = append(all, string(m))
		}
	}
	return all
}

// TestMentionsPieces compares the mentions in pieces of random sizes with those that a regular expression finds.
func TestMentionsPieces(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	words := []string{"/nix/store/", aDigest, bDigest, "-", "hello", "/", "\x00", "/nix/sto", "re/", strings.Repeat("x", 32), strings.Repeat("n", 230), "-a "}
	for range 500 {
		var b []byte
		for range r.IntN(60) {
			b = append(b, words[r.IntN(len(words))]...)
			if r.IntN(2) == 0 {
				b = append(b, "/nix/store/"+aDigest+"-x"...)
			}
		}
		var sizes []int
		for range 40 {
			sizes = append(sizes, 1+r.IntN(1<<r.IntN(10)))
		}
		if d := cmp.Diff(byExpression(b), mentionsIn(b, sizes...)); d != "" {
			t.Fatalf("mentions in %q, in pieces of %v (-want +got):\n%s", b, sizes, d)
		}
	}
}

func FuzzMentions(f *testing.F) {
	for _, tt := range mentionTests {
		f.Add([]byte(tt.text), 3, 250)
	}
	f.Fuzz(func(t *testing.T, b []byte, first, then int) {
		if first < 1 || then < 1 {
			return
		}
		if d := cmp.Diff(byExpression(b), mentionsIn(b, first, then)); d != "" {
			t.Errorf("mentions in %q, in pieces of %d and %d (-want +got):\n%s", b, first, then, d)
		}
	})
}

func BenchmarkMentions(b *testing.B) {
	random := make([]byte, 1<<20)
	r := rand.New(rand.NewPCG(1, 2))
	for i := range random {
		random[i] = byte(r.Uint32())
	}
	for name, content := range map[string][]byte{
		"random": random,
		"text":   bytes.Repeat([]byte("usr/include/linux/x.h: /usr/lib/nix and so on\n"), 1<<20/46),
		"paths":  bytes.Repeat([]byte(fmt.Sprintf("/nix/store/%s-hello/bin:/nix/store/%s-a\n", aDigest, bDigest)), 1<<20/100),
	} {
		b.Run(name, func(b *testing.B) {
			f := NewMentions(profile.StoreDir{}, func([]byte, func() Mention) {})
			b.SetBytes(int64(len(content)))
			for b.Loop() {
				for i := 0; i < len(content); i += 32 << 10 {
					_, _ = f.Write(content[i:min(len(content), i+32<<10)])
				}
			}
		})
	}
}
