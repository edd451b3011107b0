package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// verdicts are what check says of the programs in PATH.
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

// loaderSays are the words of kernel, loaders and env when a program does not start, in the first line of output.
var loaderSays = regexp.MustCompile(`^(Error loading shared library |[^ ]*: error while loading shared libraries: |` +
	`[^ ]*: .*: version .* not found \(required by |([^ ]*/)?env: .*(No such file|not found|Permission denied|Too many levels))`)

// starts runs a program in a root directory, and says whether kernel and loader let it begin.
func starts(t *testing.T, root, name string, env []string) (ok bool, said string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, "--version")
	cmd.Path, cmd.Err = name, nil
	cmd.Dir, cmd.Env = "/", env
	cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: root, Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = time.Second
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) && ctx.Err() == nil && !errors.Is(err, exec.ErrWaitDelay) {
		return false, err.Error()
	}
	for line := range strings.Lines(out.String()) {
		if said = strings.TrimSpace(line); !strings.HasPrefix(said, "ERROR: ld.so: ") { // which it ignores
			break
		}
	}
	status := cmd.ProcessState.ExitCode()
	return !((status == 127 || status == 126 || status == 1) && loaderSays.MatchString(said)), fmt.Sprintf("%d %.200s", status, said)
}

// inRoot is what a path in a root directory is, with links followed there; "" if nothing is there.
func inRoot(root, path string) string {
	at := ""
	for links := 0; path != "" && links < 41; {
		var name string
		name, path, _ = strings.Cut(path, "/")
		switch name {
		case "", ".":
			continue
		case "..":
			at = filepath.Dir("/" + at)[1:]
			continue
		}
		next := filepath.Join(at, name)
		fi, err := os.Lstat(filepath.Join(root, next))
		if err != nil {
			return ""
		}
		if fi.Mode()&os.ModeSymlink == 0 {
			at = next
			continue
		}
		target, err := os.Readlink(filepath.Join(root, next))
		if err != nil {
			return ""
		}
		if links++; strings.HasPrefix(target, "/") {
			at = ""
		}
		path = target + "/" + path
	}
	return filepath.Join(root, at)
}

// programsOf are what a shell finds in PATH.
func programsOf(root, path string) []string {
	var programs []string
	seen := make(map[string]bool)
	for _, dir := range strings.Split(path, ":") {
		entries, err := os.ReadDir(inRoot(root, dir))
		if err != nil {
			continue
		}
		for _, e := range entries {
			name := dir + "/" + e.Name()
			at := inRoot(root, name)
			fi, err := os.Stat(at)
			if at == "" || err != nil || !fi.Mode().IsRegular() || fi.Mode()&0o111 == 0 || seen[e.Name()] {
				continue
			}
			seen[e.Name()] = true
			programs = append(programs, name)
		}
	}
	return programs
}

