package localstore

import (
	"cmp"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"

	"github.com/export-profile/export-profile/profile"
	"github.com/export-profile/export-profile/profile/storetest"
)

const tables = storetest.Tables

// newRoot makes a root directory with a store directory but without a database.
func newRoot(t testing.TB) string {
	t.Helper()
	root := t.TempDir()
	mkdir(t, root+"/nix/store")
	mkdir(t, filepath.Dir(root+"/nix/var/nix/db/db.sqlite"))
	write(t, filepath.Dir(root+"/nix/var/nix/db/db.sqlite")+"/schema", "10")
	return root
}

// newDB makes a root directory with a database, and returns an open connection in WAL mode.
func newDB(t testing.TB) (root string, conn *sqlite.Conn) {
	t.Helper()
	root = newRoot(t)
	conn = connect(t, root, "")
	sql(t, conn, `pragma synchronous = off`)
	sql(t, conn, `pragma journal_mode = wal`)
	sql(t, conn, tables)
	return root, conn
}

func connect(t testing.TB, root, query string) *sqlite.Conn {
	t.Helper()
	conn, err := sqlite.OpenConn("file:"+root+"/nix/var/nix/db/db.sqlite"+"?"+query, sqlite.OpenReadWrite|sqlite.OpenCreate|sqlite.OpenURI)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() }) // a second Close only returns an error
	return conn
}

func sql(t testing.TB, conn *sqlite.Conn, script string) {
	t.Helper()
	run := sqlitex.ExecuteScript // in a transaction
	if strings.HasPrefix(script, "begin") || strings.HasPrefix(script, "pragma") {
		run = sqlitex.ExecuteTransient
	}
	if err := run(conn, script, nil); err != nil {
		t.Fatalf("%.80s: %v", script, err)
	}
}

// pathOf derives the store path of a test object from its name.
func pathOf(name string) profile.Path {
	digest := strings.NewReplacer("e", "0", "o", "0", "t", "0", "u", "0").Replace(name)
	return profile.Path(fmt.Sprintf("/nix/store/%032s-%s", "", name)[:len("/nix/store/")+32-len(digest)] + digest + "-" + name)
}

// add returns SQL that registers objects: "a" without references, or "a: b c" with references to earlier objects.
func add(objects ...string) string {
	var b strings.Builder
	for _, o := range objects {
		name, refs, _ := strings.Cut(o, ":")
		fmt.Fprintf(&b, "insert into ValidPaths (path, hash, registrationTime, narSize) values ('%s', 'sha256:%064d', 1, 120);\n",
			pathOf(name), 1)
		for _, ref := range strings.Fields(refs) {
			fmt.Fprintf(&b, "insert into Refs select r.id, o.id from ValidPaths r, ValidPaths o where r.path = '%s' and o.path = '%s';\n",
				pathOf(name), pathOf(ref))
		}
	}
	return b.String()
}

// names lists the objects of a snapshot in the notation of add.
func (s *snapshot) names(t testing.TB) string {
	t.Helper()
	var names []string
	for _, p := range s.paths() {
		o, _ := s.find(p)
		info, err := s.info(o)
		if err != nil {
			t.Errorf("info(%q): %v", p, err)
			continue
		}
		name := p.Name()
		for i, ref := range info.References {
			if i == 0 {
				name += ":"
			}
			name += " " + ref.Name()
		}
		names = append(names, name)
	}
	slices.SortFunc(names, cmp.Compare)
	return strings.Join(names, ", ")
}

// read reads a database and checks that this changes no file.
func read(t testing.TB, root string, maxWait time.Duration) (*snapshot, error) {
	t.Helper()
	dir := filepath.Dir(root + "/nix/var/nix/db/db.sqlite")
	before := listing(t, dir)
	lockDir(t, dir)
	d := database{path: root + "/nix/var/nix/db/db.sqlite", maxWait: maxWait}
	s, err := d.read(t.Context())
	if after := listing(t, dir); after != before {
		t.Errorf("reading changed the database's directory from\n%sto\n%s", before, after)
	}
	return s, err
}

// lockDir makes a directory read-only during the test. This does not stop root.
func lockDir(t testing.TB, dir string) {
	t.Helper()
	if err := os.Chmod(dir, 0o555); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.Chmod(dir, 0o755) })
}

func listing(t testing.TB, dir string) string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for _, e := range entries {
		fi, err := e.Info()
		if err != nil {
			t.Fatal(err)
		}
		st := fi.Sys().(*syscall.Stat_t)
		fmt.Fprintf(&b, "%s %d %d %d %d %v\n", fi.Name(), st.Ino, st.Mode, fi.Size(), st.Mtim, fi.ModTime())
	}
	return b.String()
}

// crash copies a database as if its writer were killed now.
func crash(t testing.TB, root string, suffixes ...string) string {
	t.Helper()
	crashed := newRoot(t)
	for _, suffix := range suffixes {
		b, err := os.ReadFile(root + "/nix/var/nix/db/db.sqlite" + suffix)
		if err != nil {
			t.Fatal(err)
		}
		write(t, crashed+"/nix/var/nix/db/db.sqlite"+suffix, string(b))
	}
	return crashed
}

func mkdir(t testing.TB, dir string) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
}

func write(t testing.TB, name, content string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

func symlink(t testing.TB, target, name string) {
	t.Helper()
	if err := os.Symlink(target, name); err != nil {
		t.Fatal(err)
	}
}

// TestUnprivileged repeats the tests of this package as nobody if root runs them,
// since root can write to read-only directories and read every file.
func TestUnprivileged(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("all tests run unprivileged")
	}
	dir := t.TempDir()
	for _, d := range []string{filepath.Dir(dir), dir} {
		if err := os.Chmod(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	tmp := filepath.Join(dir, "tmp")
	mkdir(t, tmp)
	const nobody = 65534
	if err := os.Chown(tmp, nobody, nobody); err != nil {
		t.Fatal(err)
	}
	c := exec.CommandContext(t.Context(), "/proc/self/exe", "-test.run=^Test", "-test.skip=^Test(Deep|HugeDirectory|Snapshot)$", "-test.v="+fmt.Sprint(testing.Verbose()))
	c.Env = []string{"TMPDIR=" + tmp, "HOME=" + tmp, "PATH=" + os.Getenv("PATH")}
	c.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	out, err := c.CombinedOutput()
	if err != nil {
		t.Errorf("as nobody: %v\n%s", err, out)
	} else if testing.Verbose() {
		t.Logf("as nobody:\n%s", out)
	}
}
