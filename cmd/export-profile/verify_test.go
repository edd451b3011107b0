package main

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
	"github.com/opencontainers/go-digest"
	ispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/export-profile/export-profile/profile/storetest"
)

// TestVerifyFaults checks that each fault is found, and reported with its place.
func TestVerifyFaults(t *testing.T) {
	original := filepath.Join(t.TempDir(), "image")
	if out, status := verifyRun(t, "image", "--quiet", "--no-cache", "--layers", "per-path",
		"--from", storetest.File(t, "basic.nix-export"), "oci:"+original); status != 0 {
		t.Fatal(out)
	}
	for _, test := range verifyFaults {
		t.Run(test.name, func(t *testing.T) {
			p := &testImage{t: t, dir: filepath.Join(t.TempDir(), "image")}
			p.must(os.CopyFS(p.dir, os.DirFS(original)))
			p.load()
			test.plant(p)
			out, status := verifyRun(t, append([]string{"verify", "oci:" + p.dir}, test.flags...)...)
			want := 3
			if len(test.want) == 0 {
				want = 0
			}
			lines := strings.Split(strings.TrimSpace(out), "\n")
			if status != want || want == 3 && len(lines) != len(test.want) {
				t.Fatalf("exit status %d with %d lines; want %d with %d:\n%s", status, len(lines), want, len(test.want), out)
			}
			for i, w := range test.want {
				if !strings.Contains(lines[i], w) {
					t.Errorf("problem %d is\n%s\nwant\n%s", i+1, lines[i], w)
				}
			}
		})
	}
}

// TestVerifyStops checks that a cancelled run has no verdict.
func TestVerifyStops(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "image")
	if out, status := verifyRun(t, "image", "--quiet", "--no-cache", "--from", storetest.File(t, "basic.nix-export"), "oci:"+dir); status != 0 {
		t.Fatal(out)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var out, stderr bytes.Buffer
	if status := run(ctx, []string{"verify", "oci:" + dir}, terminal{out: &out, err: &stderr}); status != 1 || out.Len() > 0 {
		t.Errorf("verify, cancelled, exits with %d and prints %q; want 1 and nothing", status, &out)
	}
}

func verifyRun(t *testing.T, args ...string) (string, int) {
	t.Helper()
	var out, stderr bytes.Buffer
	status := run(t.Context(), args, terminal{out: &out, err: &stderr})
	if status != 0 && status != 3 {
		return stderr.String(), status
	}
	return out.String(), status
}

