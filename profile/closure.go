package profile

import (
	"cmp"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"sync"

	"github.com/export-profile/export-profile/rootfs"
)

// Closure is a set of store objects that holds every object that one of them refers to.
type Closure struct {
	Roots []Path  // in the order given to FindClosure
	Infos []*Info // sorted by path, each once

	StoreDir StoreDir // of all objects

	store Store
}

// parallelInfos limits concurrent calls of Store.Info. It hides the latency of a store on a network.
const parallelInfos = 32

// maxShare limits the paths that a worker asks about at a time, so that an error soon ends the search.
const maxShare = 16

// maxRefused limits the objects that are untrusted or have no files and whose references FindClosure follows.
// It follows them only to report everything at once, and a hostile store may invent objects without end.
const maxRefused = 10_000

// maxSize limits the bytes of a closure to an exbibyte, so that sums of sizes cannot overflow.
const maxSize = 1 << 60

// FindClosure follows references from the roots. It reads no files.
// It allows cycles and self-references, and does not follow derivers.
// If objects are missing, have no files or are untrusted, it reports all of them in one [ClosureError].
func FindClosure(ctx context.Context, s Store, roots ...Path) (*Closure, error) {
	f := finder{dir: s.StoreDir(), seen: make(map[Path]bool)}
	f.wake.L = &f.mu
	f.add(roots)
	stop := context.AfterFunc(ctx, func() { f.fail(context.Cause(ctx)) })
	defer stop()
	var workers sync.WaitGroup
	for range parallelInfos {
		workers.Go(func() {
			for paths := f.next(); paths != nil; paths = f.next() {
				answers := make([]infoAnswer, len(paths))
				for i, p := range paths {
					info, err := s.Info(ctx, p)
					answers[i] = infoAnswer{p, info, err}
				}
				f.found(answers)
			}
		})
	}
	workers.Wait()
	err := f.failed()
	if err == nil {
		err = context.Cause(ctx) // AfterFunc may not have run yet
	}
	if err != nil {
		return nil, fmt.Errorf("find closure: %w", err)
	}
	slices.SortFunc(f.infos, func(a, b *Info) int { return cmp.Compare(a.Path, b.Path) })
	if f.missing != nil || f.lost != nil || f.unlisted != nil || f.untrusted != nil {
		return nil, newClosureError(&f)
	}
	if err := checkSizes(f.infos); err != nil {
		return nil, fmt.Errorf("find closure: %w", err)
	}
	return &Closure{Roots: roots, Infos: f.infos, StoreDir: s.StoreDir(), store: s}, nil
}

// checkSizes refuses negative sizes, and a sum above maxSize.
func checkSizes(infos []*Info) error {
	var sum int64
	for _, info := range infos {
		if info.NarSize < 0 || info.NarSize > maxSize-sum {
			return fmt.Errorf("store path %q: NAR size %d: want 0 or more, and at most %d in the whole closure", info.Path, info.NarSize, int64(maxSize))
		}
		sum += info.NarSize
	}
	return nil
}

// finder holds the state of a search that several workers share.
type finder struct {
	dir StoreDir

	mu    sync.Mutex
	wake  sync.Cond
	queue []Path
	due   int           // shares of the queue that workers ask about
	seen  map[Path]bool // whether the path is in dir

	infos     []*Info
	missing   []Path
	lost      []Path  // registered, but without files
	unlisted  []Path  // not in the file of references
	known     []*Info // of missing and lost objects
	untrusted []error
	err       error // the first other error, which ends the search
}

// add queues the paths that are new. It returns an error if one of the paths, new or not, is in another store directory.
func (f *finder) add(paths []Path) (err error) {
	for _, p := range paths {
		inside, known := f.seen[p]
		if !known {
			inside = p.CheckIn(f.dir) == nil
			f.seen[p] = inside
			f.queue = append(f.queue, p)
		}
		if !inside && err == nil {
			err = p.CheckIn(f.dir)
		}
	}
	return err
}

// infoAnswer is what a store knows of a path.
type infoAnswer struct {
	path Path
	info *Info
	err  error
}

