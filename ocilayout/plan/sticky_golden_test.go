package plan

import (
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"

	"github.com/export-profile/export-profile/ocilayout/history"
)

// TestSticky runs testdata/sticky/*.txtar, one case a file.
// The comment describes the case. Its lines "max: N" and "waste: N" are the limits.
// A line of the file "previous" is a layer in the form of its history, with sizes in KiB.
// A line of "graph" is a part, its size in KiB and its references. A part may be NAME@HASH.
// A missing hash is 1, and a short one is filled up with zeros on the left.
// The result is "layers" and "summary", or "error". A kept layer is "keep N", where N is its number from 1.
func TestSticky(t *testing.T) {
	files, err := filepath.Glob("testdata/sticky/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no cases: %v", err)
	}
	for _, name := range files {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".txtar"), func(t *testing.T) {
			archive, err := txtar.ParseFile(name)
			if err != nil {
				t.Fatal(err)
			}
			o := StickyOptions{MaxWaste: DefaultMaxWaste}
			for line := range strings.Lines(string(archive.Comment)) {
				key, value, _ := strings.Cut(strings.TrimSpace(line), ": ")
				n, err := strconv.Atoi(value)
				switch {
				case err != nil:
				case key == "max":
					o.MaxLayers = n
				case key == "waste":
					o.MaxWaste = n
				}
			}
			want := make(map[string]string)
			for _, f := range archive.Files {
				want[f.Name] = string(f.Data)
			}
			parts := parseGraph(t, want["graph"])
			for i, p := range parts {
				name, hash, _ := strings.Cut(p.Name, "@")
				parts[i].Name, parts[i].Key = name, "sha256:"+longHash(hash)
				parts[i].Root, _, _ = strings.Cut(p.Root, "@")
				if name == history.BaseName {
					parts[i].Root = ""
				}
			}
			var previous []Candidate
			for line := range strings.Lines(want["previous"]) {
				previous = append(previous, parsePrevious(t, line))
			}
			got := map[string]string{"graph": want["graph"], "previous": want["previous"]}
			layers, summary, err := Sticky(parts, previous, o)
			if err != nil {
				got["error"] = err.Error() + "\n"
			} else {
				got["layers"] = formatGolden(layers)
				got["summary"] = formatSummary(summary)
			}
			if *update {
				updateCase(t, name, archive, got, "layers", "summary", "error")
				return
			}
			if d := cmp.Diff(want, got); d != "" {
				t.Errorf("Sticky(%+v) (-want +got):\n%s", o, d)
			}
			if err == nil {
				if err := checkSticky(t, parts, previous, layers, summary, o); err != nil {
					t.Error(err)
				}
			}
		})
	}
}

func longHash(short string) string {
	if short == "" {
		short = "1"
	}
	return strings.Repeat("0", 12-len(short)) + short
}

// parsePrevious parses a layer in the words NAME[@HASH]:KIB and -NAME.
func parsePrevious(t *testing.T, line string) Candidate {
	t.Helper()
	var h history.Claim
	var size int64
	for _, word := range strings.Fields(line) {
		if name, ok := strings.CutPrefix(word, "-"); ok {
			h.Hidden = append(h.Hidden, name)
			continue
		}
		object, kib, _ := strings.Cut(word, ":")
		name, hash, _ := strings.Cut(object, "@")
		n, err := strconv.ParseInt(kib, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		size += n << 10
		h.Objects = append(h.Objects, history.Object{Name: name, Hash: longHash(hash), Size: n << 10})
	}
	return Candidate{h, size / 2}
}

func formatGolden(layers []Group) string {
	var b strings.Builder
	for _, l := range layers {
		if l.Reuse > 0 {
			fmt.Fprintf(&b, "keep %d", l.Reuse)
		} else {
			fmt.Fprintf(&b, "new %d", size(l)>>10)
		}
		for _, p := range l.Parts {
			fmt.Fprintf(&b, " %s", p.Name)
		}
		for _, root := range l.Hidden {
			fmt.Fprintf(&b, " -%s", strings.TrimPrefix(root, "nix/store/"))
		}
		b.WriteByte('\n')
	}
	return b.String()
}

func formatSummary(r Summary) string {
	var b strings.Builder
	fmt.Fprintf(&b, "layers: %d kept, %d rebuilt, %d dropped, %d added\n", r.Kept, r.Rebuilt, r.Dropped, r.Added)
	fmt.Fprintf(&b, "KiB: %d new, %d reused, %d unused, %d visible\n", r.New>>10, r.Reused>>10, r.Unused>>10, r.Size>>10)
	if r.Repacked {
		b.WriteString("repacked\n")
	}
	for _, reason := range r.Reasons {
		fmt.Fprintf(&b, "%s\n", reason)
	}
	return b.String()
}
