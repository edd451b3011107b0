package startup

import (
	"slices"
	"strings"
	"testing"

	"github.com/export-profile/export-profile/rootfs"
)

// TestSurroundings has rows for each warning about what programs miss once they run. want is a part of the only warning, or "" for none.
func TestSurroundings(t *testing.T) {
	base := glibc.with(fileSet{"bin/p": program("libc.so.6"), "bin/sh": elfFile{}, "etc/passwd": data("root:x:0:0::/root:/bin/sh\n")})
	const archive = aRoot + "/lib/locale/locale-archive"
	for name, test := range map[string]struct {
		more   fileSet
		config Config
		want   string
	}{
		"nothing":                 {nil, Config{}, ""},
		"no zone":                 {nil, Config{Env: []string{"TZ=Europe/Berlin"}}, "TZ=Europe/Berlin: the image has no such zone, so the time is UTC"},
		"no zone, with a colon":   {nil, Config{Env: []string{"TZ=:Europe/Berlin"}}, "no such zone"},
		"UTC":                     {nil, Config{Env: []string{"TZ=Etc/UTC"}}, ""},
		"no TZ":                   {nil, Config{Env: []string{"TZ="}}, ""},
		"POSIX":                   {nil, Config{Env: []string{"TZ=CET-1CEST,M3.5.0,M10.5.0/3"}}, ""},
		"POSIX with a number":     {nil, Config{Env: []string{"TZ=<+03>-3"}}, ""},
		"a zone":                  {fileSet{"usr/share/zoneinfo/Europe/Berlin": data("TZif")}, Config{Env: []string{"TZ=Europe/Berlin"}}, ""},
		"another zone":            {fileSet{"usr/share/zoneinfo/Europe/Paris": data("TZif")}, Config{Env: []string{"TZ=Europe/Berlin"}}, "no such zone"},
		"a zone of NixOS":         {fileSet{"etc/zoneinfo": link("/" + aRoot + "/z"), aRoot + "/z/Asia/Tokyo": data("TZif")}, Config{Env: []string{"TZ=Asia/Tokyo"}}, ""},
		"TZDIR":                   {fileSet{aRoot + "/share/zoneinfo/Asia/Tokyo": data("TZif")}, Config{Env: []string{"TZ=Asia/Tokyo", "TZDIR=/" + aRoot + "/share/zoneinfo"}}, ""},
		"without TZDIR":           {fileSet{aRoot + "/share/zoneinfo/Asia/Tokyo": data("TZif")}, Config{Env: []string{"TZ=Asia/Tokyo"}}, `the zone is in "/` + aRoot + `/share/zoneinfo", and TZDIR does not name that directory`},
		"another TZDIR":           {fileSet{"usr/share/zoneinfo/Asia/Tokyo": data("TZif")}, Config{Env: []string{"TZ=Asia/Tokyo", "TZDIR=/none"}}, "no such zone"},
		"a file":                  {fileSet{"etc/zone": data("TZif")}, Config{Env: []string{"TZ=/etc/zone"}}, ""},
		"a missing file":          {nil, Config{Env: []string{"TZ=:/etc/zone"}}, `"/etc/zone" does not exist`},
		"no locales":              {nil, Config{Env: []string{"LANG=de_DE.UTF-8"}}, "LANG=de_DE.UTF-8: the image has no locale archive, so programs use the locale C"},
		"no locales for LC_ALL":   {nil, Config{Env: []string{"LC_ALL=en_US.UTF-8"}}, "LC_ALL=en_US.UTF-8: the image has no locale archive"},
		"the locale C":            {nil, Config{Env: []string{"LANG=C.UTF-8", "LC_ALL=POSIX", "LC_TIME="}}, ""},
		"LOCALE_ARCHIVE":          {fileSet{archive: data("x")}, Config{Env: []string{"LANG=de_DE.UTF-8", "LOCALE_ARCHIVE=/" + archive}}, ""},
		"LOCALE_ARCHIVE_2_27":     {fileSet{archive: data("x")}, Config{Env: []string{"LANG=de_DE.UTF-8", "LOCALE_ARCHIVE_2_27=/" + archive}}, ""},
		"LOCALE_ARCHIVE, missing": {nil, Config{Env: []string{"LANG=de_DE.UTF-8", "LOCALE_ARCHIVE=/" + archive}}, "no locale archive"},
		"without LOCALE_ARCHIVE":  {fileSet{archive: data("x")}, Config{Env: []string{"LANG=de_DE.UTF-8"}}, `the locale archive is "/` + archive + `", and LOCALE_ARCHIVE does not name it`},
		"LOCPATH":                 {fileSet{"opt/locale/x": data("x")}, Config{Env: []string{"LANG=de_DE.UTF-8", "LOCPATH=/opt/locale"}}, ""},
		"GUIX_LOCPATH":            {fileSet{"opt/locale/2.35/x": data("x")}, Config{Env: []string{"LANG=de_DE.UTF-8", "GUIX_LOCPATH=/none:/opt/locale"}}, ""},
		"GUIX_LOCPATH, missing":   {nil, Config{Env: []string{"LANG=de_DE.UTF-8", "GUIX_LOCPATH=:/none"}}, "no locale archive"},
		"Debian's archive":        {fileSet{"usr/lib/locale/locale-archive": data("x")}, Config{Env: []string{"LANG=de_DE.UTF-8"}}, ""},
		"only C.utf8":             {fileSet{"usr/lib/locale/C.utf8/LC_CTYPE": data("x")}, Config{Env: []string{"LANG=de_DE.UTF-8"}}, "no locale archive"},
		"a directory of a locale": {fileSet{"usr/lib/locale/de_DE.utf8/LC_CTYPE": data("x")}, Config{Env: []string{"LANG=de_DE.UTF-8"}}, ""},
		"glibc's own archive":     {fileSet{"bin/p": elfFile{interp: "/" + aRoot + "/lib/ld.so"}, aRoot + "/lib/ld.so": glibcLoader, archive: data("x")}, Config{Env: []string{"LANG=de_DE.UTF-8"}}, ""},
		"musl":                    {muslRoot.with(fileSet{"bin/p": musl()}), Config{Env: []string{"LANG=de_DE.UTF-8"}}, ""},

		"CUDA":                 {fileSet{"bin/q": program("libcuda.so.1")}, Config{}, `/bin/q: needs "libcuda.so.1" of the host's driver, which the container has to get from the host`},
		"CUDA of a library":    {fileSet{"bin/q": program("liba.so"), "lib/liba.so": library("libnvidia-ml.so.1")}, Config{}, `/lib/liba.so: needs "libnvidia-ml.so.1" of the host's driver`},
		"CUDA in the image":    {fileSet{"bin/q": program("libcuda.so.1"), "lib/libcuda.so.1": library()}, Config{}, ""},
		"the driver's place":   {fileSet{"bin/q": program("libc.so.6").runpathed("/lib:/run/opengl-driver/lib")}, Config{}, `looks for the host's driver in "/run/opengl-driver"`},
		"the driver is there":  {fileSet{"bin/q": program("libc.so.6").rpathed("/run/opengl-driver/lib:/lib"), "run/opengl-driver/lib/x": data("x")}, Config{}, ""},
		"a place that is like": {fileSet{"bin/q": program("libc.so.6").runpathed("/run/opengl-driver-32/lib")}, Config{}, ""},

		"no working directory":       {nil, Config{WorkingDir: "/srv/new"}, "/srv/new: does not exist: container runtimes make it, owned by root"},
		"a working directory":        {fileSet{"srv/new": nil}, Config{WorkingDir: "/srv/new/"}, ""},
		"a working directory, links": {fileSet{"srv": link("/opt"), "opt/new": nil}, Config{WorkingDir: "/srv/new"}, ""},

		"a closed working directory": {fileSet{"srv": closed{}}, Config{WorkingDir: "/srv", User: "7"}, "/srv: user 7 cannot enter it"},
		"a volume":                   {fileSet{"srv/new": nil}, Config{Volumes: []string{"/srv/new"}, User: "7"}, ""},
		"no volume":                  {nil, Config{Volumes: []string{"/srv/new"}, User: "7"}, "/srv/new: does not exist: container runtimes make it, owned by root"},
		"no volume, for root":        {nil, Config{Volumes: []string{"/srv/new"}}, ""},

		"an object for root":          {fileSet{aRoot + "/x": secret("x")}, Config{}, ""},
		"an object that is closed":    {fileSet{aRoot + "/x": secret("#!/bin/sh\n"), aRoot + "/y": secret("y")}, Config{User: "7"}, "/" + aRoot + "/x: user 7 cannot read it"},
		"an object that can be read":  {fileSet{aRoot + "/x": data("x"), aRoot + "/y": link("none"), "etc/x": secret("x")}, Config{User: "7"}, "leads nowhere"},
		"an object of the root group": {fileSet{aRoot + "/x": data("x")}, Config{User: "1000680000:0"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			c := test.config
			c.Env = append([]string{"PATH=/bin"}, c.Env...)
			r := base.with(test.more).check(t, c)
			if len(r.Errors) > 0 {
				t.Errorf("Check gives the errors %q; want none", r.Errors)
			}
			var got []string
			for _, p := range r.Warnings {
				got = append(got, p.String())
			}
			switch {
			case test.want == "" && len(got) > 0:
				t.Errorf("Check gives the warnings %q; want none", got)
			case test.want != "" && (len(got) != 1 || !strings.Contains(got[0], test.want)):
				t.Errorf("Check gives the warnings %q; want one with %q", got, test.want)
			}
		})
	}
}

