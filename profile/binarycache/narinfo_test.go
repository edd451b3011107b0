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

// requiredLines are the lines that every narinfo has.
const requiredLines = "StorePath: /nix/store/" + hello + "\nURL: nar/x\nNarHash: " + aHash + "\nNarSize: 10\n"

// TestParseNarInfo checks what ParseNarInfo accepts, and its errors.
func TestParseNarInfo(t *testing.T) {
	want := "StorePath: /nix/store/" + hello + "\nURL: nar/x\nCompression: bzip2\nNarHash: " + aHash + "\nNarSize: 10\nReferences: \n"
	for _, test := range []struct {
		name, in string
		want     string // the narinfo formatted again, or
		err      string
	}{
		{"only the required lines", requiredLines, want, ""},
		{"unknown keys", requiredLines + "System: x86_64-linux\nFoo:bar\n: x\nnar size: y\n", want, ""},
		{"an unknown key twice", requiredLines + "X: 1\nX: 2\n", want, ""},
		{"carriage returns", strings.ReplaceAll(requiredLines, "\n", "\r\n"), want, ""},
		{"no space after the colon", strings.ReplaceAll(requiredLines, ": ", ":"), want, ""},
		{"an empty compression", requiredLines + "Compression: \n", want, ""},
		{"no deriver", requiredLines + "Deriver: unknown-deriver\n", want, ""},
		{"a hexadecimal hash", strings.Replace(requiredLines, aHash, "sha256:0ce565e863bc032edd4baa62a88d78f17189956a30c0a5ef269d2861729be196", 1), want, ""},
		{"a bad file size", requiredLines + "FileSize: many\n", want, ""},
		{"a file size of zero", requiredLines + "FileSize: 0\n", want, ""},
		{"a file size twice", requiredLines + "FileSize: 1\nFileSize: -1\n", want, ""},
		{"another kind of file hash", requiredLines + "FileHash: md5:d41d8cd98f00b204e9800998ecf8427e\n", want, ""},
		{"an empty file hash", requiredLines + "FileHash: \n", want, ""},
		{"signatures", requiredLines + "Sig: b:1\nSig: a:2\n", want + "Sig: b:1\nSig: a:2\n", ""},
		{"references", requiredLines + "References: " + hello + "  " + libgree + " " + hello + "\n",
			strings.Replace(want, "References: ", "References: "+libgree+" "+hello, 1), ""},

		{"nothing", "", "", "no StorePath"},
		{"no URL", strings.Replace(requiredLines, "URL", "Url", 1), "", "no URL"},
		{"an empty URL", strings.Replace(requiredLines, "nar/x", "", 1), "", "line 2: URL: empty"},
		{"no NAR hash", strings.Replace(requiredLines, "NarHash", "Hash", 1), "", "no NarHash"},
		{"no NAR size", strings.Replace(requiredLines, "NarSize", "Size", 1), "", "no NarSize"},
		{"cut off", strings.TrimSuffix(requiredLines, "\n"), "", "line 4: no newline at its end: the file was cut off"},
		{"a page", "<html>\n<body>\n", "", "line 1: no colon"},
		{"an empty line", requiredLines + "\n", "", "line 5: no colon"},
		{"a base name", strings.Replace(requiredLines, "/nix/store/", "", 1), "", `line 1: StorePath: store path "` + hello + `": not below a store directory, such as /nix/store`},
		{"a file in an object", strings.Replace(requiredLines, hello, hello+"/bin", 1), "",
			`line 1: StorePath: store path "/nix/store/` + hello + `/bin": names a file in the object "` + hello + `"`},
		{"size zero", strings.Replace(requiredLines, "10", "0", 1), "", `line 4: NarSize: size "0": not a positive decimal number below 2^63`},
		{"a negative size", strings.Replace(requiredLines, "10", "-1", 1), "", `line 4: NarSize: size "-1": not a positive decimal number below 2^63`},
		{"a signed size", strings.Replace(requiredLines, "10", "+1", 1), "", `line 4: NarSize: size "+1": not a positive decimal number below 2^63`},
		{"a size that begins with zero", strings.Replace(requiredLines, "10", "010", 1), "", `line 4: NarSize: size "010": not a positive decimal number below 2^63`},
		{"a hexadecimal size", strings.Replace(requiredLines, "10", "0x10", 1), "", `line 4: NarSize: size "0x10": not a positive decimal number below 2^63`},
		{"a huge size", strings.Replace(requiredLines, "10", "9223372036854775807", 1), "",
			`line 4: NarSize: size "9223372036854775807": not a positive decimal number below 2^63`},
		{"another hash", strings.Replace(requiredLines, "sha256", "sha512", 1), "",
			`line 3: NarHash: hash "` + strings.Replace(aHash, "sha256", "sha512", 1) + `": not a SHA-256`},
		{"a bare hash", strings.Replace(requiredLines, "sha256:", "", 1), "", `line 3: NarHash: hash "` + aHash[7:] + `": not a SHA-256`},
		{"a short hash", strings.Replace(requiredLines, aHash, aHash[:50], 1), "", `line 3: NarHash: hash "` + aHash[:50] + `": wrong length`},
		{"a zero hash", strings.Replace(requiredLines, aHash, "sha256:"+strings.Repeat("0", 64), 1), "",
			`line 3: NarHash: hash "sha256:` + strings.Repeat("0", 64) + `": all zero`},
		{"a reference with its directory", requiredLines + "References: /nix/store/" + hello + "\n", "",
			`line 5: References: store path "/nix/store/` + hello + `": does not begin with a hash of 32 characters and a dash`},
		{"references twice", requiredLines + "References: " + hello + "\nReferences: " + libgree + "\n", "", "line 6: References: given twice"},
		{"a content address twice", requiredLines + "CA: text:a\nCA: text:b\n", "", "line 6: CA: given twice"},
		{"a path twice", requiredLines + requiredLines, "", "line 5: StorePath: given twice"},
		{"a bad deriver", requiredLines + "Deriver: x\n", "", `line 5: Deriver: store path "x": does not begin with a hash of 32 characters and a dash`},
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

// TestParseNarInfoTwice checks that each field that counts may occur once, whatever the order and the values:
// a signature covers what one program reads, and another reads the other line.
func TestParseNarInfoTwice(t *testing.T) {
	all := requiredLines + "Compression: xz\nReferences: " + hello + "\nDeriver: " + libgree + ".drv\nCA: text:a\n"
	n := 0
	for line := range strings.Lines(all) {
		key, _, _ := strings.Cut(line, ":")
		for _, text := range []string{line + all, all + line, all + strings.Replace(line, ": ", ":", 1), all + key + ":\n"} {
			if _, err := ParseNarInfo([]byte(text)); err == nil || !strings.Contains(err.Error(), key+": ") {
				t.Errorf("%s twice: ParseNarInfo = %v; want an error that names it", key, err)
			}
			n++
		}
	}
	if n != 32 {
		t.Errorf("%d texts were tried; want 32", n)
	}
}

// TestParseNarInfoGolden checks that Nix's narinfos survive parsing and formatting byte for byte.
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
			t.Errorf("%s: deriver %q, CA %q; want those of path-info", name, n.Deriver, n.CA)
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
	f.Add([]byte(requiredLines))
	f.Add([]byte(guixLines + "Signature: 1;a;KGEp\n"))
	f.Add([]byte(requiredLines + "Deriver: unknown-deriver\r\nReferences:\nFileSize:1\n"))
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
