package e2e

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// verdicts holds the results of check for the programs in PATH.
type verdicts struct {
	Programs int
	Errors   []struct{ Path, Kind, Reason string }
	reasons  map[string][]string // by program
}

func checkVerdicts(t *testing.T, p person, dir string, args ...string) verdicts {
	t.Helper()
	r := try(t, p.command(dir, lab.program, append([]string{"check", "--json", "--quiet"}, args...)...))
	var v verdicts
	if err := json.Unmarshal([]byte(r.stdout), &v); err != nil || r.status() != 0 && r.status() != 3 {
		t.Fatalf("%v: %v", r, err)
	}
	if (r.status() == 3) != (len(v.Errors) > 0) {
		t.Errorf("%v", r)
	}
	v.reasons = make(map[string][]string)
	for _, e := range v.Errors {
		if e.Kind == "program" {
			v.reasons[e.Path] = append(v.reasons[e.Path], e.Reason)
		}
	}
	return v
}

// outcome is the result of the command starter for one program.
type outcome struct {
	Program string
	Started bool
	Said    string
}

// startAll runs every program in an image's PATH in a container, one after the other, with podman as an ordinary user.
func startAll(t *testing.T, p person, dir, image string) []outcome {
	t.Helper()
	build := exec.Command("go", "build", "-o", filepath.Join(lab.dir, "bin/starter"), "./testdata/e2e/starter")
	build.Dir, build.Env = lab.repo, append(os.Environ(), "CGO_ENABLED=0")
	do(t, build)
	id := strings.TrimSpace(do(t, p.podman(dir, "pull", "-q", image)).stdout)
	defer func() { do(t, p.podman(dir, "rmi", "-f", id)) }()
	r := podmanRun(t, p, dir, "--volume="+filepath.Join(lab.dir, "bin/starter")+":/starter:ro", "--entrypoint=/starter", id)
	var all []outcome
	if err := json.Unmarshal([]byte(r.stdout), &all); err != nil || len(all) == 0 {
		t.Fatalf("%.2000v: %v", r, err)
	}
	return all
}

// compare builds an image, runs every program in its PATH in a container, and compares the outcomes with those of check.
// It returns the names of the programs that start, and of those that do not.
func compare(t *testing.T, p person, dir string, env []string, args ...string) (start, fail []string) {
	t.Helper()
	for _, e := range env {
		args = append(args, "--env", e)
	}
	v := checkVerdicts(t, p, dir, args...)
	p.export(t, dir, append(append([]string{"image", "-q", "--no-cache", "--compression", "none"}, args...), "oci:compared:v1")...)
	defer func() {
		if err := os.RemoveAll(filepath.Join(dir, "compared")); err != nil {
			t.Error(err)
		}
	}()
	outcomes := startAll(t, p, dir, "oci:"+dir+"/compared:v1")
	if len(outcomes) != v.Programs {
		t.Errorf("check finds %d programs; the container has %d", v.Programs, len(outcomes))
	}
	for _, o := range outcomes {
		if reasons := v.reasons[o.Program]; o.Started != (len(reasons) == 0) {
			t.Errorf("%s: starts: %v (%s); check reports %q", o.Program, o.Started, o.Said, reasons)
		}
		if o.Started {
			start = append(start, filepath.Base(o.Program))
		} else {
			fail = append(fail, filepath.Base(o.Program))
		}
	}
	return start, fail
}

