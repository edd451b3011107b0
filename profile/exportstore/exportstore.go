// Package exportstore reads a store from an export stream, as `nix-store --export` and `guix archive --export` write it.
// With it, a machine without Nix or Guix can read what another machine exported.
//
// The stream (Nix, libstore/export-import.cc), in the notation of package nar:
//
//	stream  { u64(1) object } u64(0)
//	object  nar                            self-delimiting
//	        u64(0x4558494e)                "NIXE"
//	        str(path)                      the full store path
//	        u64(n) n*str(reference)        full store paths
//	        str(deriver)                   a full store path or ""
//	        u64(0) | u64(1) str(signature)
//
// It contains no hashes: its content defines the objects, and its sender is trusted.
// A signature of Nix before 2.0 is ignored, as Nix does.
// Guix signs each object that it exports (guix/nar.scm): the signature is an s-expression, see package guix,
// and covers all from the NAR to the deriver. Read refuses a signature that it cannot parse and one about other data.
// Whether a trusted key has made it, package trust decides, if signatures are required.
//
// Determinate Nix also writes a second format (`nix nario export --format 2`), with base names for paths:
//
//	stream  u64(0x324f4952414e) { u64(1) object } u64(0)      "NARIO2"
//	object  str(path) str(deriver or "") str(NAR hash, hexadecimal)
//	        u64(n) n*str(reference)
//	        u64(registration time) u64(NAR size) u64(ultimate, 0 or 1)
//	        u64(n) n*str(signature) str(content address or "")
//	        nar
//
// Read checks the hashes and sizes of this format.
// It refuses objects that are only named, sent as a delta, or compressed individually.
//
// Either format may be compressed as a whole; see package input.
//
// The path of an object follows its NAR, and the stream has no index.
// So Read reads the whole stream once, to locate the objects and to hash their NARs.
// A walk of an object's files reads its part of the stream again.
// It also hashes a file that others can change, since the file may differ by then.
//
// A stream need not be closed under references; [profile.FindClosure] reports what is missing.
// Other data may follow the stream, such as the rest of a raw device: [Store.Trailing] reports them.
// Another stream may not. Nix silently reads only the first of two streams, which is rarely intended.
package exportstore

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"

	"github.com/export-profile/export-profile/profile"
	"github.com/export-profile/export-profile/profile/input"
	"github.com/export-profile/export-profile/profile/nar"
	"github.com/export-profile/export-profile/rootfs"
)

// Store is an indexed export stream. Its methods are safe for concurrent use.
// It is a [profile.Store], [profile.Lister] and [profile.Prover].
type Store struct {
	in      *input.Input
	dir     profile.StoreDir
	objects map[profile.Path]object
	paths   []profile.Path

	trailing bool
}

var (
	_ profile.Store  = (*Store)(nil)
	_ profile.Lister = (*Store)(nil)
	_ profile.Prover = (*Store)(nil)
)

type object struct {
	info   *profile.Info
	offset int64 // of its NAR in the stream
}

// Read reads an export stream from an unread input, to the end of the stream.
// The store owns the input until Close. After an error the caller still owns it.
//
// The first object of the first format says which store directory the stream has. The second format does not say it:
// Read takes it to be /nix/store, and [ReadIn] to be dir.
//
// Read returns a [FormatError] for other formats and io.ErrUnexpectedEOF for a truncated stream.
func Read(in *input.Input) (*Store, error) { return ReadIn(in, profile.StoreDir{}) }

// ReadIn is [Read] for a stream of dir, if the stream does not say another one.
func ReadIn(in *input.Input, dir profile.StoreDir) (*Store, error) {
	s := &Store{in: in, dir: dir, objects: make(map[profile.Path]object)}
	if err := s.read(); err != nil {
		return nil, fmt.Errorf("read export stream %q: %w", in.Name(), err)
	}
	s.trailing = s.trailing || in.Trailing()
	in.Finish()
	return s, nil
}

// Trailing reports whether the input continues after the end of the stream.
func (s *Store) Trailing() bool { return s.trailing }

func (s *Store) read() error {
	w := nar.NewWire(s.in)
	if err := sniff(w.Peek(sniffLen)); err != nil {
		return cmp.Or(w.Err(), s.inside(err))
	}
	r := indexer{Store: s, w: w}
	if err := r.index(); err != nil {
		return fmt.Errorf("at byte %d: %w", w.Offset(), err)
	}
	for p := range s.objects {
		s.paths = append(s.paths, p)
	}
	slices.Sort(s.paths)
	return nil
}

// inside adds the compression of the input to a FormatError.
func (s *Store) inside(err error) error {
	var format *FormatError
	if how := s.in.Compression(); how != "" && errors.As(err, &format) {
		return &FormatError{format.Is + ", compressed with " + how}
	}
	return err
}

// StoreDir implements [profile.Store].
func (s *Store) StoreDir() profile.StoreDir { return s.dir }

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
		w := nar.NewWire(io.NewSectionReader(s.in, o.offset, o.info.NarSize))
		for e, err := range nar.Read(w, p.Root()) {
			if err == nil && ctx.Err() != nil {
				err = context.Cause(ctx)
			} else if err != nil {
				err = fmt.Errorf("the export stream changed while it was read: %w", err)
			}
			if !yield(e, err) || err != nil {
				return
			}
		}
	}
	if s.in.Private() {
		return read
	}
	return nar.Verify(read, p.Root(), o.info.NarHash, o.info.NarSize)
}

// Proven implements [profile.Prover]: Read has hashed everything,
// and that still holds if no other process can change the input.
func (s *Store) Proven(profile.Path) bool { return s.in.Private() }

// Close closes the input.
func (s *Store) Close() error { return s.in.Close() }
