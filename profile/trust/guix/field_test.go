package guix

import (
	"math/big"
	"math/rand/v2"
	"testing"
)

// TestElement compares with math/big, also for the largest and smallest words.
func TestElement(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	word := func() uint64 {
		switch r.IntN(6) {
		case 0:
			return 0
		case 1:
			return ^uint64(0)
		case 2:
			return ^uint64(0) - r.Uint64N(60)
		case 3:
			return r.Uint64N(60)
		}
		return r.Uint64()
	}
	for range 100_000 {
		var a, b element
		for i := range a {
			a[i], b[i] = word(), word()
		}
		x, y := a.number(), b.number()
		mod := func(n *big.Int) *big.Int { return n.Mod(n, prime) }
		for name, test := range map[string]struct {
			got  element
			want *big.Int
		}{
			"add": {a.add(b), mod(new(big.Int).Add(x, y))},
			"sub": {a.sub(b), mod(new(big.Int).Sub(x, y))},
			"mul": {a.mul(b), mod(new(big.Int).Mul(x, y))},
			"of":  {elementOf(x), x},
		} {
			if test.got.number().Cmp(test.want) != 0 {
				t.Fatalf("%s of %x and %x = %x; want %x", name, a, b, test.got, test.want)
			}
		}
	}
}
