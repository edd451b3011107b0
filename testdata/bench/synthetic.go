package main

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"

	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"

	"github.com/export-profile/export-profile/profile"
	"github.com/export-profile/export-profile/profile/nar"
	"github.com/export-profile/export-profile/rootfs"
)

// synthesize makes a store of count objects in a root. Each refers to some earlier ones.
// The last one refers to all that have no other referrer; the file "object" contains its path.
// Without files, the store consists of a database and empty directories.
func synthesize(root string, count, references int, files bool) error {
	db, err := createDB(root)
	if err != nil {
		return err
	}
	random := rand.New(rand.NewPCG(1, 2))
	paths := make([]profile.Path, count)
	unused := make(map[profile.Path]bool)
	for i := range paths {
		name := fmt.Sprintf("synthetic-%05d", i)
		paths[i] = profile.Path("/nix/store/" + digest(name) + "-" + name)
		var refs []profile.Path
		if i == count-1 {
			for _, p := range paths[:i] {
				if unused[p] {
					refs = append(refs, p)
				}
			}
		} else {
			seen := make(map[int]bool)
			for range min(references, i) {
				if n := random.IntN(i); !seen[n] {
					seen[n] = true
					refs = append(refs, paths[n])
					delete(unused, paths[n])
				}
			}
			unused[paths[i]] = true
		}
		hash, size := profile.Hash(sha256.Sum256([]byte(name))), random.Int64N(1<<20)
		if files {
			if hash, size, err = writeObject(root, paths[i], random); err != nil {
				return err
			}
		} else if err := os.Mkdir(filepath.Join(root, paths[i].Root()), 0o555); err != nil {
			return err
		}
		if err := db.add(paths[i], hash, size, refs); err != nil {
			return err
		}
	}
	object := string(paths[count-1])
	return errors.Join(db.close(), os.WriteFile(root+"/object", []byte(object), 0o644))
}

// digest derives 32 characters for a store path from a name.
func digest(name string) string {
	s := fmt.Sprintf("%x", sha256.Sum256([]byte(name)))
	return strings.NewReplacer("e", "z").Replace(s[:32]) // Nix's base 32 has no e
}

// writeObject writes an object of some small files, and returns its NAR hash and size.
func writeObject(root string, p profile.Path, random *rand.Rand) (profile.Hash, int64, error) {
	entries := []rootfs.Entry{rootfs.Dir(p.Root(), 0o555)}
	if err := os.Mkdir(filepath.Join(root, p.Root()), 0o755); err != nil {
		return profile.Hash{}, 0, err
	}
	for i := range 8 {
		place := fmt.Sprintf("%s/file%d", p.Root(), i)
		var b strings.Builder
		for n := random.IntN(4 << 10); b.Len() < n; {
			fmt.Fprintf(&b, "%d %s\n", random.Uint32(), p.Name())
		}
		content := b.String()
		if err := os.WriteFile(filepath.Join(root, place), []byte(content), 0o444); err != nil {
			return profile.Hash{}, 0, err
		}
		entries = append(entries, rootfs.File(place, 0o444, int64(len(content)), func() (io.ReadCloser, error) {
			return io.NopCloser(strings.NewReader(content)), nil
		}))
	}
	h := sha256.New()
	size := &counter{}
	err := nar.Write(io.MultiWriter(h, size), func(yield func(rootfs.Entry, error) bool) {
		for _, e := range entries {
			if !yield(e, nil) {
				return
			}
		}
	}, p.Root())
	return profile.Hash(h.Sum(nil)), size.n, err
}

type counter struct{ n int64 }

func (c *counter) Write(p []byte) (int, error) {
	c.n += int64(len(p))
	return len(p), nil
}

// database writes a new database like Nix's, in one transaction.
type database struct {
	conn *sqlite.Conn
	ids  map[profile.Path]int64
	refs [][2]profile.Path // added by close, once all objects exist
}

func createDB(root string) (*database, error) {
	dir := filepath.Join(root, "nix/var/nix/db")
	for _, d := range []string{dir, filepath.Join(root, "nix/store")} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			return nil, err
		}
	}
	if err := os.WriteFile(dir+"/schema", []byte("10"), 0o644); err != nil {
		return nil, err
	}
	conn, err := sqlite.OpenConn(dir+"/db.sqlite", sqlite.OpenReadWrite|sqlite.OpenCreate)
	if err != nil {
		return nil, err
	}
	// As in Nix's libstore/schema.sql.
	err = sqlitex.ExecuteScript(conn, `
		create table ValidPaths (id integer primary key autoincrement not null, path text unique not null,
			hash text not null, registrationTime integer not null, deriver text, narSize integer,
			ultimate integer, sigs text, ca text);
		create table Refs (referrer integer not null, reference integer not null, primary key (referrer, reference));
		create index IndexReferrer on Refs(referrer);
		create index IndexReference on Refs(reference);`, nil)
	if err == nil {
		err = sqlitex.ExecuteTransient(conn, `begin`, nil)
	}
	return &database{conn: conn, ids: make(map[profile.Path]int64)}, err
}

func (d *database) add(p profile.Path, hash profile.Hash, size int64, references []profile.Path) error {
	err := sqlitex.Execute(d.conn, `insert into ValidPaths (path, hash, registrationTime, narSize) values (?, ?, 1, ?)`,
		&sqlitex.ExecOptions{Args: []any{string(p), "sha256:" + hash.Hex(), size}})
	d.ids[p] = d.conn.LastInsertRowID()
	for _, r := range references {
		d.refs = append(d.refs, [2]profile.Path{p, r})
	}
	return err
}

func (d *database) close() error {
	for _, r := range d.refs {
		err := sqlitex.Execute(d.conn, `insert or ignore into Refs values (?, ?)`,
			&sqlitex.ExecOptions{Args: []any{d.ids[r[0]], d.ids[r[1]]}})
		if err != nil {
			return errors.Join(err, d.conn.Close())
		}
	}
	return errors.Join(sqlitex.ExecuteTransient(d.conn, `commit`, nil), d.conn.Close())
}
