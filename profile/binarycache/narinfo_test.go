package binarycache

import (
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/export-profile/export-profile/profile"
	"github.com/export-profile/export-profile/profile/storetest"
)

const (
	hello   = "fiznc08nhj31nrsb1f2aa5f9syzps0gl-hello-1.0"
	libgree = "6821dyl8slsfcylbd6mxghxdqg9f36w9-libgreet-2.1"
	aHash   = "sha256:15p1kdr62a4x4vpsbh1hdaaqjwgig26shqma9gfjw0xwcgl6br8c"
)

// must are the lines that every narinfo has.
const must = "StorePath: /nix/store/" + hello + "\nURL: nar/x\nNarHash: " + aHash + "\nNarSize: 10\n"

func TestParseNarInfo(t *testing.T) {
	want := "StorePath: /nix/store/" + hello + "\nURL: nar/x\nCompression: bzip2\nNarHash: " + aHash + "\nNarSize: 10\nReferences: \n"
	for _, test := range []struct {
		name, in string
		want     string // what it says, or
		err      string
	}{
		{"the least", must, want, ""},
		{"unknown keys", must + "System: x86_64-linux\nFoo:bar\n: x\nnar size: y\n", want, ""},
		{"an unknown key twice", must + "X: 1\nX: 2\n", want, ""},
		{"carriage returns", strings.ReplaceAll(must, "\n", "\r\n"), want, ""},
		{"no space behind the colon", strings.ReplaceAll(must, ": ", ":"), want, ""},
		{"an empty compression", must + "Compression: \n", want, ""},
		{"no deriver", must + "Deriver: unknown-deriver\n", want, ""},
		{"a hexadecimal hash", strings.Replace(must, aHash, "sha256:0ce565e863bc032edd4baa62a88d78f17189956a30c0a5ef269d2861729be196", 1), want, ""},
		{"signatures", must + "Sig: b:1\nSig: a:2\n", want + "Sig: b:1\nSig: a:2\n", ""},
		{"references", must + "References: " + hello + "  " + libgree + " " + hello + "\n",
			strings.Replace(want, "References: ", "References: "+libgree+" "+hello, 1), ""},

		{"nothing", "", "", "no StorePath"},
		{"no URL", strings.Replace(must, "URL", "Url", 1), "", "no URL"},
		{"an empty URL", strings.Replace(must, "nar/x", "", 1), "", "line 2: URL: empty"},
		{"no NAR hash", strings.Replace(must, "NarHash", "Hash", 1), "", "no NarHash"},
		{"no NAR size", strings.Replace(must, "NarSize", "Size", 1), "", "no NarSize"},
		{"cut off", strings.TrimSuffix(must, "\n"), "", "line 4: it does not end, the file was cut off"},
		{"a page", "<html>\n<body>\n", "", "line 1: no colon"},
		{"an empty line", must + "\n", "", "line 5: no colon"},
		{"another store", strings.Replace(must, "/nix/store", "/gnu/store", 1), "",
			`line 1: StorePath: store path "/gnu/store/` + hello + `": store directory "/gnu/store" is not supported, only /nix/store is`},
		{"a base name", strings.Replace(must, "/nix/store/", "", 1), "", `line 1: StorePath: store path "` + hello + `": not below /nix/store`},
		{"a file in an object", strings.Replace(must, hello, hello+"/bin", 1), "",
			`line 1: StorePath: store path "/nix/store/` + hello + `/bin": illegal character '/' in its name`},
		{"size zero", strings.Replace(must, "10", "0", 1), "", `line 4: NarSize: size "0": not a positive decimal number below 2^63`},
		{"a negative size", strings.Replace(must, "10", "-1", 1), "", `line 4: NarSize: size "-1": not a positive decimal number below 2^63`},
		{"a signed size", strings.Replace(must, "10", "+1", 1), "", `line 4: NarSize: size "+1": not a positive decimal number below 2^63`},
		{"a size that begins with zero", strings.Replace(must, "10", "010", 1), "", `line 4: NarSize: size "010": not a positive decimal number below 2^63`},
		{"a hexadecimal size", strings.Replace(must, "10", "0x10", 1), "", `line 4: NarSize: size "0x10": not a positive decimal number below 2^63`},
		{"a huge size", strings.Replace(must, "10", "9223372036854775807", 1), "",
			`line 4: NarSize: size "9223372036854775807": not a positive decimal number below 2^63`},
		{"a bad file size", must + "FileSize: many\n", "", `line 5: FileSize: size "many": not a positive decimal number below 2^63`},
		{"another hash", strings.Replace(must, "sha256", "sha512", 1), "",
			`line 3: NarHash: hash "` + strings.Replace(aHash, "sha256", "sha512", 1) + `": not a SHA-256`},
		{"a bare hash", strings.Replace(must, "sha256:", "", 1), "", `line 3: NarHash: hash "` + aHash[7:] + `": not a SHA-256`},
		{"a short hash", strings.Replace(must, aHash, aHash[:50], 1), "", `line 3: NarHash: hash "` + aHash[:50] + `": wrong length`},
		{"a zero hash", strings.Replace(must, aHash, "sha256:"+strings.Repeat("0", 64), 1), "",
			`line 3: NarHash: hash "sha256:` + strings.Repeat("0", 64) + `": all zero`},
		{"a reference with its directory", must + "References: /nix/store/" + hello + "\n", "",
			`line 5: References: store path "/nix/store/` + hello + `": does not begin with a hash of 32 characters and a dash`},
		{"references twice", must + "References: " + hello + "\nReferences: " + libgree + "\n", "", "line 6: References: is there twice"},
		{"a content address twice", must + "CA: text:a\nCA: text:b\n", "", "line 6: CA: is there twice"},
		{"a path twice", must + must, "", "line 5: StorePath: is there twice"},
		{"a bad deriver", must + "Deriver: x\n", "", `line 5: Deriver: store path "x": does not begin with a hash of 32 characters and a dash`},
	} {
		n, err := ParseNarInfo([]byte(test.in))
		switch {
		case test.err == "" && err != nil:
			t.Errorf("%s: ParseNarInfo = %v", test.name, err)
		case test.err == "":
			if d := cmp.Diff(test.want, n.String()); d != "" {
				t.Errorf("%s: ParseNarInfo (-want +got):\n%s", test.name, d)
			}
		case err == nil || err.Error() != test.err:
			t.Errorf("%s: ParseNarInfo = %v; want %s", test.name, err, test.err)
		}
	}
}

