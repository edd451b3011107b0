package e2e

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// nixCache makes Nix write an object's closure to a binary cache in a directory.
func nixCache(t *testing.T, dir, params string, objects ...string) {
	t.Helper()
	do(t, nix("nix", append([]string{"copy", "--to", "file://" + dir + "?" + params}, objects...)...))
}

// signingKey makes Nix write a pair of keys to files.
func signingKey(t *testing.T, name string) (secret, public string) {
	t.Helper()
	dir := lab.root.scratch(t)
	secret, public = filepath.Join(dir, "secret"), filepath.Join(dir, "public")
	do(t, nix("nix-store", "--generate-binary-cache-key", name, secret, public))
	return secret, public
}

func readFile(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// mixedCache makes a cache whose objects use all supported compressions.
// Brotli, which Nix writes at the slowest level, and bzip2 are only used for small objects.
func mixedCache(t *testing.T, params string) string {
	t.Helper()
	dir := lab.root.scratch(t)
	closure := closureOf(t, lab.object)
	sizes := strings.Fields(do(t, nix("nix-store", append([]string{"-q", "--size"}, closure...)...)).stdout)
	quick, slow := []string{"gzip", "zstd", "lz4", "none", "xz&compression-level=0"}, []string{"br", "bzip2"}
	n, m := 0, 0
	for some := range slices.Chunk(closure, len(closure)/len(quick)+1) {
		// Nix does not rewrite existing objects, so only objects that the others do not need can be small.
		var large, small []string
		for _, p := range some {
			if len(sizes[slices.Index(closure, p)]) < 6 { // digits
				small = append(small, p)
			} else {
				large = append(large, p)
			}
		}
		if len(large) > 0 {
			nixCache(t, dir, params+"&compression="+quick[n], large...)
		}
		n++
		for _, p := range small {
			if _, err := os.Stat(narInfo(dir, p)); err != nil {
				nixCache(t, dir, params+"&compression="+slow[m%2], p)
				m++
			}
		}
	}
	found := make(map[string]bool)
	for _, p := range closure {
		found[regexp.MustCompile(`(?m)^Compression: (.*)$`).FindStringSubmatch(readFile(t, narInfo(dir, p)))[1]] = true
	}
	if len(found) != len(quick)+len(slow) {
		t.Fatalf("the cache only uses %v", found)
	}
	return dir
}

// narInfo returns the name of a path's narinfo in a cache.
func narInfo(cache, path string) string {
	digest, _, _ := strings.Cut(filepath.Base(path), "-")
	return filepath.Join(cache, digest+".narinfo")
}

// nixCompressions maps the compressions that Nix may support to whether export-profile reads them.
var nixCompressions = map[string]bool{
	"none": true, "xz": true, "bzip2": true, "gzip": true, "zstd": true, "br": true, "lz4": true, "lzip": true,
	"lzma": false, "lzop": false, "compress": false, "grzip": false, "lrzip": false,
}

// TestCacheCompressions checks caches in every compression that this Nix can write.
func TestCacheCompressions(t *testing.T) {
	object := lab.objects["odd"]
	var forms []form
	for how, read := range nixCompressions {
		dir := lab.root.scratch(t)
		r := try(t, nix("nix", "copy", "--to", "file://"+dir+"?write-nar-listing=true&compression="+how, object))
		infos, err := filepath.Glob(dir + "/*.narinfo")
		if err != nil {
			t.Fatal(err)
		}
		switch {
		case r.status() != 0 && read:
			t.Errorf("%v\nwant Nix to support %s", r, how)
		case r.status() != 0:
			t.Logf("this Nix does not write %s: %s", how, strings.TrimSpace(r.stderr))
		case len(infos) == 0 || !strings.Contains(readFile(t, infos[0]), "\nCompression: "+how+"\n"):
			t.Errorf("Nix wrote the narinfos %q; want Compression: %s", infos, how)
		case read:
			forms = append(forms, form{name: how, flags: []string{"--from", dir}})
		default:
			mistake{
				name: how, status: 1, args: []string{"image", "--from", dir, "--platform", "linux/amd64", "oci:x"},
				err: `compression "` + how + `": unsupported`,
			}.check(t)
		}
	}
	slices.SortFunc(forms, func(a, b form) int { return strings.Compare(a.name, b.name) })
	checkForms(t, object, forms)
}

// TestCaches checks binary caches in directories, alone and combined with other sources.
func TestCaches(t *testing.T) {
	secret, public := signingKey(t, "e2e-1")
	signed, half := lab.root.scratch(t), lab.root.scratch(t)
	nixCache(t, signed, "compression=zstd&write-nar-listing=true&secret-key="+secret, lab.object)
	if listings, err := filepath.Glob(signed + "/*.ls"); err != nil || len(listings) != len(lab.closure) {
		t.Fatalf("found %d listings, %v; want %d", len(listings), err, len(lab.closure))
	}

	// The first half of the closure does not need the second.
	closure := closureOf(t, lab.object)
	nixCache(t, half, "compression=zstd", closure[:len(closure)/2]...)
	var rest []string
	for _, p := range closure {
		if _, err := os.Stat(narInfo(half, p)); err != nil {
			rest = append(rest, p)
		}
	}
	if len(rest) == 0 || len(rest) == len(closure) {
		t.Fatalf("the half has %d of %d objects", len(closure)-len(rest), len(closure))
	}
	export := pipedFile(t, nix("nix-store", append([]string{"--export"}, rest...)...))

	checkForms(t, lab.object, []form{
		{name: "signed, with listings", flags: []string{"--from", signed}},
		{name: "signed, with --require-sigs", flags: []string{"--from", signed, "--require-sigs", "--trusted-public-key", public}},
		{name: "by base name, no Nix", flags: []string{"--from", signed, "--profile", filepath.Base(lab.object)}, noNix: true},
		{name: "half, and a stream", flags: []string{"--from", half, "--from", export}},
		{name: "a pipe, and half, no Nix", flags: []string{"--from", "-", "--from", half}, noNix: true,
			stdin: func(t *testing.T) io.Reader { return pipe(t, exec.Command("cat", export)) }},
	})
}

// TestServers checks a binary cache with all compressions on web servers.
func TestServers(t *testing.T) {
	secret, public := signingKey(t, "e2e-1")
	signed, unsigned := mixedCache(t, "secret-key="+secret), lab.root.scratch(t)
	nixCache(t, unsigned, "compression=zstd", lab.object)
	key := strings.TrimSpace(readFile(t, public))

	server, doubtful := serve(t, signed, ""), serve(t, unsigned, "")
	simple := servePython(t, signed)
	closed := serve(t, signed, "reader:secret word")
	netrc := filepath.Join(lab.user.scratch(t), "netrc")
	writeFile(t, netrc, "machine 127.0.0.1 login reader password \"secret word\"\n")
	half := lab.root.scratch(t)
	nixCache(t, half, "compression=none", dash(t))

	ask := func(url string, flags ...string) []string {
		return append([]string{"--from", url, "--profile", lab.object}, flags...)
	}
	checkForms(t, lab.object, []form{
		{name: "directory", flags: []string{"--from", signed}},
		{name: "signed", flags: ask(server.url, "--trusted-public-key", key)},
		{name: "signed, key in a file, no Nix", flags: ask(server.url, "--trusted-public-key", public), noNix: true},
		{name: "signed, a slash", flags: ask(server.url+"/", "--trusted-public-key", key)},
		{name: "unsigned", flags: ask(doubtful.url, "--no-check-sigs")},
		{name: "HTTP/1.0", flags: ask(simple, "--trusted-public-key", key)},
		{name: "netrc", flags: ask(closed.url, "--trusted-public-key", key, "--netrc", netrc)},
		{name: "login in the URL", flags: ask(strings.Replace(closed.url, "//", "//reader:secret%20word@", 1), "--trusted-public-key", key)},
		{name: "a directory, then a server", flags: append([]string{"--from", half}, ask(server.url, "--trusted-public-key", key)...)},
	})

	// The home of a mistake has no cache yet.
	image := func(flags ...string) []string { return append(append([]string{"image"}, flags...), "oci:x") }
	_, other := signingKey(t, "e2e-1")            // another key of the same name
	untrusted := func(n int, why string) string { // one line per object
		return fmt.Sprintf(`^find closure: %d not trusted:(\n  "/nix/store/\S+" is not trusted: %s){%[1]d}$`, n, why)
	}
	all := len(lab.closure)
	for _, p := range lab.closure { // content-addressed objects need no signature
		if strings.Contains(readFile(t, narInfo(unsigned, p)), "\nCA: ") {
			all--
		}
	}
	for _, m := range []mistake{
		{name: "no signatures", args: image(ask(doubtful.url, "--trusted-public-key", key)...),
			err: untrusted(all, `it has no signature`), hint: `--trusted-public-key`},
		{name: "no key", args: image(ask(server.url)...),
			err: untrusted(all, `it is signed by "e2e-1", which is no trusted key`), hint: `--trusted-public-key`},
		{name: "wrong key", args: image(ask(server.url, "--trusted-public-key", other)...),
			err: untrusted(all, `the signature of key "e2e-1" does not verify`), hint: `--trusted-public-key`},
		{name: "no login", args: image(ask(closed.url, "--trusted-public-key", key)...), err: `401`},
		{name: "no cache there", args: image(ask(server.url+"/nar", "--trusted-public-key", key)...), err: `not a binary cache`},
		{name: "no such object", args: image("--from", server.url, "--profile", lab.objects["odd"]), err: `-odd" is not in the binary cache`},
		{name: "no profile", args: image("--from", server.url), err: `must be named`},
	} {
		m.status = 1
		m.check(t)
	}
}

// TestDamagedServer checks that wrong data from a cache never gets into an image.
func TestDamagedServer(t *testing.T) {
	object := dash(t)
	secret, public := signingKey(t, "e2e-1")
	for _, tt := range []struct {
		name   string
		damage func(info, nar string) (string, string)
		err    string
	}{
		{"NarHash", func(info, nar string) (string, string) {
			return regexp.MustCompile(`(?m)^NarHash: .*$`).ReplaceAllString(info, "NarHash: sha256:"+strings.Repeat("1", 52)), nar
		}, `-dash-.* is not trusted`},
		{"References", func(info, nar string) (string, string) {
			return regexp.MustCompile(`(?m)^References: .*$`).ReplaceAllString(info, "References: "+filepath.Base(object)), nar
		}, `-dash-.* is not trusted`},
		{"NAR", func(info, nar string) (string, string) {
			middle := len(nar) / 2
			return info, nar[:middle] + string(nar[middle]^1) + nar[middle+1:]
		}, `\.nar": .*hash`},
		{"NAR/cut", func(info, nar string) (string, string) { return info, nar[:len(nar)/2] }, `\.nar": NAR at byte \d+: unexpected EOF`},
	} {
		dir := lab.root.scratch(t)
		nixCache(t, dir, "compression=none&secret-key="+secret, object)
		name := narInfo(dir, object)
		url := regexp.MustCompile(`(?m)^URL: (.*)$`).FindStringSubmatch(readFile(t, name))
		if url == nil {
			t.Fatalf("%q names no NAR", name)
		}
		info, nar := tt.damage(readFile(t, name), readFile(t, filepath.Join(dir, url[1])))
		writeFile(t, name, info)
		writeFile(t, filepath.Join(dir, url[1]), nar)
		server := serve(t, dir, "")
		for _, form := range [][]string{{"image", "oci:x"}, {"rootfs", "x"}} {
			mistake{
				name: tt.name + "/" + form[0], status: 1, err: tt.err,
				args: []string{form[0], "--from", server.url, "--profile", object, "--trusted-public-key", public, form[1]},
			}.check(t)
		}
	}
}

// TestServerRequests counts requests to a server: the first run fetches everything once, the second almost nothing.
func TestServerRequests(t *testing.T) {
	dir := lab.root.scratch(t)
	nixCache(t, dir, "compression=zstd", lab.object)
	server := serve(t, dir, "")
	p := lab.user
	home := p.scratch(t)
	p = p.with("HOME=" + home)
	run := func(args ...string) []request {
		work := p.scratch(t)
		args = append([]string{"image", "--no-check-sigs", "--platform", "linux/amd64", "--from", server.url, "--profile", lab.object}, args...)
		if got := p.export(t, work, append(args, "oci:x")...); got != live(t, lab.object) {
			t.Errorf("%q prints %s; want the live store's digest, %s", args, got, live(t, lab.object))
		}
		return server.requests(t)
	}
	paths := len(lab.closure)

	first := run()
	n := count(first)
	if n["narinfo"] != paths || n["nar"] != paths || n["other"] != 1 { // nix-cache-info
		t.Errorf("for %d objects, the first run requests %v; want %[1]d narinfos, %[1]d NARs, and 1 other", paths, n)
	}
	// Connections are reused: 16 for narinfos, and one for each NAR that is read concurrently.
	if c := connections(first); c > 32 || c >= len(first) {
		t.Errorf("the first run opens %d connections for %d requests; want at most 32", c, len(first))
	}

	// Narinfos and layers are cached, so a NAR is fetched only to build a new layer.
	n = count(run())
	if n["narinfo"] > 0 || n["nar"] > 0 || n["other"] > 1 {
		t.Errorf("a second run requests %v; want no narinfos, no NARs, and 1 other", n)
	}
	n = count(run("--no-cache"))
	if n["narinfo"] != paths || n["nar"] != paths {
		t.Errorf("without the cache, a run requests %v; want %d narinfos and as many NARs", n, paths)
	}
}
