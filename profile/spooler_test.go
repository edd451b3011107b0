package profile

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
)

// spoolingStore is a store of objects that are slow to read.
type spoolingStore struct {
	Store
	spool func(context.Context, Path)
}

func (s spoolingStore) Spooler(p Path) func(context.Context) {
	return func(ctx context.Context) { s.spool(ctx, p) }
}

// TestChainSpooler checks that a chain spools what its first store with the object can spool.
func TestChainSpooler(t *testing.T) {
	a, b := fakeStore{"a": ""}, fakeStore{"a": "", "b": ""}
	var spooled []Path
	slow := spoolingStore{b, func(_ context.Context, p Path) { spooled = append(spooled, p) }}
	c := Chain(nil, a, slow)
	for _, name := range []string{"a", "b", "c"} {
		if spool := SpoolerOf(c, object(name)); spool != nil {
			spool(t.Context())
		}
	}
	if want := []Path{object("b")}; !slices.Equal(spooled, want) {
		t.Errorf("spooled %q; want %q", spooled, want)
	}
}

// TestPartsSpool checks that a part has a Spool if its store can spool it, and that it ends with either context.
func TestPartsSpool(t *testing.T) {
	store := fakeStore{"a": ""}
	c, err := FindClosure(t.Context(), store, object("a"))
	if err != nil {
		t.Fatal(err)
	}
	if c.Parts(t.Context())[0].Spool != nil {
		t.Error("a part of a store that cannot spool has a Spool")
	}
	for _, whole := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			slow := spoolingStore{store, func(ctx context.Context, _ Path) { <-ctx.Done() }}
			c, err := FindClosure(t.Context(), slow, object("a"))
			if err != nil {
				t.Fatal(err)
			}
			run, stopRun := context.WithCancel(t.Context())
			own, stopOwn := context.WithCancel(t.Context())
			defer stopRun()
			defer stopOwn()
			ended := make(chan bool)
			go func() {
				c.Parts(run)[0].Spool(own)
				close(ended)
			}()
			synctest.Wait()
			if whole {
				stopRun()
			} else {
				stopOwn()
			}
			<-ended
		})
	}
}
