package profile

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"sync"

	"github.com/export-profile/export-profile/rootfs"
)

// Closure is a set of store objects with everything that they refer to, and with all of theirs.
type Closure struct {
	Roots []Path  // as they were asked for
	Infos []*Info // sorted by path, each once

	store Store
}

// askedAtOnce is how many objects a store is asked for at the same time:
// enough to hide the latency of one on a network.
const askedAtOnce = 32

// maxUntrusted is how many untrusted objects are asked what they refer to.
// They are only followed to name all that is not trusted at once, and who made them up may have no end.
const maxUntrusted = 10_000

// maxSize is how many bytes a closure may have: an exbibyte, so that sums of sizes are far from their ends.
const maxSize = 1 << 60

// FindClosure follows references from the roots; no file is read.
// A deriver is not a reference.
// Cycles and self-references are as good as any other.
// All objects that are missing, and all that are not trusted, are reported at once, in a [ClosureError].
func FindClosure(ctx context.Context, s Store, roots ...Path) (*Closure, error) {
	f := finder{seen: make(map[Path]bool)}
	f.wake.L = &f.mu
	f.add(roots)
	stop := context.AfterFunc(ctx, func() { f.fail(context.Cause(ctx)) })
	defer stop()
	var workers sync.WaitGroup
	for range askedAtOnce {
		workers.Go(func() {
			for p, ok := f.next(); ok; p, ok = f.next() {
				info, err := s.Info(ctx, p)
				f.found(p, info, err)
			}
		})
	}
	workers.Wait()
	err := f.failed()
	if err == nil {
		err = context.Cause(ctx) // which may not have been told yet
	}
	if err != nil {
		return nil, fmt.Errorf("find closure: %w", err)
	}
	slices.SortFunc(f.infos, func(a, b *Info) int { return cmp.Compare(a.Path, b.Path) })
	if f.missing != nil || f.untrusted != nil {
		return nil, newClosureError(f.infos, f.missing, f.untrusted)
	}
	if err := checkSizes(f.infos); err != nil {
		return nil, fmt.Errorf("find closure: %w", err)
	}
	return &Closure{Roots: roots, Infos: f.infos, store: s}, nil
}

// checkSizes refuses sizes without a sum.
func checkSizes(infos []*Info) error {
	var sum int64
	for _, info := range infos {
		if info.NarSize < 0 || info.NarSize > maxSize-sum {
			return fmt.Errorf("store path %q: NAR size %d: want one of at least 0, and at most %d of all together", info.Path, info.NarSize, int64(maxSize))
		}
		sum += info.NarSize
	}
	return nil
}

// finder is a search that several workers share.
type finder struct {
	mu    sync.Mutex
	wake  sync.Cond
	queue []Path
	asked int // how many answers are due
	seen  map[Path]bool

	infos     []*Info
	missing   []Path
	untrusted []error
	err       error // ends the search
}

// add queues the paths that were not seen yet.
func (f *finder) add(paths []Path) {
	for _, p := range paths {
		if !f.seen[p] {
			f.seen[p] = true
			f.queue = append(f.queue, p)
		}
	}
}

// next is a path to ask for. It waits until there is one, or the search is over.
func (f *finder) next() (Path, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for len(f.queue) == 0 && f.asked > 0 && f.err == nil {
		f.wake.Wait()
	}
	if len(f.queue) == 0 || f.err != nil {
		f.wake.Broadcast()
		return "", false
	}
	p := f.queue[0]
	f.queue = f.queue[1:]
	f.asked++
	return p, true
}

// found takes an answer.
func (f *finder) found(p Path, info *Info, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked--
	switch {
	case err == nil:
		f.infos = append(f.infos, info)
		f.add(info.References)
	case errors.Is(err, ErrUntrusted):
		f.untrusted = append(f.untrusted, err)
		if info != nil && len(f.untrusted) <= maxUntrusted {
			f.add(info.References)
		}
	case errors.Is(err, fs.ErrNotExist):
		f.missing = append(f.missing, p)
	case f.err == nil:
		f.err = err
	}
	f.wake.Broadcast()
}

// failed is why the search has ended, or nil. A context that is done may still say so when the last answer is there.
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

// Size is the sum of the NAR sizes, in bytes.
func (c *Closure) Size() int64 {
	var sum int64
	for _, info := range c.Infos {
		sum += info.NarSize
	}
	return sum
}

// Parts are the objects of the closure as parts of a root file system, sorted by path.
// Their trees are read from the store when they are walked, as long as it is open and ctx is not done.
func (c *Closure) Parts(ctx context.Context) []rootfs.Part {
	parts := make([]rootfs.Part, 0, len(c.Infos))
	for _, info := range c.Infos {
		part := rootfs.Part{
			Name: info.Path.Base(),
			Root: info.Path.Root(),
			Size: info.NarSize,
			Tree: c.store.Files(ctx, info.Path),
		}
		if info.NarHash.Known() {
			part.Key = "sha256:" + info.NarHash.Hex()
		}
		prover, ok := c.store.(Prover)
		part.Unproven = !ok || !prover.Proven(info.Path)
		for _, ref := range info.References {
			if ref != info.Path {
				part.Refs = append(part.Refs, ref.Root())
			}
		}
		slices.Sort(part.Refs)
		parts = append(parts, part)
	}
	return parts
}