// TestParseNarInfoGolden holds that what Nix wrote is written again as Nix wrote it.
func TestParseNarInfoGolden(t *testing.T) {
	f := golden(t)
	infos := storetest.GoldenInfos(t)
	for name := range f {
		if path.Ext(name) != ".narinfo" {
			continue
		}
		n := f.parse(t, name)
		if d := cmp.Diff(string(f[name]), n.String()); d != "" {
			t.Errorf("%s (-want +got):\n%s", name, d)
		}
		i := slices.IndexFunc(infos, func(info *profile.Info) bool { return info.Path == n.Path })
		if i < 0 || infos[i].Deriver != n.Deriver || infos[i].CA != n.CA {
			t.Errorf("%s: deriver %q, CA %q; want what path-info says", name, n.Deriver, n.CA)
		}
	}
}

func FuzzParseNarInfo(f *testing.F) {
	cache := golden(f)
	for name, b := range cache {
		if path.Ext(name) == ".narinfo" {
			f.Add(b)
		}
	}
	f.Add([]byte(must))
	f.Add([]byte(must + "Deriver: unknown-deriver\r\nReferences:\nFileSize:1\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		n, err := ParseNarInfo(b)
		if err != nil {
			return
		}
		again, err := ParseNarInfo([]byte(n.String()))
		if err != nil {
			t.Fatalf("ParseNarInfo(%q) = %v", n.String(), err)
		}
		if d := cmp.Diff(n, again); d != "" {
			t.Errorf("ParseNarInfo(String()) (-want +got):\n%s", d)
		}
	})
}
