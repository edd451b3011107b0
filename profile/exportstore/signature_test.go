package exportstore

import (
	"bytes"
	"strings"
	"testing"

	"github.com/export-profile/export-profile/profile/storetest"
	"github.com/export-profile/export-profile/rootfs"
	"github.com/export-profile/export-profile/rootfs/testrun"
)

// TestGuix checks that each byte of a stream of Guix is covered: by the format, or by the hash in the signature.
func TestGuix(t *testing.T) {
	guix, err := rootfs.ParseStoreDir("/gnu/store")
	if err != nil {
		t.Fatal(err)
	}
	sample := storetest.TinyIn(t, guix)
	key := storetest.NewGuixKey()
	stream := sample.GuixExport(t, key)
	s, err := openBytes(t, stream, Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range sample.Infos {
		info, err := s.Info(t.Context(), want.Path)
		if err != nil || info.NarHash != want.NarHash || info.Guix == nil || !strings.Contains(info.Guix.Text, key.ID()) || !info.Guix.Hash.Known() {
			t.Errorf("Info(%q) = %+v, %v; want it with its signature", want.Path, info, err)
		}
	}
	first := bytes.Index(stream, []byte("(signature"))
	if first < 0 {
		t.Fatal("no signature in the stream")
	}
	for i := range first {
		for bit := range 8 {
			if bit != i%8 && !testrun.Exhaustive() {
				continue
			}
			changed := bytes.Clone(stream)
			changed[i] ^= 1 << bit
			if _, err := openBytes(t, changed, Options{}); err == nil {
				t.Errorf("the stream with bit %d of byte %d changed: no error", bit, i)
			}
		}
	}
}

func TestSignatures(t *testing.T) {
	guix, err := rootfs.ParseStoreDir("/gnu/store")
	if err != nil {
		t.Fatal(err)
	}
	inGuix, inNix := storetest.TinyIn(t, guix), storetest.TinyIn(t, rootfs.StoreDir{})
	key := storetest.NewGuixKey()
	for _, test := range []struct {
		name   string
		sample *storetest.Sample
		change func(string) string
		err    string
	}{
		{"as it is", inGuix, func(s string) string { return s }, ""},
		{"in Nix's store", inNix, func(s string) string { return s }, ""},
		{"no s-expression", inGuix, func(s string) string { return strings.Replace(s, "(signature", " signature", 1) },
			`signature of "/gnu/store/byqfl5n6rp5mb9pxaf6zvjbyfcvk2w66-tiny": s-expression, byte 1: no parenthesis opens here`},
		{"text, as of Nix 1", inNix, func(s string) string { return strings.ReplaceAll(s, "(signature", "Asignature") }, ""},
		{"a broken one in Nix's store", inNix, func(s string) string { return strings.Replace(s, "(data", "(date", 1) },
			`signature of "/nix/store/byqfl5n6rp5mb9pxaf6zvjbyfcvk2w66-tiny": something unknown in "signature"`},
		{"another hash", inGuix, func(s string) string { return strings.Replace(s, "(hash sha256 #", "(hash sha1   #", 1) },
			`signature of "/gnu/store/byqfl5n6rp5mb9pxaf6zvjbyfcvk2w66-tiny": its hash is no SHA-256`},
	} {
		s, err := openBytes(t, []byte(test.change(string(test.sample.GuixExport(t, key)))), Options{})
		switch {
		case test.err == "" && err != nil:
			t.Errorf("%s: Read = %v", test.name, err)
		case test.err != "" && (err == nil || !strings.HasSuffix(err.Error(), test.err)):
			t.Errorf("%s: Read = %v, %v; want …%s", test.name, s, err, test.err)
		case test.err == "":
			info, err := s.Info(t.Context(), test.sample.Root)
			if signed := !strings.HasPrefix(test.name, "text"); err != nil || (info.Guix != nil) != signed {
				t.Errorf("%s: Info = %+v, %v; signed: want %v", test.name, info, err, signed)
			}
		}
	}
}