var verifyFaults = []struct {
	name  string
	plant func(*testImage)
	flags []string
	want  []string // a part of each problem
}{
	{name: "none", plant: func(p *testImage) {}},
	{name: "none: all written again", plant: func(p *testImage) {
		for i := range p.manifest.Layers {
			p.edit(i, func(f []tarFile) []tarFile { return f })
		}
	}},
	{name: "manifest damaged", plant: func(p *testImage) { p.damage(p.blob(p.index.Manifests[0].Digest)) },
		want: []string{"has the digest sha256:", ""}},
	{name: "config damaged", plant: func(p *testImage) { p.damage(p.blob(p.manifest.Config.Digest)) },
		want: []string{"has the digest sha256:"}},
	{name: "index damaged", plant: func(p *testImage) {
		p.must(os.WriteFile(filepath.Join(p.dir, "index.json"), []byte(`{"schemaVersion":2,"manifests":[`), 0o644))
	}, want: []string{"index.json: not JSON: unexpected EOF"}},
	{name: "layer damaged", plant: func(p *testImage) { p.damage(p.blob(p.manifest.Layers[0].Digest)) },
		want: []string{"read layer: ", "has the digest sha256:"}},
	{name: "layer cut", plant: func(p *testImage) {
		p.must(os.Truncate(p.blob(p.manifest.Layers[0].Digest), p.manifest.Layers[0].Size-100))
	}, want: []string{"read layer: unexpected EOF", "has the digest sha256:", "bytes, but its descriptor says"}},
	{name: "manifest missing", plant: func(p *testImage) { p.must(os.Remove(p.blob(p.index.Manifests[0].Digest))) },
		want: []string{": is missing"}},
	{name: "config missing", plant: func(p *testImage) { p.must(os.Remove(p.blob(p.manifest.Config.Digest))) },
		want: []string{": is missing"}},
	{name: "layer missing", plant: func(p *testImage) { p.must(os.Remove(p.blob(p.manifest.Layers[2].Digest))) },
		want: []string{"layer 3: sha256:"}},
	{name: "layer a directory", plant: func(p *testImage) {
		p.must(os.Remove(p.blob(p.manifest.Layers[2].Digest)))
		p.must(os.Mkdir(p.blob(p.manifest.Layers[2].Digest), 0o755))
	}, want: []string{"not a regular file"}},
	{name: "oci-layout missing", plant: func(p *testImage) { p.must(os.Remove(filepath.Join(p.dir, "oci-layout"))) },
		want: []string{"oci-layout: is missing"}},
	{name: "oci-layout of another version", plant: func(p *testImage) {
		p.must(os.WriteFile(filepath.Join(p.dir, "oci-layout"), []byte(`{"imageLayoutVersion":"2.0.0"}`), 0o644))
	}, want: []string{`oci-layout: imageLayoutVersion: is "2.0.0", want "1.0.0"`}},
	{name: "layer's size wrong", plant: func(p *testImage) { p.manifest.Layers[1].Size++; p.save() },
		want: []string{"layer 2: sha256:"}},
	{name: "manifest's size wrong", plant: func(p *testImage) { p.index.Manifests[0].Size++; p.saveIndex() },
		want: []string{"bytes, but its descriptor says"}},
	{name: "diffID wrong", plant: func(p *testImage) { p.config.RootFS.DiffIDs[1] = digest.FromString("x"); p.save() },
		want: []string{"once decompressed, but the config says sha256:2d71"}},
	{name: "media type of a layer wrong", plant: func(p *testImage) {
		p.manifest.Layers[1].MediaType = ispec.MediaTypeImageLayerZstd
		p.save()
	}, want: []string{"read layer: "}},
	{name: "media type of a layer unknown", plant: func(p *testImage) { p.manifest.Layers[1].MediaType = "application/x"; p.save() },
		want: []string{`has the media type "application/x", which is not that of a layer`}},
	{name: "media type of the manifest unknown", plant: func(p *testImage) {
		p.index.Manifests[0].MediaType = "application/vnd.docker.distribution.manifest.v2+json"
		p.saveIndex()
	}, want: []string{"neither a manifest nor an index"}},
	{name: "media type of the config unknown", plant: func(p *testImage) { p.manifest.Config.MediaType = ispec.MediaTypeEmptyJSON; p.save() },
		want: []string{"config.mediaType: is", "diff_ids: has 0 items, but the manifest has 7 layers"}},
	{name: "platform of the descriptor wrong", plant: func(p *testImage) {
		p.index.Manifests[0].Platform = &ispec.Platform{OS: "linux", Architecture: "riscv64"}
		p.saveIndex()
	}, want: []string{"is for linux/amd64/, but the index says linux/riscv64/"}},

	{name: "config's fields", plant: func(p *testImage) {
		p.config.OS, p.config.Architecture, p.config.RootFS.Type = "", "", "layer"
		p.config.Config.Env = []string{"PATH", "A=b", "=x"}
		p.config.Config.Entrypoint, p.config.Config.Cmd = []string{"a\x00b"}, []string{"", "c\x00"}
		p.config.Config.ExposedPorts = map[string]struct{}{"http": {}}
		p.save()
	}, want: []string{"architecture: is empty", "os: is empty", "config.ExposedPorts.http: want PORT", `config.Env[0]: "PATH": want NAME=VALUE`,
		`config.Env[2]: "=x": want NAME=VALUE`, `config.Entrypoint[0]: has a NUL`, `config.Cmd[1]: has a NUL`, `rootfs.type: is "layer", want "layers"`}},
	{name: "config without required fields", plant: func(p *testImage) { p.saveConfig([]byte(`{}`)) },
		want: []string{"architecture: is missing", "os: is missing", "rootfs: is missing", "diff_ids: has 0 items, but the manifest has 7 layers"}},
	{name: "config not an object", plant: func(p *testImage) { p.saveConfig([]byte(`[]`)) },
		want: []string{"is an array, want an object"}},
	{name: "config ambiguous", plant: func(p *testImage) {
		b, err := json.Marshal(p.config)
		p.must(err)
		p.saveConfig(append([]byte(`{"os":"windows","Architecture":"arm",`), b[1:]...))
	}, want: []string{`Architecture: must be spelled "architecture"`, "os: occurs twice"}},
	{name: "manifest's fields", plant: func(p *testImage) {
		b, err := json.Marshal(p.manifest)
		p.must(err)
		b = bytes.Replace(b, []byte(`"schemaVersion":2`), []byte(`"schemaVersion":1`), 1)
		p.saveManifest(bytes.Replace(b, []byte(`"size":`), []byte(`"size":-`), 1))
	}, want: []string{"schemaVersion: is 1, want 2", "config.size: -", "bytes, but its descriptor says -"}},
	{name: "diffID missing", plant: func(p *testImage) { p.config.RootFS.DiffIDs = p.config.RootFS.DiffIDs[1:]; p.save() },
		want: []string{"rootfs.diff_ids: has 6 items, but the manifest has 7 layers"}},
	{name: "history too long", plant: func(p *testImage) { p.config.History = append(p.config.History, p.config.History[0]); p.save() },
		want: []string{"history: has 8 items with a layer, but the manifest has 7 layers"}},
	{name: "history not readable", plant: func(p *testImage) { p.config.History[0].Comment = "some thing"; p.save() },
		want: []string{`history of layer 1: history: "some" does not name an object`}},
	{name: "history without an object", plant: func(p *testImage) { p.config.History[p.layer("hello")].Comment = ""; p.save() },
		want: []string{`is a store object that the history does not list`}},
	{name: "history with another object", plant: func(p *testImage) {
		p.config.History[p.layer("hello")].Comment += " zzz:12"
		p.save()
	}, want: []string{`"nix/store/zzz": is missing, but the history lists it`}},
	{name: "history of another hash", plant: func(p *testImage) {
		h := &p.config.History[p.layer(helloName)]
		h.Comment = helloName + "@0123456789ab" + h.Comment[strings.LastIndexByte(h.Comment, ':'):]
		p.save()
	}, want: []string{helloPath + `": its NAR hash begins with`}},
	{name: "history of another size", plant: func(p *testImage) { p.config.History[p.layer("hello")].Comment += "0"; p.save() },
		want: []string{helloPath + `": its NAR has `}},
	{name: "history hides a visible object", plant: func(p *testImage) { p.config.History[6].Comment += " -" + helloName; p.save() },
		want: []string{helloPath + `": is not hidden, but the history says that it is`}},
	{name: "history hides an object that no layer has", plant: func(p *testImage) {
		p.config.History[6].Comment += " -zzz"
		p.insert("base", "nix/store/", regular("nix/store/.wh.zzz", ""))
	}, want: []string{`"nix/store/zzz": is hidden, but no lower layer has it`}},
	{name: "same name twice", plant: func(p *testImage) {
		i := p.layer("hello")
		p.config.History = append(p.config.History, ispec.History{CreatedBy: "export-profile", Comment: p.config.History[i].Comment})
		p.manifest.Layers = append(p.manifest.Layers, p.manifest.Layers[i])
		p.config.RootFS.DiffIDs = append(p.config.RootFS.DiffIDs, p.config.RootFS.DiffIDs[i])
		p.config.History[7].Comment = helloName + "@0123456789ab:1"
		p.save()
	}, want: []string{helloPath + `": its NAR hash begins with`, "differs from the object in layer "}},

	{name: "content changed", plant: func(p *testImage) {
		p.editFile("hello", "/bin/hello", func(f *tarFile) { f.content[0] ^= 1 })
	}, want: []string{helloPath + `": its NAR hash begins with`}},
	{name: "file missing", plant: func(p *testImage) {
		p.edit(p.layer("hello"), func(f []tarFile) []tarFile { i := find(p.t, f, "/bin/hello"); return slices.Delete(f, i, i+1) })
	}, want: []string{helloPath + `": its NAR hash begins with`}},
	{name: "file added", plant: func(p *testImage) { p.insert("hello", "/bin/hello", regular(helloPath+"/bin/zzz", "")) },
		want: []string{helloPath + `": its NAR hash begins with`}},
	{name: "object missing", plant: func(p *testImage) {
		p.edit(p.layer("hello"), func(f []tarFile) []tarFile { return f[:find(p.t, f, helloName+"/")] })
	}, want: []string{helloPath + `": is missing, but the history lists it`}},
	{name: "object added", plant: func(p *testImage) { p.insert("hello", "nix/store/", regular("nix/store/0", "")) },
		want: []string{`"nix/store/0": is a store object that the history does not list`}},
	{name: "mode changed", plant: func(p *testImage) {
		p.editFile("hello", "/bin/hello", func(f *tarFile) { f.Mode = 0o4755 })
	}, want: []string{`bin/hello": has the mode 4755, which no entry may have`}},
	{name: "file writable", plant: func(p *testImage) {
		p.editFile("hello", "/bin/hello", func(f *tarFile) { f.Mode = 0o755 })
	}, want: []string{`bin/hello": has the mode -rwxr-xr-x, want -r-xr-xr-x`}},
	{name: "owner", plant: func(p *testImage) { p.editFile("hello", "/bin/hello", func(f *tarFile) { f.Uid = 7 }) },
		want: []string{`bin/hello": has the owner 7:0, want 0:0`}},
	{name: "owner's name", plant: func(p *testImage) { p.editFile("hello", "/bin/hello", func(f *tarFile) { f.Uname = "root" }) },
		want: []string{`bin/hello": has an owner name`}},
	{name: "time", plant: func(p *testImage) {
		p.editFile("hello", "/bin/hello", func(f *tarFile) { f.ModTime = f.ModTime.Add(1e9) })
	}, want: []string{`bin/hello": has the time 2, want 1`}},
	{name: "attribute", plant: func(p *testImage) {
		p.editFile("hello", "/bin/hello", func(f *tarFile) {
			f.Format, f.PAXRecords = tar.FormatPAX, map[string]string{"SCHILY.xattr.security.capability": "x"}
		})
	}, want: []string{`bin/hello": has the attribute "SCHILY.xattr.security.capability"`}},
	{name: "GNU tar", plant: func(p *testImage) {
		p.editFile("hello", "/bin/hello", func(f *tarFile) { f.Format = tar.FormatGNU })
	}, want: []string{`bin/hello": has a GNU extension`}},
	{name: "hard link", plant: func(p *testImage) {
		p.insert("hello", "/bin/hello", tarFile{Header: tar.Header{Name: helloPath + "/bin/zzz", Typeflag: tar.TypeLink, Linkname: "etc/passwd", ModTime: mtime}})
	}, want: []string{`bin/zzz": is neither a directory, a regular file nor a symbolic link`}},
	{name: "device", plant: func(p *testImage) {
		p.insert("hello", "/bin/hello", tarFile{Header: tar.Header{Name: helloPath + "/bin/zzz", Typeflag: tar.TypeChar, ModTime: mtime}})
	}, want: []string{`bin/zzz": is neither`}},
	{name: "out of order", plant: func(p *testImage) { p.insert("hello", "/bin/hello", regular(helloPath+"/bin/a", "")) },
		want: []string{`bin/a": comes after "nix/store/`}},
	{name: "twice", plant: func(p *testImage) { p.insert("hello", "/bin/hello", regular(helloPath+"/bin/hello", "")) },
		want: []string{`bin/hello": occurs twice`}},
	{name: "below a file", plant: func(p *testImage) { p.insert("hello", "/bin/hello", regular(helloPath+"/bin/hello/a", "")) },
		want: []string{`bin/hello/a": its parent is not a directory`}},
	{name: "name leads out", plant: func(p *testImage) {
		p.insert("hello", "/bin/hello", regular(helloPath+"/bin/../../../../etc/passwd", ""))
	},
		want: []string{`name "..": not allowed`}},
	{name: "name absolute", plant: func(p *testImage) { p.insert("hello", "/bin/hello", regular("/etc/passwd", "")) },
		want: []string{`"/etc/passwd": is an absolute path`}},
	{name: "path too deep", plant: func(p *testImage) {
		p.insert("hello", "/bin/hello", regular(helloPath+"/bin/"+strings.Repeat("x/", 2000)+"x", ""))
	}, want: []string{`: is too deep`}},
	{name: "name too long", plant: func(p *testImage) {
		p.insert("hello", "/bin/hello", regular(helloPath+"/bin/"+strings.Repeat("x", 300), ""))
	},
		want: []string{`longer than 255 bytes`}},
	{name: "whiteout in an object", plant: func(p *testImage) { p.insert("hello", "/bin/hello", regular(helloPath+"/bin/.wh.x", "")) },
		want: []string{`is a whiteout, but not of a store object`}},
	{name: "whiteout not in the history", plant: func(p *testImage) { p.insert("base", "nix/store/", regular("nix/store/.wh."+helloName, "")) },
		want: []string{`is a whiteout that the history does not list`}},
	{name: "whiteout with content", plant: func(p *testImage) {
		p.config.History[6].Comment += " -" + helloName
		p.insert("base", "nix/store/", regular("nix/store/.wh."+helloName, "x"))
	}, want: []string{`is a whiteout but not an empty file`, "is not hidden"}},
	{name: "opaque whiteout", plant: func(p *testImage) { p.insert("base", "nix/store/", regular("nix/store/.wh..wh..opq", "")) },
		want: []string{`is a whiteout, but not of a store object`}},
	{name: "base file changed", plant: func(p *testImage) {
		p.editFile("base", "etc/passwd", func(f *tarFile) { f.content = append(f.content, "toor::0:0::/:/bin/sh\n"...) })
	}, want: []string{"the hash of the base files begins with"}},
	{name: "base file's mode", plant: func(p *testImage) { p.editFile("base", "tmp/", func(f *tarFile) { f.Mode = 0o755 }) },
		want: []string{"the hash of the base files begins with"}},
	{name: "base file in another layer", plant: func(p *testImage) {
		p.edit(p.layer("hello"), func(f []tarFile) []tarFile { return slices.Insert(f, 0, regular("a", "")) })
	}, want: []string{`"a": is a base file, but the history lists none`}},
	{name: "base files missing", plant: func(p *testImage) {
		p.edit(p.layer("base"), func(f []tarFile) []tarFile {
			return slices.DeleteFunc(f, func(f tarFile) bool { return !strings.HasPrefix(f.Name, "nix/") })
		})
	}, want: []string{"has no base files, but the history lists them"}},
	{name: "tar without an end", plant: func(p *testImage) { b := p.readLayer(0); p.setLayer(0, b[:len(b)-1024]) },
		want: []string{"the tar ends without its two zero blocks"}},
	{name: "tar cut", plant: func(p *testImage) { b := p.readLayer(0); p.setLayer(0, b[:len(b)-1024-256]) },
		want: []string{"read layer: unexpected EOF"}},
	{name: "text after the tar", plant: func(p *testImage) { p.setLayer(0, append(p.readLayer(0), "secret"...)) },
		want: []string{"6 bytes follow the tar's end"}},
	{name: "zeros after the tar", plant: func(p *testImage) { p.setLayer(0, append(p.readLayer(0), make([]byte, 9)...)) },
		want: []string{"9 bytes follow the tar's end"}},
	{name: "no tar", plant: func(p *testImage) { p.setLayer(0, bytes.Repeat([]byte("x"), 1024)) },
		want: []string{"read layer: archive/tar: invalid tar header"}},
	{name: "bomb", plant: func(p *testImage) {
		p.insert("hello", "/bin/hello", regular(helloPath+"/bin/zzz", strings.Repeat("\x00", 8<<20)))
	}, flags: []string{"--max-layer", "1MiB"}, want: []string{"it has more than 1048576 bytes once decompressed"}},
	{name: "zstd window", plant: func(p *testImage) {
		// A frame with a window of 1 GiB: magic, descriptor, window, and one empty raw block, the last.
		p.manifest.Layers[0].MediaType = ispec.MediaTypeImageLayerZstd
		p.manifest.Layers[0].Digest, p.manifest.Layers[0].Size = p.put([]byte{0x28, 0xb5, 0x2f, 0xfd, 0, 20 << 3, 1, 0, 0})
		p.save()
	}, want: []string{"read layer: " + zstd.ErrWindowSizeExceeded.Error()}},
	{name: "many", plant: func(p *testImage) {
		var more []tarFile
		for i := range 500 {
			more = append(more, regular(fmt.Sprintf("nix/store/%d", 1000+i), ""))
		}
		p.insert("hello", "nix/store/", more...)
	}, want: []string{`"nix/store/1000": is a store object that the history does not list (and 499 more like it)`}},

	{name: "none: another program's layer", plant: func(p *testImage) {
		p.foreign(regular("./srv/z", "x"), regular("srv/a", "y"), tarFile{Header: tar.Header{Name: "srv/b", Typeflag: tar.TypeLink, Linkname: "srv/a"}})
	}},
	{name: "none: another program's image", plant: func(p *testImage) { p.config.History = nil; p.save() }},
	{name: "another program's layer changes an object", plant: func(p *testImage) { p.foreign(regular(helloPath+"/bin/hello", "x")) },
		want: []string{helloPath + `": is changed by another program`}},
	{name: "another program's layer hides an object", plant: func(p *testImage) { p.foreign(regular("nix/store/.wh."+helloName, "")) },
		want: []string{helloPath + `": is hidden by another program`}},
	{name: "another program's layer hides a file", plant: func(p *testImage) { p.foreign(regular(helloPath+"/bin/.wh.hello", "")) },
		want: []string{helloPath + `": is changed by another program`}},
	{name: "another program's layer hides the store", plant: func(p *testImage) { p.foreign(regular("nix/store/.wh..wh..opq", "")) },
		want: []string{`": is hidden by another program, but comes from layer 1 (and 5 more like it)`}},
	{name: "another program's layer is in place of the store", plant: func(p *testImage) {
		p.foreign(tarFile{Header: tar.Header{Name: "nix", Typeflag: tar.TypeSymlink, Linkname: "/evil"}})
	}, want: []string{`": is hidden by another program, but comes from layer 1 (and 5 more like it)`}},
	{name: "another program's layer with bad names", plant: func(p *testImage) {
		p.foreign(regular("../x", ""), regular("/etc/x", ""), regular("a", ""), regular("a", ""), regular("a/b", ""), regular("c/d", ""), regular("c", ""),
			tarFile{Header: tar.Header{Name: "l", Typeflag: tar.TypeLink, Linkname: "../../etc/passwd"}},
			tarFile{Header: tar.Header{Name: "e", Typeflag: tar.TypeSymlink, Linkname: "/"}}, regular("e/f", ""), regular(".wh.x", "y"))
	}, want: []string{`"../x": name "..": not allowed`, `"/etc/x": is an absolute path`, `"a": occurs twice`, `"a/b": is below "a", which is not a directory (and 1 more like it)`,
		`"c": is not a directory, but there are entries below it`, `"l": is a hard link to "../../etc/passwd": name "..": not allowed`,
		`".wh.x": is a whiteout but not an empty file`}},
}