// compare runs every program of PATH in the root filesystem of the same flags, and compares with what check said.
// It returns the names of those that start, and of those that do not.
func compare(t *testing.T, p person, dir string, env []string, args ...string) (start, fail []string) {
	t.Helper()
	var checkArgs []string
	for _, e := range env {
		checkArgs = append(checkArgs, "--env", e)
	}
	v := checkVerdicts(t, p, dir, append(checkArgs, args...)...)
	root := filepath.Join(dir, "root")
	do(t, p.command(dir, lab.program, append(append([]string{"rootfs", "-q", "--writable"}, args...), root)...))
	defer func() {
		if err := os.RemoveAll(root); err != nil {
			t.Error(err)
		}
	}()
	// What every container has: loaders look there for where they are, and programs for what they need.
	for _, name := range []string{"proc", "dev"} {
		if err := os.MkdirAll(filepath.Join(root, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := syscall.Mount("proc", filepath.Join(root, "proc"), "proc", 0, ""); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := syscall.Unmount(filepath.Join(root, "proc"), 0); err != nil {
			t.Error(err)
		}
	}()
	for i, name := range []string{"null", "zero", "urandom"} {
		if err := syscall.Mknod(filepath.Join(root, "dev", name), syscall.S_IFCHR|0o666, 1<<8|[]int{3, 5, 9}[i]); err != nil {
			t.Fatal(err)
		}
	}
	path := ""
	for _, e := range env {
		if value, ok := strings.CutPrefix(e, "PATH="); ok {
			path = value
		}
	}
	programs := programsOf(root, path)
	if len(programs) != v.Programs {
		t.Errorf("check sees %d programs in %s; there are %d", v.Programs, path, len(programs))
	}
	type outcome struct {
		ok   bool
		said string
	}
	outcomes := make([]outcome, len(programs))
	turns := make(chan struct{}, 8) // most wait for something
	var running sync.WaitGroup
	for i, name := range programs {
		turns <- struct{}{}
		running.Go(func() {
			outcomes[i].ok, outcomes[i].said = starts(t, root, name, append([]string{"HOME=/root"}, env...))
			<-turns
		})
	}
	running.Wait()
	for i, name := range programs {
		ok, said := outcomes[i].ok, outcomes[i].said
		if reasons := v.reasons[name]; ok != (len(reasons) == 0) {
			t.Errorf("%s: starts: %v (%s); check says %q", name, ok, said, reasons)
		}
		if ok {
			start = append(start, filepath.Base(name))
		} else {
			fail = append(fail, filepath.Base(name))
		}
	}
	return start, fail
}

// loaderCases makes a tree with one program for each rule of kernel and loaders. Those whose names begin with no- do not start.
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
l p/x86_64/libp.so; p platform --add-needed libp.so --set-rpath '/t/p/$PLATFORM'
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

# A cache as ldconfig makes it, of which one library is gone.
l opt/libstale.so
printf '/t/opt\n' >conf
ldconfig -r . -f /conf -C /etc/ld.so.cache -X
rm conf t/opt/libstale.so
`

// TestCheckLoaders: for each rule, check says of a program what the kernel, glibc's loader and musl's do.
func TestCheckLoaders(t *testing.T) {
	p := lab.root
	dir := p.scratch(t)
	libc := ""
	for _, path := range lab.closure {
		if strings.Contains(path, "-libc6-") {
			libc = path
		}
	}
	do(t, p.command(dir, "bash", "-c", loaderCases, "bash", libc))
	args := []string{"--profile", lab.profile, "--add", "tree:/"}
	start, fail := compare(t, p, dir, []string{"PATH=/t/bin"}, args...)
	for _, name := range start {
		if strings.HasPrefix(name, "no-") {
			t.Errorf("%s starts, and should not", name)
		}
	}
	for _, name := range fail {
		if !strings.HasPrefix(name, "no-") {
			t.Errorf("%s does not start, and should", name)
		}
	}
	t.Logf("%d start, %d do not", len(start), len(fail))
	// What the environment says is about all programs.
	for _, env := range [][]string{{"LD_LIBRARY_PATH=:/t/a:/t/x1:/t/ma;/t/n"}, {"LD_LIBRARY_PATH=/t/t1", "LD_PRELOAD=/t/a/liba.so:/none.so"}} {
		start, fail := compare(t, p, dir, append(env, "PATH=/t/bin"), args...)
		t.Logf("with %s %d start, %d do not", env, len(start), len(fail))
	}
}

// TestCheckPlanted: a fault that is planted in a real program is found, in an image that is to be made, in one that
// is finished, and by podman; and image --check does not make such an image.
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
printf '#!/usr/bin/python3\n' >script; chmod 755 script`, curl)))
	for name, test := range map[string]struct {
		flags []string
		want  string
		ran   bool // by podman, too
	}{
		"a library is gone":      {[]string{"--allow-store-changes", "--whiteout", library, "--cmd", "curl"}, "libnghttp2.so.14", true},
		"another interpreter":    {[]string{"--add", "interpreter:/run/curl", "--cmd", "/run/curl"}, "/none/ld.so", true},
		"one more library":       {[]string{"--add", "library:/run/curl", "--cmd", "/run/curl"}, "libnone.so.1", false},
		"a script without":       {[]string{"--add", "script:/run/curl", "--cmd", "/run/curl"}, "/usr/bin/python3", true},
		"another architecture":   {[]string{"--platform", "linux/arm64", "--cmd", "curl"}, "for amd64, and the image for arm64", false},
		"no such program":        {[]string{"--cmd", "curly"}, "not in PATH", false},
		"a user without account": {[]string{"--base", "oci:base:1", "--cmd", "curl"}, `no user "web"`, true},
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
		if finished := try(t, p.command(dir, lab.program, "check", "-q", "oci:image:v1")); finished.status() != r.status() || finished.stdout != r.stdout {
			t.Errorf("%s: finished, %.1000v\nwant %.1000v", name, finished, r)
		}
		id := strings.TrimSpace(do(t, p.podman(dir, "pull", "-q", "oci:image:v1")).stdout)
		ran := try(t, p.podman(dir, "run", "--rm", "--network=none", id))
		started := ran.status() < 125 && !strings.HasPrefix(ran.stderr, "exec /") // podman's own child says so, with status 1
		if started != (test.want == "") {
			t.Errorf("%s: podman: %v\nwant %q", name, ran, test.want)
		}
	}
}

// checkedPackages are large programs of every kind, and what their scripts need.
var checkedPackages = []string{"curl", "git", "python3", "python3-minimal", "openjdk-17-jre-headless", "postgresql-15",
	"ruby", "ffmpeg", "clang", "ca-certificates", "dash", "bash", "coreutils"}

// TestCheckPrograms: of every program of large packages, check says what happens when it is run.
func TestCheckPrograms(t *testing.T) {
	p := lab.root
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
	// Some have programs where no profile has them.
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
			t.Errorf("there is no %s", name)
		}
	}
}
