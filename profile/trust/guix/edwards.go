package guix

import "math/big"

// The curve Ed25519 of RFC 8032: -x² + y² = 1 + dx²y² modulo prime. Base generates a group of order points.
var (
	prime  = new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), 255), big.NewInt(19))
	order  = fromDecimal("7237005577332262213973186563042994240857116359379907606001950938285454250989")
	curveD = fromDecimal("37095705934669439343138083508754565189542113879843219016388785533085940283555")
	twiceD = elementOf(curveD).add(elementOf(curveD))
	base   = func() *point {
		y := new(big.Int).ModInverse(big.NewInt(5), prime)
		y.Mod(y.Lsh(y, 2), prime)
		return onCurve(y, 0)
	}()
)

func fromDecimal(s string) *big.Int {
	n, _ := new(big.Int).SetString(s, 10)
	return n
}

// point is a point of the curve in extended coordinates: x = X/Z, y = Y/Z, and T = XY/Z.
type point struct{ x, y, z, t element }

// decodePoint decodes a point as in RFC 8032: 32 bytes, the first one is the lowest, with the parity of x in the highest bit.
// It returns nil if there is no such point.
func decodePoint(b []byte) *point {
	if len(b) != 32 {
		return nil
	}
	var reversed [32]byte
	for i, c := range b {
		reversed[31-i] = c
	}
	y := new(big.Int).SetBytes(reversed[:])
	parity := y.Bit(255)
	y.SetBit(y, 255, 0)
	if y.Cmp(prime) >= 0 {
		return nil
	}
	return onCurve(y, parity)
}

// onCurve returns the point with a y below prime and an x of a parity, or nil.
func onCurve(y *big.Int, parity uint) *point {
	yy := new(big.Int).Mul(y, y)
	above := new(big.Int).Sub(yy, big.NewInt(1))
	below := new(big.Int).Mul(curveD, yy)
	below.Mod(below.Add(below, big.NewInt(1)), prime) // never 0: -1/d is no square
	xx := above.Mul(above, below.ModInverse(below, prime))
	xx.Mod(xx, prime)
	x := new(big.Int).ModSqrt(xx, prime)
	switch {
	case x == nil, x.Sign() == 0 && parity == 1:
		return nil
	case x.Bit(0) != parity:
		x.Sub(prime, x)
	}
	ex, ey := elementOf(x), elementOf(y)
	return &point{ex, ey, one, ex.mul(ey)}
}

var one = element{1}

func neutral() *point { return &point{y: one, z: one} }

// add returns p + q. The formula has no exceptions on this curve (Hisil, Wong, Carter and Dawson 2008, 3.1).
func (p *point) add(q *point) *point {
	a := p.y.sub(p.x).mul(q.y.sub(q.x))
	b := p.y.add(p.x).mul(q.y.add(q.x))
	c := p.t.mul(twiceD).mul(q.t)
	d := p.z.mul(q.z)
	d = d.add(d)
	e, f, g, h := b.sub(a), d.sub(c), d.add(c), b.add(a)
	return &point{e.mul(f), g.mul(h), f.mul(g), e.mul(h)}
}

// combine returns m·p + n·q. Its time depends on them, and all of them are public.
func combine(m *big.Int, p *point, n *big.Int, q *point) *point {
	sums := [4]*point{1: p, 2: q, 3: p.add(q)}
	r := neutral()
	for i := max(m.BitLen(), n.BitLen()) - 1; i >= 0; i-- {
		r = r.add(r)
		if s := sums[m.Bit(i)|n.Bit(i)<<1]; s != nil {
			r = r.add(s)
		}
	}
	return r
}

// affineX returns x, from 0 to prime-1.
func (p *point) affineX() *big.Int {
	x := new(big.Int).ModInverse(p.z.number(), prime)
	x.Mul(x, p.x.number())
	return x.Mod(x, prime)
}

// isNeutral reports whether the point is the neutral one.
func (p *point) isNeutral() bool {
	return p.x.number().Sign() == 0 && p.y.number().Cmp(p.z.number()) == 0
}

// isSmall reports whether 8 times the point is the neutral one. As a public key, such a point takes signatures of anyone.
func (p *point) isSmall() bool {
	for range 3 {
		p = p.add(p)
	}
	return p.isNeutral()
}

// verifyECDSA reports whether r and s are the signature of a SHA-256 by the key q: ECDSA, but with this curve.
// Like libgcrypt, it takes as many bits of the hash as the group's order has, and the x of the Edwards form.
func verifyECDSA(q *point, hash [32]byte, r, s *big.Int) bool {
	for _, n := range []*big.Int{r, s} {
		if n.Sign() <= 0 || n.Cmp(order) >= 0 {
			return false
		}
	}
	e := new(big.Int).SetBytes(hash[:])
	e.Rsh(e, uint(8*len(hash)-order.BitLen()))
	w := new(big.Int).ModInverse(s, order)
	m, n := e.Mul(e, w), w.Mul(w, r)
	x := combine(m.Mod(m, order), base, n.Mod(n, order), q).affineX()
	return x.Mod(x, order).Cmp(r) == 0
}
