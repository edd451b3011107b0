// Package exportstore is a store in an export stream, as `nix-store --export` writes it.
// A machine without Nix reads what one with Nix has exported.
//
// The stream (Nix, libstore/export-import.cc), in the pieces of package nar:
//
//	stream  { u64(1) object } u64(0)
//	object  nar                            delimits itself
//	        u64(0x4558494e)                "NIXE"
//	        str(path)                      the full store path
//	        u64(n) n*str(reference)        full store paths
//	        str(deriver)                   a full store path or ""
//	        u64(0) | u64(1) str(signature) from Nix before 2.0; ignored, as Nix does
//
// The name of an object comes behind its NAR and the stream has no index,
// so all of it is read once when it is opened, to find out what is where and to hash the NARs.
// A file is read again where an object's files are asked for, and hashed again,
// as it may have changed meanwhile.
// What cannot be read twice, a pipe, is kept in a file without a name, which is gone however the run ends.
//
// The stream carries no hash and no signature:
// its content defines what it is, and whoever hands it over is trusted for it.
// It need not be closed under references; [profile.FindClosure] says what is missing.
package exportstore

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"

	"github.com/export-profile/export-profile/profile"
	"github.com/export-profile/export-profile/profile/nar"
	"github.com/export-profile/export-profile/rootfs"
)

// Options say how a stream is read. The zero value is right.
type Options struct {
	// SpoolDir is where a stream that cannot be read twice is kept, by default os.TempDir.
	// It is made if it does not exist.
	SpoolDir string
	// Progress is called with the bytes of the stream read since the last call.
	Progress func(bytes int64)
}

// Store is an export stream. Its methods are safe for concurrent use.
type Store struct {
	f       *os.File
	private bool // nobody else can change f
	objects map[profile.Path]object
	paths   []profile.Path
}

type object struct {
	info   *profile.Info
	offset int64 // of its NAR in f
}

// Open reads the stream that f is, from where f stands to its end, and owns f until Close.
// After an error f is still the caller's.
//
// What is no export stream is a [FormatError];
// an end before the stream's is io.ErrUnexpectedEOF.
func Open(ctx context.Context, f *os.File, o Options) (*Store, error) {
	s := &Store{f: f, objects: make(map[profile.Path]object)}
	if err := s.open(ctx, o); err != nil {
		if s.private {
			s.f.Close()
		}
		return nil, fmt.Errorf("read export stream %q: %w", f.Name(), err)
	}
	if s.private {
		f.Close()
	}
	return s, nil
}

func (s *Store) open(ctx context.Context, o Options) error {
	fi, err := s.f.Stat()
	if err != nil {
		return err
	}
	var src io.Reader
	base := int64(0)
	if fi.Mode().IsRegular() {
		if base, err = s.f.Seek(0, io.SeekCurrent); err != nil {
			return err
		}
		src = &watched{r: s.f, ctx: ctx, progress: o.Progress}
	} else {
		from := s.f
		if s.f, err = newSpool(o.SpoolDir); err != nil {
			return err
		}
		s.private = true
		src = io.TeeReader(&watched{r: pollReader{ctx, from}, ctx: ctx, progress: o.Progress}, s.f)
	}
	w := nar.NewWire(src)
	head := w.Peek(sniffLen)
	if err := w.Err(); err != nil {
		return err
	}
	if err := sniff(head); err != nil {
		return err
	}
	if err := s.index(w, base); err != nil {
		return fmt.Errorf("at byte %d: %w", w.Offset(), err)
	}
	for p := range s.objects {
		s.paths = append(s.paths, p)
	}
	slices.Sort(s.paths)
	return nil
}

// Info implements [profile.Store].
func (s *Store) Info(_ context.Context, p profile.Path) (*profile.Info, error) {
	o, ok := s.objects[p]
	if !ok {
		return nil, fmt.Errorf("%q is not in the export stream: %w", p, fs.ErrNotExist)
	}
	return o.info, nil
}

// Paths implements [profile.Lister].
func (s *Store) Paths(context.Context) ([]profile.Path, error) {
	return s.paths, nil
}

// Files implements [profile.Store].
func (s *Store) Files(ctx context.Context, p profile.Path) rootfs.Tree {
	o, ok := s.objects[p]
	if !ok {
		return func(yield func(rootfs.Entry, error) bool) {
			_, err := s.Info(ctx, p)
			yield(rootfs.Entry{}, err)
		}
	}
	read := func(yield func(rootfs.Entry, error) bool) {
		w := nar.NewWire(io.NewSectionReader(s.f, o.offset, o.info.NarSize))
		for e, err := range nar.Read(w, p.Root()) {
			if err != nil {
				err = fmt.Errorf("export stream: it changed while it was read: %w", err)
			}
			if !yield(e, err) || err != nil {
				return
			}
		}
	}
	if s.private {
		return read
	}
	return nar.Verify(read, p.Root(), o.info.NarHash, o.info.NarSize)
}

// Close closes the file.
func (s *Store) Close() error { return s.f.Close() }

// index finds the objects of the stream, whose first byte is at base in the file.
func (s *Store) index(w *nar.Wire, base int64) error {
	h := sha256.New()
	for {
		switch more, err := w.Uint64(); {
		case err != nil:
			return err
		case more == 0:
			return checkEnd(w)
		case more != 1:
			return fmt.Errorf("number %d where 1 or 0 says whether another object follows", more)
		}
		begin := w.Offset()
		h.Reset()
		w.Tee = h
		for _, err := range nar.Read(w, "object") {
			if err != nil {
				return err
			}
		}
		w.Tee = nil
		size := w.Offset() - begin
		info, err := readTrailer(w)
		if err != nil {
			return err
		}
		info.NarHash, info.NarSize = profile.Hash(h.Sum(nil)), size
		if had, ok := s.objects[info.Path]; ok {
			if had.info.NarHash != info.NarHash || !slices.Equal(had.info.References, info.References) {
				return fmt.Errorf("%q comes twice, with different content", info.Path)
			}
			continue
		}
		s.objects[info.Path] = object{info, base + begin}
	}
}
