package binarycache

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/export-profile/export-profile/profile"
)

// keeper keeps narinfos from run to run, a file each, in a directory for each server.
// That there is no such object is never kept.
// It is no matter if something cannot be kept, and what looks odd was not.
// A nil keeper keeps nothing.
type keeper struct{ dir string }

const (
	newMark   = ".new-"   // in the names of files that are not finished
	abandoned = time.Hour // after which nobody finishes them
)

// newKeeper keeps what the server at a URL says, and cleans up after runs that were killed.
func newKeeper(dir, url string) *keeper {
	sum := sha256.Sum256([]byte(url))
	k := &keeper{filepath.Join(dir, hex.EncodeToString(sum[:16]))}
	litter, _ := filepath.Glob(filepath.Join(quoteMeta(k.dir), "*"+newMark+"*"))
	for _, name := range litter {
		if fi, err := os.Lstat(name); err == nil && time.Since(fi.ModTime()) > abandoned {
			_ = os.Remove(name)
		}
	}
	return k
}

// quoteMeta is the pattern that matches a path and nothing else.
func quoteMeta(path string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(path)
}

func (k *keeper) file(p profile.Path) string { return filepath.Join(k.dir, p.Digest()+".narinfo") }

// get is what was kept of a path, or nil.
func (k *keeper) get(p profile.Path) *NarInfo {
	if k == nil {
		return nil
	}
	b, err := readSmall(k.file(p), maxNarInfo)
	if err != nil {
		return nil
	}
	n, err := parseNarInfoOf(p, b)
	if err != nil || n.String() != string(b) {
		return nil
	}
	return n
}

func (k *keeper) put(n *NarInfo) {
	if k == nil || os.MkdirAll(k.dir, 0o755) != nil {
		return
	}
	f, err := os.CreateTemp(k.dir, n.Path.Digest()+newMark)
	if err != nil {
		return
	}
	_, err = f.WriteString(n.String())
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err == nil {
		err = os.Rename(f.Name(), k.file(n.Path))
	}
	if err != nil {
		_ = os.Remove(f.Name())
	}
}

func (k *keeper) drop(p profile.Path) {
	if k != nil {
		_ = os.Remove(k.file(p))
	}
}
