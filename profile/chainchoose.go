package profile

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/export-profile/export-profile/rootfs"
)

// chained is what a chain remembers of an object.
type chained struct {
	turn   chan struct{} // a lock for chosen, of capacity 1
	chosen Store         // the store whose files are right, or nil if none was looked for yet

	// chain.mu guards the following fields.
	first *answer      // of the first store that has the object, once it is known
	told  map[int]bool // stores for which another one steps in
}

// choose returns the first store that has the files of an object. One caller looks for it while others wait.
func (c *chain) choose(ctx context.Context, p Path) (Store, error) {
	o := c.object(p)
	select {
	case o.turn <- struct{}{}:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	defer func() { <-o.turn }()
	if o.chosen == nil {
		s, err := c.search(ctx, p)
		if err != nil {
			return nil, err
		}
		o.chosen = s
	}
	return o.chosen, nil
}

// search looks for the first store whose files pass a check.
// The first store that has the object is not checked if no other one could step in.
func (c *chain) search(ctx context.Context, p Path) (Store, error) {
	first, want, err := c.find(ctx, p)
	if err != nil && !errors.Is(err, ErrNoInfo) {
		return nil, err
	}
	var failed []error
	for i := first; ; {
		s := c.stores[i]
		if i == first && !c.mayStepIn(ctx, p, i+1) {
			return s, nil
		}
		err := check(ctx, s, p)
		if err == nil {
			return s, nil
		}
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		if errors.Is(err, ErrSpool) {
			return nil, err
		}
		failed = append(failed, err)
		next, others := c.next(ctx, p, i+1, want)
		failed = append(failed, others...)
		if next < 0 {
			return nil, fmt.Errorf("%w; no other source can step in", severalErrors(failed))
		}
		c.skip(p, i, err)
		i = next
	}
}

// mayStepIn reports whether a store from index i on may have an object. It asks only stores that can list theirs.
func (c *chain) mayStepIn(ctx context.Context, p Path, i int) bool {
	for _, s := range c.stores[i:] {
		if _, ok := s.(Lister); !ok {
			return true
		}
		if _, err := s.Info(ctx, p); !errors.Is(err, fs.ErrNotExist) {
			return true
		}
	}
	return false
}

// next returns the first index from i on of a store that has the wanted object, or -1.
// It also returns why other stores that know the object cannot step in.
func (c *chain) next(ctx context.Context, p Path, i int, want *Info) (int, []error) {
	var failed []error
	for ; i < len(c.stores); i++ {
		info, err := c.stores[i].Info(ctx, p)
		switch {
		case err != nil && info == nil && errors.Is(err, fs.ErrNotExist):
		case err != nil:
			failed = append(failed, err)
		case want != nil && (info.NarHash != want.NarHash || info.NarSize != want.NarSize):
			failed = append(failed, fmt.Errorf("another source has it with the NAR hash %v, not %v: it is another build", info.NarHash, want.NarHash))
		default:
			return i, failed
		}
	}
	return -1, failed
}

// check reads an object so that its store checks it.
// The first walk opens no file: the store of a server then keeps the NAR, and need not fetch it again.
func check(ctx context.Context, s Store, p Path) error {
	for _, err := range s.Files(ctx, p) {
		if err != nil {
			return err
		}
	}
	if proven(s, p) {
		return nil
	}
	for e, err := range s.Files(ctx, p) {
		if err == nil && e.IsRegular() {
			err = readThrough(e)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func readThrough(e rootfs.Entry) error {
	r, err := e.Open()
	if err != nil {
		return err
	}
	return errors.Join(rootfs.Drain(r), r.Close())
}

// severalErrors holds the errors of several stores about one object.
type severalErrors []error

func (e severalErrors) Error() string {
	texts := make([]string, len(e))
	for i, err := range e {
		texts[i] = err.Error()
	}
	return strings.Join(texts, "; ")
}

func (e severalErrors) Unwrap() []error { return e }
