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

// walk returns nil if yield stopped the walk.
func (s *Store) walk(ctx context.Context, p profile.Path, yield func(rootfs.Entry, error) bool) error {
	o, err := s.object(ctx, p)
	if err != nil {
		return err
	}
	if spooled := s.spool.reader(&o.region, o.info.NarSize); spooled != nil {
		return s.replay(ctx, o, spooled, yield)
	}
	open, stop := context.WithCancel(ctx) // ends after u.Close
	defer stop()
	fresh, info, src, err := s.open(open, o)
	if errors.Is(err, fs.ErrNotExist) {
		return &noNARError{p, err}
	}
	if err != nil {
		return err
	}
	o = fresh
	name := s.backend.name(info.URL)
	u, err := newNARReader(ctx, name, info, src, s, stop)
	if err != nil {
		return err
	}
	// The error does not matter: end has checked the file by then, or the walk stopped early.
	defer u.Close()
	v := walker{name: name, info: info, w: nar.NewWire(u), sum: sha256.New()}
	v.w.Tee = &v
	if _, ok := src.(*os.File); !ok || info.Compression != "none" {
		v.recorder = s.spool.record(&o.region, info.NarSize)
		defer v.recorder.cancel()
	}
	err = v.walk(yield)
	var hash *nar.HashError
	var size *nar.SizeError
	if o.cached && (errors.As(err, &hash) || errors.As(err, &size)) {
		s.infos.drop(p) // the narinfo may be what is wrong: the next run asks the server
	}
	return err
}

// open opens the NAR of an object, and returns the narinfo with the location that it has opened.
// If a cached narinfo names files that are gone, open fetches the narinfo again.
func (s *Store) open(ctx context.Context, o *object) (*object, *NarInfo, io.ReadCloser, error) {
	info, src, err := s.openFirst(ctx, o.info)
	if !o.cached || !errors.Is(err, fs.ErrNotExist) {
		return o, info, src, err
	}
	if _, err := s.Refresh(ctx, o.info.Path); err != nil {
		return nil, nil, nil, err
	}
	fresh, err := s.object(ctx, o.info.Path)
	if err != nil {
		return nil, nil, nil, err
	}
	if fresh.info.NarHash != o.info.NarHash || fresh.info.NarSize != o.info.NarSize {
		return nil, nil, nil, fmt.Errorf("read %q: the binary cache has replaced it since an earlier run", o.info.Path)
	}
	info, src, err = s.openFirst(ctx, fresh.info)
	return fresh, info, src, err
}

// openFirst opens the first location of a NAR that the server has. Any answer but 404 counts as having it.
// If all are 404, the error is about the first.
func (s *Store) openFirst(ctx context.Context, n *NarInfo) (*NarInfo, io.ReadCloser, error) {
	src, err := s.backend.open(ctx, n)
	if !isMissing(err) {
		return n, src, err
	}
	for _, l := range n.Others {
		other := *n
		other.Location = l
		if src, err := s.backend.open(ctx, &other); !isMissing(err) {
			return &other, src, err
		}
	}
	return n, nil, err
}

// replay walks a spooled NAR, which was checked when it was spooled.
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

// walker walks a NAR while it arrives, and checks its size and hash.
type walker struct {
	name     string
	info     *NarInfo
	w        *nar.Wire
	sum      hash.Hash
	recorder *recorder // spools the NAR; may be nil
}

// Write receives all bytes of the NAR as they are consumed.
func (v *walker) Write(p []byte) (int, error) {
	v.sum.Write(p)
	v.recorder.write(p)
	return len(p), nil
}

func (v *walker) walk(yield func(rootfs.Entry, error) bool) error {
	undecided := true
	for e, err := range nar.Read(v.w, v.info.Path.Root()) {
		if err != nil {
			return named(v.name, err)
		}
		file := e.IsRegular() && e.Size > 0
		if undecided && file {
			open := e.Open
			e.Open = func() (io.ReadCloser, error) {
				v.recorder.cancel()
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

// rest spools the rest of the NAR after the caller stopped the walk.
// It drops errors, since nothing can receive them any more: a damaged NAR is simply not spooled.
func (v *walker) rest() error {
	if v.recorder.running() && v.w.Skip(v.info.NarSize-v.w.Offset()) == nil {
		_ = v.end()
	}
	return nil
}

// end checks a NAR that was read completely.
func (v *walker) end() error {
	if len(v.w.Peek(1)) > 0 {
		return named(v.name, fmt.Errorf("data after the end of the NAR at byte %d", v.w.Offset()))
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
	return v.recorder.finish()
}
