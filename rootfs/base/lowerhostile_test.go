package base

import (
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/export-profile/export-profile/rootfs"
	"github.com/export-profile/export-profile/rootfs/rootfstest"
	"github.com/export-profile/export-profile/rootfs/testrun"
)

// TestHostileLowerAccounts checks what a base image whose /etc/passwd is no small file does to the new image:
// nothing without a user to add, and an error that names the file otherwise. No link leads out of the image.
func TestHostileLowerAccounts(t *testing.T) {
	const line = "daemon:x:1:1::/:/bin/sh\n"
	for _, test := range []struct {
		name  string
		lines []string
		other bool
		want  string // the file with the user, or an error
	}{
		{"link to a file of the image", []string{"d 0755 usr", fmt.Sprintf("f 0600 usr/passwd %q", line), "l etc/passwd -> ../usr/passwd"}, false,
			fmt.Sprintf("f 0600 etc/passwd %q", line+"app:x:1000:1000:app:/home/app:/bin/sh\n")},
		{"link far up", []string{"d 0755 usr", fmt.Sprintf("f 0644 usr/passwd %q", line), "l etc/passwd -> ../../../../../../usr/passwd"}, false,
			fmt.Sprintf("f 0644 etc/passwd %q", line+"app:x:1000:1000:app:/home/app:/bin/sh\n")},
		{"link to a file of the host", []string{"l etc/passwd -> /proc/self/environ"}, false,
			`f 0444 etc/passwd "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/var/empty:/bin/false\napp:x:1000:1000:app:/home/app:/bin/sh\n"`},
		{"link to itself", []string{"l etc/passwd -> ../../../etc/passwd"}, false,
			`f 0444 etc/passwd "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/var/empty:/bin/false\napp:x:1000:1000:app:/home/app:/bin/sh\n"`},
		{"link to a directory", []string{"d 0755 usr", "l etc/passwd -> /usr"}, false, "error: append to the base image's etc/passwd: it is not a regular file"},
		{"directory", []string{"d 0755 etc/passwd"}, false, "error: append to the base image's etc/passwd: it is not a regular file"},
		{"device or pipe", []string{"f 0666 etc/passwd x"}, true, "error: append to the base image's etc/passwd: it is not a regular file"},
		{"link to a device", []string{"d 0755 dev", "f 0666 dev/zero x", "l etc/passwd -> /dev/zero"}, true, "error: append to the base image's etc/passwd: it is not a regular file"},
		{"more than is read", []string{fmt.Sprintf("f 0644 etc/passwd %q", strings.Repeat("\n", maxAccountFile+1))}, false, "error: append to the base image's etc/passwd: too large"},
	} {
		t.Run(test.name, func(t *testing.T) {
			lower := func() *rootfs.Lower {
				l := rootfstest.Lower(t, append([]string{"d 0755 etc"}, test.lines...)...)
				for _, name := range []string{"etc/passwd", "dev/zero"} {
					if e, ok := l.Lookup(name); ok && test.other && e.IsRegular() {
						e.Other = true
						if err := l.Put(e); err != nil {
							t.Fatal(err)
						}
					}
				}
				return l
			}
			passwd := func(o Options) (string, error) {
				o.Profiles = []string{"nix/store/p"}
				files, err := New(rootfs.NewView(rootfstest.Parts(t, "d 0555 nix/store/p"), nil), o)
				if err != nil {
					return "", err
				}
				lines, err := rootfstest.Lines(files.Tree)
				i := slices.IndexFunc(lines, func(line string) bool { return strings.Contains(line, "etc/passwd") })
				if err != nil || i < 0 {
					return "", err
				}
				return lines[i], nil
			}
			got, err := passwd(Options{Lower: lower(), User: User{"app", 1000, 1000}})
			if part, fails := strings.CutPrefix(test.want, "error: "); fails {
				if err == nil || !strings.Contains(err.Error(), part) {
					t.Errorf("with a user: %q, %v; want an error with %q", got, err, part)
				}
			} else if got != test.want || err != nil {
				t.Errorf("with a user: %s, %v; want %s", got, err, test.want)
			}
			if got, err := passwd(Options{Lower: lower()}); err != nil || strings.Contains(got, "app") {
				t.Errorf("without a user: %q, %v; want no error", got, err)
			}
		})
	}
}

// TestLongLowerAccounts checks that account files as long as they may be, of the worst lines, take bounded memory.
func TestLongLowerAccounts(t *testing.T) {
	if testrun.Race {
		t.Skip("measures memory")
	}
	var distinct strings.Builder
	for i := 0; distinct.Len() < maxAccountFile-20; i++ {
		fmt.Fprintf(&distinct, "%x:::\n", i)
	}
	for name, content := range map[string]string{
		"empty":    strings.Repeat("\n", maxAccountFile),
		"colons":   strings.Repeat(":", maxAccountFile),
		"short":    strings.Repeat(":::\n", maxAccountFile/4),
		"distinct": distinct.String(),
	} {
		l := rootfs.NewLower("")
		l.Read = func(rootfs.LowerEntry, int64) ([]byte, error) { return []byte(content), nil }
		err := errors.Join(l.Put(rootfs.LowerEntry{Entry: rootfs.Dir("etc", 0o755)}),
			l.Put(rootfs.LowerEntry{Entry: rootfs.File("etc/passwd", 0o644, int64(len(content)), nil), Source: "etc/passwd"}))
		if err != nil {
			t.Fatal(err)
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err = New(rootfs.NewView(rootfstest.Parts(t, "d 0555 nix/store/p"), nil),
			Options{Profiles: []string{"nix/store/p"}, Lower: l, User: User{"app", 1000, 1000}})
		runtime.ReadMemStats(&after)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if n := (after.TotalAlloc - before.TotalAlloc) >> 20; n > 300 {
			t.Errorf("%s lines: New allocates %d MiB in all, garbage included; want at most 300", name, n)
		}
	}
}

// TestHostileUserNames checks that the error about an unknown user stays short, and harmless to a terminal.
func TestHostileUserNames(t *testing.T) {
	for name, passwd := range map[string]string{
		"long": strings.Repeat("n", maxAccountFile-10) + ":x:1:1\n",
		"many": strings.Repeat(strings.Repeat("n", longestUser)+":x:1:1\n", 10_000),
		"distinct": func() (s string) {
			for i := range 1000 {
				s += fmt.Sprintf("user%d:x:1:1\n", i)
			}
			return s
		}(),
		"control characters": "\x1b[2J:x:1:1\n\u202e:x:1:1\n",
	} {
		_, err := FindUser("app", []byte(passwd))
		if err == nil || len(err.Error()) > mostKnown*(longestUser+20) || strings.ContainsAny(err.Error(), "\x1b\u202e\n") {
			t.Errorf("%s: FindUser = %.200q; want a short error without control characters", name, err)
		}
	}
}
