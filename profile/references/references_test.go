package references_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/export-profile/export-profile/profile"
	"github.com/export-profile/export-profile/profile/exportstore"
	"github.com/export-profile/export-profile/profile/input"
	"github.com/export-profile/export-profile/profile/nar"
	"github.com/export-profile/export-profile/profile/references"
	"github.com/export-profile/export-profile/profile/storetest"
)

const (
	pathA = "/nix/store/00000000000000000000000000000000-a"
	pathB = "/nix/store/11111111111111111111111111111111-b"
	baseA = "00000000000000000000000000000000-a"
	baseB = "11111111111111111111111111111111-b"
	hexA  = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
	sriA  = "sha256-ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0="
	nixA  = "sha256:1b8m03r63zqhnjf7l5wnldhh7c134ap5vpj0850ymkq1iyzicy5s"
)

type parseCase struct {
	name, in string
	want     string // lines "path hash size refs", or "! " and part of an error
}

func full() string {
	return fmt.Sprintf("%s %s 42 %s\n%s %s 7 %s\n", baseA, hexA, "", baseB, hexA, baseA+" "+baseB)
}

func bare() string { return fmt.Sprintf("%s - 0 %s\n%s - 0 %s\n", baseA, "", baseB, baseA+" "+baseB) }

func cases() []parseCase {
	text := func(hash string) string {
		return pathA + "\n" + hash + "\n42\n\n0\n" + pathB + "\n" + hash + "\n7\n" + pathB + ".drv\n2\n" + pathB + "\n" + pathA + "\n"
	}
	array := func(hash, extra string) string {
		return fmt.Sprintf(`[{"path":%q,"narHash":%q,"narSize":42,"references":[]%s},{"path":%q,"narHash":%q,"narSize":7,"references":[%q,%q]%s}]`,
			pathA, hash, extra, pathB, hash, pathA, pathB, extra)
	}
	keyed := func(a, b, extra string) string {
		return fmt.Sprintf(`{%q:{"narHash":%q,"narSize":42,"references":[],"deriver":null,"ca":null%s},%q:{"narHash":%q,"narSize":7,"references":[%q,%q]%s}}`,
			a, sriA, extra, b, sriA, b, a, extra)
	}
	return []parseCase{
		{"dump-db", text(hexA), full()},
		{"closureInfo", text(nixA), full()},
		{"without the last newline", strings.TrimSuffix(text(nixA), "\n"), full()},
		{"jq's empty line", text(nixA) + "\n", full()},
		{"exportReferencesGraph", pathA + "\n\n0\n" + pathB + "\n" + pathB + ".drv\n2\n" + pathA + "\n" + pathB + "\n", bare()},
		{"same record twice", text(hexA) + text(nixA), full()},
		{"path-info of Nix 2.0", array(nixA, ""), full()},
		{"path-info of Nix 2.8", array(sriA, `,"ultimate":true,"valid":true,"signatures":["k:s"],"ca":"text:sha256:x"`), full()},
		{"invalid in 2.8", strings.TrimSuffix(array(sriA, ""), "]") + `,{"path":"` + pathB + `.drv","valid":false}]`, full()},
		{"path-info of Nix 2.19", keyed(pathA, pathB, ""), full()},
		{"invalid in 2.19", strings.TrimSuffix(keyed(pathA, pathB, ""), "}") + `,"` + pathB + `.drv":null}`, full()},
		{"json-format 1", keyed(pathA, pathB, `,"version":1,"storeDir":"/nix/store","signatures":[]`), full()},
		{"json-format 2", `{"version":2,"storeDir":"/nix/store","info":` + keyed(baseA, baseB, `,"version":2,"storeDir":"/nix/store"`) + `}`, full()},
		{"json-format 3", `{"version":3,"storeDir":"/nix/store","info":` + keyed(baseA, baseB, `,"signatures":[{"keyName":"k","sig":"s"}],"ca":{"method":"nar","hash":"x"}`) + `}`, full()},
		{".attrs.json", `{"builder":"/bin/sh","exportReferencesGraph":{"closure":["` + pathB + `"]},"outputs":{"out":"x"},"closure":` + array(nixA, `,"closureSize":49`) + `}`, full()},
		{"two graphs", `{"one":` + array(nixA, "") + `,"two":` + array(sriA, "") + `}`, full()},
		{"space before JSON", " \n" + array(sriA, ""), full()},
		{"empty array", "[]", ""},

		{"empty", "", "! it is empty"},
		{"white space", " \n", "! it is empty"},
		{"something else", "hello", "! neither nix-store --dump-db's text nor"},
		{"a store path alone", pathA + "\n", "! it is a list of store paths, without hashes and references"},
		{"two store paths", pathA + "\n" + pathB + "\n", "! it is a list of store paths"},
		{"two store paths without the last newline", pathA + "\n" + pathB, "! it is a list of store paths"},
		{"three store paths", pathA + "\n" + pathB + "\n" + pathA + "\n", "! it is a list of store paths"},
		{"many store paths", strings.Repeat(pathA+"\n", 1000), "! it is a list of store paths"},
		{"path-info -s", pathA + "\t   42\n" + pathB + "\t   7\n", "! it is a list of store paths"},
		{"one with its size", pathA + "\t   42\n", "! it is a list of store paths"},
		{"store paths in JSON", `["` + pathA + `"]`, "! it is a list of store paths"},
		{"nix build", `[{"drvPath":"` + pathA + `.drv","outputs":{"out":"` + pathA + `"}}]`, "! it is about derivations"},
		{"nix derivation show", `{"` + pathA + `.drv":{"builder":"/bin/sh","outputs":{}}}`, "! it is about derivations"},
		{"nix derivation show of Nix 2.32", `{"derivations":{},"version":4}`, "! it is about derivations"},
		{"cut in a record", pathA + "\n" + hexA + "\n42\n", "! ends within the record"},
		{"cut in references", pathA + "\n" + hexA + "\n42\n\n2\n" + pathA + "\n", "! ends within the record"},
		{"other hash", pathA + "\nsha1:abc\n42\n\n0\n", "! line 2: hash \"sha1:abc\": not a SHA-256"},
		{"invalid size", pathA + "\n" + hexA + "\nx\n\n0\n", `! line 3: "x" is not a number`},
		{"negative size", pathA + "\n" + hexA + "\n-1\n\n0\n", `! line 3: "-1" is not a number`},
		{"many references", pathA + "\n" + hexA + "\n1\n\n9000000000000000000\n", "! line 5: 9000000000000000000 references"},
		{"invalid reference", pathA + "\n" + hexA + "\n1\n\n1\n/nix/store/x\n", "! line 6: store path"},
		{"two store directories", "/gnu/store/" + baseA + "\n" + hexA + "\n1\n\n1\n" + pathB + "\n", "! in another store directory than /gnu/store"},
		{"two store directories in JSON", `{"version":2,"storeDir":"/gnu/store","info":{"` + pathA + `":{"narHash":"` + hexA + `","narSize":1,"references":["` + baseB + `"]}}}`,
			"! in another store directory than /nix/store"},
		{"a store directory that is none", `{"version":2,"storeDir":"gnu","info":{}}`, `! store directory "gnu": want an absolute path`},
		{"two hashes", text(hexA) + strings.Replace(text(hexA), hexA[:8], "00000000", 1), "! appears twice"},
		{"broken JSON", "[{", "! unexpected EOF"},
		{"data after JSON", "[] x", "! data after the JSON"},
		{"entry without path", `[{"narHash":"x"}]`, "! entry 0 has no path"},
		{"hash in JSON", `[{"path":"` + pathA + `","narHash":"sha256-x"}]`, "! not base 64"},
		{"no hash in JSON", `[{"path":"` + pathA + `","narSize":42,"references":[]}]`, "! its NAR hash is missing"},
		{"no references in JSON", `[{"path":"` + pathA + `","narHash":"` + hexA + `","narSize":42}]`, "! its references are missing"},
		{"size in JSON", `[{"path":"` + pathA + `","narSize":-1}]`, "! NAR size -1"},
		{"manifest.json", `{"version":3,"elements":{}}`, "! it is the manifest of a profile"},
		{"a long name, cut in a record", "/nix/store/" + strings.Repeat("0", 32) + "-" + strings.Repeat("n", 211) + "\n" + hexA + "\n42\n", "! ends within the record"},
	}
}