// loaderCases makes a tree with one program for each rule of the kernel and the loaders. Names of programs that must not start begin with no-.
const loaderCases = `set -eu
tree=$PWD/tree libc=$1
mkdir -p $tree/t/bin $tree/lib64 $tree/lib/x86_64-linux-gnu $tree/lib $tree/etc
for file in ld-linux-x86-64.so.2 libc.so.6; do ln -s $libc/lib/$file $tree/lib/x86_64-linux-gnu/; done
ln -s $libc/lib/ld-linux-x86-64.so.2 $tree/lib64/
cp -L /lib/ld-musl-x86_64.so.1 $tree/lib/
echo 'int main(void) { return 0; }' >main.c
echo 'int value = 1;' >lib.c
gcc -o prog main.c
gcc -static -o static main.c
gcc -static-pie -o static-pie main.c
gcc -shared -fPIC -o lib.so lib.c
musl-gcc -o musl main.c
gcc -shared -fPIC -nostdlib -o mlib.so lib.c
printf 'V1 { global: value; };' >v1
printf 'V1 { global: value; }; V2 { global: other; } V1;' >v2
gcc -shared -fPIC -Wl,--version-script=v1 -Wl,-soname,libv.so -o v1.so lib.c
(cat lib.c; echo 'int other = 2;') >lib2.c
gcc -shared -fPIC -Wl,--version-script=v2 -Wl,-soname,libv.so -o v2.so lib2.c
echo 'extern int other; int main(void) { return other - 2; }' >uses.c
gcc -o uses uses.c v2.so
cd $tree
patched() { # one after the other, since patchelf forgets some of several
	file=$1
	shift
	while [ $# -gt 0 ]; do
		case $1 in
		--force-rpath) patchelf "$1" "$2" "$3" $file; shift 3 ;;
		--no-default-lib) patchelf "$1" $file; shift ;;
		*) patchelf "$1" "$2" $file; shift 2 ;;
		esac
	done
}
# p NAME PATCHES: a program; l FILE PATCHES: a library; m, k: for musl.
p() { cp ../prog t/bin/$1; patched t/bin/"$@"; }
l() { mkdir -p $(dirname t/$1); cp ../lib.so t/$1; patched t/"$@"; }
m() { cp ../musl t/bin/$1; patched t/bin/"$@"; }
k() { mkdir -p $(dirname t/$1); cp ../mlib.so t/$1; patched t/"$@"; }
# s NAME FIRST-LINE: a script
s() { printf '%b\n' "$2" >t/bin/$1; chmod 755 t/bin/$1; }

p plain
cp ../static ../static-pie t/bin/
p no-library --add-needed libnone.so
p no-interpreter --set-interpreter /none/ld.so
p no-foreign; printf '\267' | dd of=t/bin/no-foreign bs=1 seek=18 conv=notrunc status=none
printf 'text' >t/bin/no-text; : >t/bin/no-empty; chmod 755 t/bin/no-*
head -c 200 ../prog >t/bin/no-cut; chmod 755 t/bin/no-cut
p interpreter-by-link --set-interpreter /t/ld-link; ln -s ../lib64/ld-linux-x86-64.so.2 t/ld-link
p no-interpreter-by-link --set-interpreter /t/ld-none; ln -s none t/ld-none
p no-script-as-interpreter --set-interpreter /t/bin/script
ln -s plain t/bin/link; ln -s ../bin/./../bin/no-library t/bin/no-link

l a/liba.so; p runpath --add-needed liba.so --set-rpath /none:/t/a
l a/libb.so --add-needed liba.so
p no-runpath-inherited --add-needed libb.so --set-rpath /t/a
p rpath-inherited --add-needed libb.so --force-rpath --set-rpath /t/a
l c/libc1.so --add-needed liba.so --set-rpath /t/none
p no-runpath-hides-rpath --add-needed libc1.so --force-rpath --set-rpath /t/a:/t/c
l d/libd1.so --add-needed libd2.so --force-rpath --set-rpath /t/d/2; l d/2/libd2.so --add-needed libd3.so; l d/2/libd3.so
p rpath-between --add-needed libd1.so --set-rpath /t/d
l o/lib/libo.so --add-needed libo2.so --set-rpath '$ORIGIN/more'; l o/lib/more/libo2.so
mkdir -p t/o/bin; cp ../prog t/o/bin/origin; patched t/o/bin/origin --add-needed libo.so --set-rpath '${ORIGIN}/../lib'; ln -s ../o/bin/origin t/bin/origin
l e/libe.so --add-needed liba.so --set-rpath '$ORIGIN/../a'; mkdir -p t/f; ln -s ../e/libe.so t/f/libe.so
p origin-of-link --add-needed libe.so --set-rpath /t/f
mkdir -p t/g/h; ln -s ../../e/libe.so t/g/h/libe.so; p no-origin-of-link --add-needed libe.so --set-rpath /t/g/h
l lib/x86_64-linux-gnu/libl.so; p lib --add-needed libl.so --set-rpath '/t/$LIB'
for d in x86_64 haswell xeon_phi; do l p/$d/libp.so; done; p platform --add-needed libp.so --set-rpath '/t/p/$PLATFORM'
p class --add-needed libx.so --set-rpath /t/x1:/t/x2; l x1/libx.so; l x2/libx.so; printf '\001' | dd of=t/x1/libx.so bs=1 seek=4 conv=notrunc status=none
p machine --add-needed liby.so --set-rpath /t/y1:/t/y2; l y1/liby.so; l y2/liby.so; printf '\267' | dd of=t/y1/liby.so bs=1 seek=18 conv=notrunc status=none
p no-machine --add-needed liby.so --set-rpath /t/y1
p no-order --add-needed libz.so --set-rpath /t/z1:/t/z2; l z1/libz.so; l z2/libz.so; printf '\002' | dd of=t/z1/libz.so bs=1 seek=5 conv=notrunc status=none
p no-elf --add-needed libt.so --set-rpath /t/t1:/t/t2; mkdir t/t1; echo 'INPUT(libt.so.1) ------------------------------------------------' >t/t1/libt.so; l t2/libt.so
p no-directory --add-needed libr.so --set-rpath /t/r; mkdir -p t/r/libr.so
p no-short --add-needed libs.so --set-rpath /t/s1:/t/s2; mkdir t/s1; head -c 40 ../lib.so >t/s1/libs.so; l s2/libs.so
p no-program-as-library --add-needed libq.so --set-rpath /t/q; mkdir t/q; cp ../prog t/q/libq.so
l n/libn-1.so --set-soname libn.so.1; l n/libn2.so --add-needed libn.so.1
p soname-loaded --add-needed libn2.so --add-needed libn-1.so --set-rpath /t/n
l n/libn3.so --add-needed libn-1.so; l n/libn4.so --add-needed libn3.so --set-rpath /t/n
p no-soname-too-late --add-needed libn2.so --set-rpath /t/n --add-needed libn4.so
p slash --add-needed /t/a/liba.so
p no-slash --add-needed /t/a/libnone.so
l w/libw.so; l w/glibc-hwcaps/x86-64-v2/libw.so; p capabilities --add-needed libw.so --set-rpath /t/w
l u/libu.so --no-default-lib; p no-default-lib --no-default-lib --set-rpath /t/a
mkdir -p t/v1 t/v2; cp ../v1.so t/v1/libv.so; cp ../v2.so t/v2/libv.so
cp ../uses t/bin/version; patchelf --remove-needed v2.so --set-rpath /t/v2 t/bin/version
cp ../uses t/bin/no-version; patchelf --set-rpath /t/v1 t/bin/no-version
l opt/libcached.so; p cache --add-needed libcached.so
p no-cache --add-needed libstale.so

m musl; k ma/liba.so; m musl-runpath --add-needed liba.so --set-rpath /t/ma
m no-musl --add-needed libnone.so
k ma/libb.so --add-needed liba.so; m musl-runpath-inherited --add-needed libb.so --set-rpath /t/ma
k mn/libn-1.so --set-soname libn.so.1; m no-musl-soname --add-needed libn-1.so --add-needed libn.so.1 --set-rpath /t/mn
m musl-own --add-needed libpthread.so.0 --add-needed libm.so.6
k usr/libm1.so; mkdir -p usr/local/lib; cp t/usr/libm1.so usr/local/lib/; m musl-default --add-needed libm1.so
m musl-origin --add-needed liba.so --set-rpath '$ORIGIN/../ma'
m no-musl-dollar --add-needed liba.so --set-rpath '/t/ma:$LIB'

s script '#!/t/bin/plain'
s script-argument '#! /t/bin/plain  -a b\t'
s no-script '#!/none'
s no-script-library '#!/t/bin/no-library'
s no-return '#!/t/bin/plain\r'
s relative '#!t/bin/plain'
s env '#!/usr/bin/env plain'
s no-env '#!/usr/bin/env none'
s no-env-argument '#!/usr/bin/env plain -x'
s env-split '#!/usr/bin/env -S A=1 plain -x'
s no-env-split '#!/usr/bin/env -S PATH=/none plain'
s no-env-library '#!/usr/bin/env no-library'
for i in 1 2 3 4 5 6; do s depth$i "#!/t/bin/depth$((i-1))"; done; s depth0 '#!/t/bin/plain'
mv t/bin/depth5 t/bin/no-depth5; rm t/bin/depth6; s no-depth6 '#!/t/bin/no-depth5'
long=$(printf '/%.0s' $(seq 240)); s long "#!$long/t/bin/plain"
s no-long "#!$long////t/bin/plain"
printf '#!/t/bin/plain' >t/bin/no-newline-at-its-end; chmod 755 t/bin/no-newline-at-its-end; mv t/bin/no-newline-at-its-end t/bin/unended

# A cache from ldconfig that lists a missing library.
l opt/libstale.so
printf '/t/opt\n' >conf
ldconfig -r . -f /conf -C /etc/ld.so.cache -X
rm conf t/opt/libstale.so
`

