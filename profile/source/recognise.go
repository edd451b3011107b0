package source

import (
	"archive/tar"
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/export-profile/export-profile/profile"
	"github.com/export-profile/export-profile/profile/decompress"
	"github.com/export-profile/export-profile/profile/exportstore"
	"github.com/export-profile/export-profile/profile/tarstore"
)

// These limits bound what Recognise reads, so that it can be asked about any file.
const (
	maxRecognised = 1 << 20 // bytes of a file, and decompressed ones
	maxEntries    = 1 << 12 // of a directory or a tar
)

// Recognise returns the form of the store that a file or directory seems to be, from its beginning or the names in it.
// [Open] reads all of it, and may still refuse it. The error is a [NotStoreError] for everything else.
// Recognise does not wait for a pipe, which is no store to it.
func Recognise(name string) (Form, error) {
	f, err := os.OpenFile(name, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return 0, fmt.Errorf("open store: %w", err)
	}
	defer f.Close()
	fi, err := f.Stat()
	switch {
	case err != nil:
		return 0, fmt.Errorf("open store: %w", err)
	case fi.IsDir():
		return recogniseDirectory(name, f)
	case !fi.Mode().IsRegular():
		return 0, &NotStoreError{name, "neither a file nor a directory"}
	}
	return recogniseFile(name, f)
}

// recogniseDirectory looks for the same names as openDirectory.
func recogniseDirectory(name string, f *os.File) (Form, error) {
	has := func(below string) bool {
		fi, err := os.Stat(filepath.Join(name, below))
		return err == nil && fi.IsDir()
	}
	for _, dir := range profile.KnownStoreDirs {
		if has(dir.String()) {
			return CopiedStore, nil
		}
	}
	names, err := f.Readdirnames(maxEntries)
	if err != nil && !errors.Is(err, io.EOF) {
		return 0, fmt.Errorf("open store: %w", err)
	}
	switch {
	case slices.Contains(names, "nix-cache-info"):
		return CacheDirectory, nil
	case has("store") && has("var/nix/db"):
		return CopiedStore, nil
	case slices.ContainsFunc(names, func(n string) bool { return profile.CheckBase(n) == nil }):
		return StoreDirectory, nil
	case slices.ContainsFunc(names, func(n string) bool { return strings.HasSuffix(n, ".narinfo") }):
		return CacheDirectory, nil
	}
	return 0, &NotStoreError{name, "a directory without a store in it"}
}

// recogniseFile recognises an export stream by its first bytes, and a tar by the first store object in it.
func recogniseFile(name string, f *os.File) (Form, error) {
	head := make([]byte, headLen)
	n, err := io.ReadFull(f, head)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return 0, fmt.Errorf("open store: %w", err)
	}
	head = head[:n]
	all := io.MultiReader(bytes.NewReader(head), io.LimitReader(f, maxRecognised))
	other := &NotStoreError{name, "neither an export stream nor a tar of a store"}
	z, err := decompress.NewFileReader(cmp.Or(decompress.Sniff(head), "none"), all, func() {})
	if err != nil {
		return 0, other
	}
	defer z.Close()
	head = make([]byte, headLen)
	n, _ = io.ReadFull(z, head)
	head = head[:n]
	switch {
	case exportstore.Recognise(head):
		return ExportStream, nil
	case tarstore.Recognise(head) && hasObject(tar.NewReader(io.MultiReader(bytes.NewReader(head), io.LimitReader(z, maxRecognised)))):
		return Tar, nil
	}
	return 0, other
}

// hasObject reports whether one of a tar's first entries is a store object or lies in one.
func hasObject(r *tar.Reader) bool {
	for range maxEntries {
		h, err := r.Next()
		if err != nil {
			return false
		}
		for element := range strings.SplitSeq(h.Name, "/") {
			if profile.CheckBase(element) == nil {
				return true
			}
		}
	}
	return false
}
