package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/export-profile/export-profile/rootfs/testrun"
)

// exchanger is a shell script. In its first argument it moves everything that it may, again and again,
// and puts links to its second argument in its place. It puts the third argument, the layout, back after a while.
const exchanger = `cd "$1" || exit 1
n=0
while :; do
	for name in .*.export-profile-* "$3" "$3"/.*.export-profile-*; do
		[ -e "$name" ] && [ ! -L "$name" ] || continue
		n=$((n+1))
		mv -T "$name" moved-$n 2>/dev/null && ln -s "$2" "$name" && echo "$name"
		if [ "$name" = "$3" ]; then rm -f "$name" && mv -T moved-$n "$name"; fi
	done
done`

// TestExchangedDirectories writes outputs as root into a directory in which another user exchanges directories for links,
// as fast as that user can. Runs may fail, but nothing changes where the links lead.
func TestExchangedDirectories(t *testing.T) {
	writer, other := lab.root, lab.user
	for _, tt := range []struct {
		name, output string
		args         []string
	}{
		{"rootfs", "root", []string{"rootfs", "root"}},
		{"new layout", "layout", []string{"image", "--cache", "/CACHE", "oci:layout:v1"}},
		{"layout", "layout", []string{"image", "--cache", "/CACHE", "oci:layout:v2"}},
		{"archive", "image.tar", []string{"image", "--cache", "/CACHE", "--digest-file", "digest", "oci-archive:image.tar"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cache := writer.scratch(t)
			outside := filepath.Join(writer.scratch(t), "outside")
			golden := goldenExport(t, cache)
			// The links lead to what root would write into: a layout that has all that a staging directory has.
			writer.export(t, filepath.Dir(outside), "image", "--no-cache", "--from", golden, "oci:"+outside+":v1")
			writer.export(t, filepath.Dir(outside), "image", "--no-cache", "--from", golden, "oci:"+outside+"/layout:v1")
			before := listAll(t, outside)
			failed, exchanged := 0, 0
			runs := testrun.Of(10, 100)
			for range runs {
				dir := other.scratch(t) // belongs to the other user
				if tt.name == "layout" {
					other.export(t, dir, "image", "--no-cache", "--from", golden, "--label", "a=b", "oci:layout:v1")
				}
				race := other.command("/", "sh", "-c", exchanger, "sh", dir, outside, tt.output)
				var moved strings.Builder
				race.Stdout = &moved
				if err := race.Start(); err != nil {
					t.Fatal(err)
				}
				args := append([]string{tt.args[0], "--from", golden}, tt.args[1:]...)
				for i := range args {
					args[i] = strings.Replace(args[i], "/CACHE", cache+"/cache", 1)
				}
				r := try(t, writer.command(dir, lab.program, args...))
				_ = race.Process.Kill()
				_ = race.Wait()
				exchanged += strings.Count(moved.String(), "\n")
				if r.status() != 0 {
					failed++
				}
				if diff := cmp.Diff(before, listAll(t, outside)); diff != "" {
					t.Fatalf("files change where the links lead (-before +after):\n%s\n%v", diff, r)
				}
				if out, err := exec.Command("rm", "-rf", dir).CombinedOutput(); err != nil {
					t.Fatalf("%v: %s", err, out)
				}
			}
			t.Logf("%d runs, %d failed; %d directories were exchanged", runs, failed, exchanged)
			if exchanged == 0 {
				t.Error("no directory was exchanged, so this proves nothing")
			}
		})
	}
}

// listAll lists a directory, itself included, with the owners and times of its files.
func listAll(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := list(t, filepath.Dir(dir))
	for name := range all {
		fi, err := os.Lstat(filepath.Join(filepath.Dir(dir), name))
		if err != nil {
			t.Fatal(err)
		}
		all[name] += " " + fi.ModTime().String()
	}
	return all
}