// next takes a worker's share of the queue. It waits for one, and returns nil once the search is over.
// A share is one path unless many are queued: a local store answers faster than workers take turns.
func (f *finder) next() []Path {
	f.mu.Lock()
	defer f.mu.Unlock()
	for len(f.queue) == 0 && f.due > 0 && f.err == nil {
		f.wake.Wait()
	}
	if len(f.queue) == 0 || f.err != nil {
		f.wake.Broadcast()
		return nil
	}
	share := min(max(1, len(f.queue)/parallelInfos), maxShare)
	paths := f.queue[:share:share]
	f.queue = f.queue[share:]
	f.due++
	return paths
}

// found records answers of a store.
func (f *finder) found(answers []infoAnswer) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.due--
	for _, a := range answers {
		f.record(a.path, a.info, a.err)
	}
	f.wake.Broadcast()
}

// record adds one answer to the findings.
func (f *finder) record(p Path, info *Info, err error) {
	switch {
	case err == nil:
		f.infos = append(f.infos, info)
		if err := f.add(info.References); err != nil && f.err == nil {
			f.err = fmt.Errorf("references of %q: %w", info.Path, err)
		}
		if err := info.Path.CheckIn(f.dir); err != nil && f.err == nil {
			f.err = err
		}
	case errors.Is(err, ErrUntrusted):
		f.untrusted = append(f.untrusted, err)
		if info != nil && len(f.untrusted) <= maxRefused {
			f.add(info.References)
		}
	case errors.Is(err, fs.ErrNotExist):
		switch {
		case errors.Is(err, ErrNoFiles):
			f.lost = append(f.lost, p)
		case errors.Is(err, ErrUnlisted):
			f.unlisted = append(f.unlisted, p)
		default:
			f.missing = append(f.missing, p)
		}
		if info != nil && len(f.known) < maxRefused {
			f.known = append(f.known, info)
			f.add(info.References)
		}
	case f.err == nil:
		f.err = err
	}
}

// failed returns the error that ended the search. It locks, because AfterFunc may still call fail.
func (f *finder) failed() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.err
}

func (f *finder) fail(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err == nil {
		f.err = err
	}
	f.wake.Broadcast()
}

// Size returns the sum of the NAR sizes, in bytes.
func (c *Closure) Size() int64 {
	var sum int64
	for _, info := range c.Infos {
		sum += info.NarSize
	}
	return sum
}

// Profiles returns the roots as paths in a root file system, for the options of base files.
func (c *Closure) Profiles() []string {
	profiles := make([]string, len(c.Roots))
	for i, root := range c.Roots {
		profiles[i] = root.Root()
	}
	return profiles
}

// Parts returns the objects of the closure as parts of a root file system, sorted by path.
// Walking a part's tree reads the store, which must still be open, and fails once ctx is done.
func (c *Closure) Parts(ctx context.Context) []rootfs.Part {
	parts := make([]rootfs.Part, 0, len(c.Infos))
	count := 0
	for _, info := range c.Infos {
		count += len(info.References)
	}
	refs := make([]string, 0, count) // of all parts
	for _, info := range c.Infos {
		part := rootfs.Part{
			Name: info.Path.Base(),
			Root: info.Path.Root(),
			Size: info.NarSize,
			Tree: c.store.Files(ctx, info.Path),

			Spool: endsWith(ctx, SpoolerOf(c.store, info.Path)),
		}
		if info.NarHash.Known() {
			part.Key = partKey(info.NarHash)
		}
		prover, ok := c.store.(Prover)
		part.Unproven = !ok || !prover.Proven(info.Path)
		first := len(refs)
		for _, ref := range info.References {
			if ref != info.Path {
				refs = append(refs, ref.Root())
			}
		}
		if len(refs) > first {
			part.Refs = refs[first:len(refs):len(refs)]
		}
		if !slices.IsSorted(part.Refs) { // a store has sorted them
			slices.Sort(part.Refs)
		}
		parts = append(parts, part)
	}
	return parts
}

// partKey returns the key of a part with a NAR hash.
func partKey(h Hash) string {
	const algorithm = "sha256:"
	var key [len(algorithm) + 2*len(h)]byte
	copy(key[:], algorithm)
	hex.Encode(key[len(algorithm):], h[:])
	return string(key[:])
}

// endsWith returns a function whose context also ends with ctx. The function may be nil.
func endsWith(ctx context.Context, spool func(context.Context)) func(context.Context) {
	if spool == nil {
		return nil
	}
	return func(own context.Context) {
		own, cancel := context.WithCancel(own)
		defer cancel()
		defer context.AfterFunc(ctx, cancel)()
		spool(own)
	}
}
