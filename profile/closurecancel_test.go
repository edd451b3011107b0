package profile

import (
	"context"
	"testing"
)

// cancelling is a graph that cancels the search just before its last answer.
type cancelling struct {
	graph
	cancel context.CancelFunc
}

func (c cancelling) Info(ctx context.Context, p Path) (*Info, error) {
	c.cancel()
	return c.graph.Info(ctx, p)
}

// TestFindClosureCancelledAtEnd cancels a search while it ends, for the race detector.
func TestFindClosureCancelledAtEnd(t *testing.T) {
	for range 100 {
		ctx, cancel := context.WithCancel(t.Context())
		c, err := FindClosure(ctx, cancelling{graph{"p": ""}, cancel}, object("p"))
		if err == nil && len(c.Infos) != 1 {
			t.Errorf("FindClosure = %v, <nil>; want one object, or an error", c.Infos)
		}
	}
}
