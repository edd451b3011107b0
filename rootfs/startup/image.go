package startup

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/export-profile/export-profile/rootfs"
)

// Config holds the fields of an OCI image config that decide how its process starts.
type Config struct {
	Architecture string // GOARCH, as OCI has it; "" if unknown
	Env          []string
	Entrypoint   []string
	Cmd          []string
	User         string
	WorkingDir   string
	Volumes      []string
	Healthcheck  []string // Docker's Test: CMD and words, or CMD-SHELL and a line
}

// Layer is laid over everything below it.
type Layer struct {
	Part   rootfs.Part
	Hidden []string // paths that it hides
}

// Image describes the image to check. Its files need not have been written yet.
type Image struct {
	Config   Config
	StoreDir rootfs.StoreDir
	// Lower has the files of a finished image: the image below, or the image to check. It may be nil.
	// LowerEntry.Layer is an index into LowerSources, which have the contents.
	Lower        *rootfs.Lower
	LowerSources []Source
	// Parts are laid over Lower, and then the Layers, lowest first.
	Parts  []rootfs.Part
	Layers []Layer
}

// Options configure a check. The zero value is usable.
type Options struct {
	// Time is when the certificates must be valid. The zero time skips that check.
	Time time.Time
	// References reads all files to find names of store objects that are not in the image.
	References bool
	// Facts, if not nil, remembers findings, so that a source is not scanned twice.
	Facts *rootfs.Facts
	// Progress is called with the size of each scanned source, from several goroutines.
	Progress func(bytes int64)
}

// Check finds out what will not start in an image. It runs nothing and writes only facts.
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

// checker holds the state of one check.
type checker struct {
	ctx      context.Context
	options  Options
	config   Config
	store    rootfs.StoreDir
	env      map[string]string
	files    *rootfs.Lower // the files that a process sees; Layer is an index into sources
	sources  []Source
	contents []*contents // by index of sources
	report   Report

	account   account
	stats     map[string]statResult
	programs  map[string]*verdict    // verdicts on ELF programs by path
	loaders   map[string]*loader     // by path
	dirLists  map[string]*dirList    // by their directories, joined with NUL
	found     map[searchKey]*libFile // see searchDirs
	reached   map[string]bool        // paths of the files that take part in starting a program of PATH
	sonames   map[string]bool        // base names and sonames of the reached files
	libraries map[string][]string    // paths of files named like libraries, by base name
}

type statResult struct {
	e   rootfs.LowerEntry
	err error
}

func newChecker(ctx context.Context, image *Image, o Options) (*checker, error) {
	c := &checker{
		ctx: ctx, options: o, config: image.Config, store: image.StoreDir, env: make(map[string]string),
		stats: make(map[string]statResult), programs: make(map[string]*verdict), loaders: make(map[string]*loader),
		dirLists: make(map[string]*dirList), found: make(map[searchKey]*libFile),
		reached: make(map[string]bool), sonames: make(map[string]bool), libraries: make(map[string][]string),
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
	if err := c.scanSources(image); err != nil {
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
			c.libraries[name] = append(c.libraries[name], e.Path)
		}
	}
	return c, nil
}

func partSource(p rootfs.Part) Source {
	return Source{Name: p.Name, Key: p.Key, Unproven: p.Unproven, Root: p.Root, Tree: rootfs.Check(p.Root, p.Tree)}
}

// put lays the entries of a source over c.files.
func (c *checker) put(source int) error {
	for _, e := range c.contents[source].Entries {
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

// scanSources scans all sources, several at a time.
func (c *checker) scanSources(image *Image) error {
	c.contents = make([]*contents, len(c.sources))
	errs := make([]error, len(c.sources))
	sizes := make([]int64, len(c.sources))
	for i, p := range image.Parts {
		sizes[len(image.LowerSources)+i] = p.Size
	}
	ctx, cancel := context.WithCancel(c.ctx)
	defer cancel()
	next := make(chan int)
	var workers sync.WaitGroup
	perCore := 2 // they also wait for servers
	if !slices.ContainsFunc(c.sources, func(s Source) bool { return s.Unproven }) {
		perCore = 4 // a store of this machine needs no memory to unpack, and a disk is faster with several requests at once
	}
	for range perCore * runtime.GOMAXPROCS(0) {
		workers.Go(func() {
			for i := range next {
				if c.contents[i], errs[i] = c.sources[i].scan(c.options.Facts, c.store, c.options.References); errs[i] != nil {
					cancel()
				}
				if c.options.Progress != nil {
					c.options.Progress(sizes[i])
				}
			}
		})
	}
	// Begin with the largest, so that no worker is left alone with one.
	order := make([]int, len(c.sources))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(sizes[b], sizes[a]) })
	for _, i := range order {
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

// startable returns the findings about a regular file. If the first walk did not look into the file,
// it walks the source again.
func (c *checker) startable(e rootfs.LowerEntry) (*startable, error) {
	source := &c.sources[e.Layer]
	contents := c.contents[e.Layer]
	name := strings.TrimPrefix(e.Source, source.Root)
	if s := contents.Files[name]; s != nil {
		return s, nil
	}
	missing := map[string][]span{name: nil}
	for range maxRewalks {
		again := make(map[string][]span)
		if err := source.walk(contents, c.store, false, missing, again); err != nil {
			return nil, fmt.Errorf("scan %q: %w", source.Name, err)
		}
		if len(again) == 0 {
			break
		}
		missing = again
	}
	if contents.Files[name] == nil {
		return nil, fmt.Errorf("scan %q: %q: %w", source.Name, "/"+e.Source, fs.ErrNotExist)
	}
	return contents.Files[name], nil
}

// read reads the first limit bytes of a file.
func (c *checker) read(e rootfs.LowerEntry, limit int64) ([]byte, error) {
	got, err := c.sources[e.Layer].read(map[string]bool{e.Source: true}, limit)
	return got[e.Source], err
}

// absolute resolves a path that a process names against the working directory. It drops the leading slash.
func (c *checker) absolute(name string) string {
	if !strings.HasPrefix(name, "/") {
		name = c.config.WorkingDir + "/" + strings.TrimPrefix(name, "./")
	}
	return strings.TrimLeft(name, "/")
}

// stat returns the entry at a path, after following all links.
func (c *checker) stat(name string) (rootfs.LowerEntry, error) {
	if s, ok := c.stats[name]; ok {
		return s.e, s.err
	}
	e, err := c.files.Stat(name)
	c.stats[name] = statResult{e, err}
	return e, err
}
