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
)

// database is Nix's db.sqlite with what SQLite puts beside it:
//
//	db.sqlite          pages; complete, except for what is in
//	db.sqlite-wal      the log of pages that were committed, but not moved to db.sqlite yet
//	db.sqlite-shm      an index of the log, shared by those who have the database open
//	db.sqlite-journal  pages as they were before an unfinished transaction, where Nix is told to use no log
//
// SQLite itself can read it only with write access or not at all in some states,
// leaves -wal and -shm behind if it may write, and is silently stale if told not to look at them.
// So it is read by other means, which touch nothing, in every state:
//
//  1. A journal with a transaction in it is waited for: db.sqlite may be half of each.
//  2. The log is read first, to the end of its last whole transaction, which its checksums tell,
//     and then the newest state of each page, from the log or from db.sqlite. The index is not needed.
//  3. All of it counts only if meanwhile db.sqlite was not written to and the log not begun anew (its salts).
//     That the log grew makes no difference: what was read is its beginning.
//     Otherwise it is done again.
//
// Locks are not needed for this, and would not help:
// they keep Nix from nothing that step 3 does not see, and hold it up.
type database struct {
	path       string // absolute and without links: SQLite, too, looks beside the file itself
	signatures bool
	patience   time.Duration
}

const (
	// patience is how long Nix may keep one from reading. Transactions take milliseconds.
	patience = 5 * time.Second
	// pause is how long to wait before another try.
	pause = 30 * time.Millisecond
	// tick is longer than the time within which two writes can have the same modification time.
	// It is 10 ms at most on Linux (CONFIG_HZ=100).
	tick = 20 * time.Millisecond
)

// busyError says that the database could not be read for now.
type busyError struct{ why string }

func (e *busyError) Error() string { return e.why }

var errWriting = &busyError{"Nix keeps writing to it"}

func (d *database) read(ctx context.Context) (*snapshot, error) {
	if err := d.checkSchema(); err != nil {
		return nil, err
	}
	deadline := time.Now().Add(d.patience)
	for {
		s, err := d.try(ctx)
		var busy *busyError
		if !errors.As(err, &busy) {
			return s, err
		}
		if time.Now().After(deadline) {
			return nil, fmt.Errorf("%w (tried for %v)", err, d.patience)
		}
		if err := sleep(ctx, pause); err != nil {
			return nil, err
		}
	}
}

// try reads the database once. The error is a busyError if another try may go better.
func (d *database) try(ctx context.Context) (*snapshot, error) {
	before, err := d.look()
	if err != nil {
		return nil, err
	}
	if before.db.Size == 0 {
		return nil, errors.New("is empty: Nix has not set it up, or it was truncated")
	}
	s, err := load(ctx, d.path, !before.log.none(), d.signatures)
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	// Whatever went wrong may be for the same reason.
	if after, lookErr := d.look(); lookErr != nil {
		return nil, lookErr
	} else if !after.follows(before) {
		return nil, errWriting
	}
	return s, err
}

// state is what tells whether the database is still the same.
type state struct {
	db  unix.Stat_t
	log logHeader
}

// logHeader is the first bytes of a log: page size, number of checkpoints, two salts, checksum.
// Each beginning has another.
type logHeader [32]byte

// none says that the log is absent or empty.
func (h logHeader) none() bool { return h == logHeader{} }

func (st state) follows(before state) bool {
	a, b := &st.db, &before.db
	return a.Dev == b.Dev && a.Ino == b.Ino && a.Size == b.Size && a.Mtim == b.Mtim && a.Ctim == b.Ctim &&
		// Without a log, db.sqlite was the whole truth when one looked. A log that was begun since is news.
		(before.log.none() || st.log == before.log)
}

// look looks at the files. The error is a busyError if what it saw may not last.
func (d *database) look() (st state, err error) {
	if err := d.stat(&st.db); err != nil {
		return st, err
	}
	// Another write must be seen in the modification time.
	unsure := tick
	if st.db.Mtim.Nsec == 0 && st.db.Ctim.Nsec == 0 {
		unsure += time.Second // a file system that keeps whole seconds
	}
	if age := time.Since(time.Unix(st.db.Mtim.Unix())); age.Abs() < unsure {
		return st, errWriting
	}
	journal, err := d.beside("-journal", 1)
	if err != nil {
		return st, err
	}
	// SQLite, too, tells a journal that is over by its first byte.
	if len(journal) > 0 && journal[0] != 0 {
		return st, &busyError{fmt.Sprintf("unfinished transaction in %q: Nix is writing it, or died while it did",
			filepath.Base(d.path)+"-journal")}
	}
	log, err := d.beside("-wal", len(st.log))
	if err != nil {
		return st, err
	}
	copy(st.log[:], log)
	if len(log) > 0 && st.log.none() {
		st.log[0] = 1 // zeros are no log, but something
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

// beside is the beginning of a file beside the database, and empty if there is no such file.
func (d *database) beside(suffix string, n int) ([]byte, error) {
	f, err := openFile(d.path + suffix)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if errors.Is(err, fs.ErrPermission) {
		// What is empty need not be read.
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

// openFile opens a regular file for reading, and nothing else.
func openFile(name string) (*os.File, error) {
	f, err := os.OpenFile(name, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if errors.Is(err, syscall.ELOOP) {
		return nil, fmt.Errorf("open %q: a symbolic link where a regular file should be", name)
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

// Versions of the schema in which the tables that are read are alike: since Nix 1.3, until now.
const minSchema, maxSchema = 7, 10

// checkSchema looks at the version that Nix keeps beside the database.
// A database without it is no whole copy, and may lack the log, too.
func (d *database) checkSchema() error {
	name := filepath.Join(filepath.Dir(d.path), "schema")
	f, err := openFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("its version is unknown: %q: %w", name, fs.ErrNotExist)
	}
	if err != nil {
		return err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, 32))
	if err != nil {
		return err
	}
	version, err := strconv.ParseUint(strings.TrimSpace(string(text)), 10, 32)
	switch {
	case err != nil:
		return fmt.Errorf("its version is %q, not a number", text)
	case version < minSchema, version > maxSchema:
		return fmt.Errorf("its version %d is not supported, only %d to %d are", version, minSchema, maxSchema)
	}
	return nil
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
