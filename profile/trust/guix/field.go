package guix

import (
	"encoding/binary"
	"math/big"
	"math/bits"
	"slices"
)

// element is a number modulo prime, 2^255-19: four words, the lowest first. It may be any number below 2^256.
//
// A signature takes 4,000 multiplications. With math/big they would take some milliseconds, for each of many store paths.
type element [4]uint64

// fold is 2^256 modulo prime.
const fold = 38

// elementOf converts a number from 0 to 2^256-1.
func elementOf(n *big.Int) (e element) {
	b := n.FillBytes(make([]byte, 32))
	for i := range e {
		e[3-i] = binary.BigEndian.Uint64(b[8*i:])
	}
	return e
}

// number returns the number, from 0 to prime-1.
func (a element) number() *big.Int {
	var b []byte
	for _, word := range slices.Backward(a[:]) {
		b = binary.BigEndian.AppendUint64(b, word)
	}
	n := new(big.Int).SetBytes(b)
	return n.Mod(n, prime)
}

func (a element) add(b element) element {
	var carry uint64
	for i := range a {
		a[i], carry = bits.Add64(a[i], b[i], carry)
	}
	return a.addWord(carry * fold)
}

func (a element) sub(b element) element {
	var borrow uint64
	for i := range a {
		a[i], borrow = bits.Sub64(a[i], b[i], borrow)
	}
	for borrow > 0 { // at most twice
		a[0], borrow = bits.Sub64(a[0], fold, 0)
		for i := 1; i < len(a); i++ {
			a[i], borrow = bits.Sub64(a[i], 0, borrow)
		}
	}
	return a
}

// addWord adds a small number.
func (a element) addWord(n uint64) element {
	for n > 0 { // at most twice
		var carry uint64
		a[0], carry = bits.Add64(a[0], n, 0)
		for i := 1; i < len(a); i++ {
			a[i], carry = bits.Add64(a[i], 0, carry)
		}
		n = carry * fold
	}
	return a
}

func (a element) mul(b element) element {
	var product [8]uint64
	for i, word := range a {
		product[i+4] = addProduct(product[i:i+4], b[:], word)
	}
	var low element
	copy(low[:], product[:4])
	above := addProduct(low[:], product[4:], fold) // changes low, so it must come before low is copied
	return low.addWord(above * fold)
}

// addProduct adds b times n to sum, of as many words, and returns the word above.
func addProduct(sum, b []uint64, n uint64) (above uint64) {
	for i, word := range b {
		high, low := bits.Mul64(word, n)
		var carry uint64
		low, carry = bits.Add64(low, sum[i], 0)
		high += carry
		sum[i], carry = bits.Add64(low, above, 0)
		above = high + carry
	}
	return above
}
