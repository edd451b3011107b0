package binarycache

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/export-profile/export-profile/profile"
	"github.com/export-profile/export-profile/rootfs"
)

// infoCache keeps narinfos from run to run: one file each, in one directory per server.
// It never remembers that an object is missing.
// It ignores write errors, and a file with unexpected content counts as a miss.
// A nil infoCache keeps nothing.
type infoCache struct{ dir string }

const (
	tempMark   = ".new-"   // in the names of unfinished files
	maxTempAge = time.Hour // an older unfinished file was left by a killed run
)

// newInfoCache opens the cache for the server at url, and removes files that killed runs left.
func newInfoCache(dir, url string) *infoCache {
	sum := sha256.Sum256([]byte(url))
	c := &infoCache{filepath.Join(dir, hex.EncodeToString(sum[:16]))}
	litter, _ := filepath.Glob(filepath.Join(quoteMeta(c.dir), "*"+tempMark+"*"))
	for _, name := range litter {
		if fi, err := os.Lstat(name); err == nil && time.Since(fi.ModTime()) > maxTempAge {
			_ = os.Remove(name)
		}
	}
	return c
}

// quoteMeta returns the glob pattern that matches only path.
func quoteMeta(path string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(path)
}

func (c *infoCache) file(p profile.Path) string { return filepath.Join(c.dir, p.Digest()+".narinfo") }

// get returns the cached narinfo of p, or nil.
func (c *infoCache) get(p profile.Path) *NarInfo {
	if c == nil {
		return nil
	}
	b, err := readSmall(c.file(p), maxNarInfo)
	if err != nil {
		return nil
	}
	n, err := parseNarInfoOf(p, b)
	if err != nil || !n.isIntact(b) {
		return nil
	}
	return n
}

// VerifyInfos removes the damaged narinfos in the directory of Options.CacheDir, and returns their names.
// What changed a narinfo without breaking its form, only its signature or the NAR can tell.
func VerifyInfos(ctx context.Context, dir string) (removed []string, err error) {
	return rootfs.RemoveDamaged(ctx, dir, func(name string) (bool, error) {
		if strings.Contains(filepath.Base(name), tempMark) {
			return true, nil // of a running or a killed run
		}
		b, err := readSmall(name, maxNarInfo)
		var path *fs.PathError
		if errors.As(err, &path) {
			return false, err
		}
		n, err := ParseNarInfo(b) // of no bytes if there are too many
		return err == nil && n.isIntact(b) && n.Path.Digest()+".narinfo" == filepath.Base(name), nil
	})
}

func (c *infoCache) put(n *NarInfo) {
	if c == nil || !n.isIntact([]byte(n.String())) || os.MkdirAll(c.dir, 0o755) != nil {
		return
	}
	f, err := os.CreateTemp(c.dir, n.Path.Digest()+tempMark)
	if err != nil {
		return
	}
	_, err = f.WriteString(n.String())
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err == nil {
		err = os.Rename(f.Name(), c.file(n.Path))
	}
	if err != nil {
		_ = os.Remove(f.Name())
	}
}

func (c *infoCache) drop(p profile.Path) {
	if c != nil {
		_ = os.Remove(c.file(p))
	}
}