// text formats infos like the table of cases.
func text(infos []*profile.Info) string {
	var b strings.Builder
	for _, info := range infos {
		hash := "-"
		if info.NarHash.Known() {
			hash = info.NarHash.Hex()
		}
		var refs []string
		for _, r := range info.References {
			refs = append(refs, r.Base())
		}
		fmt.Fprintf(&b, "%s %s %d %s\n", info.Path.Base(), hash, info.NarSize, strings.Join(refs, " "))
	}
	return b.String()
}

func TestParse(t *testing.T) {
	for _, test := range cases() {
		t.Run(test.name, func(t *testing.T) {
			infos, err := references.Parse(strings.NewReader(test.in))
			if want, ok := strings.CutPrefix(test.want, "! "); ok {
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("Parse() = %q, %v; want an error with %q", text(infos), err, want)
				}
				return
			}
			if d := cmp.Diff(test.want, text(infos)); d != "" || err != nil {
				t.Errorf("Parse(%q): %v (-want +got):\n%s", test.in, err, d)
			}
		})
	}
}

// TestParseGolden checks that two files that Nix wrote of the same closure agree.
func TestParseGolden(t *testing.T) {
	f, err := os.Open(storetest.File(t, "basic.registration"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	got, err := references.Parse(f)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(storetest.GoldenInfos(t), got, cmpopts.EquateEmpty(), cmpopts.IgnoreFields(profile.Info{}, "CA")); d != "" {
		t.Errorf("registration against path-info (-want +got):\n%s", d)
	}
}

// TestParseVouchers checks that Parse reads the signatures and content addresses of every format.
func TestParseVouchers(t *testing.T) {
	for _, in := range []string{
		`[{"path":"` + pathA + `","narHash":"` + hexA + `","references":[],"signatures":["k:s"],"ca":"fixed:r:sha256:x"}]`,
		`{"version":2,"storeDir":"/nix/store","info":{"` + baseA + `":{"narHash":"` + hexA + `","references":[],"signatures":["k:s"],"ca":{"method":"nar","hash":"sha256-x"}}}}`,
		`{"version":3,"storeDir":"/nix/store","info":{"` + baseA + `":{"narHash":"` + hexA + `","references":[],"signatures":[{"keyName":"k","sig":"s"}],"ca":{"method":"nar","hash":"sha256-x"}}}}`,
	} {
		infos, err := references.Parse(strings.NewReader(in))
		if err != nil || len(infos) != 1 || !cmp.Equal(infos[0].Signatures, []string{"k:s"}) || infos[0].CA != "fixed:r:sha256:x" {
			t.Errorf("Parse(%s) = %+v, %v; want the signature k:s and the content address fixed:r:sha256:x", in, infos, err)
		}
	}
	for method, want := range map[string]string{"flat": "fixed:sha256:x", "text": "text:sha256:x", "git": "git:sha256:x"} {
		in := `[{"path":"` + pathA + `","narHash":"` + hexA + `","references":[],"ca":{"method":"` + method + `","hash":"sha256-x"}}]`
		if infos, err := references.Parse(strings.NewReader(in)); err != nil || infos[0].CA != want {
			t.Errorf("Parse(%s) = %+v, %v; want %s", in, infos, err, want)
		}
	}
}

// FuzzParse checks that accepted metadata survives a round trip through JSON.
func FuzzParse(f *testing.F) {
	for _, test := range cases() {
		f.Add(test.in)
	}
	f.Fuzz(func(t *testing.T, in string) {
		infos, err := references.Parse(strings.NewReader(in))
		if err != nil || len(infos) == 0 {
			return
		}
		type row struct {
			Path       profile.Path   `json:"path"`
			NarHash    string         `json:"narHash"`
			NarSize    int64          `json:"narSize"`
			References []profile.Path `json:"references"`
			Deriver    profile.Path   `json:"deriver,omitempty"`
			Signatures []string       `json:"signatures,omitempty"`
			CA         string         `json:"ca,omitempty"`
		}
		var rows []row
		for _, info := range infos {
			r := row{Path: info.Path, NarSize: info.NarSize, References: info.References, Deriver: info.Deriver, Signatures: info.Signatures, CA: info.CA}
			if !info.NarHash.Known() {
				return // the form without hashes cannot be written as JSON
			}
			r.NarHash = info.NarHash.String()
			rows = append(rows, r)
		}
		b, err := json.Marshal(rows)
		if err != nil {
			t.Fatal(err)
		}
		again, err := references.Parse(strings.NewReader(string(b)))
		if d := cmp.Diff(infos, again, cmpopts.EquateEmpty()); d != "" || err != nil {
			t.Errorf("Parse(%s): %v (-want +got):\n%s", b, err, d)
		}
	})
}

func golden(t *testing.T) profile.Store {
	t.Helper()
	f, err := os.Open(storetest.File(t, "basic.nix-export"))
	if err != nil {
		t.Fatal(err)
	}
	in, err := input.Open(t.Context(), f, input.Options{})
	if err != nil {
		t.Fatal(err)
	}
	s, err := exportstore.Read(in)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// bareStore is a store without metadata.
type bareStore struct{ profile.Store }

func (bareStore) Info(_ context.Context, p profile.Path) (*profile.Info, error) {
	return nil, fmt.Errorf("no database: %w", errors.ErrUnsupported)
}

func TestOverlay(t *testing.T) {
	bare := storetest.GoldenInfos(t)
	for _, info := range bare {
		info.NarHash, info.NarSize = profile.Hash{}, 0
	}
	hashOnly := storetest.GoldenInfos(t)
	for _, info := range hashOnly {
		info.NarSize = 0
	}
	for name, s := range map[string]profile.Store{
		"store with metadata":               references.Overlay(golden(t), storetest.GoldenInfos(t)),
		"store without metadata":            references.Overlay(bareStore{golden(t)}, storetest.GoldenInfos(t)),
		"no hashes, store with metadata":    references.Overlay(golden(t), bare),
		"no hashes, store without metadata": references.Overlay(bareStore{golden(t)}, bare),
		"no sizes, store without metadata":  references.Overlay(bareStore{golden(t)}, hashOnly),
	} {
		t.Run(name, func(t *testing.T) { storetest.Golden(t, s) })
	}
}

func TestOverlayWrong(t *testing.T) {
	p := storetest.GoldenProfile
	wrong := func(change func(*profile.Info)) []*profile.Info {
		infos := storetest.GoldenInfos(t)
		for _, info := range infos {
			if info.Path == p {
				change(info)
			}
		}
		return infos
	}
	var hash *nar.HashError
	otherHash := wrong(func(i *profile.Info) { i.NarHash = profile.Hash{1} })
	if _, err := references.Overlay(golden(t), otherHash).Info(t.Context(), p); !errors.As(err, &hash) {
		t.Errorf("Info with another hash than the store's: %v; want a HashError", err)
	}
	if _, err := storetest.List(references.Overlay(bareStore{golden(t)}, otherHash).Files(t.Context(), p)); !errors.As(err, &hash) {
		t.Errorf("Files with another hash: %v; want a HashError", err)
	}
	unsized := wrong(func(i *profile.Info) { i.NarHash, i.NarSize = profile.Hash{1}, 0 })
	if _, err := references.Overlay(bareStore{golden(t)}, unsized).Info(t.Context(), p); !errors.As(err, &hash) {
		t.Errorf("Info with another hash and no size: %v; want a HashError", err)
	}
	var size *nar.SizeError
	otherSize := wrong(func(i *profile.Info) { i.NarSize++ })
	if _, err := storetest.List(references.Overlay(golden(t), otherSize).Files(t.Context(), p)); !errors.As(err, &size) {
		t.Errorf("Files with another size: %v; want a SizeError", err)
	}
	if _, err := references.Overlay(golden(t), nil).Info(t.Context(), p); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Info of an object that the references lack: %v; want %v", err, fs.ErrNotExist)
	}
}
