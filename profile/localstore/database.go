package localstore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/export-profile/export-profile/profile"
)

// database is the db.sqlite of Nix or Guix with the files that SQLite puts beside it:
//
//	db.sqlite          pages; complete except for those in the log
//	db.sqlite-wal      the log: committed pages that are not yet copied to db.sqlite
//	db.sqlite-shm      an index of the log, shared by the processes that have the database open
//	db.sqlite-journal  old versions of pages during a transaction, if Nix is configured to use no log
//
// In some states, SQLite itself can read the database only with write access, or not at all.
// It leaves -wal and -shm behind if it may write, and silently returns old data if told to ignore them.
// So this package reads the files itself, in every state and without touching them:
//
//  1. If a journal contains a transaction, it waits: db.sqlite may contain half of it.
//  2. It reads the log up to its last complete transaction, as shown by its checksums.
//     Then it reads the newest version of each page, from the log or from db.sqlite. It ignores the index.
//  3. It accepts the result only if meanwhile db.sqlite was not written and the log was not restarted (new salts).
//     A log that grew is fine, since its beginning did not change.
//     Otherwise it tries again.
//
// Locks would not help: step 3 notices all that they would prevent, and they would delay Nix.
type database struct {
	path       string // absolute and without links, since SQLite too puts its files beside the resolved path
	signatures bool
	maxWait    time.Duration
}

const (
	// maxWait limits how long to retry while a transaction runs. Transactions take milliseconds.
	maxWait = 5 * time.Second
	// pause is the time between two tries.
	pause = 30 * time.Millisecond
	// mtimeGranularity is an interval after which a second write gets a new modification time.
	// On Linux that takes at most 10 ms (CONFIG_HZ=100).
	mtimeGranularity = 20 * time.Millisecond
)

// busyError reports that the database cannot be read right now.
type busyError struct{ why string }

func (e *busyError) Error() string { return e.why }

var errWriting = &busyError{"a program keeps writing to it"}

func (d *database) read(ctx context.Context) (*snapshot, error) {
	unversioned, err := d.checkSchema()
	if err != nil {
		return nil, err
	}
	s, err := d.retry(ctx)
	if err == nil && unversioned != nil && (s.dir == nil || !s.dir.IsGuix()) {
		return nil, unversioned
	}
	return s, err
}

// retry reads the database. It waits while another process writes to it.
func (d *database) retry(ctx context.Context) (*snapshot, error) {
	deadline := time.Now().Add(d.maxWait)
	for {
		s, err := d.try(ctx)
		var busy *busyError
		if !errors.As(err, &busy) {
			return s, err
		}
		if time.Now().After(deadline) {
			return nil, fmt.Errorf("%w (tried for %v)", err, d.maxWait)
		}
		if err := sleep(ctx, pause); err != nil {
			return nil, err
		}
	}
}

// try reads the database once. It returns a busyError if another try may succeed.
func (d *database) try(ctx context.Context) (*snapshot, error) {
	before, err := d.inspect()
	if err != nil {
		return nil, err
	}
	if before.db.Size == 0 {
		return nil, errors.New("is empty: Nix has not set it up, or it was truncated")
	}
	s, err := load(ctx, d.path, !before.log.absent(), d.signatures)
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	// Check this even after an error: a concurrent write may have caused it.
	if after, inspectErr := d.inspect(); inspectErr != nil {
		return nil, inspectErr
	} else if !after.unchangedSince(before) {
		return nil, errWriting
	}
	return s, err
}

// state detects changes of the database.
type state struct {
	db  unix.Stat_t
	log logHeader
}

// logHeader holds the first bytes of a log: page size, number of checkpoints, two salts, checksum.
// It changes whenever the log is restarted.
type logHeader [32]byte

// absent reports whether the log is missing or empty.
func (h logHeader) absent() bool { return h == logHeader{} }

func (st state) unchangedSince(before state) bool {
	a, b := &st.db, &before.db
	return a.Dev == b.Dev && a.Ino == b.Ino && a.Size == b.Size && a.Mtim == b.Mtim && a.Ctim == b.Ctim &&
		// Without a log, db.sqlite was complete. A log that was started since then only adds newer transactions.
		(before.log.absent() || st.log == before.log)
}