// TestCheckLoaders checks for each rule that check agrees with the kernel, glibc's loader and musl's.
func TestCheckLoaders(t *testing.T) {
	p := lab.user
	dir := p.scratch(t)
	libc := ""
	for _, path := range lab.closure {
		if strings.Contains(path, "-libc6-") {
			libc = path
		}
	}
	do(t, lab.root.command(dir, "bash", "-c", loaderCases, "bash", libc)) // ldconfig -r needs root
	args := []string{"--profile", lab.profile, "--add", "tree:/"}
	start, fail := compare(t, p, dir, []string{"PATH=/t/bin"}, args...)
	for _, name := range start {
		if strings.HasPrefix(name, "no-") {
			t.Errorf("%s starts, but should not", name)
		}
	}
	for _, name := range fail {
		if !strings.HasPrefix(name, "no-") {
			t.Errorf("%s does not start, but should", name)
		}
	}
	t.Logf("%d start, %d do not", len(start), len(fail))
	// The environment affects all programs.
	for _, env := range [][]string{{"LD_LIBRARY_PATH=:/t/a:/t/x1:/t/ma;/t/n"}, {"LD_LIBRARY_PATH=/t/t1", "LD_PRELOAD=/t/a/liba.so:/none.so"}} {
		start, fail := compare(t, p, dir, append(env, "PATH=/t/bin"), args...)
		t.Logf("with %s %d start, %d do not", env, len(start), len(fail))
	}
}

