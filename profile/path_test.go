package profile

import (
	"strings"
	"testing"
)

const someDigest = "6821dyl8slsfcylbd6mxghxdqg9f36w9"

func TestParsePath(t *testing.T) {
	long := strings.Repeat("n", MaxNameLen)
	for _, test := range []struct {
		in, name string
		err      string
	}{
		{in: "/nix/store/" + someDigest + "-libgreet-2.1", name: "libgreet-2.1"},
		{in: "/nix/store/" + someDigest + "-a", name: "a"},
		{in: "/nix/store/" + someDigest + "-A+b-._?=9", name: "A+b-._?=9"},
		{in: "/nix/store/" + someDigest + "-.hidden", name: ".hidden"},
		{in: "/nix/store/" + someDigest + "-...", name: "..."},
		{in: "/nix/store/" + someDigest + "-x.drv", name: "x.drv"},
		{in: "/nix/store/" + someDigest + "-" + long, name: long},
		{in: "/nix/store/" + someDigest + "-" + long + "n", err: "longer than 211"},
		{in: "/nix/store/" + someDigest + "-", err: "name is empty"},
		{in: "/nix/store/" + someDigest, err: "a hash of 32 characters and a dash"},
		{in: "/nix/store/" + someDigest + "Xname", err: "a hash of 32 characters and a dash"},
		{in: "/nix/store/e" + someDigest[1:] + "-x", err: "illegal character 'e' in its hash"},
		{in: "/nix/store/A" + someDigest[1:] + "-x", err: "illegal character 'A' in its hash"},
		{in: "/nix/store/" + someDigest + "-.", err: `begins with "."`},
		{in: "/nix/store/" + someDigest + "-..-x", err: `begins with ".."`},
		{in: "/nix/store/" + someDigest + "-a/b", err: "names a file in the object"},
		{in: "/nix/store/" + someDigest + "-a/" + someDigest + "-b", err: "names a file in the object"},
		{in: "/nix/store/" + someDigest + "-a~b", err: "illegal character '~'"},
		{in: "/nix/store/" + someDigest + "-a\x00", err: "illegal character"},
		{in: "/nix/store/" + someDigest + "-ü", err: "illegal character"},
		{in: "/nix/store//" + someDigest + "-a", err: "want it as /nix/store"},
		{in: "/nix/store", err: "a hash of 32 characters"},
		{in: "", err: "not below a store directory"},
		{in: someDigest + "-a", err: "not below a store directory"},
		{in: "/" + someDigest + "-a", err: "not below a store directory"},
		{in: "nix/store/" + someDigest + "-a", err: "want an absolute path"},
		{in: "/gnu/store/" + someDigest + "-a", name: "a"},
		{in: "/home/a/nix/store/" + someDigest + "-a", name: "a"},
	} {
		got, err := ParsePath(test.in)
		if test.err != "" {
			if got != "" || err == nil || !strings.Contains(err.Error(), test.err) {
				t.Errorf("ParsePath(%q) = %q, %v; want an error with %q", test.in, got, err, test.err)
			}
			continue
		}
		if err != nil || string(got) != test.in || got.Name() != test.name || got.Digest() != someDigest || "/"+got.Root() != test.in {
			t.Errorf("ParsePath(%q) = %q, %v; want it with the name %q, <nil>", test.in, got, err, test.name)
		}
	}
}

func FuzzParsePath(f *testing.F) {
	f.Add("/nix/store/" + someDigest + "-libgreet-2.1")
	f.Add("/nix/store/" + someDigest + "-..-x")
	f.Add("/gnu/store/" + someDigest + "-a")
	f.Fuzz(func(t *testing.T, s string) {
		p, err := ParsePath(s)
		if err != nil {
			return
		}
		if again, err := ParseBase(p.StoreDir(), p.Base()); err != nil || again != p {
			t.Errorf("ParseBase(%q) = %q, %v; want %q, <nil>", p.Base(), again, err, p)
		}
		if got := p.StoreDir().String() + "/" + p.Digest() + "-" + p.Name(); got != s {
			t.Errorf("ParsePath(%q): its parts add up to %q", s, got)
		}
		if strings.ContainsAny(p.Base(), "/\x00\n ") {
			t.Errorf("ParsePath(%q) accepts a base name that no file can have", s)
		}
	})
}
