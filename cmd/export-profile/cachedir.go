package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/export-profile/export-profile/ocilayout"
)

// cachePlace is where a run keeps what it remembers, and where its large temporary files lie.
//
// Whoever can write into a cache decides what the next image is made of: its records carry hashes, and no signatures.
// So a cache, and each part of it, belongs to whoever runs this or to root, and nobody else may write into it,
// except into one that --cache names. Where nothing of the environment says whose the cache is, there is none.
type cachePlace struct {
	cache string // "" if nothing is remembered
	spool string
	lacks error // why there is no cache, if nobody wanted that
}

// errNoCacheDir is what is debugged of a run that knows no place of its own.
var errNoCacheDir = errors.New("neither $XDG_CACHE_HOME nor $HOME says where it is")

// namedDir is the directory of --cache, or "".
func (c *cacheFlags) namedDir() string {
	for _, word := range c.cache {
		if !strings.HasPrefix(word, registryPrefix) {
			return word
		}
	}
	return ""
}

// wantedDir is where the cache is, if it can be there; "" if nobody knows.
func (c *cacheFlags) wantedDir() string {
	if dir := c.namedDir(); dir != "" {
		return dir
	}
	if dir, err := os.UserCacheDir(); err == nil {
		return filepath.Join(dir, "export-profile")
	}
	return ""
}

// place decides it when something is first to be put there. The directory is made, so that nobody else makes it.
func (c *cacheFlags) place() *cachePlace {
	if c.placed != nil {
		return c.placed
	}
	p := &cachePlace{spool: temporaryDir()}
	c.placed = p
	dir, named := c.wantedDir(), c.namedDir() != ""
	switch {
	case c.noCache && !named:
		return p
	case dir == "":
		p.lacks = errNoCacheDir
		return p
	}
	err := os.MkdirAll(dir, 0o755)
	if err == nil {
		if named {
			claimParts(dir)
		}
		err = checkCacheDir(dir, named)
	}
	switch {
	case named && (c.noCache || c.onlySpools):
		p.spool = dir // also if it cannot be: the error says so, where it is needed
	case err != nil:
		p.lacks = fmt.Errorf("open cache %w", quoted(dir, err))
	default:
		p.cache = dir
		if unix.Access(dir, unix.W_OK) == nil {
			p.spool = dir
		}
	}
	return p
}

// refusal is why the directory that --cache names must not be used, if it is there and somebody else's.
func (c *cacheFlags) refusal() error {
	dir := c.namedDir()
	if dir == "" {
		return nil
	}
	var foreign *foreignError
	if err := checkCacheDir(dir, true); errors.As(err, &foreign) {
		return foreign.refuse()
	}
	return nil // what else is wrong with it makes a run slower, and no image another one
}

// quoted says the directory before an error that does not.
func quoted(dir string, err error) error {
	var foreign *foreignError
	if errors.As(err, &foreign) {
		return err
	}
	return fmt.Errorf("%q: %w", dir, err)
}

// temporaryDir is where large temporary files lie that have no place beside a cache.
// Others may write there, too: what is made in it is a file without a name or a directory of mode 0700.
// It is /var/tmp rather than /tmp, which is often memory.
func temporaryDir() string {
	if dir := os.Getenv("TMPDIR"); dir != "" {
		return dir
	}
	for _, dir := range []string{"/var/tmp", "/tmp"} {
		if fi, err := os.Stat(dir); err == nil && fi.IsDir() {
			return dir
		}
	}
	return "/var/tmp"
}

// foreignError says that somebody else could decide what is in a cache.
type foreignError struct {
	dir string
	uid int // of its owner; -1 if others may write into it
}

func (e *foreignError) Error() string {
	if e.uid < 0 {
		return fmt.Sprintf("%q: others may write into it", e.dir)
	}
	return fmt.Sprintf("%q: it belongs to user %d, and this runs as user %d: whoever owns a cache decides what is in the images",
		e.dir, e.uid, os.Geteuid())
}

// refuse says that such a cache is not used, and what to do.
func (e *foreignError) refuse() error {
	return withHint(fmt.Errorf("open cache %w", e), "name another directory with --cache, or use none with --no-cache; if you trust what is in it, chown -R %d it "+
		"(in a container, an owner such as 65534 is one that the container does not know)", os.Geteuid())
}

// cacheParts are the directories in a cache whose contents are believed.
var cacheParts = []string{ocilayout.CacheName, factsName, narInfoName}

// checkCacheDir says whether what is in a directory is only what this user, or root, has put there.
func checkCacheDir(dir string, named bool) error {
	fi, err := os.Stat(dir)
	switch {
	case err != nil:
		return err
	case !fi.IsDir():
		return syscall.ENOTDIR
	}
	if uid := owner(fi); uid != 0 && uid != os.Geteuid() {
		return &foreignError{dir, uid}
	}
	shared := fi.Mode().Perm()&0o022 != 0
	if shared && !named {
		return &foreignError{dir, -1}
	}
	for _, name := range cacheParts {
		part := filepath.Join(dir, name)
		if fi, err := os.Lstat(part); err == nil && owner(fi) != 0 && owner(fi) != os.Geteuid() {
			return &foreignError{part, owner(fi)}
		}
	}
	return nil
}

// claimParts makes what is missing of a cache into which others may write, before anybody else does.
func claimParts(dir string) {
	if fi, err := os.Stat(dir); err != nil || fi.Mode().Perm()&0o022 == 0 {
		return
	}
	for _, name := range cacheParts {
		_ = os.Mkdir(filepath.Join(dir, name), 0o755)
	}
}

func owner(fi os.FileInfo) int { return int(fi.Sys().(*syscall.Stat_t).Uid) }

// isCache says whether a directory is a cache, so that nothing of another one is removed:
// it has the tag or layers, or else nothing but what a cache can have.
func isCache(dir string, named bool) error {
	if err := checkCacheDir(dir, named); err != nil {
		var foreign *foreignError
		if errors.As(err, &foreign) {
			return foreign.refuse()
		}
		return fmt.Errorf("open cache %q: %w", dir, err)
	}
	if tag, err := os.ReadFile(filepath.Join(dir, ocilayout.CacheTag)); err == nil && strings.Contains(string(tag), "export-profile") {
		return nil
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("open cache: %w", err)
	}
	known := append([]string{trimmedName, ocilayout.CacheTag}, cacheParts...)
	for _, e := range entries {
		if e.Name() == cacheParts[0] {
			return nil
		}
		if !slices.Contains(known, e.Name()) && !strings.Contains(e.Name(), ".export-profile-") {
			return withHint(fmt.Errorf("open cache %q: it is no cache of export-profile: there is %q in it", dir, e.Name()),
				"the cache is what --cache DIR has named before, by default $XDG_CACHE_HOME/export-profile")
		}
	}
	return nil
}
