package rootfs

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"strings"
	"sync"
)

// Limits of all listings together. A large profile and all that it links to have some 700,000 entries
// of a hundred bytes each. At these limits the listings take some 200 MiB,
// more than anything else in the making of an image.
const (
	maxListed      = 1 << 20  // files and directories
	maxListedBytes = 64 << 20 // bytes of their names and targets
	// maxPathBytes limits the bytes of all paths, which take time, not memory.
	// In real profiles a path has some hundred bytes; in the deepest directories, a quarter of a megabyte.
	maxPathBytes = 256 << 20
)

// listedSum counts what is in listings.
type listedSum struct {
	listed      int   // entries
	listedBytes int64 // of their names and targets
	pathBytes   int64 // of their paths
}

// errListed is wrapped in errors of listings that would exceed the limits.
var errListed = errors.New("all parts in view together have")

// count counts an entry, within the limits. Several goroutines may call it.
func (v *View) count(e Entry) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.listed++
	v.listedBytes += int64(len(e.Path) - len(Parent(e.Path)) + len(e.Target))
	v.pathBytes += int64(len(e.Path))
	switch {
	case v.pathBytes > maxPathBytes:
		return fmt.Errorf("%w paths of more than %d bytes", errListed, maxPathBytes)
	case v.listed > v.mostListed:
		return fmt.Errorf("%w more than %d files and directories", errListed, v.mostListed)
	case v.listedBytes > maxListedBytes:
		return fmt.Errorf("%w names and links of more than %d bytes", errListed, maxListedBytes)
	}
	return nil
}

// add adds the next entry of a part to its listing, within the limits.
func (v *View) add(l *EntryMap, e Entry) error {
	e.Open = nil
	if err := v.count(e); err != nil {
		return err
	}
	l.Set(e)
	return nil
}

// list returns the listing of a part: from a fact, or from a walk.
func (v *View) list(root string) (*EntryMap, error) {
	if err := v.failed[root]; err != nil {
		return nil, err
	}
	if l := v.known(root); l != nil {
		return l, nil
	}
	l, err := v.walk(root)
	if err != nil {
		v.failed[root] = err // walking again would take as long, and memory
		return nil, err
	}
	v.keep(root, l)
	return l, nil
}

// known returns the listing of a part if that needs no walk, or nil.
func (v *View) known(root string) *EntryMap {
	if l := v.listings[root]; l != nil {
		return l
	}
	fact := v.facts.Load("listing", v.part(root).Key)
	if fact == nil {
		return nil
	}
	before := v.listedSum
	l, err := v.decodeListing(root, fact)
	if err != nil {
		v.listedSum = before
		return nil
	}
	v.listings[root] = l
	return l
}

// walk lists a part. Several goroutines may call it.
func (v *View) walk(root string) (*EntryMap, error) {
	part := v.part(root)
	l := NewEntryMap(root)
	for e, err := range Check(root, part.Tree) {
		if err == nil && part.Unproven && e.IsRegular() {
			err = readThrough(e) // callers trust the listing, so the key must be proven
		}
		if err == nil {
			err = v.add(l, e)
		}
		if err != nil {
			return nil, err
		}
	}
	return l, nil
}

// keep keeps a listing, also for the next run.
func (v *View) keep(root string, l *EntryMap) {
	key := v.part(root).Key
	if v.facts.path("listing", key) != "" {
		if fact := encodeListing(l); fact != nil {
			v.facts.Keep("listing", key, fact)
		}
	}
	v.listings[root] = l
}

// maxWalks limits how many parts ListAhead walks at a time: each may decompress with a window of 128 MiB.
const maxWalks = 4

// ListAhead lists the parts to which the links at or below some paths lead, several parts at a time:
// a NAR that has to be decompressed for its names keeps one processor busy.
// It returns no error: a later call that needs a part that cannot be listed returns it.
func (v *View) ListAhead(paths ...string) {
	linked := make(map[string]bool)
	for _, path := range paths {
		v.addLinked(linked, path)
	}
	var roots []string
	for _, root := range slices.Sorted(maps.Keys(linked)) {
		if v.failed[root] == nil && v.known(root) == nil {
			roots = append(roots, root)
		}
	}
	if len(roots) < 2 {
		return
	}
	slices.SortStableFunc(roots, func(a, b string) int { return cmp.Compare(v.part(b).Size, v.part(a).Size) })
	listings, errs := make([]*EntryMap, len(roots)), make([]error, len(roots))
	next := make(chan int)
	var workers sync.WaitGroup
	for range min(runtime.GOMAXPROCS(0), maxWalks, len(roots)) {
		workers.Go(func() {
			for i := range next {
				listings[i], errs[i] = v.walk(roots[i])
			}
		})
	}
	before := v.listedSum
	for i := range roots {
		next <- i
	}
	close(next)
	workers.Wait()
	if slices.ContainsFunc(errs, func(err error) bool { return errors.Is(err, errListed) }) {
		v.listedSum = before // list them one by one: which of them exceeds the limits must not depend on chance
		return
	}
	for i, root := range roots {
		if v.failed[root] = errs[i]; errs[i] == nil {
			v.keep(root, listings[i])
		}
	}
}

// addLinked adds the roots of the parts to which the links at or below a path lead.
func (v *View) addLinked(roots map[string]bool, path string) {
	e, err := v.Stat(path)
	if err != nil {
		return
	}
	at, _ := v.rootOf(e.Path)
	l, err := v.list(at)
	if err != nil {
		return
	}
	for link := range l.All() {
		target, absolute := strings.CutPrefix(link.Target, "/")
		if !absolute || !Within(e.Path, link.Path) {
			continue
		}
		if root, ok := v.rootOf(target); ok {
			roots[root] = true
		}
	}
}
