package profile

import (
	"context"
	"math"
	"strings"
	"testing"
)

// sized is a graph of objects of the same size.
type sized struct {
	graph
	size int64
}

func (s sized) Info(ctx context.Context, p Path) (*Info, error) {
	info, err := s.graph.Info(ctx, p)
	if err == nil {
		info.NarSize = s.size
	}
	return info, err
}

// TestFindClosureSize checks that the sum of the sizes of a closure never overflows.
func TestFindClosureSize(t *testing.T) {
	for _, test := range []struct {
		size int64
		ok   bool
	}{
		{0, true}, {1 << 50, true}, {maxSize / 3, true}, {maxSize/3 + 1, false},
		{1 << 62, false}, {math.MaxInt64, false}, {-1, false}, {math.MinInt64, false},
	} {
		c, err := FindClosure(t.Context(), sized{graph{"p": "a b", "a": "", "b": ""}, test.size}, object("p"))
		switch {
		case test.ok && (err != nil || c.Size() != 3*test.size):
			t.Errorf("FindClosure of three objects of %d bytes = %v, %v; want <nil>", test.size, c, err)
		case !test.ok && (err == nil || !strings.HasPrefix(err.Error(), "find closure: ")):
			t.Errorf("FindClosure of three objects of %d bytes = %v, %v; want an error", test.size, c, err)
		}
	}
}