// TestHealthcheck checks that a health check is found and judged like an entrypoint.
func TestHealthcheck(t *testing.T) {
	files := fileSet{"bin/p": elfFile{}, "opt/text": data("x")}
	for name, test := range map[string]struct {
		test []string
		sh   bool
		want []Problem
	}{
		"none":              {nil, false, nil},
		"no check":          {[]string{"NONE"}, false, nil},
		"a word":            {[]string{"CMD", "p", "-x"}, false, nil},
		"not in PATH":       {[]string{"CMD", "curl"}, false, []Problem{{"curl", Health, "the health check is not in PATH"}}},
		"not executable":    {[]string{"CMD", "/opt/text"}, false, []Problem{{"/opt/text", Health, "the health check is not executable"}}},
		"a line":            {[]string{"CMD-SHELL", "curl"}, true, nil},
		"a line, no shell":  {[]string{"CMD-SHELL", "curl"}, false, []Problem{{"/bin/sh", Health, "the health check's shell does not exist"}}},
		"a shell, no shell": {[]string{"CMD", "sh", "-c", "x"}, false, []Problem{{"sh", Health, "the health check is not in PATH; the image has no shell"}}},
	} {
		t.Run(name, func(t *testing.T) {
			all := files
			if test.sh {
				all = all.with(fileSet{"bin/sh": elfFile{}})
			}
			if got := all.check(t, Config{Healthcheck: test.test}).Errors; !slices.Equal(got, test.want) {
				t.Errorf("Check gives the errors %q; want %q", got, test.want)
			}
		})
	}
}

