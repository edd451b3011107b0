package e2e

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// golden returns the export stream of a small closure.
func golden(t *testing.T) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(lab.repo, "testdata/basic.nix-export"))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// TestBadStream checks the errors for files that are not complete export streams.
func TestBadStream(t *testing.T) {
	whole := golden(t)
	stream := func(content string) func(*testing.T, string) {
		return func(t *testing.T, dir string) { writeFile(t, filepath.Join(dir, "stream"), content) }
	}
	object := dash(t)
	for _, m := range []mistake{
		{name: "missing", err: `stream: no such file or directory`},
		{name: "empty", prepare: stream(""), err: `not an export stream, but empty`, hint: `nix-store --export`},
		{name: "text", prepare: stream("hello\n"), err: `not an export stream`, hint: `nix-store --export`},
		{name: "compressed text", prepare: stream(compress(t, "hello\n")), err: `not an export stream`, hint: `nix-store --export`},
		{name: "compressed, cut", prepare: stream(compress(t, whole)[:1000]), err: `unexpected EOF`, hint: `too early`},
		{
			name:    "NAR",
			prepare: func(t *testing.T, dir string) { stream(do(t, nix("nix-store", "--dump", object)).stdout)(t, dir) },
			err:     `not an export stream, but a bare NAR`, hint: `nix-store --export`,
		},
		{
			name:    "tar",
			prepare: func(t *testing.T, dir string) { writeTar(t, filepath.Join(dir, "stream"), "nix/store/x", "x") },
			err:     `find default profile: no store paths in it`,
		},
		{name: "concatenated", prepare: stream(whole + whole), err: fmt.Sprintf(`read export stream .*at byte %d`, len(whole))},
		{
			name:    "not closed",
			prepare: func(t *testing.T, dir string) { stream(do(t, nix("nix-store", "--export", object)).stdout)(t, dir) },
			err:     `-libc6-`, hint: `nix-store --export \$\(nix-store -qR`,
		},
	} {
		m.status, m.args = 1, []string{"image", "--from", "stream", "oci:x"}
		m.check(t)
	}
}