// TestCheckPlanted plants faults in real programs, and checks that check finds them before and after the image is built,
// that podman fails too, and that image --check refuses to build the image.
func TestCheckPlanted(t *testing.T) {
	p := lab.user
	dir := p.scratch(t)
	curl := ""
	library := ""
	for _, path := range lab.closure {
		if strings.Contains(path, "-curl-") {
			curl = path + "/bin/curl"
		}
		if strings.Contains(path, "-libnghttp2-") {
			matches, err := filepath.Glob(path + "/lib/libnghttp2.so.*")
			if err != nil || len(matches) == 0 {
				t.Fatalf("%v, %v", matches, err)
			}
			library = matches[0]
		}
	}
	do(t, p.command(dir, "sh", "-euc", fmt.Sprintf(`cp %[1]s interpreter; cp %[1]s library; chmod 755 *
patchelf --set-interpreter /none/ld.so interpreter
patchelf --add-needed libnone.so.1 library
cp %[1]s plain; chmod 644 plain
printf '#!/usr/bin/python3\n' >script; chmod 755 script`, curl)))
	tree := filepath.Join(dir, "tree")
	do(t, p.command(dir, "sh", "-euc", "mkdir -p tree/bin; ln -s ../nowhere tree/bin/dead"))
	dead := strings.TrimSpace(do(t, nix("nix-store", "--add", tree)).stdout)
	t.Cleanup(func() { do(t, nix("nix-store", "--delete", dead)) })
	for name, test := range map[string]struct {
		flags []string
		want  string
		ran   bool // starts in podman
	}{
		"a library is gone":      {[]string{"--allow-store-changes", "--whiteout", library, "--cmd", "curl"}, "libnghttp2.so.14", true},
		"another interpreter":    {[]string{"--add", "interpreter:/run/curl", "--cmd", "/run/curl"}, "/none/ld.so", true},
		"one more library":       {[]string{"--add", "library:/run/curl", "--cmd", "/run/curl"}, "libnone.so.1", false},
		"no such interpreter":    {[]string{"--add", "script:/run/curl", "--cmd", "/run/curl"}, "/usr/bin/python3", true},
		"another architecture":   {[]string{"--platform", "linux/arm64", "--cmd", "curl"}, "for amd64, but the image for arm64", false},
		"no such program":        {[]string{"--cmd", "curly"}, "not in PATH", false},
		"a user without account": {[]string{"--base", "oci:base:1", "--cmd", "curl"}, `no user "web"`, true},
		"not executable":         {[]string{"--add", "plain:/run/curl:0644", "--entrypoint", "/run/curl"}, "not executable", true},
		"a dead link":            {[]string{"--allow-store-changes", "--whiteout", curl, "--cmd", "curl"}, "leads nowhere", true},
		"a dead link in bin":     {[]string{"--profile", dead, "--cmd", "dead"}, "leads nowhere", true},
		"nothing":                {[]string{"--cmd", "curl"}, "", true},
	} {
		if slices.Contains(test.flags, "--base") {
			do(t, p.command(dir, "sh", "-euc", `umoci init --layout base; umoci new --image base:1; umoci config --image base:1 --config.user web`))
		}
		args := append([]string{"--profile", lab.profile}, test.flags...)
		r := try(t, p.command(dir, lab.program, append([]string{"check", "-q"}, args...)...))
		finds := func(text string) bool { return strings.Contains(text, test.want) && strings.Contains(text, "error: ") }
		if test.want == "" && r.status() != 0 || test.want != "" && (r.status() != 3 || !finds(r.stdout)) {
			t.Errorf("%s: %.1000v\nwant %q", name, r, test.want)
		}
		if refused := try(t, p.command(dir, lab.program, append(append([]string{"image", "--check", "-q"}, args...), "oci:refused:v1")...)); refused.status() != r.status() {
			t.Errorf("%s: %.1000v\nwant status %d", name, refused, r.status())
		}
		if _, err := os.Lstat(dir + "/refused"); (err == nil) != (test.want == "") {
			t.Errorf("%s: image --check: %v", name, err)
		}
		if err := os.RemoveAll(dir + "/refused"); err != nil {
			t.Fatal(err)
		}
		if !test.ran {
			continue
		}
		do(t, p.command(dir, lab.program, append(append([]string{"image", "-q"}, args...), "oci:image:v1")...))
		if built := try(t, p.command(dir, lab.program, "check", "-q", "oci:image:v1")); built.status() != r.status() || built.stdout != r.stdout {
			t.Errorf("%s: check of the built image: %.1000v\nwant %.1000v", name, built, r)
		}
		id := strings.TrimSpace(do(t, p.podman(dir, "pull", "-q", "oci:image:v1")).stdout)
		ran := try(t, p.podman(dir, "run", "--rm", "--network=none", id))
		started := ran.status() < 125 && !strings.HasPrefix(ran.stderr, "exec /") // podman's own child prints this, with status 1
		if started != (test.want == "") {
			t.Errorf("%s: podman: %v\nwant %q", name, ran, test.want)
		}
	}
}

