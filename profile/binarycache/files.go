package binarycache

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"

	"github.com/export-profile/export-profile/profile"
	"github.com/export-profile/export-profile/profile/nar"
	"github.com/export-profile/export-profile/rootfs"
)

// Files implements [profile.Store].
func (s *Store) Files(ctx context.Context, p profile.Path) rootfs.Tree {
	return func(yield func(rootfs.Entry, error) bool) {
		if err := s.walk(ctx, p, yield); err != nil {
			yield(rootfs.Entry{}, err)
		}
	}
}

// walk is nil when yield has had enough, or has been told an error.
func (s *Store) walk(ctx context.Context, p profile.Path, yield func(rootfs.Entry, error) bool) error {
	o, err := s.object(ctx, p)
	if err != nil {
		return err
	}
	if kept := s.spool.reader(&o.spooled, o.info.NarSize); kept != nil {
		return s.replay(ctx, o, kept, yield)
	}
	o, src, err := s.open(ctx, o)
	if err != nil {
		return err
	}
	name := s.place.name(o.info.URL)
	u, err := newUnpacked(ctx, name, o.info, src, s.progress)
	if err != nil {
		return err
	}
	// All that was said to be read has been checked by then.
	defer u.Close()
	v := visit{name: name, info: o.info, w: nar.NewWire(u), sum: sha256.New()}
	v.w.Tee = &v
	if _, ok := src.(*os.File); !ok || o.info.Compression != "none" {
		v.tape = s.spool.record(&o.spooled, o.info.NarSize)
		defer v.tape.cancel()
	}
	return v.walk(yield)
}

// open opens the NAR of an object. If it has gone from where it was in an earlier run, the cache is asked again.
func (s *Store) open(ctx context.Context, o *object) (*object, io.ReadCloser, error) {
	src, err := s.place.open(ctx, o.info)
	if !o.old || !errors.Is(err, fs.ErrNotExist) {
		return o, src, err
	}
	if _, err := s.Refresh(ctx, o.info.Path); err != nil {
		return nil, nil, err
	}
	fresh, err := s.object(ctx, o.info.Path)
	if err != nil {
		return nil, nil, err
	}
	if fresh.info.NarHash != o.info.NarHash || fresh.info.NarSize != o.info.NarSize {
		return nil, nil, fmt.Errorf("read %q: the binary cache has replaced it since it was last asked", o.info.Path)
	}
	src, err = s.place.open(ctx, fresh.info)
	return fresh, src, err
}

// replay walks through a NAR that was checked when it was kept.
func (s *Store) replay(ctx context.Context, o *object, r io.Reader, yield func(rootfs.Entry, error) bool) error {
	for e, err := range nar.Read(nar.NewWire(r), o.info.Path.Root()) {
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		if err != nil {
			return err
		}
		if !yield(e, nil) {
			return nil
		}
	}
	return nil
}

// visit is a walk through a NAR as it comes.
type visit struct {
	name string
	info *NarInfo
	w    *nar.Wire
	sum  hash.Hash
	tape *tape // what keeps the NAR, or nil
}

// Write gets all of the NAR as it is consumed.
func (v *visit) Write(p []byte) (int, error) {
	v.sum.Write(p)
	v.tape.write(p)
	return len(p), nil
}

func (v *visit) walk(yield func(rootfs.Entry, error) bool) error {
	undecided := true
	for e, err := range nar.Read(v.w, v.info.Path.Root()) {
		if err != nil {
			return named(v.name, err)
		}
		file := e.IsRegular() && e.Size > 0
		if undecided && file {
			open := e.Open
			e.Open = func() (io.ReadCloser, error) {
				v.tape.cancel()
				return open()
			}
		}
		if !yield(e, nil) {
			return v.rest()
		}
		if file {
			undecided = false
		}
	}
	return v.end()
}

// rest takes what is left of a NAR that is kept, for those who come later.
// Who walked has gone, and is told nothing of what is wrong with it: it is not kept then.
func (v *visit) rest() error {
	if v.tape.running() && v.w.Skip(v.info.NarSize-v.w.Offset()) == nil {
		_ = v.end()
	}
	return nil
}

// end checks a NAR that has been consumed.
func (v *visit) end() error {
	if len(v.w.Peek(1)) > 0 {
		return named(v.name, fmt.Errorf("there is something behind the NAR, which ends at byte %d", v.w.Offset()))
	}
	if err := v.w.Err(); err != nil {
		return named(v.name, err)
	}
	if got := profile.Hash(v.sum.Sum(nil)); got != v.info.NarHash {
		return named(v.name, &nar.HashError{Root: v.info.Path.Root(), Want: v.info.NarHash, Got: got})
	}
	if got := v.w.Offset(); got != v.info.NarSize {
		return named(v.name, &nar.SizeError{Root: v.info.Path.Root(), Want: v.info.NarSize, Got: got})
	}
	return v.tape.finish()
}