func compress(t *testing.T, s string) string {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, err := w.Write([]byte(s))
	if err := errors.Join(err, w.Close()); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// TestCutStream cuts a stream at a sample of its bytes; package exportstore's tests cut it at every byte.
func TestCutStream(t *testing.T) {
	whole := golden(t)
	const cuts = 50
	for i := range cuts {
		at := 1 + i*(len(whole)-1)/cuts
		args := []string{"image", "--from", "stream", "oci:x"}
		if i%2 == 1 {
			args = []string{"rootfs", "--from", "stream", "x"}
		}
		mistake{
			name: fmt.Sprint(at), status: 1, args: args, err: `read export stream "stream": .*unexpected EOF`, hint: `too early`,
			prepare: func(t *testing.T, dir string) { writeFile(t, filepath.Join(dir, "stream"), whole[:at]) },
		}.check(t)
	}
}

// TestBadReferences checks the errors for a file of hashes and references that do not match the content.
func TestBadReferences(t *testing.T) {
	b, err := os.ReadFile(filepath.Join(lab.repo, "testdata/basic.registration"))
	if err != nil {
		t.Fatal(err)
	}
	registration := string(b)
	hashes := regexp.MustCompile(`(?m)^[0-9a-f]{64}$`).FindAllString(registration, -1)
	if len(hashes) < 2 {
		t.Fatalf("no hashes in %q", registration)
	}
	for _, m := range []mistake{
		{name: "hash", prepare: func(t *testing.T, dir string) {
			writeFile(t, filepath.Join(dir, "references"), strings.Replace(registration, hashes[0], hashes[1], 1))
		}, err: `hash`},
		{name: "cut", prepare: func(t *testing.T, dir string) {
			writeFile(t, filepath.Join(dir, "references"), registration[:len(registration)/2])
		}, err: `read references "references"`},
		{name: "missing", err: `read references: .*references: no such file`},
	} {
		m.status, m.args = 1, []string{"image", "--from", "stream", "--references", "references", "oci:x"}
		prepare := m.prepare
		m.prepare = func(t *testing.T, dir string) {
			writeFile(t, filepath.Join(dir, "stream"), golden(t))
			if prepare != nil {
				prepare(t, dir)
			}
		}
		m.check(t)
	}
}

// TestBadStore checks the errors for damaged copies of a store, and for other directories.
func TestBadStore(t *testing.T) {
	object := dash(t)
	const db = "nix/var/nix/db/db.sqlite"
	program := object[1:] + "/bin/dash"
	edit := func(name string, f func(string) string) func(*testing.T, string) {
		return func(t *testing.T, root string) {
			b, err := os.ReadFile(filepath.Join(root, name))
			if err != nil {
				t.Fatal(err)
			}
			writeFile(t, filepath.Join(root, name), f(string(b)))
		}
	}
	remove := func(name string) func(*testing.T, string) {
		return func(t *testing.T, root string) {
			if err := os.RemoveAll(filepath.Join(root, name)); err != nil {
				t.Fatal(err)
			}
		}
	}
	mode := func(name string, mode os.FileMode) func(*testing.T, string) {
		return func(t *testing.T, root string) {
			if err := os.Chmod(filepath.Join(root, name), mode); err != nil {
				t.Fatal(err)
			}
		}
	}
	half := func(s string) string { return s[:len(s)/2] }
	otherByte := func(s string) string {
		b := []byte(s)
		b[len(b)-1] ^= 1
		return string(b)
	}
	for _, m := range []mistake{
		{name: "database/unreadable", prepare: mode(db, 0), err: `db\.sqlite.*permission denied`, hint: `^get permission to read it`},
		{name: "database/empty", prepare: edit(db, func(string) string { return "" }), err: `db\.sqlite": is empty`},
		{name: "database/cut", prepare: edit(db, half), err: `db\.sqlite": damaged`},
		{name: "database/text", prepare: edit(db, func(string) string { return strings.Repeat("hello\n", 1000) }), err: `db\.sqlite": not an SQLite database`},
		{
			name: "database/garbage inside",
			prepare: edit(db, func(s string) string {
				return s[:4096] + strings.Repeat("\xff", len(s)-4096)
			}), err: `db\.sqlite": damaged`,
		},
		{
			name: "database/locked",
			prepare: func(t *testing.T, root string) {
				writeFile(t, filepath.Join(root, db+"-journal"), "\xd9\xd5\x05\xf9\x20\xa1\x63\xd7")
			},
			err: `db\.sqlite": unfinished transaction .*tried for`,
		},
		{name: "schema/later", prepare: edit("nix/var/nix/db/schema", func(string) string { return "99" }), err: `version 99 is not supported`},
		{name: "schema/gone", prepare: remove("nix/var/nix/db/schema"), err: `version is unknown`},
		{name: "object/gone", prepare: remove(object[1:]), err: `registered in the store, but without files: ` + filepath.Base(object), hint: `^copy the whole closure: nix copy --no-check-sigs --to /.*/store PROFILE`},
		{name: "object/unknown", prepare: func(t *testing.T, root string) {
			if err := os.Rename(filepath.Join(root, object), filepath.Join(root, filepath.Dir(object), strings.Repeat("0", 32)+"-unknown")); err != nil {
				t.Fatal(err)
			}
			remove("nix/var/nix/profiles/default")(t, root)
			if err := os.Symlink("/nix/store/"+strings.Repeat("0", 32)+"-unknown", filepath.Join(root, "nix/var/nix/profiles/default")); err != nil {
				t.Fatal(err)
			}
		}, err: `-unknown" is in the store directory but not in the database`},
		{name: "file/gone", prepare: remove(program), err: `-dash-.*hash`},
		{name: "file/cut", prepare: edit(program, half), err: `-dash-.*hash`},
		{name: "file/altered", prepare: edit(program, otherByte), err: `-dash-.*hash`},
		{name: "file/unreadable", prepare: mode(program, 0), err: `-dash-.*permission denied`, hint: `^get permission to read it`},
	} {
		for _, form := range [][]string{{"image", "oci:x"}, {"rootfs", "x"}} {
			name := m.name
			m := m
			m.name += "/" + form[0]
			if name == "database/locked" && form[0] == "rootfs" {
				continue // this takes five seconds, and nothing has been written yet
			}
			m.status, m.args = 1, []string{form[0], "--from", "store", form[1]}
			prepare := m.prepare
			m.prepare = func(t *testing.T, dir string) {
				root := relocate(t, object)
				prepare(t, root)
				if err := os.Rename(root, filepath.Join(dir, "store")); err != nil {
					t.Fatal(err)
				}
			}
			m.check(t)
		}
	}
	for _, m := range []mistake{
		{name: "unreadable directory", prepare: func(t *testing.T, dir string) {
			if err := os.Mkdir(filepath.Join(dir, "store"), 0); err != nil {
				t.Fatal(err)
			}
		}, args: []string{"image", "--from", "store", "oci:x"}, err: `store.*permission denied`, hint: `^get permission to read it`},
		{name: "unreadable store directory", prepare: func(t *testing.T, dir string) {
			if err := os.MkdirAll(filepath.Join(dir, "store/nix/store"), 0o755); err != nil {
				t.Fatal(err)
			}
			mode("store/nix", 0)(t, dir)
		}, args: []string{"image", "--from", "store", "oci:x"}, err: `store/nix/store: permission denied`, hint: `^get permission to read it`},
		{name: "unwritable destination", prepare: func(t *testing.T, dir string) {
			writeFile(t, filepath.Join(dir, "stream"), golden(t))
			if err := os.Mkdir(filepath.Join(dir, "full"), 0o555); err != nil {
				t.Fatal(err)
			}
		}, args: []string{"image", "--from", "stream", "oci:full/x"}, err: `permission denied`, hint: `^choose a place that you may write to`},
		{name: "empty directory", args: []string{"image", "--from", ".", "oci:x"}, err: `a directory without nix/store, gnu/store, nix-cache-info or store objects in it`},
	} {
		m.status = 1
		m.check(t)
	}
}

// TestBadStoreIsForgotten checks that facts from a damaged store are not cached: a run on the intact store gives the right image.
func TestBadStoreIsForgotten(t *testing.T) {
	object := dash(t)
	for _, tt := range []struct {
		name   string
		damage func(t *testing.T, program string)
	}{
		{"another architecture", func(t *testing.T, program string) {
			b, err := os.ReadFile(program)
			if err != nil {
				t.Fatal(err)
			}
			b[18] = 0xb7 // AArch64, in the ELF header
			writeFile(t, program, string(b))
		}},
		{"no program", func(t *testing.T, program string) {
			if err := os.Remove(program); err != nil {
				t.Fatal(err)
			}
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := lab.user.scratch(t)
			want := lab.user.with("HOME="+dir+"/fresh").export(t, dir, "image", "--profile", object, "oci:want")
			p := lab.user.with("HOME=" + dir)
			damaged := relocate(t, object)
			tt.damage(t, filepath.Join(damaged, object, "bin/dash"))
			if r := try(t, p.command(dir, lab.program, "image", "--from", damaged, "oci:damaged")); r.status() == 0 {
				t.Errorf("%v\nwant an error", r)
			}
			for _, from := range [][]string{{"--profile", object}, {"--from", relocate(t, object)}} {
				if got := p.export(t, dir, append(append([]string{"image"}, from...), "oci:got")...); got != want {
					t.Errorf("%q after a damaged store: got digest %s; want %s", from, got, want)
				}
			}
		})
	}
}
