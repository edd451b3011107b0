package codec

import (
	"math"
	"testing"
)

func TestReader(t *testing.T) {
	b := AppendNumber(nil, math.MaxUint64)
	b = AppendString(b, "text\x00\xff")
	b = AppendString(b, "")
	b = AppendNumber(b, 0)
	for cut := range len(b) + 1 {
		r := NewReader(b[:cut])
		n, s, empty, zero := r.Number(), r.String(), r.String(), r.Number()
		if (r.Err() == nil) != (cut == len(b)) {
			t.Errorf("%d bytes of %d: %v", cut, len(b), r.Err())
		}
		if cut == len(b) && (n != math.MaxUint64 || s != "text\x00\xff" || empty != "" || zero != 0 || r.More()) {
			t.Errorf("read %d, %q, %q, %d; more: %v", n, s, empty, zero, r.More())
		}
		if _ = r.String(); r.Err() == nil {
			t.Errorf("%d bytes of %d: nothing is left to read, and no error", cut, len(b))
		}
	}
	if r := NewReader(AppendNumber(nil, 1<<40)); r.String() != "" || r.Err() == nil {
		t.Error("a string longer than the input is no error")
	}
}
