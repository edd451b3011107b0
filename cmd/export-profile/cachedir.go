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
	"github.com/export-profile/export-profile/rootfs/staging"
)

// cachePlace has the directories of the cache and of large temporary files.
//
// A user who can write into a cache decides the contents of the next image: cache records carry hashes, not signatures.
// So a cache and each part of it must belong to the current user or to root, as must links to them,
// and no other user may write into them, except if --cache names the cache. If the environment does not say where the cache is, there is none.
type cachePlace struct {
	cache string // "" without a cache
	spool string
	err   error // why there is no cache, unless --no-cache was given
}

// errNoCacheDir says why a run has no cache.
var errNoCacheDir = errors.New("neither $XDG_CACHE_HOME nor $HOME says where it is")

// namedDir returns the directory of --cache, or "".
func (c *cacheFlags) namedDir() string {
	for _, word := range c.cache {
		if !strings.HasPrefix(word, registryPrefix) {
			return word
		}
	}
	return ""
}

// wantedDir returns the directory where the cache should be, or "" if that is unknown.
func (c *cacheFlags) wantedDir() string {
	if dir := c.namedDir(); dir != "" {
		return dir
	}
	if dir, err := os.UserCacheDir(); err == nil {
		return filepath.Join(dir, "export-profile")
	}
	return ""
}

// place decides on the directories when the first file needs one. It makes the cache directory, before another user can.
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
		p.err = errNoCacheDir
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
		p.spool = dir // even if it is unusable; the first temporary file reports the error
	case err != nil:
		p.err = fmt.Errorf("open cache %w", quoted(dir, err))
	default:
		p.cache = dir
		if unix.Access(dir, unix.W_OK) == nil {
			p.spool = dir
		}
	}
	return p
}

// refusal returns an error if the directory of --cache belongs to another user.
func (c *cacheFlags) refusal() error {
	dir := c.namedDir()
	if dir == "" {
		return nil
	}
	var foreign *foreignError
	if err := checkCacheDir(dir, true); errors.As(err, &foreign) {
		return foreign.refuse()
	}
	return nil // other faults make a run slower but never change an image
}

// quoted adds the directory to an error, unless it is a foreignError, which has it.
func quoted(dir string, err error) error {
	var foreign *foreignError
	if errors.As(err, &foreign) {
		return err
	}
	return fmt.Errorf("%q: %w", dir, err)
}

// temporaryDir returns a directory for large temporary files without a cache.
// Other users can write there, so those files have no name, or lie in a directory of mode 0700.
// /var/tmp comes before /tmp, which is often memory.
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

// foreignError says that another user can change the contents of a cache.
type foreignError struct {
	dir string
	uid int // of its owner; -1 if the mode lets others write
}

func (e *foreignError) Error() string {
	if e.uid < 0 {
		return fmt.Sprintf("%q: others may write into it", e.dir)
	}
	return fmt.Sprintf("%q: it belongs to user %d, and this runs as user %d: the owner of a cache decides what is in the images",
		e.dir, e.uid, os.Geteuid())
}

// refuse adds to the error what to do instead.
func (e *foreignError) refuse() error {
	return inChapter("trust", withHint(fmt.Errorf("open cache %w", e), "name another directory with --cache, or use none with --no-cache; if you trust its contents, chown -R %d it "+
		"(in a container, an owner such as 65534 is one that the container does not know)", os.Geteuid()))
}

// cacheParts lists the directories in a cache whose contents are trusted.
var cacheParts = []string{ocilayout.CacheName, factsName, narInfoName}

// checkCacheDir refuses a directory that other users than this one and root could have written to.
func checkCacheDir(dir string, named bool) error {
	if err := checkTrusted(dir, named); err != nil {
		return err
	}
	for _, part := range append(cacheParts, ocilayout.CacheParts()...) {
		err := checkTrusted(filepath.Join(dir, part), named)
		var foreign *foreignError
		if errors.As(err, &foreign) { // otherwise the part is missing, or useless
			return err
		}
	}
	return nil
}

// checkTrusted refuses a directory of another user, a link of another user to a directory, and what is no directory.
// Unless --cache names the cache, it also refuses a directory that others may write into.
func checkTrusted(dir string, named bool) error {
	var fi os.FileInfo
	for _, stat := range []func(string) (os.FileInfo, error){os.Lstat, os.Stat} {
		var err error
		if fi, err = stat(dir); err != nil {
			return err
		}
		if uid := owner(fi); uid != 0 && uid != os.Geteuid() {
			return &foreignError{dir, uid}
		}
	}
	switch {
	case !fi.IsDir():
		return syscall.ENOTDIR
	case fi.Mode().Perm()&0o022 != 0 && !named:
		return &foreignError{dir, -1}
	}
	return nil
}

// claimParts makes the missing parts of a cache that others can write into, before they do.
func claimParts(dir string) {
	if fi, err := os.Stat(dir); err != nil || fi.Mode().Perm()&0o022 == 0 {
		return
	}
	for _, name := range cacheParts {
		_ = os.Mkdir(filepath.Join(dir, name), 0o755)
	}
}

// maxCacheTag exceeds the size of any tag.
const maxCacheTag = 4 << 10

func owner(fi os.FileInfo) int { return int(fi.Sys().(*syscall.Stat_t).Uid) }

// isCache refuses directories that are no cache, so that prune removes nothing else.
// A cache has the tag or layers, or else only names that a cache can have.
func isCache(dir string, named bool) error {
	if err := checkCacheDir(dir, named); err != nil {
		var foreign *foreignError
		if errors.As(err, &foreign) {
			return foreign.refuse()
		}
		return fmt.Errorf("open cache %q: %w", dir, err)
	}
	if tag, err := staging.ReadFile(filepath.Join(dir, ocilayout.CacheTag), maxCacheTag); err == nil && strings.Contains(string(tag), "export-profile") {
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
			return withHint(fmt.Errorf("open cache %q: not a cache of export-profile: it has %q", dir, e.Name()),
				"name the directory that --cache had before, by default $XDG_CACHE_HOME/export-profile")
		}
	}
	return nil
}
