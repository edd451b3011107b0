package main

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/export-profile/export-profile/ocilayout/verify"
	"github.com/export-profile/export-profile/rootfs/startup"
)

// TestGroupVerified checks that problems of one kind in one layer become one line, and that others stay apart.
func TestGroupVerified(t *testing.T) {
	all := []verify.Problem{
		{Blob: "config", What: `config.Env[0]: "A": want NAME=VALUE`},
		{Blob: "config", What: `config.Env[1]: "B": want NAME=VALUE`},
		{Layer: 1, Blob: "x", Path: "nix/store/a", What: "its NAR hash begins with 012345678901, but the history says abcdefabcdef: it was changed"},
		{Layer: 1, Blob: "x", Path: "nix/store/b", What: "its NAR hash begins with 112345678901, but the history says bbcdefabcdef: it was changed"},
		{Layer: 1, Blob: "x", Path: "nix/store/b", What: "its NAR has 12 bytes, but the history says 13"},
		{Layer: 2, Blob: "y", Path: "nix/store/b", What: "its NAR has 14 bytes, but the history says 15"},
		{Layer: 1, Blob: "x", Path: "nix/store/c", What: `comes after "a\"b", out of path order`},
		{Layer: 1, Blob: "x", Path: "nix/store/c", What: `comes after "c", out of path order`},
		{Layer: 1, Blob: "x", Path: "nix/store/c", What: "its NAR has 12 bytes, but the history says 16"},
	}
	want := []string{
		`config: config.Env[0]: "A": want NAME=VALUE`,
		`config: config.Env[1]: "B": want NAME=VALUE`,
		`layer 1: x: "nix/store/a": its NAR hash begins with 012345678901, but the history says abcdefabcdef: it was changed (and 1 more like it)`,
		`layer 1: x: "nix/store/b": its NAR has 12 bytes, but the history says 13 (and 1 more like it)`,
		`layer 2: y: "nix/store/b": its NAR has 14 bytes, but the history says 15`,
		`layer 1: x: "nix/store/c": comes after "a\"b", out of path order (and 1 more like it)`,
	}
	if d := cmp.Diff(want, groupLines(groupVerified(all, false))); d != "" {
		t.Errorf("groupVerified (-want +got):\n%s", d)
	}
}

// TestGroupChecked checks that errors are grouped by reason, and warnings by kind, in one package or directory.
func TestGroupChecked(t *testing.T) {
	const dir = "/run/profile/bin/"
	const store = "/nix/store/00000000000000000000000000000000-a"
	all := []startup.Problem{
		{Path: dir + "a", Kind: startup.Program, Reason: "is empty"},
		{Path: dir + "b", Kind: startup.Program, Reason: "is for arm64"},
		{Path: dir + "c", Kind: startup.Program, Reason: "is empty"},
		{Path: "a", Kind: startup.Entrypoint, Reason: "is empty"},
		{Path: store + "/x", Kind: startup.Link, Reason: "leads nowhere: y"},
		{Path: store + "/z/x", Kind: startup.Link, Reason: "leads nowhere: z"},
		{Path: store + "b/x", Kind: startup.Link, Reason: "leads nowhere: z"},
	}
	want := []string{dir + "a: is empty (and 1 more like it)", dir + "b: is for arm64", "a: is empty",
		store + "/x: leads nowhere: y", store + "/z/x: leads nowhere: z", store + "b/x: leads nowhere: z"}
	if d := cmp.Diff(want, groupLines(groupErrors(all))); d != "" {
		t.Errorf("groupErrors (-want +got):\n%s", d)
	}
	want = []string{dir + "a: is empty (and 2 more like it)", "a: is empty", store + "/x: leads nowhere: y (and 1 more like it)", store + "b/x: leads nowhere: z"}
	if d := cmp.Diff(want, groupLines(groupWarnings(all))); d != "" {
		t.Errorf("groupWarnings (-want +got):\n%s", d)
	}
}

func groupLines(groups []problemGroup) (lines []string) {
	for _, g := range groups {
		lines = append(lines, fmt.Sprint(g))
	}
	return lines
}

// TestNotes checks that few notes of a kind are printed, and that one stands for many.
func TestNotes(t *testing.T) {
	var all []string
	for i := range fewNotes {
		all = append(all, fmt.Sprintf("left out %q: it leads nowhere", fmt.Sprint("/", i)))
	}
	for i := range fewNotes + 1 {
		all = append(all, fmt.Sprintf("%q takes the place", fmt.Sprint("/", i)), "a note of its own "+strings.Repeat("x", i))
	}
	for _, debug := range []bool{false, true} {
		var b bytes.Buffer
		s := &speaker{w: &b}
		s.debug = debug
		s.notes(all)
		want := len(all)
		if !debug {
			want -= fewNotes
		}
		if got := strings.Count(b.String(), "\n"); got != want || strings.Contains(b.String(), `"/0" takes the place (and 5 more like it; --debug lists them)`) == debug {
			t.Errorf("notes with --debug=%v print %d lines; want %d:\n%s", debug, got, want, b.String())
		}
	}
}
