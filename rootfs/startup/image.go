package startup

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/export-profile/export-profile/rootfs"
)

// Config is what a process in an image begins with, as OCI's config has it.
type Config struct {
	Architecture string // as Go and OCI call it; "" if it is not known
	Env          []string
	Entrypoint   []string
	Cmd          []string
	User         string
	WorkingDir   string
}

// Layer is something that is laid over all that comes before.
type Layer struct {
	Part   rootfs.Part
	Hidden []string // paths that are gone
}

// Image is what is checked: files that need not have been written yet.
type Image struct {
	Config Config
	// Lower has the files of a finished image, if there is one below, or of which it is.
	// A file's LowerEntry.Layer is an index of LowerSources, which have the contents.
	Lower        *rootfs.Lower
	LowerSources []Source
	// Parts are laid over it, and then the Layers, from the lowest.
	Parts  []rootfs.Part
	Layers []Layer
}

// Options say how an image is checked. The zero value is right.
type Options struct {
	// Time is when the certificates must be valid. Without it, they need not be at any time.
	Time time.Time
	// References reads all files to find store objects that are named in them and are not there.
	References bool
	// Facts, if not nil, spare looking at what was looked at before.
	Facts *rootfs.Facts
	// Progress is called with the bytes of sources that were looked at since the last call, from several goroutines.
	Progress func(bytes int64)
}

// Check finds out what will not start in an image. Nothing is run, and nothing is written but facts.
func Check(ctx context.Context, image *Image, o Options) (*Report, error) {
	c, err := newChecker(ctx, image, o)
	if err != nil {
		return nil, fmt.Errorf("check image: %w", err)
	}
	if err := c.check(); err != nil {
		return nil, fmt.Errorf("check image: %w", err)
	}
	c.report.sort()
	return &c.report, nil
}

// checker is one check.
type checker struct {
	ctx     context.Context
	options Options
	config  Config
	env     map[string]string
	files   *rootfs.Lower // all that a process sees; Layer is an index of sources
	sources []Source
	looked  []*contents
	report  Report

	account  account
	stats    map[string]stated
	programs map[string]*verdict   // by path, of ELF programs
	loaders  map[string]*loader    // by path
	dirLists map[string]*dirList   // see newDirList
	found    map[foundKey]*libFile // see searchDirs
	reached  map[string]bool       // paths of files that what is in PATH loads or is run by
	sonames  map[string]bool       // of what programs of PATH load
	library  map[string][]string   // where files called like libraries are, by base name
}

type stated struct {
	e   rootfs.LowerEntry
	err error
}

func newChecker(ctx context.Context, image *Image, o Options) (*checker, error) {
	c := &checker{
		ctx: ctx, options: o, config: image.Config, env: make(map[string]string),
		stats: make(map[string]stated), programs: make(map[string]*verdict), loaders: make(map[string]*loader),
		dirLists: make(map[string]*dirList), found: make(map[foundKey]*libFile),
		reached: make(map[string]bool), sonames: make(map[string]bool), library: make(map[string][]string),
	}
	for _, e := range image.Config.Env {
		name, value, _ := strings.Cut(e, "=")
		c.env[name] = value
	}
	c.sources = append(c.sources, image.LowerSources...)
	for _, p := range image.Parts {
		c.sources = append(c.sources, partSource(p))
	}
	for _, l := range image.Layers {
		c.sources = append(c.sources, partSource(l.Part))
	}
	if err := c.lookAtAll(image); err != nil {
		return nil, err
	}
	c.files = rootfs.NewLower("")
	for e := range image.Lower.Within("") {
		if err := c.files.Put(e); err != nil {
			return nil, err
		}
	}
	at := len(image.LowerSources)
	for range image.Parts {
		if err := c.put(at); err != nil {
			return nil, err
		}
		at++
	}
	for _, l := range image.Layers {
		for _, path := range l.Hidden {
			c.files.Remove(path)
		}
		if err := c.put(at); err != nil {
			return nil, err
		}
		at++
	}
	for e := range c.files.Within("") {
		if name := path.Base(e.Path); isLibraryName(name) && !e.Other {
			c.library[name] = append(c.library[name], e.Path)
		}
	}
	return c, nil
}

func partSource(p rootfs.Part) Source {
	return Source{Name: p.Name, Key: p.Key, Unproven: p.Unproven, Root: p.Root, Tree: rootfs.Check(p.Root, p.Tree)}
}

// put puts the entries of a source over what is there.
func (c *checker) put(source int) error {
	for _, e := range c.looked[source].Entries {
		put := rootfs.LowerEntry{Entry: e, Layer: source}
		if e.IsRegular() {
			put.Source = e.Path
		}
		if err := c.files.Put(put); err != nil {
			return err
		}
	}
	return nil
}

// lookAtAll looks at all sources, some at the same time.
func (c *checker) lookAtAll(image *Image) error {
	c.looked = make([]*contents, len(c.sources))
	errs := make([]error, len(c.sources))
	sizes := make([]int64, len(c.sources))
	for i, p := range image.Parts {
		sizes[len(image.LowerSources)+i] = p.Size
	}
	ctx, cancel := context.WithCancel(c.ctx)
	defer cancel()
	next := make(chan int)
	var workers sync.WaitGroup
	for range 2 * runtime.GOMAXPROCS(0) { // they wait for disks, too
		workers.Go(func() {
			for i := range next {
				if c.looked[i], errs[i] = c.sources[i].look(c.options.Facts, c.options.References); errs[i] != nil {
					cancel()
				}
				if c.options.Progress != nil {
					c.options.Progress(sizes[i])
				}
			}
		})
	}
	for i := range c.sources {
		select {
		case next <- i:
			continue
		case <-ctx.Done():
		}
		break
	}
	close(next)
	workers.Wait()
	if err := context.Cause(c.ctx); err != nil {
		return err
	}
	return errors.Join(errs...)
}

// startable is what is known of a regular file. Whether it was looked at does not depend on its name here.
func (c *checker) startable(e rootfs.LowerEntry) (*startable, error) {
	source := &c.sources[e.Layer]
	looked := c.looked[e.Layer]
	name := strings.TrimPrefix(e.Source, source.Root)
	if s := looked.Files[name]; s != nil {
		return s, nil
	}
	missing := map[string][]span{name: nil}
	for range maxRewalks {
		again := make(map[string][]span)
		if err := source.walk(looked, false, missing, again); err != nil {
			return nil, fmt.Errorf("look at %q: %w", source.Name, err)
		}
		if len(again) == 0 {
			break
		}
		missing = again
	}
	if looked.Files[name] == nil {
		return nil, fmt.Errorf("look at %q: %q: %w", source.Name, "/"+e.Source, fs.ErrNotExist)
	}
	return looked.Files[name], nil
}

// read is the first bytes of a file.
func (c *checker) read(e rootfs.LowerEntry, limit int64) ([]byte, error) {
	got, err := c.sources[e.Layer].read(map[string]bool{e.Source: true}, limit)
	return got[e.Source], err
}

// absolute is a path that a process in the image names, without the slash before it.
func (c *checker) absolute(name string) string {
	if !strings.HasPrefix(name, "/") {
		name = c.config.WorkingDir + "/" + strings.TrimPrefix(name, "./")
	}
	return strings.TrimLeft(name, "/")
}

// stat is what is at a path, when all links are followed.
func (c *checker) stat(name string) (rootfs.LowerEntry, error) {
	if s, ok := c.stats[name]; ok {
		return s.e, s.err
	}
	e, err := c.files.Stat(name)
	c.stats[name] = stated{e, err}
	return e, err
}