// TestNoShell checks that a script without its shell is an error that says which shells there are.
func TestNoShell(t *testing.T) {
	for name, test := range map[string]struct {
		files fileSet
		c     Config
		want  []Problem
	}{
		"a script": {fileSet{"opt/p": "#!/bin/sh\n"}, Config{Entrypoint: []string{"/opt/p"}, Env: []string{"PATH=/bin"}},
			[]Problem{{"/opt/p", Entrypoint, `the entrypoint: its interpreter "/bin/sh" does not exist; the image has no shell`}}},
		"a script, another shell": {fileSet{"opt/p": "#!/bin/bash\n", "bin/sh": elfFile{}}, Config{Entrypoint: []string{"/opt/p"}},
			[]Problem{{"/opt/p", Entrypoint, `the entrypoint: its interpreter "/bin/bash" does not exist; the image has "/bin/sh"`}}},
		"a script, the shell elsewhere": {fileSet{"opt/p": "#!/bin/bash\n", "bin/sh": elfFile{}, "usr/bin/bash": elfFile{}}, Config{Entrypoint: []string{"/opt/p"}},
			[]Problem{{"/opt/p", Entrypoint, `the entrypoint: its interpreter "/bin/bash" does not exist; the image has "/usr/bin/bash"`}}},
		"a shell": {nil, Config{Entrypoint: []string{"sh", "-c", "x"}},
			[]Problem{{"sh", Entrypoint, "the entrypoint is not in PATH; the image has no shell"}}},
		"no shell's script": {fileSet{"opt/p": "#!/bin/perl\n"}, Config{Entrypoint: []string{"/opt/p"}},
			[]Problem{{"/opt/p", Entrypoint, `the entrypoint: its interpreter "/bin/perl" does not exist`}}},
	} {
		t.Run(name, func(t *testing.T) {
			image := &Image{Config: test.c, Parts: []rootfs.Part{test.files.part(t, "")}}
			if got := mustCheck(t, image, Options{}).Errors; !slices.Equal(got, test.want) {
				t.Errorf("Check gives the errors %q; want %q", got, test.want)
			}
		})
	}
}