// TestCheckWarned checks that possibly intended oddities only cause a warning, and that the container starts.
func TestCheckWarned(t *testing.T) {
	p := lab.user
	dir := p.scratch(t)
	added := func(name, script string) string {
		tree := filepath.Join(dir, name)
		do(t, exec.Command("sh", "-euc", `mkdir -p "$1/bin"; cd "$1"; `+script, "sh", tree))
		path := strings.TrimSpace(do(t, nix("nix-store", "--add", tree)).stdout)
		t.Cleanup(func() { do(t, nix("nix-store", "--delete", path)) })
		return path
	}
	const outside = "/nix/store/0123456789abcdfghijklmnpqrsvwxyz-outside-1.0"
	fight := func(word string) string {
		return "printf '#!/bin/sh\necho " + word + "\n' >bin/fought; chmod 755 bin/fought"
	}
	for name, test := range map[string]struct {
		profiles []string
		wants    []string // in one line of output
	}{
		"a reference outside": {[]string{added("naming", "echo "+outside+" >bin/names; "+fight("naming"))}, []string{outside}},
		"two packages":        {[]string{added("one", fight("one")), added("other", fight("other"))}, []string{"/bin/fought", "-one", "-other"}},
	} {
		args := []string{"--profile", lab.profile}
		for _, profile := range test.profiles {
			args = append(args, "--profile", profile)
		}
		warned := func(text string) bool {
			for line := range strings.Lines(text) {
				if strings.HasPrefix(line, "warning: ") && !slices.ContainsFunc(test.wants, func(want string) bool { return !strings.Contains(line, want) }) {
					return true
				}
			}
			return false
		}
		r := do(t, p.command(dir, lab.program, append([]string{"check", "-q"}, args...)...))
		without := do(t, p.command(dir, lab.program, "check", "-q", "--profile", lab.profile))
		if !warned(r.stdout) || warned(without.stdout) {
			t.Errorf("%s: %v\nwant a warning with all of %q, and none for the default profile", name, r, test.wants)
		}
		do(t, p.command(dir, lab.program, append(append([]string{"image", "--check", "-q"}, args...), "oci:image:v1")...))
		id := strings.TrimSpace(do(t, p.podman(dir, "pull", "-q", "oci:"+dir+"/image:v1")).stdout)
		if r := podmanRun(t, p, dir, id, "fought"); !slices.Contains([]string{"naming\n", "one\n"}, r.stdout) {
			t.Errorf("%s: podman: %v\nwant the first profile's program", name, r)
		}
	}
}