// inspect reads the state of the files. It returns a busyError if they may be changing.
func (d *database) inspect() (st state, err error) {
	if err := d.stat(&st.db); err != nil {
		return st, err
	}
	// Wait until another write would change the modification time.
	unsure := mtimeGranularity
	if st.db.Mtim.Nsec == 0 && st.db.Ctim.Nsec == 0 {
		unsure += time.Second // probably a file system that stores whole seconds
	}
	if age := time.Since(time.Unix(st.db.Mtim.Unix())); age.Abs() < unsure {
		return st, errWriting
	}
	journal, err := d.readBeside("-journal", 1)
	if err != nil {
		return st, err
	}
	// SQLite too recognises a finished journal by a zero in its first byte.
	if len(journal) > 0 && journal[0] != 0 {
		return st, &busyError{fmt.Sprintf("unfinished transaction in %q: a program is writing it, or was killed while writing",
			filepath.Base(d.path)+"-journal")}
	}
	log, err := d.readBeside("-wal", len(st.log))
	if err != nil {
		return st, err
	}
	copy(st.log[:], log)
	if len(log) > 0 && st.log.absent() {
		st.log[0] = 1 // a log of zeros is not an absent one
	}
	return st, nil
}

func (d *database) stat(st *unix.Stat_t) error {
	f, err := openFile(d.path)
	if err != nil {
		return err
	}
	defer f.Close()
	return unix.Fstat(int(f.Fd()), st)
}

// readBeside reads up to n bytes of a file beside the database. A missing file counts as empty.
func (d *database) readBeside(suffix string, n int) ([]byte, error) {
	f, err := openFile(d.path + suffix)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if errors.Is(err, fs.ErrPermission) {
		// An empty file need not be readable.
		if fi, statErr := os.Lstat(d.path + suffix); statErr == nil && fi.Size() == 0 {
			return nil, nil
		}
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b := make([]byte, n)
	n, err = io.ReadFull(f, b)
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		err = nil
	}
	return b[:n], err
}

// openFile opens a regular file for reading. It follows no link and does not block on a pipe.
func openFile(name string) (*os.File, error) {
	f, err := os.OpenFile(name, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if errors.Is(err, syscall.ELOOP) {
		return nil, fmt.Errorf("open %q: a symbolic link, not a regular file", name)
	}
	if err != nil {
		return nil, err
	}
	fi, err := f.Stat()
	if err == nil && !fi.Mode().IsRegular() {
		err = fmt.Errorf("open %q: not a regular file", name)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// The tables have the same relevant columns in these versions of the schema: from Nix 1.3 until today.
// Guix has always had version 7.
const minSchema, maxSchema = 7, 10

// checkSchema checks the version in the file that Nix keeps beside the database.
// A copy without this file is incomplete, and may lack the log too. So unversioned is an error then.
// But it is none for Guix: guix pack writes a database without the file, and with an empty log.
func (d *database) checkSchema() (unversioned, err error) {
	name := filepath.Join(filepath.Dir(d.path), "schema")
	f, err := openFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("its version is unknown: %q: %w", name, fs.ErrNotExist), nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, 32))
	if err != nil {
		return nil, err
	}
	version, err := strconv.ParseUint(strings.TrimSpace(string(text)), 10, 32)
	switch {
	case err != nil:
		return nil, fmt.Errorf("its version is %q, not a number", text)
	case version < minSchema, version > maxSchema:
		return nil, fmt.Errorf("its version %d is not supported, only %d to %d are", version, minSchema, maxSchema)
	}
	return nil, nil
}

// ReadDatabase reads the metadata of all objects from a database file, for objects that come from elsewhere.
// It omits invalid rows.
func ReadDatabase(ctx context.Context, file string) ([]*profile.Info, error) {
	file, err := filepath.Abs(file)
	if err != nil {
		return nil, err
	}
	if _, err := os.Lstat(file); errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w at %q: %w", ErrNoDatabase, file, fs.ErrNotExist)
	}
	d := database{path: file, signatures: true, maxWait: maxWait}
	db, err := d.read(ctx)
	if err != nil {
		return nil, fmt.Errorf("read database %q: %w", file, err)
	}
	var infos []*profile.Info
	for i := range db.objects {
		if o := &db.objects[i]; o.invalid == nil {
			if info, err := db.info(o); err == nil {
				infos = append(infos, info)
			}
		}
	}
	return infos, nil
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-t.C:
		return nil
	}
}
