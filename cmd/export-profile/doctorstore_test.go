package main

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/export-profile/export-profile/profile/storetest"
	"github.com/export-profile/export-profile/rootfs"
)

// TestDoctorBrokenStore checks that doctor says what is wrong with a store, and finds other material.
func TestDoctorBrokenStore(t *testing.T) {
	for _, test := range []struct {
		name          string
		breaking      func(t *testing.T, database string)
		problem, hint string
	}{
		{"damaged", func(t *testing.T, db string) { makeFile(t, db, strings.Repeat("damaged", 1000), 0o644) }, "read database", "nix-store --verify"},
		{"truncated", func(t *testing.T, db string) { makeFile(t, db, "", 0o644) }, "is empty", "nix-store --verify"},
		{"missing", func(t *testing.T, db string) { removeFile(t, db) }, "no store database", "--from "},
		{"pipe", func(t *testing.T, db string) {
			removeFile(t, db)
			if err := syscall.Mkfifo(db, 0o644); err != nil {
				t.Fatal(err)
			}
		}, "not a regular file", "nix-store --verify"},
		{"unreadable", func(t *testing.T, db string) {
			asOther(t, filepath.Dir(db))
		}, "permission denied", "export it as another user"},
	} {
		t.Run(test.name, func(t *testing.T) {
			root := nixMachine(t)
			home := bareMachine(t)
			makeLink(t, string(storetest.GoldenProfile), home+"/.nix-profile")
			test.breaking(t, filepath.Join(root, "nix/var/nix/db/db.sqlite"))
			text, d := examine(t, root)
			if len(d.Commands) > 0 || d.Stores[0].Usable {
				t.Errorf("doctor suggests %q of a broken store", d.Commands)
			}
			if !strings.Contains(text, test.problem) || !strings.Contains(text, "hint: ") || !strings.Contains(text, test.hint) {
				t.Errorf("doctor prints:\n%s\nwant %q and %q", text, test.problem, test.hint)
			}
		})
	}
}

func removeFile(t *testing.T, name string) {
	t.Helper()
	if err := os.Remove(name); err != nil {
		t.Fatal(err)
	}
}

// asOther makes a directory unreadable, and runs the rest of the test without root's right to read it.
func asOther(t *testing.T, dir string) {
	if err := os.Chmod(dir, 0); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.Chmod(dir, 0o755) })
	if os.Geteuid() != 0 {
		return
	}
	for above := filepath.Dir(dir); above != "/"; above = filepath.Dir(above) {
		if fi, err := os.Stat(above); err != nil || fi.Mode()&0o001 == 0 {
			if err := os.Chmod(above, 0o755); err != nil {
				t.Fatal(err)
			}
		}
	}
	runtime.LockOSThread() // until the test's goroutine ends, and with it the thread
	if _, err := unix.SetfsuidRetUid(65534); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if _, err := unix.SetfsuidRetUid(0); err == nil {
			runtime.UnlockOSThread()
		}
	})
}

// TestDoctorTwoStores checks a machine with Nix and Guix. The command names the store if image would read the other one.
func TestDoctorTwoStores(t *testing.T) {
	gnu, err := rootfs.ParseStoreDir("/gnu/store")
	if err != nil {
		t.Fatal(err)
	}
	root, guix := nixMachine(t), storetest.TinyIn(t, gnu)
	other := cleanUp(t, guix.WriteDatabase(t))
	for _, dir := range []string{"gnu", "var"} {
		if err := os.Rename(filepath.Join(other, dir), filepath.Join(root, dir)); err != nil {
			t.Fatal(err)
		}
	}
	home := bareMachine(t)
	makeLink(t, string(storetest.GoldenProfile), home+"/.nix-profile")
	makeLink(t, string(guix.Root), home+"/.guix-profile")
	makeLink(t, string(guix.Root), "result")
	text, d := examine(t, root)
	if len(d.Commands) != 1 || d.Commands[0] != "export-profile image oci:profile:v1" {
		t.Errorf("doctor suggests %q; want the profile of Nix", d.Commands)
	}
	for _, want := range []string{
		"/gnu/store, of Guix: 2 store paths; --store-dir /gnu/store reads it\n", `problem: profile "./result": `, "hint: say --store-dir /gnu/store",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("doctor prints:\n%s\nwant in it: %s", text, want)
		}
	}
	makeFile(t, filepath.Join(root, "nix/var/nix/db/db.sqlite"), "damaged", 0o644)
	text, d = examine(t, root)
	if len(d.Commands) != 1 || d.Commands[0] != "export-profile image --store-dir /gnu/store --profile ./result oci:tiny:v1" {
		t.Errorf("doctor prints:\n%s\nwant a command for the store of Guix", text)
	}
}
