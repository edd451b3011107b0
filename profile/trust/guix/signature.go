package guix

import (
	"crypto"
	"crypto/rsa"
	"errors"
	"fmt"
	"math/big"
	"slices"
)

// MaxSignature limits a signature, in bytes. With the largest RSA key it has half as many.
const MaxSignature = 16 << 10

// Signature is a signature that Guix made of a SHA-256.
type Signature struct {
	hash        [32]byte
	signer      *PublicKey // nil if it is not supported
	unsupported error

	r, s  *big.Int // of a key on the curve
	value []byte   // of an RSA key
}

// ParseSignature parses a signature:
//
//	(signature (data (flags rfc6979) (hash sha256 #…#)) (sig-val (ecdsa (r #…#) (s #…#))) (public-key (ecc …)))
//	(signature (data (flags pkcs1) (hash sha256 #…#)) (sig-val (rsa (s #…#))) (public-key (rsa …)))
//
// Guix searches the three lists at any depth. ParseSignature wants them where Guix writes them, each once and nothing else.
func ParseSignature(text string) (*Signature, error) {
	if len(text) > MaxSignature {
		return nil, fmt.Errorf("more than %d bytes", MaxSignature)
	}
	all, err := parseExpressions(text)
	if err != nil {
		return nil, err
	}
	if len(all) != 1 {
		return nil, fmt.Errorf("%d s-expressions in place of one", len(all))
	}
	parts, err := all[0].parts("signature", "data", "sig-val", "public-key")
	if err != nil {
		return nil, err
	}
	s := &Signature{}
	var unsupported *UnsupportedError
	s.signer, err = parseKey(parts[2])
	if errors.As(err, &unsupported) {
		s.unsupported, err = err, nil
	}
	if err == nil {
		err = s.parseData(parts[0])
	}
	if err == nil && s.signer != nil {
		err = s.parseValue(parts[1])
	}
	if err != nil {
		return nil, err
	}
	return s, nil
}

// parseData parses (data (flags …) (hash sha256 #…#)).
func (s *Signature) parseData(e expression) error {
	parts, err := e.parts("data", "flags", "hash")
	if err != nil {
		return err
	}
	hash, ok := parts[1].values()
	switch {
	case !ok || len(hash) != 2:
		return errors.New(`"data" without a hash`)
	case hash[0] != "sha256":
		return errors.New("its hash is no SHA-256")
	case copy(s.hash[:], hash[1]) != len(s.hash) || len(hash[1]) != len(s.hash):
		return fmt.Errorf("a SHA-256 of %d bytes", len(hash[1]))
	case s.signer == nil:
		return nil
	}
	want := "rfc6979"
	if s.signer.rsa != nil {
		want = "pkcs1"
	}
	if flags, _ := parts[0].values(); !slices.Equal(flags, []string{want}) {
		return fmt.Errorf("its data have other flags than %s", want)
	}
	return nil
}

// parseValue parses (sig-val …).
func (s *Signature) parseValue(e expression) error {
	kind := "ecdsa"
	if s.signer.rsa != nil {
		kind = "rsa"
	}
	values, err := e.parts("sig-val", kind)
	if err != nil {
		return fmt.Errorf("it is no signature by such a key: %w", err)
	}
	if kind == "rsa" {
		parts, err := values[0].parts("rsa", "s")
		if err != nil {
			return err
		}
		n, ok := number(parts[0], s.signer.rsa.Size()+1)
		if !ok || n.BitLen() > 8*s.signer.rsa.Size() {
			return errors.New(`"rsa" without a number s of the right size`)
		}
		s.value = n.FillBytes(make([]byte, s.signer.rsa.Size()))
		return nil
	}
	parts, err := values[0].parts("ecdsa", "r", "s")
	if err != nil {
		return err
	}
	var ok, ok2 bool
	s.r, ok = number(parts[0], 33)
	s.s, ok2 = number(parts[1], 33)
	if !ok || !ok2 {
		return errors.New(`"ecdsa" without numbers r and s of the right size`)
	}
	return nil
}

// Hash returns the SHA-256 that is signed, as the signature says.
func (s *Signature) Hash() [32]byte { return s.hash }

// Signer returns the key that is said to have signed, or an error if it is not supported.
func (s *Signature) Signer() (*PublicKey, error) { return s.signer, s.unsupported }

// Verified reports whether the signer has signed the hash. It takes less than a millisecond.
func (s *Signature) Verified() bool {
	switch {
	case s.signer == nil:
		return false
	case s.signer.rsa != nil:
		return rsa.VerifyPKCS1v15(s.signer.rsa, crypto.SHA256, s.hash[:], s.value) == nil
	}
	return verifyECDSA(s.signer.curve, s.hash, s.r, s.s)
}