// TestCheckCertificates checks that check rejects exactly the certificate bundles with which curl fails in the container.
func TestCheckCertificates(t *testing.T) {
	p := lab.user
	dir := p.scratch(t)
	ca, expired, cert := makeCAs(t)
	server := startTLS(t, cert)
	_, port, _ := net.SplitHostPort(server.Listener.Addr().String())
	for name, test := range map[string]struct {
		bundle []byte
		want   string
	}{
		"good":    {ca, ""},
		"expired": {expired, "expired"},
		"broken":  {bytes.Replace(ca, []byte("MII"), []byte("AAA"), 1), "certificate 1 is not a certificate"},
	} {
		writeFile(t, filepath.Join(dir, name+".pem"), string(test.bundle))
		args := []string{"--profile", lab.profile, "--add", name + ".pem:/etc/ssl/certs/ca-bundle.crt",
			"--env", "SSL_CERT_FILE=/etc/ssl/certs/ca-bundle.crt"}
		r := try(t, p.command(dir, lab.program, append([]string{"check", "-q"}, args...)...))
		found := r.status() == 3 && strings.Contains(r.stdout, "error: /etc/ssl/certs/ca-bundle.crt: ") && strings.Contains(r.stdout, test.want)
		if test.want == "" && r.status() != 0 || test.want != "" && !found {
			t.Errorf("%s: %v\nwant %q", name, r, test.want)
		}
		do(t, p.command(dir, lab.program, append(append([]string{"image", "-q"}, args...), "oci:image:"+name)...))
		id := strings.TrimSpace(do(t, p.podman(dir, "pull", "-q", "oci:"+dir+"/image:"+name)).stdout)
		r = try(t, p.podman(dir, "run", "--network=host", "--rm", id, "curl", "-sS", "https://localhost:"+port))
		if ok := r.status() == 0 && r.stdout == "hello over TLS\n"; ok != (test.want == "") || !ok && !strings.Contains(r.stderr, "certificate") {
			t.Errorf("%s: curl: %v", name, r)
		}
	}
}

// checkedPackages are large programs of every kind, and the dependencies of their scripts.
var checkedPackages = []string{"curl", "git", "python3", "python3-minimal", "openjdk-17-jre-headless", "postgresql-15",
	"ruby", "ffmpeg", "clang", "ca-certificates", "dash", "bash", "coreutils"}

// TestCheckPrograms checks check's verdict on every program of large packages by running it.
func TestCheckPrograms(t *testing.T) {
	p := lab.user
	dir := p.scratch(t)
	work := filepath.Join(lab.dir, "checked")
	if err := os.MkdirAll(work, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Join(lab.dir, "store/debs"), filepath.Join(work, "debs")); err != nil && !errors.Is(err, os.ErrExist) {
		t.Fatal(err)
	}
	begin := time.Now()
	profile := filepath.Join(work, "profile")
	do(t, exec.Command("python3", append([]string{"debstore.py", profile, work}, checkedPackages...)...))
	closure, size, err := queryClosure(profile)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d store paths, %d MB, built in %.0f s", len(closure), size/1e6, time.Since(begin).Seconds())
	// Some packages have programs outside a profile's bin.
	path := []string{"/run/profile/bin"}
	for _, object := range closure {
		for _, pattern := range []string{"bin", "lib/jvm/*/bin", "lib/postgresql/*/bin", "lib/llvm-*/bin", "lib/git-core"} {
			found, err := filepath.Glob(object + "/" + pattern)
			if err != nil {
				t.Fatal(err)
			}
			path = append(path, found...)
		}
	}
	start, fail := compare(t, p, dir, []string{"PATH=" + strings.Join(path, ":")}, "--profile", profile)
	t.Logf("%d programs start, %d do not: %q", len(start), len(fail), fail)
	for _, name := range []string{"curl", "git", "python3.11", "java", "postgres", "ruby", "ffmpeg", "clang"} {
		if !slices.Contains(start, name) && !slices.Contains(fail, name) {
			t.Errorf("no program %s", name)
		}
	}
}
