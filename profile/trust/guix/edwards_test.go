package guix

import (
	"crypto/ed25519"
	"crypto/sha512"
	"encoding/hex"
	"math/big"
	"slices"
	"strings"
	"testing"
)

// TestVerifyECDSA checks signatures of libgcrypt 1.10.1: testdata/ecdsa.txt has a key, a hash, r and s a line.
// Most have numbers that are shorter than usual.
func TestVerifyECDSA(t *testing.T) {
	short := 0
	for line := range strings.Lines(read(t, "ecdsa.txt")) {
		var b [4][]byte
		for i, word := range strings.Fields(line) {
			var err error
			if b[i], err = hex.DecodeString(word); err != nil {
				t.Fatal(err)
			}
		}
		if len(b[2]) < 32 || len(b[3]) < 32 {
			short++
		}
		q := decodePoint(b[0])
		if q == nil || q.isSmall() {
			t.Fatalf("key %x = %v; want a point of a large order", b[0], q)
		}
		r, s := new(big.Int).SetBytes(b[2]), new(big.Int).SetBytes(b[3])
		if !verifyECDSA(q, [32]byte(b[1]), r, s) {
			t.Errorf("the signature %s does not verify", line)
		}
		bit := func(i int) [32]byte {
			h := [32]byte(b[1])
			h[i/8] ^= 0x80 >> (i % 8)
			return h
		}
		one := big.NewInt(1)
		for name, wrong := range map[string]bool{
			"the first bit of the hash": verifyECDSA(q, bit(0), r, s),
			"a bit of the hash":         verifyECDSA(q, bit(252), r, s),
			"r":                         verifyECDSA(q, [32]byte(b[1]), new(big.Int).Add(r, one), s),
			"s":                         verifyECDSA(q, [32]byte(b[1]), r, new(big.Int).Add(s, one)),
			"r by the order":            verifyECDSA(q, [32]byte(b[1]), new(big.Int).Add(r, order), s),
			"s by the order":            verifyECDSA(q, [32]byte(b[1]), r, new(big.Int).Add(s, order)),
			"r to 0":                    verifyECDSA(q, [32]byte(b[1]), new(big.Int), s),
			"s to 0":                    verifyECDSA(q, [32]byte(b[1]), r, new(big.Int)),
			"s to its negative":         verifyECDSA(q, [32]byte(b[1]), r, new(big.Int).Neg(s)),
			"the key":                   verifyECDSA(base, [32]byte(b[1]), r, s),
		} {
			if wrong {
				t.Errorf("the signature %s verifies with %s changed", line, name)
			}
		}
	}
	if short < 40 {
		t.Errorf("%d signatures have short numbers; want at least 40", short)
	}
}

// TestPoints compares multiples of the base point with crypto/ed25519, whose public keys are such.
func TestPoints(t *testing.T) {
	for i := range byte(20) {
		private := ed25519.NewKeyFromSeed(slices.Repeat([]byte{i}, 32))
		sum := sha512.Sum512(private.Seed())
		sum[0] &^= 7
		sum[31] = sum[31]&0x3f | 0x40
		slices.Reverse(sum[:32])
		n := new(big.Int).SetBytes(sum[:32])
		want := decodePoint(private.Public().(ed25519.PublicKey))
		if got := combine(n, base, new(big.Int), base); got.affineX().Cmp(want.affineX()) != 0 {
			t.Errorf("%d times the base has the x %d; want %d", n, got.affineX(), want.affineX())
		}
		m := big.NewInt(1234567)
		if got := combine(new(big.Int).Sub(n, m), base, m, base); got.affineX().Cmp(want.affineX()) != 0 {
			t.Errorf("%d times the base in two parts has the x %d; want %d", n, got.affineX(), want.affineX())
		}
	}
	if p := combine(order, base, new(big.Int), base); !p.isNeutral() {
		t.Error("the order times the base is not the neutral point")
	}
}

// TestDecodePoint checks bytes that are no usable point.
func TestDecodePoint(t *testing.T) {
	encode := func(y *big.Int, parity byte) []byte {
		b := y.FillBytes(make([]byte, 32))
		b[0] |= parity << 7
		slices.Reverse(b)
		return b
	}
	add := func(n int64) *big.Int { return new(big.Int).Add(prime, big.NewInt(n)) }
	for name, b := range map[string][]byte{
		"31 bytes":     make([]byte, 31),
		"y of prime":   encode(add(0), 0),
		"y of prime+1": encode(add(1), 0),
		"x of -0":      encode(big.NewInt(1), 1),
		"not a point":  encode(big.NewInt(2), 0),
	} {
		if p := decodePoint(b); p != nil {
			t.Errorf("decodePoint of %s = %v; want nil", name, p)
		}
	}
	small := 0
	for _, text := range []string{ // all points of small order in their only encoding
		"0100000000000000000000000000000000000000000000000000000000000000",
		"ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
		"0000000000000000000000000000000000000000000000000000000000000000",
		"0000000000000000000000000000000000000000000000000000000000000080",
		"26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
		"26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
		"c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
		"c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
	} {
		b, _ := hex.DecodeString(text)
		p := decodePoint(b)
		if p == nil || !p.isSmall() {
			t.Errorf("the point %s = %v; want one of small order", text, p)
			continue
		}
		small++
		if k, err := ParseKeys("(public-key (ecc (curve Ed25519) (q #" + text + "#)))"); err == nil {
			t.Errorf("ParseKeys accepts the point %s of small order: %v", text, k)
		}
	}
	if small != 8 || base.isSmall() {
		t.Errorf("%d points of 8 are small, and the base is: %v", small, base.isSmall())
	}
}

func BenchmarkVerified(b *testing.B) {
	for _, name := range []string{"ed25519", "rsa"} {
		b.Run(name, func(b *testing.B) {
			s, err := ParseSignature(read(b, name+".sig"))
			if err != nil {
				b.Fatal(err)
			}
			for b.Loop() {
				if !s.Verified() {
					b.Fatal("it does not verify")
				}
			}
		})
	}
}
