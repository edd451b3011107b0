package binarycache

import (
	"bytes"
	"context"
	"testing"

	"github.com/export-profile/export-profile/profile"
	"github.com/export-profile/export-profile/profile/storetest"
)

// TestSpooler checks that a spooled NAR is fetched once, and walked as always.
func TestSpooler(t *testing.T) {
	c := &narCounter{Handler: golden(t)}
	o := quickOptions()
	o.SpoolDir = t.TempDir()
	s := open(t, serve(t, c), o)
	want, err := storetest.List(s.Files(t.Context(), helloPath))
	if err != nil {
		t.Fatal(err)
	}
	c.n.Store(0)
	spool := profile.SpoolerOf(s, helloPath)
	if spool == nil {
		t.Fatal("no Spooler of a NAR in xz")
	}
	for range 2 {
		spool(t.Context())
	}
	for range 2 {
		got, err := storetest.List(s.Files(t.Context(), helloPath))
		if err != nil || len(got) != len(want) || got[len(got)-1] != want[len(want)-1] {
			t.Errorf("List of a spooled NAR = %q, %v; want %q, <nil>", got, err, want)
		}
	}
	if n := c.n.Load(); n != 1 {
		t.Errorf("the NAR was fetched %d times; want 1", n)
	}
}

// TestSpoolerFails checks that an object can be read whose spooling has failed or was cancelled.
func TestSpoolerFails(t *testing.T) {
	o := quickOptions()
	o.SpoolDir = "/dev/null/none"
	s := open(t, serve(t, golden(t)), o)
	spool := profile.SpoolerOf(s, helloPath)
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for _, ctx := range []context.Context{ended, t.Context()} {
		spool(ctx)
		if lines, err := storetest.List(s.Files(t.Context(), helloPath)); err != nil || len(lines) == 0 {
			t.Errorf("List after a spool that failed = %q, %v", lines, err)
		}
	}
}

// TestSpoolerSlow checks which compressions are worth a temporary file.
func TestSpoolerSlow(t *testing.T) {
	for compression, want := range map[string]bool{"xz": true, "gzip": false, "none": false, "zstd": false} {
		f := make(files)
		if compression == "xz" {
			f = golden(t)
		} else {
			f.object(t, smallPath, compression, bytes.Repeat(text, 10))
		}
		path := map[bool]profile.Path{true: helloPath, false: smallPath}[compression == "xz"]
		if got := profile.SpoolerOf(open(t, serve(t, f), quickOptions()), path) != nil; got != want {
			t.Errorf("%s: a Spooler: %v; want %v", compression, got, want)
		}
	}
}
