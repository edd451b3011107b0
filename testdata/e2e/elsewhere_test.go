package e2e

import (
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// elsewhere is a store that Nix has built in another store directory than /nix/store, with a default profile.
// All but one of its store paths are signed; that one is content-addressed.
type elsewhere struct {
	around  string // the directory of the store and of Nix's state
	store   string // the store directory
	profile string // a link
	object  string // the store object of the profile
	closure []string
	key     string // a file with the public key

	owner person // who runs Nix, with its environment
	image string // the digest of the image from the live store
}

// greeting is what the program of the store prints.
const greeting = "hello from elsewhere\n"

// rootsStore builds a store of root in /opt.
func rootsStore(t *testing.T) *elsewhere { return buildElsewhere(t, lab.root, "/opt", "store") }

// usersStore builds a store of a user in a home directory, which needs no root. Its name is long.
func usersStore(t *testing.T) *elsewhere {
	return buildElsewhere(t, lab.user, "/home", ".local/share/software/without-root/nix/store")
}

// buildElsewhere builds a store in a new directory, which disappears after the test.
func buildElsewhere(t *testing.T, p person, parent, store string) *elsewhere {
	t.Helper()
	top := filepath.Join(parent, userName)
	remove := func() {
		do(t, exec.Command("rm", "-rf", top))
	}
	remove() // what a killed run left
	t.Cleanup(remove)
	s := &elsewhere{store: filepath.Join(top, store)}
	s.around = filepath.Dir(s.store)
	s.profile = s.around + "/var/nix/profiles/default"
	if err := errors.Join(os.MkdirAll(s.around, 0o755), p.own(top)); err != nil {
		t.Fatal(err)
	}
	s.owner = p.with("NIX_STORE_DIR="+s.store, "NIX_STATE_DIR="+s.around+"/var/nix", "NIX_LOG_DIR="+s.around+"/var/log/nix",
		"NIX_CONFIG="+nixConfig)
	s.build(t, "0")
	refs := strings.Fields(s.nix(t, "nix-store", "-q", "--references", s.path("words-1.0")))
	if len(refs) != 2 || !slices.Contains(refs, s.path("words-1.0")) || !slices.Contains(refs, s.path("greeting")) {
		t.Fatalf("the words refer to %q; want the greeting and themselves", refs)
	}

	dir := p.scratch(t)
	s.key = dir + "/public"
	s.nix(t, "nix-store", "--generate-binary-cache-key", "elsewhere-1", dir+"/secret", s.key)
	s.nix(t, append([]string{"nix", "store", "sign", "--key-file", dir + "/secret"}, s.signed()...)...)
	q := lab.user
	s.image = q.export(t, q.scratch(t), "image", "--no-cache", "--store-dir", s.store, "--profile", s.profile, "oci:x")
	return s
}

// build installs a revision of the program into the profile.
func (s *elsewhere) build(t *testing.T, revision string) {
	t.Helper()
	added := s.owner.scratch(t) + "/greeting"
	writeFile(t, added, greeting)
	greeting := strings.TrimSpace(s.nix(t, "nix-store", "--add", added))
	outs := strings.Fields(s.nix(t, "nix-build", lab.repo+"/testdata/e2e/elsewhere.nix", "--no-out-link", "--argstr", "greeting", greeting,
		"--argstr", "certificates", lab.object+"/etc/ssl/certs/ca-bundle.crt", "--argstr", "revision", revision))
	s.nix(t, append([]string{"nix-env", "-p", s.profile, "-i"}, outs...)...)
	s.object = strings.TrimSpace(s.nix(t, "readlink", "-f", s.profile))
	s.closure = strings.Fields(s.nix(t, "nix-store", "-qR", s.object))
}

// nix runs a command of Nix with the store, and returns its output.
func (s *elsewhere) nix(t *testing.T, args ...string) string {
	t.Helper()
	return do(t, s.command(args...)).stdout
}

func (s *elsewhere) command(args ...string) *exec.Cmd {
	return s.owner.command(s.around, args[0], args[1:]...)
}

// path returns the store path of a name.
func (s *elsewhere) path(name string) string {
	return s.closure[slices.IndexFunc(s.closure, func(p string) bool { return filepath.Base(p)[33:] == name })]
}

// signed lists the store paths of the closure that need a signature.
func (s *elsewhere) signed() []string {
	return slices.DeleteFunc(slices.Clone(s.closure), func(p string) bool { return p == s.path("greeting") })
}

// cache makes Nix write a binary cache.
func (s *elsewhere) cache(t *testing.T, params string, objects ...string) string {
	t.Helper()
	dir := s.owner.scratch(t) + "/cache"
	s.nix(t, append([]string{"nix", "copy", "--to", "file://" + dir + "?" + params}, objects...)...)
	if got := readFile(t, dir+"/nix-cache-info"); !strings.Contains(got, "StoreDir: "+s.store+"\n") {
		t.Fatalf("nix-cache-info: %q; want StoreDir: %s", got, s.store)
	}
	return dir
}

// export exports store paths to a file.
func (s *elsewhere) export(t *testing.T, objects ...string) string {
	t.Helper()
	return pipedFile(t, s.command(append([]string{"nix-store", "--export"}, objects...)...))
}

// text writes the output of a command of Nix to a file.
func (s *elsewhere) text(t *testing.T, args ...string) string {
	t.Helper()
	return pipedFile(t, s.command(args...))
}

// TestElsewhere checks that all forms of stores of other store directories give one digest.
func TestElsewhere(t *testing.T) {
	for name, build := range map[string]func(*testing.T) *elsewhere{"root's": rootsStore, "user's": usersStore} {
		t.Run(name, func(t *testing.T) {
			s := build(t)
			if name == "user's" {
				t.Run("podman", func(t *testing.T) { testElsewherePodman(t, s) })
			}
			t.Run("forms", func(t *testing.T) { testElsewhereForms(t, s) })
			t.Run("commands", func(t *testing.T) { testElsewhereCommands(t, s) })
			t.Run("database", func(t *testing.T) { testElsewhereDatabase(t, s) })
			t.Run("mistakes", func(t *testing.T) { testElsewhereMistakes(t, s) })
			t.Run("previous", func(t *testing.T) { testElsewherePrevious(t, s) })
		})
	}
}

func testElsewhereForms(t *testing.T, s *elsewhere) {
	said, object := []string{"--store-dir", s.store}, []string{"--profile", s.object}
	from := func(source string, flags ...[]string) []string {
		return append([]string{"--from", source}, slices.Concat(flags...)...)
	}
	copied, root, paths := s.owner.scratch(t), lab.root.scratch(t), lab.root.scratch(t)
	s.nix(t, "nix", "copy", "--no-check-sigs", "--to", copied, s.object)
	place := filepath.Join(root, s.around)
	do(t, exec.Command("sh", "-c", `mkdir -p "$(dirname "$2")" && cp -a "$1" "$2"`, "sh", s.around, place))
	do(t, exec.Command("cp", append([]string{"-a", "-t", paths}, s.closure...)...))
	tar := func(args ...string) string {
		return pipedFile(t, exec.Command("tar", append([]string{"--create"}, args...)...))
	}
	half := s.cache(t, "compression=none", s.path("words-1.0"))
	rest := slices.DeleteFunc(slices.Clone(s.closure), func(p string) bool { return p == s.path("greeting") || p == s.path("words-1.0") })
	xz, none := s.cache(t, "compression=xz", s.object), s.cache(t, "compression=none", s.object)
	export := s.export(t, s.closure...)
	info, dump := s.text(t, "nix", "path-info", "--json", "-r", s.object), s.text(t, "nix-store", "--dump-db")
	trusted := []string{"--trusted-public-key", s.key}
	sigs := append([]string{"--require-sigs"}, trusted...)
	references := func(name string) []string { return []string{"--references", name} }
	file := func(name string) func(t *testing.T) io.Reader {
		return func(t *testing.T) io.Reader { return pipe(t, exec.Command("cat", name)) }
	}
	const scans = "note: no database in "

	forms := []form{
		{name: "live", flags: append(said, "--profile", s.profile)},
		{name: "live, as root", flags: append(said, "--profile", s.profile), person: &lab.root},
		{name: "live, by store path", flags: append(said, object...)},
		{name: "live, by base name, verified", flags: append(said, "--verify-store", "--profile", filepath.Base(s.object))},
		{name: "live, signed", flags: slices.Concat(said, object, sigs)},
		{name: "live, as local", flags: from("local?store="+s.store+"&real="+s.store+"&state="+s.around+"/var/nix", object)},
		{name: "the directory around it", flags: from(s.around)},
		{name: "relocated", flags: from(root, said), hidden: s.around},
		{name: "relocated, as root", flags: from(root, said), hidden: s.around, person: &lab.root},
		{name: "relocated, the directory around it", flags: from(place), hidden: s.around},
		{name: "relocated, as local", flags: from("local?store="+s.store+"&root="+root, object), hidden: s.around},
		{name: "nix copy", flags: from(copied, object), hidden: s.around},
		{name: "nix copy, said", flags: from(copied, said, object)},
		{name: "nix copy, as local", flags: from("local?store="+s.store+"&root="+copied, object)},
		{name: "store paths, scanned", flags: from(paths, said), hidden: s.around, says: scans},
		{name: "store paths, path-info", flags: from(paths, references(info)), hidden: s.around},
		{name: "store paths, dump-db", flags: from(paths, object, references(dump)), hidden: s.around},
		{name: "cache, xz", flags: from(xz), hidden: s.around},
		{name: "cache, none, signed", flags: from(none, sigs)},
		{name: "cache, path-info", flags: from(none, references(info))},
		{name: "server", flags: from(servePython(t, xz), object, trusted), hidden: s.around},
		{name: "stream", flags: from(export), hidden: s.around},
		{name: "stream from a pipe, said", flags: from("-", said), stdin: file(export)},
		{name: "stream, path-info", flags: from(export, references(info))},
		{name: "tar of a root", flags: from(tar("-C", root, strings.Split(s.store, "/")[1])), hidden: s.around},
		{name: "tar of a root, said", flags: from(tar("-C", root, "."), said)},
		{name: "tar of the directory around it", flags: from(tar("-C", place, ".")), hidden: s.around},
		{name: "tar of nix copy", flags: from(tar("-C", copied, "."), object), hidden: s.around},
		{name: "tar of paths, path-info", flags: from(tar(append([]string{"-P"}, s.closure...)...), references(info))},
		{name: "half a cache, and a stream", flags: from(half, from(s.export(t, rest...)))},
		{name: "a stream, and nix copy", flags: from(export, from(copied, object))},
		{name: "nix copy, and a server", flags: from(copied, from(servePython(t, none), object, trusted))},
	}
	checkFormsAre(t, s.image, forms)
}
