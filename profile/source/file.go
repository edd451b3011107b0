package source

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/export-profile/export-profile/profile"
	"github.com/export-profile/export-profile/profile/casehack"
	"github.com/export-profile/export-profile/profile/exportstore"
	"github.com/export-profile/export-profile/profile/input"
	"github.com/export-profile/export-profile/profile/localstore"
	"github.com/export-profile/export-profile/profile/references"
	"github.com/export-profile/export-profile/profile/tarstore"
	"github.com/export-profile/export-profile/rootfs/staging"
)

// headLen is how many bytes are needed to recognise the form of a file.
const headLen = 512

// openFile opens an export stream or a tar. After an error f may or may not be closed.
func openFile(ctx context.Context, f *os.File, o Options) (profile.Store, error) {
	in, err := input.Open(ctx, f, input.Options{SpoolDir: o.SpoolDir, Progress: o.Progress, Workers: o.workers})
	if err != nil {
		return nil, fmt.Errorf("read %q: %w", f.Name(), err)
	}
	head, err := in.Peek(headLen)
	if err != nil {
		in.Abandon()
		return nil, fmt.Errorf("read %q: %w", f.Name(), err)
	}
	if !tarstore.Recognise(head) {
		o.opened(f.Name(), ExportStream)
		s, err := exportstore.ReadIn(in, o.dirs()[0])
		if err != nil {
			in.Abandon()
			return nil, err
		}
		o.noteTrailing(f.Name(), "the export stream", s.Trailing())
		return s, nil
	}
	o.opened(f.Name(), Tar)
	s, err := tarstore.ReadIn(in, o.dirs())
	if err != nil {
		in.Abandon()
		return nil, err
	}
	o.noteTrailing(f.Name(), "the tar", s.Trailing())
	names := &casehack.Restorer{Hash: o.hash, Note: o.Note}
	s.RestoreNames(names)
	if o.References != "" {
		o.noteAppleTar(f.Name(), s)
		return s, nil
	}
	infos, err := tarDatabase(ctx, s, o)
	if err == nil && len(infos) > 0 && infos[0].Path.StoreDir() != s.StoreDir() {
		dir := infos[0].Path.StoreDir()
		if s.StoreDir().IsGuix() { // Guix has its store only there
			return nil, errors.Join(fmt.Errorf("read tar %q: %w", f.Name(), &localstore.OtherDirError{Dir: dir, Place: s.StoreDir()}), s.Close())
		}
		s.Move(dir)
	}
	if err == nil {
		names.Hash = hashes(infos)
		return references.Overlay(s, infos), nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return nil, errors.Join(err, s.Close())
	}
	o.noteAppleTar(f.Name(), s)
	o.notePlace(f.Name(), s)
	candidates, err := s.Paths(ctx)
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return scanned(f.Name(), s, candidates, o)
}

// noteTrailing notes that a source continues after its end.
func (o *Options) noteTrailing(name, what string, trailing bool) {
	if trailing && o.Note != nil {
		o.Note(fmt.Sprintf("%q continues after the end of %s; the rest is ignored", name, what))
	}
}

// notePlace notes that the place of a store directory in a tar looks like another store directory, which the user did not say.
func (o *Options) notePlace(name string, s *tarstore.Store) {
	if dir, ok := s.Elsewhere(); ok && o.Note != nil && o.StoreDir == nil {
		o.Note(fmt.Sprintf("%q has its store objects in %s, but the store directory is taken to be %s", name, dir, s.StoreDir()))
	}
}

// tarDatabase reads the database in a tar. The error wraps fs.ErrNotExist if there is none.
func tarDatabase(ctx context.Context, s *tarstore.Store, o Options) (_ []*profile.Info, err error) {
	parent := cmp.Or(o.SpoolDir, os.TempDir())
	if err := os.MkdirAll(parent, 0o755); err != nil {
		return nil, err
	}
	const what = "database"
	if err := staging.Clean(parent, what, nil); err != nil {
		return nil, err
	}
	staging, err := staging.New(parent, what)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, staging.Remove()) }()
	name, err := s.Database(staging.Path)
	if err != nil {
		return nil, err
	}
	return localstore.ReadDatabase(ctx, name)
}
